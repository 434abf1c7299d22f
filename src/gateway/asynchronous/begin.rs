//! How an operation begins: it is kept first, and then its caller is told.

use std::time::Duration;

use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use tokio::time::{Instant, timeout_at};

use super::operation::{self, Operation, State};
use super::order::{Answer, Order};
use super::prefer::Prefer;
use super::resource::{self, document};
use super::runner::Task;
use super::{broken, carry, full, unguessable};
use crate::gateway::exchange::Call;
use crate::gateway::trouble::{Kind, Trouble};
use crate::rules::asynchronous::Operations;
use crate::store::now;

pub(super) const APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// Begins one and answers its caller: with what came of it where that comes soon enough, else with where to ask for it.
pub(super) async fn begin(
    call: &Call<'_>,
    rule: &Operations,
    prefer: &Prefer,
    owner: &str,
    order: Order,
) -> Result<Response, Trouble> {
    let id = keep(call, rule, owner, order).await?;
    if let Some(wait) = prefer.wait
        && let Some(mut response) = ended(call, &id, wait).await?
    {
        waited(&mut response, wait);
        return Ok(response);
    }
    accepted_of(call, &id).await.map(|answer| answer.response())
}

/// Says that a caller's wish was kept to: its answer came within the time that it would wait.
pub(super) fn waited(response: &mut Response, wait: Duration) {
    if let Ok(value) = HeaderValue::from_str(&format!("wait={}", wait.as_secs())) {
        response.headers_mut().append(APPLIED, value);
    }
}

/// What came of an operation, in its caller's version, if it comes to its end in so much time.
pub(super) async fn ended(call: &Call<'_>, id: &str, wait: Duration) -> Result<Option<Response>, Trouble> {
    let mut changed = call.app.asynchronous.changed.subscribe();
    let store = call.app.asynchronous.store().await?;
    let deadline = Instant::now() + wait;
    loop {
        let found = operation::find(&store, &call.service.name, id).map_err(|error| broken(&error))?;
        if let Some(Operation { order, answer: Some(answer), state, .. }) = &found
            && !state.is_open()
        {
            return carry::read(call, order, answer).await.map(Some);
        }
        // One that nobody has answered in its time ends without a word: then it is looked at once more.
        let until = found.as_ref().map_or(deadline, |one| deadline.min(Instant::now() + one.left()));
        // One that is cancelled, or gone, has nothing to say.
        if Instant::now() >= deadline || found.is_none_or(|one| !one.state.is_open()) {
            return Ok(None);
        }
        if let Ok(Err(_)) = timeout_at(until, changed.changed()).await {
            return Err(Trouble::new(Kind::Internal).cause("nobody carries out operations"));
        }
    }
}

/// Begins one and says where to ask for it.
pub(in crate::gateway) async fn accepted(
    call: &Call<'_>,
    rule: &Operations,
    owner: &str,
    order: Order,
) -> Result<Answer, Trouble> {
    let id = keep(call, rule, owner, order).await?;
    accepted_of(call, &id).await
}

/// Keeps an operation, and then has it carried out.
async fn keep(call: &Call<'_>, rule: &Operations, owner: &str, order: Order) -> Result<String, Trouble> {
    let store = call.app.asynchronous.store().await?;
    let (id, most) = (unguessable()?, rule.most);
    let service = call.service.name.clone();
    let (name, operation) = (id.clone(), Operation::new(owner.to_owned(), order));
    let kept = store.change(move |tables| operation::keep(tables, &name, &operation, most));
    let counts = &call.app.metrics.kept;
    if !kept.await.map_err(|error| broken(&error))? {
        counts.operation(&service, "full");
        return Err(full(format!("{most} operations are kept already")));
    }
    counts.operation(&service, "begun");
    let waits = counts.open(&service, State::Waiting);
    call.app.asynchronous.ask(Task::Operation { service, id: id.clone(), waits });
    Ok(id)
}

async fn accepted_of(call: &Call<'_>, id: &str) -> Result<Answer, Trouble> {
    let store = call.app.asynchronous.store().await?;
    let found = operation::find(&store, &call.service.name, id).map_err(|error| broken(&error))?;
    let waiting = |found: &Operation| document(id, found.state, found.created, found.updated);
    let text = found.as_ref().map_or_else(|| document(id, State::Waiting, now(), now()), waiting);
    Ok(accepted_at(Some((&resource::location(call, id), true)), text))
}

/// 202: it was accepted, as the text says. With where to ask for what comes of it, where that can be asked for, and whether
/// the caller has wished for that.
pub(super) fn accepted_at(location: Option<(&str, bool)>, text: String) -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some((location, is_wish)) = location {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        if let Ok(location) = HeaderValue::from_str(location) {
            headers.insert(header::LOCATION, location);
        }
        if is_wish {
            headers.insert(APPLIED, HeaderValue::from_static("respond-async"));
        }
    }
    Answer::new(None, StatusCode::ACCEPTED, &headers, text.into())
}
