//! An exchange between two versions: everything that HTTP needs around [`Exchange`]'s pure translation.
//!
//! Nothing that must be translated ever passes untranslated: what cannot be read is refused.

use std::cell::RefCell;
use std::time::Instant;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use tokio::runtime::{Handle, RuntimeFlavor};

use super::aside::LARGE;
use super::asynchronous::follow;
use super::body::coding::{Coding, accepts, content_encoding, encode, readable_accept_encoding};
use super::body::media::Media;
use super::body::records::Framing;
use super::calls;
use super::events::{self, Ended};
use super::exchange::Call;
use super::head;
use super::headers::{add_vary, remove_hop_by_hop, remove_where};
use super::location::relocate;
use super::merge;
use super::receive::{Received, inflow, receive_request, receive_response};
use super::record::Facts;
use super::restate::{restate_request, restate_response};
use super::trouble::{Kind, Trouble};
use super::upstream::Payload;
use crate::plan::wire::{is_json_patch, media_type};
use crate::plan::{BodyOut, Exchange, Limits, NoRoute, RequestIn, RequestOut, ResponseIn, Scratch};

/// Serves a caller of one version by the service of another.
pub(super) async fn translate(call: &Call<'_>, mut headers: HeaderMap, body: Body) -> Result<Response, Trouble> {
    let body = match calls::serve(call, &headers, body).await? {
        calls::Taken::Answered(response) => return Ok(response),
        calls::Taken::Left(body) => body,
    };
    let exchange = find_route(call)?;
    call.facts.change(|known| known.route = Some(exchange.label().to_owned()));
    if let Some(follow) = exchange.follows() {
        return Box::pin(follow::serve(call, follow, headers, body)).await;
    }

    // What the caller's conditions, codings and version header mean to the service.
    let own_bytes =
        !exchange.reads_response_body(StatusCode::OK) && !exchange.reads_response_body(StatusCode::PARTIAL_CONTENT);
    call.representation().unscope_conditions(&mut headers, own_bytes).map_err(|_| {
        Trouble::new(Kind::Precondition).detail("If-Match names no entity tag of this version of the document")
    })?;
    let asked_for = Conditions::of(&headers);
    let accepted = if Framing::is_accepted(&headers) {
        // Documents are translated as they come, so they must come as they are.
        HeaderValue::from_static("identity")
    } else {
        readable_accept_encoding(&call.parts.headers)
    };
    headers.insert(header::ACCEPT_ENCODING, accepted);
    headers.remove(header::CONTENT_LENGTH);
    if exchange.reads_request_body() {
        remove_digests(&mut headers);
    }
    let query = call.target.query.as_deref();
    let query = restate_request(call.service, call.version(call.served), &mut headers, query);
    if exchange.reads_request_body()
        && let Some(framing) = Framing::of(&media_type(&headers))
    {
        return Box::pin(stream(call, &exchange, framing, query, headers, body)).await;
    }

    let mut received = receive_request(call, &exchange, &headers, body).await?;
    let is_patch = received.text().is_some() && is_json_patch(&headers);
    let mut attempt = 1;
    loop {
        let input = request_in(call, query.as_deref(), &headers, &received, is_patch);
        // A patch says itself what it leaves alone.
        let read = if is_patch || !exchange.writes_onto_live() {
            None
        } else {
            let read = compute(&call.worker(), 0, |scratch, limits| exchange.merge_read(&input, scratch, limits));
            read.map_err(Trouble::from_request)?
        };
        let live = match read {
            None => merge::Live::Unneeded,
            Some(read) => {
                let path = read.path.clone();
                match Box::pin(merge::read_live(call, read)).await? {
                    merge::Read::Live(live) => live,
                    // The service will not show the document; what it says instead is the answer.
                    merge::Read::Refused(response) => {
                        let asked = Asked { request: &input, sent: &Method::GET, path: &path };
                        return respond(call, &exchange, &asked, response).await;
                    }
                }
            }
        };
        let out = compute(&call.worker(), received.text().map_or(0, <[u8]>::len), |scratch, limits| {
            let mut out = exchange.request(&input, live.document(), scratch, limits)?;
            if let Some(text) = received.text().filter(|_| is_patch) {
                out.body = BodyOut::Replaced(exchange.patch(text, scratch, limits)?);
            }
            Ok(out)
        });
        let (out, payload) = outgoing(call, out.map_err(Trouble::from_request)?, &mut received)?;
        let RequestOut { method, path, query: sent_query, headers: mut head, .. } = out;
        let guarded = live.guard(&mut head, &asked_for)?;
        let response = call.send(method.clone(), (&path, sent_query.as_deref()), head, payload).await?;
        if guarded && response.status() == StatusCode::PRECONDITION_FAILED {
            // Somebody else wrote between our reading and our writing: look again, but not for ever.
            if attempt == merge::ATTEMPTS {
                return Err(Trouble::new(Kind::Conflict).detail("others kept changing the document; try again"));
            }
            attempt += 1;
            continue;
        }
        let input = request_in(call, query.as_deref(), &headers, &received, is_patch);
        let asked = Asked { request: &input, sent: &method, path: &path };
        return respond(call, &exchange, &asked, response).await;
    }
}

