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
use super::framing::Framing;
use super::tls::Stream;

/// A caller's connection.
pub(super) struct Wire {
    stream: Stream,
    /// Bytes that were read to tell the protocol.
    before: Bytes,
    framing: Option<Framing>,
    conn: Arc<Conn>,
    write_silence: Duration,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Wire {
    pub(super) fn new(
        stream: Stream,
        before: Bytes,
        framing: Option<Framing>,
        conn: Arc<Conn>,
        write_silence: Duration,
    ) -> Self {
        Self { stream, before, framing, conn, write_silence, alarm: None }
    }

    /// Gives the connection back, for what comes after HTTP.
    pub(super) fn into_stream(self) -> Stream {
        self.stream
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
        } else {
            let taken = this.before.len().min(buf.remaining());
            buf.put_slice(this.before.get(..taken).unwrap_or_default());
            this.before.advance(taken);
        }
        if let Some(framing) = &mut this.framing {
            let conn = &this.conn;
            framing.watch(buf.filled().get(start..).unwrap_or_default(), |verdict| conn.head_ended(verdict));
            if framing.inside_head() {
                conn.head_begun();
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.bounded(cx, polled)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
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
