//! Text -> model: the grammar by `jsonpath-rust`, then what RFC 9535 asks beyond grammar. Nothing else names that crate.

use std::collections::VecDeque;
use std::ops::Range;

use jsonpath_rust::parser::errors::JsonPathError;
use jsonpath_rust::parser::model as theirs;
use jsonpath_rust::parser::parse_json_path;
use pest::error::InputLocation;

use super::model::{Condition, Literal, Operand, Order, Path, Selector, Step};
use super::pattern::{Pattern, Unfit, WRITTEN};
use super::scan::{Scanned, error, limit};
use super::{MAX_QUERY_PATTERNS, MAX_QUERY_SEGMENTS};
use crate::json::Decimal;
use crate::path::PlaceError;

const SINGULAR: &str = "one place, such as `@.name` or `@[0]`; `value(…)` makes a value of the only node of others";

pub(super) fn read(text: &str, scanned: Scanned) -> Result<Vec<Step>, PlaceError> {
    let query = parse_json_path(&scanned.blanked).map_err(|theirs| mistake(text, theirs))?;
    let mut read = Read { text, numbers: scanned.numbers, calls: scanned.calls, segments: 0, patterns: 0 };
    let steps = read.steps(query.segments)?;
    // Numbers and calls are told from other words by what stands before them: the grammar must have seen the same ones.
    if read.numbers.is_empty() && read.calls.is_empty() { Ok(steps) } else { Err(read.unread()) }
}

/// Their error as ours: where, in our words.
fn mistake(text: &str, theirs: JsonPathError) -> PlaceError {
    let help = Some("such as `$.orders[?@.total > 10].id` (RFC 9535)");
    let JsonPathError::PestError(pest) = theirs else {
        return error(0..text.len(), "not a query of RFC 9535", help);
    };
    let (InputLocation::Pos(at) | InputLocation::Span((at, _))) = pest.location;
    match text.get(at..).and_then(|rest| rest.chars().next()) {
        Some(next) => error(at..at + next.len_utf8(), &format!("`{}` cannot stand here", next.escape_debug()), help),
        None => error(text.len()..text.len(), "the query ends too early", help),
    }
}

struct Read<'t> {
    text: &'t str,
    numbers: VecDeque<Decimal>,
    calls: VecDeque<Range<usize>>,
    segments: usize,
    patterns: usize,
}

