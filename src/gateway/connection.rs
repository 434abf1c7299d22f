//! One connection of a caller: which protocol it speaks, how long it may be silent, how it ends.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::error::Error;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use super::aside::Movable;
use super::framing::{Framing, Verdict};
use super::http2;
use super::introduction::Introduction;
use super::overload::{Overload, Rung};
use super::plain::{self, After};
use super::rewound::poll_piece;
use super::tls::{Secured, Stream};
use super::tunnel::Tunnel;
use super::wire::{Watch, Wire};
use crate::settings::{Limits, Timeouts};

/// RFC 9113, 3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How long a caller may take to read our last words before its bytes are answered with a reset.
const LINGER: Duration = Duration::from_secs(2);
/// By how much silence is cut short when there is too much to do.
const HASTE: u32 = 10;
/// How long a caller who connected just before this process stopped may take to begin to speak.
const FIRST_WORD: Duration = Duration::from_millis(500);

/// How many header fields hyper takes if it is not told.
const HYPERS_HEADERS: usize = 100;

/// What a connection's parts must agree on.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) caller: Introduction,
    state: Mutex<ConnState>,
    changed: Notify,
    /// When it was accepted.
    born: Instant,
    /// Told when it has served long enough.
    pub(super) worn: Notify,
    overload: Arc<Overload>,
    /// Told once: finish and close.
    stop: watch::Receiver<bool>,
}

#[derive(Debug)]
struct ConnState {
    /// Requests in work, and all that there were.
    active: usize,
    asked: usize,
    /// Since when nothing is asked.
    quiet_since: Instant,
    /// Since when a head is incomplete.
    head_since: Option<Instant>,
    /// One for each head that has ended and whose request has not begun.
    verdicts: VecDeque<Verdict>,
    /// What follows HTTP on this connection.
    tunnel: Option<Tunnel>,
}

impl Conn {
    fn new(
        peer: SocketAddr,
        born: Instant,
        secured: Option<Secured>,
        overload: Arc<Overload>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let (quiet_since, head_since, verdicts) = (born, Some(born), VecDeque::new());
        let state = ConnState { active: 0, asked: 0, quiet_since, head_since, verdicts, tunnel: None };
        let (changed, worn, caller) = (Notify::new(), Notify::new(), Introduction::new(peer, secured));
        Self { caller, state: Mutex::new(state), changed, born, worn, overload, stop }
    }

    fn state(&self) -> MutexGuard<'_, ConnState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A head's first bytes are here, not its last.
    pub(super) fn head_begun(&self) {
        let mut state = self.state();
        if state.head_since.is_none() {
            state.head_since = Some(Instant::now());
            self.changed.notify_one();
        }
    }

    /// A head is complete.
    pub(super) fn head_ended(&self, verdict: Verdict) {
        let mut state = self.state();
        state.head_since = None;
        state.verdicts.push_back(verdict);
    }

    /// A request begins; the guard says when it is over.
    fn begin(self: &Arc<Self>, protocol: Protocol) -> (Busy, Option<Verdict>) {
        let mut state = self.state();
        state.active += 1;
        state.asked += 1;
        let verdict = match protocol {
            Protocol::Http1 => state.verdicts.pop_front(),
            Protocol::Http2 => {
                state.head_since = None;
                Some(Ok(()))
            }
        };
        (Busy(self.clone()), verdict)
    }

    /// Whether it should end after the request at hand.
    fn is_worn(&self, limits: &Limits, timeouts: &Timeouts) -> bool {
        self.state().asked >= limits.connection_requests
            || self.overload.rung() >= Rung::NoKeepAlive
            || self.born.elapsed() >= timeouts.connection_age
    }

    /// How long it may be that nothing is asked.
    fn idle(&self, timeouts: &Timeouts) -> Duration {
        if self.overload.rung() >= Rung::ShortIdle { timeouts.idle / HASTE } else { timeouts.idle }
    }

    /// Once the response is sent, something else than HTTP follows.
    pub(super) fn change_over(&self, tunnel: Tunnel) {
        if let Some(tunnel) = tunnel.detach(&self.stop) {
            self.state().tunnel = Some(tunnel);
        }
    }

    /// Whether a request is in work whose answer has not ended.
    pub(super) fn is_busy(&self) -> bool {
        self.state().active > 0
    }

    /// When this connection will have been silent for too long, if nothing happens.
    fn deadline(&self, timeouts: &Timeouts) -> Option<Instant> {
        let state = self.state();
        match (state.active, state.head_since) {
            (0, Some(since)) => Some(since + timeouts.header),
            (0, None) => Some(state.quiet_since + self.idle(timeouts)),
            _ => None,
        }
    }

