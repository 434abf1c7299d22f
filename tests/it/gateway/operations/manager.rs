//! Under a service manager: what it is told, sockets that it has opened, and how the program ends.

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::super::support::*;
use super::process::{Process, folder};

/// What the service manager has heard, up to a line that holds `last`.
async fn heard(manager: &UnixDatagram, last: &str) -> String {
    let mut all = String::new();
    loop {
        let mut told = [0; 4096];
        let manager = manager.try_clone().unwrap();
        let (read, told) = tokio::task::spawn_blocking(move || (manager.recv(&mut told), told)).await.unwrap();
        let text = String::from_utf8_lossy(&told[..read.expect("nothing is told")]).into_owned();
        all += &text;
        if text.contains(last) {
            return all;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_manager_is_told_how_it_stands() {
    let service = Service::start(|_| json(NEW)).await;
    let folder = folder(&orders(None, Some(service.addr), "v2"), "[timeouts]\nleave = '1s'\n");
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut process = Process::start(&folder, |command: &mut Command| {
        command.args(["--admin", "127.0.0.1:0"]).env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000");
    });
    let (addr, admin) = (process.addr().await, process.admin().await);
    assert!(!heard(&manager, "READY=1").await.contains("MAINPID"));
    heard(&manager, "WATCHDOG=1").await;
    process.signal("-HUP");
    let reload = heard(&manager, "READY=1").await;
    assert!(reload.contains("RELOADING=1\nMONOTONIC_USEC="), "{reload}");

    // First not ready, then no new connections.
    process.signal("-TERM");
    heard(&manager, "STOPPING=1").await;
    eventually(|| async { (ask(admin, "GET /readyz", &[], b"").await.status == 503).then_some(()) }).await;
    let answer = ask(addr, "GET /v1/orders/7", &[], b"").await;
    assert_eq!((answer.status, answer.header("connection")), (200, "close"));
    assert_eq!(process.ended().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_it_at_once() {
    let service = Service::start_slow(|_| std::future::pending()).await;
    let folder = folder(&orders(None, Some(service.addr), "v2"), "[timeouts]\ndrain = '1h'\n");
    let mut process = Process::start(&folder, |command: &mut Command| {
        command.args(["--admin", "127.0.0.1:0"]);
    });
    let mut caller = TcpStream::connect(process.addr().await).await.unwrap();
    caller.write_all(b"GET /v1/orders/7 HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    eventually(|| async { (service.take().len() == 1).then_some(()) }).await;
    process.signal("-TERM");
    process.told("stopping: no new connections").await;
    process.signal("-INT");
    assert_eq!(process.ended().await.code(), Some(1));
    process.told("ending at once").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_of_the_service_manager_are_used() {
    let service = Service::start(|_| json(NEW)).await;
    let folder = folder(&orders(None, Some(service.addr), "v2"), "");
    let listen = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (addr, admin_addr) = (listen.local_addr().unwrap(), admin.local_addr().unwrap());
    // A shell puts them where a service manager would: from descriptor 3 on.
    let (first, second) = (listen.try_clone().unwrap(), admin.try_clone().unwrap());
    let script =
        "exec 3<&0 4>&1; LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=listen:admin exec \"$0\" serve </dev/null >&2";
    let mut command = Command::new("sh");
    command
        .args(["-c", script, env!("CARGO_BIN_EXE_bifocal")])
        .env("BIFOCAL_LISTEN", "127.0.0.1:1")
        .env("BIFOCAL_ADMIN", "127.0.0.1:1")
        .env("BIFOCAL_LOG__ACCESS", "off")
        .current_dir(folder.path())
        .stdin(std::os::fd::OwnedFd::from(first))
        .stdout(std::os::fd::OwnedFd::from(second))
        .stderr(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    drop((listen, admin, command));
    // A connection that comes before the program is ready waits for it.
    let answer = tokio::time::timeout(Duration::from_secs(20), ask(addr, "GET /v1/orders/7", &[], b"")).await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(ask(admin_addr, "GET /readyz", &[], b"").await.status, 200);
    child.kill().unwrap();
    child.wait().unwrap();
}
