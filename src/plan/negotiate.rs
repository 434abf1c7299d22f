//! Which version does this caller speak? Pure: reads a request head, knows nothing of connections.
//!
//! The ways of [`ServicePlan::negotiate`] are tried in order and the first that says anything decides; what a later
//! one says is not looked at. Within one way the request must speak clearly: an unknown version, or two different
//! ones (a repeated header, `Accept` against `Content-Type`), is refused. Nobody is ever moved to a version that
//! they did not name, except to the service's `default` when they name none.

use http::{HeaderMap, HeaderName, header};

use super::{ServicePlan, VersionPlan};
use crate::path::percent;
use crate::rules::ast::Negotiator;

/// Why a caller's version is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unclear {
    /// Named, but there is no such version. Holds where it was named, for example ``header `API-Version` ``.
    Unknown {
        /// Where.
        place: String,
    },
    /// Two different versions are named at one place.
    Conflicting {
        /// Where.
        place: String,
    },
    /// None is named and the service has no default.
    Missing,
}

/// What one way of naming a version says.
enum Said {
    Nothing,
    Version(usize),
    Unclear(Unclear),
}

impl ServicePlan {
    /// The index of the version that a request speaks: as it says, else the one that its consumer is `pinned` to, else
    /// the default.
    ///
    /// # Errors
    /// [`Unclear`]: the caller gets 400 with the list of versions.
    pub fn negotiate(
        &self,
        path: &str,
        query: Option<&str>,
        headers: &HeaderMap,
        pinned: Option<usize>,
    ) -> Result<usize, Unclear> {
        for way in &self.negotiate {
            let said = match way {
                Negotiator::Path => self.by_path(path),
                Negotiator::Header(name) => self.by_header(name, headers),
                Negotiator::Query(name) => self.by_query(name, query),
                Negotiator::MediaType(name) => self.by_media_type(name, headers),
            };
            match said {
                Said::Nothing => {}
                Said::Version(version) => return Ok(version),
                Said::Unclear(why) => return Err(why),
            }
        }
        pinned.or(self.default).ok_or(Unclear::Missing)
    }

    /// The request headers on which the version depends: what `Vary` must name.
    pub fn varies_by(&self) -> impl Iterator<Item = HeaderName> {
        let negotiated = self.negotiate.iter().filter_map(|way| match way {
            Negotiator::Header(name) => name.parse().ok(),
            Negotiator::MediaType(_) => Some(header::ACCEPT),
            Negotiator::Path | Negotiator::Query(_) => None,
        });
        negotiated.chain(self.varies_by_consumer())
    }

    /// The version whose service the caller (a tester) asks to answer, by [`ServicePlan::answer_header`].
    ///
    /// # Errors
    /// [`Unclear`] where the header names none, two, or one without a service.
    pub fn chosen_answer(&self, headers: &HeaderMap) -> Result<Option<usize>, Unclear> {
        let Some(name) = &self.answer_header else { return Ok(None) };
        match self.by_header(name.as_str(), headers) {
            Said::Nothing => Ok(None),
            Said::Unclear(why) => Err(why),
            Said::Version(version) => match self.versions.get(version) {
                Some(VersionPlan { upstream: Some(_), .. }) => Ok(Some(version)),
                _ => Err(Unclear::Unknown { place: place("header", name.as_str()) }),
            },
        }
    }

    /// The index of a version, by its name or another spelling of it; exact, case-sensitive.
    pub fn named(&self, text: &str) -> Option<usize> {
        self.versions
            .iter()
            .position(|version| version.name == text || version.aliases.iter().any(|alias| alias == text))
    }

    /// The longest prefix wins; whole segments only.
    fn by_path(&self, path: &str) -> Said {
        let prefixes = self.versions.iter().enumerate().filter_map(|(index, version)| {
            let prefix = version.path.as_deref()?.trim_end_matches('/');
            let rest = path.strip_prefix(prefix)?;
            (rest.is_empty() || rest.starts_with('/')).then_some((prefix.len(), index))
        });
        prefixes.max_by_key(|(length, _)| *length).map_or(Said::Nothing, |(_, index)| Said::Version(index))
    }

