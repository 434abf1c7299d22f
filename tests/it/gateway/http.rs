//! HTTP stays correct: framing, codings, validators, protocols.

use std::io::Write;
use std::process::Command;

use axum::response::IntoResponse;
use bifocal::settings::Value;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use super::support::*;

fn gzip(text: &str) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(text.as_bytes()).unwrap();
    writer.finish().unwrap()
}

fn encode(coding: &str, text: &str) -> Vec<u8> {
    match coding {
        "gzip" | "x-gzip" | "GZip" => gzip(text),
        "br" => {
            let mut writer = brotli::CompressorWriter::new(Vec::new(), 4096, 4, 22);
            writer.write_all(text.as_bytes()).unwrap();
            writer.into_inner()
        }
        "zstd" => zstd::stream::encode_all(text.as_bytes(), 3).unwrap(),
        "deflate" => {
            let mut writer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
            writer.write_all(text.as_bytes()).unwrap();
            writer.finish().unwrap()
        }
        _ => text.as_bytes().to_vec(),
    }
}

fn decode(coding: &str, bytes: &[u8]) -> String {
    use std::io::Read;
    let mut text = String::new();
    match coding {
        "gzip" => drop(flate2::read::GzDecoder::new(bytes).read_to_string(&mut text).unwrap()),
        "br" => drop(brotli::Decompressor::new(bytes, 4096).read_to_string(&mut text).unwrap()),
        "zstd" => text = String::from_utf8(zstd::stream::decode_all(bytes).unwrap()).unwrap(),
        "deflate" => drop(flate2::read::ZlibDecoder::new(bytes).read_to_string(&mut text).unwrap()),
        _ => text = String::from_utf8(bytes.to_vec()).unwrap(),
    }
    text
}

#[tokio::test]
async fn coded_bodies_are_translated_both_ways() {
    // Answers in the coding that it was sent, as some services do whatever `Accept-Encoding` says.
    let service = Service::start(|seen| {
        let coding = seen.header("content-encoding").to_owned();
        let headers = [("content-type", "application/json".to_owned()), ("content-encoding", coding)];
        (headers, seen.body.clone()).into_response()
    })
    .await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    for (coding, canonical) in
        [("gzip", "gzip"), ("x-gzip", "gzip"), ("GZip", "gzip"), ("br", "br"), ("zstd", "zstd"), ("deflate", "deflate")]
    {
        let headers = |accept: &str| {
            [
                "Content-Type: application/json".to_owned(),
                format!("Content-Encoding: {coding}"),
                format!("Accept-Encoding: {accept}"),
            ]
        };
        let body = encode(coding, OLD);
        let accepting = headers(&format!("{canonical}, compress"));
        let answer = gateway.ask("POST /v1/orders", &accepting.each_ref().map(String::as_str), &body).await;
        assert_eq!(answer.status, 200, "{coding}: {answer:?}");
        assert_eq!(answer.header("content-encoding"), canonical);
        assert_eq!(answer.header("content-length"), answer.body.len().to_string());
        assert!(same(&decode(canonical, &answer.body), OLD), "{coding}");
        assert!(answer.header("vary").to_lowercase().contains("accept-encoding"), "{answer:?}");
        let seen = service.take_one();
        assert_eq!((seen.header("content-encoding"), seen.header("accept-encoding")), (canonical, canonical));
        assert_eq!(seen.header("content-length"), seen.body.len().to_string());
        assert!(same(&decode(canonical, &seen.body), NEW), "{coding}");

        // A caller that does not take the coding gets none.
        let refusing = headers(&format!("{canonical};q=0"));
        let answer = gateway.ask("POST /v1/orders", &refusing.each_ref().map(String::as_str), &body).await;
        assert_eq!(answer.header("content-encoding"), "");
        assert!(same(answer.text(), OLD), "{coding}");
        service.take();
    }
}

