//! Header fields between the two sides: what ends here, what is added, what is never taken from outside.

use std::borrow::Cow;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::target::Target;
use super::tls::Secured;
use crate::settings::Forwarded;

/// The number of the rule set's generation that an exchange used.
pub(super) const GENERATION: HeaderName = HeaderName::from_static("bifocal-generation");
/// The request's id, in both directions.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// W3C trace context.
pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_CLIENT_CERT: HeaderName = HeaderName::from_static("x-forwarded-client-cert");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Fields that concern one connection (RFC 9110, 7.6.1, and their predecessors).
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
];

/// Removes what concerns only the connection that a message came on, the fields that it names itself included.
pub(super) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = connection_options(headers).filter_map(|name| name.parse().ok()).collect();
    for name in named {
        headers.remove(name);
    }
    remove_where(headers, |name| HOP_BY_HOP.contains(name));
}

/// Removes all fields whose names are so: one walk over the few that are there.
pub(super) fn remove_where(headers: &mut HeaderMap, is_so: impl Fn(&HeaderName) -> bool) {
    while let Some(name) = headers.keys().find(|name| is_so(name)).cloned() {
        headers.remove(name);
    }
}

/// Whether a caller takes trailers (RFC 9110, 10.1.4).
pub(super) fn takes_trailers(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::TE).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case("trailers"))
}

fn connection_options(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|name| !name.is_empty())
}

/// Whether `Connection` names a field that must reach the service: a way to strip credentials or routing.
pub(super) fn connection_names_end_to_end(headers: &HeaderMap) -> bool {
    const END_TO_END: [HeaderName; 8] = [
        header::AUTHORIZATION,
        header::CONTENT_ENCODING,
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::COOKIE,
        header::HOST,
        header::IF_MATCH,
        header::IF_NONE_MATCH,
    ];
    connection_options(headers)
        .any(|name| name.parse().is_ok_and(|name: HeaderName| END_TO_END.contains(&name) || is_managed(&name)))
}

/// Whether the gateway itself writes this field (or a twin of it with underscores, which some services take for it).
pub(super) fn is_managed(name: &HeaderName) -> bool {
    let name = match name.as_str() {
        name if name.contains('_') => Cow::Owned(name.replace('_', "-")),
        name => Cow::Borrowed(name),
    };
    name.starts_with("x-forwarded-")
        || name.starts_with("bifocal-")
        || matches!(&*name, "forwarded" | "x-request-id" | "x-real-ip" | "traceparent" | "tracestate" | "via")
}

/// What names a request in logs and at the service.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    /// `x-request-id`.
    pub(super) request: String,
    /// `traceparent`.
    pub(super) trace: String,
    /// Whether the trace is the caller's own.
    traced: bool,
}

impl Identity {
    /// Takes over what the caller says if it is sane, else makes it up.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let one = |name: HeaderName| {
            let mut values = headers.get_all(name).iter();
            values.next().filter(|_| values.next().is_none()).and_then(|value| value.to_str().ok())
        };
        let request = one(REQUEST_ID).filter(|id| is_sane_id(id)).map(str::to_owned);
        let trace = one(TRACEPARENT).filter(|trace| is_traceparent(trace)).map(str::to_owned);
        Self {
            request: request.unwrap_or_else(|| digits(["", ""], "")),
            traced: trace.is_some(),
            trace: trace.unwrap_or_else(|| digits(["00-", "", "-"], "-01")),
        }
    }

    /// Of a request that was kept.
    pub(super) fn kept(request: String, trace: String) -> Self {
        Self { request, trace, traced: false }
    }

    /// The trace's id.
    pub(super) fn trace_id(&self) -> &str {
        self.trace.split('-').nth(1).unwrap_or_default()
    }
}

/// Random hexadecimal digits, sixteen after each of these.
fn digits<const N: usize>(before: [&str; N], after: &str) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(64);
    for part in before {
        text.push_str(part);
        let mut bits = random();
        for _ in 0..16 {
            text.push(char::from(DIGITS.get((bits >> 60) as usize).copied().unwrap_or(b'0')));
            bits <<= 4;
        }
    }
    text + after
}

fn is_sane_id(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@~".contains(&byte);
    (1..=128).contains(&id.len()) && id.bytes().all(plain)
}

/// W3C Trace Context, 3.2: version `00`, neither id all zeros.
fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let hex = |part: &str, length| {
        part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let some = |part: &str| part.bytes().any(|byte| byte != b'0');
    matches!(parts.as_slice(), ["00", trace, parent, flags]
        if hex(trace, 32) && hex(parent, 16) && hex(flags, 2) && some(trace) && some(parent))
}

