//! Large lists: translated while they pass, where the rules allow it.

use axum::body::Body;
use http::HeaderMap;

use super::body::coding::parse_codings;
use super::body::{From, Guarded, StreamFault, Translated, look};
use super::exchange::{Call, documents};
use super::receive::check_json_type;
use super::translate::find_route;
use crate::plan::wire::is_json_patch;
use crate::plan::{Limits, Stream, StreamLimits, Streamed, Unplaced};

/// Bodies up to this are translated whole, so that what is wrong with them is told in a response of its own.
const LARGE: usize = 256 << 10;

/// What becomes of a body that rules translate.
pub(super) enum Passing {
    /// It is translated while it passes.
    Translated(Body),
    /// It is not; this is the body as it was.
    Untouched(Body),
}

/// Whether the request's body may be larger than what is held in memory.
pub(super) fn streams_request(call: &Call<'_>) -> bool {
    call.asked != call.served && find_route(call).is_ok_and(|exchange| exchange.streams_request().is_some())
}

/// Begins to translate a body while it passes, if it can be and is large.
///
/// # Errors
/// Its first bytes cannot be read.
pub(super) async fn begin(
    call: &Call<'_>,
    headers: &HeaderMap,
    body: Body,
    streamed: Option<Streamed>,
    from: From,
) -> Result<Passing, StreamFault> {
    let Some(streamed) = streamed else { return Ok(Passing::Untouched(body)) };
    // A JSON Patch is a list as well, but one of operations.
    let is_document = check_json_type(headers).is_ok() && !is_json_patch(headers);
    let is_plain = is_document && parse_codings(headers).is_some_and(|list| list.is_empty());
    if !is_plain {
        return Ok(Passing::Untouched(body));
    }
    let (limits, timeouts) = (&call.app.settings.limits, &call.app.settings.timeouts);
    let (unplaced, time, silence, rate) = match from {
        From::Caller => (Unplaced::Refuse, timeouts.body, timeouts.body_gap, limits.body_rate),
        From::Service => (Unplaced::Drop, timeouts.response_body, timeouts.stream, 0),
    };
    let (is_large, body) = look(body, LARGE.min(limits.body), time).await?;
    if !is_large {
        return Ok(Passing::Untouched(body));
    }
    let whole = Limits { unplaced, ..documents(limits) };
    let stream = Stream::new(&streamed, StreamLimits { element: limits.body, limits: whole });
    let guarded = Guarded::new(body, limits.streamed as u64, silence).at_least(rate);
    let translated = Translated::new(Body::new(guarded), stream, from, call.facts.clone());
    Ok(Passing::Translated(Body::new(translated)))
}
