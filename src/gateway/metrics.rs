//! Metrics as OpenMetrics text. Every label has a bounded set of values: names from the rules, never from requests.
//!
//! Only exemplars come from requests: the last trace of each bucket of latencies.

use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::exemplar::HistogramWithExemplars;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::asynchronous;
use super::messages::{self, Flows};
use super::operating::Operating;
use super::record::{Entry, Known};
use super::upstream::{Clusters, Counts};
use crate::plan::names::Names;

/// What is counted.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Family<DurationLabels, Traced, fn() -> Traced>,
    translations: Family<DurationLabels, Histogram, fn() -> Histogram>,
    faults: Family<FaultLabels, Counter>,
    fallbacks: Family<FallbackLabels, Counter>,
    reloads: Family<ResultLabels, Counter>,
    certificate_reloads: Family<ResultLabels, Counter>,
    certificate_ends: Family<CertificateLabels, Gauge<i64, AtomicI64>>,
    handshakes: Family<ResultLabels, Counter>,
    /// The number of the generation that serves.
    pub(super) generation: Gauge<i64, AtomicI64>,
    /// Services whose newest files are refused.
    pub(super) refused_services: Gauge<i64, AtomicI64>,
    /// Files of certificates that were refused when they were last read.
    pub(super) refused_certificates: Gauge<i64, AtomicI64>,
    /// Connections that are open.
    pub(super) connections: Gauge<i64, AtomicI64>,
    /// Connections and streams that have changed to another protocol and are open.
    pub(super) tunnels: Gauge<i64, AtomicI64>,
    upgrades: Family<UpgradeLabels, Counter>,
    dropped_lines: Gauge<i64, AtomicI64>,
    /// Those of endpoints.
    endpoints: Counts,
    /// Those of flows.
    flows: messages::Counts,
    /// Those of requests that are kept.
    pub(super) kept: asynchronous::Counts,
    /// Of the gateway's own operation.
    pub(super) operating: Operating,
    /// Rung, bytes of bodies, requests in work.
    overload: [Gauge<i64, AtomicI64>; 3],
}

/// Latencies, with a trace of each bucket.
type Traced = HistogramWithExemplars<Trace>;

