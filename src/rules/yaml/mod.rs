//! YAML (and so JSON) as a tree that knows where every node is written.
//!
//! One document a text, scalars by the YAML 1.2 core schema (`no` is a string, `012` has no exact JSON meaning),
//! aliases within a budget; no tags, no merge keys, no duplicate keys, no deep nesting. Building, copying and dropping
//! a tree therefore never recurse deeper than [`Limits::depth`].

mod json;
mod offsets;
mod read;
mod strict;

use crate::diagnostic::Span;

pub use json::{NotJson, Plain, plain, quote, to_json};
pub use read::parse;

/// What one text may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of text.
    pub bytes: usize,
    /// Nesting levels.
    pub depth: usize,
    /// Nodes once aliases are expanded; a long scalar counts one more per 64 bytes.
    pub nodes: usize,
}

impl Limits {
    /// For service and rule files.
    pub const RULES: Self = Self { bytes: 4 << 20, depth: 64, nodes: 300_000 };
    /// For OpenAPI files.
    pub const OPENAPI: Self = Self { bytes: 16 << 20, depth: 64, nodes: 1_000_000 };
}

/// A node and where it is written.
#[derive(Debug, Clone)]
pub struct Node {
    /// From the node's first to its last byte.
    pub span: Span,
    /// What it is.
    pub kind: Kind,
}

/// What a node is.
#[derive(Debug, Clone)]
pub enum Kind {
    /// A scalar; `plain` scalars may be null, booleans or numbers by the YAML 1.2 core schema.
    Scalar {
        /// The text with quotes and escapes resolved.
        text: String,
        /// Whether it was written without quotes.
        plain: bool,
    },
    /// A sequence.
    List(Vec<Node>),
    /// A mapping in written order; keys are scalars, duplicates are refused.
    Map(Vec<(Node, Node)>),
}

/// The value of a member of a mapping.
pub(crate) fn get<'n>(map: &'n [(Node, Node)], key: &str) -> Option<&'n Node> {
    map.iter().find(|(name, _)| name.as_str() == Some(key)).map(|(_, value)| value)
}

impl Node {
    /// The text of a scalar, whatever it would mean as JSON: where a string is expected, `012` is a string.
    pub fn as_str(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            Kind::List(_) | Kind::Map(_) => None,
        }
    }

    /// The members of a mapping.
    pub fn as_map(&self) -> Option<&[(Node, Node)]> {
        match &self.kind {
            Kind::Map(members) => Some(members),
            Kind::Scalar { .. } | Kind::List(_) => None,
        }
    }

    /// The elements of a sequence.
    pub fn as_list(&self) -> Option<&[Node]> {
        match &self.kind {
            Kind::List(elements) => Some(elements),
            Kind::Scalar { .. } | Kind::Map(_) => None,
        }
    }

    /// The value of a mapping's member.
    pub fn get(&self, key: &str) -> Option<&Node> {
        get(self.as_map()?, key)
    }

    /// A plain `true` or `false`.
    pub fn as_bool(&self) -> Option<bool> {
        match self.as_plain()? {
            Plain::Bool(value) => Some(value),
            Plain::Null | Plain::Number | Plain::Text | Plain::Unclear => None,
        }
    }

    /// Whether this is a plain `null`, `~` or nothing at all.
    pub fn is_null(&self) -> bool {
        self.as_plain() == Some(Plain::Null)
    }

    /// What a plain scalar means; `None` for quoted scalars, lists and maps.
    pub fn as_plain(&self) -> Option<Plain> {
        match &self.kind {
            Kind::Scalar { text, plain: true } => Some(plain(text)),
            Kind::Scalar { .. } | Kind::List(_) | Kind::Map(_) => None,
        }
    }

    /// What the node is, for messages: `a list`, `a string`, …
    pub fn describe(&self) -> &'static str {
        match &self.kind {
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
            Kind::Scalar { plain: false, .. } => "a string",
            Kind::Scalar { text, plain: true } => match plain(text) {
                Plain::Null => "nothing",
                Plain::Bool(_) => "a boolean",
                Plain::Number | Plain::Unclear => "a number",
                Plain::Text => "a string",
            },
        }
    }

    /// Where bytes `start..end` of a scalar's text are written, so that a caret can point inside it.
    ///
    /// The whole scalar where escapes or line folding make the written form differ from the text.
    pub fn part(&self, start: usize, end: usize) -> Span {
        let Kind::Scalar { text, plain } = &self.kind else { return self.span };
        let written = (self.span.end.saturating_sub(self.span.start)) as usize;
        let quotes = usize::from(!*plain);
        if written == text.len() + 2 * quotes { self.span.slice(start + quotes, end + quotes) } else { self.span }
    }
}

#[cfg(test)]
mod tests;
