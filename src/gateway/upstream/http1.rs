//! An HTTP/1.1 connection to a service, driven by the task that uses it.
//!
//! hyper's client is two halves that speak through channels: one sends requests, the other moves bytes and is meant to be
//! a task of its own. Here both halves are polled in turn by whoever waits for the answer, so no other task has to be
//! woken. What one half tells the other wakes nobody ([`Whisper`]): it is looked at in the same turn. What comes from
//! outside, the socket and the caller's body, wakes the task ([`aloud`]).

use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::io::IoSlice;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;

use super::direct::Bare;
use super::payload::Payload;

/// Response heads larger than this are a service's mistake.
pub(super) const LARGEST_HEAD: usize = 256 << 10;

/// What every connection to a service keeps to.
pub(super) fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.max_buf_size(LARGEST_HEAD).max_headers(256);
    builder
}

/// A connection that is free for a request, or answers one.
pub(super) struct Http1 {
    sender: SendRequest<Sending>,
    driver: Driver,
}

impl fmt::Debug for Http1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Http1")
    }
}

impl Http1 {
    /// Begins to speak HTTP on a connection.
    pub(super) async fn begin(line: Bare) -> hyper::Result<Self> {
        let (sender, connection) = builder().handshake(Aloud(TokioIo::new(line))).await?;
        let (moving, waiting) = (Ear::new(), Ear::new());
        let driver = Driver { connection: Some(Box::new(connection)), moving, waiting };
        Ok(Self { sender, driver })
    }

    /// The connection, where nothing is under way on it.
    pub(super) fn into_line(mut self) -> Result<Bare, Self> {
        if !self.is_free() {
            return Err(self);
        }
        let Some(connection) = self.driver.connection.take() else { return Err(self) };
        let parts = connection.into_parts();
        Ok(parts.io.0.into_inner().rewind(Bytes::new(), parts.read_buf, None))
    }

    /// Whether it takes another request, as far as is known.
    fn is_free(&self) -> bool {
        self.sender.is_ready()
    }

    /// Looks whether its other end has closed it, or has said what nobody asked for. Tells nobody when it does later.
    pub(super) fn is_open(&mut self) -> bool {
        self.driver.drive(&mut Context::from_waker(Waker::noop()));
        self.is_free()
    }

    /// Sends a request and waits for the head of its answer.
    ///
    /// # Errors
    /// hyper's, with the request where nothing of it was written.
    pub(super) async fn exchange(&mut self, request: Request<Payload>) -> Result<Response<Incoming>, Box<Unsent>> {
        let held = matches!(request.body(), Payload::Stream(_)).then(Arc::<()>::default);
        let request = request.map(|payload| Sending { payload, held: held.clone() });
        let mut answering = pin!(self.sender.try_send_request(request));
        let driver = &mut self.driver;
        let answered = poll_fn(|cx| {
            driver.drive(cx);
            driver.whisper(cx, |cx| answering.as_mut().poll(cx))
        });
        let response = answered.await.map_err(Unsent::of)?;
        // The caller may wait with reading until all that it sends is taken, so that goes on by itself.
        if held.is_some_and(|held| Arc::strong_count(&held) > 1) {
            self.driver.go_on_alone();
        }
        Ok(response)
    }

    /// The next piece of an answer's body.
    pub(super) fn poll_body(
        &mut self,
        body: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let Driver { connection: Some(_), .. } = self.driver else { return Pin::new(body).poll_frame(cx) };
        // Tells the driver that a piece is wanted, if there is none yet; it is driven at once, so nobody need be woken.
        let here = Pin::new(&mut *body).poll_frame(&mut Context::from_waker(&self.driver.waiting.waker));
        if here.is_ready() {
            return here;
        }
        self.driver.drive(cx);
        if self.driver.connection.is_none() {
            return Pin::new(body).poll_frame(cx);
        }
        self.driver.whisper(cx, |cx| Pin::new(body).poll_frame(cx))
    }

    /// Whether it is free once its answer has been read. One that is still sending goes on by itself until that is done,
    /// and ends.
    pub(super) fn settle(&mut self) -> bool {
        if !self.is_free() && !self.is_open() {
            self.driver.go_on_alone();
            return false;
        }
        true
    }
}

