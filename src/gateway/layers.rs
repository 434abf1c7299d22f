//! The order in which a request passes, on one screen.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};

use super::App;
use super::connection::{Answering, Arrival};
use super::exchange;
use super::framing::{FRAGMENT, Verdict};
use super::headers::{X_FORWARDED_CLIENT_CERT, connection_names_end_to_end, is_looping, last_forwarded, vouch};
use super::overload::{Key, Place, Rung};
use super::record::{Recorded, Recording};
use super::rescue::{Listener, rescue};
use super::target::{Target, WHOLE, parse_target};
use super::tls::Secured;
use super::trouble::{Kind, Trouble};
use super::upgrade::admit_connect;
use crate::settings::{Forwarded, Limits};

/// What serves callers.
#[derive(Clone)]
pub(super) struct DataPlane(pub(super) Arc<App>);

impl Answering for DataPlane {
    type Body = Recorded;

    /// Everything between a connection and the life of a request, outermost first.
    async fn answer(self, mut request: Request<Body>, arrival: Arrival) -> Response<Recorded> {
        let Self(app) = self;
        let Arrival { busy, framed } = arrival;
        // First, so that whatever follows is recorded, and so that every answer carries the request's id.
        let mut recording = Recording::begin(&app, busy, &request);
        let listener = Listener::of(&request);
        // Outside of all that may fail or panic, inside of what records the outcome.
        let response = {
            let Recording { identity, facts, admitted, busy, .. } = &mut *recording;
            let (identity, facts, caller) = (&*identity, &*facts, busy.caller());
            let inner = pin!(async {
                // Before any work is done for a request, but after it has a name by which its refusal can be found.
                *admitted = Some(admit(&app, caller.peer, request.headers())?);
                // Before anything reads the request: from here on there is one target, one host, one framing.
                let target = strict(&app, framed, &mut request)?;
                if target.path == WHOLE {
                    return Ok(options());
                }
                if target.path != request.uri().path() {
                    facts.change(|known| known.path = Some(target.path.clone()));
                }
                exchange::handle(&app, (identity, facts, &target, caller), request).await
            });
            rescue(identity, facts, listener, inner).await
        };
        recording.answered(response)
    }
}

/// Refuses what would be more than the gateway can have in work.
fn admit(app: &App, peer: SocketAddr, headers: &HeaderMap) -> Result<Place, Trouble> {
    if app.overload.rung() >= Rung::Refusing {
        return Err(Trouble::overloaded().closing());
    }
    // Behind proxies that are trusted all come from one address, and the last of them says from which it has it.
    let forwarded = match app.settings.forwarded {
        Forwarded::Append => last_forwarded(headers),
        Forwarded::Replace => None,
    };
    let key = forwarded.map_or(Key::Peer(peer.ip()), Key::Forwarded);
    app.overload.room.enter(key).ok_or_else(|| Trouble::overloaded().closing())
}

/// Refuses requests that hyper lets through and that two readers could understand differently.
fn strict(app: &App, framed: Option<Verdict>, request: &mut Request<Body>) -> Result<Target, Trouble> {
    check_framing(framed, request.version(), request.headers()).map_err(Trouble::closing)?;
    check_method(request, &app.settings.upgrades).map_err(Trouble::closing)?;
    let named = check_head(request, &app.settings.limits).map_err(Trouble::closing)?;
    if request.version() == Version::HTTP_2 {
        join_cookies(request.headers_mut()).map_err(Trouble::closing)?;
    }
    let secured = request.extensions().get::<Secured>().cloned();
    if named.client || secured.is_some() {
        vouch(request.headers_mut(), secured.as_ref());
    }
    if named.via && is_looping(request.headers(), &app.via) {
        return Err(Trouble::new(Kind::Loop));
    }
    parse_target(request).map_err(|reason| Trouble::new(Kind::Target).detail(reason).closing())
}

/// What HTTP/2 may send in parts is one field for everybody else (RFC 9113, 8.2.3).
fn join_cookies(headers: &mut HeaderMap) -> Result<(), Trouble> {
    let parts: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if parts.len() > 1 {
        let whole = HeaderValue::from_bytes(&parts.join(&b"; "[..]));
        let whole = whole.map_err(|error| Trouble::new(Kind::Internal).cause(error))?;
        headers.insert(header::COOKIE, whole);
    }
    Ok(())
}

/// `OPTIONS *` is about the gateway itself, which has nothing to offer beyond what each resource has.
fn options() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

fn check_framing(framed: Option<Verdict>, version: Version, headers: &HeaderMap) -> Result<(), Trouble> {
    match framed {
        Some(Ok(())) => {}
        Some(Err(reason)) if reason == FRAGMENT => return Err(Trouble::new(Kind::Target).detail(reason)),
        Some(Err(reason)) => return Err(Trouble::new(Kind::Framing).detail(reason)),
        None => return Err(Trouble::new(Kind::Framing).detail("the request's end cannot be told for certain")),
    }
    if version == Version::HTTP_2 && headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(Trouble::new(Kind::Framing).detail("HTTP/2 has no transfer codings"));
    }
    Ok(())
}

/// No tunnels to where callers like, and no echo of what others have added on the way.
fn check_method(request: &mut Request<Body>, upgrades: &[String]) -> Result<(), Trouble> {
    let method = request.method();
    let is_refused = *method == Method::TRACE || (*method == Method::CONNECT && !admit_connect(request, upgrades));
    if is_refused { Err(Trouble::new(Kind::Method)) } else { Ok(()) }
}

/// Which fields a head has that have to be looked at once more.
#[derive(Default)]
struct Named {
    via: bool,
    /// What only the gateway says of a caller's certificate.
    client: bool,
}

fn check_head(request: &Request<Body>, limits: &Limits) -> Result<Named, Trouble> {
    let headers = request.headers();
    let uri = request.uri();
    let target_length = uri.path().len() + uri.query().map_or(0, |query| query.len() + 1);
    if target_length > limits.uri {
        return Err(Trouble::new(Kind::TargetTooLong).detail(format!("the limit is {} bytes", limits.uri)));
    }
    // One walk over the few that are there, instead of a search for each.
    let (mut bytes, mut types, mut is_connection_named) = (0, 0, false);
    let (mut expectation, mut named) = (None, Named::default());
    for (name, value) in headers {
        bytes += name.as_str().len() + value.len() + 4;
        types += usize::from(*name == header::CONTENT_TYPE);
        is_connection_named |= *name == header::CONNECTION;
        if *name == header::EXPECT {
            expectation.get_or_insert(value);
        }
        named.via |= *name == header::VIA;
        named.client |= *name == X_FORWARDED_CLIENT_CERT;
    }
    if headers.len() > limits.header_count || bytes > limits.header_bytes {
        return Err(Trouble::new(Kind::HeadersTooLarge)
            .detail(format!("the limits are {} headers and {} bytes", limits.header_count, limits.header_bytes)));
    }
    if types > 1 {
        return Err(Trouble::new(Kind::Header).detail("there is more than one Content-Type"));
    }
    if is_connection_named && connection_names_end_to_end(headers) {
        return Err(Trouble::new(Kind::Header).detail("Connection names a header that must reach the service"));
    }
    if expectation.is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        return Err(Trouble::new(Kind::Expectation).detail("the only expectation is `100-continue`"));
    }
    Ok(named)
}
