//! Running it: start, stop, admin, logs, limits in time.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::Arc;

use axum::response::IntoResponse;
use bifocal::gateway::Server;
use bifocal::settings::{Settings, Sources, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::support::*;

#[tokio::test]
async fn a_taken_port_is_named_with_its_setting() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    for (setting, other) in [("listen", "admin"), ("admin", "listen")] {
        let flags = vec![
            (setting, Value::from(addr.as_str())),
            (other, Value::from("127.0.0.1:0")),
            ("log.access", Value::from("off")),
        ];
        let settings = Settings::load(Sources { flags, ..Sources::default() }).unwrap();
        let error = Server::bind(settings).await.unwrap_err().to_string();
        let port = taken.local_addr().unwrap().port();
        assert!(error.contains(&format!("port {port} is taken")) && error.contains(&format!("`{setting}`")), "{error}");
    }
}

#[tokio::test]
async fn the_admin_interface_has_its_own_names_and_a_token() {
    let service = Service::start(|_| json(NEW)).await;
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "0123456789abcdef\n").unwrap();
    let flags = vec![
        ("admin_token_file", Value::from(token.path().to_str().unwrap())),
        ("admin_hosts", Value::from(vec!["gate.internal"])),
    ];
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), flags).await;
    let admin = async |line: &str, host: &str, headers: &str| {
        let request = format!("{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n");
        parse(&raw(gateway.admin, request.as_bytes()).await, false)
    };
    let right = "Authorization: Bearer 0123456789abcdef\r\n";
    for (line, host, headers, status) in [
        ("GET /generation", "localhost", "", 200),
        ("GET /generation", "127.0.0.1:9901", "", 200),
        ("GET /generation", "Gate.Internal", "", 200),
        ("GET /generation", "evil.test", "", 421),
        ("POST /reload", "localhost", "", 401),
        ("POST /reload", "localhost", "Authorization: Bearer 0123456789abcdeX\r\n", 401),
        ("POST /reload", "localhost", right, 200),
        ("POST /reload", "localhost", &format!("{right}Origin: http://localhost\r\n"), 403),
        ("GET /reload", "localhost", right, 405),
        ("GET /nothing", "localhost", "", 404),
        ("GET /livez", "localhost", "", 200),
        ("GET /readyz", "localhost", "", 200),
    ] {
        assert_eq!(admin(line, host, headers).await.status, status, "{line} {host} {headers}");
    }
    // The callers' side has none of it.
    assert_eq!(gateway.ask("GET /generation", &[], b"").await.status, 400);
}

#[tokio::test]
async fn every_request_is_logged_and_counted() {
    let service = Service::start(|_| json(NEW)).await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    gateway.ask("GET /v1/orders/7?token=s3cret", &["X-Request-Id: r1"], b"").await;
    gateway
        .ask("POST /v1/orders", &["X-Request-Id: r2", "Content-Type: application/json"], b"{\"state\":\"s3cret\"}")
        .await;
    gateway.ask("GET /v9", &["X-Request-Id: r3"], b"").await;
    let log = gateway.access_log(3).await;
    assert!(!format!("{log:?}").contains("s3cret"), "{log:?}");
    let line = |id: &str| log.iter().find(|line| line["request_id"] == id).unwrap();
    let first = line("r1");
    for (key, value) in [
        ("method", "GET"),
        ("route", "GET /v1/orders/{id}"),
        ("path", "/v1/orders/7"),
        ("service", "orders"),
        ("asked", "v1"),
        ("served", "v2"),
        ("outcome", "ok"),
    ] {
        assert_eq!(first[key], value, "{first}");
    }
    assert_eq!((&first["status"], &first["generation"]), (&200.into(), &1.into()));
    assert!(first["rules"].as_str().unwrap().len() == 12 && first["upstream_ms"].as_f64().unwrap() > 0.0, "{first}");
    assert_eq!((&line("r2")["status"], &line("r2")["fault"]), (&422.into(), &"value".into()));
    assert_eq!((&line("r3")["fault"], &line("r3")["outcome"]), (&"unknown_version".into(), &"refused".into()));

    let metrics = ask(gateway.admin, "GET /metrics", &[], b"").await;
    for expected in [
        "bifocal_requests_total{service=\"orders\",route=\"GET /v1/orders/{id}\",asked=\"v1\",served=\"v2\",class=\"2xx\"} 1",
        "bifocal_faults_total{service=\"orders\",asked=\"v1\",code=\"value\"} 1",
        "bifocal_reloads_total{result=\"applied\"} 1",
        "bifocal_generation 1",
        "# EOF",
    ] {
        assert!(metrics.text().contains(expected), "{expected}\n{}", metrics.text());
    }
    assert!(!metrics.text().contains("/v9"), "paths of requests are no labels");
}

