//! The settings of messages, access log and audit.

use std::path::PathBuf;
use std::time::Duration;

use super::read::Reader;

/// Members of an access log line that stay, whatever the settings leave out.
pub const KEPT_FIELDS: [&str; 4] = ["ts", "request_id", "status", "outcome"];

/// Members of an access log line that settings may leave out.
pub const FIELDS: [&str; 24] = [
    "trace_id",
    "peer",
    "protocol",
    "method",
    "path",
    "service",
    "consumer",
    "route",
    "asked",
    "served",
    "generation",
    "rules",
    "fault",
    "duration_ms",
    "endpoint",
    "attempts",
    "upstream_ms",
    "translate_ms",
    "dropped_members",
    "request_bytes",
    "response_bytes",
    "fallback",
    "calls",
    "background",
];

/// What is written where.
#[derive(Debug, Clone)]
pub struct Log {
    /// Form of messages on standard error.
    pub format: LogFormat,
    /// A `tracing` level or filter.
    pub level: String,
    /// What SIGUSR1 and the admin interface raise it to when they name no level.
    pub raised: String,
    /// How long a raised level holds where nobody says how long.
    pub raised_for: Duration,
    /// Where the access log goes.
    pub access: AccessTo,
    /// Share of the requests that ended well, 0 to 1, whose lines are written.
    pub sample: f64,
    /// Requests that took this long are always written.
    pub slow: Duration,
    /// Members that are left out of the lines.
    pub without: Vec<String>,
    /// A file to which changes by operators are appended, besides the messages.
    pub audit: Option<PathBuf>,
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

impl Reader {
    /// Reads the section `log`.
    pub(super) fn log(&mut self) -> Log {
        let access = match self.take::<String>("log.access").as_str() {
            "stdout" => AccessTo::Stdout,
            "stderr" => AccessTo::Stderr,
            "off" => AccessTo::Off,
            path => AccessTo::File(PathBuf::from(path)),
        };
        let without: Vec<String> = self.take("log.without");
        for name in without.iter().filter(|name| !FIELDS.contains(&name.as_str())) {
            let reason = if KEPT_FIELDS.contains(&name.as_str()) { "is always written" } else { "is not a field" };
            self.wrong("log.without", &format!("`{name}` {reason}"));
        }
        Log {
            format: self.choice("log.format", &[("text", LogFormat::Text), ("json", LogFormat::Json)]),
            level: self.level("log.level"),
            raised: self.level("log.raised"),
            raised_for: self.time("log.raised_for"),
            access,
            sample: self.share("log.sample"),
            slow: self.time("log.slow"),
            without,
            audit: self.path("log.audit"),
        }
    }

    fn level(&mut self, key: &str) -> String {
        let level: String = self.take(key);
        if level.parse::<tracing_subscriber::filter::Targets>().is_err() {
            self.wrong(key, "must be off, error, warn, info, debug or trace");
        }
        level
    }

    /// A number from 0 to 1.
    pub(super) fn share(&mut self, key: &str) -> f64 {
        let share: f64 = self.take(key);
        if !(0.0..=1.0).contains(&share) {
            self.wrong(key, "must be between 0 and 1");
        }
        share
    }
}
