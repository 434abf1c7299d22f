//! Raw bytes of a caller to a whole gateway on loopback, with a service behind it that takes nothing but strict HTTP.
//!
//! A panic anywhere ends the process: the fuzzer's hook sees to it, also where the gateway would go on.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use bifocal::gateway::{Server, probe};
use bifocal::settings::{Settings, Sources, Value};
use tokio::runtime::{Builder, Runtime};

const SERVICE: &str = "\
versions: {v1: {path: /v1, answered_by: v2}, v2: {path: /v2, upstream: \"http://127.0.0.1:1\"}}
negotiate: [path, {header: API-Version}]
default: v2
";

const RULES: &str = "\
types: {Order: [id, total = price.value: {decimal: 2}]}
routes:
  - POST /v1/orders = POST /v2/orders: {request: Order, 2XX: Order}
  - GET /v1/orders/{id} = GET /v2/orders/{id}: {2XX: Order}
  - POST /v1/files = POST /v2/files
";

/// Requests that reached the service, and heads that the framing accepts, of all inputs so far: what is given up may
/// arrive while the next input is tried.
static REACHED: AtomicUsize = AtomicUsize::new(0);
static ACCEPTED: AtomicUsize = AtomicUsize::new(0);

struct Gateway {
    addr: SocketAddr,
    _runtime: Runtime,
}

static GATEWAY: LazyLock<Gateway> = LazyLock::new(|| {
    let service = TcpListener::bind("127.0.0.1:0").expect("a port");
    let upstream = service.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in service.incoming().flatten() {
            thread::spawn(move || serve(stream));
        }
    });
    let folder = std::env::temp_dir().join(format!("bifocal-fuzz-{}", std::process::id()));
    fs::create_dir_all(folder.join("shop")).expect("a folder");
    fs::write(folder.join("shop/service.yaml"), SERVICE).expect("a file");
    fs::write(folder.join("shop/v1-v2.yaml"), RULES).expect("a file");
    let flags = [
        ("listen", "127.0.0.1:0".to_owned()),
        ("admin", "127.0.0.1:0".to_owned()),
        ("rules", folder.display().to_string()),
        ("state", String::new()),
        ("log.access", "off".to_owned()),
        ("upstreams.shop.v2", format!("http://{upstream}")),
        ("timeouts.header", "100ms".to_owned()),
        ("timeouts.idle", "100ms".to_owned()),
        ("timeouts.body", "100ms".to_owned()),
        ("timeouts.body_gap", "100ms".to_owned()),
        ("limits.body", "64 KiB".to_owned()),
    ];
    let flags = flags.into_iter().map(|(key, value)| (key, Value::from(value))).collect();
    let settings = Settings::load(Sources { flags, ..Sources::default() }).expect("settings");
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let server = runtime.block_on(Server::bind(settings)).expect("a gateway");
    assert_ne!(server.generation(), 0, "{:?}", server.complaints());
    let _ = fs::remove_dir_all(folder);
    let addr = server.addr();
    runtime.spawn(server.run(std::future::pending::<()>()));
    Gateway { addr, _runtime: runtime }
});

/// One caller: the first byte says where its bytes are cut in two.
pub fn exchange(data: &[u8]) {
    let Some((cut, bytes)) = data.split_first() else { return };
    let is_http2 = bytes.starts_with(b"PRI ");
    let heads = probe::framing(bytes, usize::MAX).into_iter().filter(|verdict| *verdict).count();
    // In HTTP/2 a request takes at least the head of a frame.
    let accepted = if is_http2 { bytes.len() / 9 } else { heads };
    ACCEPTED.fetch_add(accepted, Ordering::SeqCst);
    let mut stream = TcpStream::connect(GATEWAY.addr).expect("the gateway listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time");
    let (first, second) = bytes.split_at(usize::from(*cut).min(bytes.len()));
    let sent = stream.write_all(first).and_then(|()| stream.write_all(second));
    // It has said all that it will say.
    let _ = sent.and_then(|()| stream.shutdown(Shutdown::Write));
    let mut answers = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answers) {
        assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "the connection does not end");
    }
    let (reached, accepted) = (REACHED.load(Ordering::SeqCst), ACCEPTED.load(Ordering::SeqCst));
    assert!(reached <= accepted, "{reached} requests reached the service, {accepted} heads are acceptable");
    if !is_http2 {
        check(&answers);
    }
}

