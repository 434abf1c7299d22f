//! One message as one document: the parts that rules name go into a JSON envelope, everything else passes beside it.
//!
//! The envelope is `{"path": {…}, "query": {…}, "header": {…}, "cookie": {…}, "status": 200, "body": …}` with only the
//! named names in it, so one engine translates messages and documents alike.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::query::{by_name, form_decode, pairs};
use super::route::{Params, Parts};
use super::{Fault, FaultKind};
use crate::json::{self, Scanner, Tree, TreeKind, separate, write_name, write_string};
use crate::path::percent;
use crate::path::query::Query;

/// The named parts of a message, written as JSON.
pub(super) struct Envelope {
    pub(super) text: Vec<u8>,
    /// Where the body begins in it.
    pub(super) body_at: usize,
}

/// What an envelope is made from.
pub(super) struct Source<'a> {
    pub(super) params: &'a Params<'a>,
    pub(super) query: Option<&'a str>,
    pub(super) headers: &'a HeaderMap,
    pub(super) status: Option<u16>,
    pub(super) body: Option<&'a [u8]>,
}

/// A whole message as one document, whatever rules name of it: for rules of the general engine, and as the request that
/// conditions and rules over its response look back at. Text that is not UTF-8 is left out.
///
/// # Errors
/// A body that is not one JSON value.
pub(super) fn pack_whole(source: &Source<'_>, method: Option<&str>, request: Option<&[u8]>) -> Result<Envelope, Fault> {
    let mut text = vec![b'{'];
    if let Some(method) = method {
        write_name("method", &mut text);
        write_string(method, &mut text);
    }
    if let Some(status) = source.status {
        write_name("status", &mut text);
        text.extend_from_slice(status.to_string().as_bytes());
    } else {
        let decoded = source.params.iter().filter_map(|(name, value)| {
            let whole = percent::decode(value).map(Cow::Owned);
            Some((*name, vec![whole?]))
        });
        group("path", decoded, &mut text);
        let asked = pairs(source.query);
        let decoded = asked.filter_map(|(name, value)| Some((form_decode(name)?, form_decode(value)?)));
        group("query", by_name(decoded), &mut text);
        let mut crumbs: Vec<(&str, Vec<Cow<'_, str>>)> = Vec::new();
        for (name, value) in cookies(source.headers) {
            if crumbs.iter().all(|(known, _)| *known != name) {
                crumbs.push((name, vec![Cow::Borrowed(value)]));
            }
        }
        group("cookie", crumbs, &mut text);
    }
    let values = source.headers.keys().map(|name| {
        let lines = source.headers.get_all(name).iter();
        (
            name.as_str(),
            lines.filter_map(|value| std::str::from_utf8(value.as_bytes()).ok().map(Cow::Borrowed)).collect(),
        )
    });
    group("header", values, &mut text);
    if let Some(request) = request {
        write_name("request", &mut text);
        text.extend_from_slice(request);
    }
    let mut body_at = text.len();
    if let Some(body) = source.body {
        check_one_value(body)?;
        write_name("body", &mut text);
        body_at = text.len();
        text.extend_from_slice(body);
    }
    text.push(b'}');
    Ok(Envelope { text, body_at })
}

impl Envelope {
    /// # Errors
    /// A named part that is not text, or a body that is not one JSON value.
    pub(super) fn pack(parts: &Parts, source: &Source<'_>) -> Result<Self, Fault> {
        let mut text = vec![b'{'];
        if let Some(status) = source.status.filter(|_| parts.status) {
            write_name("status", &mut text);
            text.extend_from_slice(status.to_string().as_bytes());
        }
        if !parts.path.is_empty() {
            let named = source.params.iter().filter(|(name, _)| parts.path.contains(*name));
            let decoded = named.map(|(name, value)| Ok((*name, vec![decode("path", name, value, false)?])));
            group("path", decoded.collect::<Result<Vec<_>, Fault>>()?, &mut text);
        }
        if !parts.query.is_empty() {
            let mut values: Vec<(&str, Vec<Cow<'_, str>>)> =
                parts.query.iter().map(|name| (name.as_str(), Vec::new())).collect();
            for (name, value) in pairs(source.query) {
                let Some(name) = form_decode(name) else { continue };
                if let Some((name, values)) = values.iter_mut().find(|(known, _)| *known == name) {
                    values.push(decode("query", name, value, true)?);
                }
            }
            group("query", values, &mut text);
        }
        if !parts.headers.is_empty() {
            let values = parts.headers.iter().map(|name| {
                let lines = source.headers.get_all(name).iter();
                let texts = lines.map(|value| match std::str::from_utf8(value.as_bytes()) {
                    Ok(text) => Ok(Cow::Borrowed(text)),
                    Err(_) => Err(Fault::guard("expected text".into()).within(name).within("header")),
                });
                Ok((name.as_str(), texts.collect::<Result<Vec<_>, Fault>>()?))
            });
            group("header", values.collect::<Result<Vec<_>, Fault>>()?, &mut text);
        }
        if !parts.cookies.is_empty() {
            let crumbs = cookies(source.headers);
            let values = parts.cookies.iter().map(|name| {
                let values = crumbs.iter().filter(|(known, _)| known == name);
                (name.as_str(), values.take(1).map(|(_, value)| Cow::Borrowed(*value)).collect())
            });
            group("cookie", values, &mut text);
        }
        let mut body_at = text.len();
        if let Some(body) = source.body.filter(|_| parts.body || parts.keeps_body) {
            check_one_value(body)?;
            write_name("body", &mut text);
            body_at = text.len();
            text.extend_from_slice(body);
        }
        text.push(b'}');
        Ok(Self { text, body_at })
    }

    /// A fault in this envelope, told in the message's own terms: fields of the body by their own names.
    pub(super) fn fault(&self, mut fault: Fault) -> Fault {
        fault.offset = fault.offset.and_then(|offset| offset.checked_sub(self.body_at));
        if let Some(place) = fault.place.strip_prefix("body") {
            fault.place = place.strip_prefix('.').unwrap_or(place).to_owned();
        }
        if let FaultKind::Json(kind) = fault.kind
            && let Some(offset) = fault.offset
        {
            fault.detail = json::Error { kind, offset }.to_string();
        }
        fault
    }
}

/// A body must be one JSON value in itself: `{},"header":{}` would otherwise speak for other parts of the message.
fn check_one_value(body: &[u8]) -> Result<(), Fault> {
    json::check_utf8(body)?;
    let mut scanner = Scanner::new(body, json::MAX_DEPTH);
    scanner.skip_space();
    scanner.skip_value(0)?;
    Ok(scanner.finish()?)
}

/// Writes a group of named texts.
fn group<'v, N: AsRef<str>>(name: &str, values: impl IntoIterator<Item = (N, Vec<Cow<'v, str>>)>, text: &mut Vec<u8>) {
    write_name(name, text);
    write_texts(values, text);
}