#[tokio::test]
async fn bombs_are_refused() {
    let bomb = format!("{{\"id\":\"{}\"}}", " ".repeat(1 << 20));
    let answered = bomb.clone();
    let service = Service::start(move |_| {
        let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
        (headers, gzip(&answered)).into_response()
    })
    .await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    for coding in ["gzip", "br", "zstd", "deflate"] {
        let headers = ["Content-Type: application/json".to_owned(), format!("Content-Encoding: {coding}")];
        let body = encode(coding, &bomb);
        let answer = gateway.ask("POST /v1/orders", &headers.each_ref().map(String::as_str), &body).await;
        assert_eq!((answer.status, answer.code().as_str()), (413, "body_too_large"), "{coding}");
    }
    assert!(service.take().is_empty());
    let answer = gateway.ask("GET /v1/orders/7", &[], b"").await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_contract"));
}

#[tokio::test]
async fn head_and_no_content_have_no_body() {
    let service = Service::start(|seen| match seen.method.as_str() {
        "HEAD" => {
            ([("content-type", "application/json"), ("content-length", "999"), ("etag", "\"e\"")], "").into_response()
        }
        _ => status(204),
    })
    .await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    let answer = gateway.ask("HEAD /v1/orders/7", &[], b"").await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("etag").starts_with("\"e;v1."), "{answer:?}");
    assert_eq!(answer.header("content-length"), "", "the length of another representation");
    assert_eq!(service.take_one().method, "HEAD");
    let answer = gateway.ask("POST /v1/orders", &["Content-Type: application/json"], OLD.as_bytes()).await;
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    let answer = gateway.ask("HEAD /v1/nothing", &[], b"").await;
    assert_eq!(answer.status, 404);
}

