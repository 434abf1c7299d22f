//! How a version's endpoints are treated: what rules say, and for the rest what the settings say.

use std::time::Duration;

use crate::rules::ast::StatusKey;
use crate::rules::upstream::{self as said, Balance, Protocol, Upstream};
use crate::settings::{Timeouts, UpstreamDefaults};

/// Everything, decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Policy {
    /// What is spoken.
    pub(super) protocol: Protocol,
    pub(super) balance: Balance,
    pub(super) slow_start: Option<Duration>,
    /// Open connections to an endpoint.
    pub(super) connections: usize,
    /// Requests to an endpoint in flight.
    pub(super) in_flight: usize,
    /// Requests that wait for one.
    pub(super) waiting: usize,
    pub(super) idle: usize,
    pub(super) idle_time: Duration,
    /// Requests to the version in flight.
    pub(super) version_in_flight: usize,
    /// Those of them without a connection.
    pub(super) version_waiting: usize,
    /// Failed connections in a row.
    pub(super) unreachable_after: u32,
    /// None: endpoints are never left out for what they answer.
    pub(super) eject: Option<Eject>,
    pub(super) retry: Retry,
    pub(super) connect: Duration,
    pub(super) response: Duration,
    pub(super) attempt: Option<Duration>,
    pub(super) stream: Duration,
    pub(super) total: Option<Duration>,
    pub(super) resolve: Duration,
}

/// When an endpoint is left out for what it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Eject {
    pub(super) failures: u32,
    pub(super) time: Duration,
    pub(super) longest: Duration,
    /// Percent of all endpoints.
    pub(super) share: usize,
    /// Percent of all endpoints.
    pub(super) panic: usize,
    pub(super) status: Vec<StatusKey>,
}

/// When a request is sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Retry {
    pub(super) attempts: u32,
    pub(super) status: Vec<StatusKey>,
    pub(super) backoff: Duration,
    pub(super) share: u32,
    pub(super) floor: u32,
}

impl Policy {
    pub(super) fn new(upstream: &Upstream, defaults: &UpstreamDefaults, timeouts: &Timeouts) -> Self {
        let policy = &upstream.policy;
        let (limits, breaker, times) = (&policy.limits, &policy.breaker, &policy.timeouts);
        let connections = limits.connections.unwrap_or(usize::MAX);
        let in_flight = limits.in_flight.unwrap_or(usize::MAX);
        let response = times.response.unwrap_or(timeouts.response);
        Self {
            protocol: policy.protocol,
            balance: policy.balance,
            slow_start: policy.slow_start,
            connections,
            // A request of HTTP/1.1 has a connection of its own.
            in_flight: if policy.protocol == Protocol::Http2 { in_flight } else { in_flight.min(connections) },
            waiting: limits.waiting.unwrap_or(usize::MAX),
            idle: limits.idle.unwrap_or(defaults.idle),
            idle_time: limits.idle_time.unwrap_or(defaults.idle_time),
            version_in_flight: breaker.in_flight.unwrap_or(defaults.in_flight),
            version_waiting: breaker.waiting.unwrap_or(defaults.waiting),
            unreachable_after: defaults.unreachable_after,
            eject: Eject::new(&policy.eject, defaults),
            retry: Retry::new(&policy.retry, defaults),
            connect: times.connect.unwrap_or(timeouts.connect),
            // The head of a response is a part of the exchange.
            response: times.total.map_or(response, |total| response.min(total)),
            attempt: times.attempt,
            stream: times.stream.unwrap_or(timeouts.stream),
            total: times.total,
            resolve: policy.resolve.unwrap_or(defaults.resolve),
        }
    }
}

impl Eject {
    fn new(eject: &said::Eject, defaults: &UpstreamDefaults) -> Option<Self> {
        // What stands before a service says these where the service itself is gone or overloaded.
        let gone = || [502, 503, 504].map(StatusKey::Exact).to_vec();
        let percent = |percent: u32| usize::try_from(percent).unwrap_or(100);
        let time = eject.time.unwrap_or(defaults.eject_time);
        (!eject.is_off).then(|| Self {
            failures: eject.failures.unwrap_or(defaults.eject_after),
            time,
            longest: eject.longest.unwrap_or(defaults.eject_longest).max(time),
            share: percent(eject.share.unwrap_or(defaults.eject_share)),
            panic: percent(eject.panic.unwrap_or(defaults.eject_panic)),
            status: eject.status.clone().unwrap_or_else(gone),
        })
    }
}

impl Retry {
    fn new(retry: &said::Retry, defaults: &UpstreamDefaults) -> Self {
        Self {
            attempts: retry.attempts.unwrap_or(defaults.retries),
            status: retry.status.clone(),
            backoff: retry.backoff.unwrap_or(defaults.retry_backoff),
            share: retry.share.unwrap_or(defaults.retry_share),
            floor: retry.floor.unwrap_or(defaults.retry_floor),
        }
    }
}
