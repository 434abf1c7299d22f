//! A connection to a service over which HTTP/1.1 is spoken, one request after the other: simple exchanges directly
//! ([`direct`]), all others by hyper ([`Http1`]).

use std::error::Error;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::asking::Asking;
use super::direct::{self, Direct, Tried};
use super::http1::Http1;
use crate::gateway::rewound::Rewound;
use crate::gateway::tls::Stream;

/// A connection that is free for a request, or answers one.
pub(super) enum Line {
    Direct(direct::Bare),
    /// Hyper's, and whether its last answer could have been read without it.
    Driven(Http1, bool),
}

/// An answer's body, as whoever has read its head reads it.
pub(super) enum Content {
    Hyper(Incoming),
    Direct(Direct),
}

/// Why there is no answer.
pub(super) struct NoAnswer {
    pub(super) error: hyper::Error,
    /// Whether nothing of the request was sent.
    pub(super) is_unsent: bool,
}

/// Why a body broke off.
#[derive(Debug)]
pub(super) enum BrokenOff {
    Hyper(hyper::Error),
    Read(io::Error),
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Line")
    }
}

impl Line {
    /// Begins to speak HTTP on a new connection.
    pub(super) fn new(stream: Stream) -> Self {
        Self::Direct(Rewound::new(stream))
    }

    /// Looks whether its other end has closed it, or has said what nobody asked for. Tells nobody when it does later.
    pub(super) fn is_open(&mut self) -> bool {
        match self {
            Self::Direct(line) => direct::is_quiet(line),
            Self::Driven(http1, _) => http1.is_open(),
        }
    }

    /// Sends a request and waits for the head of its answer.
    ///
    /// # Errors
    /// hyper's.
    pub(super) async fn exchange(self, asking: &mut Asking) -> Result<(Self, Response<Content>), Box<NoAnswer>> {
        let suits = direct::suits(asking.request());
        let line = match self {
            Self::Driven(http1, could_read) if !(suits && could_read) => Err(http1),
            Self::Driven(http1, _) => http1.into_line(),
            Self::Direct(line) => Ok(line),
        };
        let line = match line {
            Ok(line) => {
                let tried = if suits { direct::exchange(line, asking.request()).await } else { Tried::Left(line) };
                match tried {
                    Tried::Answered(line, response) => return Ok((Self::Direct(line), response.map(Content::Direct))),
                    Tried::Left(line) => Ok(line),
                }
            }
            Err(http1) => Err(http1),
        };
        // Far larger than what a simple exchange needs, and so in a place of its own.
        Box::pin(Self::drive(line, asking, suits)).await
    }

    /// The same by hyper, from the connection's beginning or as it goes on.
    async fn drive(
        line: Result<direct::Bare, Http1>,
        asking: &mut Asking,
        suits: bool,
    ) -> Result<(Self, Response<Content>), Box<NoAnswer>> {
        let mut http1 = match line {
            Err(http1) => http1,
            Ok(line) => {
                let begun = Http1::begin(line).await;
                begun.map_err(|error| Box::new(NoAnswer { error, is_unsent: !suits }))?
            }
        };
        match http1.exchange(asking.take()).await {
            Ok(response) => {
                let could_read = direct::could_read(response.headers());
                Ok((Self::Driven(http1, could_read), response.map(Content::Hyper)))
            }
            Err(unsent) => Err(Box::new(NoAnswer { is_unsent: asking.give_back(unsent.request), error: unsent.error })),
        }
    }

    /// The next piece of an answer's body.
    pub(super) fn poll_body(
        &mut self,
        body: &mut Content,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        match (self, body) {
            (Self::Driven(http1, _), Content::Hyper(body)) => {
                http1.poll_body(body, cx).map(|next| next.map(|next| next.map_err(BrokenOff::Hyper)))
            }
            (Self::Direct(line), body) => body.poll_next(Some(line), cx),
            (Self::Driven(..), body) => body.poll_next(None, cx),
        }
    }

