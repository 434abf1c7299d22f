//! Requests that ask to speak another protocol on their connection: `Upgrade` (RFC 9110, 7.8) and, in HTTP/2, extended
//! CONNECT (RFC 8441), which services that speak HTTP/1.1 are asked as `Upgrade`.
//!
//! Nothing is passed on before the service agrees. What it says instead is an ordinary response.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Version, header};
use http_body::Body as _;
use hyper::ext::Protocol;
use hyper::upgrade::OnUpgrade;
use ring::digest;

use super::chance::random;
use super::exchange::Call;
use super::headers::{decorate, remove_hop_by_hop, remove_where};
use super::restate::restate_request;
use super::translate::{compute, find_route, finish};
use super::trouble::{Kind, Trouble};
use super::tunnel::Switched;
use super::upstream::{Outgoing, Payload, Sent, target as address};
use crate::codecs::encode_base64;
use crate::plan::RequestIn;

const WEBSOCKET: &str = "websocket";
/// RFC 6455, 1.3: what a key is hashed with.
const WEBSOCKET_GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Makes a request for a WebSocket in HTTP/2 one for the resource that it names: for everything that reads its head it
/// is a GET. False: it is another CONNECT.
pub(super) fn admit_connect(request: &mut Request<Body>, allowed: &[String]) -> bool {
    let protocol = request.extensions().get::<Protocol>().map(Protocol::as_str);
    let is_wanted = protocol == Some(WEBSOCKET) && allowed.iter().any(|name| name == WEBSOCKET);
    if is_wanted && request.uri().scheme().is_some() {
        *request.method_mut() = Method::GET;
        return true;
    }
    false
}

/// The protocol that a request asks for, if it may have it.
pub(super) fn wanted<'a>(parts: &Parts, body: &Body, allowed: &'a [String]) -> Option<&'a str> {
    if parts.extensions.get::<Protocol>().is_some() {
        return allowed.iter().map(String::as_str).find(|name| *name == WEBSOCKET);
    }
    // Only a request that has ended can be followed by something else.
    let may = parts.version == Version::HTTP_11 && parts.method == Method::GET && body.is_end_stream();
    if !may || !has_token(&parts.headers, &header::CONNECTION, "upgrade") {
        return None;
    }
    let asked = tokens(&parts.headers, &header::UPGRADE).collect::<Vec<_>>();
    allowed.iter().map(String::as_str).find(|name| asked.iter().any(|one| one.eq_ignore_ascii_case(name)))
}

fn tokens<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|one| one.eq_ignore_ascii_case(token))
}

/// Has the service asked for `protocol`, and the caller told what it says.
///
/// # Errors
/// Rules stand between the two sides, there are too many tunnels, the service fails or agrees to something else.
pub(super) async fn serve(call: &Call<'_>, protocol: &str, headers: HeaderMap) -> Result<Response, Trouble> {
    let permit = call.app.tunnels.clone().try_acquire_owned().map_err(|_| {
        let soon = HeaderValue::from_static("1");
        Trouble::new(Kind::Overloaded)
            .detail("too many connections have changed their protocol")
            .header(header::RETRY_AFTER, soon)
    })?;
    let (path, query, mut headers) = if call.asked == call.served {
        call.note_operation();
        (call.target.path.clone(), call.target.query.clone(), headers)
    } else {
        mapped(call, headers)?
    };
    let Some(cluster) = call.cluster() else {
        return Err(Trouble::new(Kind::Internal).cause("the version that answers has no upstream"));
    };
    let target = address(cluster.prefix(), &call.parts.uri, &path, query.as_deref())?;
    headers.remove(header::CONTENT_LENGTH);
    decorate(&mut headers, call.route, call.target, call.identity);
    let on_http2 = call.parts.extensions.get::<OnUpgrade>().filter(|_| call.parts.version == Version::HTTP_2);
    let key = on_http2.map(|_| propose(&mut headers));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Ok(protocol) = HeaderValue::from_str(protocol) {
        headers.insert(header::UPGRADE, protocol);
    }
    let body = Payload::Whole(Bytes::new());
    let outgoing = Outgoing { method: Method::GET, target, headers, body, silence: None };
    let mut sent = Sent::default();
    let begun = std::time::Instant::now();
    let answered = call.app.upstreams.switch(cluster, outgoing, &mut sent).await;
    call.note(begun, sent);
    let (mut response, upgraded) = answered?;

    let agreed = has_token(response.headers(), &header::UPGRADE, protocol)
        && tokens(response.headers(), &header::UPGRADE).count() == 1;
    let accepted = key.as_deref().is_none_or(|key| accepts(response.headers(), key));
    remove_hop_by_hop(response.headers_mut());
    remove_where(response.headers_mut(), |name| name.as_str().starts_with("bifocal-"));
    call.app.forget_own(response.headers_mut());
    match upgraded {
        Some(upstream) if agreed && accepted => {
            call.app.metrics.upgraded(protocol, "switched");
            let headers = response.headers_mut();
            headers.remove(header::CONTENT_LENGTH);
            if on_http2.is_some() {
                headers.remove(header::SEC_WEBSOCKET_ACCEPT);
                *response.status_mut() = StatusCode::OK;
            } else {
                headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
                headers.extend(HeaderValue::from_str(protocol).ok().map(|value| (header::UPGRADE, value)));
            }
            let switched = Switched::new(upstream, on_http2.cloned(), permit);
            call.facts.change(|known| known.switched = Some(switched));
            Ok(response)
        }
        Some(_) => Err(broken(call, protocol, "101 for another protocol than was asked for")),
        // In HTTP/2 that would mean that it agrees.
        None if on_http2.is_some() && response.status().is_success() => {
            Err(broken(call, protocol, "no change of protocol, and no refusal"))
        }
        None => {
            call.app.metrics.upgraded(protocol, "refused");
            if call.asked != call.served {
                let headers = std::mem::take(response.headers_mut());
                *response.headers_mut() = finish(call, &path, headers, false);
            }
            Ok(response)
        }
    }
}

