//! The admin interface: what serves, settings, reload, log levels, drain, who calls, overload, metrics, liveness and
//! readiness.
//!
//! [`serve`] is its door, [`mod@guard`] says who may do what.

mod guard;
mod letters;
mod serve;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::{Extension, Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use serde::Deserialize;
use serde_json::json;
use tower::ServiceBuilder;

use super::App;
use super::audit::{Change, Who};
use super::headers::{Identity, REQUEST_ID};
use super::ledger::Filter;
use super::rescue::rescue_layer;
use super::status::Status;
use super::trouble::{Kind, Trouble};
use crate::path::percent;
use guard::guard;
pub(super) use serve::Desk;

/// More than any change needs.
const LARGEST: usize = 64 << 10;

fn router(app: Arc<App>) -> Router {
    let layers = ServiceBuilder::new()
        .layer(from_fn(name))
        .layer(from_fn(rescue_layer))
        // Before anything is shown or done: a page in a browser on this machine is not the operator.
        .layer(from_fn_with_state(app.clone(), guard));
    Router::new()
        .route("/config", get(config))
        .route("/dead-letters", get(letters::list))
        .route("/dead-letters/redrive", post(letters::redrive))
        .route("/dead-letters/{*letter}", get(letters::show))
        .route("/drain", post(drain))
        .route("/flows", get(flows))
        .route("/generation", get(generation))
        .route("/ledger", get(ledger))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/log", get(log).put(change_log).delete(reset_log))
        .route("/metrics", get(metrics))
        .route("/operations", get(operations))
        .route("/overload", get(overload))
        .route("/readyz", get(ready))
        .route("/readyz/flows", get(flows_ready))
        .route("/reload", post(reload))
        .route("/undrain", post(undrain))
        .route("/upstreams", get(upstreams))
        .with_state(app)
        .layer(layers)
}

/// Every answer carries the request's id.
async fn name(mut request: Request, next: Next) -> Response {
    let identity = Identity::of(request.headers());
    let id = HeaderValue::from_str(&identity.request);
    request.extensions_mut().insert(identity);
    let mut response = next.run(request).await;
    if let Ok(id) = id {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

fn answer(status: StatusCode, value: &serde_json::Value) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, format!("{value:#}\n")).into_response()
}

async fn generation(State(app): State<Arc<App>>) -> Response {
    answer(StatusCode::OK, &shown(&app, &app.reloader.status()))
}

/// What was said of the newest files, those of certificates included.
fn shown(app: &App, status: &Status) -> serde_json::Value {
    let mut shown = status.as_json();
    let problems = app.certificates.problems();
    if let Some(members) = shown.as_object_mut().filter(|_| !problems.is_empty()) {
        members.insert("refused_certificates".to_owned(), problems.as_slice().into());
    }
    shown
}

/// Waits for the outcome: 200 where everything that was read serves, 422 where something was refused.
async fn reload(State(app): State<Arc<App>>, Extension(who): Extension<Who>) -> Response {
    let status = app.changes.reload(&who, "request").await;
    let code = if status.is_sound() && app.certificates.problems().is_empty() {
        StatusCode::OK
    } else {
        StatusCode::UNPROCESSABLE_ENTITY
    };
    answer(code, &shown(&app, &status))
}

/// `?service=orders&version=v1`
fn filter(uri: &Uri) -> Filter {
    let mut filter = Filter::default();
    for (name, value) in uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('=')) {
        let value = percent::decode(value);
        match name {
            "service" => filter.service = value,
            "version" => filter.version = value,
            _ => {}
        }
    }
    filter
}

async fn ledger(State(app): State<Arc<App>>, uri: Uri) -> Response {
    answer(StatusCode::OK, &app.ledger.as_json(&filter(&uri)))
}

async fn upstreams(State(app): State<Arc<App>>, uri: Uri) -> Response {
    answer(StatusCode::OK, &app.clusters.as_json(&filter(&uri)))
}

/// How much there is to do, and what is done about it.
async fn overload(State(app): State<Arc<App>>) -> Response {
    answer(StatusCode::OK, &app.overload.as_json())
}

async fn flows(State(app): State<Arc<App>>, uri: Uri) -> Response {
    answer(StatusCode::OK, &app.flows.as_json(&filter(&uri)).await)
}

/// Operations that are kept, without what is in them.
async fn operations(State(app): State<Arc<App>>, uri: Uri) -> Response {
    let filter = filter(&uri);
    // What is read may be much, and comes from the disk.
    let read = tokio::task::spawn_blocking(move || app.asynchronous.as_json(&filter)).await;
    match read.map_err(|error| Trouble::new(Kind::Internal).cause(error)).and_then(|read| read) {
        Ok(read) => answer(StatusCode::OK, &read),
        Err(trouble) => trouble.into_response(),
    }
}

