//! Large lists pass while they are translated, or are refused; nobody ever gets half a list that looks whole.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use http_body::Frame;

use super::support::{Gateway, Seen, Service, ask, eventually, json, raw, write_rules};

const RULES: &str = "
types:
  Order:
    - id
    - total = price.value: {decimal: 2}
    - text = note
  Orders:
    - . = data: {each: Order}
    - {added: version, default: 2}
  Tool:
    - id
    - total = price.value: {decimal: 2}
    - text = note: {wrap: {text: $}}
  Tools:
    - . = data: {each: Tool}
routes:
  - GET /v1/orders = GET /v2/orders: {200: Orders}
  - POST /v1/orders = POST /v2/orders: {request: Orders}
  - PATCH /v1/orders = PATCH /v2/orders: {request: Orders}
  - GET /v1/tools = GET /v2/tools: {200: Tools}
  - GET /v1/tools/{id} = GET /v2/tools/{id}:
      200:
        - body = body.data: {each: Tool}
        - {removed: header.X-Asked, from: $request.path.id, loss: the caller knows}
  - POST /v1/tools = POST /v2/tools: {request: Tools}
  - GET /v1/plain = GET /v2/plain:
      request: [query.per_page = query.limit]
      200:
        - body = body.data: {each: Order}
        - header.X-Kind = header.X-Type
  - GET /v1/counted = GET /v2/counted:
      200:
        - body = body.data: {each: Order}
        - header.X-Total = body.meta.total: {type: [string, integer]}
  - POST /v1/counted = POST /v2/counted:
      request:
        - body = body.data: {each: Order}
        - header.X-Total = body.meta.total: {type: [string, integer]}
";

fn rules(service: SocketAddr) -> Vec<(&'static str, String)> {
    let versions = format!(
        "versions:\n  v1: {{path: /v1, answered_by: v2}}\n  v2: {{path: /v2, upstream: \"http://{service}\"}}\n\
         negotiate: [path]\n"
    );
    vec![("orders/service.yaml", versions), ("orders/v1-v2.yaml", RULES.to_owned())]
}

/// Elements of about a kilobyte each.
fn elements(of: impl Fn(usize) -> String, size: usize) -> String {
    let note = "x".repeat(900);
    let count = size / 950;
    (0..count).map(|index| of(index).replace("NOTE", &note)).collect::<Vec<_>>().join(",")
}