/// What a response answers.
pub(super) struct Asked<'a> {
    /// The request as its caller sent it.
    pub(super) request: &'a RequestIn<'a>,
    /// The method that the service got.
    pub(super) sent: &'a Method,
    /// The path that the service got.
    pub(super) path: &'a str,
}

/// The request as rules see it.
fn request_in<'i>(
    call: &'i Call<'_>,
    query: Option<&'i str>,
    headers: &'i HeaderMap,
    received: &'i Received,
    is_patch: bool,
) -> RequestIn<'i> {
    let body = received.text().filter(|_| !is_patch);
    RequestIn { method: &call.parts.method, path: &call.target.path, query, headers, body }
}

/// A request whose body is a sequence of documents: its head goes on before they have come.
async fn stream(
    call: &Call<'_>,
    exchange: &Exchange<'_>,
    framing: Framing,
    query: Option<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Trouble> {
    let Ok(inflow) = inflow(call, &headers) else {
        let detail = "understood on a stream of documents is one of gzip, br, zstd and deflate";
        return Err(Trouble::new(Kind::UnsupportedCoding).detail(detail));
    };
    let (method, path) = (&call.parts.method, call.target.path.as_str());
    let (asked_query, asked_headers) = (query.clone(), headers.clone());
    let input = RequestIn { method, path, query: query.as_deref(), headers: &headers, body: None };
    let worker = call.worker();
    let out = compute(&worker, 0, |scratch, limits| exchange.request(&input, None, scratch, limits));
    let sent = out.map_err(Trouble::from_request)?;
    let mut ended = Ended::default();
    let mut out = RequestOut {
        method: sent.method.clone(),
        path: sent.path.clone(),
        query: sent.query.clone(),
        headers: sent.headers.clone(),
        body: BodyOut::Unchanged,
    };
    out.headers.remove(header::CONTENT_ENCODING);
    let (out, payload) = outgoing(call, out, &mut Received::Streaming(Some(body)))?;
    let payload = match payload {
        Payload::Whole(bytes) => Payload::Whole(bytes),
        Payload::Stream(body) => {
            let message = events::Message::Request { query, headers, sent: Box::new(sent) };
            let (body, end) = call.stream(worker, framing, message, None).translate(body, inflow);
            ended = end;
            Payload::Stream(body)
        }
    };
    let RequestOut { method, path, query, headers, .. } = out;
    let asked = RequestIn {
        method: &call.parts.method,
        path: &call.target.path,
        query: asked_query.as_deref(),
        headers: &asked_headers,
        body: None,
    };
    match call.send(method.clone(), (&path, query.as_deref()), headers, payload).await {
        Ok(response) => respond(call, exchange, &Asked { request: &asked, sent: &method, path: &path }, response).await,
        // What ended the body is the reason; that the service then heard no more is what followed.
        Err(trouble) => Err(ended.take().unwrap_or(trouble)),
    }
}

/// What was said of the original's bytes is not true of its translation's: digests of a representation are those of the
/// original (RFC 9530), and parts of it mean nothing.
pub(super) fn remove_digests(headers: &mut HeaderMap) {
    remove_where(headers, |name| {
        matches!(name.as_str(), "accept-ranges" | "content-digest" | "content-md5" | "digest" | "repr-digest")
    });
}

/// The caller's own conditions, before anything is added to them.
pub(super) struct Conditions {
    pub(super) if_match: Option<HeaderValue>,
    pub(super) if_none_match: bool,
}

impl Conditions {
    fn of(headers: &HeaderMap) -> Self {
        Self {
            if_match: headers.get(header::IF_MATCH).cloned(),
            if_none_match: headers.contains_key(header::IF_NONE_MATCH),
        }
    }
}

/// The route, by the request's method or, for HEAD, by GET's.
pub(super) fn find_route<'c>(call: &Call<'c>) -> Result<Exchange<'c>, Trouble> {
    let target = (call.target.path.as_str(), call.target.query.as_deref());
    let find = |method: &str| call.service.exchange(call.asked, call.served, method, target);
    let method = &call.parts.method;
    let found = find(method.as_str()).or_else(|none| if *method == Method::HEAD { find("GET") } else { Err(none) });
    found.map(|exchange| call.locate(exchange, None)).map_err(|NoRoute { mut methods }| {
        let detail = format!("{} and {} have no rule for it", call.version(call.asked), call.version(call.served));
        if methods.is_empty() {
            return Trouble::new(Kind::NoRoute).detail(detail);
        }
        if methods.iter().any(|method| method == "GET") {
            methods.push("HEAD".to_owned());
        }
        methods.sort();
        methods.dedup();
        let trouble = Trouble::new(Kind::MethodNotAllowed).detail(detail);
        match HeaderValue::from_str(&methods.join(", ")) {
            Ok(allowed) => trouble.header(header::ALLOW, allowed),
            Err(_) => trouble,
        }
    })
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// What translations of one exchange keep to, and where the time that they take is noted.
#[derive(Debug, Clone)]
pub(super) struct Worker {
    pub(super) limits: Limits,
    pub(super) facts: Facts,
}

