//! Route templates such as `GET /orders/{id}`.

use crate::diagnostic::Span;

/// One segment of a path template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// Matches this text, compared after percent-decoding.
    Literal(String),
    /// Matches any one non-empty segment and names it.
    Param(String),
}

/// A method and a path template. `*` as method matches every method.
#[derive(Debug, Clone)]
pub struct Template {
    /// Upper-case method name, or `*`.
    pub method: String,
    /// The path, split at `/`; `/` alone has no segments.
    pub segments: Vec<Segment>,
    /// Where it is written.
    pub span: Span,
}
