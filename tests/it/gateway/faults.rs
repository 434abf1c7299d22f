//! Services and networks that break: no answer that is not whole is ever shown as one that is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bifocal::settings::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::faulty::{FaultyProxy, How, Way};
use super::support::*;

const JSON: &str = "Content-Type: application/json";

/// How an exchange ended for a caller that reads to the end.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// With the body that the service meant.
    Whole,
    /// With an error of the gateway: its status.
    Error(u16),
    /// In the middle, so that nobody can take it for whole.
    Broken,
}

/// Looks at an answer as a strict reader does.
fn ended(bytes: &[u8], expected: &str) -> End {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return End::Broken };
    let status: u16 = head[9..12].parse().unwrap();
    let length =
        head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned));
    let body = if head.to_ascii_lowercase().contains("\r\ntransfer-encoding: chunked") {
        if !body.ends_with("0\r\n\r\n") {
            return End::Broken;
        }
        String::from_utf8(parse(bytes, false).body).unwrap()
    } else {
        let length: usize = length.expect("an answer says how long it is").parse().unwrap();
        if body.len() < length {
            return End::Broken;
        }
        body.to_owned()
    };
    if status == 200 {
        assert!(same(&body, expected), "an answer that is whole, and wrong: {body}");
        return End::Whole;
    }
    End::Error(status)
}

#[tokio::test]
async fn an_answer_that_is_hurt_at_any_byte_is_never_shown_as_whole() {
    let service = Service::start(|_| json(NEW)).await;
    let proxy = FaultyProxy::start(service.addr).await;
    let flags = vec![
        ("timeouts.response", Value::from("150ms")),
        ("timeouts.response_body", Value::from("150ms")),
        ("timeouts.stream", Value::from("150ms")),
    ];
    let gateway = Arc::new(Gateway::start(&orders(None, Some(proxy.addr), "v2"), flags).await);
    // As long as the service's own answer.
    let whole = raw(service.addr, b"GET /v2/orders/7 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.len();
    let (mut broken, mut errors, mut good) = (0, 0, 0);
    for how in [How::Truncate, How::Reset, How::Stall, How::Drip] {
        for at in (0..whole).step_by(if how == How::Stall { 17 } else { 3 }) {
            proxy.hurt((Way::Back, how, at));
            for (path, expected) in [("/v1/orders/7", OLD), ("/v2/orders/7", NEW)] {
                let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
                let end = ended(&raw(gateway.addr, request.as_bytes()).await, expected);
                let is_translated = path.starts_with("/v1");
                match end {
                    End::Whole => good += 1,
                    End::Error(status) => {
                        assert!(matches!(status, 502 | 504), "{how:?} at {at}: {status}");
                        errors += 1;
                    }
                    End::Broken => {
                        assert!(!is_translated, "{how:?} at {at}: what is translated is answered as a whole");
                        broken += 1;
                    }
                }
            }
        }
    }
    assert!(broken > 10 && errors > 20 && good > 20, "{broken} broken, {errors} errors, {good} good");
    proxy.hurt((Way::Back, How::Pass, 0));
    // Connections that are hurt may wait for their next request.
    eventually(|| async { (gateway.ask("GET /v1/orders/7", &[], b"").await.status == 200).then_some(()) }).await;
}

#[tokio::test]
async fn a_request_that_is_hurt_at_any_byte_is_sent_once() {
    let service = Service::start(echo).await;
    let proxy = FaultyProxy::start(service.addr).await;
    let flags = vec![("timeouts.response", Value::from("150ms"))];
    let gateway = Gateway::start(&orders(None, Some(proxy.addr), "v2"), flags).await;
    for how in [How::Truncate, How::Reset, How::Stall] {
        for at in (1..400).step_by(if how == How::Stall { 60 } else { 13 }) {
            proxy.hurt((Way::There, how, at));
            let answer = gateway.ask("POST /v1/orders", &[JSON], OLD.as_bytes()).await;
            assert!(matches!(answer.status, 200 | 502 | 504), "{how:?} at {at}: {answer:?}");
            let seen = service.take();
            assert!(seen.len() <= 1, "{how:?} at {at}: a write was sent twice");
            assert!(seen.iter().all(|seen| same(seen.text(), NEW)), "{how:?} at {at}");
        }
    }
}

#[tokio::test]
async fn a_caller_that_breaks_off_at_any_byte_sends_no_whole_request() {
    let service = Service::start(echo).await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    let before = FaultyProxy::start(gateway.addr).await;
    let chunks = format!("{:x}\r\n{OLD}\r\n0\r\n\r\n", OLD.len());
    for path in ["/v1/orders", "/v2/files"] {
        for (framing, body) in
            [(format!("Content-Length: {}", OLD.len()), OLD), ("Transfer-Encoding: chunked".to_owned(), &chunks)]
        {
            let request =
                format!("POST {path} HTTP/1.1\r\nHost: a\r\n{JSON}\r\nConnection: close\r\n{framing}\r\n\r\n{body}");
            for how in [How::Truncate, How::Reset] {
                for at in (1..request.len()).step_by(11) {
                    before.hurt((Way::There, how, at));
                    let mut stream = TcpStream::connect(before.addr).await.unwrap();
                    let _ = stream.write_all(request.as_bytes()).await;
                    let mut rest = Vec::new();
                    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("it ends");
                }
            }
        }
    }
    // What follows on a connection of its own is served, and by then whatever was begun has arrived or never will.
    assert_eq!(gateway.ask("POST /v2/files", &["X-Last: 1"], b"{}").await.status, 200);
    let seen = service.take();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(seen[0].header("x-last"), "1");
}

/// A service that answers every request with these bytes, and leaves the connection open or not.
async fn answering(bytes: Vec<u8>, closes: bool) -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (bytes, count) = (bytes.clone(), count.clone());
            tokio::spawn(async move {
                let mut head = Vec::new();
                let mut buffer = [0; 4096];
                while !head.windows(4).any(|four| four == b"\r\n\r\n") {
                    let Ok(read @ 1..) = stream.read(&mut buffer).await else { return };
                    head.extend_from_slice(&buffer[..read]);
                }
                count.fetch_add(1, Ordering::SeqCst);
                let _ = stream.write_all(&bytes).await;
                if !closes {
                    let _ = stream.read_to_end(&mut head).await;
                }
            });
        }
    });
    (addr, asked)
}

