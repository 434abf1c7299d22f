//! The admin address: who may do what, and what is told of it.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::process::Command;

use bifocal::gateway::Server;
use bifocal::settings::{Settings, Sources, Value};
use serde_json::Value as Json;
use tempfile::TempDir;

use super::super::support::*;
use super::process::ask_unix;

/// A gateway with its admin socket in a folder.
async fn with_socket(flags: Vec<(&'static str, Value)>) -> (Gateway, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(|_| json(NEW)).await;
    let admin = format!("unix:{}", folder.path().join("admin.sock").display());
    let audit = folder.path().join("audit.log");
    let mut all = vec![("admin", Value::from(admin)), ("log.audit", Value::from(audit.to_str().unwrap()))];
    all.extend(flags);
    (Gateway::start(&orders(None, Some(service.addr), "v2"), all).await, folder)
}

fn token(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    file
}

#[tokio::test]
async fn a_unix_socket_serves_those_who_may_open_it() {
    let (gateway, folder) = with_socket(vec![("admin_mode", Value::from("640"))]).await;
    let socket = folder.path().join("admin.sock");
    let data = fs::symlink_metadata(&socket).unwrap();
    assert!(data.file_type().is_socket() && data.permissions().mode() & 0o777 == 0o640, "{data:?}");
    for (line, status) in [
        ("GET /generation", 200),
        ("POST /reload", 200),
        ("POST /drain", 200),
        ("GET /readyz", 503),
        ("POST /undrain", 200),
        ("GET /readyz", 200),
        ("GET /livez", 200),
        ("GET /drain", 405),
        ("HEAD /undrain", 405),
        ("GET /nothing", 404),
    ] {
        assert_eq!(ask_unix(&socket, line, &[], "").await.status, status, "{line}");
    }
    // Pages of a browser do not get here, and would be refused.
    assert_eq!(ask_unix(&socket, "POST /drain", &["Sec-Fetch-Site: cross-site"], "").await.status, 403);
    let path = format!("unix:{}", socket.display());
    let ledger = tokio::task::spawn_blocking(move || {
        Command::new(env!("CARGO_BIN_EXE_bifocal")).args(["ledger", "--admin", &path]).output().unwrap()
    });
    let ledger = ledger.await.unwrap();
    assert!(ledger.status.success() && String::from_utf8_lossy(&ledger.stdout).contains("SERVICE"), "{ledger:?}");

    // Who it was is told, as the system says.
    let audit = folder.path().join("audit.log");
    let lines = eventually(|| async {
        let text = fs::read_to_string(&audit).unwrap_or_default();
        let lines: Vec<Json> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (lines.len() >= 3).then_some(lines)
    })
    .await;
    let actions: Vec<&str> = lines.iter().map(|line| line["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["reload", "drain", "undrain"]);
    assert_eq!(lines[0]["pid"], std::process::id());
    assert!(lines[0]["uid"].is_u64() && lines[0]["by"] == "admin" && lines[0]["result"] == "unchanged", "{}", lines[0]);
    let (from, to) = (&lines[0]["from"], &lines[0]["to"]);
    assert!(from == to && from["generation"] == 1 && from["rules"].as_str().unwrap().len() == 12, "{}", lines[0]);
    drop(gateway);
}

#[tokio::test]
async fn a_socket_that_was_left_behind_is_replaced_and_one_in_use_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("admin.sock");
    let bind = async || {
        let flags = vec![
            ("listen", Value::from("127.0.0.1:0")),
            ("admin", Value::from(format!("unix:{}", socket.display()))),
            ("log.access", Value::from("off")),
            ("state", Value::from("")),
            ("rules", Value::from(folder.path().to_str().unwrap())),
        ];
        Server::bind(Settings::load(Sources { flags, ..Sources::default() }).unwrap()).await
    };
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert!(socket.exists(), "nobody listens, the file is there");
    let first = bind().await.unwrap();
    let taken = bind().await.unwrap_err().to_string();
    assert!(taken.contains("another process listens there") && taken.contains("`admin`"), "{taken}");
    drop(first);
    fs::remove_file(&socket).unwrap();
    fs::write(&socket, "precious").unwrap();
    let other = bind().await.unwrap_err().to_string();
    assert!(other.contains("something else than a socket"), "{other}");
    assert_eq!(fs::read_to_string(&socket).unwrap(), "precious");
}

#[tokio::test]
async fn without_a_token_changes_need_the_socket() {
    let service = Service::start(|_| json(NEW)).await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    let admin = gateway.admin;
    assert_eq!(ask(admin, "POST /reload", &[], b"").await.status, 200, "it does what happens anyway");
    for line in ["POST /drain", "POST /undrain", "PUT /log", "DELETE /log"] {
        let answer = ask(admin, line, &[], b"").await;
        assert_eq!((answer.status, answer.code().as_str()), (403, "admin_closed"), "{line}");
        assert!(answer.text().contains("admin_token_file"), "{}", answer.text());
    }
    assert_eq!(ask(admin, "GET /readyz", &[], b"").await.status, 200);
}

#[tokio::test]
async fn tokens_change_while_it_runs_and_may_be_asked_of_readers() {
    let service = Service::start(|_| json(NEW)).await;
    let file = token("ci 0123456789abcdef\n");
    let flags =
        vec![("admin_token_file", Value::from(file.path().to_str().unwrap())), ("admin_reads", Value::from("token"))];
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), flags).await;
    let status = async |line: &str, header: &str| ask(gateway.admin, line, &[header], b"").await.status;
    let (old, new) = ("Authorization: Bearer 0123456789abcdef", "authorization: bearer fedcba9876543210");
    for line in ["GET /generation", "GET /config", "GET /metrics", "GET /ledger", "GET /log", "POST /drain"] {
        assert_eq!(status(line, "X-A: b").await, 401, "{line}");
        assert_eq!(status(line, old).await, 200, "{line}");
    }
    for probe in ["GET /livez", "GET /readyz"] {
        assert_ne!(status(probe, "X-A: b").await, 401, "{probe}");
    }
    assert_eq!(status("GET /config", new).await, 401);
    fs::write(file.path(), "# next week's\nfedcba9876543210\n").unwrap();
    assert_eq!((status("GET /config", new).await, status("GET /config", old).await), (200, 401));
    // Nobody gets in by a file that is gone.
    fs::remove_file(file.path()).unwrap();
    assert_eq!(status("POST /reload", new).await, 401);
    assert_eq!(status("POST /reload", "Authorization: Bearer ").await, 401);
}

