//! What messages have besides a head and a body, and callers that say no more.

use axum::response::IntoResponse;
use bifocal::settings::Value;
use bytes::Bytes;
use http::{HeaderMap, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

use super::support::*;

/// A service that says this to everybody; what it is asked, as text.
async fn saying(said: impl Into<Vec<u8>>) -> (std::net::SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (asked, asks) = mpsc::channel(64);
    let said = said.into();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (said, asked) = (said.clone(), asked.clone());
            tokio::spawn(async move {
                let mut bytes = Vec::new();
                loop {
                    stream.read_buf(&mut bytes).await.unwrap();
                    let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
                    let is_chunked = text.contains("transfer-encoding");
                    if text.ends_with("\r\n\r\n") && (!is_chunked || text.contains("\r\n0\r\n")) {
                        let _ = asked.try_send(text);
                        break;
                    }
                }
                let _ = stream.write_all(&said).await;
                // Until it is closed.
                let _ = stream.read_to_end(&mut bytes).await;
            });
        }
    });
    (addr, asks)
}

#[tokio::test]
async fn harmless_trailers_pass_both_ways() {
    let said = "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n\
                0\r\nX-Sum: 2\r\nContent-Length: 9\r\nX-Unannounced: 1\r\n\r\n";
    let (service, mut asks) = saying(said).await;
    let gateway = Gateway::start(&orders(None, Some(service), "v2"), vec![]).await;
    let request = |te: &str| {
        format!(
            "POST /v2/a HTTP/1.1\r\nHost: a\r\n{te}Connection: close, TE\r\nTrailer: X-In\r\nTransfer-Encoding: chunked\r\n\r\n\
             2\r\n{{}}\r\n0\r\nX-In: 3\r\nAuthorization: x\r\n\r\n"
        )
    };
    let answer = raw(gateway.addr, request("TE: trailers\r\n").as_bytes()).await;
    let text = String::from_utf8(answer).unwrap();
    assert!(text.ends_with("2\r\nok\r\n0\r\nx-sum: 2\r\n\r\n"), "{text}");
    let asked = asks.recv().await.unwrap();
    assert!(asked.ends_with("0\r\nx-in: 3\r\n\r\n") && !asked.contains("authorization"), "{asked}");
    assert!(asked.contains("\r\nte: trailers\r\n"), "{asked}");
    // Who takes none gets none.
    let text = String::from_utf8(raw(gateway.addr, request("").as_bytes()).await).unwrap();
    assert!(text.ends_with("2\r\nok\r\n0\r\n\r\n"), "{text}");
    assert!(!asks.recv().await.unwrap().contains("\r\nte:"));

    // In HTTP/2 they need not be announced.
    let (mut client, connection) =
        h2::client::handshake(TcpStream::connect(gateway.addr).await.unwrap()).await.unwrap();
    tokio::spawn(connection);
    let asking =
        Request::post(format!("http://{}/v2/a", gateway.addr)).header("te", "trailers").header("trailer", "X-In");
    let (answer, mut sending) = client.send_request(asking.body(()).unwrap(), false).unwrap();
    sending.send_data(Bytes::from("{}"), false).unwrap();
    sending.send_trailers(HeaderMap::from_iter([("x-in".parse().unwrap(), "4".parse().unwrap())])).unwrap();
    let mut body = answer.await.unwrap().into_body();
    while let Some(data) = body.data().await {
        body.flow_control().release_capacity(data.unwrap().len()).unwrap();
    }
    let trailers = body.trailers().await.unwrap().unwrap();
    assert!(trailers["x-sum"] == "2" && trailers["x-unannounced"] == "1", "{trailers:?}");
    assert!(trailers.get("content-length").is_none());
    assert!(asks.recv().await.unwrap().ends_with("0\r\nx-in: 4\r\n\r\n"));
}

