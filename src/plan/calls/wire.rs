//! Bodies between the wire and the documents that rules see: forms are flat objects, texts are strings.

use std::borrow::Cow;

use http::{HeaderMap, header};

use super::document::extend;
use crate::json::{MAX_DEPTH, Tree, TreeKind, write_string};
use crate::plan::message::scalars;
use crate::plan::query::{encode_unreserved, form_decode, pairs};
use crate::plan::{Fault, FaultKind};

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
        let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let name = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match name.as_str() {
            "application/json" => Self::Json,
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
        Form::Text => {
            let mut text = Vec::with_capacity(body.len() + 2);
            write_string(std::str::from_utf8(body).map_err(|_| unfit())?, &mut text);
            Some(Cow::Owned(text))
        }
        Form::Fields => {
            let mut fields: Vec<(Cow<'_, str>, Vec<Vec<u8>>)> = Vec::new();
            for (name, value) in pairs(Some(std::str::from_utf8(body).map_err(|_| unfit())?)) {
                let (name, value) = (form_decode(name).ok_or_else(unfit)?, form_decode(value).ok_or_else(unfit)?);
                let mut text = Vec::new();
                write_string(&value, &mut text);
                match fields.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, values)) => values.push(text),
                    None => fields.push((name, vec![text])),
                }
            }
            let joined: Vec<(Cow<'_, str>, Vec<u8>)> =
                fields.into_iter().map(|(name, values)| (name, list(values))).collect();
            let members: Vec<(&str, &[u8])> = joined.iter().map(|(name, value)| (&**name, value.as_slice())).collect();
            Some(Cow::Owned(extend(b"{}", &members)))
        }
    })
}

/// One value, or a list of several.
fn list(values: Vec<Vec<u8>>) -> Vec<u8> {
    match <[Vec<u8>; 1]>::try_from(values) {
        Ok([value]) => value,
        Err(values) => [b"[".as_slice(), &values.join(&b","[..]), b"]"].concat(),
    }
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
                    encode_unreserved(name, &mut text);
                    text.push('=');
                    encode_unreserved(&value, &mut text);
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
