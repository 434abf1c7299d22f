//! Raw settings -> valid settings.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use figment::Figment;
use figment::providers::{Format, Toml};
use figment::value::{Dict, Value};
use serde::de::DeserializeOwned;

use super::effective::effective;
use super::source::Pairs;
use super::units::{Size, Span};
use super::{DEFAULTS, Forwarded, Mistakes, Reload, Settings, Sources};
use crate::diagnostic::suggest::closest;

pub(super) fn load(sources: Sources) -> Result<Settings, Mistakes> {
    let mut figment = Figment::from(Toml::string(DEFAULTS));
    let known = figment.clone();
    if let Some(file) = sources.file {
        if !file.is_file() {
            return Err(Mistakes(vec![format!("{}: there is no such file", file.display())]));
        }
        figment = figment.merge(Toml::file_exact(file));
    }
    figment = figment.merge(Pairs::from_environment(sources.environment)).merge(Pairs::from_flags(sources.flags));

    let mut reader = Reader { figment, mistakes: Vec::new() };
    reader.refuse_unknown(&known);
    let settings = reader.settings();
    if reader.mistakes.is_empty() { Ok(settings) } else { Err(Mistakes(reader.mistakes)) }
}

/// Takes settings one by one; a mistake is noted and a stand-in goes on.
pub(super) struct Reader {
    pub(super) figment: Figment,
    mistakes: Vec<String>,
}

impl Reader {
    fn settings(&mut self) -> Settings {
        let tls = self.tls();
        let is_behind_tls = self.is_empty_list("listen") && !tls.listen.is_empty();
        let listen = if is_behind_tls { Vec::new() } else { self.addresses("listen") };
        Settings {
            listen,
            admin: self.admin(),
            rules: self.path("rules").unwrap_or_default(),
            state: self.path("state"),
            forwarded: self.choice("forwarded", &[("replace", Forwarded::Replace), ("append", Forwarded::Append)]),
            version_header: self.version_header(),
            upgrades: self.upgrades(),
            upstreams: self.upstreams(),
            upstream_defaults: self.upstream_defaults(),
            tls,
            upstream_tls: self.upstream_tls(),
            brokers: self.brokers(),
            messages: self.messages(),
            limits: self.limits(),
            timeouts: self.timeouts(),
            log: self.log(),
            telemetry: self.telemetry(),
            effective: effective(&self.figment),
            reload: Reload {
                watch: self.take("reload.watch"),
                settle: self.time("reload.settle"),
                poll: self.time("reload.poll"),
            },
        }
    }

    /// One address or a list of them.
    pub(super) fn addresses(&mut self, key: &str) -> Vec<SocketAddr> {
        let texts = match self.value(key) {
            Some(Value::Array(_, list)) => list.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect(),
            Some(Value::String(_, text)) => vec![text],
            _ => Vec::new(),
        };
        if texts.is_empty() {
            self.wrong(key, "must be an address such as `127.0.0.1:8080`, or a list of them");
        }
        let mut addresses = Vec::new();
        for text in texts {
            match text.parse() {
                Ok(address) => addresses.push(address),
                Err(_) => self.wrong(key, &format!("`{text}` is not an address such as `127.0.0.1:8080`")),
            }
        }
        addresses
    }

    pub(super) fn is_empty_list(&self, key: &str) -> bool {
        matches!(self.value(key), Some(Value::Array(_, list)) if list.is_empty())
    }

    pub(super) fn value(&self, key: &str) -> Option<Value> {
        self.figment.find_value(key).ok()
    }

    pub(super) fn path(&mut self, key: &str) -> Option<PathBuf> {
        let text: String = self.take(key);
        (!text.is_empty()).then(|| PathBuf::from(text))
    }

    pub(super) fn size(&mut self, key: &str) -> usize {
        let Some(Size(count)) = self.extract(key) else { return 0 };
        if count == 0 {
            self.wrong(key, "must not be zero");
        }
        usize::try_from(count).unwrap_or(usize::MAX)
    }

    pub(super) fn size_or_zero(&mut self, key: &str) -> usize {
        self.extract(key).map_or(0, |Size(count)| usize::try_from(count).unwrap_or(usize::MAX))
    }

    pub(super) fn time(&mut self, key: &str) -> Duration {
        let Some(Span(time)) = self.extract(key) else { return Duration::ZERO };
        if time.is_zero() {
            self.wrong(key, "must not be zero");
        }
        time
    }

    pub(super) fn time_or_zero(&mut self, key: &str) -> Duration {
        self.extract(key).map_or(Duration::ZERO, |Span(time)| time)
    }

    /// One of at least two names; the first stands in for a mistake.
    pub(super) fn choice<T: Copy, const N: usize>(&mut self, key: &str, choices: &[(&str, T); N]) -> T {
        const { assert!(N >= 2, "a choice") };
        let text: String = self.take(key);
        if let Some((_, choice)) = choices.iter().find(|(name, _)| *name == text) {
            return *choice;
        }
        let names: Vec<String> = choices.iter().map(|(name, _)| format!("`{name}`")).collect();
        self.wrong(key, &format!("must be {}", names.join(" or ")));
        choices[0].1
    }

    pub(super) fn take<T: DeserializeOwned + Default>(&mut self, key: &str) -> T {
        self.extract(key).unwrap_or_default()
    }

    fn extract<T: DeserializeOwned>(&mut self, key: &str) -> Option<T> {
        match self.figment.extract_inner(key) {
            Ok(value) => Some(value),
            Err(error) => {
                let reason = error.kind.to_string();
                self.wrong(key, &reason);
                None
            }
        }
    }

    pub(super) fn wrong(&mut self, key: &str, reason: &str) {
        self.mistakes.push(format!("setting `{key}`{}: {reason}", self.origin(key)));
    }