    /// Whether it is free once this answer has been read. One that is still sending goes on by itself until that is done,
    /// and ends.
    pub(super) fn settle(&mut self, body: &Content) -> bool {
        match (self, body) {
            (Self::Driven(http1, _), _) => http1.settle(),
            (Self::Direct(_), Content::Direct(body)) => !body.is_last(),
            (Self::Direct(_), Content::Hyper(_)) => false,
        }
    }
}

impl Content {
    /// The next piece: from a connection, where it is not driven by somebody else or in memory already.
    pub(super) fn poll_next(
        &mut self,
        line: Option<&mut direct::Bare>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        match self {
            Self::Hyper(body) => {
                Pin::new(body).poll_frame(cx).map(|next| next.map(|next| next.map_err(BrokenOff::Hyper)))
            }
            Self::Direct(body) => {
                body.poll_next(line, cx).map(|next| next.map(|next| next.map(Frame::data).map_err(BrokenOff::Read)))
            }
        }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        match self {
            Self::Hyper(body) => body.is_end_stream(),
            Self::Direct(body) => body.rest() == 0,
        }
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        match self {
            Self::Hyper(body) => body.size_hint(),
            Self::Direct(body) => SizeHint::with_exact(body.rest()),
        }
    }
}

impl fmt::Display for BrokenOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the service's answer broke off")
    }
}

impl Error for BrokenOff {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Hyper(error) => Some(error),
            Self::Read(error) => Some(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener};
    use std::thread;

    use http::{HeaderMap, Method, Request};
    use tokio::net::TcpStream;

    use super::super::failure::of_exchange;
    use super::super::payload::Payload;
    use super::super::retry::Failed;
    use super::*;

    /// Answers whose meaning is not for [`direct`] to say, and such as are; `|` is where they are cut into pieces,
    /// and at `!` the connection is closed.
    const ANSWERS: &[&str] = &[
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer: a\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n|hello",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe|l|lo",
        "HTTP/1.1 200 OK\r\nConte|nt-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\n",
        "HTTP/1.1 404 NOT FOUND\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 299 \r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: \"1\"\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello and more",
        "HTTP/1.1 204 No Content\r\n\r\nmore",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell!",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n!",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 4\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\na|b\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX-Sum: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nuntil the end!",
        "HTTP/1.1 200 OK\r\n\r\nuntil the end!",
        "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n|HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nA b: c\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 20 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/2 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "ICY 200 OK\r\n\r\n",
        "!",
    ];

    /// What has come of a request.
    #[derive(Debug, PartialEq)]
    struct Outcome {
        status: u16,
        reason: Option<Vec<u8>>,
        headers: HeaderMap,
        body: Result<Bytes, ()>,
        trailers: Option<HeaderMap>,
        /// Whether the connection takes another request.
        is_free: bool,
    }

