//! The order in which a request passes, on one screen.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, Version, header};
use tower::ServiceBuilder;

use super::App;
use super::connection::Framed;
use super::exchange;
use super::headers::{connection_names_end_to_end, is_looping, vouch};
use super::record::{Admitted, record};
use super::rescue::rescue;
use super::target::parse_target;
use super::tls::Secured;
use super::trouble::{Kind, Trouble};
use crate::settings::Limits;

/// Everything between a connection and the life of a request, outermost first.
pub(super) fn data_plane(app: Arc<App>) -> Router {
    let layers = ServiceBuilder::new()
        // First, so that whatever follows is recorded, and so that every answer carries the request's id.
        .layer(from_fn_with_state(app.clone(), record))
        // Outside of all that may fail or panic, inside of what records the outcome.
        .layer(from_fn(rescue))
        // Before any work is done for a request, but after it has a name by which its refusal can be found.
        .layer(from_fn_with_state(app.clone(), admit))
        // Before anything reads the request: from here on there is one target, one host, one framing.
        .layer(from_fn_with_state(app.clone(), strict));
    Router::new().fallback(exchange::handle).with_state(app).layer(layers)
}

/// Refuses what would be more than the gateway can have in work.
async fn admit(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let Ok(permit) = app.in_flight.clone().try_acquire_owned() else {
        return Trouble::new(Kind::Overloaded)
            .header(header::RETRY_AFTER, HeaderValue::from_static("1"))
            .closing()
            .into_response();
    };
    let mut response = next.run(request).await;
    response.extensions_mut().insert(Admitted::new(permit));
    response
}

/// Refuses requests that hyper lets through and that two readers could understand differently.
async fn strict(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    if let Err(trouble) = check_head(&request, &app.settings.limits) {
        return trouble.closing().into_response();
    }
    let secured = request.extensions().get::<Secured>().cloned();
    vouch(request.headers_mut(), secured.as_ref());
    if is_looping(request.headers(), &app.via) {
        return Trouble::new(Kind::Loop).into_response();
    }
    let target = match parse_target(request.uri(), request.version(), request.headers()) {
        Ok(target) => target,
        Err(reason) => return Trouble::new(Kind::Target).detail(reason).closing().into_response(),
    };
    request.extensions_mut().insert(Arc::new(target));
    next.run(request).await
}

fn check_head(request: &Request, limits: &Limits) -> Result<(), Trouble> {
    let headers = request.headers();
    match request.extensions().get::<Framed>() {
        Some(Framed(Some(Ok(())))) => {}
        Some(Framed(Some(Err(reason)))) => return Err(Trouble::new(Kind::Framing).detail(*reason)),
        _ => return Err(Trouble::new(Kind::Framing).detail("the request's end cannot be told for certain")),
    }
    if request.version() == Version::HTTP_2 && headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(Trouble::new(Kind::Framing).detail("HTTP/2 has no transfer codings"));
    }
    if *request.method() == Method::CONNECT || *request.method() == Method::TRACE {
        return Err(Trouble::new(Kind::Method));
    }
    let uri = request.uri();
    let target_length = uri.path().len() + uri.query().map_or(0, |query| query.len() + 1);
    if target_length > limits.uri {
        return Err(Trouble::new(Kind::TargetTooLong).detail(format!("the limit is {} bytes", limits.uri)));
    }
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if headers.len() > limits.header_count || bytes > limits.header_bytes {
        return Err(Trouble::new(Kind::HeadersTooLarge)
            .detail(format!("the limits are {} headers and {} bytes", limits.header_count, limits.header_bytes)));
    }
    if headers.get_all(header::CONTENT_TYPE).iter().count() > 1 {
        return Err(Trouble::new(Kind::Header).detail("there is more than one Content-Type"));
    }
    if connection_names_end_to_end(headers) {
        return Err(Trouble::new(Kind::Header).detail("Connection names a header that must reach the service"));
    }
    let expectation = headers.get(header::EXPECT);
    if expectation.is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        return Err(Trouble::new(Kind::Expectation).detail("the only expectation is `100-continue`"));
    }
    Ok(())
}