impl Read<'_> {
    fn unread(&self) -> PlaceError {
        error(0..self.text.len(), "not a query of RFC 9535", None)
    }

    fn steps(&mut self, segments: Vec<theirs::Segment>) -> Result<Vec<Step>, PlaceError> {
        segments.into_iter().map(|segment| self.step(segment, false)).collect()
    }

    fn step(&mut self, segment: theirs::Segment, descend: bool) -> Result<Step, PlaceError> {
        let selectors = match segment {
            theirs::Segment::Descendant(segment) => return self.step(*segment, true),
            theirs::Segment::Selector(selector) => vec![selector],
            theirs::Segment::Selectors(selectors) => selectors,
        };
        self.count_segment()?;
        let selectors = selectors.into_iter().map(|selector| self.selector(selector)).collect::<Result<_, _>>()?;
        Ok(Step { descend, selectors })
    }

    fn count_segment(&mut self) -> Result<(), PlaceError> {
        self.segments += 1;
        if self.segments > MAX_QUERY_SEGMENTS {
            let message = format!("the query has more than {MAX_QUERY_SEGMENTS} segments");
            return Err(limit(0..self.text.len(), message));
        }
        Ok(())
    }

    fn selector(&mut self, selector: theirs::Selector) -> Result<Selector, PlaceError> {
        Ok(match selector {
            theirs::Selector::Name(name) => Selector::Name(name),
            theirs::Selector::Wildcard => Selector::Wildcard,
            theirs::Selector::Index(index) => Selector::Index(index),
            theirs::Selector::Slice(start, end, step) => Selector::Slice { start, end, step: step.unwrap_or(1) },
            theirs::Selector::Filter(filter) => Selector::Filter(self.filter(filter)?),
        })
    }

    fn filter(&mut self, filter: theirs::Filter) -> Result<Condition, PlaceError> {
        Ok(match filter {
            theirs::Filter::Or(filters) => Condition::Any(self.filters(filters)?),
            theirs::Filter::And(filters) => Condition::All(self.filters(filters)?),
            theirs::Filter::Atom(theirs::FilterAtom::Filter { expr, not }) => negated(self.filter(*expr)?, not),
            theirs::Filter::Atom(theirs::FilterAtom::Test { expr, not }) => negated(self.condition(*expr)?, not),
            theirs::Filter::Atom(theirs::FilterAtom::Comparison(comparison)) => self.comparison(*comparison)?,
        })
    }

    fn filters(&mut self, filters: Vec<theirs::Filter>) -> Result<Vec<Condition>, PlaceError> {
        filters.into_iter().map(|filter| self.filter(filter)).collect()
    }

    fn condition(&mut self, condition: theirs::Test) -> Result<Condition, PlaceError> {
        match condition {
            theirs::Test::RelQuery(segments) => {
                Ok(Condition::Exists(Path { from_root: false, steps: self.steps(segments)? }))
            }
            theirs::Test::AbsQuery(query) => {
                Ok(Condition::Exists(Path { from_root: true, steps: self.steps(query.segments)? }))
            }
            theirs::Test::Function(function) => match *function {
                theirs::TestFunction::Match(text, pattern) => self.fits(text, pattern, true),
                theirs::TestFunction::Search(text, pattern) => self.fits(text, pattern, false),
                _ => {
                    let call = self.call()?;
                    Err(error(call, "a value alone is neither true nor false", Some("compare it: `length(@.a) > 0`")))
                }
            },
        }
    }

    /// Where the call is that is read now. Calls are read in the order of their names.
    fn call(&mut self) -> Result<Range<usize>, PlaceError> {
        self.calls.pop_front().ok_or_else(|| self.unread())
    }

    fn fits(&mut self, text: theirs::FnArg, pattern: theirs::FnArg, whole: bool) -> Result<Condition, PlaceError> {
        let call = self.call()?;
        let text = self.value(text, &call)?;
        let pattern = self.value(pattern, &call)?;
        let Operand::Literal(Literal::Text(written)) = &pattern else {
            return Ok(Condition::FitsFound { text, pattern, whole });
        };
        self.patterns += 1;
        if self.patterns > MAX_QUERY_PATTERNS {
            return Err(limit(call, format!("the query has more than {MAX_QUERY_PATTERNS} patterns")));
        }
        match Pattern::compile(written, whole, WRITTEN) {
            Ok(pattern) => Ok(Condition::Fits(text, pattern)),
            Err(Unfit::Size) => Err(limit(call, "the pattern is too large".to_owned())),
            Err(Unfit::Syntax) => {
                let help = "I-Regexp has no `\\d`, `\\w` or look-around: write `[0-9]`, `[a-z]`, `\\\\p{L}`";
                Err(error(call, "the pattern is not one of RFC 9485 (I-Regexp)", Some(help)))
            }
        }
    }

    fn comparison(&mut self, comparison: theirs::Comparison) -> Result<Condition, PlaceError> {
        let (left, order, right) = match comparison {
            theirs::Comparison::Eq(left, right) => (left, Order::Equal, right),
            theirs::Comparison::Ne(left, right) => (left, Order::NotEqual, right),
            theirs::Comparison::Gt(left, right) => (left, Order::Greater, right),
            theirs::Comparison::Gte(left, right) => (left, Order::GreaterOrEqual, right),
            theirs::Comparison::Lt(left, right) => (left, Order::Less, right),
            theirs::Comparison::Lte(left, right) => (left, Order::LessOrEqual, right),
        };
        let left = self.comparable(left)?;
        Ok(Condition::Compare(left, order, self.comparable(right)?))
    }

    fn comparable(&mut self, comparable: theirs::Comparable) -> Result<Operand, PlaceError> {
        let (from_root, segments) = match comparable {
            theirs::Comparable::Literal(literal) => return self.literal(literal),
            theirs::Comparable::Function(function) => return self.function(function),
            theirs::Comparable::SingularQuery(theirs::SingularQuery::Current(segments)) => (false, segments),
            theirs::Comparable::SingularQuery(theirs::SingularQuery::Root(segments)) => (true, segments),
        };
        let mut steps = Vec::with_capacity(segments.len());
        for segment in segments {
            self.count_segment()?;
            let selector = match segment {
                theirs::SingularQuerySegment::Index(index) => Selector::Index(index),
                theirs::SingularQuerySegment::Name(name) => Selector::Name(name),
            };
            steps.push(Step { descend: false, selectors: vec![selector] });
        }
        Ok(Operand::Only(Path { from_root, steps }))
    }

    fn literal(&mut self, literal: theirs::Literal) -> Result<Operand, PlaceError> {
        Ok(Operand::Literal(match literal {
            theirs::Literal::Null => Literal::Null,
            theirs::Literal::Bool(value) => Literal::Bool(value),
            theirs::Literal::String(text) => Literal::Text(text),
            theirs::Literal::Int(_) | theirs::Literal::Float(_) => {
                Literal::Number(self.numbers.pop_front().ok_or_else(|| self.unread())?)
            }
        }))
    }

    /// A function that gives a value.
    fn function(&mut self, function: theirs::TestFunction) -> Result<Operand, PlaceError> {
        let call = self.call()?;
        match function {
            theirs::TestFunction::Length(argument) => Ok(Operand::Length(Box::new(self.value(*argument, &call)?))),
            theirs::TestFunction::Count(argument) => Ok(Operand::Count(self.nodes(argument, &call)?)),
            theirs::TestFunction::Value(argument) => Ok(Operand::Only(self.nodes(argument, &call)?)),
            _ => Err(error(call, "what is true or false is not a value", Some("use it as a condition of its own"))),
        }
    }

    /// An argument that must be a value (RFC 9535, 2.4.3).
    fn value(&mut self, argument: theirs::FnArg, call: &Range<usize>) -> Result<Operand, PlaceError> {
        let path = match argument {
            theirs::FnArg::Literal(literal) => return self.literal(literal),
            theirs::FnArg::Test(test) => match *test {
                theirs::Test::Function(function) => return self.function(*function),
                theirs::Test::RelQuery(segments) => Path { from_root: false, steps: self.steps(segments)? },
                theirs::Test::AbsQuery(query) => Path { from_root: true, steps: self.steps(query.segments)? },
            },
            theirs::FnArg::Filter(_) => {
                return Err(error(call.clone(), "the function takes a value, not a condition", Some(SINGULAR)));
            }
        };
        let singular = |step: &Step| {
            !step.descend && matches!(step.selectors.as_slice(), [Selector::Name(_) | Selector::Index(_)])
        };
        if path.steps.iter().all(singular) {
            return Ok(Operand::Only(path));
        }
        Err(error(call.clone(), "the function takes a value, and this can be several nodes", Some(SINGULAR)))
    }

    /// An argument that must be a query.
    fn nodes(&mut self, argument: theirs::FnArg, call: &Range<usize>) -> Result<Path, PlaceError> {
        if let theirs::FnArg::Test(test) = argument {
            match *test {
                theirs::Test::RelQuery(segments) => return Ok(Path { from_root: false, steps: self.steps(segments)? }),
                theirs::Test::AbsQuery(query) => {
                    return Ok(Path { from_root: true, steps: self.steps(query.segments)? });
                }
                theirs::Test::Function(_) => {}
            }
        }
        Err(error(call.clone(), "the function takes a query, such as `@.*`", None))
    }
}

fn negated(condition: Condition, not: bool) -> Condition {
    if not { Condition::Not(Box::new(condition)) } else { condition }
}
