//! A query as it is evaluated: well typed, its numbers exact, its patterns compiled.

use super::pattern::Pattern;
use crate::json::Decimal;

/// One segment: from a node to its children, or to those of all its descendants as well.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) descend: bool,
    pub(super) selectors: Vec<Selector>,
}

#[derive(Debug)]
pub(super) enum Selector {
    Name(String),
    Wildcard,
    /// Negative: from the end.
    Index(i64),
    Slice {
        start: Option<i64>,
        end: Option<i64>,
        step: i64,
    },
    Filter(Condition),
}

/// A query inside a filter.
#[derive(Debug)]
pub(super) struct Path {
    /// `$`, not `@`.
    pub(super) from_root: bool,
    pub(super) steps: Vec<Step>,
}

/// What is true or false of a node.
#[derive(Debug)]
pub(super) enum Condition {
    Any(Vec<Condition>),
    All(Vec<Condition>),
    Not(Box<Condition>),
    Exists(Path),
    Compare(Operand, Order, Operand),
    /// `match()` or `search()`: a compiled pattern knows which.
    Fits(Operand, Pattern),
    /// The same with a pattern that the document holds.
    FitsFound {
        text: Operand,
        pattern: Operand,
        whole: bool,
    },
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Order {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// What has a value, or `Nothing`.
#[derive(Debug)]
pub(super) enum Operand {
    Literal(Literal),
    /// The value of its only node: of a singular query, or by `value()`.
    Only(Path),
    Length(Box<Operand>),
    Count(Path),
}

#[derive(Debug)]
pub(super) enum Literal {
    Null,
    Bool(bool),
    Number(Decimal),
    Text(String),
}
