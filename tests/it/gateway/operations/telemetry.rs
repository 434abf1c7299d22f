//! Traces and metrics, taken by a stand-in of a collector that reads the messages as their authors define them.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use bifocal::settings::Value;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use super::super::support::*;

#[derive(Default)]
struct Taken {
    spans: Vec<Span>,
    resource: Vec<KeyValue>,
    metrics: Vec<ExportMetricsServiceRequest>,
    headers: Vec<HeaderMap>,
}

type Collector = Arc<Mutex<Taken>>;

async fn take(State(taken): State<Collector>, uri: Uri, headers: HeaderMap, body: Bytes) -> StatusCode {
    let mut taken = taken.lock().unwrap();
    assert_eq!(headers["content-type"], "application/x-protobuf");
    taken.headers.push(headers);
    match uri.path() {
        "/base/v1/traces" => {
            for resource in ExportTraceServiceRequest::decode(body).unwrap().resource_spans {
                taken.resource = resource.resource.unwrap().attributes;
                taken.spans.extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
            }
        }
        "/base/v1/metrics" => taken.metrics.push(ExportMetricsServiceRequest::decode(body).unwrap()),
        _ => return StatusCode::NOT_FOUND,
    }
    StatusCode::OK
}

async fn collector() -> (String, Collector) {
    let taken = Collector::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/base", listener.local_addr().unwrap());
    let router = Router::new().fallback(take).with_state(taken.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (endpoint, taken)
}

fn flags(endpoint: &str, ratio: f64) -> Vec<(&'static str, Value)> {
    vec![
        ("telemetry.endpoint", Value::from(endpoint)),
        ("telemetry.ratio", Value::from(ratio)),
        ("telemetry.delay", Value::from("1ms")),
        ("telemetry.timeout", Value::from("300ms")),
    ]
}

async fn spans(taken: &Collector, count: usize) -> Vec<Span> {
    eventually(|| async {
        let taken = taken.lock().unwrap();
        (taken.spans.len() >= count).then(|| taken.spans.clone())
    })
    .await
}

fn attribute(attributes: &[KeyValue], name: &str) -> String {
    let found = attributes.iter().find(|one| one.key == name).and_then(|one| one.value.clone()?.value);
    match found {
        Some(any_value::Value::StringValue(text)) => text,
        Some(any_value::Value::IntValue(number)) => number.to_string(),
        Some(any_value::Value::DoubleValue(number)) => number.to_string(),
        _ => String::new(),
    }
}

const TRACE: &str = "0123456789abcdef0123456789abcdef";

#[tokio::test]
async fn a_callers_trace_goes_on_through_the_gateway() {
    let service = Service::start(|_| json(NEW)).await;
    let (endpoint, taken) = collector().await;
    let mut settings = flags(&endpoint, 0.0);
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "Authorization: Bearer for-the-collector\n").unwrap();
    settings.push(("telemetry.headers_file", Value::from(secret.path().to_str().unwrap())));
    settings.push(("telemetry.resource", Value::from(vec!["service.name=edge", "deployment.environment.name=test"])));
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), settings).await;
    let trace = format!("traceparent: 00-{TRACE}-00f067aa0ba902b7-01");
    gateway.ask("GET /v1/orders/7?token=s3cret", &[&trace, "tracestate: a=b"], b"").await;
    let spans = spans(&taken, 2).await;
    let [server, client] = spans.as_slice() else { panic!("{spans:?}") };
    let hex = |bytes: &[u8]| bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    assert_eq!((hex(&server.trace_id), hex(&client.trace_id)), (TRACE.to_owned(), TRACE.to_owned()));
    assert_eq!((hex(&server.parent_span_id).as_str(), server.trace_state.as_str()), ("00f067aa0ba902b7", "a=b"));
    assert_eq!(client.parent_span_id, server.span_id);
    assert_eq!((server.kind, client.kind, server.name.as_str()), (2, 3, "GET /v1/orders/{id}"));
    let asked = service.take_one();
    assert_eq!(asked.header("traceparent"), format!("00-{TRACE}-{}-01", hex(&client.span_id)));
    assert_eq!(asked.header("tracestate"), "a=b");
    for (name, value) in [
        ("http.request.method", "GET"),
        ("http.route", "/v1/orders/{id}"),
        ("http.response.status_code", "200"),
        ("url.path", "/v1/orders/7"),
        ("url.scheme", "http"),
        ("server.address", "localhost"),
        ("bifocal.service", "orders"),
        ("bifocal.version.asked", "v1"),
        ("bifocal.version.served", "v2"),
        ("bifocal.generation", "1"),
        ("bifocal.outcome", "ok"),
    ] {
        assert_eq!(attribute(&server.attributes, name), value, "{name}");
    }
    assert_eq!(attribute(&client.attributes, "server.port"), service.addr.port().to_string());
    assert_eq!(attribute(&client.attributes, "url.full"), format!("http://{}/v2/orders/7", service.addr));
    assert!(!server.events.is_empty() && server.events.iter().all(|event| event.name == "translate"), "{server:?}");
    assert!(server.start_time_unix_nano <= client.start_time_unix_nano);
    assert!(client.end_time_unix_nano <= server.end_time_unix_nano);
    assert!(!format!("{spans:?}").contains("s3cret"));
    {
        let taken = taken.lock().unwrap();
        assert_eq!(attribute(&taken.resource, "service.name"), "edge");
        assert_eq!(attribute(&taken.resource, "service.version"), env!("CARGO_PKG_VERSION"));
        assert_eq!(attribute(&taken.resource, "deployment.environment.name"), "test");
        assert_eq!(taken.headers[0]["authorization"], "Bearer for-the-collector");
    }

    // Whom the caller does not record is not recorded, and what passes goes on as it came.
    let unsampled = format!("traceparent: 00-{TRACE}-00f067aa0ba902b7-00");
    gateway.ask("GET /v1/orders/7", &[&unsampled], b"").await;
    assert_eq!(service.take_one().header("traceparent"), &unsampled["traceparent: ".len()..]);
    // A trace that begins here and is not recorded says so.
    gateway.ask("GET /v1/orders/7", &[], b"").await;
    assert!(service.take_one().header("traceparent").ends_with("-00"));
    gateway.ask("GET /v9", &[&trace], b"").await;
    let refused = self::spans(&taken, 3).await.pop().unwrap();
    assert_eq!(
        (refused.name.as_str(), attribute(&refused.attributes, "bifocal.fault").as_str()),
        ("GET", "unknown_version")
    );
    assert_eq!(taken.lock().unwrap().spans.len(), 3);
}

