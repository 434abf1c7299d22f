//! Dead letters at the admin address. What shows a message, or sends one on, is for whoever may change what is served, and
//! is told in the audit.

use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::{Extension, Request, State};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, Uri};

use super::{LARGEST, answer, refused};
use crate::gateway::App;
use crate::gateway::audit::{Change, Who};
use crate::gateway::messages::{Asked, Wanted};
use crate::gateway::trouble::{Kind, Trouble};
use crate::path::percent;

/// `?flow=orders/orders.created/v2&reason=rule_error&to=v1&limit=20`
pub(super) async fn list(State(app): State<Arc<App>>, uri: Uri) -> Response {
    let mut wanted = Wanted::default();
    for (name, value) in uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('=')) {
        let value = percent::decode(value);
        match name {
            "flow" => wanted.filter.flow = value,
            "reason" => wanted.filter.reason = value,
            "to" => wanted.filter.to = value,
            "limit" => match value.and_then(|text| text.parse().ok()) {
                Some(limit) => wanted.limit = Some(limit),
                None => return refused("`limit` is a number"),
            },
            _ => {}
        }
    }
    answer(StatusCode::OK, &app.flows.list_letters(wanted).await)
}

/// `/dead-letters/SERVICE/CHANNEL/VERSION/ID`
pub(super) async fn show(State(app): State<Arc<App>>, Extension(who): Extension<Who>, uri: Uri) -> Response {
    let path = uri.path().trim_start_matches("/dead-letters/");
    let named = path.rsplit_once('/').and_then(|(flow, id)| Some((percent::decode(flow)?, percent::decode(id)?)));
    let Some((flow, id)) = named else { return Trouble::new(Kind::NoRoute).into_response() };
    let detail = format!("flow {flow}, id {id}");
    let shown = app.flows.show_letter(flow, id).await;
    let (result, response) = match shown {
        Ok(Some(letter)) => ("shown", answer(StatusCode::OK, &letter)),
        Ok(None) => ("unchanged", answer(StatusCode::NOT_FOUND, &serde_json::json!({"error": "no such letter"}))),
        Err(why) => ("failed", answer(StatusCode::BAD_GATEWAY, &serde_json::json!({"error": why}))),
    };
    app.changes.audit.tell(&who, &Change { action: "show-letter", result, generations: None, detail });
    response
}

pub(super) async fn redrive(State(app): State<Arc<App>>, Extension(who): Extension<Who>, request: Request) -> Response {
    let Ok(body) = to_bytes(request.into_body(), LARGEST).await else {
        return Trouble::new(Kind::BodyTooLarge).closing().into_response();
    };
    let asked: Asked = match serde_json::from_slice(if body.is_empty() { b"{}" } else { &body }) {
        Ok(asked) => asked,
        Err(error) => return refused(&error.to_string()),
    };
    let is_dry = asked.dry_run;
    let (told, result, detail) = app.flows.redrive(asked).await;
    if !is_dry {
        app.changes.audit.tell(&who, &Change { action: "redrive", result, generations: None, detail });
    }
    answer(StatusCode::OK, &told)
}