#[tokio::test]
async fn cookies_that_http2_sends_in_parts_are_one_for_services() {
    let (service, mut asks) = saying("HTTP/1.1 204 No Content\r\n\r\n").await;
    let gateway = Gateway::start(&orders(None, Some(service), "v2"), vec![]).await;
    let (mut client, connection) =
        h2::client::handshake(TcpStream::connect(gateway.addr).await.unwrap()).await.unwrap();
    tokio::spawn(connection);
    let mut asking = Request::get(format!("http://{}/v2/a", gateway.addr));
    for part in ["a=1", "b=2; c=3", "d=\u{e9}"] {
        asking = asking.header("cookie", part);
    }
    let (answer, _) = client.send_request(asking.body(()).unwrap(), true).unwrap();
    assert_eq!(answer.await.unwrap().status(), 204);
    let asked = asks.recv().await.unwrap();
    assert!(asked.contains("\r\ncookie: a=1; b=2; c=3; d="), "{asked}");
    assert_eq!(asked.matches("cookie").count(), 1, "{asked}");
}

#[tokio::test]
async fn what_is_said_before_an_answer_is_not_the_answer() {
    let said = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n\
                HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let (service, _asks) = saying(said).await;
    let gateway = Gateway::start(&orders(None, Some(service), "v2"), vec![]).await;
    let answer = gateway.ask("GET /v2/a", &[], b"").await;
    assert_eq!((answer.status, answer.text(), answer.header("link")), (200, "ok", ""));
}

#[tokio::test]
async fn a_flood_of_what_comes_before_an_answer_ends() {
    let (service, _asks) = saying("HTTP/1.1 102 Processing\r\n\r\n".repeat(1 << 20)).await;
    let flags = vec![("timeouts.response", Value::from("1s"))];
    let gateway = Gateway::start(&orders(None, Some(service), "v2"), flags).await;
    let answer = gateway.ask("GET /v2/a", &[], b"").await;
    assert_eq!((answer.status, answer.code().as_str()), (504, "upstream_timeout"));
    let answer = gateway.ask("GET /v1/nowhere", &[], b"").await;
    assert_eq!(answer.status, 404, "others are served");
}

