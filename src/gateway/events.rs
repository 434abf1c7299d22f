//! Bodies that are a sequence of documents, translated document by document while they stream.
//!
//! The head goes on at once, translated without a body; each document then is translated as the body of that very
//! message. Rules that would carry something from a document into the head cannot be kept, and are refused when one
//! does. A document that cannot be translated ends the stream: nothing passes untranslated. Events tell the caller so in
//! an event of their own; lines of JSON break off, since whoever reads them has no other sign.

use std::error::Error;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use http_body::Frame;

use super::body::StreamFault;
use super::body::coding::DecodeFault;
use super::body::inflow::Inflow;
use super::body::records::{Cutter, Framing, rewrite};
use super::record::Facts;
use super::rescue::problem;
use super::translate::{Worker, compute, remove_digests};
use super::trouble::{Kind, Trouble};
use crate::plan::address::Surroundings;
use crate::plan::{BodyOut, Exchange, Fault, FaultKind, RequestIn, RequestOut, ResponseIn, ResponseOut, ServicePlan};

/// Everything that translating one more document needs, for as long as its stream lives.
pub(super) struct Stream {
    pub(super) service: Arc<ServicePlan>,
    pub(super) asked: usize,
    pub(super) served: usize,
    /// Of the request as the caller sent it: what the route was found by.
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) worker: Worker,
    /// Most bytes of one document.
    pub(super) limit: usize,
    pub(super) framing: Framing,
    pub(super) request_id: String,
    pub(super) surroundings: Surroundings,
    pub(super) message: Message,
}

/// The message whose body it is: as it came, and as its head has gone on.
pub(super) enum Message {
    Request { query: Option<String>, headers: HeaderMap, sent: Box<RequestOut> },
    Response { status: StatusCode, headers: HeaderMap, asked: Box<Asked>, sent: Box<ResponseOut> },
}

/// What a response answers, as its caller sent it, beside what the [`Stream`] has of it.
pub(super) struct Asked {
    query: Option<String>,
    headers: HeaderMap,
    body: Option<Vec<u8>>,
}

impl Asked {
    pub(super) fn of(request: &RequestIn<'_>) -> Self {
        let query = request.query.map(str::to_owned);
        Self { query, headers: request.headers.clone(), body: request.body.map(<[u8]>::to_vec) }
    }
}

/// What ended a stream, for whoever waits for its other end.
#[derive(Debug, Clone, Default)]
pub(super) struct Ended(Arc<Mutex<Option<Trouble>>>);

impl Ended {
    /// What ended it, once.
    pub(super) fn take(&self) -> Option<Trouble> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn set(&self, trouble: Trouble) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(trouble);
    }
}

impl Stream {
    /// The body, translated as it comes, freed from its coding first.
    pub(super) fn translate(self, body: Body, inflow: Option<Inflow>) -> (Body, Ended) {
        let ended = Ended::default();
        let cutter = Cutter::new(self.framing);
        let documents =
            Documents { stream: self, inner: body, inflow, cutter, state: State::Open, ended: ended.clone() };
        (Body::new(documents), ended)
    }

    fn exchange(&self) -> Result<Exchange<'_>, Trouble> {
        let found =
            self.service.exchange(self.asked, self.served, self.method.as_str(), (&self.path, self.query.as_deref()));
        found
            .map(|exchange| exchange.within(&self.surroundings))
            .map_err(|_| Trouble::new(Kind::Internal).cause("the route of a stream is gone"))
    }

    /// Writes one record in the other version.
    fn record(&self, exchange: &Exchange<'_>, record: &[u8], out: &mut Vec<u8>) -> Result<(), Trouble> {
        if record.len() > self.limit {
            return Err(self.too_large());
        }
        rewrite(self.framing, record, out, |text, out| match self.document(exchange, text) {
            Ok(BodyOut::Replaced(document)) => {
                out.extend_from_slice(&document);
                Ok(true)
            }
            Ok(BodyOut::Unchanged) => Ok(false),
            // Events may carry plain words between documents, such as `[DONE]`.
            Err(Fault { kind: FaultKind::Json(_), .. }) if self.framing == Framing::Events && !is_document(text) => {
                Ok(false)
            }
            Err(fault) => Err(match self.message {
                Message::Request { .. } => Trouble::from_request(fault),
                Message::Response { .. } => Trouble::from_response(&fault),
            }),
        })
    }

    fn document(&self, exchange: &Exchange<'_>, text: &[u8]) -> Result<BodyOut, Fault> {
        let other_head = || Fault::new(FaultKind::Guard, "expected a document that changes nothing outside of itself");
        match &self.message {
            Message::Request { query, headers, sent } => {
                let (method, path, query) = (&self.method, self.path.as_str(), query.as_deref());
                let input = RequestIn { method, path, query, headers, body: Some(text) };
                let out = compute(&self.worker, text.len(), |scratch, limits| {
                    exchange.request(&input, None, scratch, limits)
                })?;
                let same = out.path == sent.path && out.query == sent.query && out.headers == sent.headers;
                if same { Ok(out.body) } else { Err(other_head()) }
            }
            Message::Response { status, headers, asked, sent } => {
                let (query, body) = (asked.query.as_deref(), asked.body.as_deref());
                let request =
                    RequestIn { method: &self.method, path: &self.path, query, headers: &asked.headers, body };
                let input = ResponseIn { status: *status, headers, body: Some(text) };
                let out = compute(&self.worker, text.len(), |scratch, limits| {
                    exchange.response(&input, Some(&request), scratch, limits)
                })?;
                if out.dropped > 0 {
                    self.worker.facts.change(|known| known.dropped_members += out.dropped);
                }
                let same = out.status == sent.status && out.headers == sent.headers;
                if same { Ok(out.body) } else { Err(other_head()) }
            }
        }
    }

    fn too_large(&self) -> Trouble {
        match self.message {
            Message::Request { .. } => Trouble::new(Kind::BodyTooLarge).detail("one document of the stream"),
            Message::Response { .. } => Trouble::new(Kind::UpstreamContract).cause("a document is over the limit"),
        }
    }

    fn uncoded(&self, fault: DecodeFault) -> Trouble {
        match (&self.message, fault) {
            (Message::Request { .. }, DecodeFault::Corrupt) => Trouble::new(Kind::CorruptCoding),
            (_, DecodeFault::TooLarge) => self.too_large(),
            (Message::Response { .. }, DecodeFault::Corrupt) => {
                Trouble::new(Kind::UpstreamContract).cause("the stream is not what its content coding says")
            }
        }
    }

    fn note(&self, facts: &Facts, trouble: &Trouble) {
        let (_, code, ..) = trouble.kind.row();
        facts.change(|known| known.fault = Some(code));
        let cause = trouble.cause.as_deref().unwrap_or_default();
        tracing::warn!(request_id = %self.request_id, code, cause, detail = %trouble.detail, "a stream was ended");
    }

    /// What the receiver is told: an event, where there are events.
    fn farewell(&self, trouble: &Trouble) -> Option<Vec<u8>> {
        let told = matches!(self.message, Message::Response { .. }) && self.framing == Framing::Events;
        told.then(|| format!("event: error\ndata: {}\n\n", problem(trouble, &self.request_id)).into_bytes())
    }
}