    fn by_header(&self, name: &str, headers: &HeaderMap) -> Said {
        let Some(known) = spelled(headers, name) else { return Said::Nothing };
        let values = headers.get_all(known).iter().map(|value| value.to_str().unwrap_or_default().trim().to_owned());
        self.agreed(values, || place("header", name))
    }

    fn by_query(&self, name: &str, query: Option<&str>) -> Said {
        let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let values = pairs.filter_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(key) == name).then(|| decoded(value))
        });
        self.agreed(values, || place("query parameter", name))
    }

    /// All values must name one and the same version.
    fn agreed(&self, values: impl Iterator<Item = String>, place: impl Fn() -> String) -> Said {
        let mut agreed = None;
        for value in values {
            match (self.named(&value), agreed) {
                (None, _) => return Said::Unclear(Unclear::Unknown { place: place() }),
                (Some(new), Some(old)) if new != old => return Said::Unclear(Unclear::Conflicting { place: place() }),
                (found, _) => agreed = found,
            }
        }
        agreed.map_or(Said::Nothing, Said::Version)
    }

    /// `Accept` says what the caller wants to read, `Content-Type` what it has written; if both speak, they agree.
    fn by_media_type(&self, name: &str, headers: &HeaderMap) -> Said {
        let accepted = self.by_accept(name, headers);
        let values = headers
            .get_all(header::CONTENT_TYPE)
            .iter()
            .filter_map(|value| parameter(value.to_str().ok()?.split(';').skip(1), name));
        let written = self.agreed(values, || place("Content-Type parameter", name));
        match (&accepted, &written) {
            (Said::Version(a), Said::Version(b)) if a != b => {
                Said::Unclear(Unclear::Conflicting { place: place("media type parameter", name) })
            }
            (Said::Nothing, _) | (Said::Version(_), Said::Unclear(_)) => written,
            _ => accepted,
        }
    }

    /// The best q-value among the versions that exist; the first of equals. Alternatives without the parameter, and
    /// unknown versions beside a known one, do not count: that is what alternatives are for.
    fn by_accept(&self, name: &str, headers: &HeaderMap) -> Said {
        let mut named_any = false;
        let mut best: Option<(u16, usize)> = None;
        for value in headers.get_all(header::ACCEPT) {
            for range in split_outside_quotes(value.to_str().unwrap_or_default(), ',') {
                let parts: Vec<&str> = split_outside_quotes(range, ';').collect();
                let parameters = || parts.iter().skip(1).copied();
                let Some(text) = parameter(parameters(), name) else { continue };
                named_any = true;
                let quality = parameter(parameters(), "q").map_or(Some(1000), |text| thousandths(&text));
                let (Some(version), Some(quality @ 1..)) = (self.named(&text), quality) else { continue };
                if best.is_none_or(|(before, _)| quality > before) {
                    best = Some((quality, version));
                }
            }
        }
        match best {
            Some((_, version)) => Said::Version(version),
            None if named_any => Said::Unclear(Unclear::Unknown { place: place("Accept parameter", name) }),
            None => Said::Nothing,
        }
    }
}

/// The field of this name, in any case, if it is there. There are fewer to look at than a name has letters to read.
pub(crate) fn spelled<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h HeaderName> {
    headers.keys().find(|known| known.as_str().eq_ignore_ascii_case(name))
}

fn place(kind: &str, name: &str) -> String {
    format!("{kind} `{name}`")
}

/// The value of a media type's parameter; names in any case, values quoted or not.
fn parameter<'a>(parts: impl Iterator<Item = &'a str>, name: &str) -> Option<String> {
    parts.filter_map(|part| part.split_once('=')).find(|(key, _)| key.trim().eq_ignore_ascii_case(name)).map(
        |(_, value)| {
            let value = value.trim();
            match value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
                Some(quoted) => quoted.replace("\\\"", "\""),
                None => value.to_owned(),
            }
        },
    )
}