#[tokio::test]
async fn a_body_is_asked_for_once_it_is_wanted() {
    let service = Service::start(echo).await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    let mut caller = TcpStream::connect(gateway.addr).await.unwrap();
    let head = "POST /v1/orders HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n\
                Connection: close\r\nContent-Length: 2\r\n\r\n";
    caller.write_all(head.as_bytes()).await.unwrap();
    let mut bytes = vec![0; 25];
    caller.read_exact(&mut bytes).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&bytes), "HTTP/1.1 100 Continue\r\n\r\n");
    caller.write_all(b"{}").await.unwrap();
    let mut rest = Vec::new();
    caller.read_to_end(&mut rest).await.unwrap();
    assert_eq!(parse(&rest, false).status, 200);
    assert_eq!(service.take_one().header("expect"), "");
    // What is refused by its head is not asked for.
    let refused = head.replace("/v1/orders", "/v1/nowhere");
    let answer = raw(gateway.addr, refused.as_bytes()).await;
    assert!(answer.starts_with(b"HTTP/1.1 404 "), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn who_has_asked_and_says_no_more_is_answered() {
    let service = Service::start(echo).await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    let request =
        "POST /v1/orders HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    let mut caller = TcpStream::connect(gateway.addr).await.unwrap();
    caller.write_all(request.as_bytes()).await.unwrap();
    caller.shutdown().await.unwrap();
    let mut bytes = Vec::new();
    tokio::time::timeout(PATIENCE, caller.read_to_end(&mut bytes)).await.unwrap().unwrap();
    assert_eq!(parse(&bytes, false).status, 200);
    service.take_one();
    // Half a question is none.
    let mut caller = TcpStream::connect(gateway.addr).await.unwrap();
    caller.write_all(&request.as_bytes()[..request.len() - 1]).await.unwrap();
    caller.shutdown().await.unwrap();
    let _ = tokio::time::timeout(PATIENCE, caller.read_to_end(&mut bytes)).await.unwrap();
    assert!(service.take().is_empty());
}

#[tokio::test]
async fn work_for_a_caller_that_is_gone_ends_soon() {
    let (gone, is_gone) = oneshot::channel::<()>();
    let held = std::sync::Arc::new(std::sync::Mutex::new(Some(gone)));
    let (asked, mut asks) = mpsc::channel(64);
    let service = Service::start_slow(move |_| {
        // Dropped where the request is: when its connection ends.
        let gone = held.lock().unwrap().take();
        let _ = asked.try_send(());
        async move {
            std::future::pending::<()>().await;
            drop(gone);
            status(204)
        }
    })
    .await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    let mut caller = TcpStream::connect(gateway.addr).await.unwrap();
    caller.write_all(b"GET /v2/a HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    asks.recv().await.unwrap();
    let begun = std::time::Instant::now();
    drop(caller);
    let _ = tokio::time::timeout(PATIENCE, is_gone).await.unwrap();
    assert!(begun.elapsed() < std::time::Duration::from_secs(5), "not only when the service is too late");
    assert_eq!(gateway.access_log(1).await[0]["status"], 499);
}

#[tokio::test]
async fn the_server_as_a_whole_has_options() {
    let service = Service::start(echo).await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    let answer = gateway.ask("OPTIONS *", &[], b"").await;
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    assert_eq!(gateway.ask("GET *", &[], b"").await.status, 400);
    assert!(service.take().is_empty());
}

#[tokio::test]
async fn trailers_with_what_only_heads_have_end_the_connection() {
    let service = Service::start(echo).await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    let frame = |kind: u8, flags: u8, payload: &[u8]| {
        [&[0, 0, u8::try_from(payload.len()).unwrap(), kind, flags, 0, 0, 0, u8::from(kind < 2)], payload].concat()
    };
    let head = b"\x83\x86\x00\x05:path\x05/v2/a\x00\x0a:authority\x01a";
    let bytes = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(4, 0, b""),
        frame(1, 4, head),
        frame(0, 0, b"{}"),
        frame(1, 5, b"\x00\x05:path\x06/other"),
    ]
    .concat();
    let answer = raw(gateway.addr, &bytes).await;
    let goes_away = answer.windows(9).any(|nine| nine[2] >= 8 && nine[3] == 7);
    assert!(goes_away, "{answer:?}");
    assert!(service.take().is_empty());
}

#[tokio::test]
async fn one_spelling_of_a_path_is_routed_told_and_asked_for() {
    let service = Service::start(|_| json(NEW)).await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    for path in ["/%76%31/orders/%7e%c3%a4", "/v1/orders/~%C3%A4", "http://localhost/v1/orders/%7E%C3%A4"] {
        assert_eq!(gateway.ask(&format!("GET {path}"), &[], b"").await.status, 200, "{path}");
        assert_eq!(service.take_one().uri.path(), "/v2/orders/~%C3%A4", "{path}");
    }
    for line in gateway.access_log(3).await {
        assert_eq!((&line["path"], &line["route"]), (&"/v1/orders/~%C3%A4".into(), &"GET /v1/orders/{id}".into()));
    }
}

#[tokio::test]
async fn the_version_header_has_the_name_that_is_set() {
    let service = Service::start(|_| ([("x-answered", "v9")], "{}").into_response()).await;
    let flags = vec![("version_header", Value::from("X-Answered"))];
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), flags).await;
    let answer = gateway.ask("GET /v2/a", &["X-Answered: v8"], b"").await;
    assert_eq!((answer.header("x-answered"), answer.header("bifocal-version")), ("asked=v2, served=v2", ""));
    assert_eq!(service.take_one().header("x-answered"), "");
}
