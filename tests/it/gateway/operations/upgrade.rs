//! Replacing the program under load: nobody is refused, nothing fails; a program that does not start replaces nothing.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value as Json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::super::support::*;
use super::process::{Process, ask_unix, folder, send};

/// Callers with a new connection for each request, until told to stop: how many asked, and what failed.
struct Callers {
    done: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
    running: Vec<tokio::task::JoinHandle<Vec<String>>>,
}

impl Callers {
    fn start(addr: SocketAddr) -> Self {
        let (done, count): (Arc<AtomicBool>, Arc<AtomicUsize>) = Default::default();
        let running = (0..4).map(|_| {
            let (done, count) = (done.clone(), count.clone());
            tokio::spawn(async move {
                let mut failed = Vec::new();
                while !done.load(Ordering::Relaxed) {
                    if let Err(why) = call(addr).await {
                        failed.push(why);
                    }
                    count.fetch_add(1, Ordering::Relaxed);
                    // Some hundred requests a second, all of them together.
                    tokio::time::sleep(Duration::from_millis(4)).await;
                }
                failed
            })
        });
        Self { running: running.collect(), done, count }
    }

    /// Waits until so many more have asked.
    async fn ask(&self, more: usize) {
        let until = self.count.load(Ordering::Relaxed) + more;
        eventually(|| async { (self.count.load(Ordering::Relaxed) >= until).then_some(()) }).await;
    }

    async fn stop(self) -> Vec<String> {
        self.done.store(true, Ordering::Relaxed);
        let mut failed = Vec::new();
        for one in self.running {
            failed.extend(one.await.unwrap());
        }
        failed
    }
}

async fn call(addr: SocketAddr) -> Result<(), String> {
    let told = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(addr).await.map_err(told)?;
    let request = "GET /v1/orders/7 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.map_err(told)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.map_err(told)?;
    let text = String::from_utf8_lossy(&answer);
    if text.starts_with("HTTP/1.1 200") && text.contains("\"total\"") { Ok(()) } else { Err(text.into_owned()) }
}

/// A copy of the program that can be replaced.
fn installed(folder: &TempDir) -> PathBuf {
    let program = folder.path().join("bifocal");
    fs::copy(env!("CARGO_BIN_EXE_bifocal"), &program).unwrap();
    program
}

/// Puts another file in its place, as installers do.
fn install(program: &Path, make: impl FnOnce(&Path)) {
    let new = program.with_extension("new");
    make(&new);
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(&new, program).unwrap();
}

/// Whatever becomes of the test, the process that it has not started itself ends.
struct End(u32);

impl Drop for End {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-9", &self.0.to_string()]).output();
    }
}

async fn pid(socket: &Path) -> u32 {
    let config = ask_unix(socket, "GET /config", &[], "").await.json();
    config["program"]["pid"].as_u64().unwrap().try_into().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_program_takes_over_under_load() {
    let service = Service::start(|_| json(NEW)).await;
    let folder = folder(&orders(None, Some(service.addr), "v2"), "");
    let program = installed(&folder);
    let socket = folder.path().join("admin.sock");
    let admin = format!("unix:{}", socket.display());
    let mut old = Process::start_program(&program, &folder, |command: &mut Command| {
        command.args(["--admin", &admin]).env("BIFOCAL_LOG__AUDIT", "audit.log");
    });
    let addr = old.addr().await;
    old.told("admin on unix:").await;
    assert_eq!(pid(&socket).await, old.child.id());
    let callers = Callers::start(addr);
    callers.ask(100).await;

    // One that ends at once.
    install(&program, |new| fs::write(new, "#!/bin/sh\nexit 3\n").unwrap());
    old.signal("-USR2");
    let why = old.told("the new process does not serve; this one goes on").await;
    assert!(why.contains("exit status: 3"), "{why}");
    callers.ask(50).await;
    assert_eq!(pid(&socket).await, old.child.id());

    // One that is good.
    install(&program, |new| assert!(fs::copy(env!("CARGO_BIN_EXE_bifocal"), new).unwrap() > 0));
    old.signal("-USR2");
    let ended = old.ended().await;
    assert_eq!(ended.code(), Some(0), "{}", old.messages());
    let new = pid(&socket).await;
    let _end = End(new);
    assert_ne!(new, old.child.id());
    callers.ask(100).await;
    let failed = callers.stop().await;
    assert!(failed.is_empty(), "{} failed: {failed:?}", failed.len());

    // It is a gateway like any other: it, too, can be told to stop.
    assert_eq!(ask_unix(&socket, "GET /readyz", &[], "").await.status, 200);
    send(new, "-TERM");
    eventually(|| async { (!socket.exists()).then_some(()) }).await;
    eventually(|| async { TcpStream::connect(addr).await.is_err().then_some(()) }).await;
    let audit = fs::read_to_string(folder.path().join("audit.log")).unwrap();
    let upgrades: Vec<Json> = audit.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let results: Vec<&str> = upgrades.iter().map(|line| line["result"].as_str().unwrap()).collect();
    assert_eq!(results, ["failed", "replaced"]);
    assert!(upgrades.iter().all(|line| line["action"] == "upgrade" && line["by"] == "SIGUSR2"));
}
