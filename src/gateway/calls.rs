//! An old call that becomes several new ones: sends what the plan says is next, and tells it what came.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::aside;
use super::body::coding::{DecodeFault, parse_codings};
use super::body::collect;
use super::exchange::Call;
use super::headers::remove_hop_by_hop;
use super::receive::decode_large;
use super::restate::{restate_request, restate_response};
use super::translate::{check_head, compute, remove_digests};
use super::trouble::{Kind, Trouble};
use super::upstream::Payload;
use crate::plan::{
    Answer, BodyOut, CallFault, CallOut, Failure, Fan, Next, Progress, RequestIn, ResponseIn, ResponseOut, wire,
};

/// Calls under way at once for one request.
const AT_ONCE: usize = 8;

/// What became of a request.
pub(super) enum Taken {
    /// A route with calls answered it.
    Answered(Response),
    /// No such route is meant by it; its body as it came.
    Left(Body),
}

/// Serves a request by a route with calls, if one is meant by it.
pub(super) async fn serve(call: &Call<'_>, headers: &HeaderMap, body: Body) -> Result<Taken, Trouble> {
    let target = (call.target.path.as_str(), call.target.query.as_deref());
    let fans = call.service.fans(call.asked, call.served, call.parts.method.as_str(), target);
    if fans.is_empty() {
        return Ok(Taken::Left(body));
    }
    let limits = &call.app.settings.limits;
    let mut held = call.app.overload.holding();
    let raw = collect(body, limits.body, call.app.settings.timeouts.body, &mut held).await;
    let raw = raw.map_err(Trouble::from_caller_body)?;
    call.facts.change(|known| {
        known.request_bytes = raw.len() as u64;
        known.held.push(held);
    });
    aside::leave(raw.len()).await;
    let mut headers = headers.clone();
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, identity"));
    remove_digests(&mut headers);
    // Unreadable bodies may be meant for another route: they are refused where one with calls would take them.
    let read = read_body(call, &headers, &raw);
    let document = read.as_ref().ok().and_then(Option::as_deref);
    let request =
        RequestIn { method: &call.parts.method, path: target.0, query: target.1, headers: &headers, body: document };
    let here = call.surroundings(None);
    for fan in fans.into_iter().map(|fan| fan.within(&here)) {
        let begun = compute(&call.worker(), raw.len(), |scratch, limits| fan.begin(&request, scratch, limits));
        let Some(progress) = begun.map_err(trouble)? else { continue };
        read.as_ref().map_err(Clone::clone)?;
        check_conditions(call)?;
        call.facts.change(|known| known.route = Some(fan.label().to_owned()));
        return run(call, &fan, progress).await.map(Taken::Answered);
    }
    Ok(Taken::Left(Body::from(raw)))
}

/// The caller's body as rules see it; nothing where there is none.
fn read_body(call: &Call<'_>, headers: &HeaderMap, raw: &Bytes) -> Result<Option<Vec<u8>>, Trouble> {
    if raw.is_empty() {
        return Ok(None);
    }
    let codings = parse_codings(headers)
        .ok_or_else(|| Trouble::new(Kind::UnsupportedCoding).detail("understood are gzip, br, zstd and deflate"))?;
    let decoded = decode_large(call, raw, &codings).map_err(|fault| match fault {
        DecodeFault::TooLarge => Trouble::new(Kind::BodyTooLarge).detail("without its content coding"),
        DecodeFault::Corrupt => Trouble::new(Kind::CorruptCoding),
    })?;
    let plain = decoded.as_deref().unwrap_or(raw);
    let read = wire::decode(headers, plain).map_err(Trouble::from_request)?;
    let unknown = || Trouble::new(Kind::UnsupportedType).detail("understood are JSON, forms and texts");
    read.map(|text| Some(text.into_owned())).ok_or_else(unknown)
}

/// A condition on one document says nothing of an answer that is made of several: a write that asks for one is refused.
fn check_conditions(call: &Call<'_>) -> Result<(), Trouble> {
    let asks = [header::IF_MATCH, header::IF_NONE_MATCH, header::IF_UNMODIFIED_SINCE]
        .iter()
        .any(|name| call.parts.headers.contains_key(name));
    if asks && !call.parts.method.is_safe() {
        let detail = "several documents take part, so there is none that the condition could be about";
        return Err(Trouble::new(Kind::Precondition).detail(detail));
    }
    Ok(())
}

/// Calls under way.
type Flying<'f> = Vec<Pin<Box<dyn Future<Output = (CallOut, Result<Reply, Trouble>)> + Send + 'f>>>;

/// What came of one.
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Option<Vec<u8>>,
}

async fn run(call: &Call<'_>, fan: &Fan<'_>, mut progress: Progress) -> Result<Response, Trouble> {
    let worker = call.worker();
    let mut flying: Flying<'_> = Vec::new();
    let mut reasons: BTreeMap<String, Trouble> = BTreeMap::new();
    let mut room = call.app.settings.limits.translated;
    loop {
        let next = compute(&worker, 0, |scratch, limits| fan.next(&mut progress, AT_ONCE, scratch, limits));
        match next.map_err(trouble)? {
            Next::Send(calls) => {
                for out in calls {
                    flying.push(Box::pin(make(call, out)));
                }
            }
            Next::Done(response) => return answer(call, response),
            Next::Failed(failure) => return Err(failed(failure, &mut reasons)),
            Next::Wait => {}
        }
        let Some((out, came)) = land(&mut flying).await else {
            return Err(Trouble::new(Kind::Internal).cause("calls wait, and none is under way"));
        };
        let size = came.as_ref().ok().and_then(|reply| reply.body.as_ref()).map_or(0, Vec::len);
        room = room.checked_sub(size).ok_or_else(|| {
            Trouble::new(Kind::UpstreamContract).cause("the answers are together larger than limits.translated")
        })?;
        let is_good = came.as_ref().is_ok_and(|reply| reply.status.is_success());
        call.facts.change(|known| known.called(&out.name, is_good));
        let given = match &came {
            Ok(Reply { status, headers, body }) => {
                Answer::Given(ResponseIn { status: *status, headers, body: body.as_deref() })
            }
            Err(reason) => {
                reasons.insert(out.name.clone(), reason.clone());
                Answer::Missing
            }
        };
        let at = (out.call, out.item);
        let noted = compute(&worker, size, |scratch, limits| fan.answer(&mut progress, at, given, scratch, limits));
        noted.map_err(trouble)?;
    }
}

