//! Bodies that are a sequence of documents are translated as they come.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bifocal::settings::Value;
use bytes::Bytes;
use http_body::Frame;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::support::*;

/// A body of what is sent to it, as it is sent.
struct Pipe(mpsc::Receiver<Bytes>);

impl http_body::Body for Pipe {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|data| data.map(|data| Ok(Frame::data(data))))
    }
}

fn pipe() -> (mpsc::Sender<Bytes>, Body) {
    let (sender, receiver) = mpsc::channel(64);
    (sender, Body::new(Pipe(receiver)))
}

/// A caller that reads as it comes.
struct Reader {
    connection: TcpStream,
    read: Vec<u8>,
}

impl Reader {
    async fn ask(gateway: &Gateway, line: &str, headers: &[&str]) -> Self {
        let mut connection = TcpStream::connect(gateway.addr).await.unwrap();
        let more = headers.join("\r\n");
        let end = if headers.is_empty() { "\r\n" } else { "\r\n\r\n" };
        let head = format!("{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{more}{end}");
        connection.write_all(head.as_bytes()).await.unwrap();
        Self { connection, read: Vec::new() }
    }

    /// Everything that has come, once `text` is in it.
    async fn until(&mut self, text: &str) -> String {
        let reading = async {
            loop {
                let read = String::from_utf8_lossy(&self.read).into_owned();
                if read.contains(text) {
                    return read;
                }
                let mut buffer = [0; 4096];
                let count = self.connection.read(&mut buffer).await.unwrap();
                assert_ne!(count, 0, "ended without {text:?}: {read}");
                self.read.extend_from_slice(&buffer[..count]);
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("it never came")
    }

    /// Everything, to the end of the connection.
    async fn all(mut self) -> Vec<u8> {
        let _ = tokio::time::timeout(PATIENCE, self.connection.read_to_end(&mut self.read)).await.expect("no end");
        self.read
    }
}

/// A service that answers one request with a stream of this type.
async fn streaming(kind: &'static str) -> (Service, mpsc::Sender<Bytes>) {
    let (sender, body) = pipe();
    let body = Arc::new(Mutex::new(Some(body)));
    let service = Service::start(move |_| -> Response {
        let body = body.lock().unwrap().take().unwrap_or_default();
        ([("content-type", kind), ("etag", "\"s\""), ("digest", "x")], body).into_response()
    })
    .await;
    (service, sender)
}

#[tokio::test]
async fn lines_of_json_are_translated_one_by_one() {
    let (service, sender) = streaming("application/x-ndjson; charset=utf-8").await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    let accept = ["Accept: application/x-ndjson", "Accept-Encoding: gzip"];
    let mut reader = Reader::ask(&gateway, "GET /v1/orders/7", &accept).await;
    // Half a document is not passed on, a whole one at once, while the stream goes on.
    sender.send(Bytes::from("{\"price\":{\"value\":\"19.99\"}}\n\n{\"price\":{\"val")).await.unwrap();
    let read = reader.until("{\"total\":1999}\n").await;
    assert!(!read.contains("val"), "{read}");
    assert!(read.contains("content-type: application/x-ndjson; charset=utf-8"), "{read}");
    assert!(!read.contains("digest: x") && !read.contains("content-length"), "{read}");
    sender.send(Bytes::from("ue\":\"0.05\"},\"note\":1.10}\r\n{\"status\":\"DONE\"}")).await.unwrap();
    reader.until("{\"total\":5,\"note\":1.10}\r\n").await;
    drop(sender);
    let read = reader.all().await;
    let answer = parse(&read, false);
    assert_eq!(answer.text(), "{\"total\":1999}\n\n{\"total\":5,\"note\":1.10}\r\n{\"state\":\"closed\"}");
    assert_eq!(service.take_one().header("accept-encoding"), "identity");
}

#[tokio::test]
async fn documents_of_a_response_see_the_request() {
    let (service, sender) = streaming("application/x-ndjson").await;
    let mut files = orders(None, Some(service.addr), "v2");
    let rules = "routes:\n- GET /v1/orders/{id} = GET /v2/orders/{id}:\n    200:\n    - body.order = body.orders.{$request.path.id}\n";
    files[1].1 = rules.to_owned();
    let gateway = Gateway::start(&files, vec![]).await;
    let reader = Reader::ask(&gateway, "GET /v1/orders/7", &[]).await;
    sender.send(Bytes::from("{\"orders\":{\"7\":1}}\n{\"orders\":{\"7\":2.0}}\n")).await.unwrap();
    drop(sender);
    let read = reader.all().await;
    assert_eq!(parse(&read, false).text(), "{\"order\":1}\n{\"order\":2.0}\n");
}

#[tokio::test]
async fn a_line_that_cannot_be_translated_breaks_the_stream() {
    for line in ["{\"status\":\"s3cret\"}\n", "{\"price\":\n", "x\n"] {
        let (service, sender) = streaming("application/x-ndjson").await;
        let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
        let reader = Reader::ask(&gateway, "GET /v1/orders/7", &[]).await;
        sender.send(Bytes::from(format!("{{\"price\":{{\"value\":\"0.01\"}}}}\n{line}{{}}\n"))).await.unwrap();
        let read = String::from_utf8(reader.all().await).unwrap();
        assert!(read.contains("{\"total\":1}\n"), "{read}");
        assert!(!read.contains("s3cret") && !read.contains("{}") && !read.contains("price"), "{read}");
        assert!(!read.ends_with("0\r\n\r\n"), "it must not look complete: {read}");
        let log = gateway.access_log(1).await;
        assert_eq!((&log[0]["fault"], &log[0]["outcome"]), (&"upstream_contract".into(), &"aborted".into()), "{log:?}");
    }
}

#[tokio::test]
async fn events_are_translated_one_by_one() {
    let (service, sender) = streaming("text/event-stream").await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    let mut reader = Reader::ask(&gateway, "GET /v1/orders/7", &["Accept: text/event-stream"]).await;
    for (sent, expected) in [
        (": ping\n\n", ": ping\n\n"),
        (
            "id: 1\nevent: order\ndata: {\"status\":\"OPEN\",\ndata:  \"price\":{\"value\":\"19.99\"}}\n\n",
            "id: 1\nevent: order\ndata: {\"state\":\"open\",\ndata:  \"total\":1999}\n\n",
        ),
        ("data: [DONE]\n\n", "data: [DONE]\n\n"),
        ("data: hello\n\n", "data: hello\n\n"),
        ("data:{\"status\":\"OPEN\"}\r\n\r\n", "data: {\"state\":\"open\"}\r\n\r\n"),
        ("retry: 5\n\n", "retry: 5\n\n"),
    ] {
        // One event whole, the next in pieces: what is complete comes at once.
        let (first, second) = sent.split_at(sent.len() / 2);
        sender.send(Bytes::from(first)).await.unwrap();
        sender.send(Bytes::from(second)).await.unwrap();
        let read = reader.until(expected).await;
        assert!(!read.contains("price"), "{read}");
    }
    drop(sender);
    assert!(String::from_utf8(reader.all().await).unwrap().ends_with("0\r\n\r\n"));
}

#[tokio::test]
async fn an_event_that_cannot_be_translated_is_told_in_an_event() {
    for event in ["data: {\"status\":\"s3cret\"}\n\n", "data: {\"price\":\n\n", "data: [{\"price\"]\n\n"] {
        let (service, sender) = streaming("text/event-stream").await;
        let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
        let reader = Reader::ask(&gateway, "GET /v1/orders/7", &[]).await;
        sender
            .send(Bytes::from(format!("data: {{\"price\":{{\"value\":\"0.01\"}}}}\n\n{event}data: {{}}\n\n")))
            .await
            .unwrap();
        // The service goes on; the caller's stream has ended, completely.
        let answer = parse(&reader.all().await, false);
        let (before, told) = answer.text().split_once("event: error\ndata: ").expect("an error event");
        assert_eq!(before, "data: {\"total\":1}\n\n");
        let problem: serde_json::Value = serde_json::from_str(told.trim_end()).unwrap();
        assert_eq!((&problem["code"], &problem["status"]), (&"upstream_contract".into(), &502.into()));
        assert_eq!(problem["request_id"], answer.header("x-request-id"));
        assert!(!told.contains("s3cret"), "{told}");
        assert_eq!(gateway.access_log(1).await[0]["fault"], "upstream_contract");
        drop(sender);
    }
}

#[tokio::test]
async fn one_document_of_a_stream_has_a_limit_and_the_stream_has_none() {
    let (service, sender) = streaming("application/jsonl").await;
    let flags = vec![("limits.body", Value::from("4 KiB"))];
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), flags).await;
    let mut reader = Reader::ask(&gateway, "GET /v1/orders/7", &[]).await;
    for number in 0..20 {
        let note = "x".repeat(1000);
        sender.send(Bytes::from(format!("{{\"id\":{number},\"note\":\"{note}\"}}\n"))).await.unwrap();
    }
    reader.until("{\"id\":19").await;
    sender.send(Bytes::from("x".repeat(5000))).await.unwrap();
    let read = String::from_utf8(reader.all().await).unwrap();
    assert!(!read.contains("xxxx\r\n0\r\n\r\n") && !read.ends_with("0\r\n\r\n"), "{read}");
}

