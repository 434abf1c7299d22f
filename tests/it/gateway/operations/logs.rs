//! What is told in messages and in the access log, and what of it is left out.

use std::fs;
use std::io::Read;
use std::process::Stdio;

use bifocal::settings::Value;
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::super::support::*;
use super::process::{Process, ask_unix, folder};

#[tokio::test]
async fn the_level_changes_for_a_time_by_request_and_by_signal() {
    let service = Service::start(|_| json(NEW)).await;
    let folder = folder(&orders(None, Some(service.addr), "v2"), "");
    let socket = folder.path().join("admin.sock");
    let admin = format!("unix:{}", socket.display());
    let process = Process::start(&folder, |command| {
        command.args(["--admin", &admin]).env("BIFOCAL_LOG__AUDIT", "audit.log");
    });
    let addr = process.addr().await;
    process.told("admin on unix:").await;
    let refused = || ask(addr, "GET /v9", &[], b"");
    refused().await;
    assert!(!process.messages().contains("unknown_version"), "{}", process.messages());

    let louder = json!({"target": "bifocal::gateway::rescue", "level": "debug", "for": "1h"}).to_string();
    let answer = ask_unix(&socket, "PUT /log", &[], &louder).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["changed"][0]["level"], "bifocal::gateway::rescue=debug");
    refused().await;
    process.told("unknown_version").await;
    let metrics = ask_unix(&socket, "GET /metrics", &[], "").await;
    assert!(metrics.text().contains("bifocal_log_level_changed 1"), "{}", metrics.text());
    assert_eq!(ask_unix(&socket, "DELETE /log", &[], "").await.json()["changed"], json!([]));

    // A level holds for its time, then it is as before.
    let short = json!({"level": "debug", "for": "1ms"}).to_string();
    ask_unix(&socket, "PUT /log", &[], &short).await;
    process.told("a change of the log level has ended").await;

    for (wrong, why) in [
        (json!({"level": "loud"}), "a level is"),
        (json!({"target": "hyper", "level": "trace"}), "credentials"),
        (json!({"for": "30h"}), "24 hours"),
        (json!({"lvel": "debug"}), "lvel"),
        (json!({"for": "soon"}), "expected"),
    ] {
        let answer = ask_unix(&socket, "PUT /log", &[], &wrong.to_string()).await;
        assert_eq!(answer.status, 422, "{wrong}");
        assert!(answer.json()["error"].as_str().unwrap().contains(why), "{wrong}: {}", answer.text());
    }

    process.signal("-USR1");
    process.told("info,bifocal=debug for 600 s").await;
    refused().await;
    process.told_times("unknown_version", 2).await;
    process.signal("-USR1");
    process.told("result=\"reset\"").await;
    let audit = eventually(|| async {
        let text = fs::read_to_string(folder.path().join("audit.log")).unwrap_or_default();
        (text.lines().count() == 5).then_some(text)
    })
    .await;
    let by: Vec<Json> = audit.lines().map(|line| serde_json::from_str::<Json>(line).unwrap()["by"].clone()).collect();
    assert_eq!(by, ["admin", "admin", "admin", "SIGUSR1", "SIGUSR1"]);
}

#[tokio::test]
async fn of_what_went_well_a_share_is_logged_and_of_what_did_not_all() {
    let service = Service::start(|_| json(NEW)).await;
    let flags = vec![
        ("log.sample", Value::from(0.25)),
        ("log.slow", Value::from("1h")),
        ("log.without", Value::from(vec!["peer", "consumer", "duration_ms", "generation"])),
    ];
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), flags).await;
    let trace = |at: u64| format!("traceparent: 00-{:016x}{at:016x}-00000000000000ff-01", at.wrapping_mul(0x9e37_79b9));
    for _ in 0..2 {
        for at in 1..=40 {
            assert_eq!(gateway.ask("GET /v1/orders/7", &[&trace(at)], b"").await.status, 200);
        }
    }
    for at in 1..=10 {
        gateway.ask("GET /v9", &[&trace(at)], b"").await;
    }
    let admin = gateway.admin;
    let left_out = eventually(|| async move {
        let metrics = ask(admin, "GET /metrics", &[], b"").await;
        let line = metrics.text().lines().find(|line| line.starts_with("bifocal_access_log_left_out_total "))?;
        line.rsplit(' ').next()?.parse::<usize>().ok().filter(|count| *count > 0)
    })
    .await;
    assert!((40..80).contains(&left_out), "{left_out}");
    let log = gateway.access_log(90 - left_out).await;
    assert_eq!(log.len(), 90 - left_out);
    let (mut good, bad): (Vec<&Json>, Vec<&Json>) = log.iter().partition(|line| line["outcome"] == "ok");
    assert_eq!(bad.len(), 10, "errors are always written");
    // The same traces the second time.
    good.sort_by_key(|line| line["trace_id"].as_str());
    assert!(good.chunks(2).all(|two| two[0]["trace_id"] == two[1]["trace_id"]), "{good:?}");
    for name in ["peer", "consumer", "duration_ms", "generation"] {
        assert!(log.iter().all(|line| line.get(name).is_none()), "{name}");
    }
    assert!(log.iter().all(|line| line["status"].is_u64() && line["path"].is_string()));
}

