//! A body on its way through: bounded in size and silence, with trailers that cannot pass for headers.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, header};
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};

/// Why a body on its way through ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) enum StreamFault {
    /// Over its limit.
    TooLarge,
    /// Nothing came for too long.
    Silent,
    /// Its sender went away or broke its framing.
    Broken,
}

impl fmt::Display for StreamFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "the body is over its limit",
            Self::Silent => "the body's sender is silent",
            Self::Broken => "the body's sender broke off",
        })
    }
}

impl Error for StreamFault {}

/// The fault somewhere in a chain of causes.
pub(in crate::gateway) fn find_stream_fault(error: &(dyn Error + 'static)) -> Option<StreamFault> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(fault) = error.downcast_ref() {
            return Some(*fault);
        }
        next = error.source();
    }
    None
}

/// A body on its way through.
pub(in crate::gateway) struct Guarded<B> {
    inner: B,
    left: u64,
    silence: Duration,
    /// Whether it has been looked at twice in vain, so that it is worth a timer.
    has_waited: bool,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl<B> Guarded<B> {
    /// At most `limit` bytes, and never silent for `silence`.
    pub(in crate::gateway) fn new(inner: B, limit: u64, silence: Duration) -> Self {
        Self { inner, left: limit, silence, has_waited: false, alarm: None }
    }
}

impl<B> http_body::Body for Guarded<B>
where
    B: http_body::Body<Data = Bytes, Error: Error + 'static> + Unpin,
{
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        let Poll::Ready(next) = Pin::new(&mut this.inner).poll_frame(cx) else {
            if !this.has_waited {
                // Most often the next piece is here already and only its connection has to have its turn: after that,
                // one more look, which costs less than a timer.
                this.has_waited = true;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let silence = this.silence;
            let alarm = this.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep(silence)));
            return match alarm.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(Some(Err(StreamFault::Silent.into()))),
                Poll::Pending => Poll::Pending,
            };
        };
        if let Some(alarm) = &mut this.alarm {
            alarm.as_mut().reset(Instant::now() + this.silence);
        }
        Poll::Ready(match next {
            None => None,
            Some(Err(error)) => Some(Err(find_stream_fault(&error).unwrap_or(StreamFault::Broken).into())),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => match this.left.checked_sub(data.len() as u64) {
                    Some(left) => {
                        this.left = left;
                        Some(Ok(Frame::data(data)))
                    }
                    None => Some(Err(StreamFault::TooLarge.into())),
                },
                Err(frame) => frame.into_trailers().ok().map(|trailers| Ok(Frame::trailers(harmless(trailers)))),
            },
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Trailers without the fields that steer framing, routing, identity or the content's form (RFC 9110, 6.5.1).
fn harmless(mut trailers: HeaderMap) -> HeaderMap {
    for name in [
        header::AUTHORIZATION,
        header::CACHE_CONTROL,
        header::CONNECTION,
        header::CONTENT_ENCODING,
        header::CONTENT_LENGTH,
        header::CONTENT_RANGE,
        header::CONTENT_TYPE,
        header::COOKIE,
        header::EXPECT,
        header::FORWARDED,
        header::HOST,
        header::PROXY_AUTHORIZATION,
        header::SET_COOKIE,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        header::WWW_AUTHENTICATE,
    ] {
        trailers.remove(name);
    }
    let managed: Vec<_> = trailers.keys().filter(|name| super::super::headers::is_managed(name)).cloned().collect();
    for name in managed {
        trailers.remove(name);
    }
    trailers
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;

    use axum::body::Body;
    use http_body_util::BodyExt;

    use super::*;

    /// A body of these frames.
    struct Frames(VecDeque<Frame<Bytes>>);

    impl http_body::Body for Frames {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(self.0.pop_front().map(Ok))
        }
    }

    fn body(frames: Vec<Frame<Bytes>>) -> Body {
        Body::new(Frames(frames.into()))
    }

    #[tokio::test]
    async fn a_body_over_its_limit_ends_in_an_error() {
        let frames = || vec![Frame::data(Bytes::from("abc")), Frame::data(Bytes::from("def"))];
        let whole = Guarded::new(body(frames()), 6, Duration::from_secs(9)).collect().await.unwrap().to_bytes();
        assert_eq!(whole, "abcdef");
        let error = Guarded::new(body(frames()), 5, Duration::from_secs(9)).collect().await.unwrap_err();
        assert_eq!(find_stream_fault(&*error), Some(StreamFault::TooLarge));
    }

    #[tokio::test]
    async fn trailers_lose_what_could_pass_for_a_header() {
        let trailers = HeaderMap::from_iter([
            ("x-checksum".parse().unwrap(), "1".parse().unwrap()),
            (header::CONTENT_LENGTH, "1".parse().unwrap()),
            (header::AUTHORIZATION, "x".parse().unwrap()),
            ("x-forwarded-for".parse().unwrap(), "x".parse().unwrap()),
        ]);
        let read = Guarded::new(body(vec![Frame::trailers(trailers)]), 9, Duration::from_secs(9)).collect().await;
        let names: Vec<_> = read.unwrap().trailers().unwrap().keys().map(ToString::to_string).collect();
        assert_eq!(names, ["x-checksum"]);
    }
}
