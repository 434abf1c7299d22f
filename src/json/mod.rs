//! The byte-level JSON engine: every byte checked, nothing copied that need not be.
//!
//! Grammar: RFC 8259. Stricter than it where two readers could disagree: UTF-8 only, no byte-order mark, no lone
//! surrogate escapes, a bounded depth. Numbers are never turned into floats.

mod block;
mod exact;
mod extent;
mod number;
mod scan;
mod text;
mod tree;

pub(crate) use block::{are_digits, plain_string_end, simple_end, word_of};
pub use exact::{MAX_DIGITS, Rational, Rounding};
pub(crate) use extent::Extent;
pub use number::Decimal;
pub(crate) use scan::{Scan, Scanner};
pub(crate) use text::{plain_inner, separate, write_escaped, write_name};
pub use text::{unescape, write_string};
pub use tree::{Tree, TreeKind};

/// The deepest nesting that any setting can allow.
pub const MAX_DEPTH: usize = 256;

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
    /// Not JSON by RFC 8259; says what was expected.
    Syntax(&'static str),
    /// Not UTF-8.
    Utf8,
    /// `\ud800` without its other half.
    LoneSurrogate,
    /// Nested deeper than the limit.
    Depth,
    /// More values than the limit.
    Nodes,
    /// A member name twice in an object that a rule reads.
    DuplicateKey,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.kind {
            ErrorKind::Syntax(expected) => write!(f, "not JSON: expected {expected}")?,
            ErrorKind::Utf8 => write!(f, "not UTF-8")?,
            ErrorKind::LoneSurrogate => write!(f, "a \\u escape is half of a surrogate pair")?,
            ErrorKind::Depth => write!(f, "nested too deep")?,
            ErrorKind::Nodes => write!(f, "more values than the limit")?,
            ErrorKind::DuplicateKey => write!(f, "the same member name twice in one object")?,
        }
        write!(f, " at byte {}", self.offset)
    }
}

impl std::error::Error for Error {}

impl From<Box<Error>> for Error {
    fn from(error: Box<Error>) -> Self {
        *error
    }
}

/// Checks that a text is UTF-8.
///
/// # Errors
/// [`ErrorKind::Utf8`] with the offset of the first byte that is not.
pub fn check_utf8(text: &[u8]) -> Result<(), Error> {
    if simdutf8::basic::from_utf8(text).is_ok() {
        return Ok(());
    }
    match std::str::from_utf8(text) {
        Ok(_) => Ok(()),
        Err(error) => Err(Error { kind: ErrorKind::Utf8, offset: error.valid_up_to() }),
    }
}
