//! What of the settings is less safe than the defaults, and why that matters.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tracing_subscriber::filter::{LevelFilter, Targets};

use super::{AdminListen, Forwarded, Limits, Memory, Settings, Sources, Timeouts};

/// A setting that gives up some of the safety of the defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deviation {
    /// The dotted key.
    pub setting: &'static str,
    /// What it is, what it would be, and what follows.
    pub why: String,
}

type Size = (&'static str, fn(&Limits) -> usize, &'static str);
type Time = (&'static str, fn(&Timeouts) -> Duration, &'static str);

const SIZES: &[Size] = &[
    ("limits.header_bytes", |limits| limits.header_bytes, "heads of requests take memory before anybody is known"),
    ("limits.header_count", |limits| limits.header_count, "each header costs work in the gateway and in services"),
    ("limits.uri", |limits| limits.uri, "services may not take targets of this length"),
    ("limits.body", |limits| limits.body, "a body that is translated is held in memory"),
    ("limits.decoded", |limits| limits.decoded, "a small body may become this large when it is decoded"),
    ("limits.translated", |limits| limits.translated, "a body as rules write it is held in memory"),
    ("limits.ratio", |limits| limits.ratio, "a decompression bomb costs more before it is seen"),
    ("limits.depth", |limits| limits.depth, "services and clients may not survive a document that is nested so deep"),
    ("limits.nodes", |limits| limits.nodes, "a document of small values takes many times its size in memory"),
    ("limits.in_flight", |limits| limits.in_flight, "memory grows with the requests in work, and all become slower"),
    ("limits.connections", |limits| limits.connections, "each connection takes memory and a descriptor"),
    ("limits.share", |limits| share(limits), "one caller, or one service that hangs, may take the room of all others"),
    (
        "limits.connection_requests",
        |limits| limits.connection_requests,
        "connections live long, and callers are not spread anew",
    ),
    ("limits.bodies", |limits| limits.bodies, "bodies that are held at once take the machine's memory"),
    ("limits.tunnels", |limits| limits.tunnels, "each one takes two connections, for as long as the two sides like"),
    ("limits.streams", |limits| streams(limits), "one connection may ask for more at once than is fair to others"),
];

const TIMES: &[Time] = &[
    ("timeouts.handshake", |times| times.handshake, "callers that never finish a handshake hold connections"),
    ("timeouts.header", |times| times.header, "callers that never finish a head hold connections"),
    ("timeouts.idle", |times| times.idle, "connections on which nothing is asked are held"),
    ("timeouts.connection_age", |times| times.connection_age, "connections live long, and callers are not spread anew"),
    ("timeouts.body", |times| times.body, "callers that send slowly hold requests in work"),
    ("timeouts.body_gap", |times| times.body_gap, "callers that fall silent hold requests in work"),
    ("timeouts.connect", |times| times.connect, "a service that is gone holds requests in work"),
    ("timeouts.response", |times| times.response, "a service that hangs holds requests in work"),
    ("timeouts.response_body", |times| times.response_body, "a service that answers slowly holds requests in work"),
    ("timeouts.stream", |times| times.stream, "a side that falls silent holds the other"),
    ("timeouts.tunnel", |times| times.tunnel, "callers that fall silent hold connections to services"),
];

fn streams(limits: &Limits) -> usize {
    usize::try_from(limits.streams).unwrap_or(usize::MAX)
}

/// No bound is the largest.
fn share(limits: &Limits) -> usize {
    if limits.share == 0 { usize::MAX } else { limits.share }
}

impl Settings {
    /// Everything that is less safe than the defaults. What is stricter is not told.
    pub fn deviations(&self) -> Vec<Deviation> {
        let mut found = Vec::new();
        let mut say = |setting, why: String| found.push(Deviation { setting, why });
        // The defaults are valid: a test holds that.
        if let Ok(safe) = Self::load(Sources::default()) {
            for (setting, of, why) in SIZES {
                let (value, most) = (of(&self.limits), of(&safe.limits));
                if value > most {
                    say(setting, format!("{value} is more than {most}: {why}"));
                }
            }
            for (setting, of, why) in TIMES {
                let (value, most) = (of(&self.timeouts), of(&safe.timeouts));
                if value > most {
                    say(setting, format!("{value:?} is more than {most:?}: {why}"));
                }
            }
        }
        if self.limits.memory == Memory::Unlimited {
            say("limits.memory", "\"none\": the process does not see its memory run out, and may be killed".to_owned());
        }
        if self.limits.body_rate == 0 {
            say("limits.body_rate", "0: callers that send a byte now and then hold requests in work".to_owned());
        }
        for address in self.listen.iter().filter(|address| is_outside(address)) {
            say(
                "listen",
                format!("{address} is reachable without TLS: who is on the way reads and changes what passes"),
            );
        }
        self.admin_deviations(&mut say);
        if self.forwarded == Forwarded::Append {
            let why = "callers that reach the gateway past the proxies in front say themselves where they come from";
            say("forwarded", format!("\"append\": {why}"));
        }
        if self.state.is_none() {
            let why = "where the newest rules are refused, nothing serves after a restart";
            say("state", format!("the last good state is not kept: {why}"));
        }
        if speaks_of_others(&self.log.level) {
            let why = "libraries then write headers of requests into the log, credentials included";
            say("log.level", format!("\"{}\": {why}", self.log.level));
        }
        let keys = self.tls.certificates.iter().map(|pair| ("tls.certificates", &pair.key));
        for (setting, key) in
            keys.chain(self.upstream_tls.certificate.iter().map(|pair| ("upstream_tls.key", &pair.key)))
        {
            if is_open_to_all(key) {
                say(setting, format!("{}: every user of this machine can read this key", key.display()));
            }
        }
        found
    }
}