/// Waits for the first of the calls under way.
async fn land(flying: &mut Flying<'_>) -> Option<(CallOut, Result<Reply, Trouble>)> {
    if flying.is_empty() {
        return None;
    }
    let (index, came) = poll_fn(|context| {
        for (index, one) in flying.iter_mut().enumerate() {
            if let Poll::Ready(came) = one.as_mut().poll(context) {
                return Poll::Ready((index, came));
            }
        }
        Poll::Pending
    })
    .await;
    drop(flying.swap_remove(index));
    Some(came)
}

/// Makes one call, within its time.
async fn make(call: &Call<'_>, out: CallOut) -> (CallOut, Result<Reply, Trouble>) {
    let time = out.timeout.unwrap_or(Duration::MAX);
    let came = tokio::time::timeout(time, send(call, &out)).await;
    let late = |_| Trouble::new(Kind::UpstreamTimeout).cause(format!("the call `{}` took too long", out.name));
    let came = came.map_err(late).and_then(|came| came);
    (out, came)
}

async fn send(call: &Call<'_>, out: &CallOut) -> Result<Reply, Trouble> {
    let request = &out.request;
    let mut headers = request.headers.clone();
    remove_hop_by_hop(&mut headers);
    headers.remove(header::CONTENT_LENGTH);
    check_head(request, &call.app.settings.limits)?;
    let query = restate_request(call.service, call.version(call.served), &mut headers, request.query.as_deref());
    let body = match &request.body {
        BodyOut::Replaced(body) => wire::encode(&headers, body.clone()).map_err(Trouble::from_request)?,
        BodyOut::Unchanged => Vec::new(),
    };
    let target = (request.path.as_str(), query.as_deref());
    let response = call.send(request.method.clone(), target, headers, Payload::Whole(body.into())).await?;
    let (parts, body) = response.into_parts();
    let settings = &call.app.settings;
    let mut held = call.app.overload.holding();
    let raw = collect(body, settings.limits.body, settings.timeouts.response_body, &mut held).await;
    let raw = raw.map_err(Trouble::from_service_body)?;
    // Answers of several calls wait for the last of them.
    call.facts.change(|known| known.held.push(held));
    aside::leave(raw.len()).await;
    let contract =
        |cause: &str| Trouble::new(Kind::UpstreamContract).cause(format!("the answer to `{}`: {cause}", out.name));
    let mut headers = parts.headers;
    let codings = parse_codings(&headers).ok_or_else(|| contract("an unknown content coding"))?;
    let decoded = decode_large(call, &raw, &codings).map_err(|_| contract("cannot be decoded"))?;
    headers.remove(header::CONTENT_ENCODING);
    let plain = decoded.as_deref().unwrap_or(&raw);
    let document = if plain.is_empty() || request.method == Method::HEAD {
        None
    } else {
        let read = wire::decode(&headers, plain).map_err(|_| contract("not text in UTF-8"))?;
        // An error's page may be anything; its status says enough.
        read.filter(|text| parts.status.is_success() || crate::json::Tree::parse(text, crate::json::MAX_DEPTH).is_ok())
    };
    Ok(Reply { status: parts.status, headers, body: document.map(std::borrow::Cow::into_owned) })
}

/// The caller's response.
fn answer(call: &Call<'_>, out: ResponseOut) -> Result<Response, Trouble> {
    let ResponseOut { status, mut headers, body, dropped } = out;
    if dropped > 0 {
        call.facts.change(|known| known.dropped_members += dropped);
    }
    let body = match body {
        BodyOut::Replaced(body) => body,
        BodyOut::Unchanged => Vec::new(),
    };
    let contract = |fault: crate::plan::Fault| Trouble::from_response(&fault);
    let body = wire::encode(&headers, body).map_err(contract)?;
    remove_hop_by_hop(&mut headers);
    headers.remove(header::CONTENT_LENGTH);
    restate_response(call.service, call.asked, &call.parts.headers, &mut headers);
    let is_bodiless = call.parts.method == Method::HEAD
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED);
    let mut response = Response::new(if is_bodiless { Body::empty() } else { Body::from(body) });
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// A call failed, and no rules say what the caller gets then.
fn failed(failure: Failure, reasons: &mut BTreeMap<String, Trouble>) -> Trouble {
    let detail = failure.to_string();
    let reason = failure.call.and_then(|call| reasons.remove(&call));
    match (reason, failure.status) {
        (Some(reason), None) => reason.detail(detail),
        _ => Trouble::new(Kind::UpstreamError).cause(&detail).detail(detail),
    }
}

fn trouble(fault: CallFault) -> Trouble {
    if fault.is_service { Trouble::from_response(&fault.fault) } else { Trouble::from_request(fault.fault) }
}
