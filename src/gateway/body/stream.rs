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

use super::super::headers::{remove_where, vouches};

/// Why a body on its way through ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) enum StreamFault {
    /// Over its limit.
    TooLarge,
    /// Nothing came for too long.
    Silent,
    /// Its sender went away or broke its framing.
    Broken,
    /// Other bodies have what memory there is for them.
    NoRoom,
}

impl fmt::Display for StreamFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "the body is over its limit",
            Self::Silent => "the body's sender is silent",
            Self::Broken => "the body's sender broke off",
            Self::NoRoom => "there is no room for the body",
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
    pace: Option<Pace>,
    /// Whether it has been looked at twice in vain, so that it is worth a timer.
    has_waited: bool,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl<B> Guarded<B> {
    /// At most `limit` bytes, and never silent for `silence`.
    pub(in crate::gateway) fn new(inner: B, limit: u64, silence: Duration) -> Self {
        Self { inner, left: limit, silence, pace: None, has_waited: false, alarm: None }
    }

    /// And over every such time of waiting for it, at least `rate` bytes a second; 0: however few.
    pub(in crate::gateway) fn at_least(mut self, rate: usize) -> Self {
        self.pace = (rate > 0).then_some(Pace { rate: rate as u64, bytes: 0, waited: Duration::ZERO, since: None });
        self
    }
}

/// How fast a body comes, as far as that is its sender's doing.
struct Pace {
    /// Bytes a second.
    rate: u64,
    /// Since the last look.
    bytes: u64,
    waited: Duration,
    /// Since when it is waited for.
    since: Option<Instant>,
}

impl Pace {
    fn waits(&mut self) {
        self.since.get_or_insert_with(Instant::now);
    }

    /// Whether what came is enough.
    fn came(&mut self, bytes: usize, window: Duration) -> bool {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        let Some(since) = self.since.take() else { return true };
        self.waited += since.elapsed();
        if self.waited < window {
            return true;
        }
        let wanted = u128::from(self.rate) * self.waited.as_millis() / 1000;
        let is_enough = u128::from(self.bytes) >= wanted;
        (self.bytes, self.waited) = (0, Duration::ZERO);
        is_enough
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
            if let Some(pace) = &mut this.pace {
                pace.waits();
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
                Ok(data) if !this.pace.as_mut().is_none_or(|pace| pace.came(data.len(), this.silence)) => {
                    Some(Err(StreamFault::Silent.into()))
                }
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
    remove_where(&mut trailers, vouches);
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
    async fn a_body_that_drips_ends_in_an_error_but_not_one_that_is_read_slowly() {
        // A byte every ten milliseconds.
        async fn drip(rate: usize, pause: Duration) -> Result<(), StreamFault> {
            let (mut write, read) = tokio::io::duplex(1);
            tokio::spawn(async move {
                for _ in 0..20 {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    if tokio::io::AsyncWriteExt::write_all(&mut write, b"x").await.is_err() {
                        return;
                    }
                }
            });
            let mut body = Guarded::new(Dripping(read), 100, Duration::from_millis(50)).at_least(rate);
            while let Some(frame) = body.frame().await {
                frame.map_err(|error| find_stream_fault(&*error).unwrap())?;
                tokio::time::sleep(pause).await;
            }
            Ok(())
        }
        assert_eq!(drip(1000, Duration::ZERO).await, Err(StreamFault::Silent));
        assert_eq!(drip(1, Duration::ZERO).await, Ok(()));
        assert_eq!(drip(0, Duration::ZERO).await, Ok(()));
        // Nobody waited for it: each piece is there when it is asked for.
        assert_eq!(drip(1 << 20, Duration::from_millis(100)).await, Ok(()));
    }

    struct Dripping(tokio::io::DuplexStream);

    impl http_body::Body for Dripping {
        type Data = Bytes;
        type Error = std::io::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
            let mut byte = [0];
            let mut buffer = tokio::io::ReadBuf::new(&mut byte);
            match tokio::io::AsyncRead::poll_read(Pin::new(&mut self.0), cx, &mut buffer) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Err(error)) => Poll::Ready(Some(Err(error))),
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => Poll::Ready(None),
                Poll::Ready(Ok(())) => Poll::Ready(Some(Ok(Frame::data(Bytes::copy_from_slice(buffer.filled()))))),
            }
        }
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
