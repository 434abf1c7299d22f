//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-07): a request that comes again is not carried out again,
//! but answered as it was the first time, in the version of whoever asks.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::asynchronous::order::{Answer, Order, pack, unpack};
use super::asynchronous::publish::Wish;
use super::asynchronous::{accepted, broken, canonical, carry, full};
use super::exchange::Call;
use super::metrics::Metrics;
use super::trouble::{Kind, Trouble};
use crate::rules::asynchronous::{Idempotency, Operations};
use crate::store::shelf::{Entry, Shelf};
use crate::store::{Store, Table, millis, now};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Letters of a key.
const LONGEST: usize = 255;
/// Entries that have ended and are let go to make room.
const SWEPT: usize = 16;

/// What is kept of one key.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    /// Of the request, in the newest version's terms.
    fingerprint: [u8; 32],
    /// The process that has carried it out, or is at it.
    run: u64,
    order: Order,
    /// None: it is not over.
    answer: Option<Answer>,
}

impl Kept {
    fn entry(&self, ends: u64) -> Entry {
        let answer = self.answer.as_ref().map(|answer| answer.body.clone()).unwrap_or_default();
        Entry { ends, value: pack(self, [&self.order.body, &answer]) }
    }

    fn of(entry: &Entry) -> Option<Self> {
        let (mut kept, request, response): (Self, Bytes, Bytes) = unpack(&entry.value)?;
        kept.order.body = request;
        if let Some(answer) = &mut kept.answer {
            answer.body = response;
        }
        Some(kept)
    }
}

/// What becomes of a request with a key.
enum Claim {
    /// It is the first.
    First,
    /// Nobody knows what became of the first, and it may be sent once more.
    Repeated,
    /// It has come before.
    Again(Box<Kept>),
    /// There are too many keys.
    Full,
}

/// The key of a request; `None` where it has none and needs none.
///
/// # Errors
/// 400: it needs one, or has what is none.
fn key(rule: &Idempotency, headers: &HeaderMap) -> Result<Option<String>, Trouble> {
    let key = read_key(headers)?;
    if key.is_none() && rule.required {
        return Err(Trouble::new(Kind::IdempotencyKey).detail("this request needs an Idempotency-Key"));
    }
    Ok(key)
}

/// The key of a request, if it has one.
///
/// # Errors
/// 400: it has what is none.
pub(super) fn read_key(headers: &HeaderMap) -> Result<Option<String>, Trouble> {
    let wrong = |detail: &str| Err(Trouble::new(Kind::IdempotencyKey).detail(detail));
    let mut values = headers.get_all(KEY).iter();
    let (first, second) = (values.next(), values.next());
    let Some(value) = first else { return Ok(None) };
    if second.is_some() {
        return wrong("there is more than one Idempotency-Key");
    }
    let text = value.to_str().unwrap_or_default().trim();
    // A string of RFC 8941; many callers leave out its quotes.
    let bare = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let is_plain = bare.bytes().all(|byte| (0x20..0x7f).contains(&byte) && byte != b'"');
    if bare.is_empty() || bare.len() > LONGEST || !is_plain {
        return wrong("an Idempotency-Key is a string of up to 255 visible letters");
    }
    Ok(Some(bare.to_owned()))
}

/// How a request is carried out.
#[derive(Clone, Copy)]
pub(super) enum How<'h> {
    /// While its caller waits.
    Now,
    /// Later, by this rule.
    Later(&'h Operations),
    /// By a message.
    Publishes(&'h Wish<'h>),
}

/// The same, counted where it is refused.
///
/// # Errors
/// As of [`key`].
pub(super) fn key_of(call: &Call<'_>, rule: &Idempotency, headers: &HeaderMap) -> Result<Option<String>, Trouble> {
    key(rule, headers).inspect_err(|_| {
        let result = if headers.contains_key(KEY) { "malformed" } else { "missing" };
        call.app.metrics.kept.key(&call.service.name, result);
    })
}

/// Serves a request with a key.
pub(super) async fn serve(
    call: &Call<'_>,
    (rule, key): (&Idempotency, &str),
    owner: &str,
    how: How<'_>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Trouble> {
    let read = canonical::read(call, headers, body).await?;
    let meaning = canonical::meaning(call, &read);
    let order = match how {
        How::Publishes(wish) => wish.order(call, &read).await?,
        How::Now | How::Later(_) => canonical::order(call, &read).await?,
    };
    drop(read);
    let (store, shelf) = (call.app.asynchronous.store().await?, Shelf::new(Table::Keys, &call.service.name));
    let name = name(owner, &meaning.route, key);
    let run = call.app.asynchronous.run;
    let kept = Kept { fingerprint: meaning.fingerprint, run, order: order.clone(), answer: None };
    let counts = &call.app.metrics.kept;
    let count = |result| counts.key(&call.service.name, result);
    match claim(&store, &shelf, name, kept, rule).await? {
        Claim::Full => {
            count("full");
            return Err(full(format!("{} keys are kept already", rule.most)));
        }
        Claim::Again(kept) => return again(call, &kept, &meaning.fingerprint).await,
        Claim::First => count("begun"),
        Claim::Repeated => count("repeated"),
    }
    let (metrics, service) = (call.app.metrics.clone(), call.service.name.clone());
    let keeping =
        Keeping { store, shelf, name, rule: rule.clone(), run, fingerprint: meaning.fingerprint, metrics, service };
    if let How::Publishes(wish) = how {
        let task = match wish.begin(call, order.clone()) {
            Ok(task) => task,
            Err(trouble) => {
                let refused = Err(trouble.unsent(true));
                keeping.finish(order, &refused, &call.identity.request).await;
                return refused.map(|_| Response::default());
            }
        };
        let (ordered, id, operation) = (order.clone(), call.identity.request.clone(), task.operation());
        let worked = tokio::spawn(async move {
            let came = task.carry_out().await;
            keeping.finish(ordered, &came, &id).await;
            came
        });
        let came = worked.await.unwrap_or_else(|error| Err(Trouble::new(Kind::Internal).cause(error)))?;
        return wish.respond(call, &order, (&came, operation)).await;
    }
    if let How::Later(rule) = how {
        let came = accepted(call, rule, owner, order.clone()).await;
        keeping.finish(order.clone(), &came, &call.identity.request).await;
        return carry::read(call, &order, &came?).await;
    }
    // Carried out and kept by a task of its own: that its caller goes away must not leave the key without an end.
    let (app, facts) = (call.app.asynchronous.clone(), call.facts.clone());
    let (ordered, id) = (order.clone(), call.identity.request.clone());
    let worked = tokio::spawn(async move {
        let came = app.carry_out(ordered.clone(), &facts).await;
        keeping.finish(ordered, &came, &id).await;
        came
    });
    let came = worked.await.unwrap_or_else(|error| Err(Trouble::new(Kind::Internal).cause(error)))?;
    carry::read(call, &order, &came).await
}

