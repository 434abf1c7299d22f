//! Services with several endpoints: who is asked, who is left out, what is sent again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::response::Response;
use bifocal::settings::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;

use super::support::*;

/// Rules of a service with one version, whose `upstream` says this.
pub(super) fn one(upstream: &str) -> Vec<(&'static str, String)> {
    vec![("orders/service.yaml", format!("versions:\n  v1: {{path: /v1, upstream: {{{upstream}}}}}\n"))]
}

pub(super) fn endpoints(addrs: &[SocketAddr]) -> String {
    let all: Vec<String> = addrs.iter().map(|addr| format!("\"http://{addr}\"")).collect();
    format!("endpoints: [{}]", all.join(", "))
}

/// An address at which nobody listens.
async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// What the admin interface says of one endpoint.
pub(super) async fn told(gateway: &Gateway, addr: SocketAddr) -> serde_json::Value {
    let all = ask(gateway.admin, "GET /upstreams?service=orders&version=v1", &[], b"").await.json();
    let endpoints = all["upstreams"][0]["endpoints"].as_array().unwrap().clone();
    let name = addr.to_string();
    endpoints.into_iter().find(|one| one["endpoint"] == name.as_str()).unwrap_or_default()
}

pub(super) async fn becomes(gateway: &Gateway, addr: SocketAddr, state: &str) {
    eventually(|| async { (told(gateway, addr).await["state"] == state).then_some(()) }).await;
}

/// A service that reads a request's head, says something, and closes.
async fn abrupt(says: &'static [u8]) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let asked = Arc::<AtomicUsize>::default();
    let count = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let count = count.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.windows(4).any(|four| four == b"\r\n\r\n") {
                    if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                count.fetch_add(1, Ordering::SeqCst);
                let _ = stream.write_all(says).await;
            });
        }
    });
    (addr, asked)
}

#[tokio::test]
async fn an_endpoint_that_takes_no_connections_costs_no_request() {
    let (dead, live) = (nobody().await, Service::start(|_| json("{}")).await);
    let upstream = endpoints(&[dead, live.addr]) + ", balance: round_robin, retry: {floor: 100}";
    let gateway = Gateway::start(&one(&upstream), vec![]).await;
    for line in ["POST /v1/orders", "GET /v1/orders"] {
        for _ in 0..20 {
            let answer = gateway.ask(line, &[], b"").await;
            assert_eq!(answer.status, 200, "{line}: {answer:?}");
        }
    }
    assert_eq!(live.take().len(), 40, "each was sent once");
    becomes(&gateway, dead, "unreachable").await;
    let log = gateway.access_log(40).await;
    assert!(log.iter().all(|line| line["endpoint"] == live.addr.to_string().as_str()), "{log:?}");
    let tries: Vec<u64> = log.iter().map(|line| line["attempts"].as_u64().unwrap()).collect();
    // Asked until it is known to take none, and then no more.
    assert_eq!(tries.iter().filter(|attempts| **attempts == 2).count(), 5, "{tries:?}");
    assert!(tries.iter().all(|attempts| (1..=2).contains(attempts)), "{tries:?}");
    let metrics = ask(gateway.admin, "GET /metrics", &[], b"").await;
    let labels = format!("service=\"orders\",version=\"v1\",endpoint=\"{dead}\"");
    for line in [
        format!("bifocal_upstream_failures_total{{{labels},reason=\"connect\"}} 5"),
        format!("bifocal_upstream_up{{{labels}}} 0"),
        "bifocal_upstream_retries_total{service=\"orders\",version=\"v1\"} 5".to_owned(),
    ] {
        assert!(metrics.text().contains(&line), "{line} is missing in\n{}", metrics.text());
    }
}