/// Writes named texts as an object: one value is a string, several are a list, none is absent.
pub(super) fn write_texts<'v, N: AsRef<str>>(
    values: impl IntoIterator<Item = (N, Vec<Cow<'v, str>>)>,
    text: &mut Vec<u8>,
) {
    text.push(b'{');
    for (name, values) in values {
        match values.as_slice() {
            [] => {}
            [value] => {
                write_name(name.as_ref(), text);
                write_string(value, text);
            }
            several => {
                write_name(name.as_ref(), text);
                text.push(b'[');
                for value in several {
                    separate(text);
                    write_string(value, text);
                }
                text.push(b']');
            }
        }
    }
    text.push(b'}');
}

fn decode<'v>(part: &str, name: &str, value: &'v str, form: bool) -> Result<Cow<'v, str>, Fault> {
    let decoded = if form { form_decode(value) } else { percent::decode(value).map(Cow::Owned) };
    decoded.ok_or_else(|| Fault::guard("expected percent-encoded UTF-8".into()).within(name).within(part))
}

pub(super) fn cookies(headers: &HeaderMap) -> Vec<(&str, &str)> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(';')).filter_map(|crumb| crumb.trim().split_once('=')).collect()
}

/// What came out of an envelope.
#[derive(Default)]
pub(super) struct Unpacked<'t> {
    pub(super) status: Option<Tree<'t>>,
    pub(super) path: Vec<(Cow<'t, str>, Tree<'t>)>,
    pub(super) query: Vec<(Cow<'t, str>, Tree<'t>)>,
    pub(super) headers: Vec<(Cow<'t, str>, Tree<'t>)>,
    pub(super) cookies: Vec<(Cow<'t, str>, Tree<'t>)>,
    pub(super) body: Option<&'t [u8]>,
}

impl Unpacked<'_> {
    /// # Errors
    /// A status that is none.
    pub(super) fn status_code(&self) -> Result<Option<StatusCode>, Fault> {
        let Some(tree) = &self.status else { return Ok(None) };
        let number = std::str::from_utf8(tree.raw).ok().and_then(|text| text.parse().ok());
        let unfit = || Fault::guard("expected a status of three digits".into()).within("status");
        number.map(Some).ok_or_else(unfit)
    }
}

/// Whether a condition holds for a message's document.
///
/// # Errors
/// A document that is not JSON; a condition that needs more steps than the limit.
pub(super) fn holds(query: &Query, tree: &Tree<'_>) -> Result<bool, Fault> {
    let costly = |_| Fault::new(FaultKind::TooLarge, "a condition needs more steps than the limit");
    query.matches(tree).map_err(costly)
}

