//! Values and how they compare (RFC 9535, 2.3.5.2.2), numbers exactly.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::TooCostly;
use super::model::{Literal, Order};
use crate::json::{Decimal, Tree, TreeKind};

/// Steps that an evaluation has left.
pub(super) struct Budget(pub(super) u64);

impl Budget {
    pub(super) fn spend(&mut self, steps: u64) -> Result<(), TooCostly> {
        self.0 = self.0.checked_sub(steps).ok_or(TooCostly)?;
        Ok(())
    }

    /// For looking at so many things, several of which cost a step.
    pub(super) fn spend_each(&mut self, things: usize, a_step: usize) -> Result<(), TooCostly> {
        self.spend(1 + u64::try_from(things / a_step).unwrap_or(u64::MAX))
    }
}

/// Bytes of a text that cost a step.
pub(super) const BYTES: usize = 64;

/// Members of an object that cost a step when one is looked for.
pub(super) const MEMBERS: usize = 16;

/// What an operand is.
pub(super) enum Value<'v> {
    Nothing,
    Null,
    Bool(bool),
    Number(Cow<'v, Decimal>),
    /// A number whose exponent is beyond counting. Equal to the same text, in no order with anything.
    Vast(&'v [u8]),
    Text(Cow<'v, str>),
    /// An array or an object.
    Whole(&'v Tree<'v>),
}

impl<'v> Value<'v> {
    pub(super) fn of_node(node: &'v Tree<'v>, budget: &mut Budget) -> Result<Self, TooCostly> {
        Ok(match node.kind {
            TreeKind::Null => Self::Null,
            TreeKind::Bool(value) => Self::Bool(value),
            TreeKind::Array(_) | TreeKind::Object(_) => Self::Whole(node),
            TreeKind::Number => {
                budget.spend_each(node.raw.len(), BYTES)?;
                node.number().map_or(Self::Vast(node.raw), |number| Self::Number(Cow::Owned(number)))
            }
            TreeKind::String => {
                budget.spend_each(node.raw.len(), BYTES)?;
                node.text().map_or(Self::Nothing, Self::Text)
            }
        })
    }

    pub(super) fn of_literal(literal: &'v Literal) -> Self {
        match literal {
            Literal::Null => Self::Null,
            Literal::Bool(value) => Self::Bool(*value),
            Literal::Number(number) => Self::Number(Cow::Borrowed(number)),
            Literal::Text(text) => Self::Text(Cow::Borrowed(text)),
        }
    }

    pub(super) fn of_count(count: usize) -> Self {
        Decimal::parse(&count.to_string()).map_or(Self::Nothing, |number| Self::Number(Cow::Owned(number)))
    }

    /// `length()`: characters, elements or members.
    pub(super) fn length(&self) -> Self {
        match self {
            Self::Text(text) => Self::of_count(text.chars().count()),
            Self::Whole(node) => Self::of_count(node.elements().map_or(node.members().len(), <[_]>::len)),
            _ => Self::Nothing,
        }
    }
}

pub(super) fn compare(
    left: &Value<'_>,
    order: Order,
    right: &Value<'_>,
    budget: &mut Budget,
) -> Result<bool, TooCostly> {
    budget.spend(1)?;
    Ok(match order {
        Order::Equal => equal(left, right, budget)?,
        Order::NotEqual => !equal(left, right, budget)?,
        Order::Less => sort(left, right) == Some(Ordering::Less),
        Order::Greater => sort(left, right) == Some(Ordering::Greater),
        Order::LessOrEqual => sort(left, right) == Some(Ordering::Less) || equal(left, right, budget)?,
        Order::GreaterOrEqual => sort(left, right) == Some(Ordering::Greater) || equal(left, right, budget)?,
    })
}

/// Only numbers and texts have an order; texts by their characters, which is by their bytes.
fn sort(left: &Value<'_>, right: &Value<'_>) -> Option<Ordering> {
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => Some(a.compare(b)),
        (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

fn equal(left: &Value<'_>, right: &Value<'_>, budget: &mut Budget) -> Result<bool, TooCostly> {
    Ok(match (left, right) {
        (Value::Nothing, Value::Nothing) | (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Number(a), Value::Number(b)) => a == b,
        (Value::Vast(a), Value::Vast(b)) => a == b,
        (Value::Text(a), Value::Text(b)) => a == b,
        (Value::Whole(a), Value::Whole(b)) => same(a, b, budget)?,
        _ => false,
    })
}

/// As [`Tree::same`], within the budget. No document is deeper than [`crate::json::MAX_DEPTH`].
fn same(a: &Tree<'_>, b: &Tree<'_>, budget: &mut Budget) -> Result<bool, TooCostly> {
    budget.spend(1)?;
    if let (Some(left), Some(right)) = (a.elements(), b.elements()) {
        if left.len() != right.len() {
            return Ok(false);
        }
        for (left, right) in left.iter().zip(right) {
            if !same(left, right, budget)? {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    if a.is_object() && b.is_object() {
        if a.members().len() != b.members().len() {
            return Ok(false);
        }
        for ((name, left), beside) in a.members().iter().zip(b.members()) {
            // Members mostly stand in the same order: look beside first.
            let right = if *name == beside.0 { Some(&beside.1) } else { member(b, name, budget)? };
            match right {
                Some(right) if same(left, right, budget)? => {}
                _ => return Ok(false),
            }
        }
        return Ok(true);
    }
    let (left, right) = (Value::of_node(a, budget)?, Value::of_node(b, budget)?);
    match (&left, &right) {
        (Value::Whole(_), _) | (_, Value::Whole(_)) => Ok(false),
        _ => equal(&left, &right, budget),
    }
}

/// A member by its name.
pub(super) fn member<'t, 'a>(
    node: &'t Tree<'a>,
    name: &str,
    budget: &mut Budget,
) -> Result<Option<&'t Tree<'a>>, TooCostly> {
    let at = node.members().iter().position(|(key, _)| key == name);
    budget.spend_each(at.unwrap_or(node.members().len()), MEMBERS)?;
    Ok(at.and_then(|at| node.members().get(at)).map(|(_, value)| value))
}
