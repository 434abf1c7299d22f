//! Documents: valid or not, generated, changed.

mod domain;
mod generate;
mod guided;
mod random;
pub(super) mod validate;
mod value;

pub use generate::Generator;
pub use guided::{End, Guided, VALUES};
pub use random::Random;
pub use validate::{Violation, violations};
pub use value::Value;

use super::schema::Kinds;
use crate::json::Decimal;

/// How the names of members begin that generators add and nothing declares.
pub(super) const UNKNOWN: &str = "x extra";

/// The JSON type of a constant's text.
pub(super) fn constant_kind(json: &str) -> Kinds {
    match json.as_bytes().first() {
        Some(b'"') => Kinds::STRING,
        Some(b'{') => Kinds::OBJECT,
        Some(b'[') => Kinds::ARRAY,
        Some(b't' | b'f') => Kinds::BOOLEAN,
        Some(b'n') => Kinds::NULL,
        _ if Decimal::parse(json).is_some_and(|number| number.is_integer()) => Kinds::INTEGER,
        _ => Kinds::NUMBER.without(Kinds::INTEGER),
    }
}

/// The scale of a format such as `decimal2`: texts with exactly that many decimals.
pub(super) fn decimals(format: &str) -> Option<usize> {
    format.strip_prefix("decimal")?.parse().ok().filter(|scale| *scale <= 64)
}

/// Whether a number is a whole multiple of another; `None` where the two are too far apart to say cheaply.
pub(super) fn is_multiple(value: &Decimal, by: &Decimal) -> Option<bool> {
    if value.digits.is_empty() {
        return Some(true);
    }
    let low = value.exponent.min(by.exponent);
    let scaled = |number: &Decimal| {
        let zeros = usize::try_from(number.exponent.checked_sub(low)?).ok()?;
        if number.digits.len() + zeros > 38 {
            return None;
        }
        let text = std::str::from_utf8(&number.digits).ok()?;
        text.parse::<u128>().ok()?.checked_mul(10_u128.checked_pow(u32::try_from(zeros).ok()?)?)
    };
    let (value, by) = (scaled(value)?, scaled(by)?);
    value.checked_rem(by).map(|rest| rest == 0)
}
