//! `Idempotency-Key`: a request that comes again is not carried out again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::response::Response;
use http::StatusCode;
use tokio::sync::Semaphore;

use super::process::Process;
use super::support::*;

const TYPE: &str = "Content-Type: application/json";
const OLD_ORDER: &[u8] = br#"{"id": 7, "total": 1999, "state": "open"}"#;
/// The same order as a caller of v2 writes it, in another order and spelling.
const NEW_ORDER: &[u8] = br#"{"status":"\u004fPEN", "price" : {"value":"19.99"},"id":7}"#;

fn created(count: usize, body: &str) -> Response {
    let mut response = json(body.to_owned());
    *response.status_mut() = StatusCode::CREATED;
    response.headers_mut().insert("x-count", count.to_string().parse().unwrap());
    response.headers_mut().insert("location", "/v2/orders/7".parse().unwrap());
    response
}

/// Counts how often it was told to do something, and gives back what it was given.
async fn counting() -> Service {
    let count = Arc::new(AtomicUsize::new(0));
    Service::start(move |seen| created(count.fetch_add(1, Ordering::SeqCst) + 1, seen.text())).await
}

#[tokio::test]
async fn what_comes_again_is_answered_as_the_first_time_in_any_version() {
    let service = counting().await;
    let gateway = Gateway::start(&orders_with(service.addr, "idempotency: {}\n"), vec![]).await;
    let post = async |path: &str, key: &str, body: &[u8]| {
        gateway.ask(&format!("POST {path}"), &[TYPE, &format!("Idempotency-Key: {key}")], body).await
    };
    let first = post("/v1/orders", "\"k-1\"", OLD_ORDER).await;
    assert_eq!(
        (first.status, first.header("x-count"), first.header("idempotency-replayed")),
        (201, "1", ""),
        "{first:?}"
    );
    assert!(same(first.text(), std::str::from_utf8(OLD_ORDER).unwrap()), "{}", first.text());
    assert_eq!(first.header("location"), "/v1/orders/7");
    assert_eq!(service.take_one().header("idempotency-key"), "\"k-1\"", "the service gets the key, too");

    // The same caller again; and after it was upgraded to v2 in between.
    let again = post("/v1/orders", "k-1", OLD_ORDER).await;
    assert_eq!((again.status, again.header("x-count"), again.header("idempotency-replayed")), (201, "1", "true"));
    assert_eq!((again.text(), again.header("location")), (first.text(), "/v1/orders/7"));
    let upgraded = post("/v2/orders", "k-1", NEW_ORDER).await;
    assert_eq!((upgraded.status, upgraded.header("idempotency-replayed")), (201, "true"), "{upgraded:?}");
    assert!(same(upgraded.text(), std::str::from_utf8(NEW_ORDER).unwrap()), "{}", upgraded.text());
    assert_eq!(upgraded.header("location"), "/v2/orders/7");
    assert_eq!(service.take().len(), 0);

    // Another payload, another key, no key.
    let other = post("/v1/orders", "k-1", br#"{"id": 8, "total": 1999, "state": "open"}"#).await;
    assert_eq!((other.status, other.code().as_str()), (422, "idempotency_reused"));
    assert_eq!(post("/v1/orders", "k-2", OLD_ORDER).await.header("x-count"), "2");
    assert_eq!(gateway.ask("POST /v1/orders", &[TYPE], OLD_ORDER).await.header("x-count"), "3");
    // Begun in v2, repeated in v1.
    assert_eq!(post("/v2/orders", "k-3", NEW_ORDER).await.header("x-count"), "4");
    let older = post("/v1/orders", "k-3", OLD_ORDER).await;
    assert_eq!((older.header("x-count"), older.header("idempotency-replayed")), ("4", "true"));
    assert!(same(older.text(), std::str::from_utf8(OLD_ORDER).unwrap()), "{}", older.text());
}

#[tokio::test]
async fn a_key_belongs_to_its_consumer_and_its_route() {
    let service = counting().await;
    let more = "idempotency: {required: true, routes: [POST /v2/orders]}\nconsumer: [header.X-Consumer]\n";
    let gateway = Gateway::start(&orders_with(service.addr, more), vec![]).await;
    let post = async |who: &str, key: &str| gateway.ask("POST /v1/orders", &[TYPE, who, key], OLD_ORDER).await;
    assert_eq!(post("X-Consumer: a", "Idempotency-Key: k").await.header("x-count"), "1");
    assert_eq!(post("X-Consumer: b", "Idempotency-Key: k").await.header("x-count"), "2");
    assert_eq!(post("X-Consumer: a", "Idempotency-Key: k").await.header("x-count"), "1");
    for wrong in ["X-Nothing: x", "Idempotency-Key: ", "Idempotency-Key: a\"b"] {
        let answer = post("X-Consumer: a", wrong).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "idempotency_key"), "{wrong}");
    }
    // Routes that are not named, and methods, need none and keep nothing.
    for count in ["3", "4"] {
        let answer = gateway.ask("POST /v1/files", &["Idempotency-Key: k"], b"x").await;
        assert_eq!(answer.header("x-count"), count);
    }
    assert_eq!(gateway.ask("GET /v2/orders/7", &[], b"").await.header("x-count"), "5");
}

