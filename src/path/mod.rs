//! Places: singular paths in one document, as rules write them.

mod parse;
pub mod template;

use std::fmt;

use crate::diagnostic::Span;

pub use parse::{MAX_SEGMENTS, PlaceError, parse};

/// A singular path: member names from the root down. `.` (the whole document) has no segments.
///
/// `a.b` is shorthand for `$.a.b`; names that are not plain are written as RFC 9535 (`$['odd.key'].b`).
#[derive(Debug, Clone)]
pub struct Place {
    /// Member names from the root, unescaped.
    pub segments: Vec<String>,
    /// Where it is written.
    pub span: Span,
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.segments == other.segments
    }
}
impl Eq for Place {}

impl Place {
    /// Whether this place is `other` or lies above or below it.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.segments.iter().zip(&other.segments).all(|(a, b)| a == b)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        parse::write(&self.segments, out)
    }
}

#[cfg(test)]
mod tests;
