//! Callers change to another protocol.

use std::net::SocketAddr;

use bifocal::settings::Value;
use bytes::Bytes;
use h2::ext::Protocol;
use http::{Method, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::support::*;

const ACCEPTED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// A service for one connection at a time, in raw bytes.
struct Raw(TcpListener, SocketAddr);

impl Raw {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        Self(listener, addr)
    }

    /// The next connection, and the head of what is asked on it.
    async fn accept(&self) -> (TcpStream, String) {
        let accepting = async {
            let (mut stream, _) = self.0.accept().await.unwrap();
            let head = head(&mut stream).await;
            (stream, head)
        };
        tokio::time::timeout(PATIENCE, accepting).await.unwrap()
    }
}

/// Reads up to the end of a head, and not a byte more.
async fn head(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(stream.read_u8().await.expect("a whole head"));
    }
    String::from_utf8(bytes).unwrap().to_ascii_lowercase()
}

async fn exactly(stream: &mut TcpStream, text: &str) {
    let mut bytes = vec![0; text.len()];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut bytes)).await.unwrap().unwrap();
    assert_eq!(String::from_utf8_lossy(&bytes), text);
}

fn rules(service: SocketAddr) -> Vec<(&'static str, String)> {
    let mut rules = orders(None, Some(service), "v2");
    rules[1].1 += "  - GET /v1/live = GET /v2/stream\n";
    rules
}

