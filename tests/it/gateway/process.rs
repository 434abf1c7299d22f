//! The program itself, which can be killed and started again.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A gateway in a process of its own, over a folder with `rules`. Dropped, it is killed.
pub(super) struct Process {
    child: Child,
    pub(super) addr: SocketAddr,
    pub(super) admin: SocketAddr,
}

impl Process {
    pub(super) fn start(folder: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_bifocal"))
            .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--rules", "rules"])
            .args(["--access-log", "access.log"])
            .env("BIFOCAL_RELOAD__WATCH", "false")
            .current_dir(folder)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut after = |text: &str| loop {
            let mut line = String::new();
            assert!(stderr.read_line(&mut line).unwrap() > 0, "it ended before it listened");
            if let Some((_, address)) = line.trim().split_once(text) {
                break address.parse().unwrap();
            }
        };
        let (addr, admin) = (after("listening on http://"), after("admin on http://"));
        // A pipe that nobody reads would stop it.
        std::thread::spawn(move || stderr.read_to_string(&mut String::new()));
        Self { child, addr, admin }
    }

    /// What it says where it does not start.
    pub(super) fn refused(folder: &Path) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_bifocal"))
            .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--rules", "rules"])
            .env("BIFOCAL_RELOAD__WATCH", "false")
            .current_dir(folder)
            .output()
            .unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`.
    pub(super) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// `kill -TERM`; gives the exit code.
    pub(super) async fn terminate(mut self) -> Option<i32> {
        assert!(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap().success());
        tokio::task::spawn_blocking(move || self.child.wait().unwrap().code()).await.unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