    /// A service that answers each request of a connection with these pieces, and tells what it was asked.
    fn serve(answer: &str, requests: usize) -> (SocketAddr, thread::JoinHandle<Vec<u8>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let is_closed = answer.ends_with('!');
        let pieces: Vec<String> = answer.trim_end_matches('!').split('|').map(str::to_owned).collect();
        let served = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_nodelay(true).unwrap();
            let mut asked = Vec::new();
            for number in 1..=requests {
                while asked.windows(4).filter(|four| four == b"\r\n\r\n").count() < number {
                    let mut read = [0; 4096];
                    match stream.read(&mut read) {
                        Ok(0) | Err(_) => return asked,
                        Ok(length) => asked.extend_from_slice(&read[..length]),
                    }
                }
                for piece in &pieces {
                    let _ = stream.write_all(piece.as_bytes());
                    thread::yield_now();
                }
            }
            // Else until the other end does.
            while !is_closed && stream.read(&mut [0; 64]).is_ok_and(|length| length > 0) {}
            asked
        });
        (address, served)
    }

    fn request(method: &Method) -> Request<Payload> {
        let mut request = Request::new(Payload::Whole(Bytes::new()));
        (*request.method_mut(), *request.uri_mut()) = (method.clone(), "/a?b".parse().unwrap());
        request.headers_mut().insert("host", "a".parse().unwrap());
        request.headers_mut().insert("accept", "b".parse().unwrap());
        request
    }

    /// A new connection, on which [`direct`] may try first, or not.
    async fn line(address: SocketAddr, is_direct: bool) -> Line {
        let stream = Stream::Plain(TcpStream::connect(address).await.unwrap());
        if is_direct {
            return Line::new(stream);
        }
        Line::Driven(Http1::begin(Rewound::new(stream)).await.unwrap(), false)
    }

    async fn ask(line: Line, request: Request<Payload>) -> Result<(Line, Outcome), (Failed, bool)> {
        let mut asking = Asking::new(request, false);
        let answered = line.exchange(&mut asking).await;
        let (mut line, response) = answered.map_err(|none| (of_exchange(&none.error), none.is_unsent))?;
        let (head, mut content) = response.into_parts();
        let (mut read, mut trailers, mut is_whole) = (Vec::new(), None, true);
        while let Some(next) = std::future::poll_fn(|cx| line.poll_body(&mut content, cx)).await {
            let Ok(frame) = next else {
                is_whole = false;
                break;
            };
            match frame.into_data() {
                Ok(data) => read.extend_from_slice(&data),
                Err(frame) => trailers = frame.into_trailers().ok(),
            }
        }
        let reason = head.extensions.get::<hyper::ext::ReasonPhrase>().map(|reason| reason.as_bytes().to_vec());
        let body = if is_whole { Ok(read.into()) } else { Err(()) };
        let is_free = is_whole && line.settle(&content) && line.is_open();
        let (status, headers) = (head.status.as_u16(), head.headers);
        Ok((line, Outcome { status, reason, headers, body, trailers, is_free }))
    }

    #[tokio::test]
    async fn answers_mean_what_they_mean_to_hyper() {
        for answer in ANSWERS {
            for method in [Method::GET, Method::HEAD, Method::POST] {
                // Nobody waits for a body after HEAD, so whether a later piece is seen would be chance.
                let answer = if method == Method::HEAD { answer.replace('|', "") } else { (*answer).to_owned() };
                let mut outcomes = Vec::new();
                for is_direct in [true, false] {
                    let (address, served) = serve(&answer, 1);
                    let asked = ask(line(address, is_direct).await, request(&method)).await;
                    let mut outcome = asked.map(|(_, outcome)| outcome);
                    if let (Ok(outcome), true) = (&mut outcome, answer.ends_with('!')) {
                        // Whether that is known already is chance.
                        outcome.is_free = false;
                    }
                    outcomes.push((outcome, served.join().unwrap()));
                }
                assert_eq!(outcomes[0], outcomes[1], "{method} {answer:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_connection_goes_from_one_to_the_other_and_back() {
        for answer in [ANSWERS[0], ANSWERS[23], ANSWERS[25]] {
            let (address, served) = serve(answer, 4);
            let mut line = line(address, true).await;
            for turn in 0..4 {
                let mut request = request(&Method::POST);
                if turn % 2 == 1 {
                    // Not in memory: hyper's.
                    *request.body_mut() = Payload::Stream(axum::body::Body::empty());
                }
                let (next, outcome) = ask(line, request).await.unwrap();
                assert!(outcome.is_free && outcome.body.is_ok(), "{turn} {answer:?} {outcome:?}");
                line = next;
            }
            drop(line);
            assert_eq!(served.join().unwrap().windows(6).filter(|six| six == b"POST /").count(), 4);
        }
    }

    #[tokio::test]
    async fn a_connection_that_has_been_closed_takes_no_request() {
        let answer = format!("{}!", ANSWERS[0]);
        let (address, served) = serve(&answer, 1);
        let (line, outcome) = ask(line(address, true).await, request(&Method::GET)).await.unwrap();
        assert!(outcome.body.is_ok());
        served.join().unwrap();
        // The end has come once it can be seen.
        let Line::Direct(mut bare) = line else { panic!("it was simple") };
        bare.now().unwrap().tcp().readable().await.unwrap();
        let failed = ask(Line::Direct(bare), request(&Method::POST)).await.map(|(_, outcome)| outcome);
        assert_eq!(failed, Err((Failed::Ended, true)), "nothing of it was sent");
    }
}
