//! The settings of brokers and of the flows between their queues and topics.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use figment::value::{Dict, Value};

use super::Pair;
use super::read::Reader;
use crate::diagnostic::suggest::closest;
use crate::messaging::brokers::Secret;

/// By the name under which rules speak of it.
pub type Brokers = BTreeMap<String, BrokerSettings>;

/// Where a broker is, and who the gateway is there.
#[derive(Debug, Clone)]
pub struct BrokerSettings {
    /// What it speaks.
    pub kind: BrokerKind,
    /// Its address, or those of a cluster's nodes; never with a password in them.
    pub urls: Vec<String>,
    /// Who the gateway is there.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
    /// A token in its place (NATS).
    pub token: Option<Secret>,
    /// A file of credentials (NATS).
    pub credentials: Option<PathBuf>,
    /// PEM file of those who sign the broker's certificate; none: those that the platform trusts.
    pub ca: Option<PathBuf>,
    /// What the gateway shows where it is asked who it is.
    pub certificate: Option<Pair>,
}

/// What a broker speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokerKind {
    /// AMQP 0-9-1: RabbitMQ.
    Amqp,
    /// NATS with `JetStream`.
    Nats,
}

/// Bounds of every flow of messages.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "each is explained where it is listed, in defaults.toml")]
pub struct Messages {
    pub in_flight: usize,
    pub bytes: usize,
    pub body: usize,
    pub confirm: Duration,
    pub pause: Duration,
    pub longest_pause: Duration,
}

const KEYS: [&str; 8] = ["url", "username", "password_file", "token_file", "credentials", "ca", "chain", "key"];

impl Reader {
    /// Reads the section `messages`.
    pub(super) fn messages(&mut self) -> Messages {
        Messages {
            in_flight: self.size("messages.in_flight").min(65_535),
            bytes: self.size("messages.bytes"),
            body: self.size("messages.body"),
            confirm: self.time("messages.confirm"),
            pause: self.time("messages.pause"),
            longest_pause: self.time("messages.longest_pause"),
        }
    }

    /// Reads the sections `brokers.NAME`.
    pub(super) fn brokers(&mut self) -> Brokers {
        let Some(Value::Dict(_, named)) = self.value("brokers") else { return Brokers::new() };
        named.iter().filter_map(|(name, value)| Some((name.clone(), self.broker(name, value.as_dict())?))).collect()
    }

    fn broker(&mut self, name: &str, dict: Option<&Dict>) -> Option<BrokerSettings> {
        let key = |part: &str| format!("brokers.{name}.{part}");
        let Some(dict) = dict else {
            self.wrong(&format!("brokers.{name}"), "must be a section with at least `url`");
            return None;
        };
        for part in dict.keys().filter(|part| !KEYS.contains(&part.as_str())) {
            let help = closest(part, KEYS.iter().copied()).map(|close| format!("; did you mean `{close}`?"));
            self.wrong(&key(part), &format!("is not a setting of a broker{}", help.unwrap_or_default()));
        }
        let mut text = |part: &str| match dict.get(part) {
            None => None,
            Some(value) => {
                if let Some(text) = value.as_str().filter(|text| !text.is_empty()) {
                    Some(text.to_owned())
                } else {
                    self.wrong(&key(part), "must be a text");
                    None
                }
            }
        };
        let username = text("username");
        let files = ["password_file", "token_file"].map(&mut text);
        let [credentials, ca, chain, private] =
            ["credentials", "ca", "chain", "key"].map(|part| text(part).map(PathBuf::from));
        let [password, token] = files.map(|file| file.map(PathBuf::from));
        let password = password.and_then(|file| self.secret(&key("password_file"), &file));
        let token = token.and_then(|file| self.secret(&key("token_file"), &file));
        let certificate = match (chain, private) {
            (Some(chain), Some(key)) => Some(Pair { chain, key }),
            (None, None) => None,
            (Some(_), None) => {
                self.wrong(&key("key"), "must be set where `chain` is");
                None
            }
            (None, Some(_)) => {
                self.wrong(&key("chain"), "must be set where `key` is");
                None
            }
        };
        let urls = self.urls(&key("url"), dict.get("url"))?;
        let kind = self.kind(&key("url"), &urls)?;
        let of_other = |is_set: bool, part: &str, why: &str| is_set.then(|| (key(part), why.to_owned()));
        let both = "must be set where the other one of `username` and `password_file` is";
        let mistakes = match kind {
            BrokerKind::Amqp => [
                of_other(token.is_some(), "token_file", "is for NATS"),
                of_other(credentials.is_some(), "credentials", "is for NATS"),
            ],
            BrokerKind::Nats => [
                of_other(token.is_some() && username.is_some(), "token_file", "must not be set where `username` is"),
                of_other(
                    credentials.is_some() && (token.is_some() || username.is_some()),
                    "credentials",
                    "must not be set where `username` or `token_file` is",
                ),
            ],
        };
        let half = match (&username, &password) {
            (Some(_), None) if !dict.contains_key("password_file") => Some((key("password_file"), both.to_owned())),
            (None, Some(_)) => Some((key("username"), both.to_owned())),
            _ => None,
        };
        for (key, why) in mistakes.into_iter().flatten().chain(half) {
            self.wrong(&key, &why);
        }
        Some(BrokerSettings { kind, urls, username, password, token, credentials, ca, certificate })
    }

