//! The commonest exchange with a service, without hyper: a small request, and an answer whose head comes at once and whose
//! body has a known, small length.
//!
//! Whatever is not so simple is left to hyper, which has it from the beginning ([`Rewound`]): other framings, interim
//! answers, old protocols, heads in pieces, requests that are not taken at once, every kind of failure. So nothing is
//! decided here but what cannot be understood in two ways.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use hyper::ext::ReasonPhrase;
use tokio::io::AsyncWrite;

use super::payload::Payload;
use crate::gateway::head;
use crate::gateway::rewound::{Rewound, poll_piece};
use crate::gateway::tls::Stream;

/// Bodies of requests that are sent in one piece with their heads.
const LARGEST_SENT: usize = 16 << 10;
/// Bodies of answers that are read here: hyper reads large ones in larger pieces.
const LARGEST_READ: u64 = 64 << 10;
/// Fields that an answer gets on its way to the caller.
const OWN_FIELDS: usize = 6;

/// A connection to a service.
pub(super) type Bare = Rewound<Stream>;

/// What came of it.
pub(super) enum Tried {
    Answered(Bare, Response<Direct>),
    /// It is hyper's.
    Left(Bare),
}

/// A body of known length: what is here of it, and what the connection still has.
#[derive(Debug)]
pub(super) struct Direct {
    here: Bytes,
    left: u64,
    /// Whether the connection has no more to say afterwards.
    is_last: bool,
}

/// Whether a request could be sent here.
pub(super) fn suits(request: &Request<Payload>) -> bool {
    let Payload::Whole(body) = request.body() else { return false };
    let headers = request.headers();
    body.len() <= LARGEST_SENT
        && *request.method() != Method::CONNECT
        && request.uri().scheme().is_none()
        && request.uri().path_and_query().is_some()
        && !head::has_any(headers, &[header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::UPGRADE])
        && headers.iter().all(|(name, value)| *name != header::CONNECTION || value == "TE")
}

/// Whether an answer that hyper has read could have been read here.
pub(super) fn could_read(headers: &HeaderMap) -> bool {
    !headers.contains_key(header::TRANSFER_ENCODING)
        && headers.get(header::CONTENT_LENGTH).and_then(head::length).is_some_and(|length| length <= LARGEST_READ)
}

/// Whether nothing has come that nobody asked for, and the other end has not closed the connection.
pub(super) fn is_quiet(line: &mut Bare) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    line.now().is_some_and(|stream| poll_piece(stream, &mut cx, usize::MAX).is_pending())
}

/// Sends a request that [`suits`] and reads the head of its answer. A body's length is noted in its headers.
pub(super) async fn exchange(mut line: Bare, request: &mut Request<Payload>) -> Tried {
    let said = write_request(request);
    // What comes before the request is sent answers something else, or says that the connection has ended.
    let before = poll_fn(|cx| Poll::Ready(line.now().map(|stream| poll_piece(stream, cx, usize::MAX)))).await;
    match before {
        Some(Poll::Pending) => {}
        None => return Tried::Left(line),
        Some(Poll::Ready(Ok(heard))) => return Tried::Left(line.rewind(Bytes::new(), heard, None)),
        Some(Poll::Ready(Err(error))) => return Tried::Left(line.rewind(Bytes::new(), Bytes::new(), Some(error))),
    }
    let (taken, is_sent) = poll_fn(|cx| Poll::Ready(say(&mut line, cx, &said))).await;
    if !is_sent {
        let mut said = Bytes::from(said);
        said.truncate(taken);
        return Tried::Left(line.rewind(said, Bytes::new(), None));
    }
    let heard = poll_fn(|cx| match line.now() {
        Some(stream) => poll_piece(stream, cx, usize::MAX),
        None => Poll::Ready(Ok(Bytes::new())),
    });
    match heard.await {
        Ok(heard) => match read_head(&heard, request.method()) {
            Some(response) => Tried::Answered(line, response),
            None => Tried::Left(line.rewind(said.into(), heard, None)),
        },
        Err(error) => Tried::Left(line.rewind(said.into(), Bytes::new(), Some(error))),
    }
}