#[tokio::test]
async fn where_nobody_can_be_asked_it_is_said_at_once_and_goes_on_by_itself() {
    let (one_addr, other) = (nobody().await, nobody().await);
    let gateway = Gateway::start(&one(&endpoints(&[one_addr, other])), vec![]).await;
    let before = std::cell::Cell::new(0);
    eventually(|| async {
        before.set(before.get() + 1);
        (gateway.ask("GET /v1/a", &[], b"").await.status == 503).then_some(())
    })
    .await;
    // Their lines come first.
    let before = gateway.access_log(before.get()).await.len();
    let asking = (0..100).map(|_| {
        let addr = gateway.addr;
        tokio::spawn(async move { ask(addr, "GET /v1/a", &[], b"").await })
    });
    for answer in asking.collect::<Vec<_>>() {
        let answer = answer.await.unwrap();
        assert_eq!((answer.status, answer.code().as_str()), (503, "upstream_unavailable"));
        assert_eq!(answer.header("retry-after"), "1");
    }
    // Nothing was tried, so nothing was waited for.
    let log = gateway.access_log(before + 100).await;
    assert!(log.iter().rev().take(100).all(|line| line["attempts"] == 0), "{log:?}");
    let back = Service::start_at(other, |_| json("{}")).await;
    eventually(|| async { (gateway.ask("GET /v1/a", &[], b"").await.status == 200).then_some(()) }).await;
    assert!(!back.take().is_empty());
}

#[tokio::test]
async fn an_endpoint_that_swallows_connections_costs_the_time_to_connect() {
    // Whoever does not accept and has a full queue does not answer any more.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let hole = listener.local_addr().unwrap();
    let mut held = Vec::new();
    while let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(hole)).await {
        held.push(stream);
    }
    let live = Service::start(|_| json("{}")).await;
    let upstream = endpoints(&[hole, live.addr]) + ", balance: round_robin, timeouts: {connect: 200ms}";
    let gateway = Gateway::start(&one(&upstream), vec![]).await;
    for line in ["POST /v1/a", "GET /v1/a", "POST /v1/b", "GET /v1/b"] {
        assert_eq!(gateway.ask(line, &[], b"").await.status, 200, "{line}");
    }
    assert_eq!(live.take().len(), 4);
    assert!(told(&gateway, hole).await["failures"]["timeout"].as_u64().unwrap() >= 1);
    let alone = Gateway::start(&one(&(endpoints(&[hole]) + ", timeouts: {connect: 200ms}")), vec![]).await;
    let answer = alone.ask("GET /v1/a", &[], b"").await;
    assert_eq!((answer.status, answer.code().as_str()), (504, "upstream_timeout"));
}

#[tokio::test]
async fn what_may_have_been_sent_is_sent_again_only_where_that_is_harmless() {
    for says in [&b""[..], b"HTTP/1.1 200 O"] {
        let (cut, asked) = abrupt(says).await;
        let live = Service::start(|_| json("{}")).await;
        let upstream = endpoints(&[cut, live.addr]) + ", balance: round_robin, eject: off, retry: {floor: 100}";
        let gateway = Gateway::start(&one(&upstream), vec![]).await;
        for line in ["GET /v1/a", "PUT /v1/a", "DELETE /v1/a"] {
            for _ in 0..4 {
                assert_eq!(gateway.ask(line, &[], b"").await.status, 200, "{line}");
            }
        }
        live.take();
        asked.store(0, Ordering::SeqCst);
        let mut failed = 0;
        for at in 0..12 {
            // One with a body comes piece by piece, one without is at hand as a whole.
            let body: &[u8] = if at % 4 < 2 { b"{}" } else { b"" };
            let answer = gateway.ask("POST /v1/a", &[], body).await;
            if answer.status != 200 {
                assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_broken"));
                failed += 1;
            }
        }
        // Each went to exactly one of them.
        assert_eq!((failed, asked.load(Ordering::SeqCst), live.take().len()), (6, 6, 6));
        // A write under a condition is not repeated either: the condition may have changed.
        let conditional = ["If-Match: \"1\""];
        let mut seen = 0;
        for _ in 0..4 {
            seen += usize::from(gateway.ask("PUT /v1/a", &conditional, b"{}").await.status == 502);
        }
        assert_eq!((seen, live.take().len()), (2, 2));
    }
}

#[tokio::test]
async fn an_endpoint_that_hangs_costs_one_attempt() {
    let (hung, live) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), Service::start(|_| json("{}")).await);
    let hung_addr = hung.local_addr().unwrap();
    let upstream = endpoints(&[hung_addr, live.addr])
        + ", balance: round_robin, eject: off, retry: {floor: 100}, timeouts: {attempt: 100ms}";
    let gateway = Gateway::start(&one(&upstream), vec![]).await;
    for _ in 0..4 {
        assert_eq!(gateway.ask("GET /v1/a", &[], b"").await.status, 200);
    }
    assert_eq!(live.take().len(), 4);
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(gateway.ask("POST /v1/a", &[], b"{}").await.status);
    }
    statuses.sort_unstable();
    assert_eq!((statuses, live.take().len()), (vec![200, 200, 504, 504], 2));
}