#[tokio::test]
async fn what_is_in_flight_is_finished_before_it_stops() {
    let (begun, mut begins) = tokio::sync::mpsc::channel(1);
    let release = Arc::new(tokio::sync::Notify::new());
    let released = release.clone();
    let service = Service::start_slow(move |_| {
        let (begun, released) = (begun.clone(), released.clone());
        async move {
            let _ = begun.send(()).await;
            released.notified().await;
            json(NEW)
        }
    })
    .await;
    let mut gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    let (addr, admin) = (gateway.addr, gateway.admin);
    let mut idle = TcpStream::connect(addr).await.unwrap();
    let asking = tokio::spawn(async move { ask(addr, "GET /v1/orders/7", &[], b"").await });
    begins.recv().await.unwrap();
    gateway.stop();
    eventually(|| async { (ask(admin, "GET /readyz", &[], b"").await.status == 503).then_some(()) }).await;
    eventually(|| async { TcpStream::connect(addr).await.is_err().then_some(()) }).await;
    assert_eq!(idle.read(&mut [0; 8]).await.unwrap_or(0), 0, "an idle connection is closed");
    release.notify_one();
    assert_eq!(asking.await.unwrap().status, 200);
    assert!(gateway.stopped().await);
}

#[tokio::test]
async fn the_drain_time_ends() {
    let service = Service::start_slow(|_| std::future::pending()).await;
    let flags = vec![("timeouts.drain", Value::from("50ms"))];
    let mut gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), flags).await;
    let mut caller = TcpStream::connect(gateway.addr).await.unwrap();
    caller.write_all(b"GET /v1/orders/7 HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    eventually(|| async { (service.take().len() == 1).then_some(()) }).await;
    gateway.stop();
    assert!(!gateway.stopped().await);
}

#[tokio::test]
async fn silent_callers_are_not_waited_for() {
    let service = Service::start(echo).await;
    let flags = vec![
        ("timeouts.header", Value::from("100ms")),
        ("timeouts.idle", Value::from("100ms")),
        ("timeouts.body", Value::from("100ms")),
        ("timeouts.body_gap", Value::from("100ms")),
    ];
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), flags).await;
    let translated =
        "POST /v1/orders HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{";
    let streamed = translated.replace("v1", "v2");
    for (bytes, expected) in [
        ("", ""),
        ("PRI * HTTP/2", ""),
        ("GET /v2/a HTTP/1.1\r\nHo", "408"),
        (translated, "408"),
        (&streamed, "408"),
        ("GET /v2/a HTTP/1.1\r\nHost: a\r\n\r\n", "200"),
    ] {
        // The other end stays open: it is the gateway that ends this.
        let mut stream = TcpStream::connect(gateway.addr).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let mut answer = String::new();
        tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("still open").unwrap();
        assert_eq!(answer.get(9..12).unwrap_or_default(), expected, "{bytes:?}: {answer}");
    }
}

