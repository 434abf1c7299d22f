//! What operators are told of endpoints: metrics, and one document with everything.
//!
//! Numbers are read where they are kept when somebody asks, so there is no series of an endpoint that is gone.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, PoisonError, Weak};
use std::time::UNIX_EPOCH;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use serde_json::{Value, json};

use super::cluster::{Cluster, Member};
use super::endpoint::{Numbers, Reason, State};
use super::registry::Clusters;
use crate::gateway::access_log::rfc3339;
use crate::gateway::ledger::Filter;
use crate::rules::upstream::Balance;

/// The metrics of all endpoints.
#[derive(Debug, Default, Clone)]
pub(in crate::gateway) struct Counts(Arc<OnceLock<Weak<Clusters>>>);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    service: String,
    version: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndpointLabels {
    service: String,
    version: String,
    endpoint: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabels {
    service: String,
    version: String,
    endpoint: String,
    reason: &'static str,
}

impl Counts {
    /// From here on these are told of.
    pub(in crate::gateway) fn watch(&self, clusters: &Arc<Clusters>) {
        // There is one registry of them in a process.
        let _ = self.0.set(Arc::downgrade(clusters));
    }
}

fn gauge(value: usize) -> ConstGauge<i64> {
    ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX))
}

/// A name, a help text and what is counted of a cluster.
type OfCluster = (&'static str, &'static str, fn(&Cluster) -> u64);
/// The same of an endpoint.
type OfEndpoint = (&'static str, &'static str, fn(&Numbers) -> usize);

const CLUSTER: [OfCluster; 4] = [
    ("upstream_retries", "Requests that were sent again", |one| one.ledger.retries.load(Ordering::Relaxed)),
    ("upstream_retries_refused", "Requests that were not sent again because too many others were", |one| {
        one.ledger.exhausted.load(Ordering::Relaxed)
    }),
    ("upstream_overloaded", "Requests that were refused because too many were in work", |one| {
        one.ledger.refused.load(Ordering::Relaxed)
    }),
    ("upstream_unavailable", "Requests for which there was no endpoint to ask", |one| {
        one.ledger.unavailable.load(Ordering::Relaxed)
    }),
];

const ENDPOINT: [OfEndpoint; 4] = [
    ("upstream_in_flight", "Requests that an endpoint has", |one| one.in_flight),
    ("upstream_waiting", "Requests that wait for an endpoint", |one| one.waiting),
    ("upstream_connections", "Connections to an endpoint", |one| one.open),
    ("upstream_idle_connections", "Those of them that are kept for the next request", |one| one.idle),
];

