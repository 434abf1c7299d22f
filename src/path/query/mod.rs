//! Queries: RFC 9535, read once, evaluated over a borrowed document at a bounded cost.
//!
//! The grammar is that of the crate `jsonpath-rust`, which `read.rs` alone names. What its tree of a query means is
//! decided here, because numbers must compare exactly and the cost of a query must have a bound.
//!
//! ```text
//! text --scan--> blanked text, exact numbers, calls --read--> model --evaluate over a Tree--> nodes
//! ```

mod compare;
mod evaluate;
mod model;
mod pattern;
mod read;
mod scan;

use std::fmt;
use std::sync::Arc;

use super::PlaceError;
use crate::json::Tree;

/// Bytes of a query's text.
pub const MAX_QUERY: usize = 4096;

/// Brackets and parentheses of a query inside each other.
pub const MAX_QUERY_NESTING: usize = 16;

/// Calls of functions inside each other: the grammar reads each of them several times.
pub const MAX_QUERY_CALLS: usize = 4;

/// Segments of a query, those of queries inside its filters included.
pub const MAX_QUERY_SEGMENTS: usize = 128;

/// Patterns that a query holds: each is compiled, and kept.
pub const MAX_QUERY_PATTERNS: usize = 16;

/// What one evaluation may cost: a step for each node that is looked at, and for each 64 bytes of a text or 16 members
/// of an object that are compared; a search with a pattern costs as much as the pattern is large.
pub const MAX_COST: u64 = 1_000_000;

/// An RFC 9535 query, compiled once.
#[derive(Debug, Clone)]
pub struct Query {
    text: String,
    /// Shared, so that a rule's query can be kept in many places of a plan.
    steps: Arc<[model::Step]>,
    /// Its only step is a filter that is asked of the document itself.
    is_condition: bool,
}

/// A query looks at more of a document than [`MAX_COST`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooCostly;

impl fmt::Display for TooCostly {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "the query costs more than {MAX_COST} steps on this document")
    }
}

impl std::error::Error for TooCostly {}

impl PartialEq for Query {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}
impl Eq for Query {}

impl fmt::Display for Query {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

impl Query {
    /// Reads a query: `$.orders[?@.total > 10].id`.
    ///
    /// # Errors
    /// The first mistake: what RFC 9535 refuses, a pattern that is not one of RFC 9485, or a limit exceeded.
    pub fn parse(text: &str) -> Result<Self, PlaceError> {
        let scanned = scan::scan(text)?;
        let steps = read::read(text, scanned)?;
        Ok(Self { text: text.to_owned(), steps: steps.into(), is_condition: false })
    }

    /// Reads a condition on a whole document: what RFC 9535 allows between `?` and `]`, `$` and `@` being the document.
    /// A query by itself (`$.items[?@.open]`) asks whether it selects anything.
    ///
    /// # Errors
    /// As [`Query::parse`].
    pub fn condition(text: &str) -> Result<Self, PlaceError> {
        let whole = format!("$[?{text}]");
        let shift = |at: usize| at.saturating_sub(3).min(text.len());
        let mut query = Self::parse(&whole).map_err(|error| {
            let at = shift(error.at.start)..shift(error.at.end);
            // The bracket that closes it is not the author's.
            let ends = !error.over_limit && at.start >= text.len();
            let message = if ends { "the condition is not complete".into() } else { error.message };
            PlaceError { at, message, ..error }
        })?;
        let is_one = matches!(&*query.steps, [step] if matches!(&*step.selectors, [model::Selector::Filter(_)]));
        if !is_one {
            return Err(PlaceError {
                at: 0..text.len(),
                message: "a condition is one expression".to_owned(),
                help: Some("join conditions with `&&` or `||`"),
                over_limit: false,
            });
        }
        text.clone_into(&mut query.text);
        query.is_condition = true;
        Ok(query)
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The nodes it selects in the order of RFC 9535, members of an object in the document's order. A node that is
    /// selected twice is listed twice.
    ///
    /// # Errors
    /// Where that costs more than [`MAX_COST`].
    pub fn select<'t, 'a>(&self, root: &'t Tree<'a>) -> Result<Vec<&'t Tree<'a>>, TooCostly> {
        evaluate::select(&self.steps, root)
    }

    /// Whether it selects anything, or, for a condition, whether it holds.
    ///
    /// # Errors
    /// Where finding that out costs more than [`MAX_COST`].
    pub fn matches(&self, root: &Tree<'_>) -> Result<bool, TooCostly> {
        if self.is_condition {
            return evaluate::holds(&self.steps, root);
        }
        evaluate::matches(&self.steps, root)
    }
}

#[cfg(test)]
mod tests;