    /// Waits until this connection has been silent for too long.
    ///
    /// The end of a request, which happens all the time, tells nobody: silence that begins then cannot be too long
    /// before the next look.
    pub(super) async fn silent(&self, timeouts: &Timeouts) {
        loop {
            let now = Instant::now();
            let look = match self.deadline(timeouts) {
                Some(deadline) if deadline <= now => return,
                // Soon enough to see that there is suddenly less time.
                Some(deadline) => deadline.min(now + timeouts.idle / HASTE),
                None => now + timeouts.header.min(timeouts.idle),
            };
            tokio::select! {
                () = sleep_until(look) => {}
                () = self.changed.notified() => {}
            }
        }
    }
}

/// Held while a request is in work.
#[derive(Debug)]
pub(super) struct Busy(Arc<Conn>);

impl Busy {
    /// The connection that it came on.
    pub(super) fn caller(&self) -> &Introduction {
        &self.0.caller
    }

    pub(super) fn conn(&self) -> &Arc<Conn> {
        &self.0
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.active = state.active.saturating_sub(1);
        state.quiet_since = Instant::now();
    }
}

/// What a connection knows of a request.
#[derive(Debug)]
pub(super) struct Arrival {
    /// To be held for as long as the request is in work.
    pub(super) busy: Busy,
    /// What the bytes say of the request's framing; none: our reader and hyper's disagree.
    pub(super) framed: Option<Verdict>,
}

/// What answers requests.
pub(super) trait Answering: Clone + Send + Sync + Unpin + 'static {
    /// The bodies of its answers.
    type Body: http_body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static;

    /// Answers one request.
    fn answer(
        self,
        request: Request<Body>,
        arrival: Arrival,
    ) -> impl Future<Output = Response<Self::Body>> + Send + 'static;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// Serves one connection to its end. `stop` asks it to finish what it has begun and close.
pub(super) async fn serve(
    mut stream: Stream,
    (peer, born): (SocketAddr, Instant),
    answering: impl Answering,
    (limits, timeouts): &(Limits, Timeouts),
    overload: Arc<Overload>,
    mut stop: watch::Receiver<bool>,
) {
    let conn = Arc::new(Conn::new(peer, born, stream.secured().cloned(), overload, stop.clone()));
    // Answers are small and complete; waiting for more to send gains nothing.
    let _ = stream.tcp().set_nodelay(true);
    // hyper-util's own look at the preface has no timer, so it is done here, under the header timeout.
    let (protocol, before) = tokio::select! {
        seen = timeout_at(born + timeouts.header, sniff(&mut stream)) => match seen {
            Ok(Ok(seen)) => seen,
            Ok(Err(_)) | Err(_) => return,
        },
        () = long_stopped(&mut stop) => return,
    };
    // What ALPN agreed upon holds; without it there is no HTTP/2 over TLS (RFC 9113, 3.2).
    if conn.caller.secured.as_ref().is_some_and(|secured| secured.http2 != (protocol == Protocol::Http2)) {
        return linger(stream).await;
    }
    match protocol {
        Protocol::Http1 => serve_http1(stream, before, conn, answering, *limits, *timeouts, stop).await,
        Protocol::Http2 => http2::serve(stream, before, conn, answering, *limits, *timeouts, stop).await,
    }
}

