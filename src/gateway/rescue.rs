//! Errors become responses here and nowhere else: `application/problem+json` (RFC 9457) in the caller's terms, the chain
//! of causes in the log alone.

use std::pin::{Pin, pin};

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, header};
use serde_json::json;

use super::grpc;
use super::headers::Identity;
use super::panics::CatchPanic;
use super::record::Facts;
use super::trouble::{Kind, Side, Trouble};

/// A handler of a router answers an error by putting it on an empty response; [`rescue_layer`] does the rest.
impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        response.extensions_mut().insert(self);
        response
    }
}

/// Who is told what went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listener {
    Any,
    /// Of a HEAD request: it gets no body.
    Head,
    Grpc,
}

impl Listener {
    pub(super) fn of(request: &Request) -> Self {
        match *request.method() {
            Method::HEAD => Self::Head,
            Method::POST if grpc::is_spoken(request.headers()) => Self::Grpc,
            _ => Self::Any,
        }
    }
}

/// Turns whatever went wrong further in, panics included, into a response.
pub(super) async fn rescue(
    identity: &Identity,
    facts: &Facts,
    listener: Listener,
    inner: Pin<&mut impl Future<Output = Result<Response, Trouble>>>,
) -> Response {
    let answered = CatchPanic::new(inner).await;
    match answered.unwrap_or_else(|panic| Err(Trouble::new(Kind::Internal).cause(panic).closing())) {
        Ok(response) => response,
        Err(trouble) => {
            let (_, code, _, side) = trouble.kind.row();
            facts.change(|facts| {
                facts.fault = Some(code);
                facts.to_blame = Some(side).filter(|_| listener == Listener::Grpc);
            });
            told(&trouble, &identity.request, listener)
        }
    }
}

/// The same as a layer of a router, whose handlers leave their trouble on an empty response.
pub(super) async fn rescue_layer(request: Request, next: Next) -> Response {
    let listener = Listener::of(&request);
    let identity = request.extensions().get::<Identity>().cloned();
    let answered = CatchPanic::new(pin!(next.run(request))).await;
    let mut response =
        answered.unwrap_or_else(|panic| Trouble::new(Kind::Internal).cause(panic).closing().into_response());
    match response.extensions_mut().remove::<Trouble>() {
        Some(trouble) => told(&trouble, identity.as_ref().map_or("", |identity| &identity.request), listener),
        None => response,
    }
}

/// The response that says what went wrong.
fn told(trouble: &Trouble, id: &str, listener: Listener) -> Response {
    let (_, code, _, side) = trouble.kind.row();
    let mut response = Response::new(Body::empty());
    *response.status_mut() = trouble.status.unwrap_or(trouble.kind.row().0);
    let status = response.status().as_u16();
    let cause = trouble.cause.as_deref().unwrap_or_default();
    match side {
        Side::Caller => tracing::debug!(request_id = %id, code, status, cause, detail = %trouble.detail, "refused"),
        Side::Upstream => tracing::warn!(request_id = %id, code, status, cause, "upstream failed"),
        Side::Gateway => tracing::error!(request_id = %id, code, status, cause, "gateway failed"),
    }
    if listener == Listener::Grpc {
        return grpc::told(trouble);
    }
    let text = problem(trouble, id);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for (name, value) in &trouble.headers {
        headers.insert(name, value.clone());
    }
    if trouble.closes {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if listener == Listener::Any {
        *response.body_mut() = Body::from(text);
    }
    response
}

/// The problem document.
pub(super) fn problem(trouble: &Trouble, id: &str) -> String {
    let (status, code, title, _) = trouble.kind.row();
    let status = trouble.status.unwrap_or(status).as_u16();
    let mut document = json!({
        "type": format!("urn:bifocal:problem:{code}"),
        "title": title,
        "status": status,
        "code": code,
        "request_id": id,
    });
    if let Some(members) = document.as_object_mut() {
        if !trouble.detail.is_empty() {
            members.insert("detail".into(), trouble.detail.as_str().into());
        }
        if let Some((field, detail)) = &trouble.field {
            members.insert("errors".into(), json!([{ "field": field, "detail": detail }]));
        }
        if let Some(offset) = trouble.offset {
            members.insert("offset".into(), offset.into());
        }
        if !trouble.versions.is_empty() {
            members.insert("versions".into(), trouble.versions.as_slice().into());
        }
    }
    document.to_string()
}