/// Reads a translated envelope; the body is skipped, not built.
pub(super) fn unpack(text: &[u8]) -> Result<Unpacked<'_>, Fault> {
    let mut unpacked = Unpacked::default();
    let mut scanner = Scanner::new(text, json::MAX_DEPTH);
    scanner.at = 1;
    loop {
        scanner.skip_space();
        if scanner.peek() == b',' {
            scanner.at += 1;
            continue;
        }
        if scanner.peek() != b'"' {
            return Ok(unpacked);
        }
        let name = scanner.at;
        scanner.skip_string()?;
        let name = text.get(name..scanner.at).unwrap_or_default();
        scanner.skip_colon()?;
        let start = scanner.at;
        scanner.skip_value(1)?;
        let raw = text.get(start..scanner.at).unwrap_or_default();
        let members = || match Tree::parse(raw, json::MAX_DEPTH).map(|tree| tree.kind) {
            Ok(TreeKind::Object(members)) => members,
            _ => Vec::new(),
        };
        match name {
            b"\"body\"" => unpacked.body = Some(raw),
            b"\"status\"" => unpacked.status = Some(Tree::parse(raw, json::MAX_DEPTH)?),
            b"\"path\"" => unpacked.path = members(),
            b"\"query\"" => unpacked.query = members(),
            b"\"header\"" => unpacked.headers = members(),
            b"\"cookie\"" => unpacked.cookies = members(),
            _ => {}
        }
    }
}

/// A scalar as the text that a path, query or header carries. `None`: null, which is carried as absence.
pub(super) fn scalar<'t>(part: &str, name: &str, value: &Tree<'t>) -> Result<Option<Cow<'t, str>>, Fault> {
    if matches!(value.kind, TreeKind::Null) {
        return Ok(None);
    }
    match value.scalar_text() {
        Some(text) => Ok(Some(text)),
        None => Err(Fault::guard("expected a text, a number or a boolean".into()).within(name).within(part)),
    }
}

/// One or several scalars.
pub(super) fn scalars<'t>(part: &str, name: &str, value: &Tree<'t>) -> Result<Vec<Cow<'t, str>>, Fault> {
    let values = value.elements().unwrap_or(std::slice::from_ref(value));
    values.iter().filter_map(|value| scalar(part, name, value).transpose()).collect()
}

/// Appends one path segment, encoded so that it stays one. A text that the source's path had keeps its spelling there.
pub(super) fn write_segment(
    name: &str,
    value: Option<&Tree<'_>>,
    params: &Params<'_>,
    path: &mut String,
) -> Result<(), Fault> {
    let text = value.map(|value| scalar("path", name, value)).transpose()?.flatten();
    // An empty segment and the dot segments (RFC 3986, 5.2.4) would change which resource is named.
    match text.filter(|text| !matches!(&**text, "" | "." | "..") && !text.contains(['\0', '\r', '\n'])) {
        Some(text) => {
            match params.iter().find(|(_, raw)| percent::decode(raw).is_some_and(|known| known == text)) {
                Some((_, raw)) => path.push_str(raw),
                None => percent::encode(&text, percent::UNRESERVED, path),
            }
            Ok(())
        }
        None => {
            Err(Fault::guard("expected a text that can be one segment of a path".into()).within(name).within("path"))
        }
    }
}

/// Headers of the target: unnamed ones as they were, named ones as the rules give them.
pub(super) fn write_headers(
    headers: &mut HeaderMap,
    (from, to): (&Parts, &Parts),
    unpacked: &Unpacked<'_>,
) -> Result<(), Fault> {
    // A header that only the target's rules name is theirs alone: a caller cannot smuggle a value past them.
    let owned = |name: &str| from.names("header", name) || to.names("header", name);
    let replaced: Vec<HeaderName> = headers.keys().filter(|name| owned(name.as_str())).cloned().collect();
    for name in replaced {
        headers.remove(name);
    }
    for (name, value) in unpacked.headers.iter().filter(|(name, _)| owned(&name.to_ascii_lowercase())) {
        let unfit = || Fault::guard("expected text that a header can carry".into()).within(name).within("header");
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unfit())?;
        for text in scalars("header", name, value)? {
            headers.append(&header, HeaderValue::from_str(&text).map_err(|_| unfit())?);
        }
    }
    if from.names_any("cookie") || to.names_any("cookie") {
        let named = |name: &str| from.names("cookie", name) || to.names("cookie", name);
        let kept = cookies(headers).into_iter().filter(|(name, _)| !named(name));
        let mut crumbs: Vec<String> = kept.map(|(name, value)| format!("{name}={value}")).collect();
        for (name, value) in unpacked.cookies.iter().filter(|(name, _)| named(name)) {
            let unfit = || Fault::guard("expected text that a cookie can carry".into()).within(name).within("cookie");
            if let Some(text) = scalar("cookie", name, value)? {
                if text.contains([';', ',', ' ', '"', '\\']) {
                    return Err(unfit());
                }
                crumbs.push(format!("{name}={text}"));
            }
        }
        headers.remove(header::COOKIE);
        if !crumbs.is_empty() {
            let unfit = |_| Fault::guard("expected text that a cookie can carry".into()).within("cookie");
            headers.insert(header::COOKIE, HeaderValue::from_str(&crumbs.join("; ")).map_err(unfit)?);
        }
    }
    Ok(())
}
