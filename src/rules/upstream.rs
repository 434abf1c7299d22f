//! Where the service of a version runs, and how it is treated: several endpoints, their health, limits and retries.
//!
//! What is `None` here is as the process's settings say.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use http::Uri;
use http::uri::Authority;

use super::ast::{Spanned, StatusKey};
use crate::diagnostic::Span;

/// A version's `upstream:` as its author wrote it.
#[derive(Debug, Clone)]
pub struct UpstreamDecl {
    /// Where its endpoints are found.
    pub source: SourceDecl,
    /// `host:`
    pub host: Option<Spanned<String>>,
    /// `health:`
    pub health: Option<HealthDecl>,
    /// Everything else.
    pub policy: Policy,
    /// Where its keys are written.
    pub keys: Vec<(String, Span)>,
    /// Where the whole is written.
    pub span: Span,
}

impl UpstreamDecl {
    /// Where a key is written, or the whole.
    pub fn at(&self, key: &str) -> Span {
        self.keys.iter().find(|(name, _)| name == key).map_or(self.span, |(_, span)| *span)
    }
}

/// Where endpoints are found.
#[derive(Debug, Clone)]
pub enum SourceDecl {
    /// `upstream: http://…`, or the list of `endpoints:`; empty where it cannot be read.
    Fixed(Vec<EndpointDecl>),
    /// `dns:`
    Dns(Spanned<String>),
    /// `srv:`
    Srv(Spanned<String>),
}

/// One of `endpoints:`
#[derive(Debug, Clone)]
pub struct EndpointDecl {
    /// `http[s]://host[:port][/base]`.
    pub url: Spanned<String>,
    /// Its share of the sum of all weights.
    pub weight: u32,
}

/// `health:`
#[derive(Debug, Clone)]
pub struct HealthDecl {
    /// What is asked for.
    pub path: Spanned<String>,
    /// How often and how long.
    pub probe: Probe,
}

/// A version's upstream, ready to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Where its endpoints are found.
    pub source: Source,
    /// What services are told as `Host`, and what their certificates must hold for, instead of the endpoint's own.
    pub host: Option<Authority>,
    /// The path that tells whether an endpoint is well, and how it is asked.
    pub health: Option<(String, Probe)>,
    /// Everything else.
    pub policy: Policy,
}

/// Where endpoints are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// These, with their weights; at least one, all with one scheme and base path.
    Fixed(Vec<(Uri, u32)>),
    /// Every address of this name.
    Dns(Uri),
    /// What the SRV records (RFC 2782) of this name say.
    Srv(Uri),
}

impl Upstream {
    /// One endpoint and nothing said of it.
    pub fn one(address: Uri) -> Self {
        Self { source: Source::Fixed(vec![(address, 1)]), host: None, health: None, policy: Policy::default() }
    }

    /// The service's address: of its first endpoint, or the name that is looked up.
    pub fn base(&self) -> Option<&Uri> {
        match &self.source {
            Source::Fixed(endpoints) => endpoints.first().map(|(address, _)| address),
            Source::Dns(name) | Source::Srv(name) => Some(name),
        }
    }

    /// What it comes to, in one line.
    pub fn told(&self) -> String {
        let plain = |address: &Uri| address.to_string().trim_end_matches('/').to_owned();
        let weighted = |(address, weight): &(Uri, u32)| match weight {
            1 => plain(address),
            weight => format!("{} with weight {weight}", plain(address)),
        };
        match &self.source {
            Source::Fixed(endpoints) => endpoints.iter().map(weighted).collect::<Vec<_>>().join(", "),
            Source::Dns(name) => format!("every address of {}", plain(name)),
            Source::Srv(name) => format!("the SRV records of {}", plain(name)),
        }
    }
}

