//! A query over a document: depth first, so that what asks for one node stops at the first.
//!
//! Recursion is as deep as the query has segments and brackets, both of which are limited, not as the document is.

use super::compare::{BYTES, Budget, Value, compare, member};
use super::model::{Condition, Operand, Path, Selector, Step};
use super::pattern::{FOUND, Pattern, Unfit};
use super::{MAX_COST, TooCostly};
use crate::json::Tree;

/// Steps that compiling a pattern of a document costs.
const COMPILING: u64 = 10_000;

pub(super) fn select<'t, 'a>(steps: &[Step], root: &'t Tree<'a>) -> Result<Vec<&'t Tree<'a>>, TooCostly> {
    let mut nodes = Vec::new();
    let walked = Evaluation::new(root).walk(steps, root, &mut |node| {
        nodes.push(node);
        Ok(())
    });
    match walked {
        Err(Stop::TooCostly) => Err(TooCostly),
        Ok(()) | Err(Stop::Enough) => Ok(nodes),
    }
}

/// Whether the filter that is the only step is true of the document.
pub(super) fn holds(steps: &[Step], root: &Tree<'_>) -> Result<bool, TooCostly> {
    let mut evaluation = Evaluation::new(root);
    for selector in steps.iter().flat_map(|step| &step.selectors) {
        if let Selector::Filter(condition) = selector
            && !evaluation.holds(condition, root)?
        {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(super) fn matches(steps: &[Step], root: &Tree<'_>) -> Result<bool, TooCostly> {
    Evaluation::new(root).any(steps, root)
}

/// Why a walk ends early.
enum Stop {
    /// Who walks has what it looks for.
    Enough,
    TooCostly,
}

impl From<TooCostly> for Stop {
    fn from(_: TooCostly) -> Self {
        Self::TooCostly
    }
}

type Found<'f, 't, 'a> = &'f mut dyn FnMut(&'t Tree<'a>) -> Result<(), Stop>;

struct Evaluation<'t, 'a> {
    root: &'t Tree<'a>,
    budget: Budget,
    /// The last pattern that the document held: mostly the same for every node. `None` where it is not a pattern.
    compiled: Option<(String, bool, Option<Pattern>)>,
}

impl<'t, 'a> Evaluation<'t, 'a> {
    fn new(root: &'t Tree<'a>) -> Self {
        Self { root, budget: Budget(MAX_COST), compiled: None }
    }

    fn walk(&mut self, steps: &[Step], node: &'t Tree<'a>, found: Found<'_, 't, 'a>) -> Result<(), Stop> {
        let Some((step, rest)) = steps.split_first() else {
            return found(node);
        };
        self.budget.spend(1)?;
        if !step.descend {
            return self.select(&step.selectors, rest, node, found);
        }
        let mut open = vec![node];
        while let Some(node) = open.pop() {
            self.select(&step.selectors, rest, node, found)?;
            let before = open.len();
            open.extend(children(node).rev());
            self.budget.spend_each(open.len() - before, 1)?;
        }
        Ok(())
    }

    fn select(
        &mut self,
        selectors: &[Selector],
        rest: &[Step],
        node: &'t Tree<'a>,
        found: Found<'_, 't, 'a>,
    ) -> Result<(), Stop> {
        for selector in selectors {
            self.budget.spend(1)?;
            match selector {
                Selector::Name(name) => {
                    if let Some(child) = member(node, name, &mut self.budget)? {
                        self.walk(rest, child, found)?;
                    }
                }
                Selector::Wildcard => {
                    for child in children(node) {
                        self.budget.spend(1)?;
                        self.walk(rest, child, found)?;
                    }
                }
                Selector::Index(index) => {
                    if let Some(child) = node.elements().and_then(|elements| at(elements, *index)) {
                        self.walk(rest, child, found)?;
                    }
                }
                Selector::Slice { start, end, step } => {
                    let Some(elements) = node.elements() else { continue };
                    for child in slice(elements, *start, *end, *step) {
                        self.budget.spend(1)?;
                        self.walk(rest, child, found)?;
                    }
                }
                Selector::Filter(condition) => {
                    for child in children(node) {
                        self.budget.spend(1)?;
                        if self.holds(condition, child)? {
                            self.walk(rest, child, found)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn holds(&mut self, condition: &Condition, node: &'t Tree<'a>) -> Result<bool, TooCostly> {
        match condition {
            Condition::Any(conditions) => {
                for one in conditions {
                    if self.holds(one, node)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Condition::All(conditions) => {
                for one in conditions {
                    if !self.holds(one, node)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Condition::Not(negated) => Ok(!self.holds(negated, node)?),
            Condition::Exists(path) => self.any(&path.steps, self.start(path, node)),
            Condition::Compare(left, order, right) => {
                let (left, right) = (self.value(left, node)?, self.value(right, node)?);
                compare(&left, *order, &right, &mut self.budget)
            }
            Condition::Fits(text, pattern) => match self.value(text, node)? {
                Value::Text(text) => {
                    self.budget.spend(pattern.cost(text.len()))?;
                    Ok(pattern.fits(&text))
                }
                _ => Ok(false),
            },
            Condition::FitsFound { text, pattern, whole } => {
                match (self.value(text, node)?, self.value(pattern, node)?) {
                    (Value::Text(text), Value::Text(pattern)) => self.fits_found(&text, &pattern, *whole),
                    _ => Ok(false),
                }
            }
        }
    }

    fn fits_found(&mut self, text: &str, pattern: &str, whole: bool) -> Result<bool, TooCostly> {
        if self.compiled.as_ref().is_none_or(|known| known.0 != pattern || known.1 != whole) {
            self.budget.spend(COMPILING)?;
            self.budget.spend_each(pattern.len(), 1)?;
            let compiled = match Pattern::compile(pattern, whole, FOUND) {
                Ok(compiled) => Some(compiled),
                Err(Unfit::Syntax) => None,
                Err(Unfit::Size) => return Err(TooCostly),
            };
            self.compiled = Some((pattern.to_owned(), whole, compiled));
        } else {
            self.budget.spend_each(pattern.len(), BYTES)?;
        }
        let Some((_, _, Some(pattern))) = &self.compiled else { return Ok(false) };
        self.budget.spend(pattern.cost(text.len()))?;
        Ok(pattern.fits(text))
    }

    fn start(&self, path: &Path, node: &'t Tree<'a>) -> &'t Tree<'a> {
        if path.from_root { self.root } else { node }
    }

    fn any(&mut self, steps: &[Step], from: &'t Tree<'a>) -> Result<bool, TooCostly> {
        match self.walk(steps, from, &mut |_| Err(Stop::Enough)) {
            Ok(()) => Ok(false),
            Err(Stop::Enough) => Ok(true),
            Err(Stop::TooCostly) => Err(TooCostly),
        }
    }

    fn value<'v>(&mut self, operand: &'v Operand, node: &'t Tree<'a>) -> Result<Value<'v>, TooCostly>
    where
        't: 'v,
        'a: 'v,
    {
        match operand {
            Operand::Literal(literal) => Ok(Value::of_literal(literal)),
            Operand::Only(path) => {
                let mut only = None;
                let walked = self.walk(&path.steps, self.start(path, node), &mut |node| {
                    if only.replace(node).is_some() { Err(Stop::Enough) } else { Ok(()) }
                });
                match (walked, only) {
                    (Ok(()), Some(node)) => Value::of_node(node, &mut self.budget),
                    (Ok(()), None) | (Err(Stop::Enough), _) => Ok(Value::Nothing),
                    (Err(Stop::TooCostly), _) => Err(TooCostly),
                }
            }
            Operand::Length(of) => Ok(self.value(of, node)?.length()),
            Operand::Count(path) => {
                let mut count = 0;
                let walked = self.walk(&path.steps, self.start(path, node), &mut |_| {
                    count += 1;
                    Ok(())
                });
                match walked {
                    Err(Stop::TooCostly) => Err(TooCostly),
                    Ok(()) | Err(Stop::Enough) => Ok(Value::of_count(count)),
                }
            }
        }
    }
}

/// Elements or members' values, in order.
fn children<'t, 'a>(node: &'t Tree<'a>) -> impl DoubleEndedIterator<Item = &'t Tree<'a>> {
    node.elements().unwrap_or_default().iter().chain(node.members().iter().map(|(_, value)| value))
}

fn at<'t, 'a>(elements: &'t [Tree<'a>], index: i64) -> Option<&'t Tree<'a>> {
    let length = i64::try_from(elements.len()).ok()?;
    let index = if index < 0 { index.checked_add(length)? } else { index };
    elements.get(usize::try_from(index).ok()?)
}

/// RFC 9535, 2.3.4.2.2.
fn slice<'t, 'a>(
    elements: &'t [Tree<'a>],
    start: Option<i64>,
    end: Option<i64>,
    step: i64,
) -> impl Iterator<Item = &'t Tree<'a>> {
    let length = i64::try_from(elements.len()).unwrap_or(i64::MAX);
    let from_start = |index: i64| if index < 0 { index.saturating_add(length) } else { index };
    let (mut next, end) = if step < 0 {
        let start = start.map_or(length - 1, from_start).clamp(-1, length - 1);
        (start, end.map_or(-1, from_start).clamp(-1, length - 1))
    } else {
        (start.map_or(0, from_start).clamp(0, length), end.map_or(length, from_start).clamp(0, length))
    };
    std::iter::from_fn(move || {
        let inside = if step < 0 { next > end } else { step > 0 && next < end };
        if !inside {
            return None;
        }
        let element = elements.get(usize::try_from(next).ok()?)?;
        next = next.saturating_add(step);
        Some(element)
    })
}