/// Why there is no answer.
pub(super) struct Unsent {
    pub(super) error: hyper::Error,
    /// The request, if nothing of it was written.
    pub(super) request: Option<Request<Payload>>,
}

impl Unsent {
    fn of(mut failed: TrySendError<Request<Sending>>) -> Box<Self> {
        let request = failed.take_message().map(|request| request.map(|sending| sending.payload));
        Box::new(Self { error: failed.into_error(), request })
    }
}

/// hyper's half that moves bytes.
struct Driver {
    /// None: it is over, or driven by a task of its own.
    connection: Option<Box<Connection<Aloud, Sending>>>,
    /// Is told that it has more to do.
    moving: Ear,
    /// Is told what it has done.
    waiting: Ear,
}

impl Driver {
    /// Lets it do what it can; the task is woken when the socket lets it do more.
    fn drive(&mut self, cx: &mut Context<'_>) {
        let Some(connection) = &mut self.connection else { return };
        let _task = Told::new(cx.waker().clone());
        self.moving.whisper.hush();
        let polled = Pin::new(connection).poll(&mut Context::from_waker(&self.moving.waker));
        if let Poll::Ready(ended) = polled {
            self.connection = None;
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection to a service ended");
            }
        } else if self.moving.whisper.was_heard() {
            // It has more to do and let others go first.
            cx.waker().wake_by_ref();
        }
    }

    /// Polls what waits for nothing but the driver, which has just been driven or will be.
    fn whisper<T>(&self, cx: &mut Context<'_>, poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        self.waiting.whisper.hush();
        let polled = poll(&mut Context::from_waker(&self.waiting.waker));
        if polled.is_pending() && self.waiting.whisper.was_heard() {
            // Not told by the driver but by the runtime, which wants others to go first.
            cx.waker().wake_by_ref();
        }
        polled
    }

    /// Becomes a task of its own.
    fn go_on_alone(&mut self) {
        if let Some(connection) = self.connection.take() {
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection to a service ended");
                }
            });
        }
    }
}

/// What one of the halves is told.
struct Ear {
    whisper: Arc<Whisper>,
    /// The same as a waker.
    waker: Waker,
}

impl Ear {
    fn new() -> Self {
        let whisper = Arc::<Whisper>::default();
        Self { waker: whisper.clone().into(), whisper }
    }
}

/// Takes wake-ups that are not worth waking a task.
#[derive(Debug, Default)]
struct Whisper(AtomicBool);

impl Whisper {
    fn hush(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    fn was_heard(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Whisper {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

thread_local! {
    /// Whom the outside wakes while a driver is polled.
    static TASK: Cell<Option<Waker>> = const { Cell::new(None) };
}

/// While it lives, the outside wakes this task; then whom it woke before.
struct Told(Option<Waker>);

impl Told {
    fn new(task: Waker) -> Self {
        Self(TASK.replace(Some(task)))
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        TASK.set(self.0.take());
    }
}

/// Polls something outside: it wakes the task, where the driver that polls it whispers.
fn aloud<T>(cx: &mut Context<'_>, poll: impl FnOnce(&mut Context<'_>) -> T) -> T {
    let Some(task) = TASK.take() else { return poll(cx) };
    let polled = poll(&mut Context::from_waker(&task));
    TASK.set(Some(task));
    polled
}

/// A socket that wakes the task.
struct Aloud(TokioIo<Bare>);

impl Read for Aloud {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<std::io::Result<()>> {
        aloud(cx, |cx| Pin::new(&mut self.0).poll_read(cx, buf))
    }
}

impl Write for Aloud {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        aloud(cx, |cx| Pin::new(&mut self.0).poll_write(cx, buf))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        aloud(cx, |cx| Pin::new(&mut self.0).poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        aloud(cx, |cx| Pin::new(&mut self.0).poll_shutdown(cx))
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        aloud(cx, |cx| Pin::new(&mut self.0).poll_write_vectored(cx, bufs))
    }
}

/// A request's body while it is sent.
#[derive(Debug)]
struct Sending {
    payload: Payload,
    /// Shared with whoever wants to know whether a streaming body is still being sent.
    #[expect(dead_code, reason = "that it is there is what it says")]
    held: Option<Arc<()>>,
}

impl Body for Sending {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        aloud(cx, |cx| Pin::new(&mut self.payload).poll_frame(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.payload.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.payload.size_hint()
    }
}
