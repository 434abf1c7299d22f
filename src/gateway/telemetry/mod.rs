//! Traces and metrics for an OpenTelemetry collector (OTLP over HTTP): which requests are traced, what is noted of them, and
//! the thread that sends it.
//!
//! A request that is not traced costs one comparison. What waits to be sent is bounded; what is too much is dropped and
//! counted, and a collector that is slow or gone costs callers nothing.

#![cfg_attr(not(feature = "otlp"), expect(dead_code, reason = "what is noted is for nobody in this build"))]

#[cfg(feature = "otlp")]
mod metrics;
#[cfg(feature = "otlp")]
mod send;
#[cfg(feature = "otlp")]
mod spans;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::{HeaderMap, HeaderValue, Method, Uri, header};

use super::access_log::number;
#[cfg(feature = "otlp")]
use super::access_log::threshold;
use super::headers::Identity;
use super::metrics::Metrics;
use super::record::Entry;
use crate::settings::Telemetry as Settings;

/// Calls to services of one request that have a span each; a list may become very many.
const CALLS: usize = 64;
/// Translations of one request that are told one by one; a stream may have very many.
const TRANSLATIONS: usize = 32;

/// Decides which requests are traced, and takes what is noted of them.
#[derive(Debug)]
pub(super) struct Telemetry {
    below: u64,
    trusts_callers: bool,
    #[cfg(feature = "otlp")]
    sender: send::Sender,
}

/// What is noted of a traced request beside what its log line says.
#[derive(Debug)]
pub(super) struct Notes {
    /// The span of this request.
    pub(super) span: u64,
    host: Option<String>,
    state: Option<String>,
    is_secure: bool,
    calls: Vec<Called>,
    translations: Vec<(SystemTime, Duration)>,
}

/// One call to a service.
#[derive(Debug)]
pub(super) struct Called {
    pub(super) span: u64,
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) begun: SystemTime,
    pub(super) took: Duration,
    /// What it answered, or what kind of trouble there was.
    pub(super) outcome: Result<u16, &'static str>,
}

impl Telemetry {
    /// Begins to send; none: nothing is to be sent.
    ///
    /// # Errors
    /// There is no thread for it.
    pub(super) fn start(settings: &Settings, metrics: &Arc<Metrics>) -> io::Result<Option<Arc<Self>>> {
        #[cfg(feature = "otlp")]
        if settings.endpoint.is_some() {
            let below = if settings.traces { threshold(settings.ratio) } else { 0 };
            let trusts_callers = settings.traces && settings.trusts_callers;
            let sender = send::Sender::start(settings, metrics.clone())?;
            return Ok(Some(Arc::new(Self { below, trusts_callers, sender })));
        }
        let _ = (settings, metrics);
        Ok(None)
    }

    /// Notes for a request that is traced. A trace that begins here and is not followed says so to services.
    pub(super) fn begin(
        &self,
        identity: &mut Identity,
        request: &HeaderMap,
        uri: &Uri,
        is_secure: bool,
    ) -> Option<Box<Notes>> {
        let follows = if identity.is_continued() && self.trusts_callers {
            identity.is_sampled()
        } else {
            self.below == u64::MAX || number(identity.trace_id()) < self.below
        };
        if !follows {
            if !identity.is_continued() {
                identity.leave_unsampled();
            }
            return None;
        }
        let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
        let host = uri.authority().map(ToString::to_string).or_else(|| request.get(header::HOST).and_then(text));
        let state = request.get("tracestate").filter(|_| identity.is_continued()).and_then(text);
        let span = super::chance::random();
        Some(Box::new(Notes { span, host, state, is_secure, calls: Vec::new(), translations: Vec::new() }))
    }

    /// Takes a finished request.
    pub(super) fn finished(&self, entry: &Entry<'_>, notes: &Notes) {
        #[cfg(feature = "otlp")]
        self.sender.spans(spans::spans(entry, notes));
        #[cfg(not(feature = "otlp"))]
        let _ = (entry, notes);
    }

    /// Takes metrics as `/metrics` has them.
    pub(super) fn metrics(&self, text: &str) {
        #[cfg(feature = "otlp")]
        self.sender.metrics(metrics::read(text, self.sender.begun()));
        #[cfg(not(feature = "otlp"))]
        let _ = text;
    }

    /// Waits until all is sent, within reason.
    pub(super) async fn flush(&self) {
        #[cfg(feature = "otlp")]
        self.sender.flush().await;
    }
}

impl Notes {
    /// Notes a call, as long as there are not too many.
    pub(super) fn called(&mut self, call: Called) {
        if self.calls.len() < CALLS {
            self.calls.push(call);
        }
    }

    /// Notes a translation that has just ended.
    pub(super) fn translated(&mut self, begun: Instant) {
        if self.translations.len() < TRANSLATIONS {
            let took = begun.elapsed();
            let now = SystemTime::now();
            self.translations.push((now.checked_sub(took).unwrap_or(now), took));
        }
    }
}