/// Sends as much as is taken at once: how much that is, and whether all of it is on its way.
fn say(line: &mut Bare, cx: &mut Context<'_>, said: &[u8]) -> (usize, bool) {
    let Poll::Ready(Ok(taken)) = Pin::new(&mut *line).poll_write(cx, said) else { return (0, false) };
    let is_flushed = matches!(Pin::new(line).poll_flush(cx), Poll::Ready(Ok(())));
    (taken, taken == said.len() && is_flushed)
}

/// A request's head and body, byte for byte as hyper writes them.
fn write_request(request: &mut Request<Payload>) -> Vec<u8> {
    let body = match request.body() {
        Payload::Whole(body) => body.clone(),
        Payload::Stream(_) => Bytes::new(),
    };
    if !body.is_empty() {
        request.headers_mut().insert(header::CONTENT_LENGTH, body.len().into());
    }
    let headers = request.headers();
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let method = request.method().as_str();
    let mut said = Vec::with_capacity(method.len() + target.len() + head::size(headers) + body.len() + 16);
    for part in [method.as_bytes(), b" ", target.as_bytes(), b" HTTP/1.1\r\n"] {
        said.extend_from_slice(part);
    }
    head::write(headers, &mut said);
    said.extend_from_slice(b"\r\n");
    said.extend_from_slice(&body);
    said
}

/// The answer that begins here, if it is a simple one.
fn read_head(heard: &Bytes, method: &Method) -> Option<Response<Direct>> {
    let mut fields = [const { MaybeUninit::uninit() }; head::FIELDS];
    let mut read = httparse::Response::new(&mut []);
    let parser = httparse::ParserConfig::default();
    let parsed = parser.parse_response_with_uninit_headers(&mut read, heard, &mut fields);
    let Ok(httparse::Status::Complete(end)) = parsed else { return None };
    let status = StatusCode::from_u16(read.code?).ok().filter(|status| !status.is_informational())?;
    let head::Fields { headers, length, closes } = head::Fields::of(heard, read.headers, OWN_FIELDS)?;
    if read.version != Some(1) {
        return None;
    }
    let has_none = *method == Method::HEAD || head::has_none(status);
    let length = if has_none { 0 } else { length.filter(|length| *length <= LARGEST_READ)? };
    let (mut here, mut is_last) = (heard.slice(end..), closes);
    if here.len() as u64 > length {
        // More than was asked for: whose answer it is, nobody knows.
        here.truncate(usize::try_from(length).ok()?);
        is_last = true;
    }
    let left = length - here.len() as u64;
    let mut response = Response::new(Direct { here, left, is_last });
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    let reason = read.reason.unwrap_or_default();
    if status.canonical_reason() != Some(reason) {
        let reason = ReasonPhrase::try_from(reason.as_bytes().to_vec()).ok()?;
        response.extensions_mut().insert(reason);
    }
    Some(response)
}

impl Direct {
    /// The next piece. None: that was all.
    pub(super) fn poll_next(
        &mut self,
        line: Option<&mut Bare>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Bytes>>> {
        if !self.here.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut self.here))));
        }
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let Some(stream) = line.and_then(Bare::now) else {
            return Poll::Ready(Some(Err(io::ErrorKind::NotConnected.into())));
        };
        let piece = ready!(poll_piece(stream, cx, most))?;
        if piece.is_empty() {
            return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
        }
        self.left = self.left.saturating_sub(piece.len() as u64);
        Poll::Ready(Some(Ok(piece)))
    }

    /// Bytes that are to come.
    pub(super) fn rest(&self) -> u64 {
        self.here.len() as u64 + self.left
    }

    /// Whether the connection has no more to say afterwards.
    pub(super) fn is_last(&self) -> bool {
        self.is_last
    }
}
