//! Bodies that rules need are read whole, within bounds, and freed from their content codings.
//!
//! Nothing that must be translated ever passes untranslated: what cannot be read is refused.

use std::time::Instant;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body::Body as _;

use super::aside;
use super::body::coding::{Coding, DecodeFault, DecodeLimits, decode, parse_codings};
use super::body::inflow::Inflow;
use super::body::media::Media;
use super::body::{From, StreamFault, begun, collect, find_fault, find_stream_fault};
use super::exchange::Call;
use super::overload::{Full, Held};
use super::streaming::{self, Passing};
use super::translate::busy;
use super::trouble::{Kind, Trouble};
use crate::plan::Exchange;
use crate::plan::wire::media_type;

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
pub(super) async fn receive_request(
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
        Passing::Translated(body) => {
            // They are counted as they come.
            call.facts.change(|known| known.request_bytes = 0);
            return Ok(Received::Translated(Some(body)));
        }
        Passing::Untouched(body) => body,
    };
    let limits = &call.app.settings.limits;
    let mut held = call.app.overload.holding();
    let raw = collect(body, limits.body, call.app.settings.timeouts.body, &mut held).await;
    let raw = raw.map_err(Trouble::from_caller_body)?;
    call.facts.change(|known| known.request_bytes = raw.len() as u64);
    aside::leave(raw.len()).await;
    if raw.is_empty() {
        let writes = matches!(call.parts.method, Method::POST | Method::PUT | Method::PATCH);
        if writes && declared {
            return Err(Trouble::new(Kind::BodyMissing).detail("the body is empty"));
        }
        return Ok(Received::Absent);
    }
    let media = Media::of(headers).filter(|_| exchange.takes_any_request());
    if media.is_none() {
        check_json_type(headers).map_err(|reason| Trouble::new(Kind::UnsupportedType).detail(reason))?;
    }
    let Some(codings) = parse_codings(headers) else {
        return Err(Trouble::new(Kind::UnsupportedCoding)
            .detail("understood are gzip, br, zstd and deflate, at most two of them")
            .header(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, br, zstd, deflate")));
    };
    let decoded = decode_large(call, &raw, &codings).map_err(|fault| match fault {
        DecodeFault::TooLarge => Trouble::new(Kind::BodyTooLarge).detail("without its content coding"),
        DecodeFault::Corrupt => Trouble::new(Kind::CorruptCoding),
    })?;
    let decoded = as_json(media, &raw, decoded)
        .map_err(|()| Trouble::new(Kind::UnsupportedType).detail("the body is not what its Content-Type says"))?;
    hold(call, held, &raw, decoded.as_deref())?;
    Ok(Received::Whole { raw, decoded, codings })
}

/// Counts what a body takes besides its bytes as they came, until its exchange is over: without its coding, and as rules
/// will write it, which is about as much again.
fn hold(call: &Call<'_>, mut held: Held, raw: &[u8], decoded: Option<&[u8]>) -> Result<(), Trouble> {
    let more = decoded.map_or(raw.len(), |text| 2 * text.len());
    held.add(more).map_err(|Full| Trouble::overloaded())?;
    call.facts.change(|known| known.held.push(held));
    Ok(())
}

/// A body as rules see it: forms and texts as JSON. `Err`: it is not what it should be.
fn as_json(media: Option<Media>, raw: &[u8], decoded: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, ()> {
    match media {
        None => Ok(decoded),
        Some(media) => media.read(decoded.as_deref().unwrap_or(raw)).map(Some).ok_or(()),
    }
}

/// `None` where there is nothing to remove.
pub(super) fn decode_large(call: &Call<'_>, raw: &[u8], codings: &[Coding]) -> Result<Option<Vec<u8>>, DecodeFault> {
    if codings.is_empty() {
        return Ok(None);
    }
    let limits = decode_limits(call);
    // A few bytes can become many, so the encoded size says little about the time.
    busy(usize::MAX, || decode(raw, codings, limits)).map(Some)
}

fn decode_limits(call: &Call<'_>) -> DecodeLimits {
    let limits = &call.app.settings.limits;
    DecodeLimits { size: limits.decoded, ratio: limits.ratio }
}

/// What frees a streaming body from its coding, if it has one. `Err`: from what it has, nothing can.
pub(super) fn inflow(call: &Call<'_>, headers: &HeaderMap) -> Result<Option<Inflow>, ()> {
    match parse_codings(headers).as_deref() {
        Some([]) => Ok(None),
        Some([coding]) => Inflow::new(*coding, decode_limits(call)).map(Some).map_err(drop),
        _ => Err(()),
    }
}

/// Whether a body is JSON in UTF-8 by what its sender says of it.
pub(super) fn check_json_type(headers: &HeaderMap) -> Result<(), &'static str> {
    const WANTED: &str = "Content-Type must be application/json or end in +json";
    let value = headers.get(header::CONTENT_TYPE).ok_or(WANTED)?.to_str().map_err(|_| WANTED)?;
    // As nearly all say it.
    if value == "application/json" {
        return Ok(());
    }
    let media_type = media_type(headers);
    let is_json = media_type == "application/json"
        || media_type.split_once('/').is_some_and(|(_, subtype)| subtype.len() > 5 && subtype.ends_with("+json"));
    if !is_json {
        return Err(WANTED);
    }
    let mut parameters = value.split(';').skip(1).filter_map(|part| part.trim().split_once('='));
    match parameters.find(|(name, _)| name.eq_ignore_ascii_case("charset")) {
        Some((_, value)) if !value.trim_matches('"').eq_ignore_ascii_case("utf-8") => Err("JSON is always UTF-8"),
        _ => Ok(()),
    }
}

/// Reads a response's body. An error that is not JSON keeps its status; what should have been JSON breaks the contract.
pub(super) async fn receive_response(
    call: &Call<'_>,
    exchange: &Exchange<'_>,
    status: StatusCode,
    headers: &HeaderMap,
    body: Body,
) -> Result<Received, Trouble> {
    let limits = &call.app.settings.limits;
    if status == StatusCode::PARTIAL_CONTENT {
        // Nobody asked for it, and half a document cannot be translated.
        return Err(Trouble::new(Kind::UpstreamContract).cause("206 though no range was asked for"));
    }
    let from = Instant::now();
    let passing = streaming::begin(call, headers, body, exchange.streams_response(status), From::Service).await;
    let body = match passing.map_err(Trouble::from_service_body)? {
        Passing::Translated(body) => {
            let body = begun(body).await.map_err(|error| match find_fault(&error) {
                Some(fault) => Trouble::from_response(fault),
                None => Trouble::from_service_body(find_stream_fault(&error).unwrap_or(StreamFault::Broken)),
            })?;
            return Ok(Received::Translated(Some(body)));
        }
        Passing::Untouched(body) => body,
    };
    let mut held = call.app.overload.holding();
    let raw = collect(body, limits.body, call.app.settings.timeouts.response_body, &mut held).await;
    call.facts.change(|known| known.upstream += from.elapsed());
    let raw = raw.map_err(Trouble::from_service_body)?;
    aside::leave(raw.len()).await;
    if raw.is_empty() {
        return Ok(Received::Absent);
    }
    let contract = |cause: &str| Trouble::new(Kind::UpstreamContract).cause(cause);
    let media = Media::of(headers).filter(|_| exchange.takes_any_response(status));
    if let (None, Err(reason)) = (media, check_json_type(headers)) {
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
    let decoded = as_json(media, &raw, decoded).map_err(|()| contract("the body is not what its Content-Type says"))?;
    hold(call, held, &raw, decoded.as_deref())?;
    Ok(Received::Whole { raw, decoded, codings })
}
