//! Whatever callers send, what is counted of them stays as small as the rules are.

use std::fmt::Write as _;
use std::net::SocketAddr;

use serde_json::Value as Json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::super::process::Process;
use super::super::support::*;

/// Requests in all, each with at least five names that no other has.
const REQUESTS: usize = 20_000;
/// Those that everything has seen once: from there on nothing may grow.
const WARM: usize = 5_000;
/// Requests that are sent before their answers are read.
const TOGETHER: usize = 200;
/// How each answer begins.
const REFUSED: &[u8] = b"HTTP/1.1 4";
const CONNECTIONS: usize = 4;

/// One request like no other: in whom its caller says that it is, what it asks for, at which host and in which trace, and
/// some in their version or their method.
fn request(number: usize) -> String {
    let line = match number % 4 {
        0 => format!("GET /v1/orders/{number}/x"),
        1 => format!("GET /v1/path-{number}?q={number}"),
        2 => format!("GET /path-{number}?version=version-{number}"),
        _ => format!("M{number} /v1/path-{number}"),
    };
    format!(
        "{line} HTTP/1.1\r\nHost: host-{number}.example\r\nX-Consumer: consumer-{number}\r\n\
         X-Request-Id: id-{number}\r\ntraceparent: 00-{:032x}-00f067aa0ba902b7-01\r\n\r\n",
        number + 1
    )
}

/// Sends these, each `TOGETHER` on a connection of their own, and reads as many answers.
async fn send(addr: SocketAddr, mut numbers: impl Iterator<Item = usize>) {
    loop {
        let text: Vec<String> = numbers.by_ref().take(TOGETHER).map(request).collect();
        if text.is_empty() {
            return;
        }
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(text.concat().as_bytes()).await.unwrap();
        let (mut owed, mut left, mut bytes) = (text.len(), Vec::new(), vec![0; 64 << 10]);
        while owed > 0 {
            let count = stream.read(&mut bytes).await.unwrap();
            assert!(count > 0, "the connection was closed: {owed} answers are owed");
            left.extend_from_slice(&bytes[..count]);
            owed -= left.windows(REFUSED.len()).filter(|part| *part == REFUSED).count();
            // What is left may be the beginning of one.
            left.drain(..left.len().saturating_sub(REFUSED.len() - 1));
        }
    }
}

async fn send_all(addr: SocketAddr, from: usize, to: usize) {
    let sending: Vec<_> =
        (0..CONNECTIONS).map(|at| tokio::spawn(send(addr, (from + at..to).step_by(CONNECTIONS)))).collect();
    for one in sending {
        one.await.unwrap();
    }
}

/// What the process holds, in KiB.
fn resident(pid: u32) -> usize {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// The names and labels of all series.
async fn series(admin: SocketAddr) -> Vec<String> {
    let answer = ask(admin, "GET /metrics", &["Accept: application/openmetrics-text"], b"").await;
    let samples = answer.text().lines().filter(|line| !line.starts_with('#'));
    samples.map(|line| line.split(" # ").next().unwrap().rsplit_once(' ').unwrap().0.to_owned()).collect()
}

fn count(ledger: &Json) -> (usize, u64) {
    let service = &ledger["services"]["orders"];
    let rows = service["rows"].as_array().unwrap();
    let others = service["other"].as_u64().unwrap();
    (rows.len(), rows.iter().map(|row| row["count"].as_u64().unwrap()).sum::<u64>() + others)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_names_of_callers_are_not_a_hundred_thousand_series() {
    let folder = tempfile::tempdir().unwrap();
    write_rules(folder.path(), &orders_with(([127, 0, 0, 1], 9).into(), "consumer: [header.X-Consumer]\n"));
    let process = Process::start(folder.path());
    send_all(process.addr, 0, WARM).await;
    let (known, held) = (series(process.admin).await, resident(process.id()));
    send_all(process.addr, WARM, REQUESTS).await;
    let (after, kept) = (series(process.admin).await, resident(process.id()));
    let mut told = String::new();
    for one in after.iter().filter(|one| !known.contains(one)) {
        let _ = writeln!(told, "{one}");
    }
    assert!(told.is_empty() && after.len() < 300, "{} series, new ones:\n{told}", after.len());
    let named = after.iter().find(|one| one.contains("consumer-") || one.contains("path-") || one.contains(".example"));
    assert_eq!(named, None);
    assert!(kept < held + (16 << 10), "{held} KiB after {WARM} requests, {kept} KiB after {REQUESTS}");

    // The ledger has so many rows, and the sum of all is exact: of those whose version is known, three of four.
    let ledger = ask(process.admin, "GET /ledger", &[], b"").await;
    let (rows, sum) = count(&ledger.json());
    assert!(rows <= 1000 && ledger.text().len() < 1 << 20, "{rows} rows, {} bytes", ledger.text().len());
    assert_eq!(sum, (REQUESTS / 4 * 3) as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_bodies_leave_nothing_behind() {
    let service = Service::start(|_| json(NEW)).await;
    let folder = tempfile::tempdir().unwrap();
    write_rules(folder.path(), &orders(None, Some(service.addr), "v2"));
    let process = Process::start(folder.path());
    let body = format!(r#"{{"id":7,"total":1999,"state":"open","note":"{}"}}"#, "x".repeat(8 << 20));
    let post =
        async || ask(process.addr, "POST /v1/orders", &["Content-Type: application/json"], body.as_bytes()).await;
    assert_eq!(post().await.status, 200);
    let (mut most, before) = (0, resident(process.id()));
    for _ in 0..24 {
        assert_eq!(post().await.status, 200);
        drop(service.take());
        most = most.max(resident(process.id()));
    }
    // One of them is there three times while it is in work: as it came, as it goes, and in the buffers in between.
    assert!(most < before + (48 << 10), "{before} KiB after one, {most} KiB after many");
}