#[tokio::test]
async fn slow_requests_are_always_logged() {
    let service = Service::start(|_| json(NEW)).await;
    let flags = vec![("log.sample", Value::from(0.0)), ("log.slow", Value::from("1ns"))];
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), flags).await;
    gateway.ask("GET /v1/orders/7", &[], b"").await;
    assert_eq!(gateway.access_log(1).await[0]["outcome"], "ok");
}

#[tokio::test]
async fn whatever_a_request_holds_its_line_is_one_valid_one() {
    let service = Service::start(|_| json(NEW)).await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    let paths: [&[u8]; 7] = [
        b"/v2/%0d%0a%1b[31m",
        b"/v2/\"quoted\\\"",
        b"/v2/\xe2\x80\xa8\xe2\x80\xa9",
        b"/v2/\xff\xfe",
        b"/v2/%00",
        b"/v2/{\"a\":1}",
        b"/v2/\x1b[2J",
    ];
    for path in paths {
        let request =
            [b"GET ", path, b" HTTP/1.1\r\nHost: a\r\nX-Request-Id: a\x1b\xe2\x80\xa8\r\nConnection: close\r\n\r\n"];
        raw(gateway.addr, &request.concat()).await;
    }
    // The last one tells that those before it are written.
    gateway.ask("GET /v2/end", &["X-Request-Id: the-end"], b"").await;
    let file = gateway.folder.path().join("access.log");
    let text = eventually(|| async {
        let text = fs::read(&file).unwrap_or_default();
        String::from_utf8(text).ok().filter(|text| text.contains("the-end"))
    })
    .await;
    for line in text.lines() {
        let line: Json = serde_json::from_str(line).expect(line);
        assert!(line["status"].is_u64() && line["request_id"].is_string());
    }
    assert!(!text.contains('\u{1b}') && !text.contains('\r'), "{text:?}");
    assert_eq!(text.split('\n').count(), text.lines().count() + 1, "one line break a line");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_of_logs_that_do_not_read_stop_nobody() {
    let service = Service::start(|_| json(NEW)).await;
    let settings = "[log]\nlevel = 'info,bifocal=debug'\n[limits]\nconnection_requests = 100000\n";
    let folder = folder(&orders(None, Some(service.addr), "v2"), settings);
    let socket = folder.path().join("admin.sock");
    let admin = format!("unix:{}", socket.display());
    // Both ends of both pipes are open, and nobody reads.
    let mut process = Process::start(&folder, |command| {
        command.args(["--admin", &admin]).env("BIFOCAL_LOG__ACCESS", "stdout").stdout(Stdio::piped());
    });
    let mut stdout = process.child.stdout.take().unwrap();
    let addr = process.addr().await;
    let long = format!(
        "GET /v1/orders/7?{} HTTP/1.1\r\nHost: a\r\nX-Request-Id: {}\r\n\r\n",
        "q".repeat(100),
        "i".repeat(120)
    );
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let mut answer = [0; 4096];
    let answered = async {
        // Far more than the pipe and the buffer hold together.
        for _ in 0..12_000 {
            stream.write_all(long.as_bytes()).await.unwrap();
            let read = stream.read(&mut answer).await.unwrap();
            assert!(answer[..read].starts_with(b"HTTP/1.1 200"), "{:?}", String::from_utf8_lossy(&answer[..read]));
        }
    };
    tokio::time::timeout(PATIENCE * 3, answered).await.expect("requests go on");
    let metrics = ask_unix(&socket, "GET /metrics", &[], "").await;
    let dropped = metrics.text().lines().find(|line| line.starts_with("bifocal_access_log_dropped ")).unwrap();
    assert!(dropped.rsplit(' ').next().unwrap().parse::<u64>().unwrap() > 0, "{dropped}");
    // Whatever is read then is whole lines.
    let reading = tokio::task::spawn_blocking(move || {
        let mut some = vec![0; 32 << 10];
        stdout.read_exact(&mut some).unwrap();
        some
    });
    let some = String::from_utf8(reading.await.unwrap()).unwrap();
    let lines: Vec<&str> = some.lines().collect();
    for line in &lines[..lines.len() - 1] {
        serde_json::from_str::<Json>(line).unwrap();
    }
}
