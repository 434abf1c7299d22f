//! Simple requests of callers over HTTP/1.1, without hyper: a head that comes in one piece, with the whole of its small body
//! if it has one, and nothing after it; an answer whose length is known and small.
//!
//! Whatever is not so simple is hyper's from its beginning to the end of the connection ([`Rewound`]): bytes that are no
//! request, heads in pieces, bodies in pieces, upgrades, other versions of HTTP, answers that stream. So nothing is decided
//! here but what cannot be understood in two ways; what makes a request one, [`Framing`](super::framing::Framing) has seen
//! before, as it does with all.

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{SystemTime, UNIX_EPOCH};
use std::{future::poll_fn, io};

use axum::body::Body;
use bytes::Bytes;
use http::{Method, Request, Response, Uri, header, response};
use http_body::Body as _;
use hyper::ext::ReasonPhrase;
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;

use super::access_log::push_number;
use super::connection::{Answering, Conn, Protocol, answer, stopped};
use super::head;
use super::head::has_none;
use super::headers::OWN_FIELDS;
use super::rewound::{Rewound, poll_piece};
use super::wire::Wire;
use crate::codecs::http_date;
use crate::settings::{Limits, Timeouts};

/// Answers that are larger are hyper's: it writes them without copying.
const LARGEST: u64 = 64 << 10;
/// What is gathered of an answer before it is written.
const GATHERED: usize = 16 << 10;

/// How it goes on with a connection.
pub(super) enum After<B> {
    /// By hyper; the first request that it reads has this answer already.
    Hyper(Rewound<Wire>, Option<Response<B>>),
    /// Not at all.
    Over(Wire),
    /// Nothing was said for too long.
    Silent(Wire),
}

/// What comes instead of a request.
enum Asked {
    Heard(io::Result<Bytes>),
    Silence,
    Stop,
}

/// Serves simple requests, as long as there are no others.
pub(super) async fn serve<A: Answering>(
    mut wire: Wire,
    conn: &Arc<Conn>,
    answering: &A,
    bounds: &(Limits, Timeouts),
    mut stop: watch::Receiver<bool>,
) -> After<A::Body> {
    let is_stopping = stop.clone();
    let mut stopping = pin!(stopped(&mut stop));
    let mut silence = pin!(conn.silent(&bounds.1));
    // What came of the next request while one was answered.
    let mut early = Bytes::new();
    loop {
        let heard = if early.is_empty() {
            let asked = poll_fn(|cx| {
                if let Poll::Ready(heard) = poll_piece(&mut wire, cx, usize::MAX) {
                    return Poll::Ready(Asked::Heard(heard));
                }
                if silence.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Asked::Silence);
                }
                stopping.as_mut().poll(cx).map(|()| Asked::Stop)
            });
            match asked.await {
                Asked::Heard(Ok(heard)) if !heard.is_empty() => heard,
                Asked::Heard(_) | Asked::Stop => return After::Over(wire),
                Asked::Silence => return After::Silent(wire),
            }
        } else {
            std::mem::take(&mut early)
        };
        let Some((request, closes)) = read_request(&heard, &bounds.0) else {
            return After::Hyper(Rewound::new(wire).rewind(Bytes::new(), heard, None), None);
        };
        let to_head = *request.method() == Method::HEAD;
        let mut answered = answer(conn, answering, Protocol::Http1, bounds, request);
        let response = poll_fn(|cx| {
            if let Poll::Ready(Ok(response)) = Pin::new(&mut answered).poll(cx) {
                return Poll::Ready(Some(response));
            }
            poll_gone(&mut wire, &mut early, cx).map(|()| None)
        });
        let Some(response) = response.await else { return After::Over(wire) };
        drop(answered);
        let Some(simple) = Simple::of(&response).filter(|_| !to_head) else {
            let heard = if early.is_empty() { heard } else { [&*heard, &*early].concat().into() };
            return After::Hyper(Rewound::new(wire).rewind(Bytes::new(), heard, None), Some(response));
        };
        let (parts, body) = response.into_parts();
        let is_last = closes || simple.closes || *is_stopping.borrow();
        let said = write_head(&parts, &simple, is_last);
        let is_whole = say(&mut wire, said, simple.length, body, &mut early).await;
        if is_last || !is_whole {
            return After::Over(wire);
        }
    }
}

