//! A version's `upstream`.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::calls::parse_time;
use super::route::parse_status;
use super::{Members, Parser, keys};
use crate::diagnostic::{codes, suggest};
use crate::rules::ast::{Spanned, StatusKey};
use crate::rules::upstream::{
    Balance, Breaker, Eject, EndpointDecl, EndpointLimits, HealthDecl, Policy, Probe, Protocol, Retry, SourceDecl,
    Times, UpstreamDecl,
};
use crate::rules::yaml::{Node, Plain};

/// Connections, requests: more than a process has.
const MANY: RangeInclusive<u32> = 1..=1_000_000;
const PERCENT: RangeInclusive<u32> = 0..=100;

impl Parser<'_> {
    /// `http://…`, or a map that says more. What cannot be read of a map is as if it were not said.
    pub(super) fn upstream(&mut self, node: &Node) -> Option<UpstreamDecl> {
        let Some(map) = node.as_map() else {
            let url = self.text(node, "`upstream`")?;
            let source = SourceDecl::Fixed(vec![EndpointDecl { url, weight: 1 }]);
            let policy = Policy::default();
            return Some(UpstreamDecl { source, host: None, health: None, policy, keys: Vec::new(), span: node.span });
        };
        let members = self.members(node, "`upstream`", keys::UPSTREAM)?;
        let host = members.get("host").and_then(|node| self.text(node, "`host`"));
        let health = members.get("health").and_then(|node| self.health(node));
        let policy = Policy {
            resolve: self.time_of(&members, "resolve"),
            protocol: self.protocol(&members),
            balance: self.balance(&members),
            slow_start: self.time_of(&members, "slow_start"),
            limits: members.get("limits").and_then(|node| self.limits(node)).unwrap_or_default(),
            breaker: members.get("breaker").and_then(|node| self.breaker(node)).unwrap_or_default(),
            eject: members.get("eject").and_then(|node| self.eject(node)).unwrap_or_default(),
            retry: members.get("retry").and_then(|node| self.retry(node)).unwrap_or_default(),
            timeouts: members.get("timeouts").and_then(|node| self.times(node)).unwrap_or_default(),
        };
        // Where it cannot be read where it runs, it runs somewhere all the same.
        let source = self.source(node, &members).unwrap_or(SourceDecl::Fixed(Vec::new()));
        let keys = map.iter().filter_map(|(key, _)| Some((key.as_str()?.to_owned(), key.span))).collect();
        Some(UpstreamDecl { source, host, health, policy, keys, span: node.span })
    }

    fn source(&mut self, node: &Node, members: &Members<'_>) -> Option<SourceDecl> {
        match (members.get("endpoints"), members.get("dns"), members.get("srv")) {
            (Some(list), None, None) => self.endpoints(list),
            (None, Some(name), None) => self.text(name, "`dns`").map(SourceDecl::Dns),
            (None, None, Some(name)) => self.text(name, "`srv`").map(SourceDecl::Srv),
            (None, None, None) => {
                let help = "one of `endpoints: [\"http://10.0.0.7:9101\"]`, `dns: \"http://orders.internal:9101\"` and \
                            `srv: \"http://_orders._tcp.internal\"`";
                self.missing(super::start(node.span), "`upstream`", "endpoints", help);
                None
            }
            (_, dns, srv) => {
                let at = srv.or(dns).map_or(node.span, |node| node.span);
                self.diagnostics
                    .error(codes::R6, at, "`upstream` says in two ways where its endpoints are")
                    .help("one of `endpoints`, `dns` and `srv`");
                None
            }
        }
    }

    fn endpoints(&mut self, node: &Node) -> Option<SourceDecl> {
        let list = self.list(node, "`endpoints`")?;
        // Each of them has state, timers and metrics of its own.
        if list.len() > 1000 {
            let found = format!("{} endpoints, the limit is 1000", list.len());
            self.diagnostics.error(codes::E15, super::start(node.span), found);
            return None;
        }
        let endpoints: Vec<EndpointDecl> = list.iter().filter_map(|one| self.endpoint(one)).collect();
        (endpoints.len() == list.len()).then_some(SourceDecl::Fixed(endpoints))
    }

    fn endpoint(&mut self, node: &Node) -> Option<EndpointDecl> {
        if node.as_map().is_none() {
            return self.text(node, "an endpoint").map(|url| EndpointDecl { url, weight: 1 });
        }
        let members = self.members(node, "an endpoint", keys::ENDPOINT)?;
        let weight = self.number_of(&members, "weight", 1..=1000).unwrap_or(1);
        let Some(url) = members.get("url") else {
            self.missing(super::start(node.span), "an endpoint", "url", "such as `url: \"http://10.0.0.7:9101\"`");
            return None;
        };
        self.text(url, "`url`").map(|url| EndpointDecl { url, weight })
    }

    fn protocol(&mut self, members: &Members<'_>) -> Protocol {
        let words = [("http1", Protocol::Http1), ("http2", Protocol::Http2), ("auto", Protocol::Auto)];
        self.word_of(members, "protocol", &words).unwrap_or_default()
    }

    fn balance(&mut self, members: &Members<'_>) -> Balance {
        let words = [("least_request", Balance::LeastRequest), ("round_robin", Balance::RoundRobin)];
        self.word_of(members, "balance", &words).unwrap_or_default()
    }

    fn limits(&mut self, node: &Node) -> Option<EndpointLimits> {
        let members = self.members(node, "`limits`", keys::ENDPOINT_LIMITS)?;
        Some(EndpointLimits {
            connections: self.count_of(&members, "connections", MANY),
            in_flight: self.count_of(&members, "in_flight", MANY),
            waiting: self.count_of(&members, "waiting", 0..=1_000_000),
            idle: self.count_of(&members, "idle", 0..=1_000_000),
            idle_time: self.time_of(&members, "idle_time"),
        })
    }

    fn breaker(&mut self, node: &Node) -> Option<Breaker> {
        let members = self.members(node, "`breaker`", keys::BREAKER)?;
        Some(Breaker {
            in_flight: self.count_of(&members, "in_flight", MANY),
            waiting: self.count_of(&members, "waiting", MANY),
        })
    }

    fn health(&mut self, node: &Node) -> Option<HealthDecl> {
        let members = self.members(node, "`health`", keys::HEALTH)?;
        let usual = Probe::default();
        let probe = Probe {
            every: self.time_of(&members, "every").unwrap_or(usual.every),
            timeout: self.time_of(&members, "timeout").unwrap_or(usual.timeout),
            healthy: self.number_of(&members, "healthy", 1..=100).unwrap_or(usual.healthy),
            unhealthy: self.number_of(&members, "unhealthy", 1..=100).unwrap_or(usual.unhealthy),
            status: self.statuses_of(&members).unwrap_or(usual.status),
        };
        let Some(path) = members.get("path") else {
            self.missing(super::start(node.span), "`health`", "path", "what is asked for, such as `path: /healthz`");
            return None;
        };
        self.text(path, "`path`").map(|path| HealthDecl { path, probe })
    }

    fn eject(&mut self, node: &Node) -> Option<Eject> {
        if node.as_map().is_none() {
            return self
                .word(node, "`eject`", &[("off", true), ("default", false)])
                .map(|is_off| Eject { is_off: is_off.value, ..Eject::default() });
        }
        let members = self.members(node, "`eject`", keys::EJECT)?;
        Some(Eject {
            is_off: false,
            failures: self.number_of(&members, "failures", 1..=1000),
            time: self.time_of(&members, "time"),
            longest: self.time_of(&members, "longest"),
            share: self.number_of(&members, "share", PERCENT),
            panic: self.number_of(&members, "panic", PERCENT),
            status: self.statuses_of(&members),
        })
    }

    fn retry(&mut self, node: &Node) -> Option<Retry> {
        if node.as_map().is_none() {
            let attempts = self.word(node, "`retry`", &[("off", Some(0)), ("default", None)])?.value;
            return Some(Retry { attempts, ..Retry::default() });
        }
        let members = self.members(node, "`retry`", keys::RETRY)?;
        Some(Retry {
            attempts: self.number_of(&members, "attempts", 0..=10),
            status: self.statuses_of(&members).unwrap_or_default(),
            backoff: self.time_of(&members, "backoff"),
            share: self.number_of(&members, "share", PERCENT),
            floor: self.number_of(&members, "floor", 0..=10_000),
        })
    }

    fn times(&mut self, node: &Node) -> Option<Times> {
        let members = self.members(node, "`timeouts`", keys::UPSTREAM_TIMEOUTS)?;
        Some(Times {
            connect: self.time_of(&members, "connect"),
            response: self.time_of(&members, "response"),
            attempt: self.time_of(&members, "attempt"),
            stream: self.time_of(&members, "stream"),
            total: self.time_of(&members, "total"),
        })
    }

    fn time_of(&mut self, members: &Members<'_>, key: &str) -> Option<Duration> {
        let node = members.get(key)?;
        let time = node.as_str().and_then(parse_time);
        if time.is_none() {
            self.shape(node, &format!("`{key}`"), "a time such as `500ms`, `2s` or `1m`");
        }
        time
    }

    fn count_of(&mut self, members: &Members<'_>, key: &str, range: RangeInclusive<u32>) -> Option<usize> {
        self.number_of(members, key, range).and_then(|number| usize::try_from(number).ok())
    }

    fn number_of(&mut self, members: &Members<'_>, key: &str, range: RangeInclusive<u32>) -> Option<u32> {
        let node = members.get(key)?;
        let number = node.as_str().filter(|_| node.as_plain() == Some(Plain::Number));
        let number = number.and_then(|text| text.parse().ok()).filter(|number| range.contains(number));
        if number.is_none() {
            let (least, most) = range.into_inner();
            let found = format!("`{key}` must be a whole number from {least} to {most}");
            self.diagnostics.error(codes::R6, node.span, found);
        }
        number
    }

    /// One status or a list of them: `503`, `5XX`.
    fn statuses_of(&mut self, members: &Members<'_>) -> Option<Vec<StatusKey>> {
        let node = members.get("status")?;
        let nodes = if node.as_list().is_some() { self.list(node, "`status`")? } else { std::slice::from_ref(node) };
        let mut statuses = Vec::with_capacity(nodes.len());
        for one in nodes {
            match one.as_str().and_then(parse_status) {
                Some(status @ (StatusKey::Exact(_) | StatusKey::Class(_))) => statuses.push(status),
                _ => self.shape(one, "`status`", "a status such as `503`, or a class such as `5XX`"),
            }
        }
        Some(statuses).filter(|statuses| !statuses.is_empty())
    }

    fn word_of<T: Copy>(&mut self, members: &Members<'_>, key: &str, words: &[(&str, T)]) -> Option<T> {
        members.get(key).and_then(|node| Some(self.word(node, &format!("`{key}`"), words)?.value))
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&mut self, node: &Node, what: &str, words: &[(&str, T)]) -> Option<Spanned<T>> {
        let Spanned { value: text, span } = self.text(node, what)?;
        let known = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if known.is_none() {
            let names = || words.iter().map(|(word, _)| *word);
            let listed: Vec<String> = names().map(|name| format!("`{name}`")).collect();
            let found = format!("{what} cannot be `{}`", super::short(&text).escape_debug());
            let help = suggest::help(&text, names()).unwrap_or_else(|| format!("one of {}", listed.join(", ")));
            self.diagnostics.error(codes::R14, span, found).help(help);
        }
        Some(Spanned { value: known?, span })
    }
}
