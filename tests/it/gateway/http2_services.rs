//! Services that speak HTTP/2.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bifocal::settings::Value;
use bytes::Bytes;
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::{Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Barrier, mpsc};

use super::support::*;

/// Rules of a service whose newer version speaks this.
pub(super) fn speaking(protocol: &str, service: SocketAddr) -> Vec<(&'static str, String)> {
    let text = format!(
        "versions:\n  v1: {{answered_by: v2}}\n  v2: {{upstream: {{endpoints: [\"http://{service}\"], protocol: {protocol}}}}}\n\
         negotiate: [{{header: API-Version}}]\ndefault: v2\n"
    );
    let rules = "types:\n  Order:\n    - total = amount\nroutes:\n  - POST /orders = POST /orders: {request: Order, 2XX: Order}\n";
    vec![("orders/service.yaml", text), ("orders/v1-v2.yaml", rules.to_owned())]
}

pub(super) type Server = Connection<TcpStream, Bytes>;

/// Has every connection served by `serve`, which is told how many there were before.
pub(super) async fn serve<F: Future<Output = ()> + Send + 'static>(
    serve: impl Fn(usize, Server) -> F + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for number in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(connection) = h2::server::handshake(stream).await else { continue };
            tokio::spawn(serve(number, connection));
        }
    });
    addr
}

/// Reads a whole body.
pub(super) async fn whole(body: &mut RecvStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        bytes.extend_from_slice(&data);
    }
    bytes
}

fn say(mut respond: SendResponse<Bytes>, text: &str) {
    let response = Response::builder().header("content-type", "application/json").body(()).unwrap();
    let mut sending = respond.send_response(response, false).unwrap();
    sending.send_data(Bytes::from(text.to_owned()), true).unwrap();
}

#[tokio::test]
async fn many_requests_share_a_connection() {
    let connections = Arc::new(AtomicUsize::new(0));
    let (counted, together) = (connections.clone(), Arc::new(Barrier::new(20)));
    let service = serve(move |_, mut connection| {
        counted.fetch_add(1, Ordering::Relaxed);
        let together = together.clone();
        async move {
            while let Some(Ok((request, respond))) = connection.accept().await {
                let together = together.clone();
                tokio::spawn(async move {
                    let (head, mut body) = request.into_parts();
                    let asked = whole(&mut body).await;
                    assert_eq!(String::from_utf8_lossy(&asked), "{\"amount\": 5}");
                    assert!(head.headers.get("host").is_none() && head.headers.get("connection").is_none(), "{head:?}");
                    assert!(
                        head.uri.authority().is_some() && head.headers.contains_key("x-forwarded-host"),
                        "{head:?}"
                    );
                    // All of them are there before the first one is answered.
                    together.wait().await;
                    say(respond, "{\"amount\": 6}");
                });
            }
        }
    })
    .await;
    let gateway = Gateway::start(&speaking("http2", service), vec![]).await;
    let mut set = tokio::task::JoinSet::new();
    let addr = gateway.addr;
    for _ in 0..20 {
        set.spawn(async move {
            let headers = ["API-Version: v1", "Content-Type: application/json"];
            ask(addr, "POST /orders", &headers, b"{\"total\": 5}").await
        });
    }
    while let Some(answer) = set.join_next().await {
        let answer = answer.unwrap();
        assert_eq!((answer.status, answer.text()), (200, "{\"total\": 6}"), "{answer:?}");
    }
    let threads = std::thread::available_parallelism().unwrap().get();
    assert!(connections.load(Ordering::Relaxed) <= threads, "{connections:?}");
}

/// Asks a service whose first connection treats its second request so; whoever gets it then answers.
async fn asked_again(
    refuse: impl Fn(&mut Server, &mut SendResponse<Bytes>) + Copy + Send + Sync + 'static,
    chunked: bool,
) {
    let (seen, mut told) = mpsc::channel(64);
    let service = serve(move |number, mut connection| {
        let seen = seen.clone();
        async move {
            let mut requests = 0;
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                requests += 1;
                if number == 0 && requests == 1 {
                    refuse(&mut connection, &mut respond);
                    let _ = seen.try_send((number, String::new()));
                    continue;
                }
                let seen = seen.clone();
                tokio::spawn(async move {
                    let body = whole(&mut request.into_body()).await;
                    let _ = seen.try_send((number, String::from_utf8(body).unwrap()));
                    say(respond, "{}");
                });
            }
        }
    })
    .await;
    let gateway = Gateway::start(&speaking("http2", service), vec![]).await;
    let answer = if chunked {
        let request = "POST /any HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
                       4\r\nbody\r\n0\r\n\r\n";
        parse(&raw(gateway.addr, request.as_bytes()).await, false)
    } else {
        gateway.ask("POST /any", &[], b"body").await
    };
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(told.recv().await.unwrap(), (0, String::new()));
    assert_eq!(told.recv().await.unwrap().1, "body");
    assert!(told.try_recv().is_err(), "once");
}