/// Splits a header value at `separator`, but not inside quoted strings.
fn split_outside_quotes(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |char| {
        quoted ^= char == '"';
        char == separator && !quoted
    })
}

/// `0.85` -> 850; `None` for what is no q-value (RFC 9110, 12.4.2).
fn thousandths(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let fraction: u16 = format!("{fraction:0<3}").parse().ok()?;
    match whole {
        "0" => Some(fraction),
        "1" if fraction == 0 => Some(1000),
        _ => None,
    }
}

/// `application/x-www-form-urlencoded`, leniently: what is not valid stays as it is.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        match (byte, after) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                bytes.push(percent::byte(*high, *low).unwrap_or_default());
                rest = after;
            }
            (byte, _) => bytes.push(*byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::rules::answer::{Admission, Assign};
    use crate::rules::upstream::Upstream;

    fn version(name: &str, path: Option<&str>, upstream: bool) -> VersionPlan {
        VersionPlan {
            name: name.into(),
            aliases: vec![format!("{}.0", name.trim_start_matches('v'))],
            upstream: upstream.then(|| Arc::new(Upstream::one("http://127.0.0.1:1".parse().unwrap()))),
            answered_by: 1,
            shares: Vec::new(),
            fallback: false,
            consumers: Admission::All,
            ending: None,
            path: path.map(str::to_owned),
        }
    }

    fn service(negotiate: Vec<Negotiator>, default: Option<usize>) -> ServicePlan {
        ServicePlan {
            name: "orders".into(),
            hosts: Vec::new(),
            paths: Vec::new(),
            versions: vec![
                version("v1", Some("/v1"), false),
                version("v2", Some("/v2"), true),
                version("v11", Some("/v1/beta"), false),
            ],
            negotiate,
            default,
            answer_header: Some("bifocal-answer".parse().unwrap()),
            assign: Assign::default(),
            consumer: Vec::new(),
            pins: BTreeMap::new(),
            steps: Vec::new(),
            channels: Vec::new(),
            shapes: crate::rules::shapes::Shapes::default(),
            publish: Vec::new(),
            idempotency: None,
            operations: None,
            line: crate::plan::line::Line::default(),
        }
    }

    fn all() -> Vec<Negotiator> {
        vec![
            Negotiator::Path,
            Negotiator::Header("API-Version".into()),
            Negotiator::Query("version".into()),
            Negotiator::MediaType("version".into()),
        ]
    }

    /// `GET /path?query` with `name: value` lines -> the version's name or what is wrong.
    fn ask(service: &ServicePlan, target: &str, lines: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        match service.negotiate(path, query, &headers, None) {
            Ok(index) => service.versions[index].name.clone(),
            Err(Unclear::Unknown { place }) => format!("unknown in {place}"),
            Err(Unclear::Conflicting { place }) => format!("conflict in {place}"),
            Err(Unclear::Missing) => "missing".into(),
        }
    }

    #[test]
    fn matrix() {
        let service = service(all(), None);
        let unknown_accept = "unknown in Accept parameter `version`";
        for (target, headers, expected) in [
            // path
            ("/v1/orders", &[][..], "v1"),
            ("/v1", &[], "v1"),
            ("/v2/orders", &[], "v2"),
            ("/v1/beta/orders", &[], "v11"),
            ("/v11/orders", &[], "missing"),
            ("/v1/orders", &["api-version: v2"], "v1"),
            ("/v1/orders", &["api-version: v9"], "v1"),
            // header
            ("/orders", &["api-version: v2"], "v2"),
            ("/orders", &["Api-Version:  2.0 "], "v2"),
            ("/orders", &["api-version: V2"], "unknown in header `API-Version`"),
            ("/orders", &["api-version: v1, v2"], "unknown in header `API-Version`"),
            ("/orders", &["api-version: v1", "api-version: v2"], "conflict in header `API-Version`"),
            ("/orders", &["api-version: v1", "api-version: 1.0"], "v1"),
            ("/orders", &["api-version: "], "unknown in header `API-Version`"),
            // query
            ("/orders?version=v1", &[], "v1"),
            ("/orders?a=1&version=1%2E0", &[], "v1"),
            ("/orders?version=v1&version=v2", &[], "conflict in query parameter `version`"),
            ("/orders?version", &[], "unknown in query parameter `version`"),
            ("/orders?subversion=v1", &[], "missing"),
            ("/orders?version=v1", &["api-version: v2"], "v2"),
            // media types
            ("/orders", &["accept: application/json; version=v2"], "v2"),
            ("/orders", &["accept: application/json; Version=\"v2\""], "v2"),
            ("/orders", &["accept: application/json;version=v11"], "v11"),
            ("/orders", &["accept: application/json;version=v1;q=0.5, application/json;version=v2;q=0.8"], "v2"),
            ("/orders", &["accept: a/b;version=v1;q=0.8", "accept: a/b;version=v2;q=0.8"], "v1"),
            ("/orders", &["accept: a/b;version=v9, a/b;version=v1;q=0.1"], "v1"),
            ("/orders", &["accept: a/b;version=v9"], unknown_accept),
            ("/orders", &["accept: a/b;version=v1;q=0"], unknown_accept),
            ("/orders", &["accept: a/b;version=v1;q=2"], unknown_accept),
            ("/orders", &["accept: a/b;title=\"x, y;version=v9\";version=v1"], "v1"),
            ("/orders", &["accept: */*"], "missing"),
            ("/orders", &["content-type: application/json;version=v1"], "v1"),
            ("/orders", &["content-type: a/b;version=v9"], "unknown in Content-Type parameter `version`"),
            (
                "/orders",
                &["accept: a/b;version=v1", "content-type: a/b;version=v2"],
                "conflict in media type parameter `version`",
            ),
            ("/orders", &["accept: a/b;version=v1", "content-type: a/b;version=1.0"], "v1"),
            ("/orders", &[], "missing"),
        ] {
            assert_eq!(ask(&service, target, headers), expected, "{target} {headers:?}");
        }
    }

    #[test]
    fn the_default_is_for_callers_that_name_none() {
        let service = service(all(), Some(0));
        assert_eq!(ask(&service, "/orders", &[]), "v1");
        assert_eq!(ask(&service, "/orders", &["api-version: v9"]), "unknown in header `API-Version`");
        let pinned = |path| service.negotiate(path, None, &HeaderMap::new(), Some(2));
        assert_eq!((pinned("/orders"), pinned("/v2/orders")), (Ok(2), Ok(1)));
    }

    #[test]
    fn order_is_precedence() {
        let service = service(vec![Negotiator::Query("v".into()), Negotiator::Header("V".into())], None);
        assert_eq!(ask(&service, "/v1/orders?v=v2", &["v: v1"]), "v2");
        assert_eq!(ask(&service, "/v1/orders", &["v: v1"]), "v1");
    }

    #[test]
    fn a_tester_may_choose_only_who_can_answer() {
        let service = service(all(), None);
        let chosen = |value: &str| {
            let headers = HeaderMap::from_iter([("bifocal-answer".parse().unwrap(), value.parse().unwrap())]);
            service.chosen_answer(&headers)
        };
        assert_eq!(chosen("v2"), Ok(Some(1)));
        assert!(chosen("v1").is_err());
        assert!(chosen("v9").is_err());
        assert_eq!(service.chosen_answer(&HeaderMap::new()), Ok(None));
    }

    #[test]
    fn q_values() {
        for (text, value) in [("1", Some(1000)), ("1.000", Some(1000)), ("0.05", Some(50)), ("0", Some(0))] {
            assert_eq!(thousandths(text), value);
        }
        for wrong in ["", "2", "1.5", "0.1234", "-1", ".5", "0.x", "1e0"] {
            assert_eq!(thousandths(wrong), None, "{wrong}");
        }
    }
}
