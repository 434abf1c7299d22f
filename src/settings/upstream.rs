//! Where services run instead of what rules say, and how they are treated where rules do not say.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use figment::value::Value;

use super::read::Reader;

/// By service, then by version: the endpoints of the service built for that version.
pub type Upstreams = BTreeMap<String, BTreeMap<String, Vec<http::Uri>>>;

/// How services are treated where the rules do not say.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each is explained where it is listed, in defaults.toml")]
pub struct UpstreamDefaults {
    pub idle: usize,
    pub idle_time: Duration,
    pub in_flight: usize,
    pub waiting: usize,
    pub retries: u32,
    pub retry_share: u32,
    pub retry_floor: u32,
    pub retry_backoff: Duration,
    pub unreachable_after: u32,
    pub eject_after: u32,
    pub eject_time: Duration,
    pub eject_longest: Duration,
    pub eject_share: u32,
    pub eject_panic: u32,
    pub resolve: Duration,
    pub resolvers: Vec<SocketAddr>,
}

impl Reader {
    /// Reads the section `upstreams`.
    pub(super) fn upstreams(&mut self) -> Upstreams {
        let mut upstreams = Upstreams::new();
        let Ok(Value::Dict(_, services)) = self.figment.find_value("upstreams") else { return upstreams };
        for (service, versions) in services {
            let Value::Dict(_, versions) = versions else { continue };
            for (version, value) in versions {
                let key = format!("upstreams.{service}.{version}");
                match parse_endpoints(&value) {
                    Some(endpoints) if are_alike(&endpoints) => {
                        upstreams.entry(service.clone()).or_default().insert(version, endpoints);
                    }
                    Some(_) => self.wrong(&key, "its endpoints must have one scheme and one base path"),
                    None => self.wrong(
                        &key,
                        "must be `http://host:port` or `https://host`, with an optional base path, or a list of them",
                    ),
                }
            }
        }
        upstreams
    }

    /// Reads the section `upstream_defaults`.
    pub(super) fn upstream_defaults(&mut self) -> UpstreamDefaults {
        let defaults = UpstreamDefaults {
            idle: self.size("upstream_defaults.idle"),
            idle_time: self.time("upstream_defaults.idle_time"),
            in_flight: self.size("upstream_defaults.in_flight"),
            waiting: self.size("upstream_defaults.waiting"),
            retries: self.number("retries", 10),
            retry_share: self.number("retry_share", 100),
            retry_floor: self.number("retry_floor", 10_000),
            retry_backoff: self.time("upstream_defaults.retry_backoff"),
            unreachable_after: self.number("unreachable_after", 1000),
            eject_after: self.number("eject_after", 1000),
            eject_time: self.time("upstream_defaults.eject_time"),
            eject_longest: self.time("upstream_defaults.eject_longest"),
            eject_share: self.number("eject_share", 100),
            eject_panic: self.number("eject_panic", 100),
            resolve: self.time("upstream_defaults.resolve"),
            resolvers: self.resolvers(),
        };
        for (key, value) in [("unreachable_after", defaults.unreachable_after), ("eject_after", defaults.eject_after)] {
            let key = format!("upstream_defaults.{key}");
            if value == 0 && !self.found(&key) {
                self.wrong(&key, "must not be zero");
            }
        }
        if defaults.eject_time > defaults.eject_longest {
            self.wrong("upstream_defaults.eject_longest", "must not be less than `upstream_defaults.eject_time`");
        }
        defaults
    }

    fn number(&mut self, key: &str, most: u32) -> u32 {
        let key = format!("upstream_defaults.{key}");
        let number: u32 = self.take(&key);
        if number > most {
            self.wrong(&key, &format!("must be between 0 and {most}"));
        }
        number
    }

    fn resolvers(&mut self) -> Vec<SocketAddr> {
        const KEY: &str = "upstream_defaults.resolvers";
        if self.is_empty_list(KEY) { Vec::new() } else { self.addresses(KEY) }
    }
}

/// One address or a list of them.
fn parse_endpoints(value: &Value) -> Option<Vec<http::Uri>> {
    let one = |value: &Value| value.as_str().and_then(parse_upstream);
    match value {
        Value::Array(_, list) if !list.is_empty() => list.iter().map(one).collect(),
        value => one(value).map(|address| vec![address]),
    }
}

