//! Calls that become messages: answered when the broker has confirmed theirs, or by the reply.
//!
//! Where a reply is awaited, what is kept of the call is there before the message is published: it is an operation like
//! those that are carried out later, and is asked for in the same way.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde_json::json;

use super::begin::{accepted_at, ended, waited};
use super::counts::Counts;
use super::operation::{self, Operation, State};
use super::order::{Answer, Order};
use super::prefer::Prefer;
use super::resource::{document, location};
use super::{Asynchronous, broken, canonical, carry, full, unguessable};
use crate::gateway::exchange::Call;
use crate::gateway::idempotency::{self, How};
use crate::gateway::messages::Flows;
use crate::gateway::metrics::Metrics;
use crate::gateway::trouble::{Kind, Trouble};
use crate::messaging::broker::Unpublished;
use crate::messaging::message::{Message, Properties, VERSION, Value};
use crate::messaging::publisher::Outgoing;
use crate::messaging::replies::pending::{self, Kept, Request, Requester};
use crate::messaging::replies::request::{correlation, key};
use crate::rules::asynchronous::Idempotency;
use crate::rules::publish::Publish;
use crate::store::{millis, now};

/// Headers that messages have without being asked for, beside those of CloudEvents.
const CARRIED: [&str; 3] = ["content-language", "traceparent", "tracestate"];
/// Letters of a message's id; what is longer is known by a digest.
const LONGEST_ID: usize = 200;
/// When a caller may try again whose message was not confirmed.
const SOON: HeaderValue = HeaderValue::from_static("5");

/// A call that is to become a message, and what its caller would like.
pub(in crate::gateway) struct Wish<'w> {
    rule: &'w Publish,
    /// Who may ask for what comes of it.
    owner: &'w str,
    /// The message's id.
    id: String,
    /// It would rather have its answer later.
    is_async: bool,
    /// How long it waits for the reply, and whether it has said so.
    wait: (Option<Duration>, bool),
}

/// Serves a call by a message. `named` stands before the keys of callers that the service can tell from others.
pub(super) async fn serve(
    call: &Call<'_>,
    rule: &Publish,
    (owner, named): (&str, Option<String>),
    once: Option<&Idempotency>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Trouble> {
    call.note_operation();
    let key = match once {
        Some(once) => idempotency::key_of(call, once, &headers)?,
        None => idempotency::read_key(&headers)?,
    };
    let id = match (&key, named) {
        (None, _) => unguessable()?,
        (Some(key), None) => key.clone(),
        (Some(key), Some(named)) => format!("{named}/{key}"),
    };
    let id = if id.len() > LONGEST_ID { self::key(&["id", &id]) } else { id };
    let (is_async, preferred) = Prefer::of(&headers);
    let wait = (preferred.or(rule.wait.filter(|_| !is_async)), preferred.is_some());
    let wish = Wish { rule, owner, id, is_async, wait };
    if let (Some(once), Some(key)) = (once, &key) {
        return idempotency::serve(call, (once, key), owner, How::Publishes(&wish), headers, body).await;
    }
    let read = canonical::read(call, headers, body).await?;
    let order = wish.order(call, &read).await?;
    drop(read);
    let task = wish.begin(call, order.clone())?;
    let operation = task.operation();
    // That its caller goes away must not leave half of it.
    let came = tokio::spawn(task.carry_out()).await;
    let came = came.unwrap_or_else(|error| Err(Trouble::new(Kind::Internal).cause(error)))?;
    wish.respond(call, &order, (&came, operation)).await
}

impl Wish<'_> {
    /// The request as its message is written.
    ///
    /// # Errors
    /// It cannot be translated to the message's version.
    pub(in crate::gateway) async fn order(&self, call: &Call<'_>, read: &canonical::Read) -> Result<Order, Trouble> {
        canonical::order_written(call, self.rule.version, read).await
    }

    fn message(&self, order: &Order) -> Message {
        let fields = order.headers();
        let text = |name: &HeaderName| fields.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let properties = Properties {
            content_type: text(&header::CONTENT_TYPE),
            message_id: Some(self.id.clone()),
            timestamp: Some(now() / 1000),
            persistent: Some(true),
            ..Properties::default()
        };
        let mut message = Message { body: order.body.clone(), properties, ..Message::default() };
        let is_carried = |name: &str| {
            CARRIED.contains(&name) || name.starts_with("ce-") || self.rule.headers.iter().any(|known| known == name)
        };
        for (name, value) in fields.iter().filter(|(name, _)| is_carried(name.as_str())) {
            if let Ok(value) = value.to_str() {
                message.headers.push(name.as_str(), Value::text(value));
            }
        }
        let (request, trace) = &order.names;
        message.headers.set("x-request-id", request.clone());
        if !trace.is_empty() {
            message.headers.set("traceparent", trace.clone());
        }
        message.headers.set(VERSION, order.to.version.clone());
        message
    }

    /// What is to be done, for a task that outlives its caller.
    ///
    /// # Errors
    /// The rules do not say where replies are asked for, or there is no such broker.
    pub(in crate::gateway) fn begin(&self, call: &Call<'_>, order: Order) -> Result<Task, Trouble> {
        let mut message = self.message(&order);
        let once = format!("{}:{}", self.id, order.to.version);
        let asks = match &self.rule.replies {
            None => None,
            Some(replies) => {
                let Some(operations) = &call.service.operations else {
                    return Err(Trouble::new(Kind::Internal).cause("`publish` with replies and without `async`"));
                };
                let broker = call.app.flows.broker(replies.address.broker());
                let own = broker.and_then(|broker| broker.reply_name(&replies.address));
                let gone = || Trouble::new(Kind::Unpublishable).cause("nobody can reply by this broker");
                message.properties.reply_to = Some(own.ok_or_else(gone)?);
                let id = unguessable()?;
                let key = key(&["call", &call.service.name, &self.rule.channel, &id]);
                message.properties.correlation_id = Some(correlation(&key, &order.to.version));
                let request = Request {
                    requester: Requester::Caller { id: id.clone() },
                    version: order.to.version.clone(),
                    deadline: now().saturating_add(millis(replies.timeout)),
                    turn: 0,
                    answered: None,
                };
                Some(Asks {
                    scope: format!("{}/{}", call.service.name, self.rule.channel),
                    key,
                    request,
                    location: location(call, &id),
                    id,
                    operation: Operation::asked(self.owner.to_owned(), order, (replies.timeout, operations.keep)),
                    most: operations.most,
                    is_preferred: self.is_async,
                })
            }
        };
        let outgoing = Outgoing {
            to: self.rule.address.clone(),
            message,
            once: Some(once),
            replies: self.rule.replies.as_ref().map(|replies| replies.address.clone()),
        };
        let (asynchronous, flows) = (call.app.asynchronous.clone(), call.app.flows.clone());
        Ok(Task { asynchronous, flows, metrics: call.app.metrics.clone(), id: self.id.clone(), outgoing, asks })
    }

    /// What the caller gets: the reply, where it comes soon enough.
    ///
    /// # Errors
    /// The reply cannot be read in its version.
    pub(in crate::gateway) async fn respond(
        &self,
        call: &Call<'_>,
        order: &Order,
        (came, operation): (&Answer, Option<String>),
    ) -> Result<Response, Trouble> {
        if let ((Some(wait), is_preferred), Some(operation)) = (self.wait, operation)
            && let Some(mut response) = ended(call, &operation, wait).await?
        {
            if is_preferred {
                waited(&mut response, wait);
            }
            return Ok(response);
        }
        carry::read(call, order, came).await
    }
}

