//! Carries out what was ordered, and reads what came of it to whoever asks.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, header};

use super::order::{Address, Answer, Order};
use crate::gateway::App;
use crate::gateway::body::coding::parse_codings;
use crate::gateway::body::collect;
use crate::gateway::exchange::{Call, Manner};
use crate::gateway::generation::Standing;
use crate::gateway::headers::{Identity, Route};
use crate::gateway::introduction::Introduction;
use crate::gateway::receive::decode_large;
use crate::gateway::record::Facts;
use crate::gateway::target::Target;
use crate::gateway::tls::Secured;
use crate::gateway::translate::{self, Asked, compute};
use crate::gateway::trouble::{Kind, Trouble};
use crate::gateway::upstream::Payload;
use crate::plan::{BodyOut, RequestIn, ServicePlan};

fn version(service: &ServicePlan, name: &str) -> Result<usize, Trouble> {
    let found = service.versions.iter().position(|version| version.name == name);
    found.ok_or_else(|| Trouble::new(Kind::OperationGone).detail("the version that it was kept in is no more"))
}

/// The service whose request an order is.
pub(super) fn standing_of(app: &App, order: &Order) -> Result<Arc<Standing>, Trouble> {
    let generation = app.current.snapshot();
    let found = generation.service_for(order.host.as_deref(), &order.from.path);
    let found = found.filter(|standing| standing.plan.name == order.service).cloned();
    found.ok_or_else(|| Trouble::new(Kind::NoService).detail("the service is not served here any more"))
}

/// Sends what was ordered to the service and waits for all of its answer.
///
/// # Errors
/// There is no answer.
pub(super) async fn carry_out(app: &App, order: &Order, facts: &Facts) -> Result<Answer, Trouble> {
    let standing = standing_of(app, order)?;
    let service = &standing.plan;
    let (asked, served) = (version(service, &order.to.version)?, version(service, &order.served)?);
    let target = target(order, &order.to);
    let parts = parts(&order.to, order.headers())?;
    let (request, trace) = order.names.clone();
    let identity = Identity::kept(request, trace);
    let certificate = order.certificate.as_ref().and_then(|bytes| HeaderValue::from_bytes(bytes).ok());
    let secured = order.secured.then(|| Secured { certificate, certified: None, http2: false });
    let caller = Introduction::new(order.peer, secured);
    let call = Call {
        app,
        service,
        standing: &standing,
        asked,
        served,
        target: &target,
        parts: &parts,
        identity: &identity,
        facts,
        route: Route { caller: &caller, via: &app.via, forwarded: app.settings.forwarded },
        manner: Manner { trailers: false, grpc: false },
    };
    let response = if asked == served {
        let target = (target.path.as_str(), target.query.as_deref());
        call.send(order.to.method(), target, order.headers(), Payload::Whole(order.body.clone())).await?
    } else {
        Box::pin(translate::translate(&call, order.headers(), Body::from(order.body.clone()))).await?
    };
    let (parts, body) = response.into_parts();
    let (limit, time) = (app.settings.limits.body, app.settings.timeouts.response_body);
    // Counted while it comes: whoever looks again and again keeps no more than the last answer.
    let mut held = app.overload.holding();
    let body = collect(body, limit, time, &mut held).await.map_err(Trouble::from_service_body)?;
    let mut headers = parts.headers;
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::TRAILER);
    Ok(Answer::new(Some(&order.to.version), parts.status, &headers, body))
}

fn target(order: &Order, to: &Address) -> Target {
    let (host, authority) = (order.host.clone(), order.authority.clone());
    Target { host, authority, path: to.path.clone(), query: to.query.clone() }
}

fn parts(to: &Address, headers: HeaderMap) -> Result<Parts, Trouble> {
    let text = match &to.query {
        Some(query) => format!("{}?{query}", to.path),
        None => to.path.clone(),
    };
    let uri: Uri = text.parse().map_err(|error| Trouble::new(Kind::Internal).cause(error))?;
    let mut request = Request::new(());
    (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) = (to.method(), uri, headers);
    Ok(request.into_parts().0)
}

/// An answer in the terms of whoever asks for it, whichever version the request was sent in.
///
/// # Errors
/// Rules do not lead from the version that it is kept in to the caller's, or it breaks the service's contract.
pub(in crate::gateway) async fn read(call: &Call<'_>, order: &Order, answer: &Answer) -> Result<Response, Trouble> {
    let Some(kept_in) = &answer.version else { return Ok(answer.response()) };
    let kept_in = version(call.service, kept_in)?;
    if kept_in == call.asked {
        let mut response = answer.response();
        if call.standing.shares_addresses && order.to.version == order.served {
            call.representation().scope_etag(response.headers_mut(), false);
        }
        return Ok(response);
    }
    let (asked, body) = restated(call, order, kept_in)?;
    let target = target(order, &asked.1);
    let reader = Call {
        served: kept_in,
        target: &target,
        route: call.route,
        standing: call.standing,
        app: call.app,
        service: call.service,
        asked: call.asked,
        parts: call.parts,
        identity: call.identity,
        facts: call.facts,
        manner: call.manner,
    };
    let method = asked.1.method();
    let to = (target.path.as_str(), target.query.as_deref());
    let exchange = call.service.exchange(call.asked, kept_in, method.as_str(), to).map_err(|_| unreadable())?;
    let exchange = reader.locate(exchange, None);
    let input = RequestIn {
        method: &method,
        path: to.0,
        query: to.1,
        headers: &asked.0,
        body: Some(&*body).filter(|it| !it.is_empty()),
    };
    let sent = order.to.method();
    let asked = Asked { request: &input, sent: &sent, path: &order.to.path };
    translate::respond(&reader, &exchange, &asked, answer.response()).await
}

fn unreadable() -> Trouble {
    Trouble::new(Kind::NoRoute).detail("this version has no such request; ask in the version that it was sent in")
}

/// The request that an answer is to, in the terms of whoever reads it.
fn restated(call: &Call<'_>, order: &Order, kept_in: usize) -> Result<((HeaderMap, Address), Bytes), Trouble> {
    let headers = order.headers();
    let method: Method = order.to.method();
    let decoded = parse_codings(&headers).and_then(|codings| decode_large(call, &order.body, &codings).ok()).flatten();
    let body = decoded.map_or_else(|| order.body.clone(), Bytes::from);
    let (path, query) = (order.to.path.as_str(), order.to.query.as_deref());
    let is_own = order.from.version == call.version(call.asked);
    let mut asked = order.from.clone();
    let Ok(exchange) = call.service.exchange(kept_in, call.asked, method.as_str(), (path, query)) else {
        return if is_own { Ok(((headers, asked), Bytes::new())) } else { Err(unreadable()) };
    };
    let body_in = Some(&*body).filter(|body| exchange.reads_request_body() && !body.is_empty());
    let input = RequestIn { method: &method, path, query, headers: &headers, body: body_in };
    let out = compute(&call.worker(), body.len(), |scratch, limits| exchange.request(&input, None, scratch, limits));
    match out {
        Ok(out) => {
            if !is_own {
                let (version, method) = (call.version(call.asked).to_owned(), out.method.as_str().to_owned());
                asked = Address { version, method, path: out.path, query: out.query };
            }
            let body = match out.body {
                BodyOut::Replaced(body) => body.into(),
                BodyOut::Unchanged => body,
            };
            Ok(((out.headers, asked), body))
        }
        Err(_) if is_own => Ok(((headers, asked), Bytes::new())),
        Err(_) => Err(unreadable()),
    }
}