#[tokio::test]
async fn a_share_of_requests_begins_traces_and_metrics_are_sent_before_the_end() {
    let service = Service::start(|_| status(500)).await;
    let (endpoint, taken) = collector().await;
    let mut gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), flags(&endpoint, 1.0)).await;
    for _ in 0..5 {
        assert_eq!(gateway.ask("GET /v2/orders/7", &[], b"").await.status, 500);
    }
    gateway.stop();
    assert!(gateway.stopped().await);
    let taken = taken.lock().unwrap();
    assert_eq!(taken.spans.len(), 10, "everything is sent before the end");
    assert!(taken.spans.iter().all(|span| span.status.as_ref().is_some_and(|status| status.code == 2)));
    let metrics: Vec<_> = taken.metrics[0].resource_metrics[0].scope_metrics[0].metrics.iter().collect();
    let requests = metrics.iter().find(|metric| metric.name == "bifocal_requests").unwrap();
    let Some(Data::Sum(sum)) = &requests.data else { panic!("{requests:?}") };
    assert!(sum.is_monotonic && attribute(&sum.data_points[0].attributes, "class") == "5xx");
    let times = metrics.iter().find(|metric| metric.name == "bifocal_request_duration_seconds").unwrap();
    let Some(Data::Histogram(histogram)) = &times.data else { panic!("{times:?}") };
    let point = &histogram.data_points[0];
    assert_eq!((point.count, point.bucket_counts.iter().sum::<u64>()), (5, 5));
    assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
}

#[tokio::test]
async fn a_collector_that_hangs_or_is_gone_costs_callers_nothing() {
    let service = Service::start(|_| json(NEW)).await;
    // Accepts, and never answers.
    let hanging = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = gone.local_addr().unwrap();
    drop(gone);
    for addr in [hanging.local_addr().unwrap(), nobody] {
        let mut settings = flags(&format!("http://{addr}"), 1.0);
        settings.push(("telemetry.queue", Value::from(8)));
        let mut gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), settings).await;
        for _ in 0..40 {
            assert_eq!(gateway.ask("GET /v1/orders/7", &[], b"").await.status, 200);
        }
        let admin = gateway.admin;
        eventually(|| async move {
            let metrics = ask(admin, "GET /metrics", &[], b"").await;
            let has = |result: &str| metrics.text().contains(&format!("bifocal_spans_total{{result=\"{result}\"}}"));
            (has("dropped") && has("failed")).then_some(())
        })
        .await;
        gateway.stop();
        assert!(gateway.stopped().await, "it does not wait for a collector for ever");
    }
}