/// Answers are well-formed, but for the last, which may be cut.
fn check(mut answers: &[u8]) {
    while !answers.is_empty() {
        let Some(end) = answers.windows(4).position(|four| four == b"\r\n\r\n") else { return };
        let head = std::str::from_utf8(&answers[..end]).expect("a head is text");
        let mut lines = head.split("\r\n");
        let status = lines.next().expect("a line");
        let is_status = status.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).map(str::parse::<u16>);
        let Some(Ok(status @ 100..=599)) = is_status else { panic!("no status line: {status:?}") };
        let (mut length, mut chunked) = (0, false);
        for line in lines {
            let (name, value) = line.split_once(':').expect("a field");
            assert!(!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
            assert!(!value.bytes().any(|byte| byte < b' ' && byte != b'\t'), "{line:?}");
            match &*name.to_ascii_lowercase() {
                "content-length" => length = value.trim().parse().expect("a length"),
                "transfer-encoding" => chunked = true,
                _ => {}
            }
        }
        answers = &answers[end + 4..];
        if status < 200 || status == 204 || status == 304 {
            continue;
        }
        if chunked {
            // Ours are never pipelined behind one another here in a way that matters: it ends where it ends.
            let Some(end) = answers.windows(5).position(|five| five == b"0\r\n\r\n") else { return };
            answers = &answers[end + 5..];
        } else if answers.starts_with(b"HTTP/1.") {
            // An answer to HEAD.
        } else {
            let Some(rest) = answers.get(length..) else { return };
            answers = rest;
        }
    }
}

/// Takes strict HTTP/1.1 and nothing else.
fn serve(mut stream: TcpStream) {
    let mut seen = Vec::new();
    let mut buffer = [0; 16 << 10];
    loop {
        let end = loop {
            if let Some(end) = seen.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            match stream.read(&mut buffer) {
                Ok(read @ 1..) => seen.extend_from_slice(&buffer[..read]),
                _ => return,
            }
        };
        let head = String::from_utf8_lossy(&seen[..end]).into_owned();
        let (length, chunked) = strict(&head);
        seen.drain(..end + 4);
        loop {
            let whole = if chunked { chunks(&seen) } else { (seen.len() >= length).then_some(length) };
            if let Some(whole) = whole {
                seen.drain(..whole);
                break;
            }
            match stream.read(&mut buffer) {
                Ok(read @ 1..) => seen.extend_from_slice(&buffer[..read]),
                _ => return,
            }
        }
        REACHED.fetch_add(1, Ordering::SeqCst);
        let body = if head.starts_with("HEAD ") { "" } else { "{}" };
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{body}");
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// How the body behind a head is framed. Panics where there could be two opinions.
fn strict(head: &str) -> (usize, bool) {
    let mut lines = head.split("\r\n");
    let line: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    assert!(line.len() == 3 && line[1].starts_with('/') && line[2] == "HTTP/1.1", "{head:?}");
    let fields: Vec<(String, &str)> = lines
        .map(|line| line.split_once(':').expect("a field"))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim()))
        .collect();
    let all =
        |wanted: &str| fields.iter().filter(|(name, _)| name == wanted).map(|(_, value)| *value).collect::<Vec<_>>();
    assert_eq!(all("host").len(), 1, "{head:?}");
    let (lengths, codings) = (all("content-length"), all("transfer-encoding"));
    assert!(lengths.len() + codings.len() <= 1, "{head:?}");
    assert!(codings.iter().all(|coding| *coding == "chunked"), "{head:?}");
    for name in ["upgrade", "te", "proxy-authorization", "keep-alive"] {
        assert!(all(name).is_empty(), "{name} was forwarded: {head:?}");
    }
    (lengths.first().map_or(0, |length| length.parse().expect("a length")), !codings.is_empty())
}

/// Where a chunked body ends, if all of it is here.
fn chunks(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let rest = bytes.get(at..)?;
        let line = rest.windows(2).position(|two| two == b"\r\n")?;
        let size = std::str::from_utf8(&rest[..line]).expect("a size");
        let size = usize::from_str_radix(size, 16).expect("a size in hexadecimal digits and nothing else");
        at += line + 2;
        if size == 0 {
            let rest = bytes.get(at..)?;
            if rest.starts_with(b"\r\n") {
                return Some(at + 2);
            }
            return rest.windows(4).position(|four| four == b"\r\n\r\n").map(|end| at + end + 4);
        }
        assert!(bytes.get(at + size..at + size + 2).is_none_or(|end| end == b"\r\n"), "a chunk does not end");
        at += size + 2;
    }
}
