//! Requests that are carried out later: `Prefer: respond-async`, the status resource, and the result in any version.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::response::Response;
use tokio::sync::Semaphore;

use super::process::Process;
use super::support::*;

const ASYNC: &str = "async: {path: /operations}\n";
const TYPE: &str = "Content-Type: application/json";
const PREFER: &str = "Prefer: respond-async";
const OLD_ORDER: &str = r#"{"id":7,"total":1999,"state":"open"}"#;
const NEW_ORDER: &str = r#"{"id":7,"price":{"value":"19.99"},"status":"OPEN"}"#;

/// A service that waits for a permit before it answers.
async fn gated() -> (Service, Arc<Semaphore>) {
    Service::start_gated(|seen| {
        let mut response = created_echo(seen);
        response.headers_mut().insert("location", "/v2/orders/7".parse().unwrap());
        response
    })
    .await
}

#[tokio::test]
async fn a_slow_request_is_begun_in_v1_and_its_result_read_in_v2() {
    let (service, gate) = gated().await;
    let gateway = Gateway::start(&orders_with(service.addr, ASYNC), vec![]).await;
    let begun = gateway.ask("POST /v1/orders", &[TYPE, PREFER], OLD_ORDER.as_bytes()).await;
    assert_eq!((begun.status, begun.header("preference-applied")), (202, "respond-async"), "{begun:?}");
    assert_eq!(begun.header("retry-after"), "1");
    let location = begun.header("location").to_owned();
    let id = location.strip_prefix("/v1/operations/").expect("in the caller's version").to_owned();
    assert_eq!((begun.json()["id"].as_str().unwrap(), id.len()), (id.as_str(), 32));

    // The service gets it in its own version, without the preference.
    let seen = eventually(|| async { service.take().pop() }).await;
    assert_eq!((seen.text(), seen.header("prefer"), seen.uri.path()), (NEW_ORDER, "", "/v2/orders"));
    let open = gateway.ask(&format!("GET {location}"), &[], b"").await;
    assert_eq!((open.status, open.json()["state"].as_str().unwrap()), (200, "running"));
    assert!(!open.header("retry-after").is_empty() && !open.header("expires").is_empty(), "{open:?}");
    let early = gateway.ask(&format!("GET {location}/result"), &[], b"").await;
    assert_eq!((early.status, early.code().as_str()), (404, "operation_open"));

    gate.add_permits(1);
    let over = until_over(gateway.addr, &location, &[]).await;
    assert_eq!((over.status, over.header("location")), (303, format!("{location}/result").as_str()));
    let old = gateway.ask(&format!("GET {location}/result"), &[], b"").await;
    assert_eq!((old.status, old.header("location")), (201, "/v1/orders/7"), "{old:?}");
    assert!(same(old.text(), OLD_ORDER), "{}", old.text());
    // The same result to the same caller after its upgrade.
    let over = gateway.ask(&format!("GET /v2/operations/{id}"), &[], b"").await;
    assert_eq!((over.status, over.header("location")), (303, format!("/v2/operations/{id}/result").as_str()));
    let new = gateway.ask(&format!("GET /v2/operations/{id}/result"), &[], b"").await;
    assert_eq!((new.status, new.text(), new.header("location")), (201, NEW_ORDER, "/v2/orders/7"));

    assert_eq!(gateway.ask(&format!("PUT {location}"), &[TYPE], b"{}").await.status, 405);
    assert_eq!(gateway.ask(&format!("DELETE {location}"), &[], b"").await.status, 204);
    let gone = gateway.ask(&format!("GET {location}"), &[], b"").await;
    assert_eq!((gone.status, gone.code().as_str()), (404, "no_operation"));
}

#[tokio::test]
async fn begun_in_v2_and_read_in_v1() {
    let (service, gate) = gated().await;
    gate.add_permits(1);
    let gateway = Gateway::start(&orders_with(service.addr, ASYNC), vec![]).await;
    let begun = gateway.ask("POST /v2/orders", &[TYPE, PREFER], NEW_ORDER.as_bytes()).await;
    let id = begun.header("location").strip_prefix("/v2/operations/").unwrap().to_owned();
    until_over(gateway.addr, &format!("/v1/operations/{id}"), &[]).await;
    let old = gateway.ask(&format!("GET /v1/operations/{id}/result"), &[], b"").await;
    assert_eq!((old.status, old.header("location")), (201, "/v1/orders/7"), "{old:?}");
    assert!(same(old.text(), OLD_ORDER), "{}", old.text());
}