#[tokio::test]
async fn what_was_refused_unseen_is_sent_again() {
    for chunked in [false, true] {
        asked_again(|_, respond| respond.send_reset(Reason::REFUSED_STREAM), chunked).await;
    }
}

#[tokio::test]
async fn what_came_after_the_last_is_sent_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let service = listener.local_addr().unwrap();
    tokio::spawn(async move {
        // Looks at nothing, and goes away with a stream before the first as its last one.
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
        let mut bytes = Vec::new();
        // What else HTTP/2 says may come behind it.
        while !bytes.windows(4).any(|part| part == b"body") {
            stream.read_buf(&mut bytes).await.unwrap();
        }
        let goes_away = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        stream.write_all(&goes_away).await.unwrap();
        let (other, _) = listener.accept().await.unwrap();
        let mut connection: Server = h2::server::handshake(other).await.unwrap();
        while let Some(Ok((request, respond))) = connection.accept().await {
            tokio::spawn(async move {
                assert_eq!(whole(&mut request.into_body()).await, b"body");
                say(respond, "{}");
            });
        }
    });
    let gateway = Gateway::start(&speaking("http2", service), vec![]).await;
    let answer = gateway.ask("POST /any", &[], b"body").await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn what_may_have_been_seen_is_not_sent_again() {
    let (seen, mut told) = mpsc::channel(64);
    let service = serve(move |_, mut connection| {
        let seen = seen.clone();
        async move {
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                let _ = seen.try_send(());
                respond.send_reset(Reason::INTERNAL_ERROR);
            }
        }
    })
    .await;
    let gateway = Gateway::start(&speaking("http2", service), vec![]).await;
    let answer = gateway.ask("POST /any", &[], b"body").await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_broken"));
    told.recv().await.unwrap();
    assert!(told.try_recv().is_err());
}

#[tokio::test]
async fn a_connection_that_goes_away_finishes_what_it_has() {
    let service = serve(|_, mut connection| async move {
        // Says with each request that it is the last one; the answers come all the same.
        while let Some(Ok((request, respond))) = connection.accept().await {
            connection.graceful_shutdown();
            tokio::spawn(async move {
                let mut body: RecvStream = Request::into_body(request);
                whole(&mut body).await;
                say(respond, "{}");
            });
        }
    })
    .await;
    let gateway = Gateway::start(&speaking("http2", service), vec![]).await;
    for _ in 0..20 {
        let answer = gateway.ask("POST /any", &[], b"body").await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

#[tokio::test]
async fn a_body_over_its_limit_is_the_callers_fault() {
    let service = serve(|_, mut connection| async move {
        while let Some(Ok((request, respond))) = connection.accept().await {
            tokio::spawn(async move {
                let mut body = request.into_body();
                while let Some(Ok(data)) = body.data().await {
                    let _ = body.flow_control().release_capacity(data.len());
                }
                drop(respond);
            });
        }
    })
    .await;
    let flags = vec![("limits.body", Value::from("64 KiB"))];
    let gateway = Gateway::start(&speaking("http2", service), flags).await;
    let chunk = format!("8000\r\n{}\r\n", "x".repeat(0x8000)).repeat(4);
    let request = format!("POST /any HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}0\r\n\r\n");
    let answer = parse(&raw(gateway.addr, request.as_bytes()).await, false);
    assert_eq!((answer.status, answer.code().as_str()), (413, "body_too_large"));
}

#[tokio::test]
async fn without_tls_auto_is_http1() {
    let service = Service::start(echo).await;
    let gateway = Gateway::start(&speaking("auto", service.addr), vec![]).await;
    assert_eq!(gateway.ask("POST /any", &[], b"{}").await.status, 200);
    service.take_one();
}

#[tokio::test]
async fn a_service_that_does_not_speak_it_is_broken() {
    let service = Service::start(echo).await;
    let gateway = Gateway::start(&speaking("http2", "127.0.0.1:1".parse().unwrap()), vec![]).await;
    let answer = gateway.ask("POST /any", &[], b"{}").await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_unreachable"));
    assert!(service.take().is_empty());
}
