//! Addresses in the headers of a translated response: the same resource at the caller's version's address.

use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, header};

use super::exchange::Call;
use super::restate::restate_address;
use crate::plan::{Limits, RequestIn, Scratch};

/// Takes the addresses in `Location`, `Content-Location` and `Link` back through the route table. One that no route
/// maps, or of another host, stays as it is. `asked_for`: the path that the service was asked for, to which relative
/// addresses are relative.
pub(super) fn relocate(call: &Call<'_>, asked_for: &str, headers: &mut HeaderMap) {
    for name in [header::LOCATION, header::CONTENT_LOCATION] {
        let told = headers.get(&name).and_then(|value| value.to_str().ok());
        let again = told.and_then(|told| address_for_caller(call, asked_for, told));
        if let Some(value) = again.and_then(|address| HeaderValue::from_str(&address).ok()) {
            headers.insert(name, value);
        }
    }
    let links: Vec<HeaderValue> = headers.get_all(header::LINK).iter().cloned().collect();
    headers.remove(header::LINK);
    for value in links {
        let again =
            value.to_str().ok().map(|text| rewrite_links(text, |target| address_for_caller(call, asked_for, target)));
        headers.append(header::LINK, again.and_then(|text| HeaderValue::from_str(&text).ok()).unwrap_or(value));
    }
}

/// A request for the address by the service's own callers, translated the other way.
fn address_for_caller(call: &Call<'_>, asked_for: &str, told: &str) -> Option<String> {
    let base = call.base()?;
    let address = Address::parse(told)?;
    let own_prefix = base.path().trim_end_matches('/');
    let (before, prefix) = match address.authority {
        // The service's own host is its own business; the one that callers know stays.
        Some(host) if base.authority().is_some_and(|own| same_host(own, host)) => ("", own_prefix),
        Some(host) if call.target.authority.as_deref().is_some_and(|known| known.eq_ignore_ascii_case(host)) => {
            (told.get(..address.path_at)?, "")
        }
        Some(_) => return None,
        None => ("", own_prefix),
    };
    let path = match (address.path, address.authority) {
        (path, _) if path.starts_with('/') => path.strip_prefix(prefix)?.to_owned(),
        ("", Some(_)) => "/".to_owned(),
        ("", None) => asked_for.to_owned(),
        (relative, _) => resolve(asked_for, relative)?,
    };
    let query = address.query.map(|query| restate_address(call.service, call.version(call.asked), query));
    let headers = HeaderMap::new();
    let methods = [&Method::GET, &call.parts.method, &Method::PUT, &Method::PATCH, &Method::DELETE, &Method::POST];
    let out = methods.iter().find_map(|method| {
        let exchange =
            call.service.exchange(call.served, call.asked, method.as_str(), (&path, query.as_deref())).ok()?;
        let request = RequestIn { method, path: &path, query: query.as_deref(), headers: &headers, body: None };
        exchange.request(&request, None, &mut Scratch::default(), Limits::default()).ok()
    })?;
    let query = out.query.map(|query| format!("?{query}")).unwrap_or_default();
    Some(format!("{before}{}{query}{}", out.path, address.fragment))
}

fn same_host(own: &Authority, host: &str) -> bool {
    own.as_str().eq_ignore_ascii_case(host)
}

/// The parts of an http address or a reference to one (RFC 3986, 4.1).
struct Address<'a> {
    authority: Option<&'a str>,
    /// Where the path begins.
    path_at: usize,
    path: &'a str,
    query: Option<&'a str>,
    /// With its `#`.
    fragment: &'a str,
}

impl<'a> Address<'a> {
    /// `None` for addresses of another scheme.
    fn parse(text: &'a str) -> Option<Self> {
        let (rest, fragment) = text.split_at(text.find('#').unwrap_or(text.len()));
        let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
        let scheme_end = rest.find(':').filter(|end| !rest.get(..*end).is_some_and(|scheme| scheme.contains('/')));
        let scheme = scheme_end.and_then(|end| rest.get(..end)).unwrap_or_default();
        if !["", "http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
            return None;
        }
        let after = rest.get(scheme_end.map_or(0, |end| end + 1)..)?;
        let authority = after.strip_prefix("//").map(|rest| rest.split('/').next().unwrap_or_default());
        if authority.is_none() && scheme_end.is_some() {
            return None;
        }
        let path_at = rest.len() - after.len() + authority.map_or(0, |host| host.len() + 2);
        Some(Self { authority, path_at, path: rest.get(path_at..)?, query, fragment })
    }
}

