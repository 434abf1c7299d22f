//! More to do than there is room for.

use std::time::{Duration, Instant};

use bifocal::settings::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::support::{Gateway, PATIENCE, Service, ask, echo, eventually, json, orders, raw, status};

/// A service that hangs where the path says so, and tells of every request.
async fn hanging() -> (Service, mpsc::Receiver<String>) {
    let (begun, begins) = mpsc::channel(100);
    let service = Service::start_slow(move |seen| {
        let begun = begun.clone();
        async move {
            let path = seen.uri.path().to_owned();
            let _ = begun.send(path.clone()).await;
            if path.ends_with("/hang") || seen.text().contains("hang") {
                std::future::pending::<()>().await;
            }
            status(200)
        }
    })
    .await;
    (service, begins)
}

/// Begins a request and leaves it in work.
async fn begin(gateway: &Gateway, line: &str, headers: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(gateway.addr).await.unwrap();
    let length = body.len();
    let request = format!("{line} HTTP/1.1\r\nHost: a\r\n{headers}Content-Length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// Reads one answer without a body, and whether the connection is to be closed.
async fn answer(stream: &mut TcpStream) -> (String, bool) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tokio::time::timeout(PATIENCE, stream.read_u8()).await.unwrap().unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    (head[9..12].to_owned(), head.to_ascii_lowercase().contains("\r\nconnection: close\r\n"))
}

async fn told(gateway: &Gateway) -> serde_json::Value {
    ask(gateway.admin, "GET /overload", &[], b"").await.json()
}

/// An old caller's order of about so many bytes, at which the service hangs.
fn order(bytes: usize) -> String {
    format!("{{\"id\":1,\"note\":\"hang{}\"}}", "x".repeat(bytes))
}

async fn hold(gateway: &Gateway, bytes: usize) -> TcpStream {
    begin(gateway, "POST /v1/orders", "Content-Type: application/json\r\n", &order(bytes)).await
}

#[tokio::test]
async fn bodies_climb_the_ladder_and_the_operator_is_not_on_it() {
    let (service, mut begins) = hanging().await;
    let flags = vec![("limits.bodies", Value::from(100_000)), ("limits.memory", Value::from("none"))];
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), flags).await;
    let mut kept = TcpStream::connect(gateway.addr).await.unwrap();
    let plain = b"GET /v2/a HTTP/1.1\r\nHost: a\r\n\r\n";
    kept.write_all(plain).await.unwrap();
    assert_eq!(answer(&mut kept).await, ("200".to_owned(), false));
    begins.recv().await.unwrap();

    // A body that is refused where it is too much leaves those that are held alone.
    let first = hold(&gateway, 46_250).await;
    begins.recv().await.unwrap();
    assert_eq!(told(&gateway).await["rung"], "no_keep_alive");
    kept.write_all(plain).await.unwrap();
    assert_eq!(answer(&mut kept).await, ("200".to_owned(), true), "answered, but for the last time");
    begins.recv().await.unwrap();

    let body = order(20_000);
    let answer = gateway.ask("POST /v1/orders", &["Content-Type: application/json"], body.as_bytes()).await;
    assert_eq!((answer.status, answer.code().as_str(), answer.header("retry-after")), (503, "overloaded", "1"));

    let second = hold(&gateway, 1500).await;
    begins.recv().await.unwrap();
    assert_eq!(told(&gateway).await["rung"], "refusing");
    let begun = Instant::now();
    let answer = gateway.ask("GET /v2/a", &[], b"").await;
    assert_eq!((answer.status, answer.code().as_str(), answer.header("retry-after")), (503, "overloaded", "1"));
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    let metrics = ask(gateway.admin, "GET /metrics", &[], b"").await;
    assert!(metrics.text().contains("bifocal_overload_rung 3\n"), "{}", metrics.text());

    // What is in work goes on, and when it is over so are the measures.
    drop((first, second));
    eventually(|| async { (told(&gateway).await["rung"] == "calm").then_some(()) }).await;
    assert_eq!(told(&gateway).await["held_body_bytes"], 0);
    assert_eq!(gateway.ask("GET /v2/a", &[], b"").await.status, 200);
}

