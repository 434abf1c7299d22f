//! Metrics of the gateway's own operation: what its logs and its telemetry lose, how it stands, how it is replaced.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What is counted elsewhere is copied here when somebody looks.
#[derive(Debug)]
pub(super) struct Operating {
    access_left_out: Counter,
    messages_dropped: Counter,
    audit_dropped: Counter,
    level_changed: Gauge<i64, AtomicI64>,
    draining: Gauge<i64, AtomicI64>,
    replacements: Family<Outcome, Counter>,
    spans: Family<Outcome, Counter>,
    metric_exports: Family<Outcome, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Build {
    version: &'static str,
}

/// Counts of what others keep.
#[derive(Debug, Default)]
pub(super) struct Levels {
    pub(super) access_left_out: u64,
    pub(super) messages_dropped: u64,
    pub(super) audit_dropped: u64,
    pub(super) is_level_changed: bool,
    pub(super) is_draining: bool,
}

impl Operating {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let new = Self {
            access_left_out: Counter::default(),
            messages_dropped: Counter::default(),
            audit_dropped: Counter::default(),
            level_changed: Gauge::default(),
            draining: Gauge::default(),
            replacements: Family::default(),
            spans: Family::default(),
            metric_exports: Family::default(),
        };
        let told = "Access log lines that were left out because only a share is written";
        registry.register("access_log_left_out", told, new.access_left_out.clone());
        registry.register("messages_dropped", "Messages that could not be written", new.messages_dropped.clone());
        registry.register("audit_dropped", "Lines of the audit file that were lost", new.audit_dropped.clone());
        let told = "1 while the log level is not that of the settings";
        registry.register("log_level_changed", told, new.level_changed.clone());
        registry.register("draining", "1 while not ready because it is to go", new.draining.clone());
        registry.register("replacements", "Replacements of the program by result", new.replacements.clone());
        registry.register("spans", "Spans of sampled requests by what became of them", new.spans.clone());
        registry.register("metric_exports", "Sendings of metrics by result", new.metric_exports.clone());
        let build = Family::<Build, Gauge<i64, AtomicI64>>::default();
        build.get_or_create(&Build { version: env!("CARGO_PKG_VERSION") }).set(1);
        registry.register("build", "The program's version", build);
        let begun: Gauge<i64, AtomicI64> = Gauge::default();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        begun.set(i64::try_from(now.as_secs()).unwrap_or_default());
        registry.register("start_time_seconds", "When the process started, since 1970", begun);
        new
    }

    /// Counts an attempt to replace the program.
    pub(super) fn replaced(&self, result: &'static str) {
        self.replacements.get_or_create(&Outcome { result }).inc();
    }

    #[cfg(feature = "otlp")]
    /// Counts spans: `sent`, `dropped` (too many were waiting) or `failed` (the collector did not take them).
    pub(super) fn spans(&self, result: &'static str, count: u64) {
        self.spans.get_or_create(&Outcome { result }).inc_by(count);
    }

    #[cfg(feature = "otlp")]
    /// Counts a sending of metrics.
    pub(super) fn metrics_sent(&self, result: &'static str) {
        self.metric_exports.get_or_create(&Outcome { result }).inc();
    }

    /// Takes over what others have counted.
    pub(super) fn set(&self, levels: &Levels) {
        let set = |counter: &Counter, value: u64| {
            let inner: &AtomicU64 = counter.inner();
            inner.store(value, Ordering::Relaxed);
        };
        set(&self.access_left_out, levels.access_left_out);
        set(&self.messages_dropped, levels.messages_dropped);
        set(&self.audit_dropped, levels.audit_dropped);
        self.level_changed.set(levels.is_level_changed.into());
        self.draining.set(levels.is_draining.into());
    }
}
