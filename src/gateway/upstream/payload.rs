//! What goes to a service, and what comes from it.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::attempt::Ticket;
use super::http2::Load;
use super::line::{BrokenOff, Content};
use super::pool::Connection;

/// A request's body.
pub(in crate::gateway) enum Payload {
    /// In memory, so it could be sent twice.
    Whole(Bytes),
    /// As it comes.
    Stream(Body),
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Payload")
    }
}

impl http_body::Body for Payload {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match self.get_mut() {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Stream(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(body) => body.size_hint(),
        }
    }
}

/// What a response comes on.
pub(super) enum Held {
    Alone(Connection),
    Shared(Load),
}

/// A response's body. At its end its connection is free for the next request; where it is not read to its end, the
/// connection goes with it.
pub(super) struct Answer {
    body: Content,
    connection: Option<Connection>,
    /// Its place on a connection that others use, too.
    load: Option<Load>,
    broken: Option<BrokenOff>,
    /// None: it is over, or has broken off.
    ticket: Option<Ticket>,
}

impl Answer {
    pub(super) fn new(body: Content, held: Held, ticket: Ticket) -> Self {
        let (connection, load) = match held {
            Held::Alone(connection) => (Some(connection), None),
            Held::Shared(load) => (None, Some(load)),
        };
        let mut answer = Self { body, connection, load, broken: None, ticket: Some(ticket) };
        answer.release_at_end();
        answer
    }

    fn release_at_end(&mut self) {
        if self.body.is_end_stream() {
            self.release();
        }
    }

    fn release(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.give_back(&self.body);
        }
        (self.ticket, self.load) = (None, None);
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let this = self.get_mut();
        if let Some(error) = this.broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let next = match &mut this.connection {
            Some(connection) => connection.line.poll_body(&mut this.body, cx),
            None => this.body.poll_next(None, cx),
        };
        match &next {
            Poll::Ready(Some(Ok(_))) => this.release_at_end(),
            Poll::Ready(None) => this.release(),
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        if let Poll::Ready(Some(Err(error))) = next {
            // What came before is written first: a caller's connection that hears of a failure writes nothing more.
            (this.connection, this.load, this.broken) = (None, None, Some(error));
            if let Some(ticket) = this.ticket.take() {
                ticket.broken();
            }
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        next
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
