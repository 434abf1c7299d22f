//! `ETag` and its conditions across a translation.
//!
//! A translated document is another representation, so it must not share a validator with the original (RFC 9110,
//! 8.8.3): `"abc"` of the service is `"abc;v1"` for callers of v1. On the way in the suffix is taken off again; a tag of
//! another version can never match here.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// A condition of the caller that cannot hold: none of its `If-Match` tags are of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NeverMatches;

/// Marks a response's `ETag` as the caller's version's own.
pub(super) fn scope_etag(headers: &mut HeaderMap, version: &str) {
    let scoped = headers.get(header::ETAG).and_then(|tag| scoped(tag.as_bytes(), version));
    match scoped {
        Some(value) => drop(headers.insert(header::ETAG, value)),
        // What is no entity tag could be taken for one of the original.
        None => drop(headers.remove(header::ETAG)),
    }
}

/// Turns a request's conditions into those of the service.
///
/// # Errors
/// [`NeverMatches`]: the caller gets 412 without the service being asked.
pub(super) fn unscope_conditions(headers: &mut HeaderMap, version: &str) -> Result<(), NeverMatches> {
    if let Some(tags) = take_tags(headers, &header::IF_MATCH, version) {
        if tags.is_empty() {
            return Err(NeverMatches);
        }
        put_tags(headers, header::IF_MATCH, &tags);
    }
    if let Some(tags) = take_tags(headers, &header::IF_NONE_MATCH, version)
        && !tags.is_empty()
    {
        put_tags(headers, header::IF_NONE_MATCH, &tags);
    }
    // Half a translated document means nothing.
    headers.remove(header::RANGE);
    headers.remove(header::IF_RANGE);
    Ok(())
}

/// A response's `ETag` where it is a strong one.
pub(super) fn strong_etag(headers: &HeaderMap) -> Option<&HeaderValue> {
    headers.get(header::ETAG).filter(|tag| opaque(tag.as_bytes()).is_some_and(|(weak, _)| weak.is_empty()))
}

/// The caller's tags without this version's suffix; those of other versions left out. `None`: no such header.
fn take_tags(headers: &mut HeaderMap, name: &HeaderName, version: &str) -> Option<Vec<Vec<u8>>> {
    let values: Vec<HeaderValue> = headers.get_all(name).iter().cloned().collect();
    headers.remove(name)?;
    let suffix = format!(";{version}").into_bytes();
    let mut kept = Vec::new();
    for tag in values.iter().flat_map(|value| split_tags(value.as_bytes())) {
        if tag == b"*" {
            kept.push(tag);
        } else if let Some((weak, text)) = opaque(&tag)
            && let Some(own) = text.strip_suffix(suffix.as_slice())
        {
            kept.push([weak, b"\"", own, b"\""].concat());
        }
    }
    Some(kept)
}

fn put_tags(headers: &mut HeaderMap, name: HeaderName, tags: &[Vec<u8>]) {
    if let Ok(value) = HeaderValue::from_bytes(&tags.join(&b", "[..])) {
        headers.insert(name, value);
    }
}

/// A list of entity tags; commas may stand inside the quotes.
fn split_tags(list: &[u8]) -> Vec<Vec<u8>> {
    let mut quoted = false;
    let parts = list.split(|byte| {
        quoted ^= *byte == b'"';
        *byte == b',' && !quoted
    });
    parts.map(|part| part.trim_ascii().to_vec()).filter(|part| !part.is_empty()).collect()
}

/// `W/"abc"` -> (`W/`, `abc`).
fn opaque(tag: &[u8]) -> Option<(&[u8], &[u8])> {
    let (weak, rest) = if tag.starts_with(b"W/") { tag.split_at(2) } else { tag.split_at(0) };
    let text = rest.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    (!text.contains(&b'"')).then_some((weak, text))
}

fn scoped(tag: &[u8], version: &str) -> Option<HeaderValue> {
    let (weak, text) = opaque(tag)?;
    HeaderValue::from_bytes(&[weak, b"\"", text, b";", version.as_bytes(), b"\""].concat()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn tags_are_the_versions_own() {
        for (tag, expected) in [("\"abc\"", Some("\"abc;v1\"")), ("W/\"a,b\"", Some("W/\"a,b;v1\"")), ("abc", None)] {
            let mut headers = one(header::ETAG, tag);
            scope_etag(&mut headers, "v1");
            assert_eq!(headers.get(header::ETAG).map(|tag| tag.to_str().unwrap()), expected);
        }
    }

    #[test]
    fn conditions_go_back_to_the_services_tags() {
        for (list, expected) in [
            ("\"abc;v1\"", Ok("\"abc\"")),
            ("W/\"a,b;v1\" , \"c;v2\",\"d\"", Ok("W/\"a,b\"")),
            ("*", Ok("*")),
            ("\"abc\"", Err(NeverMatches)),
            ("\"abc;v2\"", Err(NeverMatches)),
        ] {
            let mut headers = one(header::IF_MATCH, list);
            let done = unscope_conditions(&mut headers, "v1");
            let found = done.map(|()| headers.get(header::IF_MATCH).unwrap().to_str().unwrap());
            assert_eq!(found, expected, "{list}");
        }
    }

    #[test]
    fn a_foreign_if_none_match_is_no_condition() {
        let mut headers = one(header::IF_NONE_MATCH, "\"abc;v2\"");
        headers.insert(header::RANGE, "bytes=0-1".parse().unwrap());
        assert_eq!(unscope_conditions(&mut headers, "v1"), Ok(()));
        assert!(headers.is_empty(), "{headers:?}");
    }

    #[test]
    fn weak_tags_are_not_strong() {
        assert!(strong_etag(&one(header::ETAG, "\"a\"")).is_some());
        assert!(strong_etag(&one(header::ETAG, "W/\"a\"")).is_none());
    }
}
