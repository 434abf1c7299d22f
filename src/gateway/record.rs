//! What is known of one request when it is over: for the access log and the metrics. Never payload, never query values.

use std::error::Error;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, Uri, header};
use http_body::{Frame, SizeHint};

use super::App;
use super::connection::Busy;
use super::generation::{Generation, Standing};
use super::headers::{GENERATION, Identity, REQUEST_ID};
use super::introduction::Introduction;
use super::overload::{Held, Place};
use super::telemetry::{Called, Notes};
use super::tls::Secured;
use super::trouble::Side;
use super::tunnel::{Switched, Tunnel};
use super::upstream::Endpoint;
use crate::settings::Timeouts;

/// What a request's handlers learn of it.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The rules that it saw.
    pub(super) generation: Option<Arc<Generation>>,
    /// Whose request it is.
    pub(super) standing: Option<Arc<Standing>>,
    /// Who the request comes from, as far as it says so.
    pub(super) consumer: Option<String>,
    /// In the caller's terms; none where no rule has one, as may be for requests that pass untouched.
    pub(super) route: Option<String>,
    /// Which of the service's versions asked, and which one answers, if any may.
    pub(super) versions: Option<(usize, Option<usize>)>,
    /// The version whose service failed to answer before the one that did, and how.
    pub(super) fallback: Option<(usize, &'static str)>,
    pub(super) fault: Option<&'static str>,
    /// Whose fault, where the response's status does not say that there is one.
    pub(super) to_blame: Option<Side>,
    /// The target's one spelling, where the caller had another.
    pub(super) path: Option<String>,
    /// The service has agreed to another protocol.
    pub(super) switched: Option<Switched>,
    pub(super) translating: Duration,
    pub(super) upstream: Duration,
    /// The last one that was asked.
    pub(super) endpoint: Option<Arc<Endpoint>>,
    /// How many times an endpoint was to be asked.
    pub(super) attempts: usize,
    pub(super) request_bytes: u64,
    /// Calls that the request became, by name: how many were made, and how many of them failed.
    pub(super) calls: Vec<(String, usize, usize)>,
    /// Members of the service's answer that had nowhere to go.
    pub(super) dropped_members: usize,
    /// It goes to a service when its caller is not on the line any more: what for.
    pub(super) background: Option<&'static str>,
    /// Its caller's line is written.
    pub(super) is_recorded: bool,
    /// Of a request that is traced.
    pub(super) trace: Option<Box<Notes>>,
    /// Bodies that are held for it.
    pub(super) held: Vec<Held>,
    /// What it counts under besides its caller's address.
    pub(super) places: [Option<Place>; 2],
}

impl Known {
    /// The service's name; empty: no service is known.
    pub(super) fn service(&self) -> &str {
        self.standing.as_ref().map_or("", |standing| &standing.plan.name)
    }

    /// The name of the version that the caller speaks; empty: it is not known.
    pub(super) fn asked(&self) -> &str {
        self.versions.map_or("", |(asked, _)| self.version(asked))
    }

    /// The name of the version that answers; empty: it is not known.
    pub(super) fn served(&self) -> &str {
        self.versions.and_then(|(_, served)| served).map_or("", |served| self.version(served))
    }

    /// The name of a version of its service.
    pub(super) fn version(&self, index: usize) -> &str {
        self.standing.as_ref().map_or("", |standing| standing.version(index))
    }

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
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Known) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the request is traced.
    pub(super) fn is_traced(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).trace.is_some()
    }

    /// A call of a traced request is over.
    pub(super) fn called(&self, call: Called) {
        self.change(|known| {
            if let Some(notes) = &mut known.trace {
                notes.called(call);
            }
        });
    }
}

/// One finished request.
#[derive(Debug)]
pub(super) struct Entry<'e> {
    pub(super) at: SystemTime,
    pub(super) identity: &'e Identity,
    pub(super) method: &'e str,
    pub(super) path: &'e str,
    pub(super) caller: &'e Introduction,
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
    pub(super) identity: Identity,
    pub(super) facts: Facts,
    method: Method,
    uri: Uri,
    protocol: &'static str,
    status: Option<StatusCode>,
    finished: bool,
    sent: u64,
    /// Held for as long as the request is in work.
    pub(super) admitted: Option<Place>,
    pub(super) busy: Busy,
}