fn are_alike(endpoints: &[http::Uri]) -> bool {
    let kind = |address: &http::Uri| (address.scheme().cloned(), address.path().trim_end_matches('/').to_owned());
    endpoints.windows(2).all(|two| matches!(two, [one, other] if kind(one) == kind(other)))
}

/// `http[s]://host[:port][/base]`. An operator may name any address; rules may not (they are changed by more people).
fn parse_upstream(text: &str) -> Option<http::Uri> {
    let uri: http::Uri = text.parse().ok()?;
    let is_plain =
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.query().is_none() && !text.contains(['@', '#']);
    (is_plain && uri.host().is_some_and(|host| !host.is_empty())).then_some(uri)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::settings::{Mistakes, Settings, Sources};

    fn environment(pairs: &[(&str, &str)]) -> Result<Settings, Mistakes> {
        let environment = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Settings::load(Sources { environment, ..Sources::default() })
    }

    #[test]
    fn upstreams_are_named_by_service_and_version() {
        let settings = environment(&[("BIFOCAL_UPSTREAMS__ORDERS__V1", "http://127.0.0.1:7/base")]).unwrap();
        assert_eq!(settings.upstreams["orders"]["v1"][0], "http://127.0.0.1:7/base");
        let settings = environment(&[("BIFOCAL_UPSTREAMS__ORDERS__V1", "https://shop.example")]).unwrap();
        assert_eq!(settings.upstreams["orders"]["v1"][0], "https://shop.example");
        for wrong in ["ftp://a", "http://a?b", "http://u@a", "nowhere", "7"] {
            let text = environment(&[("BIFOCAL_UPSTREAMS__ORDERS__V1", wrong)]).unwrap_err().to_string();
            assert!(text.contains("`upstreams.orders.v1` (BIFOCAL_UPSTREAMS__ORDERS__V1): must be `http://"), "{text}");
        }
        let text = environment(&[("BIFOCAL_UPSTREAMS__ORDERS", "http://a")]).unwrap_err().to_string();
        assert!(text.contains("unknown setting `upstreams.orders`"), "{text}");
    }

    #[test]
    fn a_version_may_have_several_endpoints() {
        let set = |value| environment(&[("BIFOCAL_UPSTREAMS__ORDERS__V1", value)]);
        let settings = set(r#"["http://10.0.0.7:1/a", "http://10.0.0.8:1/a/"]"#).unwrap();
        assert_eq!(settings.upstreams["orders"]["v1"].len(), 2);
        for wrong in [r#"["http://10.0.0.7:1", "http://10.0.0.8:1/a"]"#, r#"["http://a", "https://a"]"#] {
            let text = set(wrong).unwrap_err().to_string();
            assert!(text.contains("one scheme and one base path"), "{text}");
        }
        assert!(set("[]").is_err() && set(r#"["http://a", 7]"#).is_err());
    }

    #[test]
    fn defaults_have_ranges() {
        let settings = environment(&[
            ("BIFOCAL_UPSTREAM_DEFAULTS__RETRIES", "0"),
            ("BIFOCAL_UPSTREAM_DEFAULTS__RESOLVERS", "[\"127.0.0.1:53\"]"),
        ])
        .unwrap();
        assert_eq!((settings.upstream_defaults.retries, settings.upstream_defaults.resolvers.len()), (0, 1));
        assert_eq!(settings.upstream_defaults.idle_time, Duration::from_secs(4));
        let text = environment(&[
            ("BIFOCAL_UPSTREAM_DEFAULTS__RETRY_SHARE", "101"),
            ("BIFOCAL_UPSTREAM_DEFAULTS__EJECT_AFTER", "0"),
            ("BIFOCAL_UPSTREAM_DEFAULTS__EJECT_LONGEST", "1s"),
            ("BIFOCAL_UPSTREAM_DEFAULTS__RESOLVERS", "[\"nowhere\"]"),
        ])
        .unwrap_err()
        .to_string();
        for expected in [
            "`upstream_defaults.retry_share` (BIFOCAL_UPSTREAM_DEFAULTS__RETRY_SHARE): must be between 0 and 100",
            "`upstream_defaults.eject_after` (BIFOCAL_UPSTREAM_DEFAULTS__EJECT_AFTER): must not be zero",
            "must not be less than `upstream_defaults.eject_time`",
            "`nowhere` is not an address",
        ] {
            assert!(text.contains(expected), "{expected:?} is missing in:\n{text}");
        }
    }
}
