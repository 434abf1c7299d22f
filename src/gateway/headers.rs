//! Header fields between the two sides: what ends here, what is added, what is never taken from outside.

use std::borrow::Cow;

use http::header::Entry;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::chance::digits;
use super::head::{elements, has_any};
use super::introduction::Introduction;
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
/// Who a caller is by its certificate; said by the gateway alone.
pub(super) const X_FORWARDED_CLIENT_CERT: HeaderName = HeaderName::from_static("x-forwarded-client-cert");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Whether a field concerns one connection (RFC 9110, 7.6.1, and its predecessors).
fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "te"
            | "transfer-encoding"
            | "upgrade"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
    )
}

/// Removes what concerns only the connection that a message came on, the fields that it names itself included.
pub(super) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    remove_hop_by_hop_and(headers, |_| false);
}

/// The same, and all fields besides whose names are so.
fn remove_hop_by_hop_and(headers: &mut HeaderMap, is_so: impl Fn(&HeaderName) -> bool) {
    if headers.keys().any(|name| *name == header::CONNECTION) {
        // What is named most goes in any case.
        let named = connection_options(headers).filter(|name| !name.eq_ignore_ascii_case("keep-alive"));
        let named: Vec<HeaderName> = named.filter_map(|name| name.parse().ok()).collect();
        for name in named {
            headers.remove(name);
        }
    }
    remove_where(headers, |name| is_hop_by_hop(name) || is_so(name));
}

/// Removes from a service's answer what concerns only its connection, and what is the gateway's to say.
pub(super) fn remove_services(headers: &mut HeaderMap) {
    remove_hop_by_hop_and(headers, |name| name.as_str().starts_with("bifocal-"));
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
    values.flat_map(elements).any(|one| one.eq_ignore_ascii_case("trailers"))
}

fn connection_options(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(elements).filter(|name| !name.is_empty())
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
        .any(|name| name.parse().is_ok_and(|name: HeaderName| END_TO_END.contains(&name) || vouches(&name)))
}

/// Whether the gateway itself writes this field (or a twin of it with underscores, which some services take for it).
pub(super) fn is_managed(name: &HeaderName) -> bool {
    let name = match name.as_str() {
        name if name.as_bytes().contains(&b'_') => Cow::Owned(name.replace('_', "-")),
        name => Cow::Borrowed(name),
    };
    name.starts_with("x-forwarded-")
        || name.starts_with("bifocal-")
        || matches!(&*name, "forwarded" | "x-request-id" | "x-real-ip" | "traceparent" | "tracestate" | "via")
}

/// Whether a field speaks to services for whoever stands in front of them, which a caller cannot.
pub(super) fn vouches(name: &HeaderName) -> bool {
    is_managed(name) || is_gateways(name)
}

/// Whether a field says of itself that a gateway wrote it (or is a twin of such a one with underscores): services take it for
/// the word of whoever stands in front of them, which a caller is not.
fn is_gateways(name: &HeaderName) -> bool {
    let name = name.as_str().as_bytes();
    name.starts_with(b"x-gateway-") || name.starts_with(b"x_gateway_")
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
        let says = has_any(headers, &[REQUEST_ID, TRACEPARENT]);
        let one = |name: HeaderName| {
            let mut values = says.then(|| headers.get_all(name).iter())?;
            values.next().filter(|_| values.next().is_none()).and_then(|value| value.to_str().ok())
        };
        let request = one(REQUEST_ID).filter(|id| is_sane_id(id)).map(str::to_owned);
        let trace = one(TRACEPARENT).filter(|trace| is_traceparent(trace)).map(str::to_owned);
        let traced = trace.is_some();
        let trace = trace.unwrap_or_else(|| digits(["00-", "", "-"], "-01"));
        let mut made = Self { request: String::new(), trace, traced };
        made.request = match request {
            Some(request) => request,
            // A caller's trace may have many requests.
            None if traced => digits(["", ""], ""),
            // Who has one of the two finds the other.
            None => made.trace_id().to_owned(),
        };
        made
    }

    /// Of a request that was kept.
    pub(super) fn kept(request: String, trace: String) -> Self {
        Self { request, trace, traced: false }
    }

    /// The trace's id.
    pub(super) fn trace_id(&self) -> &str {
        // Whatever its version, it begins so (W3C Trace Context, 3.2.2).
        self.trace.get(3..35).unwrap_or_default()
    }

    /// Whether the trace is the caller's own.
    pub(super) fn is_continued(&self) -> bool {
        self.traced
    }

    /// The caller's span, where the trace is the caller's own.
    #[cfg(feature = "otlp")]
    pub(super) fn parent(&self) -> Option<&str> {
        self.trace.split('-').nth(2).filter(|_| self.traced)
    }

    /// Whether the trace is recorded, as it says itself (W3C Trace Context, 3.2.2.5.1).
    pub(super) fn is_sampled(&self) -> bool {
        let flags = self.trace.split('-').nth(3).and_then(|flags| u8::from_str_radix(flags, 16).ok());
        flags.is_some_and(|flags| flags & 1 == 1)
    }

    /// Says of a trace that begins here that nobody records it.
    pub(super) fn leave_unsampled(&mut self) {
        self.trace.truncate(self.trace.len().saturating_sub(1));
        self.trace.push('0');
    }
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

