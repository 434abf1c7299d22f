//! An exchange between two versions: everything that HTTP needs around [`Exchange`]'s pure translation.
//!
//! Nothing that must be translated ever passes untranslated: what cannot be read is refused.

use std::cell::RefCell;
use std::time::Instant;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_body::Body as _;
use tokio::runtime::{Handle, RuntimeFlavor};

use super::body::coding::{
    Coding, DecodeFault, DecodeLimits, accepts, content_encoding, decode, encode, parse_codings,
    readable_accept_encoding,
};
use super::body::{From, collect};
use super::exchange::Call;
use super::headers::{add_vary, remove_hop_by_hop};
use super::location::relocate;
use super::merge;
use super::restate::{restate_request, restate_response};
use super::streaming::{self, Passing};
use super::trouble::{Kind, Trouble};
use super::upstream::Payload;
use super::validators::{scope_etag, unscope_conditions};
use crate::plan::{BodyOut, Exchange, Limits, NoRoute, RequestIn, RequestOut, ResponseIn, Scratch};

/// Digests of a representation are not those of its translation (RFC 9530), and parts of it mean nothing.
const OF_THE_ORIGINAL: [HeaderName; 5] = [
    header::ACCEPT_RANGES,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("repr-digest"),
];
/// Bodies beyond this are worth telling the runtime that its thread will be busy.
const LARGE: usize = 64 << 10;

/// Serves a caller of one version by the service of another.
pub(super) async fn translate(call: &Call<'_>, mut headers: HeaderMap, body: Body) -> Result<Response, Trouble> {
    let exchange = find_route(call)?;
    call.facts.change(|known| known.route = Some(exchange.label().to_owned()));

    // What the caller's conditions, codings and version header mean to the service.
    unscope_conditions(&mut headers, call.version(call.asked)).map_err(|_| {
        Trouble::new(Kind::Precondition).detail("If-Match names no entity tag of this version of the document")
    })?;
    let asked_for_merge = Conditions::of(&headers);
    headers.insert(header::ACCEPT_ENCODING, readable_accept_encoding(&call.parts.headers));
    headers.remove(header::CONTENT_LENGTH);
    remove_digests(&mut headers);
    let query = call.target.query.as_deref();
    let query = restate_request(call.service, call.version(call.served), &mut headers, query);

    let mut received = receive_request(call, &exchange, &headers, body).await?;
    let mut attempt = 1;
    loop {
        let input = RequestIn {
            method: &call.parts.method,
            path: &call.target.path,
            query: query.as_deref(),
            headers: &headers,
            body: received.text(),
        };
        let read = compute(call, 0, |scratch, limits| {
            exchange.merge_read(&input, scratch, limits).map_err(Trouble::from_request)
        })?;
        let live = match read {
            None => merge::Live::Unneeded,
            Some(read) => match merge::read_live(call, read).await? {
                merge::Read::Live(live) => live,
                // The service will not show the document; what it says instead is the answer.
                merge::Read::Refused(response) => return respond(call, &exchange, response).await,
            },
        };
        let out = compute(call, input.body.map_or(0, <[u8]>::len), |scratch, limits| {
            exchange.request(&input, live.document(), scratch, limits).map_err(Trouble::from_request)
        })?;
        let (out, payload) = outgoing(call, out, &mut received)?;
        let RequestOut { method, path, query, mut headers, .. } = out;
        let guarded = live.guard(&mut headers, &asked_for_merge)?;
        // A HEAD request has the route of GET where rules name no other.
        let method = if call.parts.method == Method::HEAD { Method::HEAD } else { method };
        let response = call.send(method, (&path, query.as_deref()), headers, payload).await?;
        if guarded && response.status() == StatusCode::PRECONDITION_FAILED {
            // Somebody else wrote between our reading and our writing: look again, but not for ever.
            if attempt == merge::ATTEMPTS {
                return Err(Trouble::new(Kind::Conflict).detail("others kept changing the document; try again"));
            }
            attempt += 1;
            continue;
        }
        return respond(call, &exchange, response).await;
    }
}