/// Whether the caller has gone; what it says meanwhile is kept.
fn poll_gone(wire: &mut Wire, early: &mut Bytes, cx: &mut Context<'_>) -> Poll<()> {
    if !early.is_empty() {
        return Poll::Pending;
    }
    match poll_piece(wire, cx, usize::MAX) {
        Poll::Ready(Ok(heard)) if !heard.is_empty() => {
            *early = heard;
            Poll::Pending
        }
        Poll::Ready(_) => Poll::Ready(()),
        Poll::Pending => Poll::Pending,
    }
}

/// The request that these bytes are, no more and no less, and whether the caller wants its connection closed after it.
fn read_request(heard: &Bytes, limits: &Limits) -> Option<(Request<Body>, bool)> {
    let mut fields = [const { MaybeUninit::uninit() }; head::FIELDS];
    let mut read = httparse::Request::new(&mut []);
    let parser = httparse::ParserConfig::default();
    let parsed = parser.parse_request_with_uninit_headers(&mut read, heard, &mut fields);
    let Ok(httparse::Status::Complete(end)) = parsed else { return None };
    let (method, target) = (Method::from_bytes(read.method?.as_bytes()).ok()?, read.path?);
    let is_known = read.version == Some(1) && method != Method::CONNECT && target.starts_with('/');
    if !is_known || end > limits.header_bytes || read.headers.len() > limits.header_count {
        return None;
    }
    let head::Fields { headers, length, closes } = head::Fields::of(heard, read.headers, OWN_FIELDS)?;
    if head::has_any(&headers, &[header::UPGRADE, header::EXPECT]) {
        return None;
    }
    let body = heard.slice(end..);
    if body.len() as u64 != length.unwrap_or_default() {
        return None;
    }
    let mut request = Request::new(if body.is_empty() { Body::empty() } else { Body::from(body) });
    *request.method_mut() = method;
    *request.uri_mut() = Uri::from_maybe_shared(heard.slice_ref(target.as_bytes())).ok()?;
    *request.headers_mut() = headers;
    Some((request, closes))
}

/// An answer that is a simple one.
struct Simple {
    /// Of its body.
    length: u64,
    /// What its head says itself: that length, when it was given, that the connection ends after it.
    tells_length: bool,
    tells_date: bool,
    closes: bool,
}

impl Simple {
    /// What an answer is, if it is a simple one.
    fn of<B: http_body::Body>(response: &Response<B>) -> Option<Self> {
        let status = response.status();
        let mut simple = Self { length: 0, tells_length: false, tells_date: false, closes: false };
        let mut told = None;
        for (name, value) in response.headers() {
            if *name == header::TRANSFER_ENCODING || *name == header::TRAILER || *name == header::UPGRADE {
                return None;
            } else if *name == header::CONTENT_LENGTH {
                if simple.tells_length {
                    return None;
                }
                (simple.tells_length, told) = (true, head::length(value));
            } else if *name == header::CONNECTION {
                let mut options = value.to_str().into_iter().flat_map(head::elements);
                simple.closes |= options.any(|option| option.eq_ignore_ascii_case("close"));
            }
            simple.tells_date |= *name == header::DATE;
        }
        simple.length = response.body().size_hint().exact().filter(|length| *length <= LARGEST)?;
        let is_so = if has_none(status) {
            simple.length == 0 && !simple.tells_length
        } else {
            !simple.tells_length || told == Some(simple.length)
        };
        (is_so && !status.is_informational()).then_some(simple)
    }
}

fn write_head(head: &response::Parts, simple: &Simple, is_last: bool) -> Vec<u8> {
    let room = usize::try_from(simple.length).unwrap_or(GATHERED).min(GATHERED);
    let mut said = Vec::with_capacity(head::size(&head.headers) + room + 128);
    said.extend_from_slice(b"HTTP/1.1 ");
    said.extend_from_slice(head.status.as_str().as_bytes());
    said.push(b' ');
    let reason = head.extensions.get::<ReasonPhrase>().map(ReasonPhrase::as_bytes);
    said.extend_from_slice(reason.unwrap_or_else(|| head.status.canonical_reason().unwrap_or_default().as_bytes()));
    said.extend_from_slice(b"\r\n");
    head::write(&head.headers, &mut said);
    if !has_none(head.status) && !simple.tells_length {
        said.extend_from_slice(b"content-length: ");
        push_number(&mut said, simple.length, 1);
        said.extend_from_slice(b"\r\n");
    }
    if !simple.tells_date {
        push_date(&mut said);
    }
    if is_last && !simple.closes {
        said.extend_from_slice(b"connection: close\r\n");
    }
    said.extend_from_slice(b"\r\n");
    said
}