/// Random enough for ids: every [`RandomState`] has its own keys, seeded by the system.
pub(super) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// What the service is told of the connection that it does not see.
#[derive(Debug, Clone)]
pub(super) struct Route {
    /// The other end of the caller's connection.
    pub(super) peer: SocketAddr,
    /// What TLS says of it; none: there is no TLS.
    pub(super) secured: Option<Secured>,
    /// This process, as `Via` names it.
    pub(super) via: HeaderValue,
    /// What happens to what the caller says of others before it.
    pub(super) forwarded: Forwarded,
}

/// A request's headers without what ends here: the part that rules may see.
pub(super) fn end_to_end(mut kept: HeaderMap, forwarded: Forwarded) -> HeaderMap {
    remove_hop_by_hop(&mut kept);
    kept.remove(header::HOST);
    kept.remove(header::EXPECT);
    let keeps = |name: &HeaderName| {
        let told = matches!(name.as_str(), "x-forwarded-for" | "x-forwarded-host" | "x-forwarded-proto" | "forwarded");
        let traced = matches!(name.as_str(), "via" | "tracestate");
        traced || (told && forwarded == Forwarded::Append)
    };
    remove_where(&mut kept, |name| is_managed(name) && !keeps(name));
    kept
}

/// How many fields a request gets on its way.
const OWN_FIELDS: usize = 8;

/// Adds what the gateway itself says. Done last, so that no rule can say otherwise.
pub(super) fn decorate(headers: &mut HeaderMap, route: &Route, target: &Target, identity: &Identity) {
    remove_hop_by_hop(headers);
    headers.remove(header::HOST);
    // Room for all that follows at once: a map that grows is built anew.
    headers.reserve(OWN_FIELDS);
    if route.forwarded == Forwarded::Replace {
        for name in [X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO, header::FORWARDED] {
            headers.remove(name);
        }
    }
    vouch(headers, route.secured.as_ref());
    let proto = if route.secured.is_some() { "https" } else { "http" };
    let peer = route.peer.ip().to_string();
    let node = match route.peer.ip() {
        IpAddr::V4(_) => Cow::Borrowed(&*peer),
        IpAddr::V6(address) => Cow::Owned(format!("\"[{address}]\"")),
    };
    let authority = target.authority.as_deref().unwrap_or_default();
    append_to_list(headers, X_FORWARDED_FOR, &peer);
    if !headers.contains_key(X_FORWARDED_HOST) && !authority.is_empty() {
        set(headers, X_FORWARDED_HOST, authority);
    }
    if !headers.contains_key(X_FORWARDED_PROTO) {
        set(headers, X_FORWARDED_PROTO, proto);
    }
    let host = if authority.is_empty() { String::new() } else { format!(";host=\"{authority}\"") };
    append_to_list(headers, header::FORWARDED, &format!("for={node}{host};proto={proto}"));
    if let Ok(via) = route.via.to_str() {
        append_to_list(headers, header::VIA, via);
    }
    set(headers, REQUEST_ID, &identity.request);
    set(headers, TRACEPARENT, &identity.trace);
    if !identity.traced {
        headers.remove(TRACESTATE);
    }
}

/// Says who the caller is by its certificate. Done at the door, so that nothing inside believes the caller's own word, and
/// again on the way out, so that no rule says otherwise.
pub(super) fn vouch(headers: &mut HeaderMap, secured: Option<&Secured>) {
    headers.remove(X_FORWARDED_CLIENT_CERT);
    if let Some(certificate) = secured.and_then(|secured| secured.certificate.clone()) {
        headers.insert(X_FORWARDED_CLIENT_CERT, certificate);
    }
}

/// Whether a request has been through this process before.
pub(super) fn is_looping(headers: &HeaderMap, via: &HeaderValue) -> bool {
    let own = via.to_str().unwrap_or_default();
    let values = headers.get_all(header::VIA).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|hop| hop.trim() == own)
}