#[tokio::test]
async fn more_than_it_can_have_in_work_is_refused() {
    let (begun, mut begins) = tokio::sync::mpsc::channel(1);
    let service = Service::start_slow(move |_| {
        let begun = begun.clone();
        async move {
            let _ = begun.send(()).await;
            std::future::pending::<()>().await;
            status(200)
        }
    })
    .await;
    let flags = vec![("limits.in_flight", Value::from(1))];
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), flags).await;
    let mut first = TcpStream::connect(gateway.addr).await.unwrap();
    first.write_all(b"GET /v2/a HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    begins.recv().await.unwrap();
    let answer = gateway.ask("GET /v2/a", &[], b"").await;
    assert_eq!((answer.status, answer.code().as_str(), answer.header("retry-after")), (503, "overloaded", "1"));
    // A caller that goes away makes room, and is logged as gone.
    drop(first);
    let log = gateway.access_log(2).await;
    assert!(log.iter().any(|line| line["status"] == 499 && line["outcome"] == "client_gone"), "{log:?}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_never_a_whole_one() {
    // A service that promises more than it sends.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"id\":1")
                .await;
        }
    });
    let gateway = Gateway::start(&orders(None, Some(addr), "v2"), vec![]).await;
    let answer = gateway.ask("GET /v1/orders/7", &[], b"").await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_broken"));
    let request = b"GET /v2/orders/7 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let streamed = String::from_utf8(raw(gateway.addr, request).await).unwrap();
    assert!(streamed.contains("content-length: 100\r\n") && streamed.ends_with("{\"id\":1"), "{streamed}");
}

#[tokio::test]
async fn a_reused_connection_that_has_ended_costs_a_reader_nothing_and_a_writer_no_double() {
    // A service that closes after one answer without saying so.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let posts = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let counted = posts.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            let read = stream.read(&mut head).await.unwrap_or(0);
            if head[..read].starts_with(b"POST") {
                // Read, then gone without an answer.
                counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                continue;
            }
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await;
        }
    });
    let gateway = Gateway::start(&orders(None, Some(addr), "v2"), vec![]).await;
    for _ in 0..30 {
        assert_eq!(gateway.ask("GET /v2/a", &[], b"").await.status, 200);
    }
    let answer = gateway.ask("POST /v2/a", &[], b"{}").await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_broken"));
    assert_eq!(posts.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_reloads_on_hangup_and_drains_on_terminate() {
    let service = Service::start_slow(|_| async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        json(NEW).into_response()
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    write_rules(folder.path(), &orders(None, Some(service.addr), "v2"));
    let mut process = Command::new(env!("CARGO_BIN_EXE_bifocal"))
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--rules",
            "rules",
            "--access-log",
            "access.log",
        ])
        .env("BIFOCAL_RELOAD__POLL", "1h")
        .env("BIFOCAL_RELOAD__WATCH", "false")
        .current_dir(folder.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(process.stderr.take().unwrap());
    let mut address = |what: &str| loop {
        let mut line = String::new();
        assert!(stderr.read_line(&mut line).unwrap() > 0, "it ended without `{what}`");
        if let Some((_, address)) = line.trim().split_once(what) {
            return address.parse::<std::net::SocketAddr>().unwrap();
        }
    };
    let addr = address("listening on http://");
    let admin = address("admin on http://");
    let kill = |signal: &str| {
        let done = Command::new("kill").args([signal, &process.id().to_string()]).status().unwrap();
        assert!(done.success());
    };
    write(&folder.path().join("rules/orders/v1-v2.yaml"), "routes: [\"GET /v1/orders/{id} = GET /v2/orders/{id}\"]\n");
    kill("-HUP");
    eventually(|| async { (ask(admin, "GET /generation", &[], b"").await.json()["generation"] == 2).then_some(()) })
        .await;
    let asking = tokio::spawn(async move { ask(addr, "GET /v1/orders/7", &[], b"").await });
    eventually(|| async { (service.take().len() == 1).then_some(()) }).await;
    kill("-TERM");
    assert_eq!(asking.await.unwrap().status, 200);
    let ended = tokio::task::spawn_blocking(move || {
        let mut rest = String::new();
        let _ = stderr.read_to_string(&mut rest);
        process.wait().unwrap()
    });
    assert_eq!(ended.await.unwrap().code(), Some(0));
    let log = std::fs::read_to_string(folder.path().join("access.log")).unwrap();
    assert_eq!(log.lines().count(), 1, "every line is written before the end: {log}");
}
