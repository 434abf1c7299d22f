//! Heads of simple HTTP/1.1 messages: what of them says where a message and its connection end, and can be said in one
//! way only. All others are hyper's to read.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

/// Fields of a head; those with more are hyper's.
pub(super) const FIELDS: usize = 64;

/// A head's fields.
pub(super) struct Fields {
    pub(super) headers: HeaderMap,
    /// Of the body, where it is told.
    pub(super) length: Option<u64>,
    /// Whether the connection ends after this message.
    pub(super) closes: bool,
}

impl Fields {
    /// The fields of a head in `heard`, with room for some more. None: they are not simple.
    pub(super) fn of(heard: &Bytes, fields: &[httparse::Header<'_>], room: usize) -> Option<Self> {
        let mut headers = HeaderMap::with_capacity(fields.len() + room);
        let (mut expected, mut closes) = (None, false);
        for field in fields {
            let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
            let value = HeaderValue::from_maybe_shared(heard.slice_ref(field.value)).ok()?;
            if name == header::TRANSFER_ENCODING {
                return None;
            } else if name == header::CONTENT_LENGTH {
                if expected.is_some() {
                    return None;
                }
                expected = Some(length(&value)?);
            } else if name == header::CONNECTION {
                closes |= elements(value.to_str().ok()?).any(|option| option.eq_ignore_ascii_case("close"));
            }
            headers.append(name, value);
        }
        Some(Self { headers, length: expected, closes })
    }
}

/// Whether any of these fields is there: one walk over the few that are.
#[inline]
pub(super) fn has_any(headers: &HeaderMap, names: &[HeaderName]) -> bool {
    headers.keys().any(|name| names.contains(name))
}

/// The elements of a list, as one field has it.
pub(super) fn elements(text: &str) -> impl Iterator<Item = &str> {
    let mut left = Some(text);
    std::iter::from_fn(move || {
        let text = left?;
        // Lists are short: a search for a letter in a text would prepare for long ones.
        let comma = text.bytes().position(|byte| byte == b',');
        let (element, after) = match comma {
            Some(at) => (text.get(..at)?, text.get(at + 1..)),
            None => (text, None),
        };
        left = after;
        Some(element.trim_ascii())
    })
}

/// A length in digits and nothing else.
pub(super) fn length(value: &HeaderValue) -> Option<u64> {
    let digits =
        value.to_str().ok().filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse().ok()
}

/// Whether answers of this status have neither body nor length (RFC 9110, 8.6).
pub(super) fn has_none(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Writes fields as they stand in a head.
pub(super) fn write(headers: &HeaderMap, out: &mut Vec<u8>) {
    for (name, value) in headers {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// How much room fields take there.
pub(super) fn size(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}