#[tokio::test]
async fn the_idle_endpoint_is_asked() {
    let gate = Arc::new(Semaphore::new(0));
    let service = || {
        let gate = gate.clone();
        Service::start_slow(move |seen: Seen| {
            let gate = gate.clone();
            async move {
                if seen.uri.path().ends_with("slow") {
                    let _ = gate.acquire().await;
                }
                json("{}")
            }
        })
    };
    let services = [service().await, service().await];
    let gateway = Gateway::start(&one(&endpoints(&[services[0].addr, services[1].addr])), vec![]).await;
    let addr = gateway.addr;
    let slow = tokio::spawn(async move { ask(addr, "GET /v1/slow", &[], b"").await });
    let busy = eventually(|| async { services.iter().position(|service| !service.take().is_empty()) }).await;
    for _ in 0..20 {
        assert_eq!(gateway.ask("GET /v1/quick", &[], b"").await.status, 200);
    }
    assert_eq!((services[busy].take().len(), services[1 - busy].take().len()), (0, 20));
    gate.add_permits(1);
    assert_eq!(slow.await.unwrap().status, 200);
}

#[tokio::test]
async fn a_storm_of_failures_is_not_made_much_worse() {
    let service = Service::start(|_| status(503)).await;
    let upstream = endpoints(&[service.addr])
        + ", retry: {attempts: 3, status: 503, share: 20, floor: 0, backoff: 1ms}, eject: off";
    let gateway = Gateway::start(&one(&upstream), vec![]).await;
    for _ in 0..100 {
        assert_eq!(gateway.ask("GET /v1/a", &[], b"").await.status, 503, "the last answer is the answer");
    }
    let seen = service.take().len();
    assert!((110..=120).contains(&seen), "{seen}");
    for _ in 0..10 {
        assert_eq!(gateway.ask("POST /v1/a", &[], b"{}").await.status, 503);
    }
    assert_eq!(service.take().len(), 10);
    let told = ask(gateway.admin, "GET /upstreams", &[], b"").await.json();
    assert!(told["upstreams"][0]["retries_refused"].as_u64().unwrap() > 50, "{told}");
}

/// A service that is well or not, as it is told.
pub(super) async fn moody() -> (Service, Arc<AtomicBool>) {
    let is_well = Arc::new(AtomicBool::new(true));
    let mood = is_well.clone();
    let answer = move |_: &Seen| -> Response { if mood.load(Ordering::SeqCst) { json("{}") } else { status(503) } };
    (Service::start(answer).await, is_well)
}

pub(super) async fn statuses(gateway: &Gateway, count: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..count {
        statuses.push(gateway.ask("GET /v1/a", &[], b"").await.status);
    }
    statuses
}

#[tokio::test]
async fn an_endpoint_that_fails_is_left_out_for_a_while_and_comes_back() {
    let ((bad, mood), good) = (moody().await, Service::start(|_| json("{}")).await);
    mood.store(false, Ordering::SeqCst);
    let upstream =
        endpoints(&[bad.addr, good.addr]) + ", balance: round_robin, retry: off, eject: {failures: 3, time: 2s}";
    let gateway = Gateway::start(&one(&upstream), vec![]).await;
    assert_eq!(statuses(&gateway, 6).await.iter().filter(|status| **status == 503).count(), 3);
    assert_eq!(told(&gateway, bad.addr).await["state"], "ejected");
    bad.take();
    assert_eq!(statuses(&gateway, 10).await, [200; 10]);
    assert!(bad.take().is_empty());
    mood.store(true, Ordering::SeqCst);
    eventually(|| async {
        gateway.ask("GET /v1/a", &[], b"").await;
        (!bad.take().is_empty()).then_some(())
    })
    .await;
    let told = told(&gateway, bad.addr).await;
    assert_eq!((told["state"].as_str(), told["ejections"].as_u64()), (Some("up"), Some(1)), "{told}");
}

