//! Real brokers as child processes: on free ports of this machine alone, with a folder of their own, killed and started
//! again as a test likes.

#![expect(clippy::print_stderr, reason = "who runs the tests must know what was left out")]
#![expect(clippy::disallowed_methods, reason = "another process says by nothing but its port that it is there")]

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bifocal::messaging::brokers::amqp::{self, Amqp};
use bifocal::messaging::brokers::nats::{self, Nats};

/// Which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Rabbit,
    Nats,
}

/// What a broker is told beside where it is.
#[derive(Debug, Clone, Default)]
pub(crate) struct More {
    /// Lines of its configuration.
    pub(crate) lines: String,
    /// How it keeps messages (NATS).
    pub(crate) storage: &'static str,
    /// Names of plugins (`RabbitMQ`).
    pub(crate) plugins: &'static str,
    /// Speaks TLS at its port from the first byte on (`RabbitMQ`).
    pub(crate) is_secured: bool,
}

/// A broker that ends with its value.
pub(crate) struct Process {
    kind: Kind,
    more: More,
    program: PathBuf,
    folder: tempfile::TempDir,
    pub(crate) port: u16,
    /// Further ports that it takes.
    others: [u16; 2],
    child: Option<Child>,
}

impl Process {
    /// Starts one; none: it is not installed, which is a failure where brokers are required.
    pub(crate) fn start(kind: Kind) -> Option<Self> {
        Self::start_with(kind, More { storage: "sync_interval: always", ..More::default() })
    }

    /// With more in its configuration.
    pub(crate) fn start_with(kind: Kind, more: More) -> Option<Self> {
        if !is_installed(kind) {
            return None;
        }
        let program = program(kind)?;
        let mut process = Self {
            kind,
            more,
            program,
            folder: tempfile::tempdir().unwrap(),
            port: free_port(),
            others: [free_port(), free_port()],
            child: None,
        };
        process.run();
        Some(process)
    }