impl Collector for Counts {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let clusters = self.0.get().and_then(Weak::upgrade).map(|clusters| clusters.all()).unwrap_or_default();
        for (name, help, count) in CLUSTER {
            let of = ConstCounter::new(0_u64).metric_type();
            let mut metric = encoder.encode_descriptor(name, help, None, of)?;
            for cluster in &clusters {
                let (service, version) = (cluster.service.clone(), cluster.version.clone());
                let labels = Labels { service, version };
                ConstCounter::new(count(cluster)).encode(metric.encode_family(&labels)?)?;
            }
        }
        let endpoints: Vec<(EndpointLabels, Numbers, State)> = clusters
            .iter()
            .flat_map(|cluster| cluster.members().iter().map(|member| labelled(cluster, member)).collect::<Vec<_>>())
            .collect();
        for (name, help, count) in ENDPOINT {
            let mut metric = encoder.encode_descriptor(name, help, None, gauge(0).metric_type())?;
            for (labels, numbers, _) in &endpoints {
                gauge(count(numbers)).encode(metric.encode_family(labels)?)?;
            }
        }
        let help = "1 where an endpoint is asked";
        let mut metric = encoder.encode_descriptor("upstream_up", help, None, gauge(0).metric_type())?;
        for (labels, _, state) in &endpoints {
            gauge(usize::from(*state == State::Up)).encode(metric.encode_family(labels)?)?;
        }
        let of = ConstCounter::new(0_u64).metric_type();
        let help = "Requests that an endpoint was to have";
        let mut metric = encoder.encode_descriptor("upstream_requests", help, None, of)?;
        for (labels, numbers, _) in &endpoints {
            ConstCounter::new(numbers.requests).encode(metric.encode_family(labels)?)?;
        }
        let help = "Times that an endpoint was left out";
        let mut metric = encoder.encode_descriptor("upstream_ejections", help, None, of)?;
        for (labels, numbers, _) in &endpoints {
            ConstCounter::new(numbers.ejected).encode(metric.encode_family(labels)?)?;
        }
        let help = "Requests to an endpoint that failed";
        let mut metric = encoder.encode_descriptor("upstream_failures", help, None, of)?;
        for (EndpointLabels { service, version, endpoint }, numbers, _) in &endpoints {
            for ((_, reason), count) in Reason::ALL.iter().zip(numbers.failed) {
                let (service, version, endpoint) = (service.clone(), version.clone(), endpoint.clone());
                let labels = FailureLabels { service, version, endpoint, reason };
                ConstCounter::new(count).encode(metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

fn labelled(cluster: &Cluster, member: &Member) -> (EndpointLabels, Numbers, State) {
    let endpoint = &member.endpoint;
    let labels = EndpointLabels {
        service: cluster.service.clone(),
        version: cluster.version.clone(),
        endpoint: endpoint.name().to_owned(),
    };
    (labels, endpoint.numbers(), endpoint.state())
}

impl Clusters {
    /// Everything that is known, or of one service or version.
    pub(in crate::gateway) fn as_json(&self, filter: &Filter) -> Value {
        let is_asked = |cluster: &Arc<Cluster>| {
            let fits = |wanted: &Option<String>, is: &str| wanted.as_ref().is_none_or(|wanted| wanted == is);
            fits(&filter.service, &cluster.service) && fits(&filter.version, &cluster.version)
        };
        let upstreams: Vec<Value> =
            self.all().iter().filter(|cluster| is_asked(cluster)).map(|one| told(one)).collect();
        json!({"upstreams": upstreams})
    }
}

fn told(cluster: &Cluster) -> Value {
    let ledger = &cluster.ledger;
    let endpoints: Vec<Value> = cluster.members().iter().map(|member| endpoint(cluster, member)).collect();
    let load = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
    let mut told = json!({
        "service": cluster.service,
        "version": cluster.version,
        "where": cluster.upstream.told(),
        "balance": match cluster.policy.balance {
            Balance::LeastRequest => "least_request",
            Balance::RoundRobin => "round_robin",
        },
        "in_flight": ledger.in_flight(),
        "waiting": ledger.waiting(),
        "retries": load(&ledger.retries),
        "retries_refused": load(&ledger.exhausted),
        "overloaded": load(&ledger.refused),
        "unavailable": load(&ledger.unavailable),
        "endpoints": endpoints,
    });
    let resolution = cluster.resolution.lock().unwrap_or_else(PoisonError::into_inner);
    if let (Some(at), Some(members)) = (resolution.at, told.as_object_mut()) {
        let at = rfc3339(at.duration_since(UNIX_EPOCH).unwrap_or_default());
        members.insert("looked_up".to_owned(), json!({"at": at, "problem": resolution.problem}));
    }
    told
}

fn endpoint(cluster: &Cluster, member: &Member) -> Value {
    let numbers = member.endpoint.numbers();
    let failures =
        Reason::ALL.iter().zip(numbers.failed).map(|((_, reason), count)| ((*reason).to_owned(), count.into()));
    json!({
        "endpoint": member.endpoint.name(),
        "state": member.endpoint.state().word(),
        "weight": member.weight,
        "priority": member.priority,
        "warmth": member.endpoint.warmth(&cluster.policy),
        "in_flight": numbers.in_flight,
        "waiting": numbers.waiting,
        "connections": numbers.open,
        "idle_connections": numbers.idle,
        "requests": numbers.requests,
        "ejections": numbers.ejected,
        "failures": failures.collect::<serde_json::Map<String, Value>>(),
    })
}