fn asking(path: &str, protocol: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: a.example\r\nConnection: keep-alive, Upgrade, X-Own\r\nUpgrade: {protocol}\r\n\
         X-Own: 1\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

async fn caller(gateway: &Gateway, bytes: &str) -> TcpStream {
    let mut stream = TcpStream::connect(gateway.addr).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn bytes_pass_both_ways_once_the_service_has_agreed() {
    let service = Raw::start().await;
    let gateway = Gateway::start(&rules(service.1), vec![]).await;
    for (path, asked_for) in [("/v2/live", "/v2/live"), ("/v1/live?a=1", "/v2/stream?a=1")] {
        let mut caller = caller(&gateway, &(asking(path, "WebSocket") + "early")).await;
        let (mut stream, asked) = service.accept().await;
        assert!(asked.starts_with(&format!("get {asked_for} http/1.1\r\n")), "{asked}");
        for line in
            ["connection: upgrade\r\n", "upgrade: websocket\r\n", "sec-websocket-key: dghlihnhbxbszsbub25jzq==\r\n"]
        {
            assert!(asked.contains(line), "{asked}");
        }
        assert!(!asked.contains("x-own"), "{asked}");
        // Nothing more has come, though more was sent: the gateway has read it with the head.
        assert_eq!(stream.try_read(&mut [0; 9]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
        stream.write_all(ACCEPTED.as_bytes()).await.unwrap();
        stream.write_all(b"hello").await.unwrap();
        let answer = head(&mut caller).await;
        assert!(answer.starts_with("http/1.1 101 "), "{answer}");
        for line in
            ["connection: upgrade\r\n", "upgrade: websocket\r\n", "bifocal-version: asked=", "sec-websocket-accept: "]
        {
            assert!(answer.contains(line), "{answer}");
        }
        exactly(&mut caller, "hello").await;
        exactly(&mut stream, "early").await;
        caller.write_all(b" and late").await.unwrap();
        exactly(&mut stream, " and late").await;
        let metrics = ask(gateway.admin, "GET /metrics", &[], b"").await;
        assert!(metrics.text().contains("bifocal_tunnels 1\n"), "{}", metrics.text());
        // Each side may end for itself.
        caller.shutdown().await.unwrap();
        assert_eq!(stream.read(&mut [0; 9]).await.unwrap(), 0);
        stream.write_all(b"bye").await.unwrap();
        drop(stream);
        exactly(&mut caller, "bye").await;
        assert_eq!(caller.read(&mut [0; 9]).await.unwrap(), 0);
    }
    for (line, route) in gateway.access_log(2).await.iter().zip(["", "GET /v1/live"]) {
        assert_eq!((&line["status"], &line["outcome"]), (&101.into(), &"ok".into()), "{line}");
        assert_eq!((&line["request_bytes"], &line["response_bytes"]), (&14.into(), &8.into()), "{line}");
        assert_eq!(line["route"].as_str().unwrap_or_default(), route);
    }
    let metrics = ask(gateway.admin, "GET /metrics", &[], b"").await;
    for line in ["bifocal_upgrades_total{protocol=\"websocket\",result=\"switched\"} 2\n", "bifocal_tunnels 0\n"] {
        assert!(metrics.text().contains(line), "{}", metrics.text());
    }
}

#[tokio::test]
async fn what_a_service_says_instead_is_its_answer() {
    let service = Raw::start().await;
    let gateway = Gateway::start(&rules(service.1), vec![]).await;
    for (said, status) in [
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", 403),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n", 200),
        ("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: pets\r\n\r\n", 502),
        ("HTTP/1.1 101 Switching Protocols\r\n\r\n", 502),
        ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket, pets\r\n\r\n", 502),
    ] {
        let mut caller = caller(&gateway, &asking("/v2/live", "websocket")).await;
        let (mut stream, _) = service.accept().await;
        stream.write_all(said.as_bytes()).await.unwrap();
        let answer = head(&mut caller).await;
        assert!(answer.starts_with(&format!("http/1.1 {status} ")), "{said}: {answer}");
        assert!(!answer.contains("upgrade"), "{said}: {answer}");
    }
}

#[tokio::test]
async fn other_protocols_are_not_asked_for() {
    let service = Service::start(|_| json("{}")).await;
    let flags = vec![("upgrades", Value::from(vec!["pets/1"]))];
    let gateway = Gateway::start(&rules(service.addr), flags).await;
    for protocol in ["h2c", "websocket", "TLS/1.0"] {
        let mut caller = caller(&gateway, &asking("/v2/live", protocol)).await;
        assert!(head(&mut caller).await.starts_with("http/1.1 200 "), "{protocol}");
        let seen = service.take_one();
        assert_eq!((seen.header("upgrade"), seen.header("connection")), ("", ""), "{protocol}");
    }
    let mut caller = caller(&gateway, &asking("/v2/live", "h2c, Pets/1")).await;
    assert!(head(&mut caller).await.starts_with("http/1.1 200 "));
    assert_eq!(service.take_one().header("upgrade"), "pets/1");
}

#[tokio::test]
async fn what_rules_translate_cannot_change_its_protocol() {
    let service = Service::start(|_| json("{}")).await;
    let gateway = Gateway::start(&rules(service.addr), vec![]).await;
    let mut caller = caller(&gateway, &asking("/v1/orders/7", "websocket")).await;
    assert!(head(&mut caller).await.starts_with("http/1.1 501 "));
    assert!(service.take().is_empty());
}

#[tokio::test]
async fn a_silent_tunnel_ends() {
    let service = Raw::start().await;
    let gateway = Gateway::start(&rules(service.1), vec![("timeouts.tunnel", Value::from("400ms"))]).await;
    let mut caller = caller(&gateway, &asking("/v2/live", "websocket")).await;
    let (mut stream, _) = service.accept().await;
    stream.write_all(ACCEPTED.as_bytes()).await.unwrap();
    head(&mut caller).await;
    assert_eq!(caller.read(&mut [0; 9]).await.unwrap(), 0);
    assert_eq!(stream.read(&mut [0; 9]).await.unwrap(), 0);
    assert_eq!(gateway.access_log(1).await[0]["outcome"], "aborted");
}

#[tokio::test]
async fn tunnels_end_with_the_drain_time() {
    let service = Raw::start().await;
    let mut gateway = Gateway::start(&rules(service.1), vec![("timeouts.drain", Value::from("2s"))]).await;
    let mut caller = caller(&gateway, &asking("/v2/live", "websocket")).await;
    let (mut stream, _) = service.accept().await;
    stream.write_all(ACCEPTED.as_bytes()).await.unwrap();
    head(&mut caller).await;
    gateway.stop();
    // Until then they go on.
    caller.write_all(b"still").await.unwrap();
    exactly(&mut stream, "still").await;
    drop(stream.shutdown().await);
    assert_eq!(caller.read(&mut [0; 9]).await.unwrap(), 0);
    assert!(gateway.stopped().await, "nothing was cut off");
}

#[tokio::test]
async fn there_are_only_so_many() {
    let service = Raw::start().await;
    let gateway = Gateway::start(&rules(service.1), vec![("limits.tunnels", Value::from(1))]).await;
    let mut first = caller(&gateway, &asking("/v2/live", "websocket")).await;
    let (mut stream, _) = service.accept().await;
    stream.write_all(ACCEPTED.as_bytes()).await.unwrap();
    head(&mut first).await;
    let mut second = caller(&gateway, &asking("/v2/live", "websocket")).await;
    assert!(head(&mut second).await.starts_with("http/1.1 503 "));
}

#[tokio::test]
async fn a_websocket_of_http2_is_one_of_the_services_http1() {
    let service = Raw::start().await;
    let gateway = Gateway::start(&rules(service.1), vec![]).await;
    let stream = TcpStream::connect(gateway.addr).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    let driving = tokio::spawn(connection);
    // The settings have come once the first answer has.
    let mut client = client.ready().await.unwrap();
    let request = Request::get(format!("http://{}/nowhere", gateway.addr)).body(()).unwrap();
    client.send_request(request, true).unwrap().0.await.unwrap();
    assert!(client.is_extended_connect_protocol_enabled());
    let ask = |protocol: &'static str| {
        let mut request = Request::builder().method(Method::CONNECT).uri(format!("http://{}/v2/live", gateway.addr));
        request.extensions_mut().unwrap().insert(Protocol::from_static(protocol));
        request.header("sec-websocket-version", "13").body(()).unwrap()
    };
    let (refused, _) = client.send_request(ask("pets"), false).unwrap();
    assert_eq!(refused.await.unwrap().status(), 501);

    let (answer, mut sending) = client.send_request(ask("websocket"), false).unwrap();
    let (mut stream, asked) = service.accept().await;
    assert!(asked.starts_with("get /v2/live http/1.1\r\n") && asked.contains("\r\nupgrade: websocket\r\n"), "{asked}");
    // A key that the gateway has made, and so an answer that this service cannot give.
    assert!(asked.contains("\r\nsec-websocket-key: "), "{asked}");
    stream.write_all(ACCEPTED.as_bytes()).await.unwrap();
    assert_eq!(answer.await.unwrap().status(), 502);
    drop(sending);

    let (answer, sending_again) = client.send_request(ask("websocket"), false).unwrap();
    sending = sending_again;
    let (listener, gateway_side) = (&service.0, async {
        let answer = answer.await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.headers().get("sec-websocket-accept")), (200, None));
        answer.into_body()
    });
    let accepting = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            bytes.push(stream.read_u8().await.unwrap());
        }
        let text = String::from_utf8(bytes).unwrap();
        let key = text.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).unwrap().to_owned();
        let hash = ring::digest::digest(
            &ring::digest::SHA1_FOR_LEGACY_USE_ONLY,
            format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11").as_bytes(),
        );
        let accepted = ACCEPTED.replace("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", &base64(hash.as_ref()));
        stream.write_all(accepted.as_bytes()).await.unwrap();
        stream
    };
    let (mut stream, mut receiving) = tokio::join!(accepting, gateway_side);
    sending.send_data(Bytes::from("ping"), false).unwrap();
    exactly(&mut stream, "ping").await;
    stream.write_all(b"pong").await.unwrap();
    assert_eq!(receiving.data().await.unwrap().unwrap(), "pong");
    sending.send_data(Bytes::new(), true).unwrap();
    assert_eq!(stream.read(&mut [0; 9]).await.unwrap(), 0);
    drop(stream);
    let end = receiving.data().await;
    assert!(end.as_ref().is_none_or(|end| end.as_ref().is_ok_and(Bytes::is_empty)), "{end:?}");
    let log = gateway.access_log(4).await;
    let tunnel = log.iter().find(|line| line["outcome"] == "ok").unwrap();
    assert_eq!((&tunnel["method"], &tunnel["request_bytes"]), (&"CONNECT".into(), &4.into()), "{tunnel}");
    driving.abort();
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group = (0..3).fold(0, |group, at| group << 8 | usize::from(*chunk.get(at).unwrap_or(&0)));
        for at in 0..4 {
            text.push(if at <= chunk.len() { char::from(LETTERS[group >> (18 - 6 * at) & 63]) } else { '=' });
        }
    }
    text
}
