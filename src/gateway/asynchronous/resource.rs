//! What a caller sees of its operation: its status, its result, and that it can be cancelled.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, Method, StatusCode, header};
use serde_json::json;

use super::operation::{self, Operation, State};
use super::{broken, carry};
use crate::codecs::http_date;
use crate::gateway::access_log::rfc3339;
use crate::gateway::exchange::Call;
use crate::gateway::trouble::{Kind, Trouble};
use crate::rules::ast::Negotiator;
use crate::store::now;

const RESULT: &str = "result";

/// Which operation a request is about, and whether about its result.
pub(super) struct Of {
    id: String,
    is_result: bool,
}

/// What of an operation is asked for; `None`: the request is not about one.
pub(super) fn asked(call: &Call<'_>) -> Option<Of> {
    let rule = call.service.operations.as_ref()?;
    let below =
        |path: &str| -> Option<String> { Some(path.strip_prefix(rule.path.as_str())?.strip_prefix('/')?.to_owned()) };
    let path = call.target.path.as_str();
    let rest = prefix(call).and_then(|prefix| below(path.strip_prefix(prefix)?)).or_else(|| below(path))?;
    match rest.split_once('/') {
        None => Some(Of { id: rest, is_result: false }),
        Some((id, RESULT)) => Some(Of { id: id.to_owned(), is_result: true }),
        // Nothing else is there, and what is there is nobody else's.
        Some(_) => Some(Of { id: String::new(), is_result: false }),
    }
}

/// The path prefix by which the caller has named its version, if it has.
fn prefix<'c>(call: &'c Call<'_>) -> Option<&'c str> {
    let prefix = call.service.versions.get(call.asked)?.path.as_deref()?;
    let rest = call.target.path.strip_prefix(prefix)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(prefix)
}

/// Where a caller asks for an operation, in the version that it speaks.
pub(super) fn location(call: &Call<'_>, id: &str) -> String {
    let path = call.service.operations.as_ref().map_or("", |rule| rule.path.as_str());
    let query = call.target.query.as_deref().unwrap_or_default();
    let named = call.service.negotiate.iter().find_map(|way| match way {
        Negotiator::Query(name) => query.split('&').find(|pair| pair.split('=').next() == Some(name)),
        _ => None,
    });
    let named = named.map(|pair| format!("?{pair}")).unwrap_or_default();
    format!("{}{path}/{id}{named}", prefix(call).unwrap_or_default())
}

/// The status document.
pub(super) fn document(id: &str, state: State, created: u64, updated: u64) -> String {
    let time = |millis| rfc3339(Duration::from_millis(millis));
    json!({"id": id, "state": state.name(), "created": time(created), "updated": time(updated)}).to_string()
}

/// Answers what is asked of an operation.
///
/// # Errors
/// There is none of this name for this caller, or its answer cannot be read in its version.
pub(super) async fn answer(call: &Call<'_>, owner: &str, of: Of) -> Result<Response, Trouble> {
    call.facts.change(|known| known.route = Some("operations".to_owned()));
    let store = call.app.asynchronous.store().await?;
    let service = call.service.name.as_str();
    let found = operation::find(&store, service, &of.id).map_err(|error| broken(&error))?;
    // Whose it is not cannot tell it from one that is not there.
    let Some(found) = found.filter(|found| found.owner == owner) else {
        return Err(Trouble::new(Kind::NoOperation));
    };
    if found.ends <= now() {
        return Err(Trouble::new(Kind::OperationGone));
    }
    let method = &call.parts.method;
    let is_read = *method == Method::GET || *method == Method::HEAD;
    match (is_read, of.is_result) {
        (true, false) => Ok(status(call, &of.id, &found)),
        (true, true) => result(call, &found).await,
        (false, false) if *method == Method::DELETE => cancel(call, &store, &of.id).await,
        (false, _) => {
            let allowed = if of.is_result { "GET, HEAD" } else { "DELETE, GET, HEAD" };
            let allowed = HeaderValue::from_static(allowed);
            Err(Trouble::new(Kind::MethodNotAllowed).header(header::ALLOW, allowed))
        }
    }
}

fn status(call: &Call<'_>, id: &str, found: &Operation) -> Response {
    let mut response = Response::new(Body::from(document(id, found.state, found.created, found.updated)));
    let is_over = matches!(found.state, State::Done | State::Failed);
    if is_over {
        *response.status_mut() = StatusCode::SEE_OTHER;
    }
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(date) = http_date(found.ends / 1000).and_then(|date| HeaderValue::from_str(&date).ok()) {
        headers.insert(header::EXPIRES, date);
    }
    if found.state.is_open() {
        headers.insert(header::RETRY_AFTER, retry_after(now().saturating_sub(found.created)));
    }
    if is_over {
        let at = location(call, id);
        let (path, query) = at.split_once('?').map_or((at.as_str(), None), |(path, query)| (path, Some(query)));
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        if let Ok(value) = HeaderValue::from_str(&format!("{path}/{RESULT}{query}")) {
            headers.insert(header::LOCATION, value);
        }
    }
    response
}

/// The longer it takes, the less often it is worth asking.
fn retry_after(millis: u64) -> HeaderValue {
    HeaderValue::from((millis / 1000 / 10).clamp(1, 30))
}

async fn result(call: &Call<'_>, found: &Operation) -> Result<Response, Trouble> {
    match (&found.answer, found.state) {
        (Some(answer), State::Done | State::Failed) => {
            let mut response = carry::read(call, &found.order, answer).await?;
            response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
            Ok(response)
        }
        (_, State::Cancelled) => Err(Trouble::new(Kind::OperationGone).detail("it was cancelled")),
        _ => {
            let after = retry_after(now().saturating_sub(found.created));
            Err(Trouble::new(Kind::OperationOpen).header(header::RETRY_AFTER, after))
        }
    }
}

/// Ends one that is not over, and forgets one that is.
async fn cancel(call: &Call<'_>, store: &crate::store::Store, id: &str) -> Result<Response, Trouble> {
    let service = call.service.name.as_str();
    let keep = call.service.operations.as_ref().map_or(Duration::ZERO, |rule| rule.keep);
    let cancelled = move |one: Operation| one.finished(State::Cancelled, None, keep);
    let from = &[State::Waiting, State::Running, State::Asked];
    let was_open = operation::advance(store, (service, id), from, cancelled).await.map_err(|error| broken(&error))?;
    if was_open.is_some() {
        call.app.metrics.kept.operation(service, "cancelled");
        call.app.asynchronous.abort(id);
    } else {
        let (shelf, id) = (operation::shelf(service), id.to_owned());
        let forgotten = store.change(move |tables| shelf.remove(tables, id.as_bytes()));
        forgotten.await.map_err(|error| broken(&error))?;
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}