#[tokio::test]
async fn at_the_top_nobody_new_is_let_in_until_there_is_room() {
    let (service, mut begins) = hanging().await;
    let flags = vec![("limits.bodies", Value::from(100_000)), ("limits.memory", Value::from("none"))];
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), flags).await;
    let held = hold(&gateway, 49_250).await;
    begins.recv().await.unwrap();
    assert_eq!(told(&gateway).await["rung"], "not_accepting");
    let waiting = tokio::spawn({
        let addr = gateway.addr;
        async move { ask(addr, "GET /v2/a", &[], b"").await.status }
    });
    // The operator is let in all the while.
    assert_eq!(ask(gateway.admin, "GET /livez", &[], b"").await.status, 200);
    assert!(!waiting.is_finished());
    drop(held);
    assert!(matches!(waiting.await.unwrap(), 200 | 503));
    eventually(|| async { (told(&gateway).await["rung"] == "calm").then_some(()) }).await;
}

#[tokio::test]
async fn memory_climbs_the_ladder_as_well() {
    let service = Service::start(|_| status(200)).await;
    // This process has more than that, and so nobody is let in.
    let flags = vec![("limits.memory", Value::from("1 MiB"))];
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), flags).await;
    let told = eventually(|| async {
        let told = told(&gateway).await;
        (told["rung"] == "not_accepting").then_some(told)
    })
    .await;
    assert_eq!(told["memory_limit"], 1 << 20);
    assert!(told["memory_bytes"].as_u64().unwrap() > 1 << 20, "{told}");
    assert_eq!(told["body_budget"], 1 << 18, "a quarter of it");
}

/// Begins requests until one is refused; answers how many there are in work.
async fn fill(
    gateway: &Gateway,
    begins: &mut mpsc::Receiver<String>,
    headers: impl Fn(usize) -> String,
) -> Vec<TcpStream> {
    let mut begun = Vec::new();
    loop {
        let mut stream = begin(gateway, "GET /v2/hang", &headers(begun.len()), "").await;
        tokio::select! {
            _ = begins.recv() => begun.push(stream),
            answer = answer(&mut stream) => {
                assert_eq!(answer.0, "503");
                return begun;
            }
        }
    }
}

#[tokio::test]
async fn one_caller_cannot_take_the_room_of_all_others() {
    let (service, mut begins) = hanging().await;
    let flags = vec![("limits.in_flight", Value::from(40)), ("forwarded", Value::from("append"))];
    let rules = [orders(Some(service.addr), Some(service.addr), "v2"), second(&service)].concat();
    let gateway = Gateway::start(&rules, flags).await;
    // Behind a proxy, callers are those whom it names; what they say themselves comes before and counts for nothing.
    let hog = |_| "X-Forwarded-For: 10.0.0.9, 10.0.0.1\r\n".to_owned();
    let taken = fill(&gateway, &mut begins, hog).await;
    assert_eq!(taken.len(), 33);
    let other = gateway.ask("GET /other/a", &["X-Forwarded-For: 10.0.0.1, 10.0.0.2"], b"").await;
    assert_eq!(other.status, 200);
    begins.recv().await.unwrap();
    // With room again it may have more.
    drop(taken);
    eventually(|| async { (told(&gateway).await["in_flight"] == 0).then_some(()) }).await;
    assert_eq!(fill(&gateway, &mut begins, hog).await.len(), 33);
}

/// A service of its own, so that a version that hangs is not the one that is asked.
fn second(service: &Service) -> Vec<(&'static str, String)> {
    let addr = service.addr;
    let text = format!("match: {{paths: [/other]}}\nversions: {{v1: {{upstream: \"http://{addr}\"}}}}\ndefault: v1\n");
    vec![("other/service.yaml", text)]
}

#[tokio::test]
async fn a_service_that_hangs_cannot_take_the_room_of_all_others() {
    let (service, mut begins) = hanging().await;
    let flags = vec![("limits.in_flight", Value::from(40)), ("forwarded", Value::from("append"))];
    let rules = [orders(Some(service.addr), Some(service.addr), "v2"), second(&service)].concat();
    let gateway = Gateway::start(&rules, flags).await;
    let taken = fill(&gateway, &mut begins, |caller| format!("X-Forwarded-For: 10.0.0.{caller}\r\n")).await;
    assert_eq!(taken.len(), 33);
    assert_eq!(gateway.ask("GET /other/a", &["X-Forwarded-For: 10.0.1.1"], b"").await.status, 200);
}