/// A message that is to be published, and what is kept of its call.
pub(in crate::gateway) struct Task {
    asynchronous: Arc<Asynchronous>,
    flows: Arc<Flows>,
    metrics: Arc<Metrics>,
    /// The message's id.
    id: String,
    outgoing: Outgoing,
    /// Where a reply is awaited.
    asks: Option<Asks>,
}

/// What is kept of a call whose reply is awaited.
struct Asks {
    scope: String,
    key: String,
    request: Request,
    /// The operation's name.
    id: String,
    operation: Operation,
    most: u64,
    location: String,
    /// Whether its caller would rather have its answer later.
    is_preferred: bool,
}

impl Task {
    /// Names the operation, if there is one.
    pub(in crate::gateway) fn operation(&self) -> Option<String> {
        self.asks.as_ref().map(|asks| asks.id.clone())
    }

    /// Keeps, publishes, and says so once it is confirmed.
    ///
    /// # Errors
    /// It cannot be kept, or its broker has not confirmed it.
    pub(in crate::gateway) async fn carry_out(self) -> Result<Answer, Trouble> {
        let Self { asynchronous, flows, metrics, id, outgoing, asks } = self;
        if let Some(asks) = &asks {
            asks.keep(&asynchronous, &metrics.kept).await?;
        }
        if let Err(why) = flows.publisher.publish(outgoing).await {
            if let Some(asks) = asks {
                asks.forget(&asynchronous).await;
            }
            return Err(trouble(&why));
        }
        let Some(asks) = asks else { return Ok(accepted_at(None, json!({"id": id}).to_string())) };
        let text = document(&asks.id, State::Asked, asks.operation.created, asks.operation.updated);
        Ok(accepted_at(Some((&asks.location, asks.is_preferred)), text))
    }
}

impl Asks {
    async fn keep(&self, asynchronous: &Asynchronous, counts: &Counts) -> Result<(), Trouble> {
        let store = asynchronous.store().await?;
        let (scope, key, request) = (self.scope.clone(), self.key.clone(), self.request.clone());
        let (id, operation, most) = (self.id.clone(), self.operation.clone(), self.most);
        let kept = store.change(move |tables| {
            if pending::put(tables, &scope, &key, &request)? == Kept::Full {
                return Ok(false);
            }
            let is_kept = operation::keep(tables, &id, &operation, most)?;
            if !is_kept {
                pending::forget(tables, &scope, &key)?;
            }
            Ok(is_kept)
        });
        let is_kept = kept.await.map_err(|error| broken(&error))?;
        counts.operation(&self.operation.order.service, if is_kept { "begun" } else { "full" });
        if is_kept { Ok(()) } else { Err(full("as many calls as may do so wait for their replies")) }
    }

    /// Nobody asks for what was not published. A reply that comes all the same, since nobody knew, goes to the dead letters.
    async fn forget(self, asynchronous: &Asynchronous) {
        let Ok(store) = asynchronous.store().await else { return };
        let kept = operation::shelf(&self.operation.order.service);
        let forgotten = store.change(move |tables| {
            kept.remove(tables, self.id.as_bytes())?;
            pending::forget(tables, &self.scope, &self.key)
        });
        if let Err(error) = forgotten.await {
            // Both end by themselves.
            tracing::warn!(%error, "a call that was not published is still kept");
        }
    }
}

fn trouble(why: &Unpublished) -> Trouble {
    let trouble = match why {
        Unpublished::TooLarge => Trouble::new(Kind::BodyTooLarge).detail("it is larger than messages may be"),
        Unpublished::Unroutable | Unpublished::Unwritable(_) => Trouble::new(Kind::Unpublishable),
        Unpublished::Refused(_) | Unpublished::Lost(_) => {
            Trouble::new(Kind::Unconfirmed).header(header::RETRY_AFTER, SOON)
        }
    };
    trouble.cause(why).unsent(true)
}
