//! One connection of a caller: which protocol it speaks, how long it may be silent, how it ends.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::aside::Movable;
use super::frames::Frames;
use super::framing::{Framing, Verdict};
use super::introduction::Introduction;
use super::overload::{Overload, Rung};
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
/// What a sender may have on its way to us unasked: of one HTTP/2 stream, and of a connection.
const STREAM_WINDOW: u32 = 64 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;

/// How many header fields hyper takes if it is not told.
const HYPERS_HEADERS: usize = 100;

/// What a connection's parts must agree on.
#[derive(Debug)]
pub(super) struct Conn {
    caller: Introduction,
    state: Mutex<ConnState>,
    changed: Notify,
    /// When it was accepted.
    born: Instant,
    /// Told when it has served long enough.
    worn: Notify,
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
    async fn silent(&self, timeouts: &Timeouts) {
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
    type Body: http_body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static;

    /// Answers one request.
    fn answer(
        self,
        request: Request<Incoming>,
        arrival: Arrival,
    ) -> impl Future<Output = Response<Self::Body>> + Send + 'static;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
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
        () = stopped(&mut stop) => return,
    };
    // What ALPN agreed upon holds; without it there is no HTTP/2 over TLS (RFC 9113, 3.2).
    if conn.caller.secured.as_ref().is_some_and(|secured| secured.http2 != (protocol == Protocol::Http2)) {
        return linger(stream).await;
    }
    match protocol {
        Protocol::Http1 => serve_http1(stream, before, conn, answering, *limits, *timeouts, stop).await,
        Protocol::Http2 => serve_http2(stream, before, conn, answering, *limits, *timeouts, stop).await,
    }
}

/// Reads until the bytes are, or cannot become, the HTTP/2 preface.
async fn sniff(stream: &mut Stream) -> std::io::Result<(Protocol, Bytes)> {
    let mut read = BytesMut::with_capacity(1024);
    loop {
        let seen = read.len().min(PREFACE.len());
        if read.get(..seen) != PREFACE.get(..seen) {
            return Ok((Protocol::Http1, read.freeze()));
        }
        if seen == PREFACE.len() {
            return Ok((Protocol::Http2, read.freeze()));
        }
        if stream.read_buf(&mut read).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Waits until it is time to stop.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A sender that is gone has stopped too.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Has a request answered with what the connection knows of it.
fn answer<A: Answering>(
    conn: &Arc<Conn>,
    answering: &A,
    protocol: Protocol,
    (limits, timeouts): &(Limits, Timeouts),
    mut request: Request<Incoming>,
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
    let service = {
        let (conn, bounds) = (conn.clone(), (limits, timeouts));
        service_fn(move |request| answer(&conn, &answering, Protocol::Http1, &bounds, request))
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
        .serve_connection(TokioIo::new(wire), service);
    let mut stopping = false;
    let ended = loop {
        tokio::select! {
            ended = std::future::poll_fn(|cx| http.poll_without_shutdown(cx)) => break ended,
            () = conn.silent(&timeouts) => return say_timeout(http.into_parts().io.into_inner(), &conn).await,
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
    let (stream, unread) = parts.io.into_inner().into_parts();
    match tunnel {
        Some(tunnel) if ended.is_ok() => {
            let (read, write) = tokio::io::split(stream);
            let early = std::io::Cursor::new(parts.read_buf).chain(std::io::Cursor::new(unread));
            tunnel.run(tokio::io::join(early.chain(read), write), conn.stop.clone()).await;
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

async fn serve_http2(
    stream: Stream,
    before: Bytes,
    conn: Arc<Conn>,
    answering: impl Answering,
    limits: Limits,
    timeouts: Timeouts,
    mut stop: watch::Receiver<bool>,
) {
    let wire = Wire::new(stream, before, Watch::Http2(Frames::default()), conn.clone(), timeouts.stream);
    let service = {
        let (conn, bounds) = (conn.clone(), (limits, timeouts));
        service_fn(move |request| answer(&conn, &answering, Protocol::Http2, &bounds, request))
    };
    let http = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        // WebSockets (RFC 8441); every other CONNECT is refused.
        .enable_connect_protocol()
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        // A peer that has vanished without a word is found out.
        .keep_alive_interval(timeouts.idle)
        .keep_alive_timeout(timeouts.header)
        .serve_connection(TokioIo::new(wire), service);
    let mut http = std::pin::pin!(http);
    let mut stopping = false;
    loop {
        tokio::select! {
            ended = http.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(peer = %conn.caller.peer, %error, "connection ended");
                }
                return;
            }
            () = conn.silent(&timeouts), if !stopping => {
                stopping = true;
                http.as_mut().graceful_shutdown();
            }
            () = conn.worn.notified(), if !stopping => {
                stopping = true;
                http.as_mut().graceful_shutdown();
            }
            () = stopped(&mut stop), if !stopping => {
                stopping = true;
                http.as_mut().graceful_shutdown();
            }
        }
    }
}
