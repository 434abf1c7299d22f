//! The thread that sends, and the bounded queue before it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use axum::body::Body;
use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::spans::text;
use crate::gateway::chance;
use crate::gateway::metrics::Metrics;
use crate::settings::Telemetry as Settings;

/// Most spans in one message.
const TOGETHER: usize = 512;
/// Messages that are sent once more, and after what time.
const AGAIN: Duration = Duration::from_millis(500);
/// More of an answer is not read.
const ANSWER: usize = 64 << 10;

/// Where spans and metrics are handed over.
#[derive(Debug)]
pub(super) struct Sender {
    queue: mpsc::Sender<Task>,
    /// Spans in the queue: one of its places may hold several.
    waiting: Arc<AtomicUsize>,
    most: usize,
    patience: Duration,
    counted: Arc<Metrics>,
    begun: SystemTime,
}

#[derive(Debug)]
enum Task {
    Spans(Vec<Span>),
    Metrics(Vec<Metric>),
    Flush(oneshot::Sender<()>),
}

impl Sender {
    pub(super) fn start(settings: &Settings, counted: Arc<Metrics>) -> io::Result<Self> {
        let (queue, tasks) = mpsc::channel(settings.queue);
        let waiting = Arc::new(AtomicUsize::new(0));
        let sending = Sending {
            collector: Collector::new(settings),
            delay: settings.delay,
            waiting: waiting.clone(),
            counted: counted.clone(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("telemetry".to_owned()).spawn(move || {
            runtime.block_on(sending.run(tasks));
            runtime.shutdown_background();
        })?;
        // Two attempts, and the wait between them.
        let patience = settings.timeout * 2 + AGAIN;
        Ok(Self { queue, waiting, most: settings.queue, patience, counted, begun: SystemTime::now() })
    }

    /// When counting began.
    pub(super) fn begun(&self) -> SystemTime {
        self.begun
    }

    pub(super) fn spans(&self, spans: Vec<Span>) {
        let count = spans.len();
        let before = self.waiting.fetch_add(count, Ordering::Relaxed);
        if before + count > self.most || self.queue.try_send(Task::Spans(spans)).is_err() {
            self.waiting.fetch_sub(count, Ordering::Relaxed);
            self.counted.operating.spans("dropped", count as u64);
        }
    }

    pub(super) fn metrics(&self, metrics: Vec<Metric>) {
        if self.queue.try_send(Task::Metrics(metrics)).is_err() {
            self.counted.operating.metrics_sent("failed");
        }
    }

    pub(super) async fn flush(&self) {
        let (done, is_done) = oneshot::channel();
        let flushed = async {
            if self.queue.send(Task::Flush(done)).await.is_ok() {
                let _ = is_done.await;
            }
        };
        // A collector that does not answer is not waited for any longer.
        let _ = timeout(self.patience, flushed).await;
    }
}

struct Sending {
    collector: Collector,
    delay: Duration,
    waiting: Arc<AtomicUsize>,
    counted: Arc<Metrics>,
}

impl Sending {
    async fn run(self, mut tasks: mpsc::Receiver<Task>) {
        while let Some(mut task) = tasks.recv().await {
            let mut batch = Vec::new();
            let latest = Instant::now() + self.delay;
            // Spans wait for others, for a while; whatever else comes has them sent before it.
            loop {
                match task {
                    Task::Spans(spans) => batch.extend(spans),
                    other => {
                        self.send_spans(std::mem::take(&mut batch)).await;
                        self.other(other).await;
                        break;
                    }
                }
                if batch.len() >= TOGETHER {
                    break;
                }
                match timeout_at(latest, tasks.recv()).await {
                    Ok(Some(next)) => task = next,
                    Ok(None) | Err(_) => break,
                }
            }
            self.send_spans(batch).await;
        }
    }

    async fn other(&self, task: Task) {
        match task {
            Task::Metrics(metrics) => {
                let result = self.collector.metrics(metrics).await;
                self.counted.operating.metrics_sent(if result.is_ok() { "sent" } else { "failed" });
                told(result.map(drop));
            }
            Task::Flush(done) => drop(done.send(())),
            Task::Spans(_) => {}
        }
    }

    async fn send_spans(&self, spans: Vec<Span>) {
        if spans.is_empty() {
            return;
        }
        let count = spans.len();
        let result = self.collector.spans(spans).await;
        // Room for new ones only now: what is on its way takes memory, too.
        self.waiting.fetch_sub(count, Ordering::Relaxed);
        let refused = result.as_ref().map_or(count as u64, |refused| (*refused).min(count as u64));
        self.counted.operating.spans("sent", count as u64 - refused);
        if refused > 0 {
            self.counted.operating.spans("failed", refused);
        }
        told(result.map(drop));
    }
}

fn told(result: Result<(), String>) {
    if let Err(reason) = result {
        tracing::debug!(reason, "the collector did not take it");
    }
}

/// Who takes it.
struct Collector {
    client: Client<HttpConnector, Body>,
    settings: Settings,
    resource: Resource,
}

impl Collector {
    fn new(settings: &Settings) -> Self {
        let own = [
            ("service.name", "bifocal".to_owned()),
            ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
            ("service.instance.id", format!("{:016x}{:016x}", chance::random(), chance::random())),
        ];
        let is_set = |name: &str| settings.resource.iter().any(|(key, _)| key == name);
        let own = own.iter().filter(|(name, _)| !is_set(name)).map(|(name, value)| text(name, value));
        let attributes = own.chain(settings.resource.iter().map(|(name, value)| text(name, value))).collect();
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { client, settings: settings.clone(), resource: Resource { attributes, ..Resource::default() } }
    }

    /// How many of them were refused.
    async fn spans(&self, spans: Vec<Span>) -> Result<u64, String> {
        let scope_spans = vec![ScopeSpans { scope: Some(scope()), spans, ..ScopeSpans::default() }];
        let spans = ResourceSpans { resource: Some(self.resource.clone()), scope_spans, ..ResourceSpans::default() };
        let message = ExportTraceServiceRequest { resource_spans: vec![spans] };
        let answer = self.post("v1/traces", message.encode_to_vec().into()).await?;
        let answer = ExportTraceServiceResponse::decode(answer).unwrap_or_default();
        let refused = answer.partial_success.map_or(0, |partial| partial.rejected_spans);
        Ok(u64::try_from(refused).unwrap_or_default())
    }

    async fn metrics(&self, metrics: Vec<Metric>) -> Result<Bytes, String> {
        let scope_metrics = vec![ScopeMetrics { scope: Some(scope()), metrics, ..ScopeMetrics::default() }];
        let metrics =
            ResourceMetrics { resource: Some(self.resource.clone()), scope_metrics, ..ResourceMetrics::default() };
        let message = ExportMetricsServiceRequest { resource_metrics: vec![metrics] };
        self.post("v1/metrics", message.encode_to_vec().into()).await
    }

    /// Sends, and once more where that may help.
    async fn post(&self, path: &str, body: Bytes) -> Result<Bytes, String> {
        match self.attempt(path, body.clone()).await {
            Err((_, true)) => {
                sleep(AGAIN).await;
                self.attempt(path, body).await.map_err(|(reason, _)| reason)
            }
            other => other.map_err(|(reason, _)| reason),
        }
    }

    /// An error says whether another attempt may help.
    async fn attempt(&self, path: &str, body: Bytes) -> Result<Bytes, (String, bool)> {
        let base = self.settings.endpoint.as_ref().map(Uri::to_string).unwrap_or_default();
        let mut request = Request::post(format!("{}/{path}", base.trim_end_matches('/')))
            .header(header::CONTENT_TYPE, "application/x-protobuf");
        for (name, value) in &self.settings.headers.0 {
            request = request.header(name, value);
        }
        let request = request.body(Body::from(body)).map_err(|error| (error.to_string(), false))?;
        let exchange = async {
            let response = self.client.request(request).await.map_err(|error| (error.to_string(), true))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER).collect().await;
            let body = body.map_err(|error| (error.to_string(), false))?.to_bytes();
            // Those that the protocol names.
            let may_help = matches!(status.as_u16(), 429 | 502 | 503 | 504);
            if status == StatusCode::OK { Ok(body) } else { Err((format!("it answers {status}"), may_help)) }
        };
        timeout(self.settings.timeout, exchange).await.unwrap_or_else(|_| Err(("no answer in time".to_owned(), false)))
    }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "bifocal".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}