#[tokio::test]
async fn a_new_asynchronous_caller_before_an_old_synchronous_service() {
    // Only v1 runs: v2 is emulated, and its caller asks for what v1 knows nothing of.
    let old = Service::start(|seen| json(seen.text())).await;
    let mut rules = orders(Some(old.addr), None, "v1");
    rules[0].1.push_str(ASYNC);
    let gateway = Gateway::start(&rules, vec![]).await;
    let begun = gateway.ask("POST /v2/orders", &[TYPE, PREFER], NEW_ORDER.as_bytes()).await;
    assert_eq!(begun.status, 202, "{begun:?}");
    let location = begun.header("location").to_owned();
    let over = until_over(gateway.addr, &location, &[]).await;
    assert_eq!(over.status, 303);
    assert!(same(old.take_one().text(), OLD_ORDER));
    let result = gateway.ask(&format!("GET {}", over.header("location")), &[], b"").await;
    assert_eq!(result.status, 200, "{result:?}");
    assert!(same(result.text(), NEW_ORDER), "{}", result.text());
}

#[tokio::test]
async fn who_waits_long_enough_gets_the_answer_itself() {
    let (service, gate) = gated().await;
    let gateway = Gateway::start(&orders_with(service.addr, ASYNC), vec![]).await;
    gate.add_permits(1);
    let prefer = "Prefer: respond-async, wait=20";
    let answer = gateway.ask("POST /v1/orders", &[TYPE, prefer], OLD_ORDER.as_bytes()).await;
    assert_eq!((answer.status, answer.header("preference-applied")), (201, "wait=20"), "{answer:?}");
    assert!(same(answer.text(), OLD_ORDER));
    let late = gateway.ask("POST /v1/orders", &[TYPE, "Prefer: respond-async, wait=0"], OLD_ORDER.as_bytes()).await;
    assert_eq!(late.status, 202);
    gate.add_permits(1);
    // Without the preference nothing is different.
    gate.add_permits(1);
    let plain = gateway.ask("POST /v1/orders", &[TYPE, "Prefer: wait=3"], OLD_ORDER.as_bytes()).await;
    assert_eq!((plain.status, plain.header("preference-applied")), (201, ""));
}

#[tokio::test]
async fn what_cannot_be_translated_is_refused_at_once_and_failures_are_told() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = nobody.local_addr().unwrap();
    drop(nobody);
    let gateway = Gateway::start(&orders_with(addr, ASYNC), vec![]).await;
    let refused = gateway.ask("POST /v1/orders", &[TYPE, PREFER], br#"{"id": 7, "total": true}"#).await;
    assert_eq!((refused.status, refused.code().as_str()), (422, "value"));
    let begun = gateway.ask("POST /v1/orders", &[TYPE, PREFER], OLD_ORDER.as_bytes()).await;
    assert_eq!(begun.status, 202);
    let over = until_over(gateway.addr, begun.header("location"), &[]).await;
    assert_eq!((over.status, over.json()["state"].as_str().unwrap()), (303, "failed"));
    let result = gateway.ask(&format!("GET {}", over.header("location")), &[], b"").await;
    assert_eq!((result.status, result.json()["code"].as_str().unwrap()), (502, "upstream_unreachable"));
}

#[tokio::test]
async fn only_its_own_consumer_sees_an_operation() {
    let (service, gate) = gated().await;
    gate.add_permits(10);
    let more = format!("{ASYNC}consumer: [header.X-Consumer]\n");
    let gateway = Gateway::start(&orders_with(service.addr, &more), vec![]).await;
    let own = "X-Consumer: a";
    let begun = gateway.ask("POST /v1/orders", &[TYPE, PREFER, own], OLD_ORDER.as_bytes()).await;
    let location = begun.header("location").to_owned();
    until_over(gateway.addr, &location, &[own]).await;
    for other in ["X-Consumer: b", "Authorization: Bearer x", "X-Nothing: x"] {
        for (method, path) in [("GET", ""), ("GET", "/result"), ("DELETE", ""), ("GET", "/more")] {
            let answer = gateway.ask(&format!("{method} {location}{path}"), &[other], b"").await;
            assert_eq!((answer.status, answer.code().as_str()), (404, "no_operation"), "{method} {path} {other}");
        }
    }
    assert_eq!(gateway.ask(&format!("GET {location}/result"), &[own], b"").await.status, 201);
}

#[tokio::test]
async fn operations_are_bounded_cancelled_and_named_by_route() {
    let (service, _gate) = gated().await;
    let more = "async: {path: /operations, most: 2, at_once: 1, routes: [POST /v2/orders]}\n";
    let gateway = Gateway::start(&orders_with(service.addr, more), vec![]).await;
    let begin = async || gateway.ask("POST /v1/orders", &[TYPE, PREFER], OLD_ORDER.as_bytes()).await;
    let (first, second) = (begin().await, begin().await);
    eventually(|| async { (!service.take().is_empty()).then_some(()) }).await;
    let full = begin().await;
    assert_eq!((full.status, full.code().as_str()), (503, "store_full"));
    // One at once: the other waits.
    let state = async |answer: &Answer| {
        gateway.ask(&format!("GET {}", answer.header("location")), &[], b"").await.json()["state"].clone()
    };
    assert_eq!((state(&first).await, state(&second).await), ("running".into(), "waiting".into()));
    for one in [&second, &first] {
        assert_eq!(gateway.ask(&format!("DELETE {}", one.header("location")), &[], b"").await.status, 204);
        assert_eq!(state(one).await, "cancelled");
        let result = gateway.ask(&format!("GET {}/result", one.header("location")), &[], b"").await;
        assert_eq!((result.status, result.code().as_str()), (410, "operation_gone"));
    }
    assert_eq!(service.take().len(), 0, "what was cancelled before it began is not sent");
}