fn broken(call: &Call<'_>, protocol: &str, cause: &str) -> Trouble {
    call.app.metrics.upgraded(protocol, "broken");
    Trouble::new(Kind::UpstreamContract).cause(cause)
}

/// Where the other version has the resource. What passes then is nobody's but the two sides', so no rule may speak of it.
fn mapped(call: &Call<'_>, mut headers: HeaderMap) -> Result<(String, Option<String>, HeaderMap), Trouble> {
    let exchange = find_route(call)?;
    call.facts.change(|known| known.route = Some(exchange.label().to_owned()));
    if !exchange.is_bare() {
        let detail = "rules translate what this resource says, and nothing translates another protocol";
        return Err(Trouble::new(Kind::Upgrade).detail(detail));
    }
    let query = call.target.query.as_deref();
    let query = restate_request(call.service, call.version(call.served), &mut headers, query);
    let (method, path) = (&call.parts.method, call.target.path.as_str());
    let input = RequestIn { method, path, query: query.as_deref(), headers: &headers, body: None };
    let out = compute(&call.worker(), 0, |scratch, limits| exchange.request(&input, None, scratch, limits));
    let out = out.map_err(Trouble::from_request)?;
    if out.method != Method::GET {
        return Err(Trouble::new(Kind::Upgrade).detail("the other version has another method for this resource"));
    }
    Ok((out.path, out.query, out.headers))
}

/// A WebSocket's opening as HTTP/1.1 has it (RFC 6455, 4.1): gives the key that its answer depends on.
fn propose(headers: &mut HeaderMap) -> String {
    let bytes = [random().to_be_bytes(), random().to_be_bytes()].concat();
    let key = encode_base64(&bytes);
    if let Ok(value) = HeaderValue::from_str(&key) {
        headers.insert(header::SEC_WEBSOCKET_KEY, value);
    }
    key
}

/// Whether an answer is one to this key (RFC 6455, 4.2.2).
fn accepts(headers: &HeaderMap, key: &str) -> bool {
    let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{WEBSOCKET_GUID}").as_bytes());
    headers.get(header::SEC_WEBSOCKET_ACCEPT).is_some_and(|value| *value == encode_base64(hash.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(lines: &[(&str, &str)]) -> Option<String> {
        let mut request = Request::builder().uri("/").version(Version::HTTP_11);
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let allowed = ["websocket".to_owned(), "pets/1".to_owned()];
        wanted(&parts, &Body::empty(), &allowed).map(str::to_owned)
    }

    #[test]
    fn only_what_is_allowed_is_asked_for() {
        assert_eq!(
            asked(&[("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")]).as_deref(),
            Some("websocket")
        );
        assert_eq!(asked(&[("connection", "upgrade"), ("upgrade", "h2c, Pets/1")]).as_deref(), Some("pets/1"));
        assert_eq!(asked(&[("upgrade", "websocket")]), None, "the connection does not say so");
        assert_eq!(asked(&[("connection", "upgrade"), ("upgrade", "h2c")]), None);
        assert_eq!(asked(&[("connection", "upgrade")]), None);
    }

    #[test]
    fn an_answer_is_one_to_its_key() {
        // The example of RFC 6455, 1.3.
        let mut headers = HeaderMap::new();
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, HeaderValue::from_static("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert!(accepts(&headers, "dGhlIHNhbXBsZSBub25jZQ=="));
        assert!(!accepts(&headers, "another"));
        assert_eq!(propose(&mut headers).len(), 24);
    }
}