fn old(size: usize) -> String {
    format!("[{}]", elements(|index| format!(r#"{{"id":{index},"total":1999,"text":"NOTE"}}"#), size))
}

fn new(size: usize, rest: &str) -> String {
    let list = elements(|index| format!(r#"{{"id":{index},"price":{{"value":"19.99"}},"note":"NOTE"}}"#), size);
    format!(r#"{{"data":[{list}]{rest}}}"#)
}

/// As [`new`], where notes are structures.
fn noted(size: usize) -> String {
    new(size, "").replace(r#""note":""#, r#""note":{"text":""#).replace("x\"}", "x\"}}")
}

/// A body in pieces of no declared length.
struct Pieces(Bytes);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::convert::Infallible>>> {
        let length = self.0.len().min(10_007);
        Poll::Ready((length > 0).then(|| Ok(Frame::data(self.0.split_to(length)))))
    }
}

fn in_pieces(text: String) -> Response {
    ([("content-type", "application/json"), ("x-type", "list")], Body::new(Pieces(text.into()))).into_response()
}

const LARGE: usize = 12 << 20;
const JSON: &[&str] = &["Content-Type: application/json"];

/// Answers as the path and query say.
fn answer(seen: &Seen) -> Response {
    let (path, query) = (seen.uri.path(), seen.uri.query().unwrap_or_default());
    match (seen.method.as_str(), path, query) {
        ("POST", ..) => json("{}"),
        (_, "/v2/counted", _) => in_pieces(new(LARGE, r#","meta":{"total":1}"#)),
        (_, _, "bad") => in_pieces(
            new(LARGE, "").replace(r#"{"id":9000,"price":{"value":"19.99"}"#, r#"{"price":{"value":"1.999"}"#),
        ),
        (_, _, "noted") => in_pieces(noted(LARGE)),
        (_, _, "cut") => in_pieces(new(LARGE, "").trim_end_matches('}').to_owned()),
        (_, _, "none") => in_pieces(format!(r#"{{"more":"{}"}}"#, "x".repeat(1 << 20))),
        (_, _, "sized") => json(new(LARGE, r#","version":1"#)),
        _ => in_pieces(new(LARGE, "")),
    }
}

#[tokio::test]
async fn a_large_list_is_translated_while_it_passes() {
    let service = Service::start(answer).await;
    let gateway = Gateway::start(&rules(service.addr), vec![]).await;
    for path in ["orders", "orders?sized", "plain"] {
        let answer = gateway.ask(&format!("GET /v1/{path}"), &[], b"").await;
        assert_eq!((answer.status, answer.header("transfer-encoding")), (200, "chunked"), "{path}");
        assert!(answer.text() == old(LARGE), "{path}");
        assert_eq!(answer.header("x-kind"), if path == "plain" { "list" } else { "" });
    }
    service.take();
    let answer = gateway.ask("POST /v1/orders", JSON, old(LARGE).as_bytes()).await;
    assert_eq!(answer.status, 200);
    assert!(service.take_one().text() == new(LARGE, r#","version":2"#));
}

#[tokio::test]
async fn elements_of_any_rules_pass_but_not_where_a_response_looks_back() {
    let service = Service::start(answer).await;
    let gateway = Gateway::start(&rules(service.addr), vec![]).await;
    let answer = gateway.ask("POST /v1/tools", JSON, old(LARGE).as_bytes()).await;
    assert_eq!(answer.status, 200);
    assert!(service.take_one().text() == noted(LARGE));
    let answer = gateway.ask("GET /v1/tools?noted", &[], b"").await;
    assert_eq!((answer.status, answer.header("transfer-encoding")), (200, "chunked"));
    assert!(answer.text() == old(LARGE));
    // What is wrong with the beginning is told before anything is.
    let answer = gateway.ask("GET /v1/tools", &[], b"").await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_contract"));
    let answer = gateway.ask("GET /v1/tools/7?noted", &[], b"").await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_contract"));
}

#[tokio::test]
async fn a_json_patch_is_no_list() {
    let service = Service::start(answer).await;
    let gateway = Gateway::start(&rules(service.addr), vec![]).await;
    let patch = |size: usize| format!(r#"[{{"op":"add","path":"/0/total","value":1{}}}]"#, " ".repeat(size));
    let mut told = Vec::new();
    for size in [0, 1 << 20] {
        let (head, patch) = (["Content-Type: application/json-patch+json"], patch(size));
        let answer = gateway.ask("PATCH /v1/orders", &head, patch.as_bytes()).await;
        told.push((answer.status, answer.code().clone()));
    }
    assert_eq!(told[0], told[1]);
    assert!(told[0].0 == 422 && service.take().is_empty(), "{told:?}");
}

#[tokio::test]
async fn a_fault_in_the_middle_ends_the_transfer() {
    let service = Service::start(answer).await;
    let gateway = Gateway::start(&rules(service.addr), vec![]).await;
    for path in ["orders?bad", "orders?cut"] {
        let head = format!("GET /v1/{path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let bytes = raw(gateway.addr, head.as_bytes()).await;
        let head = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).into_owned();
        assert!(bytes.starts_with(b"HTTP/1.1 200 "), "{path}: {head}");
        assert!(!bytes.ends_with(b"\r\n0\r\n\r\n"), "{path}");
    }
    let log = eventually(|| async {
        let log = fs::read_to_string(gateway.folder.path().join("access.log")).unwrap_or_default();
        (log.lines().count() == 2).then_some(log)
    })
    .await;
    for line in log.lines() {
        assert!(line.contains(r#""outcome":"aborted""#) && line.contains(r#""fault":"upstream_contract""#), "{line}");
    }
    // Where nothing of it has gone, a response of its own tells.
    let answer = gateway.ask("GET /v1/plain?none", &[], b"").await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_contract"));
    service.take();
    // The caller is told where, and the service never gets a whole request.
    let text = old(LARGE).replace(r#"{"id":9000,"total":1999"#, r#"{"id":9000,"total":"1""#);
    let answer = gateway.ask("POST /v1/orders", JSON, text.as_bytes()).await;
    assert_eq!((answer.status, answer.code().as_str()), (422, "value"));
    assert_eq!(answer.json()["errors"][0]["field"], "[9000].total");
    assert_eq!(answer.json()["offset"], text.find(r#""1","#).unwrap());
    assert!(service.take().is_empty());
}

#[tokio::test]
async fn where_rules_do_not_allow_it_the_limit_is_told() {
    let service = Service::start(answer).await;
    let gateway = Gateway::start(&rules(service.addr), vec![]).await;
    let answer = gateway.ask("GET /v1/counted", &[], b"").await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_contract"));
    service.take();
    for (path, headers) in
        [("counted", JSON), ("orders", &["Content-Type: application/json", "Content-Encoding: gzip"])]
    {
        let answer = gateway.ask(&format!("POST /v1/{path}"), headers, old(LARGE).as_bytes()).await;
        assert_eq!((answer.status, answer.code().as_str()), (413, "body_too_large"), "{path}");
    }
    assert!(service.take().is_empty());
    // One element is held in memory, and so has the limit of a body.
    let text = format!(r#"[{{"id":1}},{{"id":2,"text":"{}"}}]"#, "x".repeat(LARGE));
    let answer = gateway.ask("POST /v1/orders", JSON, text.as_bytes()).await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "body_too_large"));
    assert_eq!(answer.json()["errors"][0]["field"], "[1]");
    // So has the whole.
    let limited = Gateway::start(&rules(service.addr), vec![("limits.streamed", "11 MiB".into())]).await;
    let answer = limited.ask("POST /v1/orders", JSON, old(LARGE).as_bytes()).await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "body_too_large"));
}

/// A gateway in a process of its own.
struct Process(Child, SocketAddr);

impl Process {
    fn start(service: SocketAddr, folder: &std::path::Path) -> Self {
        write_rules(folder, &rules(service));
        let mut child = Command::new(env!("CARGO_BIN_EXE_bifocal"))
            .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--access-log", "off"])
            .current_dir(folder)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines.map(Result::unwrap).find_map(|line| {
            let address = line.split_once("listening on http://")?.1;
            Some(address.trim().parse().unwrap())
        });
        Self(child, address.unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn memory_does_not_grow_with_the_list() {
    const SIZE: usize = 48 << 20;
    let service = Service::start(|seen| match seen.method.as_str() {
        "POST" => json(format!("{{\"bytes\":{}}}", seen.body.len())),
        _ => in_pieces(new(SIZE, "")),
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(service.addr, folder.path());
    let answer = ask(process.1, "GET /v1/orders", &[], b"").await;
    let sent = old(SIZE);
    assert!(answer.text() == sent);
    let answer = ask(process.1, "POST /v1/orders", JSON, sent.as_bytes()).await;
    assert_eq!(answer.json()["bytes"], new(SIZE, r#","version":2"#).len());
    let Some(peak) = crate::memory::peak(process.0.id()) else {
        return eprintln!("skipped: this system does not tell a process's memory");
    };
    assert!(peak < 24, "{peak} MiB for lists of {} MiB", SIZE >> 20);
}
