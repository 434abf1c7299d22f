//! HTTP/2 to services: by prior knowledge, or as ALPN says. A worker has few connections to a place, each for many
//! requests at once.
//!
//! What a service says that it has not looked at (a stream that it refuses, or one after the last that it names when it goes
//! away) is sent on another connection.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use http::request::Parts;
use http::uri::{Authority, Scheme};
use http::{Request, Response, Uri, Version, header};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::endpoint::Endpoint;
use super::failure::causes;
use super::http1::LARGEST_HEAD;
use super::payload::Payload;
use super::policy::Policy;
use super::pool::ConnectError;
use super::replay::{Kept, Replayed};
use crate::gateway::tls::{Connector, Offer};
use crate::rules::upstream::Protocol;

/// Requests at once on one connection, as long as there may be more connections.
const STREAMS: usize = 100;
/// Connections to one place.
const CONNECTIONS: usize = 4;
/// How often a request is sent that is not looked at.
const ATTEMPTS: usize = 3;
/// After how long a service is asked again whether it speaks HTTP/2, and a connection without requests is closed.
const PATIENCE: Duration = Duration::from_secs(60);
/// What may be on its way to us unasked: of one response, and of all of a connection. Of a connection it is as much as
/// callers may send, and one response may take all of it.
const WINDOWS: (u32, u32) = (1 << 20, 1 << 20);

/// Connections of one thread, by the endpoint that they lead to.
#[derive(Debug)]
pub(super) struct Multiplexer {
    connector: Connector,
    endpoints: Mutex<HashMap<u64, Arc<Links>>>,
}

/// Those to one place.
#[derive(Debug, Default)]
struct Links {
    open: Mutex<Vec<Link>>,
    /// One connection is made at a time, so that those who wait for it share it.
    turn: tokio::sync::Mutex<()>,
    /// When it was found to speak HTTP/1.1 alone.
    declined: Mutex<Option<Instant>>,
}

/// One connection.
#[derive(Debug, Clone)]
struct Link {
    sender: SendRequest<Outflow>,
    /// Shared with every request that is on it.
    load: Arc<()>,
    used: Instant,
    /// [`Endpoint::vanished`] when it was made.
    vanished: u64,
}

impl Link {
    fn load(&self) -> usize {
        // This one, and that of whoever looks at it.
        Arc::strong_count(&self.load).saturating_sub(1)
    }
}

/// Why there is no answer, and the request where it may be sent elsewhere.
pub(super) enum Unanswered {
    /// The service does not speak HTTP/2, and need not.
    Declined(Option<Request<Payload>>),
    /// There is no connection.
    Unreached(ConnectError, Option<Request<Payload>>),
    /// The request's body broke off.
    BodyBroke(axum::Error),
    /// There is, and then this.
    Broken(hyper::Error, Option<Request<Payload>>),
}

impl Links {
    fn open(&self) -> MutexGuard<'_, Vec<Link>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection with the fewest requests, if it has room or there may be no other. One from before the endpoint was
    /// last found to have vanished takes no more.
    fn pick(&self, endpoint: &Endpoint) -> Option<Link> {
        let (mut open, vanished) = (self.open(), endpoint.vanished());
        open.retain(|link| !link.sender.is_closed() && link.vanished == vanished);
        let is_full = open.len() >= CONNECTIONS;
        let link = open.iter_mut().min_by_key(|link| link.load())?;
        if link.load() >= STREAMS && !is_full {
            return None;
        }
        link.used = Instant::now();
        Some(link.clone())
    }

    /// Takes no more requests.
    fn retire(&self, spent: &Link) {
        self.open().retain(|link| !Arc::ptr_eq(&link.load, &spent.load));
    }

    fn has_declined(&self) -> bool {
        let declined = self.declined.lock().unwrap_or_else(PoisonError::into_inner);
        declined.is_some_and(|at| at.elapsed() < PATIENCE)
    }
}

impl Multiplexer {
    pub(super) fn new(connector: Connector) -> Self {
        Self { connector, endpoints: Mutex::default() }
    }

    fn endpoints(&self) -> MutexGuard<'_, HashMap<u64, Arc<Links>>> {
        self.endpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a request whose target is as HTTP/1.1 has it, with a `Host`.
    ///
    /// # Errors
    /// There is no connection, or no answer.
    pub(super) async fn exchange(
        &self,
        endpoint: &Arc<Endpoint>,
        policy: &Policy,
        offer: Offer,
        request: Request<Payload>,
    ) -> Result<(Response<Incoming>, Load), Unanswered> {
        let links = self.endpoints().entry(endpoint.id).or_default().clone();
        let (head, payload) = request.into_parts();
        let body = Resendable::of(payload);
        let mut attempt = 1;
        loop {
            // Those who wait for a connection do not have it taken from them by those who come later.
            let mut link = match self.link(&links, endpoint, policy, offer).await {
                Ok(Some(link)) => link,
                Ok(None) => return Err(Unanswered::Declined(body.give_back(head))),
                Err(error) => return Err(Unanswered::Unreached(error, body.give_back(head))),
            };
            let Some(sent) = body.whole() else { return Err(Unanswered::Declined(None)) };
            let mut request = Request::from_parts(head.clone(), sent);
            address(&mut request, endpoint);
            let mut failed = match link.sender.try_send_request(request).await {
                Ok(response) => return Ok((response, Load(link.load))),
                Err(failed) => failed,
            };
            if let Some(fault) = body.fault() {
                return Err(Unanswered::BodyBroke(fault));
            }
            let is_unsent = failed.take_message().is_some();
            let error = failed.into_error();
            if !(is_unsent || is_unprocessed(&error)) {
                if error.is_timeout() {
                    endpoint.vanish();
                }
                return Err(Unanswered::Broken(error, None));
            }
            links.retire(&link);
            if attempt == ATTEMPTS || body.is_lost() {
                return Err(Unanswered::Broken(error, body.give_back(head)));
            }
            attempt += 1;
        }
    }

