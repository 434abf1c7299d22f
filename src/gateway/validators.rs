//! `ETag` and the conditions that name one, across a translation.
//!
//! A translated document is another representation, so it must not share a validator with the original (RFC 9110,
//! 8.8.3): `"abc"` of the service is `"abc;v1.5f3a09c1"` for callers of v1, with the version and the rules that made it.
//! On the way in the mark is taken off again; a tag of another representation can never match here.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::head::has_any;

/// What a response is to its caller: whose version it is in, and which rules brought it there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Representation<'r> {
    version: &'r str,
    /// `None`: the bytes are the service's own.
    rules: Option<&'r str>,
}

/// A condition of the caller that cannot hold: none of its `If-Match` tags are of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NeverMatches;

/// What becomes of one entity tag of a caller's condition.
enum Tag {
    /// The service knows it by this text.
    Own(Vec<u8>),
    /// It is of another representation.
    Foreign,
}

impl<'r> Representation<'r> {
    /// What rules (named by a hash of them) make of another version's document.
    pub(super) fn translated(version: &'r str, rules: &'r str) -> Self {
        Self { version, rules: Some(rules) }
    }

    /// The document of a version's own service.
    pub(super) fn native(version: &'r str) -> Self {
        Self { version, rules: None }
    }

    fn mark(&self) -> String {
        match self.rules {
            Some(rules) => format!("{}.{rules}", self.version),
            None => self.version.to_owned(),
        }
    }

    /// Marks a response's `ETag` as this representation's own. `weakly`: its bytes are not always the same.
    pub(super) fn scope_etag(&self, headers: &mut HeaderMap, weakly: bool) {
        let Some(tag) = headers.get(header::ETAG) else { return };
        let scoped = opaque(tag.as_bytes()).and_then(|(weak, text)| {
            let weak = if weakly { b"W/" } else { weak };
            HeaderValue::from_bytes(&[weak, b"\"", text, b";", self.mark().as_bytes(), b"\""].concat()).ok()
        });
        match scoped {
            Some(value) => drop(headers.insert(header::ETAG, value)),
            // What is no entity tag could be taken for one of the original.
            None => drop(headers.remove(header::ETAG)),
        }
    }

    /// Turns a request's conditions into those of the service. Parts of a body can be asked for only where `ranges`
    /// says that its bytes are the service's own.
    ///
    /// # Errors
    /// [`NeverMatches`]: the caller gets 412 without the service being asked.
    pub(super) fn unscope_conditions(&self, headers: &mut HeaderMap, ranges: bool) -> Result<(), NeverMatches> {
        if !has_any(headers, &[header::IF_MATCH, header::IF_NONE_MATCH, header::IF_RANGE, header::RANGE]) {
            return Ok(());
        }
        if let Some(tags) = take_tags(headers, &header::IF_MATCH, |text| self.state(text)) {
            if tags.is_empty() {
                return Err(NeverMatches);
            }
            put_tags(headers, header::IF_MATCH, &tags);
        }
        if let Some(tags) = take_tags(headers, &header::IF_NONE_MATCH, |text| self.exact(text)) {
            if tags.is_empty() {
                // A date that came with a foreign tag speaks of the foreign document, too (RFC 9110, 13.1.3).
                headers.remove(header::IF_MODIFIED_SINCE);
            } else {
                put_tags(headers, header::IF_NONE_MATCH, &tags);
            }
        }
        self.unscope_range(headers, ranges);
        Ok(())
    }

    fn unscope_range(&self, headers: &mut HeaderMap, ranges: bool) {
        let by_tag = headers.get(header::IF_RANGE).is_some_and(|value| opaque(value.as_bytes()).is_some());
        let own = if by_tag { take_tags(headers, &header::IF_RANGE, |text| self.exact(text)) } else { None };
        let foreign = own.as_ref().is_some_and(Vec::is_empty);
        if !ranges || foreign {
            // A service may always answer with the whole (RFC 9110, 14.2).
            headers.remove(header::RANGE);
            headers.remove(header::IF_RANGE);
        } else if let Some(tags) = own {
            put_tags(headers, header::IF_RANGE, &tags);
        }
    }

    /// A tag of exactly these bytes.
    fn exact(&self, text: &[u8]) -> Tag {
        match split_mark(text) {
            Some((own, mark)) if mark == self.mark().as_bytes() => Tag::Own(own.to_vec()),
            // A service's own tags may have been given out before anything marked them.
            _ if self.rules.is_none() => Tag::Own(text.to_vec()),
            _ => Tag::Foreign,
        }
    }

    /// A tag of the same state of the document, whatever rules have shown it: that is what a write depends on.
    fn state(&self, text: &[u8]) -> Tag {
        match split_mark(text) {
            Some((own, mark)) if self.rules.is_some() => match mark.strip_prefix(self.version.as_bytes()) {
                Some([b'.', rules @ ..]) if rules.iter().all(u8::is_ascii_hexdigit) => Tag::Own(own.to_vec()),
                _ => Tag::Foreign,
            },
            _ => self.exact(text),
        }
    }
}

/// A response's `ETag` where it is a strong one.
pub(super) fn strong_etag(headers: &HeaderMap) -> Option<&HeaderValue> {
    headers.get(header::ETAG).filter(|tag| opaque(tag.as_bytes()).is_some_and(|(weak, _)| weak.is_empty()))
}