fn gzip(writer: &mut flate2::write::GzEncoder<Vec<u8>>, text: &str) -> Bytes {
    std::io::Write::write_all(writer, text.as_bytes()).unwrap();
    std::io::Write::flush(writer).unwrap();
    std::mem::take(writer.get_mut()).into()
}

#[tokio::test]
async fn a_coded_stream_is_read_as_it_comes() {
    let (sender, body) = pipe();
    let body = Arc::new(Mutex::new(Some(body)));
    let service = Service::start(move |_| {
        let headers = [("content-type", "application/x-ndjson"), ("content-encoding", "gzip"), ("etag", "\"s\"")];
        (headers, body.lock().unwrap().take().unwrap_or_default()).into_response()
    })
    .await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    let mut reader = Reader::ask(&gateway, "GET /v1/orders/7", &["Accept-Encoding: gzip"]).await;
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    sender.send(gzip(&mut writer, "{\"price\":{\"value\":\"19.99\"}}\n{\"sta")).await.unwrap();
    let read = reader.until("{\"total\":1999}\n").await;
    assert!(!read.contains("content-encoding") && read.contains("etag: W/\"s;v1."), "{read}");
    assert!(read.to_lowercase().contains("accept-encoding"), "{read}");
    sender.send(gzip(&mut writer, "tus\":\"OPEN\"}\n")).await.unwrap();
    reader.until("{\"state\":\"open\"}\n").await;
    sender.send(writer.finish().unwrap().into()).await.unwrap();
    drop(sender);
    assert!(reader.all().await.ends_with(b"0\r\n\r\n"));
}