/// Runs a translation of about `size` bytes and notes the time it took.
pub(super) fn compute<T>(worker: &Worker, size: usize, work: impl FnOnce(&mut Scratch, Limits) -> T) -> T {
    let begun = Instant::now();
    let done = busy(size, || {
        SCRATCH.with(|scratch| match scratch.try_borrow_mut() {
            Ok(mut scratch) => work(&mut scratch, worker.limits),
            Err(_) => work(&mut Scratch::default(), worker.limits),
        })
    });
    worker.facts.change(|known| {
        known.translating += begun.elapsed();
        if let Some(notes) = &mut known.trace {
            notes.translated(begun);
        }
    });
    done
}

/// Tells the runtime that this thread will be busy for a while, where it can be told.
pub(super) fn busy<T>(size: usize, work: impl FnOnce() -> T) -> T {
    let has_others = || Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
    if size > LARGE && has_others() { tokio::task::block_in_place(work) } else { work() }
}

/// Frames a translated request.
pub(super) fn outgoing(
    call: &Call<'_>,
    mut out: RequestOut,
    received: &mut Received,
) -> Result<(RequestOut, Payload), Trouble> {
    remove_hop_by_hop(&mut out.headers);
    out.headers.remove(header::CONTENT_LENGTH);
    check_head(&out, &call.app.settings.limits)?;
    let body = std::mem::replace(&mut out.body, BodyOut::Unchanged);
    let payload = match (body, received) {
        (BodyOut::Unchanged, Received::Whole { raw, .. }) => Payload::Whole(raw.clone()),
        (BodyOut::Unchanged, Received::Streaming(body)) => call.streamed(&call.parts.headers, taken(body)?),
        (BodyOut::Unchanged, Received::Translated(body)) => Payload::Stream(taken(body)?),
        (BodyOut::Unchanged, Received::Absent) => Payload::Whole(Bytes::new()),
        (BodyOut::Replaced(body), received) => {
            let codings = match received {
                Received::Whole { codings, .. } if !body.is_empty() => codings.as_slice(),
                _ => &[],
            };
            Payload::Whole(encoded(&mut out.headers, body, codings)?)
        }
    };
    Ok((out, payload))
}

/// A body that passes can be sent once.
fn taken(body: &mut Option<Body>) -> Result<Body, Trouble> {
    body.take().ok_or_else(|| Trouble::new(Kind::Internal).cause("a streaming body was needed twice"))
}

/// A head that rules have written keeps the limits that callers' heads have to keep.
pub(super) fn check_head(out: &RequestOut, limits: &crate::settings::Limits) -> Result<(), Trouble> {
    let target = out.path.len() + out.query.as_ref().map_or(0, |query| query.len() + 1);
    if target > limits.uri {
        return Err(Trouble::new(Kind::Value).detail("a value is too long for the service's address"));
    }
    if head::size(&out.headers) > limits.header_bytes || out.headers.len() > limits.header_count {
        return Err(Trouble::new(Kind::Value).detail("a value is too long for a header of the service's"));
    }
    Ok(())
}

/// Puts codings on a body and says so.
fn encoded(headers: &mut HeaderMap, mut body: Vec<u8>, codings: &[Coding]) -> Result<Bytes, Trouble> {
    if let Some(media) = Media::of(headers).filter(|_| !body.is_empty()) {
        let unfit = || Trouble::new(Kind::Value).detail("the body's fields cannot be written as its Content-Type says");
        body = media.write(&body).ok_or_else(unfit)?;
    }
    headers.remove(header::CONTENT_ENCODING);
    if body.is_empty() {
        headers.remove(header::CONTENT_TYPE);
    }
    let Some(value) = content_encoding(codings) else { return Ok(body.into()) };
    headers.insert(header::CONTENT_ENCODING, value);
    let encoded = busy(body.len(), || encode(body, codings));
    encoded.map(Bytes::from).map_err(|error| Trouble::new(Kind::Internal).cause(error))
}