/// Whether a text means to be a JSON object or array, whatever became of it.
fn is_document(text: &[u8]) -> bool {
    match text.trim_ascii_start() {
        [b'{', ..] => true,
        [b'[', rest @ ..] => matches!(rest.trim_ascii_start().first(), Some(b'{' | b'[' | b'"' | b']' | b'0'..=b'9')),
        _ => false,
    }
}

/// A body on its way between two versions.
struct Documents {
    stream: Stream,
    inner: Body,
    inflow: Option<Inflow>,
    cutter: Cutter,
    state: State,
    ended: Ended,
}

enum State {
    Open,
    /// What came before the fault has been passed on. The sender gets a moment to write it, then breaks off.
    Failing {
        waited: bool,
    },
    /// Only trailers are left.
    Trailing(HeaderMap),
    Over,
}

impl Documents {
    /// Translates whatever is complete. What was written before a fault stands.
    fn translate(&mut self, data: &[u8], at_end: bool, out: &mut Vec<u8>) -> Result<(), Trouble> {
        match &mut self.inflow {
            None => self.cutter.push(data),
            Some(inflow) => {
                let said = inflow.push(data).and_then(|mut said| {
                    if at_end {
                        said.extend(inflow.finish()?);
                    }
                    Ok(said)
                });
                self.cutter.push(&said.map_err(|fault| self.stream.uncoded(fault))?);
            }
        }
        let exchange = self.stream.exchange()?;
        while let Some(record) = self.cutter.cut() {
            self.stream.record(&exchange, record, out)?;
        }
        if at_end && let Some(record) = self.cutter.rest() {
            self.stream.record(&exchange, record, out)?;
        }
        if self.cutter.pending() > self.stream.limit { Err(self.stream.too_large()) } else { Ok(()) }
    }

    /// The next frame, if there is something to pass on.
    fn step(&mut self, data: &[u8], at_end: bool) -> Option<Frame<Bytes>> {
        let mut out = Vec::new();
        if let Err(trouble) = self.translate(data, at_end, &mut out) {
            self.stream.note(&self.stream.worker.facts, &trouble);
            self.state = match self.stream.farewell(&trouble) {
                Some(told) => {
                    out.extend_from_slice(&told);
                    State::Over
                }
                None => State::Failing { waited: false },
            };
            self.ended.set(trouble);
        }
        (!out.is_empty()).then(|| Frame::data(out.into()))
    }
}

impl http_body::Body for Documents {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        loop {
            match std::mem::replace(&mut this.state, State::Over) {
                State::Open => {}
                State::Failing { waited: true } => return Poll::Ready(Some(Err(StreamFault::Broken.into()))),
                State::Failing { waited: false } => {
                    this.state = State::Failing { waited: true };
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                State::Trailing(mut trailers) => {
                    remove_digests(&mut trailers);
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                }
                State::Over => return Poll::Ready(None),
            }
            this.state = State::Open;
            let frame = match ready!(Pin::new(&mut this.inner).poll_frame(cx)) {
                None => {
                    this.state = State::Over;
                    this.step(&[], true)
                }
                Some(Err(error)) => {
                    this.state = State::Over;
                    return Poll::Ready(Some(Err(error.into())));
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => this.step(&data, false),
                    Err(frame) => {
                        this.state = frame.into_trailers().map_or(State::Over, State::Trailing);
                        this.step(&[], true)
                    }
                },
            };
            if let Some(frame) = frame {
                return Poll::Ready(Some(Ok(frame)));
            }
        }
    }
}