#[tokio::test]
async fn a_stream_that_cannot_be_decoded_is_not_passed() {
    for (coding, whole) in [("rot13", false), ("gzip", true), ("gzip, gzip", false)] {
        let service = Service::start(move |_| {
            ([("content-type", "application/x-ndjson"), ("content-encoding", coding)], "{\"price\":1}\n")
                .into_response()
        })
        .await;
        let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
        let read = Reader::ask(&gateway, "GET /v1/orders/7", &[]).await.all().await;
        let read = String::from_utf8(read).unwrap();
        assert!(!read.contains("price") && !read.ends_with("0\r\n\r\n"), "{read}");
        // The head is on its way before the first document is read.
        assert_eq!(read.starts_with("HTTP/1.1 502"), !whole, "{read}");
    }
}

#[tokio::test]
async fn a_coded_stream_of_a_caller_goes_on_without_its_coding() {
    let service = Service::start(echo).await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut writer, b"{\"total\":1}\n{\"total\":2}\n").unwrap();
    let headers = ["Content-Type: application/x-ndjson", "Content-Encoding: gzip"];
    gateway.ask("POST /v1/orders", &headers, &writer.finish().unwrap()).await;
    let seen = service.take_one();
    assert_eq!(seen.text(), "{\"price\":{\"value\":\"0.01\"}}\n{\"price\":{\"value\":\"0.02\"}}\n");
    assert_eq!((seen.header("content-encoding"), seen.header("content-type")), ("", "application/x-ndjson"));
    let answer = gateway.ask("POST /v1/orders", &headers, b"{\"total\":1}\n").await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "corrupt_coding"));
}

