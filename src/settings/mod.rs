//! Process settings: defaults, file, environment and flags by figment; raw -> valid, all mistakes at once.
//!
//! [`DEFAULTS`] lists every setting with its story; what is not in it is not a setting.

mod admin;
mod bounds;
mod brokers;
mod effective;
mod hardening;
mod log;
mod protocols;
mod read;
mod source;
mod telemetry;
mod tls;
mod units;
mod upstream;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use admin::{AdminListen, AdminSettings, TokenFile};
pub use brokers::{BrokerKind, BrokerSettings, Brokers, Messages};
pub use effective::Effective;
pub use figment::value::Value;
pub use hardening::Deviation;
pub(crate) use hardening::speaks_of_others;
pub use log::{AccessTo, FIELDS, KEPT_FIELDS, Log, LogFormat};
pub use telemetry::Telemetry;
pub use tls::{ClientName, Clients, Pair, Tls, TlsVersion, UpstreamTls};
pub use upstream::{UpstreamDefaults, Upstreams};

/// Every setting with its default and what it is for, as TOML.
pub const DEFAULTS: &str = include_str!("defaults.toml");

/// Valid process settings. Changing them needs a restart; rules do not.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Addresses that callers reach without TLS; at least one, or one of `tls.listen`.
    pub listen: Vec<SocketAddr>,
    /// The admin interface.
    pub admin: AdminSettings,
    /// The rules folder.
    pub rules: PathBuf,
    /// Where the last good state is kept, if it is.
    pub state: Option<PathBuf>,
    /// What happens to callers' forwarding headers.
    pub forwarded: Forwarded,
    /// The response header that says which version asked and which one answered.
    pub version_header: http::HeaderName,
    /// Protocols that callers may change to, in lower case.
    pub upgrades: Vec<String>,
    /// Where services run, instead of what rules say.
    pub upstreams: Upstreams,
    /// How services are treated where rules do not say.
    pub upstream_defaults: UpstreamDefaults,
    /// TLS towards callers.
    pub tls: Tls,
    /// TLS towards services.
    pub upstream_tls: UpstreamTls,
    /// Sizes and numbers.
    pub limits: Limits,
    /// Times.
    pub timeouts: Timeouts,
    /// Brokers of messages.
    pub brokers: Brokers,
    /// Bounds of flows of messages.
    pub messages: Messages,
    /// What is written where.
    pub log: Log,
    /// What is sent to a collector.
    pub telemetry: Telemetry,
    /// How changes of the rules are noticed.
    pub reload: Reload,
    /// Every setting as it counts, with where it was found.
    pub effective: Vec<Effective>,
}

/// What happens to `Forwarded` and `X-Forwarded-*` of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forwarded {
    /// Dropped: the gateway faces callers directly.
    Replace,
    /// Kept and added to: trusted proxies stand in front.
    Append,
}

/// Sizes in bytes, and numbers.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "each is explained where it is listed, in defaults.toml")]
pub struct Limits {
    pub header_bytes: usize,
    pub header_count: usize,
    pub uri: usize,
    pub body: usize,
    pub streamed: usize,
    pub decoded: usize,
    pub translated: usize,
    pub ratio: usize,
    pub depth: usize,
    pub nodes: usize,
    pub body_rate: usize,
    pub in_flight: usize,
    pub connections: usize,
    pub streams: u32,
    pub tunnels: usize,
    pub share: usize,
    pub connection_requests: usize,
    pub bodies: usize,
    pub memory: Memory,
}

/// The memory that this process may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// What its control group allows, if that says anything.
    Cgroup,
    /// Bytes.
    Bytes(usize),
    /// It does not matter.
    Unlimited,
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "each is explained where it is listed, in defaults.toml")]
pub struct Timeouts {
    pub handshake: Duration,
    pub header: Duration,
    pub idle: Duration,
    pub connection_age: Duration,
    pub body: Duration,
    pub body_gap: Duration,
    pub connect: Duration,
    pub response: Duration,
    pub response_body: Duration,
    pub stream: Duration,
    pub peer: Duration,
    pub leave: Duration,
    pub tunnel: Duration,
    pub drain: Duration,
}

/// How changes of the rules are noticed.
#[derive(Debug, Clone, Copy)]
pub struct Reload {
    /// Whether the folder is watched.
    pub watch: bool,
    /// Quiet time after a change before it is read.
    pub settle: Duration,
    /// How often the folder is read anyway.
    pub poll: Duration,
}

/// Everything that is wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes(Vec<String>);

impl Mistakes {
    /// One line each.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for Mistakes {}

/// Where settings are looked for, besides the defaults.
#[derive(Debug, Default)]
pub struct Sources {
    /// A file that must exist.
    pub file: Option<PathBuf>,
    /// Environment variables; those that do not begin with `BIFOCAL_` are not looked at.
    pub environment: Vec<(String, String)>,
    /// Flags, by dotted key.
    pub flags: Vec<(&'static str, Value)>,
}

impl Settings {
    /// Reads and checks all settings.
    ///
    /// # Errors
    /// Every mistake in every source: unreadable files, unknown keys, values of the wrong kind or range.
    pub fn load(sources: Sources) -> Result<Self, Mistakes> {
        read::load(sources)
    }
}