/// What the service is told of the connection that it does not see.
#[derive(Debug, Clone, Copy)]
pub(super) struct Route<'r> {
    /// The caller's connection.
    pub(super) caller: &'r Introduction,
    /// This process, as `Via` names it.
    pub(super) via: &'r HeaderValue,
    /// What happens to what the caller says of others before it.
    pub(super) forwarded: Forwarded,
}

/// A request's headers without what ends here: the part that rules may see.
pub(super) fn end_to_end(mut kept: HeaderMap, forwarded: Forwarded) -> HeaderMap {
    let keeps = |name: &HeaderName| {
        let told = matches!(name.as_str(), "x-forwarded-for" | "x-forwarded-host" | "x-forwarded-proto" | "forwarded")
            || is_gateways(name);
        let traced = matches!(name.as_str(), "via" | "tracestate");
        traced || (told && forwarded == Forwarded::Append)
    };
    remove_hop_by_hop_and(&mut kept, |name| {
        *name == header::HOST || *name == header::EXPECT || (vouches(name) && !keeps(name))
    });
    kept
}

/// How many fields a request gets on its way.
pub(super) const OWN_FIELDS: usize = 8;

/// Adds what the gateway itself says. Done last, so that no rule can say otherwise.
pub(super) fn decorate(headers: &mut HeaderMap, route: Route<'_>, target: &Target, identity: &Identity) {
    remove_hop_by_hop_and(headers, |name| {
        let is_foreign = *name == TRACESTATE && !identity.traced;
        *name == header::HOST || *name == X_FORWARDED_CLIENT_CERT || is_foreign
    });
    // Room for all that follows at once: a map that grows is built anew.
    headers.reserve(OWN_FIELDS);
    let Introduction { address, proto, secured, .. } = route.caller;
    certify(headers, secured.as_ref());
    let asked = route.caller.asked(target.authority.as_deref());
    if route.forwarded == Forwarded::Replace {
        headers.insert(X_FORWARDED_FOR, address.clone());
        match asked.host {
            Some(host) => headers.insert(X_FORWARDED_HOST, host),
            None => headers.remove(X_FORWARDED_HOST),
        };
        headers.insert(X_FORWARDED_PROTO, proto.clone());
        headers.insert(header::FORWARDED, asked.forwarded);
    } else {
        append_to_list(headers, X_FORWARDED_FOR, address.clone());
        if let Some(host) = asked.host {
            headers.entry(X_FORWARDED_HOST).or_insert(host);
        }
        headers.entry(X_FORWARDED_PROTO).or_insert_with(|| proto.clone());
        append_to_list(headers, header::FORWARDED, asked.forwarded);
    }
    append_to_list(headers, header::VIA, route.via.clone());
    set(headers, REQUEST_ID, &identity.request);
    set(headers, TRACEPARENT, &identity.trace);
}

/// Names the span that calls, instead of the caller's.
pub(super) fn set_span(headers: &mut HeaderMap, identity: &Identity, span: u64) {
    set(headers, TRACEPARENT, &format!("00-{}-{span:016x}-01", identity.trace_id()));
}

/// Says who the caller is by its certificate. Done at the door, so that nothing inside believes the caller's own word, and
/// again on the way out, so that no rule says otherwise.
pub(super) fn vouch(headers: &mut HeaderMap, secured: Option<&Secured>) {
    remove_where(headers, |name| *name == X_FORWARDED_CLIENT_CERT);
    certify(headers, secured);
}

fn certify(headers: &mut HeaderMap, secured: Option<&Secured>) {
    if let Some(certificate) = secured.and_then(|secured| secured.certificate.clone()) {
        headers.insert(X_FORWARDED_CLIENT_CERT, certificate);
    }
}

/// Whether a request has been through this process before.
pub(super) fn is_looping(headers: &HeaderMap, via: &HeaderValue) -> bool {
    let own = via.to_str().unwrap_or_default();
    let values = headers.get_all(header::VIA).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(elements).any(|hop| hop == own)
}

