//! What a sample service really saw and said: the right side of the demo's page.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use http::{HeaderMap, HeaderName, Method, StatusCode};

/// Headers worth showing.
const SHOWN: [&str; 6] = ["bifocal-answer", "if-match", "etag", "location", "x-total-count", "content-type"];
/// Bodies of the sample services are far smaller.
const LARGEST: usize = 1 << 20;

/// A request and its response, on one side of the gateway.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) method: Method,
    /// Path and query.
    pub(super) target: String,
    pub(super) request: Message,
    pub(super) status: StatusCode,
    pub(super) response: Message,
}

/// The headers and body of one message.
#[derive(Debug, Clone, Default)]
pub(super) struct Message {
    pub(super) headers: Vec<(HeaderName, String)>,
    pub(super) body: Bytes,
}

impl Message {
    pub(super) fn new(headers: &HeaderMap, body: Bytes) -> Self {
        let shown = headers.iter().filter(|(name, value)| {
            SHOWN.contains(&name.as_str())
                && *value != "application/json"
                && !(body.is_empty() && *name == "content-type")
        });
        let headers = shown.map(|(name, value)| (name.clone(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
        Self { headers: headers.collect(), body }
    }
}

/// The exchanges of one service since they were last taken. Recording stops with the tour.
#[derive(Debug, Clone)]
pub(super) struct Recorder(Arc<Mutex<Option<Vec<Seen>>>>);

impl Recorder {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Some(Vec::new()))))
    }

    /// Records a service.
    pub(super) fn around(&self, service: Router) -> Router {
        service.layer(from_fn_with_state(self.clone(), record))
    }

    /// What has been recorded since the last time.
    pub(super) fn take(&self) -> Vec<Seen> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Forgets and records no more.
    pub(super) fn stop(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn is_on(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

async fn record(State(recorder): State<Recorder>, request: Request, next: Next) -> Response {
    if !recorder.is_on() {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, LARGEST).await.unwrap_or_default();
    let method = parts.method.clone();
    let target = parts.uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
    let asked = Message::new(&parts.headers, body.clone());
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, LARGEST).await.unwrap_or_default();
    let said = Message::new(&parts.headers, body.clone());
    let seen = Seen { method, target, request: asked, status: parts.status, response: said };
    if let Some(all) = recorder.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
        all.push(seen);
    }
    Response::from_parts(parts, Body::from(body))
}