/// Brings the service's response to the caller's version.
pub(super) async fn respond(
    call: &Call<'_>,
    exchange: &Exchange<'_>,
    asked: &Asked<'_>,
    response: Response,
) -> Result<Response, Trouble> {
    // Relative addresses are relative to what was asked for, which is known by now.
    let exchange = &call.locate(exchange.clone(), Some(asked.path));
    let (parts, body) = response.into_parts();
    let mut headers = parts.headers;
    let is_unmodified = parts.status == StatusCode::NOT_MODIFIED;
    // 304 has the headers that 200 would have (RFC 9110, 15.4.5), so it has its rules, too.
    let status = if is_unmodified { StatusCode::OK } else { parts.status };
    let reads = exchange.reads_response_body(status);
    let is_bodiless = *asked.sent == Method::HEAD
        || is_unmodified
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT);
    let framing = Framing::of(&media_type(&headers)).filter(|_| reads && !is_bodiless);
    let mut received = match (is_bodiless, reads && framing.is_none()) {
        (true, _) => Received::Absent,
        (false, false) => Received::Streaming(Some(body)),
        (false, true) => receive_response(call, exchange, status, &headers, body).await?,
    };
    if reads {
        headers.remove(header::CONTENT_LENGTH);
        if framing.is_none() {
            headers.remove(header::TRAILER);
        }
        remove_digests(&mut headers);
    }

    let worker = call.worker();
    let input = ResponseIn { status, headers: &headers, body: received.text() };
    let mut out = compute(&worker, input.body.map_or(0, <[u8]>::len), |scratch, limits| {
        exchange.response(&input, Some(asked.request), scratch, limits).map_err(|fault| Trouble::from_response(&fault))
    })?;
    if out.dropped > 0 {
        call.facts.change(|known| known.dropped_members += out.dropped);
    }
    let answered = if is_unmodified && out.status == StatusCode::OK { parts.status } else { out.status };
    // A stream of documents still needs them: each of its documents is the body of this head.
    let mut final_headers = if framing.is_some() { out.headers.clone() } else { std::mem::take(&mut out.headers) };
    let mut recoded = false;
    let body = match (framing, &mut received) {
        (Some(framing), Received::Streaming(body)) => {
            let body = body.take().unwrap_or_default();
            let unknown = |()| Trouble::new(Kind::UpstreamContract).cause("an unknown content coding");
            let inflow = inflow(call, &headers).map_err(unknown)?;
            if final_headers.remove(header::CONTENT_ENCODING).is_some() {
                add_vary(&mut final_headers, std::iter::once(&header::ACCEPT_ENCODING));
                recoded = true;
            }
            let message = events::Message::Response {
                status,
                headers,
                asked: Box::new(events::Asked::of(asked.request)),
                sent: Box::new(out),
            };
            call.stream(worker, framing, message, Some(asked.path)).translate(body, inflow).0
        }
        (_, received) => {
            let (body, dropped_coding) = answer_body(call, out.body, received, &mut final_headers, is_bodiless)?;
            recoded = dropped_coding;
            body
        }
    };
    let headers = finish(call, asked.path, final_headers, recoded);
    let mut response = Response::new(body);
    *response.status_mut() = answered;
    *response.headers_mut() = headers;
    Ok(response)
}

/// The fields that speak of the caller's version instead of the service's.
pub(super) fn finish(call: &Call<'_>, asked_for: &str, mut headers: HeaderMap, recoded: bool) -> HeaderMap {
    remove_hop_by_hop(&mut headers);
    call.representation().scope_etag(&mut headers, recoded);
    relocate(call, asked_for, &mut headers);
    restate_response(call.service, call.asked, &call.parts.headers, &mut headers);
    headers
}

/// The body that the caller gets, and whether it has lost the codings that it had.
fn answer_body(
    call: &Call<'_>,
    body: BodyOut,
    received: &mut Received,
    headers: &mut HeaderMap,
    is_bodiless: bool,
) -> Result<(Body, bool), Trouble> {
    Ok(match (body, received) {
        (BodyOut::Unchanged, Received::Streaming(body) | Received::Translated(body)) => (taken(body)?, false),
        (BodyOut::Unchanged, Received::Whole { raw, .. }) => (Body::from(raw.clone()), false),
        (BodyOut::Replaced(body), received) if !is_bodiless => {
            headers.remove(header::CONTENT_LENGTH);
            let had = match received {
                Received::Whole { codings, .. } if !body.is_empty() => codings.as_slice(),
                _ => &[],
            };
            // As the service sent it, unless the caller cannot read that.
            let keeps = accepts(&call.parts.headers, had);
            if !had.is_empty() {
                add_vary(headers, std::iter::once(&header::ACCEPT_ENCODING));
            }
            (Body::from(encoded(headers, body, if keeps { had } else { &[] })?), !keeps)
        }
        (BodyOut::Unchanged, Received::Absent) | (BodyOut::Replaced(_), _) => (Body::empty(), false),
    })
}
