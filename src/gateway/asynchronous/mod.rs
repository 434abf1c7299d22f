//! Requests that are carried out once, and requests that are carried out later.
//!
//! Read in this order: [`order`] what is kept of a request and its answer, [`canonical`] in whose terms, [`carry`] how it is
//! carried out and read again, [`operation`] what is kept of one that is carried out later, [`begin`] how it begins,
//! [`resource`] what its caller sees of it, [`runner`] who does the work; [`counts`], [`entry`] and [`report`] what operators
//! see of all this. [`publish`] has calls that become messages, [`replied`] what is replied to them.

mod begin;
pub(super) mod canonical;
pub(super) mod carry;
mod counts;
mod entry;
pub(super) mod follow;
mod operation;
pub(super) mod order;
mod prefer;
pub(super) mod publish;
mod replied;
mod report;
mod resource;
pub(super) mod runner;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, header};
use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;

use super::exchange::Call;
use super::generation::hex;
use super::idempotency;
use super::trouble::{Kind, Trouble};
use crate::store::{Keeper, Store, StoreError};
pub(super) use counts::Counts;
use order::{Answer, Order};
pub(super) use prefer::Prefer;
use runner::Task;

/// Tasks that wait for the runner; further ones wait outside.
const WAITING: usize = 4096;
/// How long a request waits for the store while the process before this one still has it.
const HANDOVER: Duration = Duration::from_secs(10);

/// What all requests that are kept share.
#[derive(Debug)]
pub(super) struct Asynchronous {
    pub(super) keeper: Arc<Keeper>,
    /// Names this process among those that had the store before.
    pub(super) run: u64,
    tasks: Mutex<HashMap<String, AbortHandle>>,
    queue: mpsc::Sender<Task>,
    waiting: Mutex<Option<mpsc::Receiver<Task>>>,
    /// Counts operations that have come to their end.
    changed: watch::Sender<u64>,
    /// Whether the gateway begins nothing any more.
    ended: watch::Sender<bool>,
}

impl Asynchronous {
    pub(super) fn new(keeper: Arc<Keeper>) -> Self {
        let (queue, waiting) = mpsc::channel(WAITING);
        Self {
            keeper,
            run: super::chance::random(),
            tasks: Mutex::default(),
            queue,
            waiting: Mutex::new(Some(waiting)),
            changed: watch::channel(0).0,
            ended: watch::channel(false).0,
        }
    }

    /// What there is to do, for whoever does it.
    pub(super) fn take_waiting(&self) -> Option<mpsc::Receiver<Task>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn ask(&self, task: Task) {
        // Nobody listens only once the gateway has ended. What finds no place waits for one: what is kept must be begun.
        if let Err(mpsc::error::TrySendError::Full(task)) = self.queue.try_send(task) {
            let queue = self.queue.clone();
            tokio::spawn(async move { queue.send(task).await });
        }
    }

    /// Nothing begins any more.
    pub(super) fn end(&self) {
        self.ended.send_replace(true);
    }

    fn has_ended(&self) -> bool {
        *self.ended.borrow()
    }

    /// Where things are kept.
    ///
    /// # Errors
    /// 503: they cannot be kept now.
    pub(super) async fn store(&self) -> Result<Store, Trouble> {
        self.keeper.freed_within(HANDOVER).await;
        self.keeper.store().map_err(|error| broken(&error))
    }

    /// Has a request carried out, whether or not its caller stays.
    ///
    /// # Errors
    /// There is no answer.
    pub(super) async fn carry_out(&self, order: Order, facts: &super::record::Facts) -> Result<Answer, Trouble> {
        let (done, came) = oneshot::channel();
        self.ask(Task::Once { order: Box::new(order), facts: Some(facts.clone()), done });
        came.await.unwrap_or_else(|_| Err(Trouble::new(Kind::Internal).cause("nobody carries out requests")))
    }
}

/// Something cannot be kept, or not be read again.
pub(super) fn broken(error: &StoreError) -> Trouble {
    Trouble::new(Kind::StoreFailed).cause(error).header(header::RETRY_AFTER, http::HeaderValue::from_static("5"))
}