/// Adds names to `Vary` that are not there yet.
pub(super) fn add_vary<'n>(headers: &mut HeaderMap, names: impl Iterator<Item = &'n HeaderName>) {
    for name in names {
        let present = headers.get_all(header::VARY).iter().filter_map(|value| value.to_str().ok()).any(|value| {
            value.split(',').any(|one| one.trim() == "*" || one.trim().eq_ignore_ascii_case(name.as_str()))
        });
        if !present {
            append_to_list(headers, header::VARY, name.clone().into());
        }
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// Whom the proxy in front says it has the request from: it adds to the end, so what stands before may be anybody's word.
pub(super) fn last_forwarded(headers: &HeaderMap) -> Option<&[u8]> {
    let last = headers.get_all("x-forwarded-for").iter().next_back()?.as_bytes();
    let last = last.rsplit(|byte| *byte == b',').next()?.trim_ascii();
    (!last.is_empty()).then_some(last)
}

/// Adds an element to a list-valued field, as one line.
fn append_to_list(headers: &mut HeaderMap, name: HeaderName, element: HeaderValue) {
    match headers.entry(name) {
        Entry::Vacant(entry) => {
            entry.insert(element);
        }
        Entry::Occupied(mut entry) => {
            let texts = entry.iter().chain([&element]).filter_map(|value| value.to_str().ok());
            let joined = texts.collect::<Vec<_>>().join(", ");
            if let Ok(joined) = HeaderValue::from_str(&joined) {
                entry.insert(joined);
            }
        }
    }
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

    const VIA: HeaderValue = HeaderValue::from_static("1.1 bifocal-x");

    fn caller() -> Introduction {
        Introduction::new("10.0.0.7:1".parse().unwrap(), None)
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
            ("x-gateway-user", "root"),
            ("X_Gateway_User", "root"),
            ("bifocal-version", "asked=v9"),
            ("x-request-id", "has space"),
            ("traceparent", "00-0-0-0"),
            ("tracestate", "a=1"),
            ("host", "evil"),
        ]);
        let mut sent = end_to_end(found.clone(), Forwarded::Replace);
        let (caller, via, forwarded) = (&caller(), &VIA, Forwarded::Replace);
        decorate(&mut sent, Route { caller, via, forwarded }, &target(), &Identity::of(&found));
        assert_eq!(sent.get("x-forwarded-for").unwrap(), "10.0.0.7");
        assert_eq!(sent.get("x-forwarded-host").unwrap(), "a.b:80");
        assert_eq!(sent.get("forwarded").unwrap(), "for=10.0.0.7;host=\"a.b:80\";proto=http");
        assert_eq!(sent.get("via").unwrap(), "1.1 bifocal-x");
        assert!(is_sane_id(sent.get("x-request-id").unwrap().to_str().unwrap()));
        let trace = sent.get("traceparent").unwrap().to_str().unwrap();
        assert!(is_traceparent(trace));
        assert_eq!(sent.get("x-request-id").unwrap().to_str().ok(), trace.get(3..35), "one leads to the other");
        assert_eq!(sent.len(), 7, "{sent:?}");
    }

    #[test]
    fn trusted_proxies_are_added_to() {
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let found = headers(&[
            ("x-forwarded-for", "6.6.6.6"),
            ("x-forwarded-proto", "https"),
            ("x-gateway-user", "ann"),
            ("x-request-id", "abc-1"),
            ("traceparent", trace),
            ("tracestate", "a=1"),
            ("via", "1.1 edge"),
        ]);
        let mut sent = end_to_end(found.clone(), Forwarded::Append);
        let identity = Identity::of(&found);
        let (caller, via, forwarded) = (&caller(), &VIA, Forwarded::Append);
        decorate(&mut sent, Route { caller, via, forwarded }, &target(), &identity);
        assert_eq!(sent.get("x-forwarded-for").unwrap(), "6.6.6.6, 10.0.0.7");
        assert_eq!(sent.get("x-forwarded-proto").unwrap(), "https");
        assert_eq!(sent.get("x-gateway-user").unwrap(), "ann");
        assert_eq!(sent.get("x-request-id").unwrap(), "abc-1");
        assert_eq!(sent.get("traceparent").unwrap(), trace);
        assert_eq!(sent.get("tracestate").unwrap(), "a=1");
        assert_eq!(identity.trace_id(), "0af7651916cd43dd8448eb211c80319c");
        assert!(is_looping(&sent, via));
        assert!(!is_looping(&found, via));
    }

    #[test]
    fn credentials_cannot_be_stripped() {
        assert!(connection_names_end_to_end(&headers(&[("connection", "close, Authorization")])));
        assert!(connection_names_end_to_end(&headers(&[("connection", "x-request-id")])));
        assert!(connection_names_end_to_end(&headers(&[("connection", "x-gateway-user")])));
        assert!(!connection_names_end_to_end(&headers(&[("connection", "keep-alive, x-tenant, te")])));
    }

    #[test]
    fn vary_is_added_once() {
        let mut found = headers(&[("vary", "Accept-Encoding, accept")]);
        add_vary(&mut found, [header::ACCEPT, "api-version".parse().unwrap()].iter());
        assert_eq!(found, headers(&[("vary", "Accept-Encoding, accept, api-version")]));
    }
}