    /// One URL, or a list of them.
    fn urls(&mut self, key: &str, value: Option<&Value>) -> Option<Vec<String>> {
        let all: Option<Vec<String>> = match value {
            None => None,
            Some(Value::Array(_, all)) => all.iter().map(|one| one.as_str().map(str::to_owned)).collect(),
            Some(one) => one.as_str().map(|one| vec![one.to_owned()]),
        };
        let all = all.filter(|all| !all.is_empty());
        if all.is_none() {
            self.wrong(key, "must say where the broker is, such as `amqps://rabbit.example:5671/orders`");
        }
        all
    }

    /// What they all speak.
    fn kind(&mut self, key: &str, urls: &[String]) -> Option<BrokerKind> {
        let mut kinds = Vec::new();
        for url in urls {
            let parsed: Option<http::Uri> = url.parse().ok();
            let kind = parsed.as_ref().and_then(|uri| match uri.scheme_str()? {
                "amqp" | "amqps" => Some(BrokerKind::Amqp),
                "nats" | "tls" => Some(BrokerKind::Nats),
                _ => None,
            });
            let Some(kind) = kind else {
                self.wrong(key, "must begin with `amqp://`, `amqps://`, `nats://` or `tls://`");
                return None;
            };
            if parsed.and_then(|uri| uri.authority().map(|authority| authority.as_str().contains('@'))) == Some(true) {
                self.wrong(key, "must not hold a user or a password: they belong in `username` and `password_file`");
                return None;
            }
            kinds.push(kind);
        }
        let kind = kinds.first().copied()?;
        if kinds.iter().any(|other| *other != kind) {
            self.wrong(key, "must be of one kind: these are nodes of one broker");
            return None;
        }
        let is_there = match kind {
            BrokerKind::Amqp => cfg!(feature = "amqp"),
            BrokerKind::Nats => cfg!(feature = "nats"),
        };
        if !is_there {
            self.wrong(key, "speaks what this program was built without");
            return None;
        }
        Some(kind)
    }

    fn secret(&mut self, key: &str, file: &Path) -> Option<Secret> {
        match std::fs::read_to_string(file) {
            Ok(text) => Some(Secret::new(text.lines().next().unwrap_or_default())),
            Err(error) => {
                self.wrong(key, &format!("{} cannot be read: {error}", file.display()));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Settings, Sources};
    use super::*;

    fn load(toml: &str) -> Result<Settings, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("secret"), "s3cret\n").unwrap();
        let file = folder.path().join("bifocal.toml");
        std::fs::write(&file, toml.replace("FOLDER", &folder.path().display().to_string())).unwrap();
        Settings::load(Sources { file: Some(file), ..Sources::default() }).map_err(|mistakes| mistakes.to_string())
    }

    #[test]
    fn a_broker_is_where_and_who() {
        let settings = load(
            "[brokers.main]\nurl = 'amqps://rabbit:5671/shop'\nusername = 'u'\npassword_file = 'FOLDER/secret'\n\
             ca = 'ca.pem'\n[brokers.bus]\nurl = 'nats://127.0.0.1:4222'",
        )
        .unwrap();
        let main = &settings.brokers["main"];
        assert_eq!((main.kind, main.username.as_deref()), (BrokerKind::Amqp, Some("u")));
        assert_eq!(main.password.as_ref().map(Secret::reveal), Some("s3cret"));
        assert!(!format!("{main:?}").contains("s3cret"));
        assert_eq!(settings.brokers["bus"].kind, BrokerKind::Nats);
        let settings = load("[brokers.main]\nurl = ['amqp://a', 'amqp://b:5673/x']").unwrap();
        assert_eq!(settings.brokers["main"].urls, ["amqp://a", "amqp://b:5673/x"]);
    }

    #[test]
    fn every_mistake_about_brokers_is_reported() {
        let text = load(
            "[brokers]\nx = 1\n[brokers.a]\nurl = 'http://a'\n[brokers.b]\nurl = 'amqp://u:p@b'\nusrname = 'u'\n\
             password_file = '/none'\n[brokers.c]\nkey = 'k'\n[brokers.d]\nurl = ['amqp://d', 'nats://d']\n\
             [brokers.e]\nurl = 'amqp://e'\nusername = 'u'\ncredentials = 'c'\n[brokers.f]\nurl = []",
        )
        .unwrap_err();
        for expected in [
            "`brokers.x` in",
            "must begin with `amqp://`",
            "must not hold a user",
            "did you mean `username`?",
            "/none cannot be read",
            "`brokers.c.chain`",
            "`brokers.c.url`",
            "must be of one kind",
            "`brokers.e.password_file`",
            "`brokers.e.credentials`",
            "`brokers.f.url`",
        ] {
            assert!(text.contains(expected), "{expected:?} is missing in:\n{text}");
        }
    }
}
