//! A connection on which something has happened already, for hyper to have it happen again.
//!
//! [`plain`](super::plain), on the callers' side, and [`direct`](super::upstream), on the services', give up wherever an
//! exchange is not as simple as they hope. hyper then has it from its beginning: what had come comes again, and what hyper
//! writes is compared with what was sent and not sent twice. So there is one reader for all that is not simple.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much is read at once.
const PIECE: usize = 16 << 10;

thread_local! {
    /// What is read goes here, and from here into memory of its own size: a connection that waits needs none.
    static PIECES: RefCell<Vec<u8>> = RefCell::new(vec![0; PIECE]);
}

/// What is there, up to so much. Nothing: the other end says no more.
pub(super) fn poll_piece(
    stream: &mut (impl AsyncRead + Unpin),
    cx: &mut Context<'_>,
    most: usize,
) -> Poll<io::Result<Bytes>> {
    PIECES.with_borrow_mut(|pieces| {
        let most = most.min(pieces.len());
        let mut piece = ReadBuf::new(pieces.get_mut(..most).unwrap_or_default());
        ready!(Pin::new(stream).poll_read(cx, &mut piece))?;
        Poll::Ready(Ok(Bytes::copy_from_slice(piece.filled())))
    })
}

/// A connection, and what of it is to happen again.
pub(super) struct Rewound<S> {
    stream: S,
    again: Option<Box<Again>>,
}

/// What has happened and is to happen again.
#[derive(Default)]
struct Again {
    /// Sent.
    said: Bytes,
    /// Received. It comes after all that was sent.
    heard: Bytes,
    /// How reading failed after that.
    failed: Option<io::Error>,
    /// Who waits until all has been said again.
    reader: Option<Waker>,
}

impl<S> Rewound<S> {
    /// A connection on which nothing is to happen again.
    pub(super) fn new(stream: S) -> Self {
        Self { stream, again: None }
    }

    /// Has this happen again.
    pub(super) fn rewind(mut self, said: Bytes, heard: Bytes, failed: Option<io::Error>) -> Self {
        let is_nothing = said.is_empty() && heard.is_empty() && failed.is_none();
        self.again = (!is_nothing).then(|| Box::new(Again { said, heard, failed, reader: None }));
        self
    }

    /// The connection itself; none: not everything has happened again.
    pub(super) fn now(&mut self) -> Option<&mut S> {
        self.again.is_none().then_some(&mut self.stream)
    }

    /// The connection, and what was heard of it and is not heard again.
    pub(super) fn into_parts(self) -> (S, Bytes) {
        (self.stream, self.again.map(|again| again.heard).unwrap_or_default())
    }

    /// What has been said is said again: how much of it this was.
    fn repeat(&mut self, text: &[u8]) -> io::Result<usize> {
        let Some(again) = &mut self.again else { return Ok(0) };
        let length = text.len().min(again.said.len());
        if again.said.get(..length) != text.get(..length) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a request was not repeated as it was sent"));
        }
        again.said.advance(length);
        if again.said.is_empty()
            && let Some(reader) = again.reader.take()
        {
            reader.wake();
        }
        self.forget();
        Ok(length)
    }

    /// Lets go of what has happened again.
    fn forget(&mut self) {
        if let Some(again) = &self.again
            && again.said.is_empty()
            && again.heard.is_empty()
            && again.failed.is_none()
        {
            self.again = None;
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewound<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let Some(again) = &mut this.again else { return Pin::new(&mut this.stream).poll_read(cx, buf) };
        if !again.said.is_empty() {
            // An answer before its request would be nobody's.
            again.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let taken = again.heard.len().min(buf.remaining());
        buf.put_slice(again.heard.get(..taken).unwrap_or_default());
        again.heard.advance(taken);
        let failed = if taken == 0 { again.failed.take() } else { None };
        let is_over = taken == 0 && failed.is_none();
        this.forget();
        match failed {
            Some(error) => Poll::Ready(Err(error)),
            None if is_over => Pin::new(&mut this.stream).poll_read(cx, buf),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewound<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match this.repeat(buf)? {
            0 => Pin::new(&mut this.stream).poll_write(cx, buf),
            repeated => Poll::Ready(Ok(repeated)),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.again.is_none() {
            return Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        }
        let first = bufs.iter().find(|buf| !buf.is_empty()).map_or(&[][..], |buf| buf);
        Pin::new(this).poll_write(cx, first)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
