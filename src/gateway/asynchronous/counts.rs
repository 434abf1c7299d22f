//! What operators are told of requests that are kept: counts by what became of them, and how much there is.

use std::fmt;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, OnceLock, Weak};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

use super::Asynchronous;
use super::operation::State;

/// Counts, and gauges of what is under way.
#[derive(Debug)]
pub(in crate::gateway) struct Counts {
    keys: Family<Labels, Counter>,
    operations: Family<Labels, Counter>,
    open: Family<OpenLabels, Gauge<i64, AtomicI64>>,
    kept: Kept,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    service: String,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OpenLabels {
    service: String,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KeptLabels {
    kind: &'static str,
    of: String,
}

/// An operation that is not over: counted for as long as this is held.
#[derive(Debug)]
pub(in crate::gateway) struct Open(Gauge<i64, AtomicI64>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Counts {
    pub(in crate::gateway) fn new(registry: &mut Registry) -> Self {
        let (keys, operations, open) = (Family::default(), Family::default(), Family::<_, Gauge<_, _>>::default());
        let told = "Requests with an Idempotency-Key, or without one that is needed, by what became of them";
        registry.register("idempotency", told, keys.clone());
        let told = "Asynchronous operations by what became of them";
        registry.register("operations", told, operations.clone());
        registry.register("operations_open", "Operations that are not over, in this process", open.clone());
        let kept = Kept::default();
        registry.register_collector(Box::new(kept.clone()));
        Self { keys, operations, open, kept }
    }

    /// From here on what these keep is told of.
    pub(in crate::gateway) fn watch(&self, asynchronous: &Arc<Asynchronous>) {
        // There is one of them in a process.
        let _ = self.kept.0.set(Arc::downgrade(asynchronous));
    }

    /// Counts a request with an `Idempotency-Key`.
    pub(in crate::gateway) fn key(&self, service: &str, result: &'static str) {
        self.keys.get_or_create(&Labels { service: service.to_owned(), result }).inc();
    }

    /// Counts what became of an operation.
    pub(in crate::gateway) fn operation(&self, service: &str, result: &'static str) {
        self.operations.get_or_create(&Labels { service: service.to_owned(), result }).inc();
    }

    /// An operation is in this state until what is given is dropped.
    pub(super) fn open(&self, service: &str, state: State) -> Open {
        let labels = OpenLabels { service: service.to_owned(), state: state.name() };
        let gauge = self.open.get_or_create(&labels).clone();
        gauge.inc();
        Open(gauge)
    }
}

/// What the store has, as it is when somebody asks.
#[derive(Debug, Default, Clone)]
struct Kept(Arc<OnceLock<Weak<Asynchronous>>>);

impl Collector for Kept {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let asynchronous = self.0.get().and_then(Weak::upgrade);
        let Some(store) = asynchronous.as_ref().and_then(|one| one.keeper.opened()) else { return Ok(()) };
        let whole = |count: u64| ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX));
        let help = "Size of the store";
        let bytes = whole(store.bytes());
        bytes.encode(encoder.encode_descriptor("store_bytes", help, None, bytes.metric_type())?)?;
        // Where it cannot be read, that is told by what fails for it.
        let counts = store.counts().unwrap_or_default();
        let help = "Entries of the store by what they are and whose";
        let mut metric = encoder.encode_descriptor("store_entries", help, None, whole(0).metric_type())?;
        for (table, of, count) in counts {
            let labels = KeptLabels { kind: table.name(), of };
            whole(count).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