/// An exemplar begins so.
const EXEMPLAR: &str = " # {trace_id=\"";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Trace {
    trace_id: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    service: String,
    route: String,
    asked: String,
    served: String,
    class: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DurationLabels {
    service: String,
    asked: String,
    served: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FaultLabels {
    service: String,
    asked: String,
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FallbackLabels {
    service: String,
    asked: String,
    from: String,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UpgradeLabels {
    /// As the settings name it.
    protocol: String,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CertificateLabels {
    /// As the settings name it.
    file: String,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let mut registry = Registry::with_prefix("bifocal");
        let requests = Family::default();
        let durations = Family::new_with_constructor(traced as fn() -> Traced);
        let translations = Family::new_with_constructor(seconds as fn() -> Histogram);
        let faults = Family::default();
        let fallbacks = Family::default();
        let reloads = Family::default();
        let (certificate_reloads, certificate_ends, handshakes) =
            (Family::default(), Family::<_, Gauge<_, _>>::default(), Family::default());
        let (generation, refused_services, connections, dropped_lines) =
            (Gauge::default(), Gauge::default(), Gauge::default(), Gauge::default());
        let refused_certificates = Gauge::default();
        let (tunnels, upgrades) = (Gauge::default(), Family::default());
        registry.register("requests", "Finished requests by route, versions and status class", requests.clone());
        registry.register("request_duration_seconds", "From head to the end of the response", durations.clone());
        registry.register("translate_duration_seconds", "Time spent translating one exchange", translations.clone());
        registry.register("faults", "Requests that the gateway itself refused or failed", faults.clone());
        let told = "Safe requests that their version's own service answered because another had failed to";
        registry.register("fallbacks", told, fallbacks.clone());
        registry.register("reloads", "Reloads of the rules by result", reloads.clone());
        registry.register("certificate_reloads", "Changes of certificates by result", certificate_reloads.clone());
        registry.register("certificate_expiry_seconds", "When it ends, since 1970", certificate_ends.clone());
        registry.register("refused_certificates", "Refused files of certificates", refused_certificates.clone());
        registry.register("tls_handshakes", "TLS handshakes of callers by result", handshakes.clone());
        registry.register("generation", "Number of the generation that serves", generation.clone());
        registry.register("refused_services", "Services whose newest files are refused", refused_services.clone());
        registry.register("connections", "Open connections of callers", connections.clone());
        registry.register("tunnels", "Open connections that have changed their protocol", tunnels.clone());
        registry.register("upgrades", "Requests for another protocol, by what came of it", upgrades.clone());
        registry.register("access_log_dropped", "Access log lines that were dropped", dropped_lines.clone());
        let endpoints = Counts::default();
        registry.register_collector(Box::new(endpoints.clone()));
        let flows = messages::Counts::default();
        registry.register_collector(Box::new(flows.clone()));
        let kept = asynchronous::Counts::new(&mut registry);
        let operating = Operating::new(&mut registry);
        let overload: [Gauge<i64, AtomicI64>; 3] = Default::default();
        let [rung, held, in_flight] = overload.clone();
        registry.register("overload_rung", "Measures against overload that are taken, 0 to 4", rung);
        registry.register("held_body_bytes", "Bytes of bodies that are held", held);
        registry.register("requests_in_flight", "Requests in work", in_flight);
        Self {
            registry,
            requests,
            durations,
            translations,
            faults,
            fallbacks,
            reloads,
            certificate_reloads,
            certificate_ends,
            handshakes,
            generation,
            refused_services,
            refused_certificates,
            connections,
            tunnels,
            upgrades,
            dropped_lines,
            endpoints,
            flows,
            kept,
            operating,
            overload,
        }
    }

    /// What is told of overload.
    pub(super) fn note_overload(&self, (rung, held, in_flight): (u8, usize, usize)) {
        let figures = [i64::from(rung), whole(held), whole(in_flight)];
        for (gauge, figure) in self.overload.iter().zip(figures) {
            gauge.set(figure);
        }
    }

    /// From here on these endpoints are told of.
    pub(super) fn watch(&self, clusters: &Arc<Clusters>) {
        self.endpoints.watch(clusters);
    }

    /// From here on these flows are told of.
    pub(super) fn watch_flows(&self, flows: &Arc<Flows>) {
        self.flows.watch(flows);
    }

    /// Counts a finished request.
    pub(super) fn finished(&self, entry: &Entry<'_>) {
        let known = entry.known;
        match known.standing.as_ref().zip(known.versions) {
            Some((standing, versions)) => {
                let mut pairs = standing.counters.0.lock().unwrap_or_else(PoisonError::into_inner);
                pairs.entry(versions).or_insert_with(|| self.pair(known)).count(self, entry);
            }
            None => self.pair(known).count(self, entry),
        }
        if let Some((from, reason)) = known.fallback {
            let from = known.version(from).to_owned();
            let labels = FallbackLabels { service: known.service().into(), asked: known.asked().into(), from, reason };
            self.fallbacks.get_or_create(&labels).inc();
        }
        if let Some(code) = known.fault {
            let labels = FaultLabels { service: known.service().into(), asked: known.asked().into(), code };
            self.faults.get_or_create(&labels).inc();
        }
    }

    /// The counters of requests like this one.
    fn pair(&self, known: &Known) -> Pair {
        let durations = self.durations.get_or_create(&labels(known)).clone();
        Pair { durations, translations: None, requests: Names::default() }
    }

    /// Counts a reload.
    pub(super) fn reloaded(&self, result: &'static str) {
        self.reloads.get_or_create(&ResultLabels { result }).inc();
    }

    /// Counts a change of certificates.
    pub(super) fn certificates_read(&self, result: &'static str) {
        self.certificate_reloads.get_or_create(&ResultLabels { result }).inc();
    }

    /// Notes when a certificate ends, in seconds since 1970.
    pub(super) fn certificate_ends(&self, file: String, at: i64) {
        self.certificate_ends.get_or_create(&CertificateLabels { file }).set(at);
    }

    /// Counts a handshake.
    pub(super) fn shook_hands(&self, result: &'static str) {
        self.handshakes.get_or_create(&ResultLabels { result }).inc();
    }

    /// Counts a service's answer to a request for another protocol.
    pub(super) fn upgraded(&self, protocol: &str, result: &'static str) {
        self.upgrades.get_or_create(&UpgradeLabels { protocol: protocol.to_owned(), result }).inc();
    }

    /// All of it as text, but for exemplars.
    pub(super) fn render(&self, dropped_lines: u64) -> String {
        let text = self.render_with_exemplars(dropped_lines);
        // There are none in labels: these have no quotes that are not escaped.
        text.split_inclusive('\n').fold(String::with_capacity(text.len()), |mut plain, line| {
            match line.split_once(EXEMPLAR) {
                Some((sample, _)) => plain.extend([sample, "\n"]),
                None => plain.push_str(line),
            }
            plain
        })
    }

    /// All of it as text.
    pub(super) fn render_with_exemplars(&self, dropped_lines: u64) -> String {
        self.dropped_lines.set(i64::try_from(dropped_lines).unwrap_or(i64::MAX));
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = text::encode(&mut out, &self.registry);
        out
    }
}

/// The counters of one service by the versions that ask and answer: found by their labels once, then by indices.
#[derive(Debug, Default)]
pub(super) struct Counters(Mutex<Names<(usize, Option<usize>), Pair>>);

/// Those of one pair of versions.
#[derive(Debug)]
struct Pair {
    durations: Traced,
    /// None as long as nothing was translated.
    translations: Option<Histogram>,
    /// By route, then by status class.
    requests: Names<String, Vec<(&'static str, Counter)>>,
}

impl Pair {
    fn count(&mut self, metrics: &Metrics, entry: &Entry<'_>) {
        let known = entry.known;
        let is_traced = known.trace.is_some() || (entry.identity.is_continued() && entry.identity.is_sampled());
        let trace = is_traced.then(|| (Trace { trace_id: entry.identity.trace_id().to_owned() }, SystemTime::now()));
        let (trace, at) = trace.unzip();
        self.durations.observe(entry.duration.as_secs_f64(), trace, at);
        if !known.translating.is_zero() {
            let all = || metrics.translations.get_or_create(&labels(known)).clone();
            self.translations.get_or_insert_with(all).observe(known.translating.as_secs_f64());
        }
        let (route, class) = (known.route.as_deref().unwrap_or_default(), class(entry.status));
        let found = self.requests.get(route).and_then(|classes| classes.iter().find(|(of, _)| *of == class));
        if let Some((_, counter)) = found {
            counter.inc();
            return;
        }
        let DurationLabels { service, asked, served } = labels(known);
        let labels = RequestLabels { service, route: route.to_owned(), asked, served, class };
        let counter = metrics.requests.get_or_create(&labels).clone();
        counter.inc();
        self.requests.entry(labels.route).or_default().push((class, counter));
    }
}

fn whole(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn labels(known: &Known) -> DurationLabels {
    DurationLabels {
        service: known.service().to_owned(),
        asked: known.asked().to_owned(),
        served: known.served().to_owned(),
    }
}

/// Upper bounds of buckets, in seconds.
const BOUNDS: [f64; 15] =
    [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0];

fn seconds() -> Histogram {
    Histogram::new(BOUNDS)
}

fn traced() -> Traced {
    Traced::new(BOUNDS.into_iter())
}

fn class(status: u16) -> &'static str {
    match status {
        499 => "gone",
        100..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    }
}
