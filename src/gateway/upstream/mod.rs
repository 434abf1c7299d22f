//! The services behind: pooled HTTP/1.1 connections, bounded in time.
//!
//! A service sees its own authority as `Host` (it may serve several names); the caller's is in `X-Forwarded-Host`.

mod http1;
mod payload;
mod pool;
mod switch;

use std::error::Error;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use tokio::runtime::Handle;
use tokio::time::sleep;

pub(super) use payload::Payload;

use super::body::{Guarded, find_fault, find_stream_fault};
use super::tls::{Certificates, Connector};
use super::trouble::{Kind, Trouble};
use crate::settings::Timeouts;
use http1::Unsent;
use payload::Answer;
use pool::{ConnectError, Pool};

/// Connections to all services.
#[derive(Debug)]
pub(super) struct Upstreams {
    pool: Arc<Pool>,
    connector: Connector,
    timeouts: Timeouts,
}

/// A request to a service.
pub(super) struct Outgoing {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Payload,
    /// How long the response's body may be silent.
    pub(super) silence: Duration,
}

/// Why there is no answer.
enum Unanswered {
    /// The service was not reached.
    Connect(ConnectError),
    /// It was, and then this.
    Exchange(hyper::Error),
}

impl Upstreams {
    pub(super) fn new(timeouts: Timeouts, certificates: Arc<Certificates>) -> Self {
        let connector = Connector::new(certificates, timeouts.connect);
        Self { pool: Arc::new(Pool::new(connector.clone())), connector, timeouts }
    }

    /// Closes connections that nobody uses, as long as there are any to be had.
    pub(super) fn forget_idle(&self, runtime: &Handle) {
        let pool = Arc::downgrade(&self.pool);
        runtime.spawn(async move {
            loop {
                sleep(Pool::sweep()).await;
                let Some(pool) = pool.upgrade() else { return };
                pool.forget_idle();
            }
        });
    }

    /// Sends a request and waits for the response's head. Its body streams, but never in silence for too long.
    ///
    /// A safe request without a streaming body is sent once more if the connection ended before an answer: the usual
    /// end of a pooled connection. Nothing else is ever sent twice; what was not sent at all is sent on another.
    ///
    /// # Errors
    /// The service cannot be reached, does not answer in time, or answers what is not HTTP.
    pub(super) async fn send(&self, request: Outgoing) -> Result<Response<Body>, Trouble> {
        let Outgoing { method, uri, mut headers, body, silence } = request;
        name_host(&uri, &mut headers);
        let again = match &body {
            Payload::Whole(bytes) if method.is_safe() => Some((bytes.clone(), headers.clone())),
            _ => None,
        };
        let target = uri.path_and_query().cloned().map_or_else(Uri::default, Uri::from);
        let build = |headers: HeaderMap, body: Payload| {
            let mut request = Request::new(body);
            (*request.method_mut(), *request.uri_mut()) = (method.clone(), target.clone());
            *request.headers_mut() = headers;
            request
        };
        let mut answered = pin!(async {
            let first = self.exchange(&uri, build(headers, body)).await;
            match (first, again) {
                (Err(Unanswered::Exchange(error)), Some((bytes, headers))) if ended_without_answer(&error) => {
                    self.exchange(&uri, build(headers, Payload::Whole(bytes))).await
                }
                (answered, _) => answered,
            }
        });
        let mut alarm = pin!(sleep(self.timeouts.response));
        let answered = poll_fn(|cx| match answered.as_mut().poll(cx) {
            Poll::Ready(answered) => Poll::Ready(Some(answered)),
            Poll::Pending => alarm.as_mut().poll(cx).map(|()| None),
        });
        let response = match answered.await {
            None => return Err(Trouble::new(Kind::UpstreamTimeout).cause(format!("no response head from {uri}"))),
            Some(Err(error)) => return Err(failure(&error, &uri)),
            Some(Ok(response)) => response,
        };
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Trouble::new(Kind::UpstreamContract).cause("101 though no upgrade was asked for"));
        }
        Ok(response.map(|body| Body::new(Guarded::new(body, u64::MAX, silence))))
    }

    /// Sends a request on a connection that takes it.
    async fn exchange(&self, uri: &Uri, mut request: Request<Payload>) -> Result<Response<Answer>, Unanswered> {
        loop {
            let mut connection = self.pool.connection(uri).await.map_err(Unanswered::Connect)?;
            match connection.http.exchange(request).await {
                Ok(response) => return Ok(response.map(|body| Answer::new(body, connection))),
                Err(failed) => match *failed {
                    // It was closed while it waited, and nothing of the request was written: as if it had not been there.
                    Unsent { request: Some(unsent), .. } if connection.is_used => request = unsent,
                    Unsent { error, .. } => return Err(Unanswered::Exchange(error)),
                },
            }
        }
    }
}

