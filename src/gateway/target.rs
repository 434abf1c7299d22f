//! Where a request is going: one host and one canonical path, used for routing, rules, the log and the upstream alike.
//!
//! A path that two readers could read differently is refused, not repaired: dot segments, empty segments, encoded
//! slashes, backslashes, control characters. What is left has one spelling: unreserved characters are written plainly,
//! other escapes in upper case (RFC 3986, 6.2.2).

use http::uri::{Authority, Scheme};
use http::{HeaderMap, Method, Request, Uri, Version, header};

use crate::path::{first_segment, percent};

/// Where a request is going.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// Lower case, without port; absent only where HTTP/1.0 says nothing.
    pub(super) host: Option<String>,
    /// Host and port as the caller wrote them, for `X-Forwarded-Host`.
    pub(super) authority: Option<String>,
    /// Canonical, begins with `/`; or [`WHOLE`].
    pub(super) path: String,
    /// As on the wire, without `?`.
    pub(super) query: Option<String>,
}

/// The path of a request that is about the server and none of its resources (RFC 9110, 9.3.7).
pub(super) const WHOLE: &str = "*";

/// Reads where a request is going.
///
/// # Errors
/// What is wrong with it, for people.
pub(super) fn parse_target<B>(request: &Request<B>) -> Result<Target, &'static str> {
    let (uri, version, headers) = (request.uri(), request.version(), request.headers());
    let authority = one_authority(uri, version, headers)?;
    let host = match &authority {
        Some(text) => Some(parse_host(text)?),
        None => None,
    };
    let is_whole = uri.path() == WHOLE && *request.method() == Method::OPTIONS;
    let path = if is_whole { WHOLE.to_owned() } else { canonical_path(uri.path())? };
    let query = uri.query().map(str::to_owned);
    if query.as_deref().unwrap_or_default().bytes().any(|byte| !byte.is_ascii_graphic()) {
        return Err("the query has characters that must be percent-encoded");
    }
    Ok(Target { host, authority, path, query })
}

/// RFC 9112, 3.2: exactly one `Host`; a target in absolute form must agree with it.
fn one_authority(uri: &Uri, version: Version, headers: &HeaderMap) -> Result<Option<String>, &'static str> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let named = match (hosts.next(), hosts.next()) {
        (Some(_), Some(_)) => return Err("there is more than one Host header"),
        (Some(value), None) => Some(value.to_str().map_err(|_| "the Host header is not a host name")?),
        (None, _) => None,
    };
    if uri.scheme().is_some_and(|scheme| *scheme != Scheme::HTTP && *scheme != Scheme::HTTPS) {
        return Err("the request target is not an http address");
    }
    if uri.scheme().is_none() && uri.authority().is_some() {
        return Err("the request target has no path");
    }
    match (uri.authority().map(Authority::as_str), named) {
        (Some(target), Some(named)) if !target.eq_ignore_ascii_case(named) => {
            Err("the request target and the Host header name different hosts")
        }
        (Some(text), _) | (None, Some(text)) => Ok(Some(text.to_owned())),
        (None, None) if version == Version::HTTP_10 => Ok(None),
        (None, None) => Err("there is no Host header"),
    }
}

/// The host part of `host[:port]` (RFC 3986, 3.2.2), lower case; an IPv6 address keeps its brackets.
fn parse_host(authority: &str) -> Result<String, &'static str> {
    const WRONG: &str = "the Host header is not a host name with an optional port";
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (address, after) = rest.split_once(']').ok_or(WRONG)?;
        address.parse::<std::net::Ipv6Addr>().map_err(|_| WRONG)?;
        let port = match after.strip_prefix(':') {
            Some(port) => Some(port),
            None if after.is_empty() => None,
            None => return Err(WRONG),
        };
        (format!("[{address}]"), port)
    } else {
        let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        if host.is_empty() || host.len() > 255 || !host.bytes().all(plain) {
            return Err(WRONG);
        }
        (host.to_ascii_lowercase(), port)
    };
    let digits = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    if port.is_some_and(|port| !port.is_empty() && !digits(port)) {
        return Err(WRONG);
    }
    Ok(host)
}

