//! The program itself, as an operator runs it.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::super::support::*;

/// The program over a folder of its own, which holds `rules`, `bifocal.toml` and what it writes.
pub(in crate::gateway) struct Process {
    _folder: Arc<TempDir>,
    pub(in crate::gateway) child: Child,
    /// Its messages so far.
    messages: Arc<Mutex<Vec<String>>>,
}

/// A folder with rules and settings.
pub(in crate::gateway) fn folder(rules: &[(&str, String)], settings: &str) -> Arc<TempDir> {
    let folder = tempfile::tempdir().unwrap();
    write_rules(folder.path(), rules);
    write(&folder.path().join("bifocal.toml"), settings);
    Arc::new(folder)
}

impl Process {
    /// `bifocal serve` on free ports.
    pub(in crate::gateway) fn start(folder: &Arc<TempDir>, change: impl FnOnce(&mut Command)) -> Self {
        Self::start_program(Path::new(env!("CARGO_BIN_EXE_bifocal")), folder, change)
    }

    pub(in crate::gateway) fn start_program(
        program: &Path,
        folder: &Arc<TempDir>,
        change: impl FnOnce(&mut Command),
    ) -> Self {
        let mut command = Command::new(program);
        command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .env("BIFOCAL_LOG__ACCESS", "access.log")
            .env("BIFOCAL_RELOAD__WATCH", "false")
            .env("BIFOCAL_RELOAD__POLL", "1h")
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        change(&mut command);
        let mut child = command.spawn().unwrap();
        let messages: Arc<Mutex<Vec<String>>> = Arc::default();
        if let Some(stderr) = child.stderr.take() {
            let told = messages.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stderr).lines() {
                    let Ok(line) = line else { return };
                    told.lock().unwrap().push(line);
                }
            });
        }
        Self { _folder: folder.clone(), child, messages }
    }

    /// What stands behind `what` in a message, once it is there.
    pub(in crate::gateway) async fn told(&self, what: &str) -> String {
        self.told_times(what, 1).await
    }

    /// The same of the message that is the `count`th of its kind.
    pub(in crate::gateway) async fn told_times(&self, what: &str, count: usize) -> String {
        eventually(|| async {
            let messages = self.messages.lock().unwrap();
            let mut found = messages.iter().filter_map(|line| Some(line.split_once(what)?.1.trim().to_owned()));
            found.nth(count - 1)
        })
        .await
    }

    pub(in crate::gateway) fn messages(&self) -> String {
        self.messages.lock().unwrap().join("\n")
    }

    pub(in crate::gateway) async fn addr(&self) -> SocketAddr {
        self.told("listening on http://").await.parse().unwrap()
    }

    pub(in crate::gateway) async fn admin(&self) -> SocketAddr {
        self.told("admin on http://").await.parse().unwrap()
    }

    pub(in crate::gateway) fn signal(&self, signal: &str) {
        send(self.child.id(), signal);
    }

    pub(in crate::gateway) async fn ended(&mut self) -> ExitStatus {
        eventually(|| {
            let ended = self.child.try_wait().unwrap();
            async move { ended }
        })
        .await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(in crate::gateway) fn send(pid: u32, signal: &str) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

/// Asks over a UNIX socket.
pub(in crate::gateway) async fn ask_unix(path: &Path, line: &str, headers: &[&str], body: &str) -> Answer {
    let exchange = async {
        let mut stream = UnixStream::connect(path).await.unwrap();
        let more: String = headers.iter().flat_map(|header| [*header, "\r\n"]).collect();
        let length = body.len();
        let head = format!(
            "{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n{more}\r\n{body}"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        parse(&answer, line.starts_with("HEAD "))
    };
    tokio::time::timeout(PATIENCE, exchange).await.expect("no answer")
}
