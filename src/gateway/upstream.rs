//! The services behind: pooled HTTP/1.1 connections, bounded in time.
//!
//! A service sees its own authority as `Host` (it may serve several names); the caller's is in `X-Forwarded-Host`.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::body::{Guarded, find_fault, find_stream_fault};
use super::tls::{Certificates, Connector};
use super::trouble::{Kind, Trouble};
use crate::settings::Timeouts;

/// Connections to all services.
#[derive(Debug, Clone)]
pub(super) struct Upstreams {
    client: Client<Connector, Body>,
    timeouts: Timeouts,
}

/// A request to a service.
pub(super) struct Outgoing {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Payload,
}

/// Its body.
pub(super) enum Payload {
    /// In memory, so it could be sent twice.
    Whole(Bytes),
    /// As it comes.
    Stream(Body),
}

/// Response heads larger than this are a service's mistake.
const LARGEST_HEAD: usize = 256 << 10;

impl Upstreams {
    pub(super) fn new(timeouts: Timeouts, certificates: Arc<Certificates>) -> Self {
        let connector = Connector::new(certificates, timeouts.connect);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            // Below the idle time at which common servers close, so that few requests meet a closing connection.
            .pool_idle_timeout(Duration::from_secs(4))
            .http1_max_buf_size(LARGEST_HEAD)
            .http1_max_headers(256)
            .build(connector);
        Self { client, timeouts }
    }

    /// Sends a request and waits for the response's head. Its body streams, but never in silence for too long.
    ///
    /// A safe request without a streaming body is sent once more if the connection ended before an answer: the usual
    /// end of a pooled connection. Nothing else is ever sent twice.
    ///
    /// # Errors
    /// The service cannot be reached, does not answer in time, or answers what is not HTTP.
    pub(super) async fn send(&self, request: Outgoing) -> Result<Response<Body>, Trouble> {
        let Outgoing { method, uri, headers, body } = request;
        let again = match &body {
            Payload::Whole(bytes) if method.is_safe() => Some(bytes.clone()),
            _ => None,
        };
        let body = match body {
            Payload::Whole(bytes) => Body::from(bytes),
            Payload::Stream(body) => body,
        };
        let build = |body: Body| {
            let mut request = Request::new(body);
            (*request.method_mut(), *request.uri_mut()) = (method.clone(), uri.clone());
            *request.headers_mut() = headers.clone();
            request
        };
        let answered = tokio::time::timeout(self.timeouts.response, async {
            let first = self.client.request(build(body)).await;
            match (first, again) {
                (Err(error), Some(bytes)) if ended_without_answer(&error) => {
                    self.client.request(build(Body::from(bytes))).await
                }
                (answered, _) => answered,
            }
        });
        let response = match answered.await {
            Err(_) => return Err(Trouble::new(Kind::UpstreamTimeout).cause(format!("no response head from {uri}"))),
            Ok(Err(error)) => return Err(failure(&error, &uri)),
            Ok(Ok(response)) => response,
        };
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Trouble::new(Kind::UpstreamContract).cause("101 though no upgrade was asked for"));
        }
        Ok(response.map(|body: Incoming| Body::new(Guarded::new(Body::new(body), u64::MAX, self.timeouts.stream))))
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

fn ended_without_answer(error: &hyper_util::client::legacy::Error) -> bool {
    causes(error).any(|cause| {
        cause.downcast_ref::<hyper::Error>().is_some_and(|cause| cause.is_incomplete_message() || cause.is_canceled())
            || cause.downcast_ref::<std::io::Error>().is_some_and(|cause| {
                matches!(cause.kind(), std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe)
            })
    }) && !error.is_connect()
}

/// What went wrong, and on whose side.
fn failure(error: &hyper_util::client::legacy::Error, uri: &Uri) -> Trouble {
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
    let kind = match (error.is_connect(), timed_out) {
        (true, true) => Kind::UpstreamTimeout,
        (true, false) => Kind::UpstreamUnreachable,
        (false, _) => Kind::UpstreamBroken,
    };
    let chain: Vec<String> = causes(error).map(ToString::to_string).collect();
    Trouble::new(kind).cause(format!(
        "{}: {}",
        uri.authority().map_or("", |authority| authority.as_str()),
        chain.join(": ")
    ))
}