    /// A connection; none: the service does not speak HTTP/2, and need not.
    async fn link(
        &self,
        links: &Links,
        endpoint: &Arc<Endpoint>,
        policy: &Policy,
        offer: Offer,
    ) -> Result<Option<Link>, ConnectError> {
        let is_declined = || offer == Offer::Both && links.has_declined();
        if is_declined() {
            return Ok(None);
        }
        if let Some(link) = links.pick(endpoint) {
            return Ok(Some(link));
        }
        let _turn = links.turn.lock().await;
        if is_declined() {
            return Ok(None);
        }
        if let Some(link) = links.pick(endpoint) {
            return Ok(Some(link));
        }
        // Each thread may have one, whatever others have.
        let (open, vanished) = (endpoint.open(policy), endpoint.vanished());
        let connector = self.connector.offering(offer);
        let io = connector.connect(&endpoint.address, endpoint.place.host.host(), policy.connect).await?;
        endpoint.reached();
        if io.inner().secured().is_some_and(|secured| !secured.http2) {
            if offer == Offer::Http2 {
                return Err("the service does not speak HTTP/2".into());
            }
            *links.declined.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            return Ok(None);
        }
        let (sender, connection) = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(WINDOWS.0)
            .initial_connection_window_size(WINDOWS.1)
            .max_header_list_size(u32::try_from(LARGEST_HEAD).unwrap_or(u32::MAX))
            // Asked while it owes an answer.
            .keep_alive_interval(connector.asking.after)
            .keep_alive_timeout(connector.asking.patience)
            .handshake(io)
            .await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to a service ended");
            }
            drop(open);
        });
        let link = Link { sender, load: Arc::new(()), used: Instant::now(), vanished };
        links.open().push(link.clone());
        Ok(Some(link))
    }

    /// Closes what nobody has used for long.
    pub(super) fn forget_idle(&self) {
        self.endpoints().retain(|_, links| {
            links.open().retain(|link| !link.sender.is_closed() && (link.load() > 0 || link.used.elapsed() < PATIENCE));
            !links.open().is_empty() || links.has_declined() || Arc::strong_count(links) > 1
        });
    }
}

/// Says where a request goes as HTTP/2 does (RFC 9113, 8.3.1): the authority is what `Host` would say.
fn address(request: &mut Request<Outflow>, endpoint: &Endpoint) {
    *request.version_mut() = Version::HTTP_2;
    let host = request.headers_mut().remove(header::HOST);
    request.headers_mut().remove(header::CONNECTION);
    let host = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(endpoint.place.scheme.clone());
    parts.authority = Some(host.unwrap_or_else(|| endpoint.place.host.clone()));
    // All three are there, so they are an address.
    *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
}

/// Whether a service says that it has not looked at a request (RFC 9113, 8.7).
fn is_unprocessed(error: &hyper::Error) -> bool {
    causes(error).any(|cause| {
        cause.downcast_ref::<h2::Error>().is_some_and(|error| {
            let is_refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
            error.is_remote() && (error.is_go_away() || is_refused)
        })
    })
}

/// A body that may be sent more than once.
enum Resendable {
    Whole(Bytes),
    Kept(Kept),
}

impl Resendable {
    fn of(payload: Payload) -> Self {
        match payload {
            Payload::Whole(bytes) => Self::Whole(bytes),
            Payload::Stream(body) => Self::Kept(Kept::new(body)),
        }
    }

    fn whole(&self) -> Option<Outflow> {
        match self {
            Self::Whole(bytes) => Some(Outflow::Whole(Payload::Whole(bytes.clone()))),
            Self::Kept(kept) => kept.whole().map(Outflow::Kept),
        }
    }

    fn is_lost(&self) -> bool {
        matches!(self, Self::Kept(kept) if kept.is_lost())
    }

    fn fault(&self) -> Option<axum::Error> {
        if let Self::Kept(kept) = self { kept.fault() } else { None }
    }

    /// The request with its whole body, for somebody else.
    fn give_back(&self, head: Parts) -> Option<Request<Payload>> {
        let payload = match self {
            Self::Whole(bytes) => Payload::Whole(bytes.clone()),
            Self::Kept(kept) => Payload::Stream(Body::new(kept.whole()?)),
        };
        Some(Request::from_parts(head, payload))
    }
}

/// One sending of a body.
#[derive(Debug)]
pub(super) enum Outflow {
    Whole(Payload),
    Kept(Replayed),
}

impl http_body::Body for Outflow {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match self.get_mut() {
            Self::Whole(payload) => Pin::new(payload).poll_frame(cx),
            Self::Kept(replayed) => Pin::new(replayed).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(payload) => payload.is_end_stream(),
            Self::Kept(replayed) => replayed.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(payload) => payload.size_hint(),
            Self::Kept(replayed) => replayed.size_hint(),
        }
    }
}

/// Held while a response is read: its stream is there for as long.
#[derive(Debug)]
pub(super) struct Load(#[expect(dead_code, reason = "that it is there is what it says")] Arc<()>);

/// What is offered to a service; none: HTTP/1.1, which needs no offer.
pub(super) fn offer(protocol: Protocol, scheme: &Scheme) -> Option<Offer> {
    match protocol {
        Protocol::Http1 => None,
        Protocol::Http2 => Some(Offer::Http2),
        Protocol::Auto => Some(Offer::Both).filter(|_| *scheme == Scheme::HTTPS),
    }
}
