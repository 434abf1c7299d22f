//! The places where callers name their version, said again in the other side's terms: a service that looks at them
//! itself must not see a foreign version there, nor a caller a service's.
//!
//! Path prefixes are part of the interface's addresses, so rules translate those.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::plan::ServicePlan;
use crate::plan::negotiate::spelled;
use crate::rules::ast::Negotiator;

/// Names `version` wherever a request names one. Gives the query anew where it had to change.
pub(super) fn restate_request(
    service: &ServicePlan,
    version: &str,
    headers: &mut HeaderMap,
    query: Option<&str>,
) -> Option<String> {
    for way in &service.negotiate {
        match way {
            Negotiator::Path | Negotiator::Query(_) => {}
            Negotiator::Header(name) => {
                if let Some(name) = spelled(headers, name).cloned()
                    && let Ok(value) = HeaderValue::from_str(version)
                {
                    headers.insert(name, value);
                }
            }
            Negotiator::MediaType(name) => {
                restate_media_types(headers, &header::ACCEPT, name, version);
                restate_media_types(headers, &header::CONTENT_TYPE, name, version);
            }
        }
    }
    query.map(|query| service.restate_address(version, query))
}

/// Names the caller's version in a response's media type and in the header that callers name it in, if these name one:
/// as the caller has spelled it, else by its name.
pub(super) fn restate_response(service: &ServicePlan, asked: usize, request: &HeaderMap, headers: &mut HeaderMap) {
    let Some(version) = service.versions.get(asked) else { return };
    let is_spelling = |text: &str| version.name == text || version.aliases.iter().any(|alias| alias == text);
    for way in &service.negotiate {
        match way {
            Negotiator::Path | Negotiator::Query(_) => {}
            Negotiator::Header(name) => {
                let Some(name) = spelled(headers, name).cloned() else { continue };
                let said = request.get(&name).and_then(|value| value.to_str().ok()).map(str::trim);
                let spelling = said.filter(|text| is_spelling(text)).unwrap_or(&version.name);
                if let Ok(value) = HeaderValue::from_str(spelling) {
                    headers.insert(name, value);
                }
            }
            Negotiator::MediaType(name) => {
                let said = [header::ACCEPT, header::CONTENT_TYPE].iter().find_map(|field| {
                    let values = request.get_all(field).iter().filter_map(|value| value.to_str().ok());
                    values.flat_map(|text| parameters(text, name)).find(|text| is_spelling(text))
                });
                let spelling = said.unwrap_or_else(|| version.name.clone());
                restate_media_types(headers, &header::CONTENT_TYPE, name, &spelling);
            }
        }
    }
}

/// The values of every parameter `name` in a list of media types.
fn parameters(text: &str, name: &str) -> Vec<String> {
    let mut quoted = false;
    let pieces = text.split(|char| {
        quoted ^= char == '"';
        !quoted && (char == ';' || char == ',')
    });
    let named = pieces.filter_map(|piece| piece.split_once('='));
    let named = named.filter(|(key, _)| key.trim().eq_ignore_ascii_case(name));
    named.map(|(_, value)| value.trim().trim_matches('"').to_owned()).collect()
}

fn restate_media_types(headers: &mut HeaderMap, field: &HeaderName, name: &str, version: &str) {
    // Most have no parameters at all.
    if !headers.get_all(field).iter().any(|value| value.as_bytes().contains(&b'=')) {
        return;
    }
    let values: Vec<HeaderValue> = headers.get_all(field).iter().cloned().collect();
    let mut changed = false;
    let restated = values.into_iter().map(|value| {
        let again = value.to_str().ok().and_then(|text| restate_parameter(text, name, version));
        changed |= again.is_some();
        again.and_then(|text| HeaderValue::from_str(&text).ok()).unwrap_or(value)
    });
    let restated: Vec<HeaderValue> = restated.collect();
    if changed {
        headers.remove(field);
        for value in restated {
            headers.append(field, value);
        }
    }
}

/// `text` with every parameter `name` set to `version`; `None` where there is none.
fn restate_parameter(text: &str, name: &str, version: &str) -> Option<String> {
    let (mut out, mut found, mut quoted) = (String::with_capacity(text.len()), false, false);
    let pieces = text.split_inclusive(move |char| {
        quoted ^= char == '"';
        !quoted && (char == ';' || char == ',')
    });
    for piece in pieces {
        let body = piece.trim_end_matches([';', ',']);
        let end = piece.strip_prefix(body).unwrap_or_default();
        match body.split_once('=') {
            Some((key, _)) if key.trim().eq_ignore_ascii_case(name) => {
                found = true;
                out.extend([key, "=", version, end]);
            }
            _ => out.push_str(piece),
        }
    }
    found.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_restated_in_place() {
        for (text, expected) in [
            ("application/json", None),
            ("application/json; Version=1", Some("application/json; Version=v2")),
            ("a/b;version=\"1,2;3\";q=0.5, c/d;q=1", Some("a/b;version=v2;q=0.5, c/d;q=1")),
            ("a/b;title=\"x;version=1\"", None),
        ] {
            assert_eq!(restate_parameter(text, "version", "v2").as_deref(), expected, "{text}");
        }
    }
}