/// A relative path against the path that it is relative to (RFC 3986, 5.2.3 and 5.2.4).
fn resolve(from: &str, relative: &str) -> Option<String> {
    let mut segments: Vec<&str> = from.strip_prefix('/')?.split('/').collect();
    segments.pop();
    let last = relative.split('/').count() - 1;
    for (index, segment) in relative.split('/').enumerate() {
        match segment {
            "." | ".." => {
                if segment == ".." {
                    segments.pop();
                }
                if index == last {
                    segments.push("");
                }
            }
            plain => segments.push(plain),
        }
    }
    Some(format!("/{}", segments.join("/")))
}

/// A `Link` value (RFC 8288, 3) with the targets between its angle brackets exchanged.
fn rewrite_links(text: &str, exchange: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut rest, mut quoted) = (text, false);
    while let Some(at) = rest.find(['"', '<', '\\']) {
        let (before, here) = rest.split_at(at);
        out.push_str(before);
        let taken = match (here.as_bytes().first(), quoted) {
            (Some(b'\\'), true) => here.chars().take(2).map(char::len_utf8).sum(),
            (Some(b'<'), false) => match here.find('>') {
                Some(end) => {
                    let target = here.get(1..end).unwrap_or_default();
                    out.push('<');
                    out.push_str(exchange(target.trim()).as_deref().unwrap_or(target));
                    rest = here.get(end..).unwrap_or_default();
                    continue;
                }
                None => here.len(),
            },
            (first, _) => {
                quoted ^= first == Some(&b'"');
                1
            }
        };
        let (copied, after) = here.split_at(taken);
        out.push_str(copied);
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_parts() {
        let read = |text| {
            let Address { authority, path_at, path, query, fragment } = Address::parse(text)?;
            assert_eq!(text.get(path_at..path_at + path.len()), Some(path));
            Some((authority, path, query, fragment))
        };
        assert_eq!(read("http://a:1/b?c=http://d/#e?f"), Some((Some("a:1"), "/b", Some("c=http://d/"), "#e?f")));
        assert_eq!(read("//a/b"), Some((Some("a"), "/b", None, "")));
        assert_eq!(read("HTTPS://a"), Some((Some("a"), "", None, "")));
        assert_eq!(read("/a:b"), Some((None, "/a:b", None, "")));
        assert_eq!(read("b/c?d"), Some((None, "b/c", Some("d"), "")));
        for other in ["mailto:a@b", "urn:x:y", "http:a", "ftp://a/b"] {
            assert_eq!(read(other), None, "{other}");
        }
    }

    #[test]
    fn relative_paths_are_resolved() {
        for (from, relative, expected) in [
            ("/a/b", "c", "/a/c"),
            ("/a/b/", "c/d", "/a/b/c/d"),
            ("/a/b/c", "../d", "/a/d"),
            ("/a/b/c", "./d", "/a/b/d"),
            ("/a", "../../d", "/d"),
            ("/a/b/c", "..", "/a/"),
        ] {
            assert_eq!(resolve(from, relative).as_deref(), Some(expected), "{from} {relative}");
        }
    }

    #[test]
    fn only_targets_of_links_are_exchanged() {
        let upper = |text: &str| (text != "/x").then(|| text.to_uppercase());
        for (text, expected) in [
            ("</a>; rel=next, <b>;rel=\"prev\"", "</A>; rel=next, <B>;rel=\"prev\""),
            ("</x>; title=\"</a>, \\\"<b>\"; rel=next", "</x>; title=\"</a>, \\\"<b>\"; rel=next"),
            ("</a", "</a"),
            ("", ""),
        ] {
            assert_eq!(rewrite_links(text, upper), expected);
        }
    }
}
