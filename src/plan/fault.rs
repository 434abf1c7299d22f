//! Why one message could not be translated.

use crate::codecs::Guard;
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
    pub(crate) fn new(kind: FaultKind, detail: impl Into<String>) -> Self {
        Self { kind, place: String::new(), offset: None, detail: detail.into() }
    }

    pub(crate) fn guard(guard: Guard) -> Self {
        Self::new(FaultKind::Guard, guard)
    }

    /// The same fault seen from outside: its place lies within `outer`.
    pub(crate) fn within(mut self, outer: &str) -> Self {
        if !outer.is_empty() {
            let joint = if self.place.is_empty() || self.place.starts_with('[') { "" } else { "." };
            self.place = format!("{outer}{joint}{}", self.place);
        }
        self
    }
}

impl From<json::Error> for Fault {
    fn from(error: json::Error) -> Self {
        Self {
            kind: FaultKind::Json(error.kind),
            place: String::new(),
            offset: Some(error.offset),
            detail: error.to_string(),
        }
    }
}

/// What the engine answers. The fault is boxed so that the answer of every step fits a register.
pub(super) type Step<T> = Result<T, Box<Fault>>;

impl From<json::Error> for Box<Fault> {
    fn from(error: json::Error) -> Self {
        Self::new(error.into())
    }
}

impl From<Box<json::Error>> for Box<Fault> {
    fn from(error: Box<json::Error>) -> Self {
        Self::new((*error).into())
    }
}

impl From<Box<json::Error>> for Fault {
    fn from(error: Box<json::Error>) -> Self {
        (*error).into()
    }
}

impl From<Box<Fault>> for Fault {
    fn from(fault: Box<Fault>) -> Self {
        *fault
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.place.is_empty() { f.write_str(&self.detail) } else { write!(f, "`{}`: {}", self.place, self.detail) }
    }
}

impl std::error::Error for Fault {}