/// Adds names to `Vary` that are not there yet.
pub(super) fn add_vary<'n>(headers: &mut HeaderMap, names: impl Iterator<Item = &'n HeaderName>) {
    for name in names {
        let present = headers.get_all(header::VARY).iter().filter_map(|value| value.to_str().ok()).any(|value| {
            value.split(',').any(|one| one.trim() == "*" || one.trim().eq_ignore_ascii_case(name.as_str()))
        });
        if !present {
            append_to_list(headers, header::VARY, name.as_str());
        }
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// Adds an element to a list-valued field, as one line.
fn append_to_list(headers: &mut HeaderMap, name: HeaderName, element: &str) {
    if !headers.contains_key(&name) {
        return set(headers, name, element);
    }
    let before: Vec<&str> = headers.get_all(&name).iter().filter_map(|value| value.to_str().ok()).collect();
    let joined = if before.is_empty() { element.to_owned() } else { format!("{}, {element}", before.join(", ")) };
    set(headers, name, &joined);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        headers
    }

    fn route(forwarded: Forwarded) -> Route {
        Route {
            peer: "10.0.0.7:1".parse().unwrap(),
            secured: None,
            via: HeaderValue::from_static("1.1 bifocal-x"),
            forwarded,
        }
    }

    fn target() -> Target {
        Target { host: Some("a.b".into()), authority: Some("a.b:80".into()), path: "/".into(), query: None }
    }

    #[test]
    fn what_concerns_one_connection_ends_here() {
        let mut found = headers(&[
            ("connection", "close, X-Tenant"),
            ("x-tenant", "1"),
            ("te", "trailers"),
            ("keep-alive", "5"),
            ("proxy-authorization", "Basic x"),
            ("authorization", "Bearer x"),
        ]);
        remove_hop_by_hop(&mut found);
        assert_eq!(found, headers(&[("authorization", "Bearer x")]));
    }

    #[test]
    fn nothing_of_the_gateways_own_is_taken_from_a_caller() {
        let found = headers(&[
            ("x-forwarded-for", "6.6.6.6"),
            ("X_Forwarded_For", "6.6.6.6"),
            ("forwarded", "for=6.6.6.6"),
            ("x-forwarded-client-cert", "By=x"),
            ("bifocal-version", "asked=v9"),
            ("x-request-id", "has space"),
            ("traceparent", "00-0-0-0"),
            ("tracestate", "a=1"),
            ("host", "evil"),
        ]);
        let mut sent = end_to_end(found.clone(), Forwarded::Replace);
        decorate(&mut sent, &route(Forwarded::Replace), &target(), &Identity::of(&found));
        assert_eq!(sent.get("x-forwarded-for").unwrap(), "10.0.0.7");
        assert_eq!(sent.get("x-forwarded-host").unwrap(), "a.b:80");
        assert_eq!(sent.get("forwarded").unwrap(), "for=10.0.0.7;host=\"a.b:80\";proto=http");
        assert_eq!(sent.get("via").unwrap(), "1.1 bifocal-x");
        assert!(is_sane_id(sent.get("x-request-id").unwrap().to_str().unwrap()));
        assert!(is_traceparent(sent.get("traceparent").unwrap().to_str().unwrap()));
        assert_eq!(sent.len(), 7, "{sent:?}");
    }

    #[test]
    fn trusted_proxies_are_added_to() {
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let found = headers(&[
            ("x-forwarded-for", "6.6.6.6"),
            ("x-forwarded-proto", "https"),
            ("x-request-id", "abc-1"),
            ("traceparent", trace),
            ("tracestate", "a=1"),
            ("via", "1.1 edge"),
        ]);
        let mut sent = end_to_end(found.clone(), Forwarded::Append);
        let identity = Identity::of(&found);
        decorate(&mut sent, &route(Forwarded::Append), &target(), &identity);
        assert_eq!(sent.get("x-forwarded-for").unwrap(), "6.6.6.6, 10.0.0.7");
        assert_eq!(sent.get("x-forwarded-proto").unwrap(), "https");
        assert_eq!(sent.get("x-request-id").unwrap(), "abc-1");
        assert_eq!(sent.get("traceparent").unwrap(), trace);
        assert_eq!(sent.get("tracestate").unwrap(), "a=1");
        assert_eq!(identity.trace_id(), "0af7651916cd43dd8448eb211c80319c");
        assert!(is_looping(&sent, &route(Forwarded::Append).via));
        assert!(!is_looping(&found, &route(Forwarded::Append).via));
    }

    #[test]
    fn credentials_cannot_be_stripped() {
        assert!(connection_names_end_to_end(&headers(&[("connection", "close, Authorization")])));
        assert!(connection_names_end_to_end(&headers(&[("connection", "x-request-id")])));
        assert!(!connection_names_end_to_end(&headers(&[("connection", "keep-alive, x-tenant, te")])));
    }

    #[test]
    fn vary_is_added_once() {
        let mut found = headers(&[("vary", "Accept-Encoding, accept")]);
        add_vary(&mut found, [header::ACCEPT, "api-version".parse().unwrap()].iter());
        assert_eq!(found, headers(&[("vary", "Accept-Encoding, accept, api-version")]));
    }
}