/// The one spelling of a path.
fn canonical_path(path: &str) -> Result<String, &'static str> {
    if !path.starts_with('/') {
        return Err("the request target is not a path");
    }
    // Most paths are spelled so already.
    if path.bytes().all(|byte| matches!(byte, 0x21..=0x7e) && !matches!(byte, b'%' | b'\\')) {
        return check_segments(path).map(|()| path.to_owned());
    }
    let mut canonical = String::with_capacity(path.len());
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        let byte = match (*byte, after) {
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                rest = after;
                let value = percent::byte(*high, *low).unwrap_or_default();
                match value {
                    b'/' | b'\\' => return Err("the path has an encoded slash or backslash"),
                    0..0x20 | 0x7f => return Err("the path has an encoded control character"),
                    _ if is_unreserved(value) => canonical.push(char::from(value)),
                    _ => percent::encode_byte(value, &mut canonical),
                }
                value
            }
            (b'%', _) => return Err("the path has a percent sign without two hexadecimal digits"),
            (b'\\', _) => return Err("the path has a backslash"),
            (0x21..=0x7e, _) => {
                canonical.push(char::from(*byte));
                *byte
            }
            _ => return Err("the path has characters that must be percent-encoded"),
        };
        decoded.push(byte);
    }
    if std::str::from_utf8(&decoded).is_err() {
        return Err("the path is not UTF-8");
    }
    check_segments(&canonical).map(|()| canonical)
}

/// No segment may be one that readers leave out or resolve.
fn check_segments(path: &str) -> Result<(), &'static str> {
    let mut left = first_segment(path).1;
    while let Some(path) = left {
        let (segment, after) = first_segment(path);
        if segment == "." || segment == ".." {
            return Err("the path has dot segments");
        }
        if segment.is_empty() && after.is_some() {
            return Err("the path has an empty segment");
        }
        left = after;
    }
    Ok(())
}

