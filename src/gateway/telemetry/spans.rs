//! A finished request as spans: one of the server's, one of the client's for each call to a service. Names are those of
//! OpenTelemetry's semantic conventions for HTTP, and `bifocal.*` for what they have no word for.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::{Span, Status, span, status};

use super::{Called, Notes};
use crate::gateway::record::Entry;

/// The parent is known, and it is in another process (W3C trace flags in the low byte: sampled).
const REMOTE: u32 = 0x300 | 1;
const LOCAL: u32 = 0x100 | 1;

pub(super) fn spans(entry: &Entry<'_>, notes: &Notes) -> Vec<Span> {
    let trace = bytes(entry.identity.trace_id());
    let mut spans = vec![server(entry, notes, &trace)];
    spans.extend(notes.calls.iter().map(|call| client(call, notes, &trace)));
    spans
}

fn server(entry: &Entry<'_>, notes: &Notes, trace: &[u8]) -> Span {
    let known = entry.known;
    let route = known.route.as_deref();
    let mut attributes = vec![
        text("http.request.method", entry.method),
        text("url.path", entry.path),
        text("url.scheme", if notes.is_secure { "https" } else { "http" }),
        text("client.address", &entry.caller.peer.ip().to_string()),
        text("network.protocol.version", if entry.protocol == "h2" { "2" } else { "1.1" }),
        number("http.response.status_code", entry.status.into()),
        text("bifocal.outcome", entry.outcome),
    ];
    if let Some(host) = &notes.host {
        address(host, if notes.is_secure { 443 } else { 80 }, &mut attributes);
    }
    if let Some(template) = route.and_then(|route| route.split_once(' ')) {
        attributes.push(text("http.route", template.1));
    }
    let named = [
        ("bifocal.service", known.service()),
        ("bifocal.version.asked", known.asked()),
        ("bifocal.version.served", known.served()),
        ("bifocal.rules", known.generation.as_ref().map_or("", |generation| &generation.hash)),
        ("bifocal.fault", known.fault.unwrap_or_default()),
        ("bifocal.request.id", &entry.identity.request),
    ];
    attributes.extend(named.iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| text(name, value)));
    if let Some(generation) = &known.generation {
        attributes.push(number("bifocal.generation", i64::try_from(generation.number).unwrap_or_default()));
    }
    if known.dropped_members > 0 {
        let count = i64::try_from(known.dropped_members).unwrap_or(i64::MAX);
        attributes.push(number("bifocal.dropped_members", count));
    }
    if !known.translating.is_zero() {
        attributes.push(seconds("bifocal.translate.duration", known.translating));
    }
    let is_error = entry.status >= 500 || entry.outcome == "aborted";
    if is_error {
        let code = entry.status.to_string();
        attributes.push(text("error.type", known.fault.unwrap_or(if entry.status >= 500 { &code } else { "aborted" })));
    }
    Span {
        trace_id: trace.to_vec(),
        span_id: notes.span.to_be_bytes().to_vec(),
        trace_state: notes.state.clone().unwrap_or_default(),
        parent_span_id: entry.identity.parent().map(bytes).unwrap_or_default(),
        flags: if entry.identity.is_continued() { REMOTE } else { LOCAL },
        // Without a route only the method: a path would be another name for each request.
        name: route.unwrap_or(entry.method).to_owned(),
        kind: span::SpanKind::Server.into(),
        start_time_unix_nano: nanos(entry.at),
        end_time_unix_nano: nanos(entry.at + entry.duration),
        attributes,
        events: notes.translations.iter().map(|(at, took)| translated(*at, *took)).collect(),
        status: state(is_error),
        ..Span::default()
    }
}

fn translated(at: SystemTime, took: Duration) -> span::Event {
    span::Event {
        time_unix_nano: nanos(at),
        name: "translate".to_owned(),
        attributes: vec![seconds("bifocal.translate.duration", took)],
        dropped_attributes_count: 0,
    }
}

fn client(call: &Called, notes: &Notes, trace: &[u8]) -> Span {
    let uri = &call.uri;
    let scheme = uri.scheme_str().unwrap_or("http");
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let mut attributes = vec![
        text("http.request.method", call.method.as_str()),
        // No query: it may hold what is nobody else's business.
        text("url.full", &format!("{scheme}://{authority}{}", uri.path())),
    ];
    address(authority, if scheme == "https" { 443 } else { 80 }, &mut attributes);
    match call.outcome {
        Ok(status) => attributes.push(number("http.response.status_code", status.into())),
        Err(code) => attributes.push(text("error.type", code)),
    }
    let is_error = call.outcome.map_or(true, |status| status >= 400);
    if let (true, Ok(status)) = (is_error, call.outcome) {
        attributes.push(text("error.type", &status.to_string()));
    }
    Span {
        trace_id: trace.to_vec(),
        span_id: call.span.to_be_bytes().to_vec(),
        parent_span_id: notes.span.to_be_bytes().to_vec(),
        trace_state: notes.state.clone().unwrap_or_default(),
        flags: LOCAL,
        name: call.method.to_string(),
        kind: span::SpanKind::Client.into(),
        start_time_unix_nano: nanos(call.begun),
        end_time_unix_nano: nanos(call.begun + call.took),
        attributes,
        status: state(is_error),
        ..Span::default()
    }
}

/// `server.address` and `server.port`.
fn address(authority: &str, port: i64, attributes: &mut Vec<KeyValue>) {
    let Ok(authority) = authority.parse::<http::uri::Authority>() else { return };
    attributes.push(text("server.address", authority.host().trim_matches(['[', ']'])));
    attributes.push(number("server.port", authority.port_u16().map_or(port, Into::into)));
}

fn state(is_error: bool) -> Option<Status> {
    is_error.then(|| Status { message: String::new(), code: status::StatusCode::Error.into() })
}

pub(super) fn text(name: &str, value: &str) -> KeyValue {
    attribute(name, any_value::Value::StringValue(value.to_owned()))
}

fn number(name: &str, value: i64) -> KeyValue {
    attribute(name, any_value::Value::IntValue(value))
}

fn seconds(name: &str, time: Duration) -> KeyValue {
    attribute(name, any_value::Value::DoubleValue(time.as_secs_f64()))
}

fn attribute(name: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: name.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// Nanoseconds since 1970.
pub(super) fn nanos(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Of pairs of hexadecimal digits.
fn bytes(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks_exact(2);
    pairs.filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}