#[tokio::test]
async fn answers_that_are_no_http_are_a_services_fault() {
    let flood = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(20_000);
    let huge = [b"HTTP/1.1 200 OK\r\nA: ".as_slice(), &vec![b'x'; 10 << 20], b"\r\n\r\n"].concat();
    let many = [b"HTTP/1.1 200 OK\r\n".as_slice(), &b"A: b\r\n".repeat(5000), b"\r\n"].concat();
    let cases: &[(&str, &[u8])] = &[
        ("garbage", b"\x00\x01\x02 this is no HTTP\r\n\r\n"),
        ("no bytes", b""),
        ("half a head", b"HTTP/1.1 200 OK\r\nContent-Le"),
        ("status", b"HTTP/1.1 99999 OK\r\nContent-Length: 0\r\n\r\n"),
        (
            "two lengths",
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        ),
        ("signed length", b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: -2\r\n\r\n{}"),
        ("a NUL in a field", b"HTTP/1.1 200 OK\r\nA: \x00\r\nContent-Length: 0\r\n\r\n"),
        ("101 unasked", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
        (
            "chunk size",
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}",
        ),
        ("1xx flood", &flood),
        ("10 MB of head", &huge),
        ("5000 headers", &many),
    ];
    for (name, bytes) in cases {
        let (addr, _) = answering(bytes.to_vec(), true).await;
        let flags = vec![("timeouts.response", Value::from("5s"))];
        let gateway = Gateway::start(&orders(None, Some(addr), "v2"), flags).await;
        for path in ["/v1/orders/7", "/v2/orders/7"] {
            let answer =
                raw(gateway.addr, format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes())
                    .await;
            let end = if answer.is_empty() { End::Broken } else { ended(&answer, "null") };
            let is_late = *name == "chunk size" && path.starts_with("/v2");
            assert!(matches!(end, End::Error(502 | 504)) || (is_late && end == End::Broken), "{name} {path}: {end:?}");
            let text = String::from_utf8_lossy(&answer);
            assert!(!text.contains(&addr.to_string()) && !text.contains("no HTTP"), "{name}: {text}");
        }
    }
}

#[tokio::test]
async fn what_comes_after_an_answer_is_nobodys() {
    // An answer and, unasked, one more: the next caller must not get it.
    let more = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{\"evil\":1}";
    let good = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 8\r\n\r\n{\"id\":1}";
    let (addr, asked) = answering([good.as_slice(), more].concat(), false).await;
    let gateway = Gateway::start(&orders(None, Some(addr), "v2"), vec![]).await;
    for number in 1..=20 {
        let path = if number % 2 == 0 { "/v1/orders/7" } else { "/v2/orders/7" };
        let answer = gateway.ask(&format!("GET {path}"), &[], b"").await;
        assert_eq!((answer.status, answer.text()), (200, "{\"id\":1}"));
    }
    assert!(asked.load(Ordering::SeqCst) >= 20, "each was asked for");
}

#[tokio::test]
async fn bodies_where_none_may_be_do_not_reach_the_next_caller() {
    for head in ["HTTP/1.1 204 No Content", "HTTP/1.1 304 Not Modified\r\nETag: \"e\""] {
        let bytes = format!("{head}\r\nContent-Length: 10\r\n\r\n{{\"evil\":1}}");
        let (addr, _) = answering(bytes.into_bytes(), false).await;
        let gateway = Gateway::start(&orders(None, Some(addr), "v2"), vec![]).await;
        for _ in 0..5 {
            let answer = gateway.ask("GET /v2/orders/7", &[], b"").await;
            assert!(matches!(answer.status, 204 | 304), "{answer:?}");
            assert!(answer.body.is_empty());
        }
    }
}

#[tokio::test]
async fn an_endless_body_takes_no_memory() {
    // Ten times what may be held, of a service that would go on for ever.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let sent = Arc::new(AtomicUsize::new(0));
    let count = sent.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
                .await;
            let chunk = [b"10000\r\n".as_slice(), &vec![b' '; 0x10000], b"\r\n"].concat();
            while stream.write_all(&chunk).await.is_ok() {
                count.fetch_add(0x10000, Ordering::SeqCst);
            }
        }
    });
    let flags = vec![("limits.body", Value::from("1 MiB"))];
    let gateway = Gateway::start(&orders(None, Some(addr), "v2"), flags).await;
    let answer = gateway.ask("GET /v1/orders/7", &[], b"").await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_contract"));
    // What was read, and what fits into the buffers of two sockets.
    assert!(sent.load(Ordering::SeqCst) < 32 << 20, "{sent:?}");
}