/// The service's own authority, without a port that goes without saying.
fn name_host(uri: &Uri, headers: &mut HeaderMap) {
    let usual = match uri.scheme_str() {
        Some("https") => 443,
        _ => 80,
    };
    let port = uri.port_u16().filter(|port| *port != usual);
    let host = match (port, uri.authority(), uri.host()) {
        (Some(_), Some(authority), _) if !authority.as_str().contains('@') => HeaderValue::from_str(authority.as_str()),
        (Some(port), _, Some(host)) => HeaderValue::from_str(&format!("{host}:{port}")),
        (None, _, Some(host)) => HeaderValue::from_str(host),
        (_, _, None) => return,
    };
    if let Ok(host) = host {
        headers.insert(header::HOST, host);
    }
}

/// `base` (scheme, authority, perhaps a path) with a request's path and query.
pub(super) fn address(base: &Uri, path: &str, query: Option<&str>) -> Result<Uri, Trouble> {
    let prefix = base.path().trim_end_matches('/');
    let whole = match query {
        Some(query) => format!("{prefix}{path}?{query}"),
        None => format!("{prefix}{path}"),
    };
    let mut parts = base.clone().into_parts();
    let refused =
        |error: &dyn Error| Trouble::new(Kind::Value).detail("the request's address cannot be written").cause(error);
    parts.path_and_query = Some(whole.parse::<PathAndQuery>().map_err(|error| refused(&error))?);
    Uri::from_parts(parts).map_err(|error| refused(&error))
}

fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (**error).source())
}

fn ended_without_answer(error: &hyper::Error) -> bool {
    causes(error).any(|cause| {
        cause.downcast_ref::<hyper::Error>().is_some_and(|cause| cause.is_incomplete_message() || cause.is_canceled())
            || cause.downcast_ref::<std::io::Error>().is_some_and(|cause| {
                matches!(cause.kind(), std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe)
            })
    })
}

/// What went wrong, and on whose side.
fn failure(unanswered: &Unanswered, uri: &Uri) -> Trouble {
    let (error, is_connect): (&(dyn Error + 'static), bool) = match unanswered {
        Unanswered::Connect(error) => (&**error, true),
        Unanswered::Exchange(error) => (error, false),
    };
    // The request's body is the caller's: if that broke off, the service is not to blame.
    if let Some(fault) = find_stream_fault(error) {
        return Trouble::from_caller_body(fault);
    }
    if let Some(fault) = find_fault(error) {
        return Trouble::from_request(fault.clone()).closing();
    }
    let timed_out = causes(error).any(|cause| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|cause| cause.kind() == std::io::ErrorKind::TimedOut)
    });
    let kind = match (is_connect, timed_out) {
        (true, true) => Kind::UpstreamTimeout,
        (true, false) => Kind::UpstreamUnreachable,
        (false, _) => Kind::UpstreamBroken,
    };
    let chain: Vec<String> = causes(error).map(ToString::to_string).collect();
    let mut trouble = Trouble::new(kind).cause(format!(
        "{}: {}",
        uri.authority().map_or("", |authority| authority.as_str()),
        chain.join(": ")
    ));
    trouble.unsent = is_connect;
    trouble
}
