//! A gateway on free ports of the loopback address, services behind it, and callers in raw bytes.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bifocal::gateway::{Brokers, Server};
use bifocal::settings::{Settings, Sources, Value};
use http::{HeaderMap, HeaderName, Method, StatusCode, Uri};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;

/// Long enough for a slow machine; no test waits for it to pass.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// What a service was asked.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Seen {
    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// A service that answers as told and remembers what it was asked.
pub(super) struct Service {
    pub(super) addr: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Service {
    pub(super) async fn start(answer: impl Fn(&Seen) -> Response + Clone + Send + Sync + 'static) -> Self {
        Self::start_slow(move |seen| {
            let response = answer(&seen);
            async move { response }
        })
        .await
    }

    /// The same at one address.
    pub(super) async fn start_at(
        at: SocketAddr,
        answer: impl Fn(&Seen) -> Response + Clone + Send + Sync + 'static,
    ) -> Self {
        let answer = move |seen: Seen| {
            let response = answer(&seen);
            async move { response }
        };
        Self::over(TcpListener::bind(at).await.unwrap(), answer)
    }

    pub(super) async fn start_slow<F>(answer: impl Fn(Seen) -> F + Clone + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Response> + Send + 'static,
    {
        Self::over(TcpListener::bind("127.0.0.1:0").await.unwrap(), answer)
    }

    /// One that waits for a permit before each answer.
    pub(super) async fn start_gated(
        answer: impl Fn(&Seen) -> Response + Clone + Send + Sync + 'static,
    ) -> (Self, Arc<Semaphore>) {
        let gate = Arc::new(Semaphore::new(0));
        let opened = gate.clone();
        let service = Self::start_slow(move |seen| {
            let (opened, answer) = (opened.clone(), answer.clone());
            async move {
                opened.acquire().await.unwrap().forget();
                answer(&seen)
            }
        });
        (service.await, gate)
    }

    fn over<F>(listener: TcpListener, answer: impl Fn(Seen) -> F + Clone + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Response> + Send + 'static,
    {
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let addr = listener.local_addr().unwrap();
        let log = seen.clone();
        let router = Router::new().fallback(move |request: Request| {
            let (log, answer) = (log.clone(), answer.clone());
            async move {
                let (parts, body) = request.into_parts();
                // What does not arrive whole has not been asked.
                let Ok(body) = to_bytes(body, usize::MAX).await else { return StatusCode::BAD_REQUEST.into_response() };
                let seen = Seen { method: parts.method, uri: parts.uri, headers: parts.headers, body: body.to_vec() };
                log.lock().unwrap().push(seen.clone());
                answer(seen).await
            }
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { addr, seen }
    }

    /// Everything since the last look.
    pub(super) fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }

    /// The one request since the last look.
    pub(super) fn take_one(&self) -> Seen {
        let mut seen = self.take();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen.remove(0)
    }
}

/// A JSON response.
pub(super) fn json(text: impl Into<String>) -> Response {
    ([("content-type", "application/json")], text.into()).into_response()
}

/// Answers with the body that was sent, or `{}`.
pub(super) fn echo(seen: &Seen) -> Response {
    if seen.body.is_empty() { json("{}") } else { json(seen.text()) }
}

/// The same, of something that was made.
pub(super) fn created_echo(seen: &Seen) -> Response {
    let mut response = echo(seen);
    *response.status_mut() = StatusCode::CREATED;
    response
}

/// A running gateway.
pub(super) struct Gateway {
    pub(super) addr: SocketAddr,
    /// The first address with TLS.
    pub(super) tls: Option<SocketAddr>,
    pub(super) admin: SocketAddr,
    pub(super) folder: Arc<TempDir>,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<bool>,
}

impl Gateway {
    /// Starts over `rules` (path and text) with further settings.
    pub(super) async fn start(rules: &[(&str, String)], flags: Vec<(&'static str, Value)>) -> Self {
        Self::start_with(rules, flags, Brokers::new()).await
    }

    /// The same with brokers of the test's own.
    pub(super) async fn start_with(
        rules: &[(&str, String)],
        flags: Vec<(&'static str, Value)>,
        brokers: Brokers,
    ) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        fs::create_dir_all(folder.path().join("rules")).unwrap();
        write_rules(folder.path(), rules);
        Self::start_among(folder, flags, brokers).await
    }

    /// Starts over a folder that has `rules` and maybe `state`.
    pub(super) async fn start_in(folder: Arc<TempDir>, flags: Vec<(&'static str, Value)>) -> Self {
        Self::start_among(folder, flags, Brokers::new()).await
    }

    pub(super) async fn start_among(folder: Arc<TempDir>, flags: Vec<(&'static str, Value)>, brokers: Brokers) -> Self {
        let path = |name: &str| Value::from(folder.path().join(name).to_str().unwrap());
        let mut all = vec![
            ("listen", Value::from("127.0.0.1:0")),
            ("admin", Value::from("127.0.0.1:0")),
            ("rules", path("rules")),
            ("state", path("state")),
            ("log.access", path("access.log")),
            ("reload.watch", Value::from(false)),
        ];
        all.extend(flags);
        let settings = Settings::load(Sources { flags: all, ..Sources::default() }).unwrap();
        let server = Server::bind_with(settings, brokers).await.unwrap();
        let (addr, tls, admin) = (server.addr(), server.tls_addrs().first().copied(), server.admin_addr());
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(server.run(async move {
            let _ = stopped.await;
        }));
        Self { addr, tls, admin, folder, stop: Some(stop), running }
    }

    /// Tells it to stop; the handle ends when it has. True: everything in flight was finished.
    pub(super) fn stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
    }

    pub(super) async fn stopped(self) -> bool {
        tokio::time::timeout(PATIENCE, self.running).await.unwrap().unwrap()
    }

    pub(super) fn rules(&self, path: &str) -> PathBuf {
        self.folder.path().join("rules").join(path)
    }

    /// Writes further rules, or others; nobody is told.
    pub(super) fn put(&self, rules: &[(impl AsRef<Path>, String)]) {
        write_rules(self.folder.path(), rules);
    }

    /// Sends a request in raw lines (`Host` and `Connection: close` are added) and a body.
    pub(super) async fn ask(&self, line: &str, headers: &[&str], body: &[u8]) -> Answer {
        ask(self.addr, line, headers, body).await
    }

    /// `POST /reload`.
    pub(super) async fn reload(&self) -> (u16, serde_json::Value) {
        let answer = ask(self.admin, "POST /reload", &[], b"").await;
        (answer.status, answer.json())
    }

    /// Access log lines, as soon as there are `count` of them.
    pub(super) async fn access_log(&self, count: usize) -> Vec<serde_json::Value> {
        let file = self.folder.path().join("access.log");
        eventually(|| async {
            let text = fs::read_to_string(&file).unwrap_or_default();
            let lines: Vec<_> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            (lines.len() >= count).then_some(lines)
        })
        .await
    }
}

pub(super) fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Writes rules (path and text) into the `rules` of a folder.
pub(super) fn write_rules(folder: &Path, rules: &[(impl AsRef<Path>, String)]) {
    for (path, text) in rules {
        write(&folder.join("rules").join(path), text);
    }
}

/// Asks again and again until there is an answer.
pub(super) async fn eventually<T, F: Future<Output = Option<T>>>(mut ask: impl FnMut() -> F) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.expect("it never came true")
}

/// What a caller got.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("a JSON document")
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The problem's code.
    pub(super) fn code(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status);
        assert_eq!(problem["request_id"], self.header("x-request-id"));
        problem["code"].as_str().unwrap().to_owned()
    }
}

pub(super) async fn ask(addr: SocketAddr, line: &str, headers: &[&str], body: &[u8]) -> Answer {
    let length = format!("Content-Length: {}", body.len());
    let mut lines = vec![format!("{line} HTTP/1.1"), "Host: localhost".to_owned(), "Connection: close".to_owned()];
    lines.extend(headers.iter().map(|&header| header.to_owned()));
    lines.extend((!body.is_empty() || line.starts_with('P')).then_some(length));
    let head = lines.join("\r\n") + "\r\n\r\n";
    let bytes = raw(addr, &[head.as_bytes(), body].concat()).await;
    parse(&bytes, line.starts_with("HEAD "))
}

/// Asks for an operation until it is over.
pub(super) async fn until_over(addr: SocketAddr, location: &str, headers: &[&str]) -> Answer {
    eventually(|| async {
        let answer = ask(addr, &format!("GET {location}"), headers, b"").await;
        (answer.status != 200).then_some(answer)
    })
    .await
}

/// Sends bytes, reads to the end.
pub(super) async fn raw(addr: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let exchange = async {
        let (mut read, mut write) = TcpStream::connect(addr).await.unwrap().into_split();
        let bytes = bytes.to_vec();
        // A refused body is not read to its end.
        let sending = tokio::spawn(async move {
            let _ = write.write_all(&bytes).await;
            write
        });
        let mut answer = Vec::new();
        let _ = read.read_to_end(&mut answer).await;
        sending.abort();
        answer
    };
    tokio::time::timeout(PATIENCE, exchange).await.expect("no answer")
}

/// Reads the first response.
pub(super) fn parse(bytes: &[u8], to_head: bool) -> Answer {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.expect("a response");
    let mut lines = std::str::from_utf8(&bytes[..end]).unwrap().split("\r\n");
    let status = lines.next().unwrap()[9..12].parse().unwrap();
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').unwrap();
        headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.trim().parse().unwrap());
    }
    let mut rest = &bytes[end + 4..];
    let mut body = Vec::new();
    if to_head || status == 204 || status == 304 {
        assert!(rest.is_empty(), "a body where none may be");
    } else if headers.get("transfer-encoding").is_some() {
        loop {
            let line = rest.windows(2).position(|two| two == b"\r\n").expect("cut off");
            let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
            if size == 0 {
                break;
            }
            body.extend_from_slice(&rest[line + 2..line + 2 + size]);
            rest = &rest[line + 4 + size..];
        }
    } else {
        let length = headers.get("content-length").map(|value| value.to_str().unwrap().parse::<usize>().unwrap());
        body = rest[..length.unwrap_or(rest.len())].to_vec();
    }
    Answer { status, headers, body }
}

/// Rules of a service with an old and a new version of orders; both may have a service of their own.
pub(super) fn orders(
    old: Option<SocketAddr>,
    new: Option<SocketAddr>,
    answered_by: &str,
) -> Vec<(&'static str, String)> {
    let version = |name: &str, addr: Option<SocketAddr>| {
        let upstream = addr.map(|addr| format!(", upstream: \"http://{addr}\"")).unwrap_or_default();
        format!("  {name}: {{path: /{name}, answered_by: {answered_by}{upstream}}}\n")
    };
    let service = format!(
        "versions:\n{}{}negotiate: [path, {{header: API-Version}}, {{query: version}}, {{media_type: version}}]\n\
         answer_header: Bifocal-Answer\n",
        version("v1", old),
        version("v2", new)
    );
    vec![("orders/service.yaml", service), ("orders/v1-v2.yaml", ORDER_RULES.to_owned())]
}

/// The same where the new version's service answers both, with more in `service.yaml`.
pub(super) fn orders_with(new: SocketAddr, more: &str) -> Vec<(&'static str, String)> {
    let mut rules = orders(None, Some(new), "v2");
    rules[0].1.push_str(more);
    rules
}

const ORDER_RULES: &str = r"
types:
  Order:
    - id
    - total = price.value: {decimal: 2}
    - state = status: {enum: {open: OPEN, closed: DONE}}
routes:
  - GET /v1/orders/{id} = GET /v2/orders/{id}: {2XX: Order, 4XX: [body.field = body.member]}
  - PUT /v1/orders/{id} = PUT /v2/orders/{id}: {write: merge, request: Order, 2XX: Order}
  - POST /v1/orders = POST /v2/orders: {request: Order, 2XX: Order}
  - POST /v1/files = POST /v2/files
";

/// The same order in both versions.
pub(super) const OLD: &str = r#"{"id": 7, "total": 1999, "state":"open","note":"\u00e9 1.10"}"#;
pub(super) const NEW: &str = r#"{"id": 7, "price":{"value":"19.99"}, "status":"OPEN","note":"\u00e9 1.10"}"#;

/// Whether two texts are the same document.
pub(super) fn same(left: &str, right: &str) -> bool {
    let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    read(left) == read(right)
}

/// An empty body.
pub(super) fn status(status: u16) -> Response {
    (StatusCode::from_u16(status).unwrap(), Body::empty()).into_response()
}