#[tokio::test]
async fn an_early_refusal_of_a_service_is_passed_on() {
    // It answers before it has read the body, and closes.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = [0; 1024];
                let _ = stream.read(&mut head).await;
                let _ =
                    stream.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
                let _ = stream.shutdown().await;
                let mut rest = vec![0; 64 << 10];
                while stream.read(&mut rest).await.is_ok_and(|read| read > 0) {}
            });
        }
    });
    let gateway = Gateway::start(&orders(None, Some(addr), "v2"), vec![]).await;
    let body = vec![b' '; 4 << 20];
    let answer = gateway.ask("POST /v2/files", &["Content-Type: text/plain"], &body).await;
    assert_eq!(answer.status, 413, "{answer:?}");
}

#[tokio::test]
async fn a_caller_that_goes_away_ends_the_work_for_it() {
    struct Gone(Arc<AtomicUsize>);
    impl Drop for Gone {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let gone = Arc::new(AtomicUsize::new(0));
    let (begun, mut begins) = tokio::sync::mpsc::channel(8);
    let counted = gone.clone();
    let service = Service::start_slow(move |_| {
        let (begun, gone) = (begun.clone(), Gone(counted.clone()));
        async move {
            let _ = begun.send(()).await;
            std::future::pending::<()>().await;
            drop(gone);
            status(200)
        }
    })
    .await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    for (number, path) in ["/v1/orders/7", "/v2/orders/7"].into_iter().enumerate() {
        let mut stream = TcpStream::connect(gateway.addr).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await.unwrap();
        begins.recv().await.unwrap();
        let before = Instant::now();
        drop(stream);
        eventually(|| async { (gone.load(Ordering::SeqCst) == number + 1).then_some(()) }).await;
        assert!(before.elapsed() < Duration::from_secs(5), "{path}: {:?}", before.elapsed());
    }
    let log = gateway.access_log(2).await;
    assert!(log.iter().all(|line| line["status"] == 499), "{log:?}");
}

#[tokio::test]
async fn connections_that_services_close_cost_readers_nothing_and_writers_no_double() {
    // Each connection serves a few requests and ends without a word.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    tokio::spawn(async move {
        let mut served = 0;
        while let Ok((mut stream, _)) = listener.accept().await {
            served += 1;
            let (count, lasts) = (count.clone(), served % 3 + 1);
            tokio::spawn(async move {
                for _ in 0..lasts {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        let Ok(byte) = stream.read_u8().await else { return };
                        head.push(byte);
                    }
                    count.fetch_add(1, Ordering::SeqCst);
                    let _ = stream
                        .write_all(
                            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 8\r\n\r\n{\"id\":1}",
                        )
                        .await;
                }
            });
        }
    });
    let gateway = Gateway::start(&orders(None, Some(addr), "v2"), vec![]).await;
    let mut failed_writes = 0;
    for number in 0..1000 {
        if number % 4 == 0 {
            let before = asked.load(Ordering::SeqCst);
            let answer = gateway.ask("POST /v2/a", &[], b"").await;
            failed_writes += usize::from(answer.status != 200);
            assert!(matches!(answer.status, 200 | 502), "{answer:?}");
            assert!(asked.load(Ordering::SeqCst) - before <= 1, "a write was done twice");
        } else {
            assert_eq!(gateway.ask("GET /v2/a", &[], b"").await.status, 200, "request {number}");
        }
    }
    assert!(failed_writes < 250, "{failed_writes}");
}
