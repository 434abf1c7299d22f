//! The admin interface: what serves, reload, who calls, metrics, liveness and readiness.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use hyper::body::Incoming;
use tower::{ServiceBuilder, ServiceExt};

use super::App;
use super::connection::{Answering, Arrival};
use super::headers::Identity;
use super::ledger::Filter;
use super::rescue::rescue_layer;
use super::status::Status;
use super::target::parse_target;
use super::trouble::{Kind, Trouble};
use crate::path::percent;

/// What serves the operator.
#[derive(Debug, Clone)]
pub(super) struct Admin(Router);

impl Admin {
    pub(super) fn new(app: Arc<App>) -> Self {
        Self(router(app))
    }
}

impl Answering for Admin {
    type Body = Body;

    async fn answer(self, request: http::Request<Incoming>, _: Arrival) -> Response {
        let Ok(response) = self.0.oneshot(request.map(Body::new)).await;
        response
    }
}

fn router(app: Arc<App>) -> Router {
    let layers = ServiceBuilder::new()
        .layer(from_fn(name))
        .layer(from_fn(rescue_layer))
        // Before anything is shown or done: a page in a browser on this machine is not the operator.
        .layer(from_fn_with_state(app.clone(), guard));
    Router::new()
        .route("/generation", get(generation))
        .route("/reload", post(reload))
        .route("/ledger", get(ledger))
        .route("/metrics", get(metrics))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(app)
        .layer(layers)
}

async fn name(mut request: Request, next: Next) -> Response {
    let identity = Identity::of(request.headers());
    request.extensions_mut().insert(identity);
    next.run(request).await
}

/// Only under its own names (DNS rebinding), writes only with the token, never from another site's page.
async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let target = match parse_target(&request) {
        Ok(target) => target,
        Err(reason) => return Trouble::new(Kind::Target).detail(reason).closing().into_response(),
    };
    let host = target.host.unwrap_or_default();
    let own = app.settings.admin.ip();
    let is_own = host == "localhost"
        || app.settings.admin_hosts.contains(&host)
        || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback() || ip == own);
    if !is_own {
        return Trouble::new(Kind::AdminHost).into_response();
    }
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if !reads {
        if request.headers().contains_key(header::ORIGIN) {
            return Trouble::new(Kind::AdminOrigin).into_response();
        }
        if let Some(token) = &app.settings.admin_token
            && !bearer(request.headers()).is_some_and(|given| token.matches(given))
        {
            let challenge = HeaderValue::from_static("Bearer realm=\"bifocal\"");
            return Trouble::new(Kind::AdminToken).header(header::WWW_AUTHENTICATE, challenge).into_response();
        }
    }
    next.run(request).await
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

fn json(status: StatusCode, value: &serde_json::Value) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, format!("{value:#}\n")).into_response()
}

async fn generation(State(app): State<Arc<App>>) -> Response {
    json(StatusCode::OK, &shown(&app, &app.reloader.status()))
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
async fn reload(State(app): State<Arc<App>>) -> Response {
    app.certificates.reload("request").await;
    let status = app.reloader.reload("request").await;
    let code = if status.is_sound() && app.certificates.problems().is_empty() {
        StatusCode::OK
    } else {
        StatusCode::UNPROCESSABLE_ENTITY
    };
    json(code, &shown(&app, &status))
}

/// `?service=orders&version=v1`
async fn ledger(State(app): State<Arc<App>>, uri: Uri) -> Response {
    let mut filter = Filter::default();
    for (name, value) in uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('=')) {
        let value = percent::decode(value);
        match name {
            "service" => filter.service = value,
            "version" => filter.version = value,
            _ => {}
        }
    }
    json(StatusCode::OK, &app.ledger.as_json(&filter))
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], app.metrics.render(app.access.dropped())).into_response()
}

/// Ready with a generation, and not while draining.
async fn ready(State(app): State<Arc<App>>) -> Response {
    let (status, text) = if app.draining.load(Ordering::Acquire) {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else if app.current.snapshot().number == 0 {
        (StatusCode::SERVICE_UNAVAILABLE, "no rules\n")
    } else {
        (StatusCode::OK, "ready\n")
    };
    (status, text).into_response()
}
