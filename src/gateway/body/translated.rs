//! A body that is translated while it passes.

use std::collections::VecDeque;
use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as _, Frame};
use http_body_util::BodyExt;

use super::super::record::Facts;
use super::stream::{StreamFault, find_stream_fault};
use crate::plan::{Fault, Stream};

/// Reads a body's first bytes within `time`: answers whether it has more than `large`, and the body as it was.
///
/// # Errors
/// [`StreamFault`].
pub(in crate::gateway) async fn look(
    mut body: Body,
    large: usize,
    time: Duration,
) -> Result<(bool, Body), StreamFault> {
    let size = body.size_hint();
    if size.lower() > large as u64 || size.upper().is_some_and(|upper| upper <= large as u64) {
        return Ok((size.lower() > large as u64, body));
    }
    let mut first = VecDeque::new();
    let looking = async {
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| find_stream_fault(&error).unwrap_or(StreamFault::Broken))?;
            let Ok(data) = frame.into_data() else { continue };
            length += data.len();
            first.push_back(data);
            if length > large {
                return Ok(true);
            }
        }
        Ok(false)
    };
    let is_large = tokio::time::timeout(time, looking).await.unwrap_or(Err(StreamFault::Silent))?;
    Ok((is_large, Body::new(Resumed { first, rest: body })))
}

/// Reads a body's first piece, so that what is wrong with its beginning can still be told in a response of its own.
/// Answers the body as it was.
///
/// # Errors
/// The body's.
pub(in crate::gateway) async fn begun(mut body: Body) -> Result<Body, axum::Error> {
    let mut first = VecDeque::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            first.push_back(data);
            break;
        }
    }
    Ok(Body::new(Resumed { first, rest: body }))
}

/// A body whose first bytes have been read.
struct Resumed {
    first: VecDeque<Bytes>,
    rest: Body,
}

impl http_body::Body for Resumed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        match this.first.pop_front() {
            Some(data) => Poll::Ready(Some(Ok(Frame::data(data)))),
            None => Pin::new(&mut this.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_empty() && self.rest.is_end_stream()
    }
}

/// Whose body it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) enum From {
    Caller,
    Service,
}

/// A body that is translated while it passes. Its trailers are left out: they may speak of the original's bytes.
///
/// A fault ends it in an error, so that whoever reads it sees a transfer that broke off and never half a document that
/// looks like a whole one.
pub(in crate::gateway) struct Translated {
    inner: Body,
    /// None when it is at its end.
    stream: Option<Stream>,
    from: From,
    facts: Facts,
}

impl Translated {
    pub(in crate::gateway) fn new(inner: Body, stream: Stream, from: From, facts: Facts) -> Self {
        Self { inner, stream: Some(stream), from, facts }
    }

    /// Translates the next piece, or ends the document.
    fn next(&mut self, piece: Option<&[u8]>) -> Result<Vec<u8>, Fault> {
        let mut out = Vec::new();
        let Some(stream) = &mut self.stream else { return Ok(out) };
        let begun = Instant::now();
        let done = match piece {
            Some(piece) => stream.push(piece, &mut out),
            None => stream.finish(&mut out),
        };
        let dropped = stream.dropped();
        if piece.is_none() || done.is_err() {
            self.stream = None;
        }
        self.facts.change(|known| {
            known.translating += begun.elapsed();
            match (self.from, piece) {
                (From::Caller, Some(piece)) => known.request_bytes += piece.len() as u64,
                (From::Service, None) => known.dropped_members += dropped,
                _ => {}
            }
        });
        done.map(|()| out)
    }
}

impl http_body::Body for Translated {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        while this.stream.is_some() {
            let translated = match ready!(Pin::new(&mut this.inner).poll_frame(cx)) {
                Some(Err(error)) => {
                    this.stream = None;
                    return Poll::Ready(Some(Err(error.into())));
                }
                Some(Ok(frame)) => match frame.data_ref() {
                    Some(data) => this.next(Some(data)),
                    None => continue,
                },
                None => this.next(None),
            };
            match translated {
                Ok(out) if out.is_empty() => {}
                Ok(out) => return Poll::Ready(Some(Ok(Frame::data(out.into())))),
                Err(fault) => {
                    if this.from == From::Service {
                        this.facts.change(|known| known.fault = Some("upstream_contract"));
                        tracing::warn!(kind = ?fault.kind, place = fault.place, detail = fault.detail, "a response was broken off");
                    }
                    return Poll::Ready(Some(Err(fault.into())));
                }
            }
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_none()
    }
}

/// The fault of a translation somewhere in a chain of causes.
pub(in crate::gateway) fn find_fault<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e Fault> {
    std::iter::successors(Some(error), |error| (*error).source()).find_map(|error| error.downcast_ref())
}
