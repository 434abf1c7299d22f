//! Values that are worked out: several reduced to one, and expressions of the last resort.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use cel::objects::{Key, Map};
use cel::{Context, Value};

use super::value::{LAST, Member, Out, order};
use super::{Direction, Fault, Run};
use crate::json::{Decimal, Tree, TreeKind, separate, write_name, write_string};
use crate::plan::FaultKind;
use crate::rules::expression::{self, Expression};
use crate::rules::mapping::{Cel, Reduce};

/// An expression for each direction, compiled.
pub(super) struct Programs {
    up: Option<Expression>,
    down: Option<Expression>,
}

impl std::fmt::Debug for Programs {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Programs")
    }
}

/// Bytes of a value that an expression may be asked about.
const MAX_VALUE: usize = 64 << 10;
/// How often the loops of an expression may go round. What it is asked about may have so many values that those to the
/// power of the loops within one another are no more.
const MAX_ROUNDS: usize = 1_000_000;

impl Programs {
    /// Compiles both expressions; checking has compiled them before.
    pub(super) fn compile(cel: &Cel) -> Self {
        Self { up: expression::compile(&cel.up), down: expression::compile(&cel.down) }
    }
}

impl<'a> Run<'a> {
    /// The value of an expression; `value` is what it is asked about, `request` the request's two views.
    pub(super) fn calculate(
        &self,
        programs: &Programs,
        direction: Direction,
        tree: &'a Tree<'a>,
    ) -> Result<Out<'a>, Fault> {
        if tree.raw.len() > MAX_VALUE {
            return Err(Fault::guard("the value is too large for an expression".into()));
        }
        let expression = match direction {
            Direction::Up => &programs.up,
            Direction::Down => &programs.down,
        };
        let failed = || Fault::guard("the rule's expression has no value for it".into());
        let expression = expression.as_ref().ok_or_else(failed)?;
        let mut context = Context::default();
        let mut values = 0;
        context.add_variable_from_value("value", to_cel(tree, &mut values)?);
        let views = ["old_request", "new_request"].into_iter().zip(&self.requests).zip(expression.requests);
        for ((name, view), is_named) in views {
            if let Some(view) = view.as_ref().filter(|_| is_named) {
                context.add_variable_from_value(name, to_cel(view, &mut values)?);
            }
        }
        if values.checked_pow(expression.within).is_none_or(|rounds| rounds > MAX_ROUNDS) {
            return Err(Fault::new(FaultKind::TooLarge, "too many values for the loops of the rule's expression"));
        }
        let value = expression.program.execute(&context).map_err(|_| failed())?;
        let mut text = Vec::new();
        from_cel(&value, &mut text)?;
        Ok(Out::Text(self.text(&text)))
    }

    /// Several values as one.
    pub(super) fn reduce(&self, selected: &[&'a Tree<'a>], reduce: &Reduce) -> Result<Option<Out<'a>>, Fault> {
        let text = |text: String| Some(Out::Text(self.text(text.as_bytes())));
        let numbers = || {
            let number = |tree: &&Tree<'_>| tree.number().ok_or_else(|| Fault::guard("expected numbers".into()));
            selected.iter().map(number).collect::<Result<Vec<Decimal>, Fault>>()
        };
        Ok(match reduce {
            Reduce::Count => text(selected.len().to_string()),
            Reduce::Any => text((!selected.is_empty()).to_string()),
            Reduce::First => selected.first().map(|tree| Out::Tree(tree)),
            Reduce::Last => selected.last().map(|tree| Out::Tree(tree)),
            Reduce::List => Some(Out::List(selected.iter().map(|tree| Out::Tree(tree)).collect())),
            Reduce::Sum | Reduce::Join(_) if selected.is_empty() => None,
            Reduce::Sum => text(sum(&numbers()?).ok_or_else(|| Fault::guard("the sum has too many digits".into()))?),
            Reduce::Min | Reduce::Max => {
                let numbers = numbers()?;
                let pairs = numbers.iter().zip(selected);
                let found = match reduce {
                    Reduce::Min => pairs.min_by(|(a, _), (b, _)| a.compare(b)),
                    _ => pairs.max_by(|(a, _), (b, _)| a.compare(b)),
                };
                found.map(|(_, tree)| Out::Tree(tree))
            }
            Reduce::Join(separator) => {
                let texts: Option<Vec<Cow<'_, str>>> = selected.iter().map(|tree| tree.scalar_text()).collect();
                let texts = texts.ok_or_else(|| Fault::guard("expected texts".into()))?;
                Some(Out::Tree(self.string(&texts.join(separator))?))
            }
        })
    }
}

