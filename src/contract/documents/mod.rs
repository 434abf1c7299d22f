//! Documents: valid or not, generated, changed.

use super::schema::Kinds;

/// The JSON type of a constant's text.
pub(super) fn constant_kind(json: &str) -> Kinds {
    match json.as_bytes().first() {
        Some(b'"') => Kinds::STRING,
        Some(b'{') => Kinds::OBJECT,
        Some(b'[') => Kinds::ARRAY,
        Some(b't' | b'f') => Kinds::BOOLEAN,
        Some(b'n') => Kinds::NULL,
        _ if crate::json::Decimal::parse(json).is_some_and(|number| number.is_integer()) => Kinds::INTEGER,
        _ => Kinds::NUMBER,
    }
}