/// A request that must never be seen as one.
const SMUGGLED: &str = "GET /v2/smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn requests_with_two_meanings_are_refused() {
    let service = Service::start(echo).await;
    let flags = vec![("limits.body", Value::from("64 KiB"))];
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), flags).await;
    let long = format!("GET /v2/{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(9000));
    let many = format!("GET /v2/a HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(120));
    let large = format!("GET /v2/a HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n", "x".repeat(40_000));
    let cases: &[(&str, u16)] = &[
        ("GET /v2/a HTTP/1.1\r\n\r\n", 400),
        ("GET /v2/a HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        ("GET /v2/a HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
        ("GET /v2/a HTTP/1.1\r\nHost: u@a\r\n\r\n", 400),
        ("GET /v2/a HTTP/1.1\r\nHost:\r\n\r\n", 400),
        ("GET http://b/v2/a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET ftp://a/v2/a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 501),
        ("TRACE /v2/a HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        ("GET /v2/../v1/a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /v2/%2e%2e/a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /v2//a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /v2/a%2fb HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /v2/a%00 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /v2/a#/b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /v2/a\\b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("POST /v2/a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("POST /v2/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400),
        ("POST /v2/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
        ("POST /v2/a HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("GET /v2/a HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n", 400),
        ("GET /v2/a HTTP/1.1\nHost: a\n\n", 400),
        ("GET /v2/a HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n", 417),
        ("GET /v2/a HTTP/1.1\r\nHost: a\r\nConnection: Authorization\r\n\r\n", 400),
        ("GET /v2/a HTTP/1.1\r\nHost: a\r\nContent-Type: a/b\r\nContent-Type: c/d\r\n\r\n", 400),
        ("POST /v2/a HTTP/1.1\r\nHost: a\r\nContent-Length: 999999\r\n\r\n", 413),
        (&long, 414),
        (&many, 431),
        (&large, 431),
    ];
    for (bytes, status) in cases {
        let answer = raw(gateway.addr, format!("{bytes}{SMUGGLED}").as_bytes()).await;
        let text = String::from_utf8_lossy(&answer);
        assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{bytes:?}: {text}");
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{bytes:?}: {text}");
        assert!(service.take().is_empty(), "{bytes:?} reached the service");
    }
}

#[tokio::test]
async fn nothing_of_the_gateways_own_is_taken_from_callers() {
    let service = Service::start(echo).await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    let answer = gateway
        .ask(
            "GET /v2/a",
            &[
                "X-Forwarded-For: 6.6.6.6",
                "X_Forwarded_For: 6.6.6.6",
                "Forwarded: for=6.6.6.6",
                "Bifocal-Version: 6.6.6.6",
                "Proxy-Authorization: 6.6.6.6",
                "X-Request-Id: own-id",
                "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            ],
            b"",
        )
        .await;
    assert_eq!(answer.header("x-request-id"), "own-id");
    let seen = service.take_one();
    assert!(!format!("{seen:?}").contains("6.6.6.6"), "{seen:?}");
    assert_eq!(seen.header("x-forwarded-for"), "127.0.0.1");
    assert_eq!(seen.header("x-request-id"), "own-id");
    assert_eq!(seen.header("traceparent"), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
}

#[tokio::test]
async fn a_request_that_comes_back_is_a_loop() {
    // The address of the gateway is known only once it listens, so its rules come second.
    let gateway = Gateway::start(&orders(None, Some("127.0.0.1:1".parse().unwrap()), "v2"), vec![]).await;
    gateway.put(&orders(None, Some(gateway.addr), "v2"));
    assert_eq!(gateway.reload().await.0, 200);
    let answer = gateway.ask("GET /v2/orders/7", &[], b"").await;
    assert_eq!((answer.status, answer.code().as_str()), (508, "loop"));
}

#[tokio::test]
async fn http2_with_prior_knowledge_is_served() {
    let service = Service::start(|_| json(NEW)).await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let asks = (0..20).map(|id| client.get(format!("http://{}/v1/orders/{id}", gateway.addr).parse().unwrap()));
    for ask in asks.collect::<Vec<_>>() {
        let response = ask.await.unwrap();
        assert_eq!((response.status().as_u16(), response.version()), (200, http::Version::HTTP_2));
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(same(std::str::from_utf8(&body).unwrap(), OLD));
    }
    let lines = gateway.access_log(20).await;
    assert!(lines.iter().all(|line| line["protocol"] == "h2" && line["route"] == "GET /v1/orders/{id}"), "{lines:?}");
}

#[tokio::test]
async fn trailers_pass_with_a_stream_that_no_rule_reads() {
    let service = Service::start(echo).await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    let request = "POST /v2/a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTrailer: X-Sum, Content-Length\r\n\
                   Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX-Sum: 1\r\nContent-Length: 9\r\n\r\n";
    let answer = parse(&raw(gateway.addr, request.as_bytes()).await, false);
    assert_eq!((answer.status, answer.text()), (200, "{}"));
    assert_eq!(service.take_one().text(), "{}");
}

/// Runs a foreign program; `None`, said aloud, where there is none.
async fn foreign(program: &str, arguments: &[String]) -> Option<String> {
    let (program, arguments) = (program.to_owned(), arguments.to_vec());
    let output = tokio::task::spawn_blocking(move || Command::new(&program).args(&arguments).output()).await.unwrap();
    match output {
        Ok(output) => Some(String::from_utf8_lossy(&output.stdout).into_owned()),
        Err(error) => {
            eprintln!("SKIPPED: cannot run a foreign program: {error}");
            None
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_is_served_over_both_protocols() {
    let service = Service::start(|_| json(NEW)).await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    for protocol in ["--http1.1", "--http2-prior-knowledge"] {
        let url = format!("http://{}/v1/orders/7", gateway.addr);
        let arguments = [protocol, "-sS", "--max-time", "20", "--compressed", &url].map(str::to_owned);
        let Some(text) = foreign("curl", &arguments).await else { return };
        assert!(same(&text, OLD), "{protocol}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_service_is_translated() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("v2/orders/7.json"), NEW);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = Command::new("python3")
        .args(["-m", "http.server", "--bind", "127.0.0.1", &port.to_string(), "--directory"])
        .arg(folder.path())
        .stderr(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .spawn();
    let Ok(mut server) = server else {
        eprintln!("SKIPPED: there is no python3 to serve files");
        return;
    };
    let addr = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    eventually(|| async move { tokio::net::TcpStream::connect(addr).await.ok() }).await;
    let gateway = Gateway::start(&orders(None, Some(addr), "v2"), vec![]).await;
    let answer = gateway.ask("GET /v1/orders/7.json", &[], b"").await;
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(same(answer.text(), OLD), "{answer:?}");
}
