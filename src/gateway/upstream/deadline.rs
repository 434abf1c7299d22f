//! A body that has to be over at some time.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::gateway::body::StreamFault;

pub(super) struct Until<B> {
    inner: B,
    alarm: Pin<Box<Sleep>>,
}

impl<B> Until<B> {
    pub(super) fn new(inner: B, end: Instant) -> Self {
        Self { inner, alarm: Box::pin(sleep_until(end)) }
    }
}

impl<B> Body for Until<B>
where
    B: Body<Data = Bytes, Error = Box<dyn Error + Send + Sync>> + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        if this.alarm.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(StreamFault::Silent.into())));
        }
        Pin::new(&mut this.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
