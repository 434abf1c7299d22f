//! Why one message could not be translated.

use crate::json;

/// Why one message could not be translated. Never holds payload values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What kind.
    pub kind: FaultKind,
    /// The place as the *source* side of the translation names it, for example `lines[3].total`; empty: the whole.
    /// For a request this is the caller's own name.
    pub place: String,
    /// Byte offset into the source body, where known.
    pub offset: Option<usize>,
    /// One line for people: what was expected, never the value.
    pub detail: String,
}

/// What kind of fault, and so whose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// The body is not acceptable JSON.
    Json(json::ErrorKind),
    /// A value is outside what its rule can convert.
    Guard,
    /// A member that no rule names has the name of a place that a rule writes.
    Collision,
    /// The result would be larger than the limit.
    TooLarge,
    /// A part that the rules need is missing or not JSON.
    Missing,
}

impl Fault {
    pub(crate) fn unwritten() -> Self {
        Self { kind: FaultKind::Guard, place: String::new(), offset: None, detail: String::new() }
    }
}
