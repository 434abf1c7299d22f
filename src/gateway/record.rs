//! What is known of one request when it is over: for the access log and the metrics. Never payload, never query values.

use std::error::Error;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use http_body::{Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

use super::App;
use super::connection::Busy;
use super::headers::{GENERATION, Identity, REQUEST_ID, VERSION};

/// What a request's handlers learn of it.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) service: String,
    /// Who the request comes from, as far as it says so.
    pub(super) consumer: Option<String>,
    /// In the caller's terms; none where no rule has one, as may be for requests that pass untouched.
    pub(super) route: Option<String>,
    pub(super) asked: String,
    pub(super) served: String,
    /// The version whose service failed to answer before the one that did, and how.
    pub(super) fallback: Option<(String, &'static str)>,
    pub(super) generation: u64,
    pub(super) rules: String,
    pub(super) fault: Option<&'static str>,
    pub(super) translating: Duration,
    pub(super) upstream: Duration,
    pub(super) request_bytes: u64,
    /// Calls that the request became, by name: how many were made, and how many of them failed.
    pub(super) calls: Vec<(String, usize, usize)>,
    /// Members of the service's answer that had nowhere to go.
    pub(super) dropped_members: usize,
}

impl Known {
    /// One of several calls is over.
    pub(super) fn called(&mut self, name: &str, is_good: bool) {
        let index = self.calls.iter().position(|(known, ..)| known == name).unwrap_or_else(|| {
            self.calls.push((name.to_owned(), 0, 0));
            self.calls.len() - 1
        });
        if let Some((_, made, failed)) = self.calls.get_mut(index) {
            *made += 1;
            *failed += usize::from(!is_good);
        }
    }
}

/// A handle on [`Known`] that travels with the request.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts(Arc<Mutex<Known>>);

impl Facts {
    pub(super) fn change(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// One finished request.
#[derive(Debug)]
pub(super) struct Entry<'e> {
    pub(super) at: SystemTime,
    pub(super) identity: &'e Identity,
    pub(super) method: &'e str,
    pub(super) path: &'e str,
    pub(super) peer: &'e str,
    pub(super) protocol: &'static str,
    pub(super) status: u16,
    pub(super) outcome: &'static str,
    pub(super) duration: Duration,
    pub(super) response_bytes: u64,
    pub(super) known: &'e Known,
}

/// Writes the entry when it is dropped: at the end of the response's body, or when the caller goes away before.
pub(super) struct Recording {
    app: Arc<App>,
    at: SystemTime,
    begun: Instant,
    identity: Identity,
    facts: Facts,
    method: String,
    path: String,
    peer: String,
    protocol: &'static str,
    status: Option<StatusCode>,
    finished: bool,
    sent: u64,
    /// Held for as long as the request is in work.
    admitted: Option<OwnedSemaphorePermit>,
    #[expect(dead_code, reason = "kept for its end")]
    busy: Option<Busy>,
}

impl Drop for Recording {
    fn drop(&mut self) {
        let outcome = match self.status {
            None => "client_gone",
            Some(_) if !self.finished => "aborted",
            Some(status) if status.is_server_error() => "failed",
            Some(status) if status.is_client_error() => "refused",
            Some(_) => "ok",
        };
        // 499 is what logs commonly call a caller that did not wait.
        let status = self.status.map_or(499, |status| status.as_u16());
        self.facts.change(|known| {
            let entry = Entry {
                at: self.at,
                identity: &self.identity,
                method: &self.method,
                path: &self.path,
                peer: &self.peer,
                protocol: self.protocol,
                status,
                outcome,
                duration: self.begun.elapsed(),
                response_bytes: self.sent,
                known,
            };
            self.app.metrics.finished(&entry);
            self.app.ledger.finished(&entry);
            self.app.access.write(&entry);
        });
    }
}

/// The outermost layer: names the request, and sees to it that it is recorded whatever becomes of it.
pub(super) async fn record(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let identity = Identity::of(request.headers());
    let facts = Facts::default();
    let busy = request.extensions_mut().remove::<Busy>();
    let mut recording = Recording {
        at: SystemTime::now(),
        begun: Instant::now(),
        identity: identity.clone(),
        facts: facts.clone(),
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        peer: busy.as_ref().map(|busy| busy.peer().to_string()).unwrap_or_default(),
        protocol: if request.version() == http::Version::HTTP_2 { "h2" } else { "http/1" },
        status: None,
        finished: false,
        sent: 0,
        admitted: None,
        busy,
        app,
    };
    request.extensions_mut().insert(identity.clone());
    request.extensions_mut().insert(facts.clone());
    let mut response = next.run(request).await;

    recording.status = Some(response.status());
    recording.admitted = response.extensions_mut().remove::<Admitted>().and_then(Admitted::into_inner);
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&identity.request) {
        headers.insert(REQUEST_ID, id);
    }
    facts.change(|known| {
        if known.generation != 0 {
            headers.insert(GENERATION, known.generation.into());
        }
        let told = match (known.asked.as_str(), known.served.as_str()) {
            ("", _) => return,
            (asked, "") => format!("asked={asked}"),
            (asked, served) => format!("asked={asked}, served={served}"),
        };
        if let Ok(value) = HeaderValue::from_str(&told) {
            headers.insert(VERSION, value);
        }
    });
    response.map(|body| {
        recording.finished = http_body::Body::is_end_stream(&body);
        Body::new(Recorded { inner: body, recording })
    })
}

/// A permit on its way from the layer that took it to the recording that keeps it. Extensions must be `Clone`.
#[derive(Clone)]
pub(super) struct Admitted(Arc<Mutex<Option<OwnedSemaphorePermit>>>);

impl Admitted {
    pub(super) fn new(permit: OwnedSemaphorePermit) -> Self {
        Self(Arc::new(Mutex::new(Some(permit))))
    }

    fn into_inner(self) -> Option<OwnedSemaphorePermit> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A response body that knows when it is over.
struct Recorded {
    inner: Body,
    recording: Recording,
}

impl http_body::Body for Recorded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let next = Pin::new(&mut this.inner).poll_frame(cx);
        match &next {
            Poll::Ready(None) => this.recording.finished = true,
            Poll::Ready(Some(Ok(frame))) => {
                this.recording.sent += frame.data_ref().map_or(0, |data| data.len() as u64);
                this.recording.finished = this.inner.is_end_stream();
            }
            Poll::Ready(Some(Err(error))) => {
                let cause = error.source().map(ToString::to_string).unwrap_or_default();
                tracing::debug!(request_id = %this.recording.identity.request, cause, "response broke off");
            }
            Poll::Pending => {}
        }
        next
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