/// Reads until the bytes are, or cannot become, the HTTP/2 preface.
async fn sniff(stream: &mut Stream) -> std::io::Result<(Protocol, Bytes)> {
    let mut read = Bytes::new();
    loop {
        let seen = read.len().min(PREFACE.len());
        if read.get(..seen) != PREFACE.get(..seen) {
            return Ok((Protocol::Http1, read));
        }
        if seen == PREFACE.len() {
            return Ok((Protocol::Http2, read));
        }
        let more = poll_fn(|cx| poll_piece(stream, cx, usize::MAX)).await?;
        if more.is_empty() {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        read = if read.is_empty() { more } else { [read, more].concat().into() };
    }
}

/// Waits until it is time to stop.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A sender that is gone has stopped too.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// The same, and as much longer as a caller who has just connected needs to say what it wants.
pub(super) async fn long_stopped(stop: &mut watch::Receiver<bool>) {
    stopped(stop).await;
    sleep(FIRST_WORD).await;
}

/// Has a request answered with what the connection knows of it.
pub(super) fn answer<A: Answering>(
    conn: &Arc<Conn>,
    answering: &A,
    protocol: Protocol,
    (limits, timeouts): &(Limits, Timeouts),
    mut request: Request<Body>,
) -> Movable<Result<Response<A::Body>, Infallible>> {
    let (busy, framed) = conn.begin(protocol);
    let is_last = conn.is_worn(limits, timeouts);
    if is_last && protocol == Protocol::Http2 {
        conn.worn.notify_one();
    }
    if let Some(secured) = &conn.caller.secured {
        request.extensions_mut().insert(secured.clone());
    }
    let to_head = *request.method() == Method::HEAD;
    let answering = answering.clone();
    Movable::new(async move {
        let mut response = answering.answer(request, Arrival { busy, framed }).await;
        // axum writes the length of the body that it has; here it has none of the representation's that is spoken of.
        let has_none = to_head || response.status() == StatusCode::NOT_MODIFIED;
        if has_none && response.headers().get(header::CONTENT_LENGTH).is_some_and(|length| length == "0") {
            response.headers_mut().remove(header::CONTENT_LENGTH);
        }
        if is_last && protocol == Protocol::Http1 && response.status() != StatusCode::SWITCHING_PROTOCOLS {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    })
}

/// A request as hyper has it: bodies are in a box of their own only where there is one.
pub(super) fn boxed(request: Request<Incoming>) -> Request<Body> {
    request.map(|body| if body.is_end_stream() { Body::empty() } else { Body::new(body) })
}

async fn serve_http1(
    stream: Stream,
    before: Bytes,
    conn: Arc<Conn>,
    answering: impl Answering,
    limits: Limits,
    timeouts: Timeouts,
    mut stop: watch::Receiver<bool>,
) {
    let wire = Wire::new(stream, before, Watch::Http1(Framing::default()), conn.clone(), timeouts.stream);
    let bounds = (limits, timeouts);
    let (line, answered) = match plain::serve(wire, &conn, &answering, &bounds, stop.clone()).await {
        After::Hyper(line, answered) => (line, answered),
        After::Over(wire) => return linger(wire.into_stream()).await,
        After::Silent(wire) => return say_timeout(wire, &conn).await,
    };
    let service = {
        let (conn, answered) = (conn.clone(), Mutex::new(answered));
        service_fn(move |request| match answered.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(response) => Movable::new(std::future::ready(Ok(response))),
            None => answer(&conn, &answering, Protocol::Http1, &bounds, boxed(request)),
        })
    };
    let mut builder = http1::Builder::new();
    // Told, hyper prepares room for so many with every head, even where it is the number that it has room for anyway.
    if limits.header_count != HYPERS_HEADERS {
        builder.max_headers(limits.header_count);
    }
    let mut http = builder
        .timer(TokioTimer::new())
        // What was begun for a caller that is gone is given up. Whether one that has closed its side is gone is for the
        // wire to say.
        .half_close(false)
        // This connection keeps its own times; hyper's would also count a connection on which nothing is asked.
        .header_read_timeout(None)
        .max_buf_size(limits.header_bytes.max(8192))
        .max_header_size(limits.header_bytes)
        .serve_connection(TokioIo::new(line), service);
    let mut stopping = false;
    let ended = loop {
        tokio::select! {
            // What has come is looked at before the connection is told that it is over.
            biased;
            ended = poll_fn(|cx| http.poll_without_shutdown(cx)) => break ended,
            () = conn.silent(&timeouts) => {
                return say_timeout(http.into_parts().io.into_inner().into_parts().0, &conn).await;
            }
            () = stopped(&mut stop), if !stopping => {
                stopping = true;
                Pin::new(&mut http).graceful_shutdown();
            }
        }
    };
    if let Err(error) = &ended {
        tracing::debug!(peer = %conn.caller.peer, %error, "connection ended");
    }
    let tunnel = conn.state().tunnel.take();
    let parts = http.into_parts();
    let (wire, unheard) = parts.io.into_inner().into_parts();
    let (stream, unread) = wire.into_parts();
    match tunnel {
        Some(tunnel) if ended.is_ok() => {
            let (read, write) = tokio::io::split(stream);
            let early = [parts.read_buf, unheard, unread].concat();
            tunnel.run(tokio::io::join(std::io::Cursor::new(early).chain(read), write), conn.stop.clone()).await;
        }
        _ => linger(stream).await,
    }
}

/// Tells a caller whose request never came, if one had begun; closes.
async fn say_timeout(wire: Wire, conn: &Conn) {
    let begun = conn.state().head_since.is_some();
    let mut stream = wire.into_stream();
    if begun {
        let words = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        let _ = timeout(LINGER, stream.write_all(words)).await;
    }
    linger(stream).await;
}

/// Closes so that the caller can read what it was told: closing a socket with unread bytes resets the connection, and a
/// reset throws away what the other side has not read.
pub(super) async fn linger(mut stream: Stream) {
    let drained = async {
        stream.shutdown().await?;
        let mut thrown_away = vec![0; 16 << 10];
        while stream.read(&mut thrown_away).await? > 0 {}
        std::io::Result::Ok(())
    };
    let _ = timeout(LINGER, drained).await;
}