/// With exemplars for those who ask for OpenMetrics: others may not know them.
async fn metrics(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let takes_exemplars = headers.get_all(header::ACCEPT).iter().any(takes_openmetrics);
    let text = if takes_exemplars { app.metrics_text_with_exemplars() } else { app.metrics_text() };
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

fn takes_openmetrics(accept: &HeaderValue) -> bool {
    let ranges = accept.to_str().unwrap_or_default().split(',');
    ranges.map(|range| range.split(';').map(str::trim)).any(|mut parts| {
        let is_it = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/openmetrics-text"));
        let is_refused = |part: &str| part.strip_prefix("q=").is_some_and(|q| q.parse::<f32>() == Ok(0.0));
        is_it && !parts.any(is_refused)
    })
}

/// Ready with a generation, and not while draining.
async fn ready(State(app): State<Arc<App>>) -> Response {
    let (status, text) = if app.draining.load(Ordering::Acquire) || app.drained.load(Ordering::Acquire) {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else if app.current.snapshot().number == 0 {
        (StatusCode::SERVICE_UNAVAILABLE, "no rules\n")
    } else {
        (StatusCode::OK, "ready\n")
    };
    (status, text).into_response()
}

/// Ready where every flow takes messages. Whether callers of HTTP are served does not depend on it.
async fn flows_ready(State(app): State<Arc<App>>) -> Response {
    let troubles = app.flows.troubles().len();
    let (status, text) = match troubles {
        0 => (StatusCode::OK, "ready\n".to_owned()),
        // Which ones and why is for operators: a probe has no token.
        count => (StatusCode::SERVICE_UNAVAILABLE, format!("{count} not ready\n")),
    };
    (status, text).into_response()
}

/// Every setting as it counts and where it was found, and what serves. No secret is among them.
async fn config(State(app): State<Arc<App>>) -> Response {
    let generation = app.current.snapshot();
    let settings = app.settings.effective.iter();
    let settings: serde_json::Map<_, _> =
        settings.map(|one| (one.key.clone(), json!({"value": one.value, "source": one.source}))).collect();
    let program = json!({"name": "bifocal", "version": env!("CARGO_PKG_VERSION"), "pid": std::process::id()});
    let serving = json!({"number": generation.number, "hash": generation.hash});
    answer(StatusCode::OK, &json!({"generation": serving, "program": program, "settings": settings}))
}

async fn log(State(app): State<Arc<App>>) -> Response {
    answer(StatusCode::OK, &app.changes.levels.as_json())
}

/// What `PUT /log` is told.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Louder {
    level: Option<String>,
    target: Option<String>,
    #[serde(default, rename = "for", with = "humantime_serde::option")]
    time: Option<Duration>,
}

async fn change_log(State(app): State<Arc<App>>, Extension(who): Extension<Who>, request: Request) -> Response {
    let Ok(body) = to_bytes(request.into_body(), LARGEST).await else {
        return Trouble::new(Kind::BodyTooLarge).closing().into_response();
    };
    let told: Louder = match serde_json::from_slice(if body.is_empty() { b"{}" } else { &body }) {
        Ok(told) => told,
        Err(error) => return refused(&error.to_string()),
    };
    let log = &app.settings.log;
    let (level, time) = (told.level.as_deref().unwrap_or(&log.raised), told.time.unwrap_or(log.raised_for));
    match app.changes.level(&who, told.target.as_deref(), level, time) {
        Ok(()) => answer(StatusCode::OK, &app.changes.levels.as_json()),
        Err(reason) => refused(&reason),
    }
}

async fn reset_log(State(app): State<Arc<App>>, Extension(who): Extension<Who>) -> Response {
    app.changes.level_back(&who);
    answer(StatusCode::OK, &app.changes.levels.as_json())
}

fn refused(reason: &str) -> Response {
    let body = Json(json!({"error": reason}));
    (StatusCode::UNPROCESSABLE_ENTITY, [(header::CACHE_CONTROL, "no-store")], body).into_response()
}

/// Not ready, and connections are told to close, but all that comes is served: for whoever takes it out of a set of
/// gateways by hand.
async fn drain(State(app): State<Arc<App>>, Extension(who): Extension<Who>) -> Response {
    drained(&app, &who, true)
}

async fn undrain(State(app): State<Arc<App>>, Extension(who): Extension<Who>) -> Response {
    drained(&app, &who, false)
}

fn drained(app: &App, who: &Who, now: bool) -> Response {
    let before = app.drained.swap(now, Ordering::AcqRel);
    let action = if now { "drain" } else { "undrain" };
    let result = if before == now { "unchanged" } else { "changed" };
    app.changes.audit.tell(who, &Change { action, result, generations: None, detail: String::new() });
    answer(StatusCode::OK, &json!({"drained": now}))
}