#[tokio::test]
async fn the_second_of_two_at_once_is_told_to_wait_and_a_caller_that_leaves_changes_nothing() {
    let (service, gate) = Service::start_gated(|seen| created(1, seen.text())).await;
    let gateway = Gateway::start(&orders_with(service.addr, "idempotency: {}\n"), vec![]).await;
    let addr = gateway.addr;
    let headers = [TYPE, "Idempotency-Key: k"];
    let first = tokio::spawn(async move { ask(addr, "POST /v1/orders", &headers, OLD_ORDER).await });
    eventually(|| async { (service.take().len() == 1).then_some(()) }).await;
    let second = gateway.ask("POST /v1/orders", &headers, OLD_ORDER).await;
    assert_eq!((second.status, second.code().as_str(), second.header("retry-after")), (409, "idempotency_busy", "1"));
    // It has no patience.
    first.abort();
    let _ = first.await;
    gate.add_permits(1);
    let last = eventually(|| async {
        let answer = gateway.ask("POST /v1/orders", &headers, OLD_ORDER).await;
        (answer.status != 409).then_some(answer)
    })
    .await;
    assert_eq!((last.status, last.header("idempotency-replayed")), (201, "true"));
    assert_eq!(service.take().len(), 0);
}

#[tokio::test]
async fn only_what_has_begun_is_kept() {
    let count = Arc::new(AtomicUsize::new(0));
    let service = Service::start(move |_| {
        let count = count.fetch_add(1, Ordering::SeqCst) + 1;
        let mut response = json("{}");
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response.headers_mut().insert("x-count", count.to_string().parse().unwrap());
        response
    })
    .await;
    let headers = [TYPE, "Idempotency-Key: k"];
    for (more, second) in [("idempotency: {}\n", "1"), ("idempotency: {keep_errors: false}\n", "3")] {
        let gateway = Gateway::start(&orders_with(service.addr, more), vec![]).await;
        gateway.ask("POST /v2/orders", &headers, NEW_ORDER).await;
        let again = gateway.ask("POST /v2/orders", &headers, NEW_ORDER).await;
        assert_eq!((again.status, again.header("x-count")), (503, second), "{more}");
    }
    // A service that cannot be reached has done nothing, and so has one that was never asked.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = nobody.local_addr().unwrap();
    drop(nobody);
    let gateway = Gateway::start(&orders_with(addr, "idempotency: {}\n"), vec![]).await;
    for _ in 0..2 {
        let answer = gateway.ask("POST /v1/orders", &headers, OLD_ORDER).await;
        assert_eq!((answer.status, answer.header("idempotency-replayed")), (502, ""));
        let refused = gateway.ask("POST /v1/orders", &headers, br#"{"id": 7, "total": true}"#).await;
        assert_eq!((refused.status, refused.header("idempotency-replayed")), (422, ""));
    }
}

#[tokio::test]
async fn keys_are_bounded_in_number() {
    let service = counting().await;
    let gateway = Gateway::start(&orders_with(service.addr, "idempotency: {most: 2}\n"), vec![]).await;
    let post =
        async |key: &str| gateway.ask("POST /v2/orders", &[TYPE, &format!("Idempotency-Key: {key}")], NEW_ORDER).await;
    assert_eq!((post("a").await.status, post("b").await.status), (201, 201));
    let full = post("c").await;
    assert_eq!((full.status, full.code().as_str()), (503, "store_full"));
    assert_eq!(post("a").await.header("idempotency-replayed"), "true");
}

#[tokio::test]
async fn keys_survive_kill_9() {
    let gate = Arc::new(Semaphore::new(1));
    let (opened, count) = (gate.clone(), Arc::new(AtomicUsize::new(0)));
    let service = Service::start_slow(move |seen| {
        let (opened, count) = (opened.clone(), count.clone());
        async move {
            let count = count.fetch_add(1, Ordering::SeqCst) + 1;
            opened.acquire().await.unwrap().forget();
            created(count, seen.text())
        }
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    write_rules(folder.path(), &orders_with(service.addr, "idempotency: {}\n"));
    let process = Process::start(folder.path());
    let post = async |addr, key: &str| {
        ask(addr, "POST /v1/orders", &[TYPE, &format!("Idempotency-Key: {key}")], OLD_ORDER).await
    };
    let first = post(process.addr, "done").await;
    assert_eq!(first.header("x-count"), "1");
    service.take_one();
    // Another gateway may not have the same folder.
    let refused = Process::refused(folder.path());
    assert!(refused.contains("used by another process"), "{refused}");
    // One that is at work when the gateway ends.
    let addr = process.addr;
    let open = tokio::spawn(async move {
        let head = format!(
            "POST /v1/orders HTTP/1.1\r\nHost: x\r\n{TYPE}\r\nIdempotency-Key: open\r\nContent-Length: {}\r\n\r\n",
            OLD_ORDER.len()
        );
        raw(addr, &[head.as_bytes(), OLD_ORDER].concat()).await
    });
    eventually(|| async { (service.take().len() == 1).then_some(()) }).await;
    process.kill();
    open.await.unwrap();

    let process = Process::start(folder.path());
    let again = post(process.addr, "done").await;
    assert_eq!((again.header("x-count"), again.header("idempotency-replayed")), ("1", "true"));
    assert_eq!(again.text(), first.text());
    let unknown = post(process.addr, "open").await;
    assert_eq!((unknown.status, unknown.code().as_str()), (409, "idempotency_unknown"));
    process.kill();

    // Where the service can be told twice, the rules say so.
    write(
        &folder.path().join("rules/orders/service.yaml"),
        &orders_with(service.addr, "idempotency: {interrupted: repeat}\n")[0].1,
    );
    gate.add_permits(5);
    let process = Process::start(folder.path());
    let repeated = post(process.addr, "open").await;
    assert_eq!((repeated.status, repeated.header("x-count")), (201, "3"), "{repeated:?}");
    assert_eq!(post(process.addr, "open").await.header("idempotency-replayed"), "true");
}
