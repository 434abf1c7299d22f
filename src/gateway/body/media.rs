//! Bodies that are not JSON, as rules see them: a form is an object of its fields, a text a string.

use std::borrow::Cow;

use http::HeaderMap;

use crate::json::{MAX_DEPTH, Tree, TreeKind};
use crate::path::percent;
use crate::plan::wire::{media_type, read_form, read_text};

/// What a body is, by what its sender says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) enum Media {
    /// `application/x-www-form-urlencoded`
    Form,
    /// `text/…`, in UTF-8.
    Text,
}

impl Media {
    /// Nothing for bodies that rules cannot see so.
    pub(in crate::gateway) fn of(headers: &HeaderMap) -> Option<Self> {
        let media_type = media_type(headers);
        if media_type == "application/x-www-form-urlencoded" {
            return Some(Self::Form);
        }
        (media_type.starts_with("text/") && media_type != "text/event-stream").then_some(Self::Text)
    }

    /// The body as JSON; nothing where it is not what it should be.
    pub(in crate::gateway) fn read(self, body: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Text => read_text(body),
            Self::Form => read_form(body),
        }
    }

    /// The body's bytes from the JSON that rules made; nothing where it cannot be written so.
    pub(in crate::gateway) fn write(self, json: &[u8]) -> Option<Vec<u8>> {
        let tree = Tree::parse(json, MAX_DEPTH).ok()?;
        match self {
            Self::Text => tree.text().map(|text| text.into_owned().into_bytes()),
            Self::Form => {
                let TreeKind::Object(members) = &tree.kind else { return None };
                let mut form = String::new();
                for (name, value) in members {
                    let values = value.elements().unwrap_or(std::slice::from_ref(value));
                    for value in values {
                        if !form.is_empty() {
                            form.push('&');
                        }
                        encode(name, &mut form);
                        form.push('=');
                        encode(&scalar(value)?, &mut form);
                    }
                }
                Some(form.into_bytes())
            }
        }
    }
}

/// Null is an empty text: a form has no other nothing.
fn scalar<'t>(value: &Tree<'t>) -> Option<Cow<'t, str>> {
    if matches!(value.kind, TreeKind::Null) { Some(Cow::Borrowed("")) } else { value.scalar_text() }
}

/// As `application/x-www-form-urlencoded` (URL Standard, 5.2): everything but `*-._`, letters and digits in
/// percent-encoding, a space as `+`.
fn encode(text: &str, out: &mut String) {
    for (index, word) in text.split(' ').enumerate() {
        if index > 0 {
            out.push('+');
        }
        percent::encode(word, b"*-._", out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_objects() {
        let read = |form: &str| Media::Form.read(form.as_bytes()).map(|json| String::from_utf8(json).unwrap());
        assert_eq!(read("a=1&b%5B0%5D=x+y&a=%C3%A9").as_deref(), Some(r#"{"a":["1","é"],"b[0]":"x y"}"#));
        assert_eq!(read("").as_deref(), Some("{}"));
        assert_eq!(read("a=%zz"), None);
        let write = |json: &str| Media::Form.write(json.as_bytes()).map(|form| String::from_utf8(form).unwrap());
        assert_eq!(
            write(r#"{"b[0]":"x y","a":["1","é"],"n":5,"z":null}"#).as_deref(),
            Some("b%5B0%5D=x+y&a=1&a=%C3%A9&n=5&z=")
        );
        assert_eq!(write(r#"{"a":{"b":1}}"#), None);
    }

    #[test]
    fn texts_are_strings() {
        assert_eq!(Media::Text.read(b"no \"such\"\n").as_deref(), Some(&br#""no \"such\"\n""#[..]));
        assert_eq!(Media::Text.write(br#""no \"such\"\n""#).as_deref(), Some(&b"no \"such\"\n"[..]));
        assert_eq!(Media::Text.write(b"{}"), None);
        assert_eq!(Media::Text.read(b"\xff"), None);
    }
}
