//! Addresses that messages tell (RFC 3986): the same resource where the other side of an exchange finds it.

use http::{Method, Uri};

use super::ServicePlan;
use crate::rules::ast::Negotiator;

/// The methods that an address is looked up by, one after the other: most addresses are there to be read.
pub const METHODS: [Method; 5] = [Method::GET, Method::PUT, Method::PATCH, Method::DELETE, Method::POST];

/// Where an exchange takes place: it says whose an address is. Where nothing is known, only addresses without a host are
/// the service's.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// Where the service runs.
    pub base: Option<Uri>,
    /// The host, with its port, that the caller knows the service by.
    pub caller: Option<String>,
    /// The path that the service was asked for: relative addresses of a response are relative to it.
    pub asked_for: Option<String>,
}

/// A path and a query.
pub type Found = (String, Option<String>);

impl Surroundings {
    /// What a step sees of it that is not the one beside the service.
    pub(super) fn beyond(&self) -> Self {
        Self { base: None, caller: self.caller.clone(), asked_for: None }
    }

    /// An address that the service tells, as its caller finds it. `find` brings a path and a query to the caller's
    /// version. Nothing where the address is another's, or nothing is found.
    pub fn to_caller(&self, told: &str, find: impl FnOnce(&str, Option<&str>) -> Option<Found>) -> Option<String> {
        let address = Address::parse(told)?;
        let (before, prefix) = match address.authority {
            // The service's own host is its own business; the one that callers know stays.
            Some(host) if self.is_base(host) => ("", self.prefix()),
            Some(host) if self.is_caller(host) => (told.get(..address.path_at)?, ""),
            Some(_) => return None,
            None => ("", self.prefix()),
        };
        let path = match (address.path, address.authority) {
            (path, _) if path.starts_with('/') => path.strip_prefix(prefix)?.to_owned(),
            ("", Some(_)) => "/".to_owned(),
            ("", None) => self.asked_for.clone()?,
            (relative, _) => resolve(self.asked_for.as_deref()?, relative)?,
        };
        find(&path, address.query).map(|found| address.written(before, found))
    }

    /// An address that a caller tells, as the service finds it: the way back of [`Surroundings::to_caller`].
    pub fn to_service(&self, told: &str, find: impl FnOnce(&str, Option<&str>) -> Option<Found>) -> Option<String> {
        let address = Address::parse(told)?;
        let before = match address.authority {
            Some(host) if self.is_caller(host) => told.get(..address.path_at)?,
            Some(_) => return None,
            None => self.prefix(),
        };
        let path = match (address.path, address.authority) {
            ("", Some(_)) => "/",
            (path, _) if path.starts_with('/') => path,
            // A caller's document has no address that others could be relative to.
            _ => return None,
        };
        find(path, address.query).map(|found| address.written(before, found))
    }

    fn prefix(&self) -> &str {
        self.base.as_ref().map_or("", |base| base.path().trim_end_matches('/'))
    }

    fn is_base(&self, host: &str) -> bool {
        let own = self.base.as_ref().and_then(Uri::authority);
        own.is_some_and(|own| own.as_str().eq_ignore_ascii_case(host))
    }

    fn is_caller(&self, host: &str) -> bool {
        self.caller.as_deref().is_some_and(|known| known.eq_ignore_ascii_case(host))
    }
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

    /// The same with another path and query, behind these.
    fn written(&self, before: &str, (path, query): Found) -> String {
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        format!("{before}{path}{query}{}", self.fragment)
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

/// The parameters of a query that name a version.
pub(super) fn naming_parameters(ways: &[Negotiator]) -> impl Iterator<Item = &str> {
    ways.iter().filter_map(|way| match way {
        Negotiator::Query(name) => Some(name.as_str()),
        _ => None,
    })
}

/// A query with `version` wherever the parameter `name` names one.
pub(super) fn restate(query: &str, name: &str, version: &str) -> String {
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((key, _)) if key == name => format!("{key}={version}"),
        _ => pair.to_owned(),
    });
    pairs.collect::<Vec<_>>().join("&")
}

impl ServicePlan {
    /// Names `version` in an address's query, if that names one.
    pub fn restate_address(&self, version: &str, query: &str) -> String {
        naming_parameters(&self.negotiate).fold(query.to_owned(), |query, name| restate(&query, name, version))
    }
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
    fn queries_are_restated_in_place() {
        assert_eq!(restate("a=1&version=v1&b", "version", "v2"), "a=1&version=v2&b");
        assert_eq!(restate("subversion=v1", "version", "v2"), "subversion=v1");
    }

    #[test]
    fn both_ways_of_an_address_are_one() {
        let base = Some("http://own:1/api/".parse().unwrap());
        let here = Surroundings { base, caller: Some("known".to_owned()), asked_for: Some("/v2/a".to_owned()) };
        let down = |path: &str, query: Option<&str>| {
            Some((path.strip_prefix("/v2").map(|rest| format!("/v1{rest}"))?, query.map(str::to_owned)))
        };
        let up = |path: &str, query: Option<&str>| {
            Some((path.strip_prefix("/v1").map(|rest| format!("/v2{rest}"))?, query.map(str::to_owned)))
        };
        for (service, caller) in [("/api/v2/a?b#c", "/v1/a?b#c"), ("https://Known/v2/a", "https://Known/v1/a")] {
            assert_eq!(here.to_caller(service, down).as_deref(), Some(caller));
            assert_eq!(here.to_service(caller, up).as_deref(), Some(service));
        }
        assert_eq!(here.to_caller("http://own:1/api/v2/a", down).as_deref(), Some("/v1/a"));
        assert_eq!(here.to_caller("?page=2", down).as_deref(), Some("/v1/a?page=2"));
        for others in ["http://own:1/v1/a", "http://else/v1/a", "b", "?page=2", "/v2/a"] {
            assert_eq!(here.to_service(others, up), None, "{others}");
        }
    }
}