#[tokio::test]
async fn connections_are_closed_after_so_many_requests_and_so_much_time() {
    let service = Service::start(|_| status(200)).await;
    let rules = orders(None, Some(service.addr), "v2");
    for (flags, last) in [
        (vec![("limits.connection_requests", Value::from(3))], 3),
        // However many there are in that time.
        (vec![("timeouts.connection_age", Value::from("20ms"))], 0),
    ] {
        let gateway = Gateway::start(&rules, flags).await;
        let mut stream = TcpStream::connect(gateway.addr).await.unwrap();
        let mut asked = 0;
        loop {
            asked += 1;
            stream.write_all(b"GET /v2/a HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
            let (status, is_last) = answer(&mut stream).await;
            assert_eq!(status, "200");
            if is_last {
                break;
            }
        }
        assert!(asked == last || last == 0, "{asked}");
        let mut rest = Vec::new();
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.unwrap().unwrap();
        assert!(rest.is_empty());
    }
}

#[tokio::test]
async fn http2_connections_end_in_order_after_so_many_requests() {
    use http_body_util::{BodyExt, Empty};
    use hyper_util::rt::{TokioExecutor, TokioIo};

    let service = Service::start(|_| json("{}")).await;
    let flags = vec![("limits.connection_requests", Value::from(3))];
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), flags).await;
    let stream = TcpStream::connect(gateway.addr).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let ended = tokio::spawn(connection);
    for _ in 0..3 {
        let uri = format!("http://{}/v2/a", gateway.addr);
        let request = hyper::Request::get(uri).body(Empty::<bytes::Bytes>::new()).unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), 200);
        response.into_body().collect().await.unwrap();
    }
    // The gateway says goodbye; nothing was cut.
    tokio::time::timeout(PATIENCE, ended).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_body_that_drips_is_not_waited_for() {
    let service = Service::start(echo).await;
    let flags = vec![("timeouts.body_gap", Value::from("200ms"))];
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), flags).await;
    let drip = |kind: &'static str| {
        let addr = gateway.addr;
        async move {
            let (mut read, mut write) = TcpStream::connect(addr).await.unwrap().into_split();
            let head = format!("POST /v2/files HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\nContent-Length: 40\r\n");
            write.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).await.unwrap();
            let dripping = tokio::spawn(async move {
                // Never silent for long, but 50 bytes a second are too few.
                for _ in 0..40 {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    if write.write_all(b"1").await.is_err() {
                        break;
                    }
                }
                write
            });
            let mut answer = Vec::new();
            tokio::time::timeout(PATIENCE, read.read_to_end(&mut answer)).await.unwrap().ok();
            dripping.abort();
            String::from_utf8_lossy(answer.get(9..12).unwrap_or_default()).into_owned()
        }
    };
    assert_eq!(drip("application/octet-stream").await, "408");
    assert_eq!(drip("application/x-ndjson").await, "200", "a stream of documents is as slow as its events");
}

#[tokio::test]
async fn a_document_of_too_many_values_is_refused_where_all_are_needed_at_once() {
    let service = Service::start(echo).await;
    let rules = "types:\n  Any: [\"first = list[0]\"]\nroutes:\n  - POST /v1/x = POST /v2/x: {request: Any}\n";
    let mut files = orders(None, Some(service.addr), "v2");
    files[1] = ("orders/v1-v2.yaml", rules.to_owned());
    let gateway = Gateway::start(&files, vec![("limits.nodes", Value::from(1000))]).await;
    let many = |count: usize| format!("{{\"all\":[{}0]}}", "0,".repeat(count));
    let json = &["Content-Type: application/json"];
    assert_eq!(gateway.ask("POST /v1/x", json, many(900).as_bytes()).await.status, 200);
    let refused = gateway.ask("POST /v1/x", json, many(1000).as_bytes()).await;
    assert_eq!((refused.status, refused.code().as_str()), (413, "body_too_large"));
    assert_eq!(service.take().len(), 1);
}

#[tokio::test]
async fn heads_have_their_time_from_the_moment_of_acceptance() {
    let service = Service::start(echo).await;
    let flags = vec![("timeouts.header", Value::from("300ms"))];
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), flags).await;
    let begun = Instant::now();
    // Bytes that may become HTTP/2, until they are not: the time does not begin anew.
    let (mut read, mut write) = TcpStream::connect(gateway.addr).await.unwrap().into_split();
    let dripping = tokio::spawn(async move {
        for byte in b"PRI * HTTP/1.1\r\nHost: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if write.write_all(&[*byte]).await.is_err() {
                break;
            }
        }
        write
    });
    let mut answer = Vec::new();
    tokio::time::timeout(PATIENCE, read.read_to_end(&mut answer)).await.unwrap().ok();
    dripping.abort();
    assert!(begun.elapsed() < Duration::from_millis(1500), "{:?}", begun.elapsed());
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 408"), "{answer:?}");
    assert!(!raw(gateway.addr, b"GET /v2/a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.is_empty());
}