impl Drop for Recording {
    fn drop(&mut self) {
        // 499 is what logs commonly call a caller that did not wait.
        let status = self.status.map_or(499, |status| status.as_u16());
        self.facts.change(|known| {
            let outcome = match self.status {
                None => "client_gone",
                Some(_) if !self.finished => "aborted",
                Some(status) if status.is_server_error() => "failed",
                Some(status) if status.is_client_error() => "refused",
                Some(_) if known.to_blame == Some(Side::Caller) => "refused",
                Some(_) if known.to_blame.is_some() => "failed",
                Some(_) => "ok",
            };
            let entry = Entry {
                at: self.at,
                identity: &self.identity,
                method: self.method.as_str(),
                path: known.path.as_deref().unwrap_or_else(|| self.uri.path()),
                caller: self.busy.caller(),
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
            if let (Some(telemetry), Some(notes)) = (&self.app.telemetry, &known.trace) {
                telemetry.finished(&entry, notes);
            }
            known.is_recorded = true;
        });
    }
}

impl Recording {
    /// Names a request, and sees to it that it is recorded whatever becomes of it.
    pub(super) fn begin(app: &Arc<App>, busy: Busy, request: &Request) -> Box<Self> {
        let mut identity = Identity::of(request.headers());
        let is_secure = request.extensions().get::<Secured>().is_some();
        let trace = app.telemetry.as_ref();
        let trace = trace.and_then(|one| one.begin(&mut identity, request.headers(), request.uri(), is_secure));
        let known = Known { trace, ..Known::default() };
        Box::new(Self {
            at: SystemTime::now(),
            begun: Instant::now(),
            identity,
            facts: Facts(Arc::new(Mutex::new(known))),
            method: request.method().clone(),
            uri: request.uri().clone(),
            protocol: if request.version() == http::Version::HTTP_2 { "h2" } else { "http/1" },
            status: None,
            finished: false,
            sent: 0,
            admitted: None,
            busy,
            app: app.clone(),
        })
    }

    /// Goes on until the response's body is over.
    pub(super) fn answered(mut self: Box<Self>, mut response: Response) -> http::Response<Recorded> {
        self.status = Some(response.status());
        let headers = response.headers_mut();
        headers.reserve(4);
        if let Ok(id) = HeaderValue::from_str(&self.identity.request) {
            headers.insert(REQUEST_ID, id);
        }
        if self.app.is_leaving() && self.protocol != "h2" && self.status != Some(StatusCode::SWITCHING_PROTOCOLS) {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        let name = &self.app.settings.version_header;
        let switched = self.facts.change(|known| {
            if let Some(generation) = known.generation.as_ref().filter(|generation| generation.number != 0) {
                headers.insert(GENERATION, generation.told.clone());
            }
            let told = known.standing.as_ref().zip(known.versions);
            if let Some(told) = told.and_then(|(standing, (asked, served))| standing.told(asked, served)) {
                headers.insert(name.clone(), told.clone());
            }
            known.switched.take()
        });
        if let Some(switched) = switched {
            self.hand_over(switched);
            return response.map(|body| Recorded { inner: body, recording: None });
        }
        response.map(|body| {
            self.finished = http_body::Body::is_end_stream(&body);
            Recorded { inner: body, recording: Some(self) }
        })
    }

    /// Goes on with what follows the response: the connection, or a stream of it.
    fn hand_over(self: Box<Self>, switched: Switched) {
        let conn = self.busy.conn().clone();
        conn.change_over(Tunnel::new(switched, self));
    }

    /// From here on it is no request in work any more, only a connection.
    pub(super) fn tunnel_begins(&mut self) -> Timeouts {
        self.admitted = None;
        self.app.metrics.tunnels.inc();
        self.app.settings.timeouts
    }

    /// So many bytes have passed up and down; not whole: it was ended from here, or broke off.
    pub(super) fn tunnel_ended(&mut self, up: u64, down: u64, is_whole: bool) {
        self.app.metrics.tunnels.dec();
        (self.sent, self.finished) = (down, is_whole);
        self.facts.change(|known| known.request_bytes = up);
    }
}

/// A response body that knows when it is over.
pub(super) struct Recorded {
    inner: Body,
    /// None: something else goes on with it.
    recording: Option<Box<Recording>>,
}

impl http_body::Body for Recorded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let next = Pin::new(&mut this.inner).poll_frame(cx);
        let Some(recording) = &mut this.recording else { return next };
        match &next {
            Poll::Ready(None) => recording.finished = true,
            Poll::Ready(Some(Ok(frame))) => {
                recording.sent += frame.data_ref().map_or(0, |data| data.len() as u64);
                recording.finished = this.inner.is_end_stream();
            }
            Poll::Ready(Some(Err(error))) => {
                let cause = error.source().map(ToString::to_string).unwrap_or_default();
                tracing::debug!(request_id = %recording.identity.request, cause, "response broke off");
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
