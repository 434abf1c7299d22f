//! A safe request that another version's service could not answer is answered by the version's own.
//!
//! Only where nothing can have been changed, and nothing has been told to the caller yet: a safe request without a body,
//! before the head of its response.

use axum::response::Response;
use http::Method;
use http_body::Body as _;

use super::decide::Decided;
use super::trouble::{Kind, Side, Trouble};
use crate::plan::ServicePlan;

/// Whether a request may be answered by its version's own service where another fails to.
pub(super) fn is_possible(decided: &Decided, service: &ServicePlan, method: &Method, body: &axum::body::Body) -> bool {
    let may = service.versions.get(decided.asked).is_some_and(|version| version.fallback);
    // A tester wants to see what the chosen service makes of it.
    may && decided.served != decided.asked && !decided.is_chosen && is_read(method) && body.is_end_stream()
}

fn is_read(method: &Method) -> bool {
    *method == Method::GET || *method == Method::HEAD
}

/// Why an answer is no answer; `None` where it is one. What is the caller's own mistake would be one anywhere, but what
/// the rules do not map may well be known to the version's own service.
pub(super) fn reason(answered: &Result<Response, Trouble>) -> Option<&'static str> {
    match answered {
        Ok(response) => response.status().is_server_error().then_some("upstream_status"),
        Err(trouble) => {
            let (_, code, _, side) = trouble.kind.row();
            let is_unmapped = matches!(trouble.kind, Kind::NoRoute | Kind::MethodNotAllowed | Kind::Value);
            (side != Side::Caller || is_unmapped).then_some(code)
        }
    }
}
