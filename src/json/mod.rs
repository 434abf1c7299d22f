//! The byte-level JSON engine: every byte checked, nothing copied that need not be.

mod number;
mod tree;

pub use number::Decimal;
pub use tree::{Tree, TreeKind};

/// Why a text is not acceptable JSON, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Error {
    /// What is wrong.
    pub kind: ErrorKind,
    /// Byte offset into the text.
    pub offset: usize,
}

/// What is wrong with a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Not JSON by RFC 8259.
    Syntax(&'static str),
    /// Not UTF-8.
    Utf8,
    /// `\ud800` without its other half.
    LoneSurrogate,
    /// Nested deeper than the limit.
    Depth,
    /// A member name twice in an object that a rule reads.
    DuplicateKey,
}