#[tokio::test]
async fn never_too_many_are_left_out() {
    let services = [moody().await, moody().await, moody().await];
    for (_, mood) in &services {
        mood.store(false, Ordering::SeqCst);
    }
    let addrs: Vec<SocketAddr> = services.iter().map(|(service, _)| service.addr).collect();
    let upstream = endpoints(&addrs) + ", retry: off, eject: {failures: 1, time: 1m, share: 67, panic: 0}";
    let gateway = Gateway::start(&one(&upstream), vec![]).await;
    assert_eq!(statuses(&gateway, 30).await, [503; 30], "asked all the same, for what it is worth");
    let mut states = Vec::new();
    for addr in &addrs {
        states.push(told(&gateway, *addr).await["state"].as_str().unwrap().to_owned());
    }
    states.sort_unstable();
    assert_eq!(states, ["ejected", "ejected", "up"]);

    // With too few of them in use, those that were left out are used all the same.
    let upstream = endpoints(&addrs) + ", retry: off, eject: {failures: 1, time: 1m, share: 67, panic: 50}";
    std::fs::write(gateway.rules("orders/service.yaml"), &one(&upstream)[0].1).unwrap();
    assert_eq!(gateway.reload().await.0, 200);
    for (service, _) in &services {
        service.take();
    }
    statuses(&gateway, 60).await;
    assert!(services.iter().all(|(service, _)| !service.take().is_empty()));
}

#[tokio::test]
async fn what_is_known_of_an_endpoint_outlives_a_reload() {
    let ((bad, mood), good) = (moody().await, Service::start(|_| json("{}")).await);
    mood.store(false, Ordering::SeqCst);
    let eject = ", balance: round_robin, retry: off, eject: {failures: 3, time: 1m}";
    let upstream = endpoints(&[bad.addr, good.addr]) + eject;
    let gateway = Gateway::start(&one(&upstream), vec![]).await;
    statuses(&gateway, 6).await;
    assert_eq!(told(&gateway, bad.addr).await["state"], "ejected");
    let third = Service::start(|_| json("{}")).await;
    let upstream = endpoints(&[third.addr, bad.addr]) + eject + ", timeouts: {response: 3s}";
    std::fs::write(gateway.rules("orders/service.yaml"), &one(&upstream)[0].1).unwrap();
    assert_eq!(gateway.reload().await.0, 200);
    bad.take();
    assert_eq!(statuses(&gateway, 10).await, [200; 10]);
    assert_eq!((bad.take().len(), good.take().len(), third.take().len()), (0, 3, 10));
    let told = told(&gateway, bad.addr).await;
    assert_eq!((told["state"].as_str(), told["requests"].as_u64()), (Some("ejected"), Some(3)), "{told}");
}

#[tokio::test]
async fn settings_may_name_several_endpoints() {
    let services = [Service::start(|_| json("{}")).await, Service::start(|_| json("{}")).await];
    let set: Vec<Value> = services.iter().map(|service| Value::from(format!("http://{}", service.addr))).collect();
    let rules = one("endpoints: [\"http://127.0.0.1:1\"], balance: round_robin");
    let gateway = Gateway::start(&rules, vec![("upstreams.orders.v1", Value::from(set))]).await;
    assert_eq!(statuses(&gateway, 10).await, [200; 10]);
    assert_eq!(services.map(|service| service.take().len()), [5, 5]);
}

#[tokio::test]
async fn a_version_has_times_and_names_of_its_own() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (told_head, heads) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.windows(4).any(|four| four == b"\r\n\r\n") {
            stream.read_buf(&mut head).await.unwrap();
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n").await.unwrap();
        let _ = told_head.send(String::from_utf8(head).unwrap());
        // Never silent for long, and never done.
        while stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let upstream = endpoints(&[addr]) + ", host: shop.internal, timeouts: {response: 200ms, total: 300ms}";
    let gateway = Gateway::start(&one(&upstream), vec![]).await;
    let bytes = raw(gateway.addr, b"GET /v1/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(bytes.starts_with(b"HTTP/1.1 200") && bytes.len() < 1_000_000);
    assert!(heads.await.unwrap().to_ascii_lowercase().contains("host: shop.internal\r\n"));
    assert_eq!(gateway.access_log(1).await[0]["outcome"], "aborted");
}