/// Whether a list of entity tags has this strong one.
pub(super) fn lists(list: &HeaderValue, tag: &HeaderValue) -> bool {
    split_tags(list.as_bytes()).iter().any(|one| one == b"*" || one == tag.as_bytes())
}

/// The caller's tags as the service knows them; those of other representations left out. `None`: no such header.
fn take_tags(headers: &mut HeaderMap, name: &HeaderName, read: impl Fn(&[u8]) -> Tag) -> Option<Vec<Vec<u8>>> {
    headers.get(name)?;
    let values: Vec<HeaderValue> = headers.get_all(name).iter().cloned().collect();
    headers.remove(name);
    let mut kept = Vec::new();
    for tag in values.iter().flat_map(|value| split_tags(value.as_bytes())) {
        if tag == b"*" {
            kept.push(tag);
        } else if let Some((weak, text)) = opaque(&tag)
            && let Tag::Own(own) = read(text)
        {
            kept.push([weak, b"\"", &own, b"\""].concat());
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

/// `abc;v1` -> (`abc`, `v1`).
fn split_mark(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = text.iter().rposition(|byte| *byte == b';')?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    fn old() -> Representation<'static> {
        Representation::translated("v1", "ab12")
    }

    #[test]
    fn tags_are_the_representations_own() {
        for (tag, weakly, expected) in [
            ("\"abc\"", false, Some("\"abc;v1.ab12\"")),
            ("W/\"a,b\"", false, Some("W/\"a,b;v1.ab12\"")),
            ("\"abc\"", true, Some("W/\"abc;v1.ab12\"")),
            ("abc", false, None),
        ] {
            let mut headers = one(header::ETAG, tag);
            old().scope_etag(&mut headers, weakly);
            assert_eq!(headers.get(header::ETAG).map(|tag| tag.to_str().unwrap()), expected);
        }
    }

    #[test]
    fn conditions_on_writes_go_back_to_the_services_tags() {
        for (list, expected) in [
            ("\"abc;v1.ab12\"", Ok("\"abc\"")),
            ("\"abc;v1.0099\"", Ok("\"abc\"")),
            ("W/\"a,b;v1.ab12\" , \"c;v2\",\"d\"", Ok("W/\"a,b\"")),
            ("*", Ok("*")),
            ("\"abc\"", Err(NeverMatches)),
            ("\"abc;v1\"", Err(NeverMatches)),
            ("\"abc;v1.x\"", Err(NeverMatches)),
            ("\"abc;v11.ab12\"", Err(NeverMatches)),
            ("\"abc;v2.ab12\"", Err(NeverMatches)),
        ] {
            let mut headers = one(header::IF_MATCH, list);
            let done = old().unscope_conditions(&mut headers, false);
            let found = done.map(|()| headers.get(header::IF_MATCH).unwrap().to_str().unwrap());
            assert_eq!(found, expected, "{list}");
        }
    }

    #[test]
    fn a_foreign_if_none_match_is_no_condition() {
        for foreign in ["\"abc;v2\"", "\"abc\"", "\"abc;v1.0099\""] {
            let mut headers = one(header::IF_NONE_MATCH, foreign);
            headers.insert(header::IF_MODIFIED_SINCE, "Thu, 01 Jan 2026 00:00:00 GMT".parse().unwrap());
            headers.insert(header::RANGE, "bytes=0-1".parse().unwrap());
            assert_eq!(old().unscope_conditions(&mut headers, false), Ok(()));
            assert!(headers.is_empty(), "{headers:?}");
        }
    }

    #[test]
    fn ranges_are_asked_for_only_of_the_services_own_bytes() {
        for (ranges, if_range, expected) in [
            (false, None, None),
            (true, None, Some(None)),
            (true, Some("\"a;v1.ab12\""), Some(Some("\"a\""))),
            (true, Some("\"a\""), None),
            (true, Some("Thu, 01 Jan 2026 00:00:00 GMT"), Some(Some("Thu, 01 Jan 2026 00:00:00 GMT"))),
        ] {
            let mut headers = one(header::RANGE, "bytes=0-1");
            if let Some(condition) = if_range {
                headers.insert(header::IF_RANGE, condition.parse().unwrap());
            }
            old().unscope_conditions(&mut headers, ranges).unwrap();
            let asked = headers.contains_key(header::RANGE);
            let found = asked.then(|| headers.get(header::IF_RANGE).map(|value| value.to_str().unwrap()));
            assert_eq!(found, expected, "{ranges} {if_range:?}");
        }
    }

    #[test]
    fn a_native_representation_keeps_tags_without_a_mark() {
        let native = Representation::native("v2");
        let mut headers = one(header::IF_NONE_MATCH, "\"a;v2\", \"b\", \"c;d\"");
        native.unscope_conditions(&mut headers, true).unwrap();
        assert_eq!(headers.get(header::IF_NONE_MATCH).unwrap(), "\"a\", \"b\", \"c;d\"");
    }

    #[test]
    fn weak_tags_are_not_strong() {
        assert!(strong_etag(&one(header::ETAG, "\"a\"")).is_some());
        assert!(strong_etag(&one(header::ETAG, "W/\"a\"")).is_none());
        let list = HeaderValue::from_static("\"x,y\", W/\"a\"");
        assert!(lists(&list, &HeaderValue::from_static("\"x,y\"")));
        assert!(!lists(&list, &HeaderValue::from_static("\"a\"")));
    }
}