#[tokio::test]
async fn settings_are_shown_with_their_sources_and_without_secrets() {
    let service = Service::start(|_| json(NEW)).await;
    let secret = token("0123456789abcdef\n");
    let headers = token("Authorization: Bearer collectors-secret\n");
    let flags = vec![
        ("admin_token_file", Value::from(secret.path().to_str().unwrap())),
        ("telemetry.headers_file", Value::from(headers.path().to_str().unwrap())),
        ("limits.body", Value::from("1 MiB")),
    ];
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), flags).await;
    let answer = ask(gateway.admin, "GET /config", &[], b"").await;
    let config = answer.json();
    let setting = |key: &str| (config["settings"][key]["value"].clone(), config["settings"][key]["source"].clone());
    assert_eq!(setting("limits.body"), ("1 MiB".into(), "--limits-body".into()));
    assert_eq!(setting("limits.depth"), (128.into(), "default".into()));
    assert_eq!(setting("admin_token_file").0, secret.path().to_str().unwrap());
    assert_eq!(config["generation"]["number"], 1);
    assert_eq!(config["program"]["version"], env!("CARGO_PKG_VERSION"));
    for word in ["0123456789abcdef", "collectors-secret"] {
        assert!(!answer.text().contains(word), "{}", answer.text());
    }
    let again = ask(gateway.admin, "GET /config", &[], b"").await;
    assert_eq!(again.body, answer.body, "the same text each time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_is_answered_while_callers_are_refused() {
    let service = Service::start_slow(|_| std::future::pending()).await;
    let flags = vec![("limits.in_flight", Value::from(4)), ("limits.connections", Value::from(8))];
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), flags).await;
    let mut callers = Vec::new();
    for _ in 0..64 {
        let addr = gateway.addr;
        callers.push(tokio::spawn(async move { ask(addr, "GET /v1/orders/7", &[], b"").await }));
    }
    let mut seen = 0;
    eventually(|| {
        seen += service.take().len();
        async move { (seen == 4).then_some(()) }
    })
    .await;
    for line in ["GET /livez", "GET /metrics", "GET /config", "POST /reload"] {
        let begun = std::time::Instant::now();
        assert_eq!(ask(gateway.admin, line, &[], b"").await.status, 200, "{line}");
        assert!(begun.elapsed().as_secs() < 1, "{line} took {:?}", begun.elapsed());
    }
    callers.iter().for_each(tokio::task::JoinHandle::abort);
}
