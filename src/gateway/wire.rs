//! A caller's connection as hyper sees it: every HTTP/1 byte is also shown to [`Framing`], and a caller that does
//! not read is not waited for without end.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::connection::Conn;
use super::frames::{Frames, Seen, Wrong};
use super::framing::Framing;
use super::tls::Stream;

/// A caller's connection.
pub(super) struct Wire {
    stream: Stream,
    /// Bytes that were read to tell the protocol.
    before: Bytes,
    watch: Watch,
    conn: Arc<Conn>,
    write_silence: Duration,
    alarm: Option<Pin<Box<Sleep>>>,
    /// The caller has closed its side: when it will be taken to be gone.
    closed: Option<Pin<Box<Sleep>>>,
}

/// Who else looks at what callers send.
pub(super) enum Watch {
    Http1(Framing),
    Http2(Frames),
}

/// How long a caller that has closed its side, and that nothing is written to meanwhile, is taken to listen still.
const LISTENS: Duration = Duration::from_millis(500);
/// What h2 answers with the end of the connection, for a reason that it tells (RFC 9113, 6.2): headers of no stream.
const NO_STREAM: &[u8] = &[0, 0, 0, 1, 5, 0, 0, 0, 0];
/// The same of a frame that is larger than any may be (4.2).
const TOO_LARGE: &[u8] = &[0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1];

impl Wire {
    pub(super) fn new(stream: Stream, before: Bytes, watch: Watch, conn: Arc<Conn>, write_silence: Duration) -> Self {
        Self { stream, before, watch, conn, write_silence, alarm: None, closed: None }
    }

    /// Gives the connection back, for what comes after HTTP.
    pub(super) fn into_stream(self) -> Stream {
        self.stream
    }

    /// The same, with what was read of it and not given to HTTP.
    pub(super) fn into_parts(self) -> (Stream, Bytes) {
        (self.stream, self.before)
    }

    /// The caller sends no more. Whoever has asked a whole question may have closed half of the connection and listen
    /// still, or have gone: both look the same until something is written. So the end is not told at once.
    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let is_whole = matches!(&self.watch, Watch::Http1(framing) if framing.is_between_requests());
        if !is_whole || !self.conn.is_busy() {
            return Poll::Ready(());
        }
        self.closed.get_or_insert_with(|| Box::pin(tokio::time::sleep(LISTENS))).as_mut().poll(cx)
    }

    /// What was written was taken.
    fn is_heard(&mut self, written: &Poll<io::Result<usize>>) {
        if let (Some(closed), Poll::Ready(Ok(_))) = (&mut self.closed, written) {
            closed.as_mut().reset(Instant::now() + LISTENS);
        }
    }

    /// Waits for a write that is not taken, but not for ever.
    fn bounded<T>(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.alarm = None;
            return polled;
        }
        let silence = self.write_silence;
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + silence)));
        ready!(alarm.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let start = buf.filled().len();
        if this.before.is_empty() {
            ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
            if buf.filled().len() == start {
                return this.poll_closed(cx).map(Ok);
            }
        } else {
            let taken = this.before.len().min(buf.remaining());
            buf.put_slice(this.before.get(..taken).unwrap_or_default());
            this.before.advance(taken);
            if this.before.is_empty() {
                // An empty rest of it would hold all of its memory for as long as the connection lives.
                this.before = Bytes::new();
            }
        }
        let read = buf.filled().get(start..).unwrap_or_default();
        match &mut this.watch {
            Watch::Http1(framing) => {
                let conn = &this.conn;
                framing.watch(read, |verdict| conn.head_ended(verdict));
                if framing.inside_head() {
                    conn.head_begun();
                }
            }
            Watch::Http2(frames) => match frames.watch(read) {
                Seen::Good => {}
                Seen::BadFrom(offset, wrong) => {
                    buf.set_filled(start + offset);
                    buf.put_slice(match wrong {
                        Wrong::Protocol => NO_STREAM,
                        Wrong::Size => TOO_LARGE,
                    });
                }
                Seen::BadBefore => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
            },
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.is_heard(&polled);
        this.bounded(cx, polled)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.is_heard(&polled);
        this.bounded(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_flush(cx);
        this.bounded(cx, polled)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
