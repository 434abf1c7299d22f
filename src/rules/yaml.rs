//! YAML (and so JSON) as a tree that knows where every node is written.

use crate::diagnostic::Span;

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