    fn run(&mut self) {
        let mut command = match self.kind {
            Kind::Rabbit => self.rabbit(),
            Kind::Nats => self.nats(),
        };
        let log = std::fs::File::create(self.folder.path().join("output")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(command.spawn().unwrap());
        let began = Instant::now();
        while !self.answers() {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            let output = || std::fs::read_to_string(self.folder.path().join("output")).unwrap_or_default();
            assert!(ended.is_none(), "{:?} has ended: {}", self.kind, output());
            assert!(began.elapsed() < Duration::from_secs(90), "{:?} does not answer: {}", self.kind, output());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Whether it speaks: a port alone is open before a broker is there.
    fn answers(&self) -> bool {
        use std::io::{Read, Write};
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else { return false };
        stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let hello: &[u8] = if self.kind == Kind::Rabbit { b"AMQP\x00\x00\x09\x01" } else { b"" };
        let mut answer = [0; 4];
        stream.write_all(hello).is_ok() && stream.read_exact(&mut answer).is_ok()
    }

    fn rabbit(&self) -> Command {
        let folder = self.folder.path();
        let port = self.port;
        for part in ["mnesia", "log", "home"] {
            std::fs::create_dir_all(folder.join(part)).unwrap();
        }
        let listeners = if self.more.is_secured {
            format!("listeners.tcp = none\nlisteners.ssl.1 = 127.0.0.1:{port}\n")
        } else {
            format!("listeners.tcp.1 = 127.0.0.1:{port}\n")
        };
        let configuration = format!(
            "{listeners}distribution.listener.interface = 127.0.0.1\n\
             vm_memory_high_watermark.absolute = 1GB\ndisk_free_limit.absolute = 50MB\nlog.console = false\n\
             max_message_size = 8388608\n{}\n",
            self.more.lines
        );
        std::fs::write(folder.join("rabbitmq.conf"), configuration).unwrap();
        std::fs::write(folder.join("enabled_plugins"), format!("[{}].", self.more.plugins)).unwrap();
        self.surroundings(self.program.clone())
    }

    /// One of `RabbitMQ`'s programs, for this broker.
    fn surroundings(&self, program: PathBuf) -> Command {
        let (folder, port) = (self.folder.path(), self.port);
        let [distribution, names] = self.others;
        let mut command = Command::new(program);
        command
            .env("HOME", folder.join("home"))
            .env("RABBITMQ_NODENAME", format!("bifocal{port}@localhost"))
            .env("RABBITMQ_NODE_PORT", port.to_string())
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_DIST_PORT", distribution.to_string())
            .env("RABBITMQ_MNESIA_BASE", folder.join("mnesia"))
            .env("RABBITMQ_LOG_BASE", folder.join("log"))
            .env("RABBITMQ_CONFIG_FILE", folder.join("rabbitmq"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", folder.join("enabled_plugins"))
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "+S 2:2 +sbwt none")
            .env("ERL_EPMD_PORT", names.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1");
        command
    }

    fn nats(&self) -> Command {
        let configuration = format!(
            "listen: \"127.0.0.1:{}\"\njetstream {{ store_dir: \"{}\", {} }}\n{}\n",
            self.port,
            self.folder.path().join("store").display(),
            self.more.storage,
            self.more.lines
        );
        let file = self.folder.path().join("nats.conf");
        std::fs::write(&file, configuration).unwrap();
        let mut command = Command::new(&self.program);
        command.arg("-c").arg(file);
        command
    }

    /// Sends a signal to all that belong to it.
    pub(crate) fn signal(&self, signal: &str) {
        let pids = self.child.as_ref().map(|child| self.pids(child));
        for pid in pids.into_iter().flatten() {
            // One that has ended by itself does not hear it.
            let _ = Command::new("kill").args([signal, &pid]).stderr(Stdio::null()).status();
        }
    }

    /// Tells `RabbitMQ` something by its own tool, which takes seconds.
    pub(crate) fn control(&self, arguments: &[&str]) {
        let mut command = self.surroundings(self.program.with_file_name("rabbitmqctl"));
        let output = command.args(arguments).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Ends it as a crash does.
    pub(crate) fn kill_9(&mut self) {
        self.signal("-9");
        let Some(mut child) = self.child.take() else { return };
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Ends it as its operators do, who wait until it has put away what it has.
    pub(crate) fn end(&mut self) {
        let Some(child) = &self.child else { return };
        let pids = self.pids(child);
        self.signal("-TERM");
        let (began, Some(mut child)) = (Instant::now(), self.child.take()) else { return };
        let is_there = |pid: &String| Path::new(&format!("/proc/{pid}")).exists();
        while child.try_wait().unwrap().is_none() || pids.iter().any(is_there) {
            assert!(began.elapsed() < Duration::from_secs(60), "{:?} does not end", self.kind);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Starts it again with what it has kept.
    pub(crate) fn restart(&mut self) {
        self.kill_9();
        self.run();
    }

    /// All that belong to it: scripts start the broker itself.
    fn pids(&self, child: &Child) -> Vec<String> {
        let mut pids = vec![child.id().to_string()];
        let written = std::fs::read_dir(self.folder.path().join("mnesia")).into_iter().flatten().flatten();
        for entry in written.filter(|entry| entry.path().extension().is_some_and(|end| end == "pid")) {
            pids.extend(std::fs::read_to_string(entry.path()).map(|pid| pid.trim().to_owned()));
        }
        let mut next = 0;
        while let Some(pid) = pids.get(next).cloned() {
            let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
            pids.extend(children.split_whitespace().map(str::to_owned));
            next += 1;
        }
        pids
    }

    pub(crate) fn amqp(&self) -> Amqp {
        Self::amqp_at(self.port)
    }

    /// Through something that listens at another port.
    pub(crate) fn amqp_at(port: u16) -> Amqp {
        let urls = vec![format!("amqp://guest:guest@127.0.0.1:{port}/%2f")];
        Amqp::new(amqp::Settings { urls, ..amqp::Settings::default() })
    }

    pub(crate) fn nats_client(&self) -> Nats {
        let urls = vec![format!("nats://127.0.0.1:{}", self.port)];
        Nats::new(nats::Settings { urls, ack_wait: Duration::from_secs(4), ..nats::Settings::default() })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill_9();
        if self.kind == Kind::Rabbit {
            // The daemon of names, the one on our own port, stays behind otherwise. It goes once it knows that its node is gone.
            let is_gone = || {
                let mut end = Command::new("epmd");
                end.args(["-port", &self.others[1].to_string(), "-kill"]);
                let ended = end.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
                ended.is_ok_and(|status| status.success())
            };
            let began = Instant::now();
            while !is_gone() && began.elapsed() < Duration::from_secs(5) {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

/// Whether one can be started; that it cannot is told, and a failure where brokers are required.
pub(crate) fn is_installed(kind: Kind) -> bool {
    let is_there = program(kind).is_some();
    if !is_there {
        assert!(
            std::env::var_os("BIFOCAL_REQUIRE_BROKERS").is_none_or(|value| value != "1"),
            "{kind:?} is required, and not installed"
        );
        eprintln!("skipped: {kind:?} is not installed");
    }
    is_there
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

fn program(kind: Kind) -> Option<PathBuf> {
    match kind {
        // What is in PATH changes to another user first.
        Kind::Rabbit => std::fs::read_dir("/usr/lib/rabbitmq/lib")
            .ok()?
            .flatten()
            .map(|entry| entry.path().join("sbin/rabbitmq-server"))
            .find(|path| path.exists()),
        Kind::Nats => {
            let path = std::env::var_os("PATH")?;
            let mut found = std::env::split_paths(&path).map(|folder| folder.join("nats-server"));
            found.find(|path: &PathBuf| is_program(path))
        }
    }
}

fn is_program(path: &Path) -> bool {
    path.is_file()
}
