//! The other end of a connection that is gone without a word.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::response::Response;
use bifocal::settings::Value;
use http::{Request, Version};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::http2_services::{serve, speaking, whole};
use super::support::*;

/// Takes what it is given and passes it on, until it is told to take and say nothing: the system beneath it answers, as
/// that of a proxy does.
struct Passage {
    addr: SocketAddr,
    swallows: Arc<AtomicBool>,
}

impl Passage {
    async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (addr, swallows) = (listener.local_addr().unwrap(), Arc::new(AtomicBool::new(false)));
        let told = swallows.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                // Those that come later are not swallowed.
                let told = if told.load(Ordering::SeqCst) { Arc::default() } else { told.clone() };
                let Ok(far) = TcpStream::connect(target).await else { continue };
                let (near, far) = (near.into_split(), far.into_split());
                tokio::spawn(pass(near.0, far.1, told.clone()));
                tokio::spawn(pass(far.0, near.1, told));
            }
        });
        Self { addr, swallows }
    }

    fn swallow(&self) {
        self.swallows.store(true, Ordering::SeqCst);
    }
}

async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, swallows: Arc<AtomicBool>) {
    let mut bytes = vec![0; 16 << 10];
    while let Ok(count) = from.read(&mut bytes).await {
        let is_swallowed = swallows.load(Ordering::SeqCst);
        if count == 0 && is_swallowed {
            // Whoever has closed is not heard of either.
            return std::future::pending().await;
        }
        if count == 0 || !is_swallowed && to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn a_service_that_vanishes_is_noticed_while_it_owes_an_answer() {
    let asked = Arc::new(Semaphore::new(0));
    let seen = asked.clone();
    let service = serve(move |_, mut connection| {
        let seen = seen.clone();
        async move {
            while let Some(Ok((mut request, mut respond))) = connection.accept().await {
                let seen = seen.clone();
                tokio::spawn(async move {
                    let body = whole(request.body_mut()).await;
                    seen.add_permits(1);
                    if body == b"wait" {
                        std::future::pending::<()>().await;
                    }
                    let _ = respond.send_response(http::Response::new(()), true);
                });
            }
        }
    })
    .await;
    let passage = Passage::to(service).await;
    let flags = vec![("timeouts.peer", Value::from("3s")), ("timeouts.response", Value::from("10m"))];
    let gateway = Gateway::start(&speaking("http2", passage.addr), flags).await;
    let addr = gateway.addr;
    let post = move |body: &'static str| async move { ask(addr, "POST /x", &[], body.as_bytes()).await };
    assert_eq!(post("now").await.status, 200);
    let waiting = tokio::spawn(post("wait"));
    asked.acquire_many(2).await.unwrap().forget();
    passage.swallow();
    let lost = waiting.await.unwrap();
    assert_eq!((lost.status, lost.code().as_str()), (502, "upstream_broken"), "{lost:?}");
    let next = post("now").await;
    assert_eq!(next.status, 200, "on another connection: {next:?}");
}

#[tokio::test]
async fn a_caller_of_http2_that_vanishes_is_noticed_and_one_that_is_silent_is_not_taken_for_gone() {
    let (service, gate) = Service::start_gated(|_| Response::default()).await;
    let flags = vec![("timeouts.idle", Value::from("500ms")), ("timeouts.header", Value::from("500ms"))];
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), flags).await;
    let begin = async |addr: SocketAddr, path: &str| {
        let stream = TcpStream::connect(addr).await.unwrap();
        let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
        let driving = tokio::spawn(connection);
        let request = Request::builder().uri(format!("http://localhost{path}")).version(Version::HTTP_2);
        let (response, _) = sender.send_request(request.body(()).unwrap(), true).unwrap();
        (response, driving)
    };
    let passage = Passage::to(gateway.addr).await;
    let (lost, _driving) = begin(passage.addr, "/v2/lost").await;
    let (kept, _driving_too) = begin(gateway.addr, "/v2/kept").await;
    let mut seen = 0;
    eventually(|| {
        seen += service.take().len();
        std::future::ready((seen == 2).then_some(()))
    })
    .await;
    passage.swallow();
    let log = gateway.access_log(1).await;
    assert_eq!(
        (log[0]["path"].as_str(), log[0]["outcome"].as_str()),
        (Some("/v2/lost"), Some("client_gone")),
        "{log:?}"
    );
    drop(lost);
    // The other one has said nothing for as long, but answers pings.
    gate.add_permits(2);
    assert_eq!(kept.await.unwrap().status(), 200);
}

/// Whether the system asks the other ends of connections that lead from here to there, as Linux tells: their timer is the
/// one of keep-alive.
fn is_asked(is_it: impl Fn(u16, u16) -> bool) -> Vec<bool> {
    let port = |address: &str| u16::from_str_radix(address.split_once(':').unwrap().1, 16).unwrap();
    let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    // Those that are established.
    let found = rows.filter(|row| row[3] == "01" && is_it(port(row[1]), port(row[2])));
    found.map(|row| row[5].starts_with("02:")).collect()
}

#[tokio::test]
async fn tcp_asks_callers_and_services_that_are_silent() {
    let service = Service::start(|_| json(NEW)).await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    let mut caller = TcpStream::connect(gateway.addr).await.unwrap();
    caller.write_all(b"GET /v2/orders/7 HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut told = Vec::new();
    while !told.ends_with(NEW.as_bytes()) {
        assert!(caller.read_buf(&mut told).await.unwrap() > 0);
    }
    let (port, theirs) = (gateway.addr.port(), caller.local_addr().unwrap().port());
    // What was sent must have arrived first: until then there is another timer.
    eventually(|| async { is_asked(|from, to| (from, to) == (port, theirs)).contains(&true).then_some(()) }).await;
    eventually(|| async { is_asked(|_, to| to == service.addr.port()).contains(&true).then_some(()) }).await;
}