/// A service that shows what comes while it comes.
async fn listening() -> (std::net::SocketAddr, mpsc::Receiver<String>) {
    let (sender, receiver) = mpsc::channel(64);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let router = Router::new().fallback(move |request: Request| {
        let sender = sender.clone();
        async move {
            let mut body = request.into_body();
            while let Some(frame) = body.frame().await {
                let Ok(frame) = frame else {
                    sender.send("BROKEN".to_owned()).await.unwrap();
                    return status(400);
                };
                let text = match frame.into_data() {
                    Ok(data) => String::from_utf8(data.to_vec()).unwrap(),
                    Err(frame) => {
                        let trailers = frame.into_trailers().unwrap();
                        trailers.keys().fold("TRAILERS".to_owned(), |names, name| format!("{names} {name}"))
                    }
                };
                sender.send(text).await.unwrap();
            }
            sender.send("END".to_owned()).await.unwrap();
            json("{}")
        }
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    (addr, receiver)
}

async fn next(receiver: &mut mpsc::Receiver<String>) -> String {
    tokio::time::timeout(PATIENCE, receiver.recv()).await.expect("it never came").unwrap()
}

#[tokio::test]
async fn lines_that_callers_send_are_translated_one_by_one() {
    let (addr, mut seen) = listening().await;
    let gateway = Gateway::start(&orders(None, Some(addr), "v2"), vec![]).await;
    let headers = ["Content-Type: application/x-ndjson", "Transfer-Encoding: chunked"];
    let mut reader = Reader::ask(&gateway, "POST /v1/orders", &headers).await;
    reader.connection.write_all(b"e\r\n{\"total\":1999}\r\n1\r\n\n\r\n").await.unwrap();
    assert_eq!(next(&mut seen).await, "{\"price\":{\"value\":\"19.99\"}}\n");
    reader.connection.write_all(b"10\r\n{\"state\":\"open\"}\r\n0\r\n\r\n").await.unwrap();
    assert_eq!(next(&mut seen).await, "{\"status\":\"OPEN\"}");
    assert_eq!(next(&mut seen).await, "END");
    assert_eq!(parse(&reader.all().await, false).status, 200);

    // One that cannot be said there ends it, and the caller learns why.
    let mut reader = Reader::ask(&gateway, "POST /v1/orders", &headers).await;
    reader
        .connection
        .write_all(b"f\r\n{\"total\":1999}\n\r\n11\r\n{\"state\":\"s3cret\"\r\n2\r\n}\n\r\n")
        .await
        .unwrap();
    assert_eq!(next(&mut seen).await, "{\"price\":{\"value\":\"19.99\"}}\n");
    let answer = parse(&reader.all().await, false);
    assert_eq!((answer.status, answer.code().as_str()), (422, "value"));
    assert!(answer.json()["errors"][0]["field"].as_str().unwrap().contains("state"), "{answer:?}");
    assert!(!answer.text().contains("s3cret"));
    assert_eq!(next(&mut seen).await, "BROKEN");
}

#[tokio::test]
async fn trailers_of_a_stream_pass_without_digests() {
    let (addr, mut seen) = listening().await;
    let gateway = Gateway::start(&orders(None, Some(addr), "v2"), vec![]).await;
    let headers =
        ["Content-Type: application/x-ndjson", "Transfer-Encoding: chunked", "Trailer: X-Sum, Content-Digest"];
    let mut reader = Reader::ask(&gateway, "POST /v1/orders", &headers).await;
    let end = b"e\r\n{\"total\":1999}\r\n0\r\nX-Sum: 1\r\nContent-Digest: x\r\n\r\n";
    reader.connection.write_all(end).await.unwrap();
    assert_eq!(next(&mut seen).await, "{\"price\":{\"value\":\"19.99\"}}");
    let names = next(&mut seen).await;
    assert_eq!(names, "TRAILERS x-sum");
    assert_eq!(next(&mut seen).await, "END");
}
