//! Documents for types whose rules say more than generators know: those of its examples, changed.

use super::super::documents::{Random, UNKNOWN, Value};
use super::edit::edit;
use super::law::Translator;
use crate::codecs::Direction;
use crate::rules::checked::{CheckedExample, TypeId};

/// Bytes of an example that is changed: each is translated some hundred times whenever rules are loaded.
const LARGEST: usize = 64 << 10;
/// Changes to one document, at most.
const CHANGES: usize = 4;

/// Documents of a type that are known to be some.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) old: Vec<Value>,
    pub(super) new: Vec<Value>,
}

impl Known {
    /// Those of a type's examples, and what becomes of each in the other interface.
    pub(super) fn of(examples: &[CheckedExample], of: TypeId, engine: &mut dyn Translator) -> Self {
        let mut known = Self::default();
        for one in examples.iter().filter(|one| one.of == of) {
            known.old.extend([&one.old, &one.back, &one.edit].into_iter().flatten().filter_map(parse));
            known.new.extend([&one.new, &one.put].into_iter().flatten().filter_map(parse));
        }
        let mut other = |direction: Direction, known: &[Value]| -> Vec<Value> {
            let made = known.iter().filter_map(|one| engine.translate(of, direction, &one.to_json()).ok());
            made.filter_map(|text| Value::parse(&text)).collect()
        };
        let (new, old) = (other(Direction::Up, &known.old), other(Direction::Down, &known.new));
        known.new.extend(new);
        known.old.extend(old);
        known
    }
}

fn parse(text: &String) -> Option<Value> {
    if text.len() > LARGEST { None } else { Value::parse(text.as_bytes()) }
}

/// One of the documents, with parts of others in it and some of its values changed.
pub(super) fn vary(known: &[Value], random: &mut Random) -> Option<Value> {
    let mut value = random.pick(known)?.clone();
    for _ in 0..random.below(CHANGES) {
        if random.chance(50) {
            let donor = random.pick(known)?.clone();
            edit(&mut value, &donor, &[], random);
        } else {
            change(&mut value, random);
        }
    }
    Some(value)
}

/// Changes one place of a document. Recursion follows the document.
fn change(value: &mut Value, random: &mut Random) {
    match value {
        Value::Null => {}
        Value::Bool(value) => *value = !*value,
        Value::Number(text) => {
            let more = random.below(1000).to_string();
            *text = if text.contains(['.', 'e', 'E']) || !random.chance(50) { format!("{more}.5") } else { more };
        }
        Value::String(text) => text.push(random.pick(&['a', 'Z', '0', ' ', 'é']).copied().unwrap_or('a')),
        Value::Array(elements) => {
            let at = random.below(elements.len());
            match random.below(4) {
                0 if !elements.is_empty() => {
                    elements.remove(at);
                }
                1 => elements.extend(elements.get(at).cloned()),
                _ => elements.get_mut(at).into_iter().for_each(|element| change(element, random)),
            }
        }
        Value::Object(members) => {
            let at = random.below(members.len());
            match random.below(5) {
                0 if !members.is_empty() => {
                    members.remove(at);
                }
                1 => members.push((UNKNOWN.to_owned(), Value::Bool(true))),
                _ => members.get_mut(at).into_iter().for_each(|(_, member)| change(member, random)),
            }
        }
    }
}
