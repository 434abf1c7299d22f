//! The settings of the admin interface: where it listens, and who may do what there.

use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use figment::value::Value;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::read::Reader;
use super::tls::Pair;

/// The admin interface.
#[derive(Debug, Clone)]
pub struct AdminSettings {
    /// Where it listens.
    pub listen: AdminListen,
    /// Who may write; none: nobody over TCP, whoever may open the socket over a UNIX socket.
    pub tokens: Option<TokenFile>,
    /// Whether reading needs a token, too.
    pub guards_reads: bool,
    /// Lower-case host names under which it may be called besides its own.
    pub hosts: Vec<String>,
    /// What it shows to those who call it; none: it speaks without TLS.
    pub tls: Option<Pair>,
}

/// An address of the admin interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminListen {
    /// An address of TCP.
    Tcp(SocketAddr),
    /// A socket in the file system.
    Unix {
        /// Where it is made.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

impl fmt::Display for AdminListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix { path, .. } => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A file of bearer tokens: one a line, with its name before it if it has one. It is read at each use, so it may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenFile(pub(super) Arc<Path>);

/// Shorter ones can be guessed.
const SHORTEST: usize = 16;

impl TokenFile {
    /// The name of the token that was given, if it is one of the file's.
    ///
    /// # Errors
    /// The file cannot be read, or holds no token of enough length. Nobody has a token then.
    pub fn holder(&self, given: &[u8]) -> io::Result<Option<String>> {
        let text = fs::read_to_string(&self.0)?;
        // Digests have one length: how long a token is does not show in the time that it takes.
        let given = Sha256::digest(given);
        let mut holder = None;
        for (name, token) in tokens(&text)? {
            let same: Choice = Sha256::digest(token).as_slice().ct_eq(given.as_slice());
            // All of them are looked at, whichever it is.
            if bool::from(same) {
                holder = Some(name.to_owned());
            }
        }
        Ok(holder)
    }
}

/// Names and tokens of a file.
fn tokens(text: &str) -> io::Result<Vec<(&str, &str)>> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let found: Vec<_> = lines
        .map(|line| line.split_once(char::is_whitespace).map_or(("token", line), |(n, t)| (n, t.trim())))
        .collect();
    if found.is_empty() || found.iter().any(|(_, token)| token.len() < SHORTEST) {
        let wrong =
            format!("each line must be a token of at least {SHORTEST} characters, after its name if it has one");
        return Err(io::Error::new(io::ErrorKind::InvalidData, wrong));
    }
    Ok(found)
}

impl Reader {
    /// Reads everything about the admin interface.
    pub(super) fn admin(&mut self) -> AdminSettings {
        let mode = self.mode("admin_mode");
        let listen = match self.value("admin") {
            Some(Value::String(_, text)) if text.starts_with("unix:") => {
                AdminListen::Unix { path: PathBuf::from(text.trim_start_matches("unix:")), mode }
            }
            _ => {
                let unspecified = SocketAddr::from(([127, 0, 0, 1], 0));
                AdminListen::Tcp(self.addresses("admin").first().copied().unwrap_or(unspecified))
            }
        };
        if matches!(&listen, AdminListen::Unix { path, .. } if path.as_os_str().is_empty()) {
            self.wrong("admin", "must name a path after `unix:`");
        }
        let tokens = self.tokens();
        if let AdminListen::Tcp(address) = &listen
            && !address.ip().is_loopback()
            && tokens.is_none()
            && !self.found("admin")
        {
            self.wrong("admin", "is reachable from outside, so `admin_token_file` must be set too");
        }
        let guards_reads = self.choice("admin_reads", &[("open", false), ("token", true)]);
        if guards_reads && tokens.is_none() && !self.found("admin_token_file") {
            self.wrong("admin_reads", "is `token`, so `admin_token_file` must be set too");
        }
        let tls = match (self.path("admin_chain"), self.path("admin_key")) {
            (Some(chain), Some(key)) => Some(Pair { chain, key }),
            (None, None) => None,
            _ => {
                self.wrong("admin_chain", "and `admin_key` must be set both or neither");
                None
            }
        };
        if tls.is_some() && matches!(listen, AdminListen::Unix { .. }) {
            self.wrong("admin_chain", "has no effect: a UNIX socket is not reached over a network");
        }
        let hosts = self.take::<Vec<String>>("admin_hosts").iter().map(|host| host.to_ascii_lowercase()).collect();
        AdminSettings { listen, tokens, guards_reads, hosts, tls }
    }

    fn tokens(&mut self) -> Option<TokenFile> {
        let path = self.path("admin_token_file")?;
        if let Err(error) = fs::read_to_string(&path).and_then(|text| tokens(&text).map(drop)) {
            self.wrong("admin_token_file", &format!("{} cannot be used: {error}", path.display()));
            return None;
        }
        Some(TokenFile(path.into()))
    }

    /// Permission bits in octal digits.
    fn mode(&mut self, key: &str) -> u32 {
        let text: String = self.take(key);
        match u32::from_str_radix(&text, 8) {
            Ok(mode) if mode <= 0o777 => mode,
            _ => {
                self.wrong(key, "must be permission bits in octal digits, such as \"600\" or \"660\"");
                0o600
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_compared_whole_and_read_anew() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "# two at once: one is on its way out\n0123456789abcdef\nci fedcba9876543210\n")
            .unwrap();
        let tokens = TokenFile(file.path().into());
        assert_eq!(tokens.holder(b"0123456789abcdef").unwrap().as_deref(), Some("token"));
        assert_eq!(tokens.holder(b"fedcba9876543210").unwrap().as_deref(), Some("ci"));
        for wrong in [&b"0123456789abcde"[..], b"0123456789abcdeff", b"0123456789abcdeX", b"", b"ci"] {
            assert_eq!(tokens.holder(wrong).unwrap(), None);
        }
        fs::write(file.path(), "ci aaaaaaaaaaaaaaaaaaaa").unwrap();
        assert_eq!(tokens.holder(b"fedcba9876543210").unwrap(), None);
        assert_eq!(tokens.holder(b"aaaaaaaaaaaaaaaaaaaa").unwrap().as_deref(), Some("ci"));
        for (text, why) in [("", "each line"), ("short", "each line"), ("ci short", "each line")] {
            fs::write(file.path(), text).unwrap();
            assert!(tokens.holder(b"short").unwrap_err().to_string().contains(why), "{text}");
        }
    }
}
