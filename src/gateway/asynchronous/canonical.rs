//! A request in the terms that it is kept in, and what tells it from another with the same key.

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use sha2::{Digest, Sha256};

use super::order::{Address, Order};
use crate::gateway::aside;
use crate::gateway::body::coding::{DecodeFault, parse_codings};
use crate::gateway::body::collect;
use crate::gateway::body::records::Framing;
use crate::gateway::exchange::Call;
use crate::gateway::receive::{decode_large, receive_request};
use crate::gateway::restate::restate_request;
use crate::gateway::translate::{compute, find_route, outgoing, remove_digests};
use crate::gateway::trouble::{Kind, Trouble};
use crate::gateway::upstream::Payload;
use crate::json::{self, Tree, TreeKind};
use crate::plan::wire::{is_json_patch, media_type};
use crate::plan::{BodyOut, RequestIn};

/// A request that was read whole.
pub(in crate::gateway) struct Read {
    pub(in crate::gateway) headers: HeaderMap,
    pub(in crate::gateway) raw: Bytes,
}

/// Reads a request whole.
///
/// # Errors
/// It is larger than what can be kept, or breaks off.
pub(in crate::gateway) async fn read(call: &Call<'_>, headers: HeaderMap, body: Body) -> Result<Read, Trouble> {
    let (limit, time) = (call.app.settings.limits.body, call.app.settings.timeouts.body);
    let mut held = call.app.overload.holding();
    let raw = collect(body, limit, time, &mut held).await.map_err(Trouble::from_caller_body)?;
    call.facts.change(|known| {
        known.request_bytes = raw.len() as u64;
        known.held.push(held);
    });
    aside::leave(raw.len()).await;
    Ok(Read { headers, raw })
}

/// The request as it is carried out.
///
/// # Errors
/// It cannot be translated: better now than later, when nobody listens.
pub(in crate::gateway) async fn order(call: &Call<'_>, read: &Read) -> Result<Order, Trouble> {
    let translated = translated(call, read, false).await?;
    Ok(ordered(call, read, translated))
}

/// The request in the terms of a version between its caller's and the one that answers.
///
/// # Errors
/// It cannot be translated.
pub(in crate::gateway) async fn order_in(call: &Call<'_>, version: usize, read: &Read) -> Result<Order, Trouble> {
    let between = Call { served: version, route: call.route, ..*call };
    let translated = translated(&between, read, true).await?;
    // As it was sent it would come to the same route again.
    let detail = "a stream or a patch cannot be sent to a service that is waited for";
    let translated = translated.ok_or_else(|| Trouble::new(Kind::UnsupportedType).detail(detail))?;
    Ok(ordered(call, read, Some(translated)))
}

/// The request in the terms of the version that its message is written in, and without content codings.
///
/// # Errors
/// It cannot be translated to that version, or its coding cannot be read.
pub(in crate::gateway) async fn order_written(call: &Call<'_>, version: usize, read: &Read) -> Result<Order, Trouble> {
    let writing = Call { served: version, route: call.route, ..*call };
    let translated = translated(&writing, read, false).await?;
    if translated.is_none() && call.asked != version {
        let detail = "a stream, a patch, or what becomes several calls cannot become a message";
        return Err(Trouble::new(Kind::UnsupportedType).detail(detail));
    }
    let mut order = ordered(&writing, read, translated);
    let mut headers = order.headers();
    let Some(codings) = parse_codings(&headers) else { return Err(Trouble::new(Kind::UnsupportedCoding)) };
    let decoded = decode_large(call, &order.body, &codings).map_err(|fault| match fault {
        DecodeFault::TooLarge => Trouble::new(Kind::BodyTooLarge).detail("without its content coding"),
        DecodeFault::Corrupt => Trouble::new(Kind::CorruptCoding),
    })?;
    if let Some(decoded) = decoded {
        order.body = decoded.into();
        headers.remove(header::CONTENT_ENCODING);
        order = order.with_fields(&headers);
    }
    Ok(order)
}

