//! A request's body that can be sent from its beginning again, as long as little of it has been sent: for requests that a
//! service says it has not looked at.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};

/// What is kept of a body at most.
const LARGEST: usize = 64 << 10;

/// Keeps a body and what has been sent of it.
#[derive(Debug, Clone)]
pub(super) struct Kept(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    body: Body,
    /// None: too much.
    sent: Option<Vec<Piece>>,
    size: usize,
    /// Why it broke off.
    fault: Option<axum::Error>,
    /// Which sending it is: those before it have failed.
    turn: usize,
}

#[derive(Debug, Clone)]
enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
}

impl From<Piece> for Frame<Bytes> {
    fn from(piece: Piece) -> Self {
        match piece {
            Piece::Data(data) => Frame::data(data),
            Piece::Trailers(trailers) => Frame::trailers(trailers),
        }
    }
}

impl Kept {
    pub(super) fn new(body: Body) -> Self {
        Self(Arc::new(Mutex::new(State { body, sent: Some(Vec::new()), size: 0, fault: None, turn: 0 })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it cannot be had from its beginning any more.
    pub(super) fn is_lost(&self) -> bool {
        self.state().sent.is_none()
    }

    /// Why it broke off, if it did.
    pub(super) fn fault(&self) -> Option<axum::Error> {
        self.state().fault.take()
    }

    /// The body from its beginning; what was given before ends. None: it cannot be had any more.
    pub(super) fn whole(&self) -> Option<Replayed> {
        let mut state = self.state();
        let first = state.sent.clone()?.into();
        state.turn += 1;
        Some(Replayed { first, turn: state.turn, kept: self.clone() })
    }
}

/// One sending of a body.
#[derive(Debug)]
pub(super) struct Replayed {
    /// What was sent before, and is to be sent again.
    first: VecDeque<Piece>,
    turn: usize,
    kept: Kept,
}

impl http_body::Body for Replayed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        if let Some(piece) = this.first.pop_front() {
            return Poll::Ready(Some(Ok(piece.into())));
        }
        let mut state = this.kept.state();
        if state.turn != this.turn {
            let over = std::io::Error::other("the body is sent elsewhere");
            return Poll::Ready(Some(Err(axum::Error::new(over))));
        }
        let polled = Pin::new(&mut state.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            state.size += frame.data_ref().map_or(0, Bytes::len);
            let data = frame.data_ref().cloned().map(Piece::Data);
            let piece = data.or_else(|| frame.trailers_ref().cloned().map(Piece::Trailers));
            if state.size > LARGEST {
                state.sent = None;
            } else if let Some(sent) = &mut state.sent {
                sent.extend(piece);
            }
        }
        match polled {
            Poll::Ready(Some(Err(fault))) => {
                // The service is told that nobody wants an answer any more, not that the gateway has failed.
                (state.fault, state.sent) = (Some(fault), None);
                Poll::Ready(Some(Err(axum::Error::new(h2::Error::from(h2::Reason::CANCEL)))))
            }
            other => other,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_empty() && self.kept.state().body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let state = self.kept.state();
        let first: usize =
            self.first.iter().map(|piece| if let Piece::Data(data) = piece { data.len() } else { 0 }).sum();
        match state.body.size_hint().exact() {
            Some(rest) => SizeHint::with_exact(rest + first as u64),
            None => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    struct Pieces(Vec<&'static str>);

    impl http_body::Body for Pieces {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            Poll::Ready(self.0.pop().map(|text| Ok(Frame::data(text.into()))))
        }
    }

    #[tokio::test]
    async fn a_small_body_can_be_sent_again() {
        let kept = Kept::new(Body::new(Pieces(["ef", "cd", "ab"].to_vec())));
        let mut first = kept.whole().unwrap();
        assert_eq!(first.frame().await.unwrap().unwrap().into_data().unwrap(), "ab");
        let mut second = kept.whole().unwrap();
        assert_eq!(second.frame().await.unwrap().unwrap().into_data().unwrap(), "ab");
        assert!(first.frame().await.unwrap().is_err(), "it is over");
        let rest = second.collect().await.unwrap().to_bytes();
        assert_eq!(rest, "cdef");
        assert_eq!(kept.whole().unwrap().collect().await.unwrap().to_bytes(), "abcdef");
    }

    #[tokio::test]
    async fn a_large_one_cannot() {
        let kept = Kept::new(Body::from(vec![0; LARGEST + 1]));
        let first = kept.whole().unwrap();
        assert_eq!(first.collect().await.unwrap().to_bytes().len(), LARGEST + 1);
        assert!(kept.whole().is_none());
    }
}