#[tokio::test]
async fn with_a_key_there_is_one_operation() {
    let (service, gate) = gated().await;
    gate.add_permits(10);
    let more = format!("{ASYNC}idempotency: {{}}\n");
    let gateway = Gateway::start(&orders_with(service.addr, &more), vec![]).await;
    let headers = [TYPE, PREFER, "Idempotency-Key: k"];
    let first = gateway.ask("POST /v1/orders", &headers, OLD_ORDER.as_bytes()).await;
    let again = gateway.ask("POST /v1/orders", &headers, OLD_ORDER.as_bytes()).await;
    assert_eq!((first.status, again.status, again.header("idempotency-replayed")), (202, 202, "true"));
    assert_eq!(first.header("location"), again.header("location"));
    until_over(gateway.addr, first.header("location"), &[]).await;
    assert_eq!(service.take().len(), 1);
}

/// Answers what is asked for in `/v2/orders/7` only with a permit.
async fn counted(gate: Arc<Semaphore>) -> (Service, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let asked = count.clone();
    let service = Service::start_slow(move |seen| {
        let (gate, asked) = (gate.clone(), asked.clone());
        async move {
            asked.fetch_add(1, Ordering::SeqCst);
            gate.acquire().await.unwrap().forget();
            if seen.body.is_empty() { json(NEW_ORDER) } else { Response::new(seen.body.into()) }
        }
    })
    .await;
    (service, count)
}

#[tokio::test]
async fn operations_survive_kill_9() {
    let gate = Arc::new(Semaphore::new(0));
    let (service, count) = counted(gate.clone()).await;
    let folder = tempfile::tempdir().unwrap();
    write_rules(folder.path(), &orders_with(service.addr, "async: {path: /operations, at_once: 2}\n"));
    let process = Process::start(folder.path());
    let begin = async |line: &str, body: &str| {
        let answer = ask(process.addr, line, &[TYPE, PREFER], body.as_bytes()).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.header("location").to_owned()
    };
    // Two at work, of which one may be begun again, and two that wait.
    let written = begin("POST /v1/orders", OLD_ORDER).await;
    let read = begin("GET /v1/orders/7", "").await;
    eventually(|| async { (count.load(Ordering::SeqCst) == 2).then_some(()) }).await;
    let waits = begin("POST /v1/files", "bytes").await;
    let last = begin("POST /v1/orders", OLD_ORDER).await;
    process.kill();
    gate.add_permits(100);

    let process = Process::start(folder.path());
    let result = async |location: &str| {
        let over = until_over(process.addr, location, &[]).await;
        ask(process.addr, &format!("GET {}", over.header("location")), &[], b"").await
    };
    let unknown = result(&written).await;
    assert_eq!((unknown.status, unknown.json()["code"].as_str().unwrap()), (500, "operation_interrupted"));
    let again = result(&read).await;
    assert_eq!(again.status, 200, "{again:?}");
    assert!(same(again.text(), OLD_ORDER), "{}", again.text());
    assert_eq!(result(&waits).await.text(), "bytes");
    assert_eq!(result(&last).await.status, 502, "the service says nothing of its body's type");
    assert_eq!(count.load(Ordering::SeqCst), 5);
}

#[tokio::test]
async fn what_has_not_begun_outlives_a_drain() {
    let gate = Arc::new(Semaphore::new(0));
    let (service, count) = counted(gate.clone()).await;
    let folder = tempfile::tempdir().unwrap();
    write_rules(folder.path(), &orders_with(service.addr, "async: {path: /operations, at_once: 1}\n"));
    let process = Process::start(folder.path());
    let addr = process.addr;
    let begin = async |id: u8| {
        let answer = ask(addr, &format!("GET /v1/orders/{id}"), &[PREFER], b"").await;
        answer.header("location").to_owned()
    };
    let first = begin(1).await;
    eventually(|| async { (count.load(Ordering::SeqCst) == 1).then_some(()) }).await;
    let second = begin(2).await;
    let ending = tokio::spawn(process.terminate());
    // It is told to end while the first is at work: that one is finished.
    eventually(|| async { tokio::net::TcpStream::connect(addr).await.is_err().then_some(()) }).await;
    gate.add_permits(1);
    assert_eq!(ending.await.unwrap(), Some(0));
    assert_eq!(service.take().len(), 1, "the second has not begun");
    gate.add_permits(1);
    let process = Process::start(folder.path());
    for location in [first, second] {
        assert_eq!(until_over(process.addr, &location, &[]).await.status, 303);
    }
    assert_eq!(count.load(Ordering::SeqCst), 2);
}