/// What was said of the original's bytes is not true of its translation's.
fn remove_digests(headers: &mut HeaderMap) {
    for name in OF_THE_ORIGINAL {
        headers.remove(name);
    }
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
    let find = |method: &str| call.service.exchange(call.asked, call.served, method, &call.target.path);
    let method = &call.parts.method;
    let found = find(method.as_str()).or_else(|none| if *method == Method::HEAD { find("GET") } else { Err(none) });
    found.map_err(|NoRoute { mut methods }| {
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

/// A body as it came and, where it had to be read, without its codings.
pub(super) enum Received {
    /// Not read; goes on as it comes. Taken when it is sent.
    Streaming(Option<Body>),
    /// Translated while it passes.
    Translated(Option<Body>),
    /// There is none.
    Absent,
    /// Read.
    Whole { raw: Bytes, decoded: Option<Vec<u8>>, codings: Vec<Coding> },
}

impl Received {
    pub(super) fn text(&self) -> Option<&[u8]> {
        match self {
            Self::Whole { raw, decoded, .. } => Some(decoded.as_deref().unwrap_or(raw)),
            Self::Streaming(_) | Self::Translated(_) | Self::Absent => None,
        }
    }
}

/// Reads the request's body if the rules need it.
async fn receive_request(
    call: &Call<'_>,
    exchange: &Exchange<'_>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Received, Trouble> {
    if !exchange.reads_request_body() {
        return Ok(Received::Streaming(Some(body)));
    }
    let declared = call.parts.headers.contains_key(header::CONTENT_LENGTH)
        || call.parts.headers.contains_key(header::CONTENT_TYPE)
        || !body.is_end_stream();
    let begun = streaming::begin(call, headers, body, exchange.streams_request(), From::Caller).await;
    let body = match begun.map_err(Trouble::from_caller_body)? {
        Passing::Translated(body) => return Ok(Received::Translated(Some(body))),
        Passing::Untouched(body) => body,
    };
    let limits = &call.app.settings.limits;
    let raw = collect(body, limits.body, call.app.settings.timeouts.body).await.map_err(Trouble::from_caller_body)?;
    call.facts.change(|known| known.request_bytes = raw.len() as u64);
    if raw.is_empty() {
        let writes = matches!(call.parts.method, Method::POST | Method::PUT | Method::PATCH);
        if writes && declared {
            return Err(Trouble::new(Kind::BodyMissing).detail("the body is empty"));
        }
        return Ok(Received::Absent);
    }
    check_json_type(headers).map_err(|reason| Trouble::new(Kind::UnsupportedType).detail(reason))?;
    let Some(codings) = parse_codings(headers) else {
        return Err(Trouble::new(Kind::UnsupportedCoding)
            .detail("understood are gzip, br, zstd and deflate, at most two of them")
            .header(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, br, zstd, deflate")));
    };
    let decoded = decode_large(call, &raw, &codings).map_err(|fault| match fault {
        DecodeFault::TooLarge => Trouble::new(Kind::BodyTooLarge).detail("without its content coding"),
        DecodeFault::Corrupt => Trouble::new(Kind::CorruptCoding),
    })?;
    Ok(Received::Whole { raw, decoded, codings })
}

/// `None` where there is nothing to remove.
pub(super) fn decode_large(call: &Call<'_>, raw: &[u8], codings: &[Coding]) -> Result<Option<Vec<u8>>, DecodeFault> {
    if codings.is_empty() {
        return Ok(None);
    }
    let limits = DecodeLimits { size: call.app.settings.limits.decoded, ratio: call.app.settings.limits.ratio };
    // A few bytes can become many, so the encoded size says little about the time.
    busy(usize::MAX, || decode(raw, codings, limits)).map(Some)
}

/// Whether a body is JSON in UTF-8 by what its sender says of it.
pub(super) fn check_json_type(headers: &HeaderMap) -> Result<(), &'static str> {
    const WANTED: &str = "Content-Type must be application/json or end in +json";
    let value = headers.get(header::CONTENT_TYPE).ok_or(WANTED)?.to_str().map_err(|_| WANTED)?;
    let mut parts = value.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
    let is_json = media_type == "application/json"
        || media_type.split_once('/').is_some_and(|(_, subtype)| subtype.len() > 5 && subtype.ends_with("+json"));
    if !is_json {
        return Err(WANTED);
    }
    if media_type == "application/json-patch+json" {
        // Its paths name fields inside strings, where no rule looks: translated as a document it would be a wrong answer.
        return Err("a JSON Patch names fields by their paths, which are not translated; send a JSON Merge Patch");
    }
    let charset = parts.filter_map(|part| part.split_once('=')).find(|(name, _)| name.eq_ignore_ascii_case("charset"));
    match charset {
        Some((_, value)) if !value.trim_matches('"').eq_ignore_ascii_case("utf-8") => Err("JSON is always UTF-8"),
        _ => Ok(()),
    }
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Runs a translation of about `size` bytes and notes the time it took.
fn compute<T>(
    call: &Call<'_>,
    size: usize,
    work: impl FnOnce(&mut Scratch, Limits) -> Result<T, Trouble>,
) -> Result<T, Trouble> {
    let limits = &call.app.settings.limits;
    let limits = Limits { depth: limits.depth, output: limits.translated, ..Limits::default() };
    let begun = Instant::now();
    let done = busy(size, || {
        SCRATCH.with(|scratch| match scratch.try_borrow_mut() {
            Ok(mut scratch) => work(&mut scratch, limits),
            Err(_) => work(&mut Scratch::default(), limits),
        })
    });
    call.facts.change(|known| known.translating += begun.elapsed());
    done
}

/// Tells the runtime that this thread will be busy for a while, where it can be told.
fn busy<T>(size: usize, work: impl FnOnce() -> T) -> T {
    let many_threads = Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
    if size > LARGE && many_threads { tokio::task::block_in_place(work) } else { work() }
}

/// Frames a translated request.
fn outgoing(call: &Call<'_>, mut out: RequestOut, received: &mut Received) -> Result<(RequestOut, Payload), Trouble> {
    remove_hop_by_hop(&mut out.headers);
    out.headers.remove(header::CONTENT_LENGTH);
    check_head(&out, &call.app.settings.limits)?;
    let body = std::mem::replace(&mut out.body, BodyOut::Unchanged);
    let payload = match (body, received) {
        (BodyOut::Unchanged, Received::Whole { raw, .. }) => Payload::Whole(raw.clone()),
        (BodyOut::Unchanged, Received::Streaming(body)) => call.streamed(taken(body)?),
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
fn check_head(out: &RequestOut, limits: &crate::settings::Limits) -> Result<(), Trouble> {
    let target = out.path.len() + out.query.as_ref().map_or(0, |query| query.len() + 1);
    if target > limits.uri {
        return Err(Trouble::new(Kind::Value).detail("a value is too long for the service's address"));
    }
    let bytes: usize = out.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if bytes > limits.header_bytes || out.headers.len() > limits.header_count {
        return Err(Trouble::new(Kind::Value).detail("a value is too long for a header of the service's"));
    }
    Ok(())
}

/// Puts codings on a body and says so.
fn encoded(headers: &mut HeaderMap, body: Vec<u8>, codings: &[Coding]) -> Result<Bytes, Trouble> {
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
async fn respond(call: &Call<'_>, exchange: &Exchange<'_>, response: Response) -> Result<Response, Trouble> {
    let (parts, body) = response.into_parts();
    let (status, mut headers) = (parts.status, parts.headers);
    let reads = exchange.reads_response_body(status);
    let is_bodiless = call.parts.method == Method::HEAD
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED);
    let mut received = match (is_bodiless, reads) {
        (true, _) => Received::Absent,
        (false, false) => Received::Streaming(Some(body)),
        (false, true) => receive_response(call, exchange, status, &headers, body).await?,
    };
    if reads {
        headers.remove(header::CONTENT_LENGTH);
        remove_digests(&mut headers);
    }

    let input = ResponseIn { status, headers: &headers, body: received.text() };
    let out = compute(call, input.body.map_or(0, <[u8]>::len), |scratch, limits| {
        exchange.response(&input, scratch, limits).map_err(|fault| Trouble::from_response(&fault))
    })?;

    if out.dropped > 0 {
        call.facts.change(|known| known.dropped_members += out.dropped);
    }
    let mut headers = out.headers;
    remove_hop_by_hop(&mut headers);
    scope_etag(&mut headers, call.version(call.asked));
    relocate(call, &mut headers);
    restate_response(call.service, call.version(call.asked), &mut headers);
    let body = match (out.body, &mut received) {
        (BodyOut::Unchanged, Received::Streaming(body) | Received::Translated(body)) => taken(body)?,
        (BodyOut::Unchanged, Received::Whole { raw, .. }) => Body::from(raw.clone()),
        (BodyOut::Replaced(body), received) if !is_bodiless => {
            headers.remove(header::CONTENT_LENGTH);
            let had = match received {
                Received::Whole { codings, .. } if !body.is_empty() => codings.as_slice(),
                _ => &[],
            };
            // As the service sent it, unless the caller cannot read that.
            let keeps = accepts(&call.parts.headers, had);
            if !had.is_empty() {
                add_vary(&mut headers, std::iter::once(header::ACCEPT_ENCODING));
            }
            Body::from(encoded(&mut headers, body, if keeps { had } else { &[] })?)
        }
        (BodyOut::Unchanged, Received::Absent) | (BodyOut::Replaced(_), _) => Body::empty(),
    };
    let mut response = Response::new(body);
    *response.status_mut() = out.status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// Reads a response's body. An error that is not JSON keeps its status; what should have been JSON breaks the contract.
async fn receive_response(
    call: &Call<'_>,
    exchange: &Exchange<'_>,
    status: StatusCode,
    headers: &HeaderMap,
    body: Body,
) -> Result<Received, Trouble> {
    let limits = &call.app.settings.limits;
    let begun = Instant::now();
    let passing = streaming::begin(call, headers, body, exchange.streams_response(status), From::Service).await;
    let body = match passing.map_err(Trouble::from_service_body)? {
        Passing::Translated(body) => return Ok(Received::Translated(Some(body))),
        Passing::Untouched(body) => body,
    };
    let raw = collect(body, limits.body, call.app.settings.timeouts.response_body).await;
    call.facts.change(|known| known.upstream += begun.elapsed());
    let raw = raw.map_err(Trouble::from_service_body)?;
    if raw.is_empty() {
        return Ok(Received::Absent);
    }
    let contract = |cause: &str| Trouble::new(Kind::UpstreamContract).cause(cause);
    if let Err(reason) = check_json_type(headers) {
        if !status.is_client_error() && !status.is_server_error() {
            return Err(contract(reason));
        }
        let mut trouble = Trouble::new(Kind::UpstreamError).cause(reason);
        trouble.status = Some(status);
        for name in [header::RETRY_AFTER, header::WWW_AUTHENTICATE, header::ALLOW] {
            trouble.headers.extend(headers.get(&name).cloned().map(|value| (name, value)));
        }
        return Err(trouble);
    }
    let Some(codings) = parse_codings(headers) else { return Err(contract("an unknown content coding")) };
    let decoded = decode_large(call, &raw, &codings).map_err(|fault| match fault {
        DecodeFault::TooLarge => contract("the body without its coding is over the limit"),
        DecodeFault::Corrupt => contract("the body is not what its content coding says"),
    })?;
    Ok(Received::Whole { raw, decoded, codings })
}