/// A key's name in the store.
fn name(owner: &str, route: &str, key: &str) -> [u8; 32] {
    let mut digest = Sha256::new();
    for part in [owner, route, key] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

/// Keeps that a request is at work, unless it has come before.
async fn claim(store: &Store, shelf: &Shelf, name: [u8; 32], kept: Kept, rule: &Idempotency) -> Result<Claim, Trouble> {
    let (shelf, most, repeat) = (shelf.clone(), rule.most, rule.repeat);
    let now = now();
    let ends = now.saturating_add(millis(rule.keep));
    let claimed = store.change(move |tables| {
        shelf.expire(tables, now, SWEPT)?;
        let before = shelf.get(tables, &name)?.filter(|entry| entry.ends > now);
        let mut claim = Claim::First;
        if let Some(before) = before.and_then(|entry| Kept::of(&entry)) {
            let is_left = before.answer.is_none() && before.run != kept.run;
            if !(is_left && repeat && before.fingerprint == kept.fingerprint) {
                return Ok(Claim::Again(Box::new(before)));
            }
            claim = Claim::Repeated;
        } else if shelf.len(tables)? >= most {
            return Ok(Claim::Full);
        }
        shelf.put(tables, &name, &kept.entry(ends))?;
        Ok(claim)
    });
    claimed.await.map_err(|error| broken(&error))
}

/// A request that has come before.
async fn again(call: &Call<'_>, kept: &Kept, fingerprint: &[u8; 32]) -> Result<Response, Trouble> {
    let count = |result| call.app.metrics.kept.key(&call.service.name, result);
    if kept.fingerprint != *fingerprint {
        count("reused");
        let detail = "this Idempotency-Key was used for another request";
        return Err(Trouble::new(Kind::IdempotencyReused).detail(detail));
    }
    let Some(answer) = &kept.answer else {
        if kept.run != call.app.asynchronous.run {
            count("unknown");
            let detail =
                "the gateway ended while the first request was in work; whether it was carried out is not known";
            return Err(Trouble::new(Kind::IdempotencyUnknown).detail(detail));
        }
        count("busy");
        let soon = HeaderValue::from_static("1");
        return Err(Trouble::new(Kind::IdempotencyBusy).header(header::RETRY_AFTER, soon));
    };
    count("replayed");
    let mut response = carry::read(call, &kept.order, answer).await?;
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}

/// Where the answer to a request is kept.
struct Keeping {
    store: Store,
    shelf: Shelf,
    name: [u8; 32],
    rule: Idempotency,
    run: u64,
    fingerprint: [u8; 32],
    metrics: Arc<Metrics>,
    service: String,
}

impl Keeping {
    /// Keeps what came, or frees the key where nothing was carried out.
    async fn finish(self, order: Order, came: &Result<Answer, Trouble>, id: &str) {
        let answer = match came {
            Ok(answer) => Some(answer.clone()),
            Err(trouble) if is_unsent(trouble) => None,
            Err(trouble) => Some(Answer::of(trouble, id)),
        };
        let answer = answer.filter(|answer| self.rule.keep_errors || !answer.status().is_server_error());
        if answer.is_none() {
            self.metrics.kept.key(&self.service, "freed");
        }
        let (place, name) = (self.shelf, self.name);
        let ends = now().saturating_add(millis(self.rule.keep));
        let (run, fingerprint) = (self.run, self.fingerprint);
        let kept = self.store.change(move |tables| match answer {
            None => place.remove(tables, &name),
            Some(answer) => {
                let kept = Kept { fingerprint, run, order, answer: Some(answer) };
                place.put(tables, &name, &kept.entry(ends))
            }
        });
        if let Err(error) = kept.await {
            // The mark that it has begun is there: it is not carried out again, but refused.
            tracing::error!(request_id = %id, %error, "the answer to a request with a key cannot be kept");
        }
    }
}

/// Whether nothing has reached the service.
fn is_unsent(trouble: &Trouble) -> bool {
    let (_, _, _, side) = trouble.kind.row();
    trouble.unsent
        || side == super::trouble::Side::Caller
        || matches!(trouble.kind, Kind::StoreFailed | Kind::StoreFull)
}
