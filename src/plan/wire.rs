//! Bodies between the wire and the documents that rules see: forms are flat objects, texts are strings.

use std::borrow::Cow;

use http::{HeaderMap, header};

use super::message::{scalars, write_texts};
use super::query::{by_name, form_decode, pairs};
use super::{Fault, FaultKind};
use crate::json::{MAX_DEPTH, Tree, TreeKind, write_string};
use crate::path::percent;

/// JSON's media type.
const JSON: &str = "application/json";

/// What a body is by its media type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    /// `application/x-www-form-urlencoded`
    Fields,
    /// `text/*`
    Text,
    Other,
}

impl Form {
    fn of(headers: &HeaderMap) -> Self {
        match &*media_type(headers) {
            JSON => Self::Json,
            "application/x-www-form-urlencoded" => Self::Fields,
            name if name.ends_with("+json") => Self::Json,
            name if name.starts_with("text/") => Self::Text,
            _ => Self::Other,
        }
    }
}

/// A body as JSON; nothing where its media type says nothing that rules could read.
///
/// # Errors
/// A form or a text that is not UTF-8. JSON is not looked at.
pub fn decode<'b>(headers: &HeaderMap, body: &'b [u8]) -> Result<Option<Cow<'b, [u8]>>, Fault> {
    let unfit = || Fault::new(FaultKind::Json(crate::json::ErrorKind::Utf8), "expected text in UTF-8");
    Ok(match Form::of(headers) {
        Form::Json => Some(Cow::Borrowed(body)),
        Form::Other => None,
        Form::Text => Some(Cow::Owned(read_text(body).ok_or_else(unfit)?)),
        Form::Fields => Some(Cow::Owned(read_form(body).ok_or_else(unfit)?)),
    })
}

/// The media type of a body in lower case, without its parameters; empty where there is none.
pub(crate) fn media_type(headers: &HeaderMap) -> Cow<'_, str> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Cow::Borrowed("") };
    // As nearly all say it.
    if value == JSON {
        return Cow::Borrowed(JSON);
    }
    let value = value.to_str().unwrap_or_default();
    let name = value.split_once(';').map_or(value, |(name, _)| name).trim();
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) { name.to_ascii_lowercase().into() } else { name.into() }
}

/// Whether a body is a JSON Patch (RFC 6902): a list of operations on a document instead of the document.
pub fn is_json_patch(headers: &HeaderMap) -> bool {
    media_type(headers) == "application/json-patch+json"
}

/// A text as a JSON string; nothing where it is not UTF-8.
pub(crate) fn read_text(body: &[u8]) -> Option<Vec<u8>> {
    let mut json = Vec::with_capacity(body.len() + 2);
    write_string(std::str::from_utf8(body).ok()?, &mut json);
    Some(json)
}

/// A form (`application/x-www-form-urlencoded`) as a JSON object: a field that comes once is a string, one that comes
/// more often a list of them. Nothing where it is not percent-encoded UTF-8.
pub(crate) fn read_form(body: &[u8]) -> Option<Vec<u8>> {
    let fields = pairs(Some(std::str::from_utf8(body).ok()?))
        .map(|(name, value)| Some((form_decode(name)?, form_decode(value)?)))
        .collect::<Option<Vec<_>>>()?;
    let mut json = Vec::with_capacity(body.len() + 2);
    write_texts(by_name(fields), &mut json);
    Some(json)
}

/// A body as it is sent: by its media type a form, a plain text, or JSON.
///
/// # Errors
/// A form that is no flat object, a text that is no string.
pub fn encode(headers: &HeaderMap, body: Vec<u8>) -> Result<Vec<u8>, Fault> {
    let form = Form::of(headers);
    if body.is_empty() || form == Form::Json || !headers.contains_key(header::CONTENT_TYPE) {
        return Ok(body);
    }
    let tree = Tree::parse(&body, MAX_DEPTH)?;
    match (form, &tree.kind) {
        (Form::Fields, TreeKind::Object(fields)) => {
            let mut text = String::new();
            for (name, value) in fields {
                for value in scalars("body", name, value)? {
                    if !text.is_empty() {
                        text.push('&');
                    }
                    percent::encode(name, percent::UNRESERVED, &mut text);
                    text.push('=');
                    percent::encode(&value, percent::UNRESERVED, &mut text);
                }
            }
            Ok(text.into_bytes())
        }
        (Form::Fields, _) => Err(Fault::guard("expected the fields of a form".into()).within("body")),
        (_, TreeKind::String) => Ok(tree.text().unwrap_or_default().into_owned().into_bytes()),
        (Form::Text, _) => Err(Fault::guard("expected a text".into()).within("body")),
        _ => Ok(body),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(media_type: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::CONTENT_TYPE, http::HeaderValue::from_static(media_type))])
    }

    #[test]
    fn bodies_are_read_by_their_media_type() {
        let form = "application/x-www-form-urlencoded; charset=utf-8";
        for (media_type, body, expected) in [
            ("application/json", "{\"a\": 1.10}", Some("{\"a\": 1.10}")),
            ("application/problem+json", "1", Some("1")),
            ("Text/Plain", "a \"b\"\n", Some(r#""a \"b\"\n""#)),
            (form, "a=1&b=x+y&a=%C3%A9&c", Some(r#"{"a":["1","é"],"b":"x y","c":""}"#)),
            (form, "", Some("{}")),
            ("application/octet-stream", "x", None),
        ] {
            let read = decode(&typed(media_type), body.as_bytes()).unwrap();
            assert_eq!(read.as_deref(), expected.map(str::as_bytes), "{media_type}: {body}");
        }
        assert!(decode(&typed("text/plain"), b"\xff").is_err());
        assert!(decode(&typed(form), b"a=%ff").is_err());
    }

    #[test]
    fn bodies_are_written_by_their_media_type() {
        for (media_type, body, expected) in [
            ("application/json", r#""é""#, Some(r#""é""#)),
            ("text/plain", r#""\u00e9\n""#, Some("é\n")),
            ("text/plain", "{}", None),
            ("application/octet-stream", r#""raw""#, Some("raw")),
            ("application/octet-stream", "{}", Some("{}")),
            (
                "application/x-www-form-urlencoded",
                r#"{"a b":[1.10,true],"c":"&=","n":null}"#,
                Some("a%20b=1.10&a%20b=true&c=%26%3D"),
            ),
            ("application/x-www-form-urlencoded", r#"{"a":{}}"#, None),
            ("application/x-www-form-urlencoded", "[]", None),
        ] {
            let written = encode(&typed(media_type), body.as_bytes().to_vec()).ok();
            assert_eq!(written.as_deref(), expected.map(str::as_bytes), "{media_type}: {body}");
        }
        assert_eq!(encode(&HeaderMap::new(), b"\"x\"".to_vec()).unwrap(), b"\"x\"");
    }
}