/// The exact sum, as text; nothing where it does not fit 38 digits.
fn sum(numbers: &[Decimal]) -> Option<String> {
    let exponent = numbers.iter().map(|number| number.exponent).min().unwrap_or(0).min(0);
    let mut total: i128 = 0;
    for number in numbers {
        let digits = std::str::from_utf8(&number.digits).ok()?;
        let mut value: i128 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
        let shift = u32::try_from(number.exponent.checked_sub(exponent)?).ok()?;
        value = value.checked_mul(10_i128.checked_pow(shift)?)?;
        total = total.checked_add(if number.negative { -value } else { value })?;
    }
    let places = usize::try_from(-exponent).ok()?;
    let digits = format!("{:0>width$}", total.unsigned_abs(), width = places + 1);
    let (whole, fraction) = digits.split_at_checked(digits.len() - places)?;
    let sign = if total < 0 { "-" } else { "" };
    let fraction = fraction.trim_end_matches('0');
    Some(if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") })
}

/// Counts the values. Recursion is bounded by the document's depth.
fn to_cel(tree: &Tree<'_>, values: &mut usize) -> Result<Value, Fault> {
    *values += 1;
    Ok(match &tree.kind {
        TreeKind::Null => Value::Null,
        TreeKind::Bool(value) => Value::Bool(*value),
        TreeKind::Number => {
            let text = std::str::from_utf8(tree.raw).unwrap_or_default();
            match (text.parse::<i64>(), text.parse::<f64>()) {
                (Ok(whole), _) => Value::Int(whole),
                // A number that does not survive is not given to expressions.
                (_, Ok(float)) if Decimal::parse(text) == Decimal::parse(&float.to_string()) => Value::Float(float),
                _ => return Err(Fault::guard("a number has more digits than expressions can hold".into())),
            }
        }
        TreeKind::String => {
            let text = tree.text().ok_or_else(|| Fault::guard("expected text".into()))?;
            Value::String(Arc::new(text.into_owned()))
        }
        TreeKind::Array(elements) => {
            let elements = elements.iter().map(|element| to_cel(element, values));
            Value::List(Arc::new(elements.collect::<Result<Vec<_>, Fault>>()?))
        }
        TreeKind::Object(members) => {
            let mut entry = |(name, value): &(Cow<'_, str>, Tree<'_>)| {
                Ok((Key::String(Arc::new(name.clone().into_owned())), to_cel(value, values)?))
            };
            let map = members.iter().map(&mut entry).collect::<Result<HashMap<_, _>, Fault>>()?;
            Value::Map(Map { map: Arc::new(map) })
        }
    })
}

/// Recursion is bounded by the expression, which cannot nest values without end.
fn from_cel(value: &Value, out: &mut Vec<u8>) -> Result<(), Fault> {
    let refused = || Fault::guard("the rule's expression gives no JSON value".into());
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(value) => out.extend_from_slice(value.to_string().as_bytes()),
        Value::Int(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Value::UInt(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Value::Float(number) if number.is_finite() => out.extend_from_slice(number.to_string().as_bytes()),
        Value::String(text) => write_string(text, out),
        Value::List(elements) => {
            out.push(b'[');
            for element in elements.iter() {
                separate(out);
                from_cel(element, out)?;
            }
            out.push(b']');
        }
        Value::Map(map) => {
            let name = |key: &Key| match key {
                Key::String(name) => Ok(name.to_string()),
                Key::Int(_) | Key::Uint(_) | Key::Bool(_) => Err(refused()),
            };
            let named = map.map.iter().map(|(key, value)| Ok((name(key)?, value)));
            let mut members = named.collect::<Result<Vec<_>, Fault>>()?;
            members.sort_by(|(a, _), (b, _)| a.cmp(b));
            out.push(b'{');
            for (name, value) in members {
                write_name(&name, out);
                from_cel(value, out)?;
            }
            out.push(b'}');
        }
        _ => return Err(refused()),
    }
    Ok(())
}

impl<'a> Run<'a> {
    /// A value that a form makes of places of the document and the request.
    pub(super) fn made(
        &self,
        form: &'a super::Form,
        direction: Direction,
        tree: &'a Tree<'a>,
    ) -> Result<Option<Out<'a>>, Fault> {
        use super::{Form, FormMember, TextPart};
        self.spend()?;
        Ok(match form {
            Form::Literal(json) => Some(Out::Text(json)),
            Form::Default(inner) => self.made(inner, direction, tree)?,
            Form::Place(view, steps) => self.read(*view, steps, direction, tree)?.map(Out::Tree),
            Form::Text(parts) => {
                let mut made = String::new();
                for part in parts {
                    match part {
                        TextPart::Text(text) => made.push_str(text),
                        TextPart::Place(view, steps) => {
                            let Some(found) = self.read(*view, steps, direction, tree)? else { return Ok(None) };
                            let fault = || Fault::guard("a part of a text must be a text".into());
                            made.push_str(&found.scalar_text().ok_or_else(fault)?);
                        }
                        TextPart::Variable(_) => return Ok(None),
                    }
                }
                Some(Out::Tree(self.string(&made)?))
            }
            Form::Object(members) => {
                let mut all = Vec::new();
                for member in members {
                    let FormMember::Named { name, form, .. } = member else { continue };
                    if let Some(value) = self.made(form, direction, tree)? {
                        all.push(Member { name: Cow::Borrowed(name.as_str()), order: LAST, value });
                    }
                }
                Some(Out::Object(all))
            }
            Form::List { first, last, .. } => {
                let mut all = Vec::new();
                for form in first.iter().chain(last) {
                    all.extend(self.made(form, direction, tree)?);
                }
                Some(Out::List(all))
            }
            Form::Set(forms) => {
                let mut all = Vec::new();
                for form in forms {
                    all.extend(self.made(form, direction, tree)?);
                }
                Some(Out::List(all))
            }
            Form::Variable(_) => None,
        })
    }
}

/// Where the first of several values stands.
pub(super) fn first_of(selected: &[&Tree<'_>]) -> usize {
    selected.first().map_or(LAST, |tree| order(tree))
}
