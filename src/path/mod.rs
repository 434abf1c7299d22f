//! Places: singular paths in one document, as rules write them; route templates; queries.

mod extended;
mod parse;
pub mod percent;
pub mod query;
pub mod template;

use std::fmt;

use crate::diagnostic::Span;

pub use extended::{Step, View};
pub use parse::{MAX_SEGMENTS, PlaceError, parse, parse_place};

/// The first segment of a path, and what follows behind its slash.
#[inline]
pub(crate) fn first_segment(path: &str) -> (&str, Option<&str>) {
    // Segments are short: a search for a letter in a text would prepare for long ones.
    let slash = path.bytes().position(|byte| byte == b'/');
    match slash.and_then(|at| Some((path.get(..at)?, path.get(at + 1..)?))) {
        Some((first, after)) => (first, Some(after)),
        None => (path, None),
    }
}

/// A singular path: member names from the root down. `.` (the whole document) has no segments.
///
/// `a.b` is shorthand for `$.a.b`; names that are not plain are written as RFC 9535 (`$['odd.key'].b`).
#[derive(Debug, Clone)]
pub struct Place {
    /// Member names from the root, unescaped, up to the first step that is not a plain name.
    pub segments: Vec<String>,
    /// The steps behind them, from the first that is not a plain name; none for a plain place.
    pub tail: Vec<Step>,
    /// The request that it reads, where it is no place of the document itself (`$request.path.id`).
    pub view: Option<View>,
    /// Where it is written.
    pub span: Span,
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.segments == other.segments && self.tail == other.tail && self.view == other.view
    }
}
impl Eq for Place {}

impl Place {
    /// A place of member names alone.
    pub fn plain(segments: Vec<String>, span: Span) -> Self {
        Self { segments, tail: Vec::new(), view: None, span }
    }

    /// Whether it is made of member names alone.
    pub fn is_plain(&self) -> bool {
        self.tail.is_empty() && self.view.is_none()
    }

    /// All its steps.
    pub fn steps(&self) -> Vec<Step> {
        self.segments.iter().cloned().map(Step::Name).chain(self.tail.iter().cloned()).collect()
    }

    /// Whether this place is `other` or lies above or below it.
    pub fn overlaps(&self, other: &Self) -> bool {
        if self.is_plain() && other.is_plain() {
            return self.segments.iter().zip(&other.segments).all(|(a, b)| a == b);
        }
        self.view == other.view && extended::overlap(&self.steps(), &other.steps())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(view) = self.view {
            write!(out, "{view}.")?;
        }
        if !self.segments.is_empty() || self.tail.is_empty() {
            parse::write(&self.segments, out)?;
        }
        extended::write(&self.tail, self.segments.is_empty(), out)
    }
}

#[cfg(test)]
mod tests;