/// As much is kept as may be.
pub(super) fn full(detail: impl Into<String>) -> Trouble {
    let soon = http::HeaderValue::from_static("30");
    Trouble::new(Kind::StoreFull).detail(detail).header(header::RETRY_AFTER, soon)
}

/// What became of a request.
pub(super) enum Taken {
    /// It was one of these.
    Answered(Response),
    /// It was not.
    Left(HeaderMap, Body),
}

/// Serves a request that is about an operation, that may become one, or that is carried out once.
pub(super) async fn serve(
    call: &Call<'_>,
    consumer: Option<&str>,
    mut headers: HeaderMap,
    body: Body,
) -> Result<Taken, Trouble> {
    if call.manner.grpc {
        return Ok(Taken::Left(headers, body));
    }
    let owner = owner(call, consumer, &headers);
    if let Some(asked) = resource::asked(call) {
        return resource::answer(call, &owner, asked).await.map(Taken::Answered);
    }
    let (method, target) = (call.parts.method.as_str(), (call.target.path.as_str(), call.target.query.as_deref()));
    if let Some(rule) = call.service.publish_of(call.asked, method, target) {
        let once = call.service.idempotency_of(call.asked, method, target);
        let named = named(call, consumer, &owner, &headers);
        return Box::pin(publish::serve(call, rule, (&owner, named), once, headers, body)).await.map(Taken::Answered);
    }
    let later = call.service.operations_of(call.asked, method, target);
    let later = later.and_then(|rule| Some((rule, Prefer::take(&mut headers)?)));
    let once = call.service.idempotency_of(call.asked, method, target);
    if let Some(rule) = once
        && let Some(key) = idempotency::key_of(call, rule, &headers)?
    {
        let how = later.map_or(idempotency::How::Now, |(rule, _)| idempotency::How::Later(rule));
        return idempotency::serve(call, (rule, &key), &owner, how, headers, body).await.map(Taken::Answered);
    }
    match later {
        Some((rule, prefer)) => {
            let read = canonical::read(call, headers, body).await?;
            let order = canonical::order(call, &read).await?;
            begin::begin(call, rule, &prefer, &owner, order).await.map(Taken::Answered)
        }
        None => Ok(Taken::Left(headers, body)),
    }
}

pub(super) use begin::accepted;

/// Who may see what is kept of a request: its consumer, else whoever has the same certificate or credentials. A digest,
/// since it is kept.
fn owner(call: &Call<'_>, consumer: Option<&str>, headers: &HeaderMap) -> String {
    let certificate = call.route.caller.secured.as_ref().and_then(|secured| secured.certificate.as_ref());
    let (kind, who) = match (consumer, certificate, headers.get(header::AUTHORIZATION)) {
        (Some(name), ..) => ("consumer", name.as_bytes()),
        (None, Some(certificate), _) => ("certificate", certificate.as_bytes()),
        (None, None, Some(credentials)) => ("credentials", credentials.as_bytes()),
        (None, None, None) => ("anybody", &b""[..]),
    };
    let mut digest = Sha256::new();
    for part in [call.service.name.as_bytes(), kind.as_bytes(), who] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    hex(&digest.finalize())
}

/// What stands before the keys of a caller that is told from others, so that two may use the same ones.
fn named(call: &Call<'_>, consumer: Option<&str>, owner: &str, headers: &HeaderMap) -> Option<String> {
    let certificate = call.route.caller.secured.as_ref().and_then(|secured| secured.certificate.as_ref());
    let is_known = certificate.is_some() || headers.contains_key(header::AUTHORIZATION);
    consumer.map(str::to_owned).or_else(|| is_known.then(|| owner.chars().take(16).collect()))
}

/// A name that nobody can guess.
///
/// # Errors
/// The system gives no random numbers.
fn unguessable() -> Result<String, Trouble> {
    let mut bytes = [0; 16];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| Trouble::new(Kind::Internal).cause("the system gives no random numbers"))?;
    Ok(hex(&bytes))
}
