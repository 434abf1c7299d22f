//! Process settings: defaults, file, environment and flags by figment; raw -> valid, all mistakes at once.
//!
//! [`DEFAULTS`] lists every setting with its story; what is not in it is not a setting.

mod hardening;
mod protocols;
mod read;
mod source;
mod tls;
mod units;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use figment::value::Value;
pub use hardening::Deviation;
pub use tls::{ClientName, Clients, Pair, Tls, TlsVersion, UpstreamTls};

/// Every setting with its default and what it is for, as TOML.
pub const DEFAULTS: &str = include_str!("defaults.toml");

/// Valid process settings. Changing them needs a restart; rules do not.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Addresses that callers reach without TLS; at least one, or one of `tls.listen`.
    pub listen: Vec<SocketAddr>,
    /// Address of the admin interface.
    pub admin: SocketAddr,
    /// Bearer token that admin writes need.
    pub admin_token: Option<Secret>,
    /// Lower-case host names under which the admin interface may be called besides its own.
    pub admin_hosts: Vec<String>,
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
    /// TLS towards callers.
    pub tls: Tls,
    /// TLS towards services.
    pub upstream_tls: UpstreamTls,
    /// Sizes and numbers.
    pub limits: Limits,
    /// Times.
    pub timeouts: Timeouts,
    /// What is written where.
    pub log: Log,
    /// How changes of the rules are noticed.
    pub reload: Reload,
}

/// By service, then by version: the base address of the service built for that version.
pub type Upstreams = BTreeMap<String, BTreeMap<String, http::Uri>>;

/// A text that must not be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Compares in time that depends only on the lengths.
    pub fn matches(&self, candidate: &[u8]) -> bool {
        let expected = self.0.as_bytes();
        let differing = expected.iter().zip(candidate).fold(0_u8, |seen, (a, b)| seen | (a ^ b));
        expected.len() == candidate.len() && differing == 0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
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
    pub in_flight: usize,
    pub connections: usize,
    pub streams: u32,
    pub tunnels: usize,
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "each is explained where it is listed, in defaults.toml")]
pub struct Timeouts {
    pub handshake: Duration,
    pub header: Duration,
    pub idle: Duration,
    pub body: Duration,
    pub body_gap: Duration,
    pub connect: Duration,
    pub response: Duration,
    pub response_body: Duration,
    pub stream: Duration,
    pub tunnel: Duration,
    pub drain: Duration,
}

/// What is written where.
#[derive(Debug, Clone)]
pub struct Log {
    /// Form of messages on standard error.
    pub format: LogFormat,
    /// A `tracing` level or filter.
    pub level: String,
    /// Where the access log goes.
    pub access: AccessTo,
}

/// Form of messages on standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// Where the access log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessTo {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// Nowhere.
    Off,
    /// Appended to this file.
    File(PathBuf),
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