type Translated = (Address, HeaderMap, Bytes);

fn ordered(call: &Call<'_>, read: &Read, translated: Option<Translated>) -> Order {
    let from = Address {
        version: call.version(call.asked).to_owned(),
        method: call.parts.method.as_str().to_owned(),
        path: call.target.path.clone(),
        query: call.target.query.clone(),
    };
    let (to, mut headers, body) = match translated {
        Some(translated) => translated,
        None => (from.clone(), read.headers.clone(), read.raw.clone()),
    };
    headers.remove(header::CONTENT_LENGTH);
    // What is kept can be read by whoever asks for it.
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let secured = call.route.caller.secured.as_ref();
    let certificate = secured.and_then(|one| one.certificate.as_ref()).map(|value| value.as_bytes().to_vec());
    let order = Order::new(
        &call.service.name,
        call.version(call.served),
        from,
        to,
        body,
        (call.target.authority.clone(), call.target.host.clone()),
        (call.route.caller.peer, secured.is_some(), certificate),
        (call.identity.request.clone(), call.identity.trace.clone()),
    );
    order.with_fields(&headers)
}

/// The request in the terms of the version that answers; none where more than one translation leads there.
async fn translated(call: &Call<'_>, read: &Read, follows: bool) -> Result<Option<Translated>, Trouble> {
    let target = (call.target.path.as_str(), call.target.query.as_deref());
    let method = &call.parts.method;
    if call.asked == call.served
        || !call.service.fans(call.asked, call.served, method.as_str(), target).is_empty()
        || is_json_patch(&read.headers)
    {
        return Ok(None);
    }
    let exchange = find_route(call)?;
    call.facts.change(|known| known.route = Some(exchange.label().to_owned()));
    let mut headers = read.headers.clone();
    let streams = exchange.reads_request_body() && Framing::of(&media_type(&headers)).is_some();
    if streams || exchange.writes_onto_live() || (exchange.follows().is_some() && !follows) {
        return Ok(None);
    }
    call.representation().unscope_conditions(&mut headers, false).map_err(|_| {
        Trouble::new(Kind::Precondition).detail("If-Match names no entity tag of this version of the document")
    })?;
    headers.remove(header::CONTENT_LENGTH);
    if exchange.reads_request_body() {
        remove_digests(&mut headers);
    }
    let query = restate_request(call.service, call.version(call.served), &mut headers, target.1);
    let mut received = receive_request(call, &exchange, &headers, Body::from(read.raw.clone())).await?;
    let input = RequestIn { method, path: target.0, query: query.as_deref(), headers: &headers, body: received.text() };
    let size = input.body.map_or(0, <[u8]>::len);
    let out = compute(&call.worker(), size, |scratch, limits| exchange.request(&input, None, scratch, limits));
    let (out, payload) = outgoing(call, out.map_err(Trouble::from_request)?, &mut received)?;
    let body = match payload {
        Payload::Whole(bytes) => bytes,
        Payload::Stream(body) => {
            let (limit, time) = (call.app.settings.limits.translated, call.app.settings.timeouts.body);
            let mut held = call.app.overload.holding();
            let raw = collect(body, limit, time, &mut held).await.map_err(Trouble::from_caller_body)?;
            call.facts.change(|known| known.held.push(held));
            raw
        }
    };
    let to = Address {
        version: call.version(call.served).to_owned(),
        method: out.method.as_str().to_owned(),
        path: out.path,
        query: out.query,
    };
    Ok(Some((to, out.headers, body)))
}

/// What a key belongs to and what it stands for, in the newest version's terms: the same for callers of every version.
pub(in crate::gateway) struct Meaning {
    /// The request's route.
    pub(in crate::gateway) route: String,
    /// Of all that the service is told to do.
    pub(in crate::gateway) fingerprint: [u8; 32],
}