/// How endpoints are chosen and treated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// How often a name is looked up again.
    pub resolve: Option<Duration>,
    /// What is spoken.
    pub protocol: Protocol,
    /// Which endpoint is next.
    pub balance: Balance,
    /// The time in which a new or recovered endpoint comes to its whole share.
    pub slow_start: Option<Duration>,
    /// Of each endpoint.
    pub limits: EndpointLimits,
    /// Of the version as a whole.
    pub breaker: Breaker,
    /// When an endpoint is left out for what it answers.
    pub eject: Eject,
    /// When a request is sent again.
    pub retry: Retry,
    /// How long things may take.
    pub timeouts: Times,
}

/// The protocol towards a service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2, by prior knowledge where there is no TLS.
    Http2,
    /// With TLS what both sides can, else HTTP/1.1.
    Auto,
}

/// Which endpoint is next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Balance {
    /// Of two that are drawn by weight, the one with fewer requests in flight.
    #[default]
    LeastRequest,
    /// In turn, by weight.
    RoundRobin,
}

/// `limits:`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndpointLimits {
    /// Open connections.
    pub connections: Option<usize>,
    /// Requests in flight.
    pub in_flight: Option<usize>,
    /// Requests that wait for either.
    pub waiting: Option<usize>,
    /// Connections kept for the next request.
    pub idle: Option<usize>,
    /// How long.
    pub idle_time: Option<Duration>,
}

/// `breaker:`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Breaker {
    /// Requests in flight.
    pub in_flight: Option<usize>,
    /// Those of them that have no connection yet.
    pub waiting: Option<usize>,
}

/// How an endpoint is asked whether it is well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// How often.
    pub every: Duration,
    /// How long it may take.
    pub timeout: Duration,
    /// Good answers in a row that bring it back.
    pub healthy: u32,
    /// Bad ones in a row that leave it out.
    pub unhealthy: u32,
    /// What is a good answer.
    pub status: Vec<StatusKey>,
}

impl Default for Probe {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(5),
            timeout: Duration::from_secs(1),
            healthy: 2,
            unhealthy: 3,
            status: vec![StatusKey::Class(2)],
        }
    }
}

/// `eject:`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Eject {
    /// `off`: never, whatever it answers.
    pub is_off: bool,
    /// Failures in a row.
    pub failures: Option<u32>,
    /// How long it is left out for the first time.
    pub time: Option<Duration>,
    /// How long at most.
    pub longest: Option<Duration>,
    /// The part of all endpoints that may be left out at once, in percent.
    pub share: Option<u32>,
    /// With less than this part of all endpoints in use, in percent, those that were left out are used all the same.
    pub panic: Option<u32>,
    /// Statuses that are failures.
    pub status: Option<Vec<StatusKey>>,
}

/// `retry:`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retry {
    /// How often one request is sent again at most; 0: `off`.
    pub attempts: Option<u32>,
    /// Answers to idempotent requests that are no answers.
    pub status: Vec<StatusKey>,
    /// Before the first one, on average twice that; doubled for each further one.
    pub backoff: Option<Duration>,
    /// Retries for each hundred requests.
    pub share: Option<u32>,
    /// Retries in ten seconds that are allowed however few requests there are.
    pub floor: Option<u32>,
}

/// `timeouts:`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Times {
    /// Reaching an endpoint.
    pub connect: Option<Duration>,
    /// The head of the response, whatever it takes to get one.
    pub response: Option<Duration>,
    /// The same of one attempt.
    pub attempt: Option<Duration>,
    /// A silence inside a body.
    pub stream: Option<Duration>,
    /// The whole exchange.
    pub total: Option<Duration>,
}

/// Whether an address is link-local: such addresses reach the machine's own metadata services.
pub fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => four.is_link_local(),
        IpAddr::V6(six) => {
            six.is_unicast_link_local() || six.to_ipv4().is_some_and(|four| four.is_link_local()) || is_metadata(six)
        }
    }
}

/// The IPv6 form of a cloud's metadata service.
fn is_metadata(six: Ipv6Addr) -> bool {
    six == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)
}
