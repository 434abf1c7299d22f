//! What several codecs do with values: reading texts and numbers, and trying the way back.

use std::borrow::Cow;

use super::argument::Arguments;
use super::{Direction, Guard};
use crate::json::{Decimal, MAX_DEPTH, Rational, Rounding, Tree, unescape, write_string};
use crate::rules::yaml::Node;

pub(super) const TOO_LONG: Guard = Guard::Borrowed("expected a number of reasonable size");
const NO_WAY_BACK: Guard = Guard::Borrowed("expected a value that the way back spells alike");

/// A string's text.
pub(super) fn text(raw: &[u8]) -> Result<Cow<'_, str>, Guard> {
    unescape(raw).ok_or(Guard::Borrowed("expected a string"))
}

/// A number's exact value.
pub(super) fn number(raw: &[u8]) -> Result<Rational, Guard> {
    let number = std::str::from_utf8(raw).ok().and_then(Decimal::parse).ok_or("expected a number")?;
    Rational::of(&number).ok_or(TOO_LONG)
}

/// Whether two JSON texts are the same value.
pub(super) fn same(a: &[u8], b: &[u8]) -> bool {
    a == b
        || match (Tree::parse(a, MAX_DEPTH), Tree::parse(b, MAX_DEPTH)) {
            (Ok(a), Ok(b)) => a.same(&b),
            _ => false,
        }
}

/// Refuses a value that the other direction would not give back.
///
/// The law of every codec, by trial: for codecs with more spellings than one can list.
pub(super) fn check_back(
    value: &[u8],
    written: &[u8],
    back: impl FnOnce(&[u8], &mut Vec<u8>) -> Result<(), Guard>,
) -> Result<(), Guard> {
    let mut again = Vec::new();
    // Null stays null, so a value that becomes null cannot come back.
    if written == b"null" || back(written, &mut again).is_err() || !same(value, &again) {
        return Err(NO_WAY_BACK);
    }
    Ok(())
}

/// A text that spells another one.
pub(super) struct Spelling<'c> {
    /// The bytes of what a spelling stands for; nothing where it is none.
    pub(super) decode: fn(&[u8]) -> Option<Vec<u8>>,
    /// The one spelling of a text that is written.
    pub(super) encode: &'c dyn Fn(&str) -> String,
    /// What is said of a text that is no spelling.
    pub(super) undecodable: &'static str,
    /// What is said of one whose bytes are no text.
    pub(super) not_text: &'static str,
    /// Whether another spelling than the written one is refused.
    pub(super) strict: bool,
}

impl Spelling<'_> {
    /// Up from the spelling to the text that it stands for, and down again.
    pub(super) fn convert(&self, direction: Direction, value: &[u8], out: &mut Vec<u8>) -> Result<(), Guard> {
        let text = text(value)?;
        if direction == Direction::Down {
            write_string(&(self.encode)(&text), out);
            return Ok(());
        }
        let bytes = (self.decode)(text.as_bytes()).ok_or(self.undecodable)?;
        let plain = std::str::from_utf8(&bytes).map_err(|_| self.not_text)?;
        if self.strict && (self.encode)(plain) != text {
            return Err(NO_WAY_BACK);
        }
        write_string(plain, out);
        Ok(())
    }
}

/// The value of a `round:` option.
pub(super) fn rounding(arguments: &mut Arguments<'_>, node: &Node) -> Option<Rounding> {
    Some(match node.as_str() {
        Some("floor") => Rounding::Floor,
        Some("ceil") => Rounding::Ceil,
        Some("half_even") => Rounding::HalfEven,
        Some("half_up") => Rounding::HalfUp,
        Some("trunc") => Rounding::Trunc,
        _ => {
            let help = "the ways are `floor`, `ceil`, `half_even`, `half_up` and `trunc`";
            return arguments.refuse(node.span, "`round` is not a way to round", help);
        }
    })
}