/// RFC 3986, 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_one_spelling() {
        for (path, expected) in [
            ("/", "/"),
            ("/orders/", "/orders/"),
            ("/%6Frders/%7e", "/orders/~"),
            ("/a%20b%c3%a4", "/a%20b%C3%A4"),
            ("/a%252fb", "/a%252fb"),
            ("/a;v=1,2/@:$&'()*+!=", "/a;v=1,2/@:$&'()*+!="),
            ("/...", "/..."),
        ] {
            let canonical = canonical_path(path);
            assert_eq!(canonical.as_deref(), Ok(expected), "{path}");
            assert_eq!(canonical_path(expected).as_deref(), Ok(expected), "stable: {path}");
        }
    }

    #[test]
    fn ambiguous_paths_are_refused() {
        for path in [
            "",
            "*",
            "orders",
            "//",
            "/a//b",
            "/a/../b",
            "/a/..",
            "/.",
            "/a/%2e%2E/b",
            "/a/.%2e",
            "/a%2fb",
            "/a%5Cb",
            "/a\\b",
            "/a%00",
            "/a%0d%0a",
            "/a%7f",
            "/a%",
            "/a%4",
            "/a%zz",
            "/%c0%af",
            "/a%ff",
            "/é",
        ] {
            assert!(canonical_path(path).is_err(), "{path}");
        }
    }

    /// What a caller, or a service that is sent what was made of it, would read.
    fn read(target: &str) -> Option<Target> {
        let mut request = Request::new(());
        *request.uri_mut() = target.parse().ok()?;
        request.headers_mut().insert(header::HOST, http::HeaderValue::from_static("a.example"));
        parse_target(&request).ok()
    }

    fn targets() -> impl proptest::strategy::Strategy<Value = String> {
        use proptest::prelude::*;
        const HEADS: &[&str] = &["/", "", "http://a.example/", "/v1/orders/"];
        const TRICKS: &[&str] = &[
            "/",
            "//",
            ".",
            "..",
            "%2e",
            "%2E%2e",
            "%2f",
            "%5c",
            "\\",
            "%00",
            "%0d%0a",
            "%25",
            "%252e",
            "%7e",
            "%C3%A4",
            "%c0%af",
            "%ff",
            "%",
            "%zz",
            ";",
            "?",
            "&",
            "=",
            "#",
            "*",
            ":",
            "@",
            "+",
            "a",
            "B",
            "~",
            "{",
            "|",
            "é",
            "\"",
            "%3F",
            "%23",
            "%3b",
            "http://a.example",
            "http://b",
            "v1",
            "orders",
        ];
        let pieces = prop_oneof![3 => proptest::sample::select(TRICKS).prop_map(str::to_owned), 1 => "[ -~]{1,3}"];
        let tail = proptest::collection::vec(pieces, 0..12).prop_map(|pieces| pieces.concat());
        (proptest::sample::select(HEADS), tail).prop_map(|(head, tail)| head.to_owned() + &tail)
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { cases: 4096, ..Default::default() })]
        #[test]
        fn what_is_forwarded_is_read_as_it_was(raw in targets(), prefix in "(/base)?") {
            let Some(target) = read(&raw) else { return Ok(()) };
            // As it is written for a service.
            let asked = raw.parse().unwrap_or_default();
            let forwarded = crate::gateway::upstream::target(&prefix, &asked, &target.path, target.query.as_deref());
            let forwarded = forwarded.map_err(|trouble| proptest::test_runner::TestCaseError::fail(trouble.detail.clone()))?;
            let written = forwarded.to_string();
            let again = read(&written);
            proptest::prop_assert_eq!(again.as_ref().map(|again| &again.query), Some(&target.query), "{}", written);
            let path = again.map(|again| again.path).unwrap_or_default();
            proptest::prop_assert_eq!(path.strip_prefix(&*prefix), Some(&*target.path), "{}", written);
            // Decoding once leaves nothing that could be decoded again into something else's boundary.
            let decoded: Vec<&str> = target.path.split('/').skip(1).collect();
            proptest::prop_assert!(decoded.iter().all(|one| *one != "." && *one != ".."), "{}", written);
            proptest::prop_assert!(!target.path.contains(['?', '#', '\\', ' ']), "{}", written);
        }
    }

    #[test]
    fn hosts() {
        for (text, host) in [
            ("Api.Example.com", "api.example.com"),
            ("localhost:8080", "localhost"),
            ("127.0.0.1:80", "127.0.0.1"),
            ("[::1]:80", "[::1]"),
            ("a.b:", "a.b"),
        ] {
            assert_eq!(parse_host(text).as_deref(), Ok(host), "{text}");
        }
        for text in [
            "", ":80", "a b", "a,b", "a/b", "user@a", "a:b", "a:80:80", "a:99999", "[::1", "[x]:1", "[::1]x", "a?b",
            "a#b",
        ] {
            assert!(parse_host(text).is_err(), "{text}");
        }
    }

    #[test]
    fn one_host_is_named() {
        let read = |uri: &str, version, hosts: &[&str]| {
            let hosts = hosts.iter().map(|host| (header::HOST, host.parse().unwrap()));
            let mut headers = HeaderMap::new();
            for (name, value) in hosts {
                headers.append(name, value);
            }
            let mut request = Request::new(());
            (*request.uri_mut(), *request.version_mut()) = (uri.parse().unwrap(), version);
            *request.headers_mut() = headers;
            parse_target(&request).map(|target| target.host)
        };
        assert_eq!(read("/a", Version::HTTP_11, &["x"]), Ok(Some("x".into())));
        assert_eq!(read("http://x/a", Version::HTTP_11, &["X"]), Ok(Some("x".into())));
        assert_eq!(read("http://x/a", Version::HTTP_2, &[]), Ok(Some("x".into())));
        assert_eq!(read("/a", Version::HTTP_10, &[]), Ok(None));
        assert!(read("/a", Version::HTTP_11, &[]).is_err());
        assert!(read("/a", Version::HTTP_11, &["x", "x"]).is_err());
        assert!(read("http://x/a", Version::HTTP_11, &["y"]).is_err());
        assert!(read("ftp://x/a", Version::HTTP_11, &["x"]).is_err());
        assert!(read("x:80", Version::HTTP_11, &["x"]).is_err());
        assert!(read("*", Version::HTTP_11, &["x"]).is_err());
    }
}