    pub(super) fn found(&self, key: &str) -> bool {
        let about = format!("setting `{key}`");
        self.mistakes.iter().any(|mistake| mistake.starts_with(&about))
    }

    /// ` (LISTEN in environment)`: where the value that counts comes from.
    fn origin(&self, key: &str) -> String {
        let metadata = self.figment.find_value(key).ok().and_then(|value| self.figment.get_metadata(value.tag()));
        let Some(metadata) = metadata else { return String::new() };
        match &metadata.source {
            Some(figment::Source::File(path)) => format!(" in {}", path.display()),
            _ if metadata.name == "environment" || metadata.name == "command line" => {
                let keys: Vec<&str> = key.split('.').collect();
                format!(" ({})", metadata.interpolate(&figment::Profile::Default, &keys))
            }
            _ => String::new(),
        }
    }

    /// Reports every key that the defaults do not have; or the first source that could not be read at all.
    fn refuse_unknown(&mut self, known: &Figment) {
        let (Ok(found), Ok(known)) = (self.figment.extract::<Dict>(), known.extract::<Dict>()) else {
            if let Err(error) = self.figment.extract::<Dict>() {
                self.mistakes.push(error.to_string());
            }
            return;
        };
        let known = leaves(&known, "");
        for key in leaves(&found, "") {
            let section = format!("{key}.");
            // Services and versions are the rules' to name.
            let is_upstream = key.strip_prefix("upstreams.").is_some_and(|rest| rest.contains('.'));
            // Brokers have names of their own, too; what is said of each is looked at where it is read.
            let is_broker = key.starts_with("brokers.");
            let is_known = known.contains(&key) || is_upstream || is_broker;
            if is_known {
                continue;
            }
            if known.iter().any(|one| one.starts_with(&section)) {
                self.wrong(&key, "is a section, not a value");
                continue;
            }
            let help = closest(&key, known.iter().map(String::as_str));
            let help = help.map(|close| format!("; did you mean `{close}`?")).unwrap_or_default();
            self.mistakes.push(format!("unknown setting `{key}`{}{help}", self.origin(&key)));
        }
    }
}

/// Dotted keys of everything that is not a table.
fn leaves(dict: &Dict, prefix: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (key, value) in dict {
        let path = format!("{prefix}{key}");
        match value {
            Value::Dict(_, inner) if !inner.is_empty() => found.extend(leaves(inner, &format!("{path}."))),
            _ => found.push(path),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::AccessTo;
    use super::*;

    fn flags(flags: Vec<(&'static str, Value)>) -> Result<Settings, Mistakes> {
        load(Sources { flags, ..Sources::default() })
    }

    fn environment(pairs: &[(&str, &str)]) -> Result<Settings, Mistakes> {
        let environment = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        load(Sources { environment, ..Sources::default() })
    }

    #[test]
    fn the_defaults_are_valid() {
        let settings = flags(Vec::new()).unwrap();
        assert_eq!(settings.limits.body, 10 << 20);
        assert_eq!(settings.timeouts.connect, Duration::from_secs(2));
        assert_eq!(settings.log.access, AccessTo::Stdout);
    }

    #[test]
    fn later_sources_win() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bifocal.toml");
        std::fs::write(&file, "rules = 'from-file'\nstate = 'from-file'\n[limits]\nbody = '1 KiB'\ndepth = 7").unwrap();
        let settings = load(Sources {
            file: Some(file),
            environment: vec![
                ("BIFOCAL_LIMITS__BODY".into(), "2 KiB".into()),
                ("BIFOCAL_RULES".into(), "from-environment".into()),
                ("PATH".into(), "/bin".into()),
            ],
            flags: vec![("rules", Value::from("from-flag"))],
        })
        .unwrap();
        assert_eq!(settings.limits.depth, 7);
        assert_eq!(settings.limits.body, 2048);
        assert_eq!(settings.rules, PathBuf::from("from-flag"));
        assert_eq!(settings.state, Some(PathBuf::from("from-file")));
    }

    #[test]
    fn every_mistake_is_reported_with_its_source() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bifocal.toml");
        std::fs::write(&file, "lissten = '1'\n[timeouts]\nheader = '0s'\nbody = 5\n[limits]\nbody = -1").unwrap();
        let mistakes = load(Sources {
            file: Some(file),
            environment: vec![("BIFOCAL_LIMITS__BDY".into(), "1".into())],
            flags: vec![("admin", Value::from("nowhere"))],
        })
        .unwrap_err();
        let text = mistakes.to_string();
        for expected in [
            "unknown setting `lissten` in ",
            "bifocal.toml; did you mean `listen`?",
            "unknown setting `limits.bdy` (BIFOCAL_LIMITS__BDY); did you mean `limits.body`?",
            "setting `timeouts.header` in ",
            "must not be zero",
            "`5` needs a unit",
            "a size is not negative",
            "setting `admin` (--admin): `nowhere` is not an address",
        ] {
            assert!(text.contains(expected), "{expected:?} is missing in:\n{text}");
        }
        assert_eq!(mistakes.iter().count(), 6, "{text}");
    }

    #[test]
    fn an_admin_address_outside_needs_a_token() {
        let mistakes = environment(&[("BIFOCAL_ADMIN", "0.0.0.0:9901")]).unwrap_err();
        assert!(mistakes.to_string().contains("admin_token_file"), "{mistakes}");
    }

    #[test]
    fn a_missing_file_is_a_mistake() {
        let mistakes = load(Sources { file: Some("/nowhere/bifocal.toml".into()), ..Sources::default() }).unwrap_err();
        assert!(mistakes.to_string().contains("no such file"));
    }
}
