//! Simple requests are served without hyper, and nobody can tell.

use super::support::*;

/// Requests as callers write them, but for `Connection: close`, simple and not.
const REQUESTS: &[&str] = &[
    "GET /v2/orders/7 HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /v1/orders/7 HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /v1/orders/7?a=b&c HTTP/1.1\r\nHost: A.b:80\r\nAccept: application/json\r\nX-A: 1\r\nX-A: 2\r\n\r\n",
    "HEAD /v1/orders/7 HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST /v1/orders HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 33\r\n\r\n{\"id\":7,\"total\":1,\"state\":\"open\"}",
    "POST /v2/orders HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello",
    "POST /v2/orders HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    "POST /v2/orders HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST /v1/orders HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 3\r\n\r\n{]}",
    "POST /v1/orders HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "PUT /v1/orders HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /v1/nothing HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /elsewhere HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET http://a/v2/orders/7 HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /v2/orders/../7 HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /v2/orders/7#x HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /v2/orders/%zz HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /v2/orders/7 HTTP/1.1\r\n\r\n",
    "GET /v2/orders/7 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "GET /v2/orders/7 HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n",
    "GET /v2/orders/7 HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n",
    "GET /v2/orders/7 HTTP/1.1\r\nHost: a\r\nA b: c\r\n\r\n",
    "GET /v2/orders/7 HTTP/1.1\r\nHost: a\r\nContent-Length: +0\r\n\r\n",
    "POST /v2/orders HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "POST /v2/orders HTTP/1.1\r\nHost: a\r\nContent-Length: 2, 2\r\n\r\n{}",
    "POST /v2/orders HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST /v2/orders HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
    "GET /v2/orders/7 HTTP/1.1\r\nHost: a\r\nExpect: something\r\n\r\n",
    "GET /v2/orders/7 HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
    "GET /v2/orders/7 HTTP/1.1\r\nHost: a\r\nConnection: authorization\r\n\r\n",
    "GET /v2/orders/7 HTTP/1.1\r\nHost: a\r\nX-Large: LARGE\r\n\r\n",
    "GET /v2/LARGE HTTP/1.1\r\nHost: a\r\n\r\n",
    "TRACE /v2/orders/7 HTTP/1.1\r\nHost: a\r\n\r\n",
    "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /v2/status/204 HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /v2/status/304 HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /v2/status/503 HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /v2/large HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /v2/medium HTTP/1.1\r\nHost: a\r\n\r\n",
    "G@T /v2/orders/7 HTTP/1.1\r\nHost: a\r\n\r\n",
    "G\u{e9}T /v2/orders/7 HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /v2/orders/7 HTTP/1.2\r\nHost: a\r\n\r\n",
    "GET  /v2/orders/7 HTTP/1.1\r\nHost: a\r\n\r\n",
    "nothing of the kind\r\n\r\n",
];

/// Status, fields and body.
type Shape = (u16, Vec<(String, String)>, String);

/// An answer in what does not differ from request to request.
fn shape(bytes: &[u8], to_head: bool) -> Option<Shape> {
    if bytes.is_empty() {
        return None;
    }
    let answer = parse(bytes, to_head);
    let mut headers: Vec<_> = answer
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .map(|(name, value)| if name == "date" { (name, value.len().to_string()) } else { (name, value) })
        .filter(|(name, _)| name != "x-request-id")
        .collect();
    headers.sort();
    let id = answer.header("x-request-id").to_owned();
    let body = String::from_utf8(answer.body).unwrap();
    Some((answer.status, headers, if id.is_empty() { body } else { body.replace(&id, "ID") }))
}

async fn service() -> Service {
    Service::start(|seen| match seen.uri.path() {
        "/v2/large" => json(format!("\"{}\"", "x".repeat(200_000))),
        "/v2/medium" => json(format!("\"{}\"", "x".repeat(40_000))),
        path => match path.strip_prefix("/v2/status/") {
            Some(number) => status(number.parse().unwrap()),
            None => json(NEW),
        },
    })
    .await
}

#[tokio::test]
async fn answers_are_the_same_whoever_reads_the_request() {
    let service = service().await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    for request in REQUESTS {
        let to_head = request.starts_with("HEAD");
        let large = request.replace("LARGE", &"x".repeat(20_000));
        let closing = match large.split_once("\r\n") {
            Some((line, rest)) => format!("{line}\r\nConnection: close\r\n{rest}"),
            None => large,
        };
        let alone = raw(gateway.addr, closing.as_bytes()).await;
        let asked_alone: Vec<_> = service.take().into_iter().map(without_ids).collect();
        // Two requests at once are not simple.
        let first = "GET /v2/status/204 HTTP/1.1\r\nHost: a\r\n\r\n";
        let both = raw(gateway.addr, [first.as_bytes(), closing.as_bytes()].concat().as_slice()).await;
        let end = both.windows(4).position(|four| four == b"\r\n\r\n").expect("the first answer") + 4;
        assert!(both.starts_with(b"HTTP/1.1 204 "), "{request:?}");
        assert_eq!(shape(&alone, to_head), shape(&both[end..], to_head), "{request:?}");
        let asked: Vec<_> = service.take().into_iter().skip(1).map(without_ids).collect();
        assert_eq!(asked_alone, asked, "{request:?}");
    }
}

/// What a service was asked, but for what differs from request to request.
fn without_ids(mut seen: Seen) -> String {
    for name in ["x-request-id", "traceparent"] {
        seen.headers.remove(name);
    }
    format!("{seen:?}")
}

#[tokio::test]
async fn a_connection_serves_simple_requests_and_others_in_turn() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let service = service().await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    let mut stream = tokio::net::TcpStream::connect(gateway.addr).await.unwrap();
    let get = "GET /v2/orders/7 HTTP/1.1\r\nHost: a\r\n\r\n";
    let post = "POST /v2/orders HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}";
    let chunked = "POST /v2/orders HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    let several = format!("{get}{post}{chunked}{get}");
    for (text, answers) in [(get, 1), (post, 1), (get, 1), (several.as_str(), 4), (get, 1), (chunked, 1), (post, 1)] {
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut read = Vec::new();
        let whole = |read: &[u8]| String::from_utf8_lossy(read).matches(NEW).count() == answers;
        while !whole(&read) {
            assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0, "{text:?}");
        }
        assert_eq!(String::from_utf8_lossy(&read).matches("HTTP/1.1 200 OK\r\n").count(), answers);
        assert_eq!(service.take().len(), answers);
    }
}