/// A request's meaning. Where rules alone do not lead to the newest version it is in its caller's terms.
pub(in crate::gateway) fn meaning(call: &Call<'_>, read: &Read) -> Meaning {
    let (service, newest) = (call.service, call.service.newest());
    let (method, path) = (&call.parts.method, call.target.path.as_str());
    let query = call.target.query.as_deref();
    let decoded =
        parse_codings(&read.headers).and_then(|codings| decode_large(call, &read.raw, &codings).ok()).flatten();
    let body = decoded.as_deref().unwrap_or(&read.raw);
    let own = || {
        let route = service.operation(call.asked, method.as_str(), (path, query));
        route.map_or_else(|| format!("{method} {path}"), str::to_owned)
    };
    if call.asked != newest
        && !is_json_patch(&read.headers)
        && let Ok(exchange) = service.exchange(call.asked, newest, method.as_str(), (path, query))
    {
        let mut headers = read.headers.clone();
        let query = restate_request(service, call.version(newest), &mut headers, query);
        let body_in = Some(body).filter(|body| exchange.reads_request_body() && !body.is_empty());
        let input = RequestIn { method, path, query: query.as_deref(), headers: &headers, body: body_in };
        let out =
            compute(&call.worker(), body.len(), |scratch, limits| exchange.request(&input, None, scratch, limits));
        if let (Ok(out), Some(template)) = (out, exchange.served_template()) {
            let route = if template.method == "*" { format!("{method} {path}") } else { template.to_string() };
            let replaced = match &out.body {
                BodyOut::Replaced(replaced) => replaced.as_slice(),
                BodyOut::Unchanged => body,
            };
            let parts = [out.method.as_str(), &out.path, &sorted(out.query.as_deref())];
            return Meaning { route, fingerprint: digest(call, newest, parts, replaced) };
        }
    }
    let parts = [method.as_str(), path, &sorted(restated(call, query).as_deref())];
    Meaning { route: own(), fingerprint: digest(call, call.asked, parts, body) }
}

/// A query that names a version names it by its name.
fn restated(call: &Call<'_>, query: Option<&str>) -> Option<String> {
    query.map(|query| call.service.restate_address(call.version(call.asked), query))
}

/// A query's parameters in one order; those of one name keep theirs.
fn sorted(query: Option<&str>) -> String {
    let mut pairs: Vec<&str> = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).collect();
    pairs.sort_by_key(|pair| pair.split('=').next().unwrap_or_default().to_owned());
    pairs.join("&")
}

fn digest(call: &Call<'_>, version: usize, parts: [&str; 3], body: &[u8]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for part in std::iter::once(&call.version(version)).chain(&parts) {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    if let Ok(tree) = Tree::parse_within(body, json::MAX_DEPTH, call.app.settings.limits.nodes) {
        digest.update(b"j");
        add(&tree, &mut digest);
    } else {
        digest.update(b"b");
        digest.update(body);
    }
    digest.finalize().into()
}

/// A document without its white space, escapes and order of members: writers of one meaning differ in those.
fn add(tree: &Tree<'_>, digest: &mut Sha256) {
    let text = |text: &str, digest: &mut Sha256| {
        digest.update((text.len() as u64).to_be_bytes());
        digest.update(text);
    };
    match &tree.kind {
        TreeKind::Null => digest.update(b"n"),
        TreeKind::Bool(value) => digest.update(if *value { b"t" } else { b"f" }),
        TreeKind::Number => {
            digest.update(b"#");
            match tree.number() {
                Some(number) => text(&format!("{number:?}"), digest),
                None => digest.update(tree.raw),
            }
        }
        TreeKind::String => {
            digest.update(b"\"");
            text(&tree.text().unwrap_or_default(), digest);
        }
        TreeKind::Array(elements) => {
            digest.update(b"[");
            for one in elements {
                add(one, digest);
            }
            digest.update(b"]");
        }
        TreeKind::Object(members) => {
            digest.update(b"{");
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by(|(a, _), (b, _)| a.cmp(b));
            for (name, value) in members {
                text(name, digest);
                add(value, digest);
            }
            digest.update(b"}");
        }
    }
}
