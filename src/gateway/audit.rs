//! Who has changed what: one line a change, among the messages (target `audit`) and, if wanted, in a file of its own.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::access_log::rfc3339;
use super::generation::Generation;
use super::lines::Lines;

/// Where changes are told.
#[derive(Debug)]
pub(super) struct Audit(Option<Lines>);

/// Who asks for a change.
#[derive(Debug, Clone)]
pub(super) enum Who {
    /// The gateway itself saw that files have changed.
    Files,
    /// Somebody who may send signals to this process.
    Signal(&'static str),
    /// Somebody on the admin address.
    Admin {
        /// The other end of a connection of TCP.
        peer: Option<SocketAddr>,
        /// Who it is at the other end of a UNIX socket: its user and process, as the system says.
        local: Option<(u32, i32)>,
        /// The name of the token that was shown.
        token: Option<String>,
    },
}

/// One change.
#[derive(Debug)]
pub(super) struct Change<'c> {
    /// What was done: `reload`, `certificates`, `log`, `drain`, `undrain`, `upgrade`, `show-letter`, `redrive`.
    pub(super) action: &'static str,
    /// What it came to, in one word.
    pub(super) result: &'static str,
    /// What serves before and after, where that is what it changes.
    pub(super) generations: Option<(&'c Generation, &'c Generation)>,
    /// What else there is to say; never a secret.
    pub(super) detail: String,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Files => f.write_str("files"),
            Self::Signal(name) => f.write_str(name),
            Self::Admin { peer, local, token } => {
                match (peer, local) {
                    (Some(peer), _) => write!(f, "peer {peer}")?,
                    (None, Some((uid, pid))) => write!(f, "uid {uid} pid {pid}")?,
                    (None, None) => f.write_str("unknown")?,
                }
                token.as_ref().map_or(Ok(()), |token| write!(f, " token {token}"))
            }
        }
    }
}

impl Audit {
    /// Opens the file, where there is to be one.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(super) fn open(path: Option<&Path>) -> io::Result<Self> {
        Ok(Self(path.map(|path| Lines::to_file("audit-log", path, Duration::ZERO)).transpose()?))
    }

    /// Lines of the file that are lost.
    pub(super) fn lost(&self) -> u64 {
        self.0.as_ref().map_or(0, Lines::lost)
    }

    /// Waits until all is written, within reason.
    pub(super) fn flush(&self) {
        if let Some(lines) = &self.0 {
            lines.flush();
        }
    }

    /// Tells a change.
    pub(super) fn tell(&self, who: &Who, change: &Change<'_>) {
        let Change { action, result, generations, detail } = change;
        let (from, to) = generations.map_or(("", ""), |(from, to)| (from.hash.as_str(), to.hash.as_str()));
        let (from_number, to_number) = generations.map_or((0, 0), |(from, to)| (from.number, to.number));
        if generations.is_some() {
            tracing::info!(
                target: "audit", action, %who, result, from_generation = from_number, from_rules = from,
                to_generation = to_number, to_rules = to, detail, "changed by an operator"
            );
        } else {
            tracing::info!(target: "audit", action, %who, result, detail, "changed by an operator");
        }
        let Some(lines) = &self.0 else { return };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (by, peer, uid, pid, token) = match who {
            Who::Files => ("files", None, None, None, None),
            Who::Signal(name) => (*name, None, None, None, None),
            Who::Admin { peer, local, token } => (
                "admin",
                peer.map(|peer| peer.to_string()),
                local.map(|(uid, _)| uid),
                local.map(|(_, pid)| pid),
                token.as_deref(),
            ),
        };
        let mut line = json!({
            "ts": rfc3339(now), "action": action, "by": by, "peer": peer, "uid": uid, "pid": pid, "token": token,
            "result": result, "detail": detail,
        });
        if let (Some(members), Some(_)) = (line.as_object_mut(), generations) {
            members.insert("from".to_owned(), json!({"generation": from_number, "rules": from}));
            members.insert("to".to_owned(), json!({"generation": to_number, "rules": to}));
        }
        lines.add(format!("{line}\n").as_bytes());
    }
}