/// Writes an answer: its head, and its body as it comes. Whether that was all of it.
async fn say<B>(wire: &mut Wire, mut said: Vec<u8>, length: u64, body: B, early: &mut Bytes) -> bool
where
    B: http_body::Body<Data = Bytes>,
{
    let mut left = length;
    {
        let mut body = pin!(body);
        while left > 0 || !body.is_end_stream() {
            let next = poll_fn(|cx| match body.as_mut().poll_frame(cx) {
                Poll::Ready(next) => Poll::Ready(Some(next)),
                // Nobody waits for what is here already.
                Poll::Pending if left == 0 || !said.is_empty() => Poll::Ready(None),
                Poll::Pending => poll_gone(wire, early, cx).map(|()| Some(None)),
            });
            match next.await {
                Some(Some(Ok(frame))) => {
                    let Some(data) = frame.data_ref() else { continue };
                    let Some(rest) = left.checked_sub(data.len() as u64) else { return false };
                    left = rest;
                    said.extend_from_slice(data);
                    if said.len() <= GATHERED {
                        continue;
                    }
                }
                Some(_) => break,
                None if left == 0 => break,
                None => {}
            }
            if wire.write_all(&said).await.is_err() {
                return false;
            }
            said.clear();
        }
    }
    let is_said = wire.write_all(&said).await.is_ok() && wire.flush().await.is_ok();
    is_said && left == 0
}

thread_local! {
    /// The second that was written last, and how.
    static SECOND: Cell<(u64, [u8; 37])> = const { Cell::new((u64::MAX, [0; 37])) };
}

/// Writes the field that says when an answer was given (RFC 9110, 6.6.1); of those of one second, only the first is worked
/// out.
fn push_date(said: &mut Vec<u8>) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (known, mut line) = SECOND.get();
    if known != now.as_secs() {
        if let Some(written) = date(now.as_secs()) {
            line = written;
        }
        SECOND.set((now.as_secs(), line));
    }
    said.extend_from_slice(&line);
}

/// `date: Sun, 06 Nov 1994 08:49:37 GMT` and the line's end.
fn date(seconds: u64) -> Option<[u8; 37]> {
    format!("date: {}\r\n", http_date(seconds)?).into_bytes().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_http_has_them() {
        for (seconds, expected) in [
            (0, "date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"),
            (784_111_777, "date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"),
            (951_782_400, "date: Tue, 29 Feb 2000 00:00:00 GMT\r\n"),
        ] {
            assert_eq!(date(seconds).unwrap(), *expected.as_bytes());
        }
    }

    #[test]
    fn what_is_not_one_whole_simple_request_is_left() {
        let limits = crate::settings::Settings::load(crate::settings::Sources::default()).unwrap().limits;
        let read = |text: &str| read_request(&Bytes::copy_from_slice(text.as_bytes()), &limits);
        let (request, closes) =
            read("POST /a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: Close\r\n\r\n{}").unwrap();
        assert_eq!((request.uri().to_string(), closes), ("/a?b".to_owned(), true));
        assert_eq!(request.body().size_hint().exact(), Some(2));
        for text in [
            "",
            "GET /a HTTP/1.1\r\nHost: a\r\n",
            "GET /a HTTP/1.1\r\nHost: a\r\n\r\nG",
            "GET /a HTTP/1.0\r\nHost: a\r\n\r\n",
            "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\n{}",
            "POST /a HTTP/1.1\r\nContent-Length: 1\r\n\r\n{}",
            "POST /a HTTP/1.1\r\nContent-Length: +2\r\n\r\n{}",
            "POST /a HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
            "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
            "GET /a HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        ] {
            assert!(read(text).is_none(), "{text:?}");
        }
    }
}