impl Settings {
    fn admin_deviations(&self, say: &mut impl FnMut(&'static str, String)) {
        match &self.admin.listen {
            AdminListen::Tcp(address) if is_outside(address) => {
                if !self.admin.guards_reads {
                    say("admin", format!("{address} is reachable from outside, and reads need no token there"));
                }
                if self.admin.tls.is_none() {
                    say("admin_chain", format!("{address} is reachable without TLS: tokens can be read on the way"));
                }
            }
            AdminListen::Unix { mode, .. } if mode & 0o002 != 0 => {
                say("admin_mode", format!("{mode:o}: every user of this machine may change what is served"));
            }
            _ => {}
        }
    }
}

fn is_outside(address: &SocketAddr) -> bool {
    !address.ip().is_loopback()
}

/// Whether others than the gateway itself write more than messages for operators.
pub(crate) fn speaks_of_others(level: &str) -> bool {
    let Ok(targets) = level.parse::<Targets>() else { return false };
    targets.default_level().is_some_and(|level| level > LevelFilter::INFO)
        || targets.iter().any(|(target, level)| !target.starts_with("bifocal") && level > LevelFilter::INFO)
}

#[cfg(unix)]
fn is_open_to_all(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|data| data.permissions().mode() & 0o004 != 0)
}

#[cfg(not(unix))]
fn is_open_to_all(_: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deviations(toml: &str) -> Vec<(&'static str, String)> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bifocal.toml");
        std::fs::write(&file, toml).unwrap();
        let settings = Settings::load(Sources { file: Some(file), ..Sources::default() }).unwrap();
        settings.deviations().into_iter().map(|one| (one.setting, one.why)).collect()
    }

    #[test]
    fn the_defaults_are_safe_and_what_is_stricter_is_too() {
        assert_eq!(deviations(""), []);
        assert_eq!(deviations("[limits]\nbody = '1 KiB'\ndepth = 5\n[timeouts]\nidle = '1s'\nconnect = '1s'"), []);
    }

    #[test]
    fn every_limit_and_time_is_looked_at() {
        let safe = Settings::load(Sources::default()).unwrap();
        let told = |setting: &str, value: String| {
            let (section, name) = setting.split_once('.').unwrap();
            let found = deviations(&format!("[{section}]\n{name} = {value}"));
            assert!(found.len() == 1 && found[0].0 == setting, "{setting}: {found:?}");
        };
        for (setting, of, _) in SIZES {
            told(setting, (of(&safe.limits) + 1).to_string());
        }
        for (setting, of, _) in TIMES {
            told(setting, format!("'{}ms'", of(&safe.timeouts).as_millis() + 1));
        }
    }

    #[test]
    fn what_opens_a_door_is_told() {
        for (toml, setting, why) in [
            ("listen = '0.0.0.0:80'", "listen", "0.0.0.0:80 is reachable without TLS"),
            ("[limits]\nmemory = 'none'", "limits.memory", "may be killed"),
            ("[limits]\nbody_rate = 0", "limits.body_rate", "now and then"),
            ("[limits]\nshare = 0", "limits.share", "the room of all others"),
            ("forwarded = 'append'", "forwarded", "past the proxies"),
            ("state = ''", "state", "after a restart"),
            ("[log]\nlevel = 'debug'", "log.level", "credentials"),
            ("[log]\nlevel = 'info,h2=trace'", "log.level", "credentials"),
        ] {
            let found = deviations(toml);
            assert!(found.len() == 1 && found[0].0 == setting && found[0].1.contains(why), "{toml}: {found:?}");
        }
        assert_eq!(deviations("listen = '127.0.0.1:80'\n[log]\nlevel = 'info,bifocal=debug'"), []);

        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        std::fs::write(&token, "0123456789abcdef").unwrap();
        let found = deviations(&format!("admin = '0.0.0.0:9901'\nadmin_token_file = {token:?}"));
        assert!(found.len() == 2 && found[0].0 == "admin" && found[1].0 == "admin_chain", "{found:?}");
        let found = deviations("admin = 'unix:admin.sock'\nadmin_mode = '666'");
        assert!(found.len() == 1 && found[0].0 == "admin_mode", "{found:?}");
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_everybody_can_read_is_told() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        std::fs::write(&key, "").unwrap();
        let toml = format!("[tls]\nlisten = '[::1]:1'\ncertificates = [{{chain = 'a', key = {key:?}}}]");
        for (mode, count) in [(0o644, 1), (0o640, 0)] {
            std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(deviations(&toml).len(), count, "{mode:o}");
        }
    }
}
