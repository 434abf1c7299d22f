//! The metrics of flows. Numbers are read where they are kept when somebody asks, so there is no series of a flow that is
//! gone.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::Flows;
use super::report::state;
use crate::messaging::flow::Counts as Numbers;

/// The metrics of all flows.
#[derive(Debug, Default, Clone)]
pub(in crate::gateway) struct Counts(Arc<OnceLock<Weak<Flows>>>);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    service: String,
    /// Its name within the service: `orders/v1`.
    flow: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    service: String,
    flow: String,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LetterLabels {
    service: String,
    flow: String,
    reason: &'static str,
}

impl Counts {
    /// From here on these are told of.
    pub(in crate::gateway) fn watch(&self, flows: &Arc<Flows>) {
        // There is one registry of them in a process.
        let _ = self.0.set(Arc::downgrade(flows));
    }
}

/// A name, a help text and what is counted of a flow.
type Counted = (&'static str, &'static str, fn(&Numbers) -> &AtomicU64);

const COUNTED: [Counted; 7] = [
    ("flow_received", "Messages that a flow was given", |one| &one.received),
    ("flow_published", "Messages that a target has confirmed", |one| &one.published),
    ("flow_settled", "Messages that were done with everywhere", |one| &one.settled),
    ("flow_deduplicated", "Messages that were left out because their id was done before", |one| &one.deduplicated),
    ("flow_redelivered", "Messages that were given again", |one| &one.redelivered),
    ("flow_retried", "Attempts to publish that failed and were made again", |one| &one.retried),
    ("flow_dropped_members", "Members that a message's readers have no place for", |one| &one.dropped_members),
];

/// What a flow may do.
const STATES: [&str; 7] = ["connecting", "running", "waiting", "halted", "draining", "stopped", "refused"];

fn gauge(value: u64) -> ConstGauge<i64> {
    ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX))
}

impl Collector for Counts {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(flows) = self.0.get().and_then(Weak::upgrade) else { return Ok(()) };
        let listed = flows.supervisor.flows();
        let all: Vec<_> = listed
            .iter()
            .map(|(name, one)| {
                let labels = Labels { service: one.spec.service.clone(), flow: one.spec.flow.name.clone() };
                (labels, name, one)
            })
            .collect();
        let counter = ConstCounter::new(0_u64).metric_type();
        for (name, help, count) in COUNTED {
            let mut metric = encoder.encode_descriptor(name, help, None, counter)?;
            for (labels, _, flow) in &all {
                let Some(status) = &flow.status else { continue };
                let count = count(&status.counts).load(Ordering::Relaxed);
                ConstCounter::new(count).encode(metric.encode_family(labels)?)?;
            }
        }
        let help = "Messages that went to the dead letters, by reason";
        let mut metric = encoder.encode_descriptor("flow_dead_letters", help, None, counter)?;
        for (Labels { service, flow: name }, _, flow) in &all {
            let letters = flow.status.as_ref().map(|status| status.dead_letters()).unwrap_or_default();
            for (reason, count) in letters {
                let labels = LetterLabels { service: service.clone(), flow: name.clone(), reason };
                ConstCounter::new(count).encode(metric.encode_family(&labels)?)?;
            }
        }
        let help = "Messages that were taken and are not settled";
        let mut metric = encoder.encode_descriptor("flow_in_flight", help, None, gauge(0).metric_type())?;
        for (labels, _, flow) in &all {
            let in_flight = flow.status.as_ref().map_or(0, |one| one.counts.in_flight.load(Ordering::Relaxed));
            gauge(in_flight as u64).encode(metric.encode_family(labels)?)?;
        }
        let help = "Messages that waited for a flow when its broker was last asked, every ten seconds";
        let mut metric = encoder.encode_descriptor("flow_waiting", help, None, gauge(0).metric_type())?;
        for (labels, name, _) in &all {
            if let Some(waiting) = flows.rates().waiting(name) {
                gauge(waiting).encode(metric.encode_family(labels)?)?;
            }
        }
        let help = "1 for what a flow does";
        let mut metric = encoder.encode_descriptor("flow_state", help, None, gauge(0).metric_type())?;
        for (Labels { service, flow: name }, _, flow) in &all {
            for one in STATES {
                let labels = StateLabels { service: service.clone(), flow: name.clone(), state: one };
                // One from before may run where another cannot be started.
                let is_so = state(flow) == one || (one == "refused" && flow.refused.is_some());
                gauge(u64::from(is_so)).encode(metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
