//! Documents for types without schemas: made by the rules themselves, inside each codec's domain.

use super::UNKNOWN;
use super::domain;
use super::generate::{any, decimal_text, number, text};
use super::random::Random;
use super::validate::violations;
use super::value::Value;
use crate::codecs::{Codec, Scalar};
use crate::contract::interface::Interface;
use crate::contract::schema::{Kinds, SchemaId};
use crate::json::{MAX_DEPTH, Tree};
use crate::path::Place;
use crate::rules::checked::{BoundCodec, CheckedKind, CheckedType, TypeId};

/// Nesting of recursive types.
const DEPTH: usize = 4;
/// Values of a codec's domain that are made until a schema allows one.
const TRIES: usize = 10;

/// Which interface a document belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The old one.
    Old,
    /// The new one.
    New,
}

/// Makes and mends documents by rules.
pub struct Guided<'a> {
    /// The step's types.
    pub types: &'a [CheckedType],
    /// Which side.
    pub end: End,
    /// Chance.
    pub random: &'a mut Random,
    /// Whether to add members that no rule names.
    pub unknown_members: bool,
    /// Values left to make: recursive types would make more of them than anyone reads.
    pub left: usize,
}

/// Values of one document.
pub const VALUES: usize = 5_000;

impl Guided<'_> {
    /// A document of a type.
    pub fn document(&mut self, of: TypeId) -> Value {
        self.make(of, 0)
    }

    fn make(&mut self, of: TypeId, depth: usize) -> Value {
        let mut value = Value::Object(Vec::new());
        let Some(rules) = self.types.get(of.0).map(|one| &one.rules) else { return value };
        for rule in rules {
            if self.left == 0 {
                break;
            }
            self.left -= 1;
            match &rule.kind {
                CheckedKind::Equation { olds, news, codec, .. } => {
                    let places = if self.end == End::Old { olds } else { news };
                    for (index, place) in places.iter().enumerate() {
                        // An absent old value of `head` comes back as null: no law for documents without schemas.
                        let fills = matches!(codec, BoundCodec::Value(codec) if codec.fills_in(self.end == End::Old));
                        // The other side of a whole document is never absent either.
                        let other = if self.end == End::Old { news } else { olds };
                        let is_needed = fills || other.iter().any(|place| place.segments.is_empty());
                        if is_needed || self.random.chance(85) {
                            let made = self.of_codec(codec, index, depth);
                            value.set(&place.segments, made);
                        }
                    }
                }
                CheckedKind::Added { place, default } if self.end == End::New => {
                    self.one_sided(&mut value, place, default.as_deref());
                }
                CheckedKind::Removed { place, default } if self.end == End::Old => {
                    self.one_sided(&mut value, place, default.as_deref());
                }
                CheckedKind::Added { .. } | CheckedKind::Removed { .. } | CheckedKind::Mapping(_) => {}
            }
        }
        if self.unknown_members
            && self.random.chance(25)
            && let Value::Object(members) = &mut value
        {
            let at = self.random.below(members.len() + 1);
            members.insert(at, (UNKNOWN.to_owned(), any(self.random, depth)));
        }
        value
    }

    fn one_sided(&mut self, value: &mut Value, place: &Place, default: Option<&str>) {
        if self.random.chance(60) {
            let made = match default.and_then(|json| Value::parse(json.as_bytes())) {
                Some(default) if self.random.chance(50) => default,
                _ => any(self.random, 3),
            };
            value.set(&place.segments, made);
        }
    }

    fn of_codec(&mut self, codec: &BoundCodec, index: usize, depth: usize) -> Value {
        match codec {
            BoundCodec::As(of) if depth < DEPTH => self.make(*of, depth + 1),
            BoundCodec::Each { of, .. } => {
                let count = if depth < DEPTH { self.random.below(4) } else { 0 };
                Value::Array((0..count).map(|_| self.make(*of, depth + 1)).collect())
            }
            BoundCodec::As(_) => Value::Null,
            BoundCodec::Value(codec) => self.of_value_codec(codec, index),
        }
    }

    fn of_value_codec(&mut self, codec: &Codec, index: usize) -> Value {
        let is_old = self.end == End::Old;
        // Null stays null: one of the values of every codec.
        if codec.keeps_null() && self.random.chance(8) {
            return Value::Null;
        }
        match codec {
            Codec::Same => any(self.random, 2),
            Codec::Enum(table) => {
                let row = self.random.pick(&table.rows).cloned().unwrap_or_default();
                let json = if is_old { row.0 } else { row.1 };
                Value::parse(json.as_bytes()).unwrap_or(Value::Null)
            }
            Codec::Invert(_) => Value::Bool(self.random.chance(50)),
            Codec::Decimal(_) if is_old => Value::Number(number(self.random, false)),
            Codec::Decimal(codec) => Value::String(decimal_text(self.random, codec.scale)),
            Codec::Case(codec) => Value::String(domain::cased(if is_old { codec.old } else { codec.new }, self.random)),
            Codec::Type(codec) => {
                let (mine, other) = if is_old { (codec.old, codec.new) } else { (codec.new, codec.old) };
                let spelt = |scalar: Scalar, random: &mut Random| match scalar {
                    Scalar::Integer => number(random, false),
                    Scalar::Number => number(random, true),
                    Scalar::Boolean => if random.chance(50) { "true" } else { "false" }.to_owned(),
                    Scalar::String => String::new(),
                };
                if codec.old == Scalar::Number && codec.new == Scalar::Integer {
                    let whole = number(self.random, false);
                    return Value::Number(if is_old && self.random.chance(50) { whole + ".0" } else { whole });
                }
                match mine {
                    Scalar::String => Value::String(spelt(other, self.random)),
                    Scalar::Boolean => Value::Bool(self.random.chance(50)),
                    Scalar::Integer | Scalar::Number => Value::Number(spelt(mine, self.random)),
                }
            }
            Codec::Split(codec) => {
                let length = 1 + self.random.below(6);
                let mut made = text(self.random, length);
                if self.random.chance(50) {
                    made.push_str(&codec.separator);
                    made.push_str(&text(self.random, length));
                }
                match &codec.fill {
                    Some(fill) if index == 1 && self.random.chance(25) => Value::String(fill.clone()),
                    _ => Value::String(made),
                }
            }
            Codec::Head(codec) => {
                let length = 1 + self.random.below(3);
                let element = |random: &mut Random| Value::String(text(random, length));
                match (is_old, &codec.empty) {
                    (true, None) if self.random.chance(25) => Value::Null,
                    (true, Some(empty)) if self.random.chance(25) => {
                        Value::parse(empty.as_bytes()).unwrap_or(Value::Null)
                    }
                    (true, _) => element(self.random),
                    (false, _) => Value::Array((0..self.random.below(3)).map(|_| element(self.random)).collect()),
                }
            }
            Codec::Linear(_)
            | Codec::Reciprocal(_)
            | Codec::Duration(_)
            | Codec::Date(_)
            | Codec::Csv(_)
            | Codec::Prefix(_)
            | Codec::Suffix(_)
            | Codec::Replace(_)
            | Codec::Template(_)
            | Codec::Json(_)
            | Codec::Base64(_)
            | Codec::Hex(_)
            | Codec::Percent(_)
            | Codec::Presence(_)
            | Codec::Nothing(_)
            | Codec::Clamp(_)
            | Codec::Page(_)
            | Codec::Chain(_) => domain::value(codec, is_old, index, self.random),
        }
    }

    /// Replaces texts that a schema restricts by `pattern` with ones that the rule's codec can read: patterns are not
    /// decided, and the codec's own domain is the best guess. So it is, whatever the schema, for codecs whose domain
    /// schemas cannot state.
    pub fn fit(&mut self, of: TypeId, value: &mut Value, interface: &Interface, schema: SchemaId, depth: usize) {
        let Some(rules) = self.types.get(of.0).map(|one| &one.rules) else { return };
        if depth > 64 {
            return;
        }
        for rule in rules {
            let CheckedKind::Equation { olds, news, codec, .. } = &rule.kind else { continue };
            let places = if self.end == End::Old { olds } else { news };
            for (index, place) in places.iter().enumerate() {
                let found = place
                    .segments
                    .iter()
                    .try_fold(schema, |id, name| interface.schema(id).property(name).map(|one| one.schema));
                let (Some(id), Some(value)) = (found, value.at_mut(&place.segments)) else { continue };
                match codec {
                    BoundCodec::As(of) => self.fit(*of, value, interface, id, depth + 1),
                    BoundCodec::Each { of, .. } => {
                        if let (Some(items), Value::Array(elements)) = (interface.schema(id).items, value) {
                            for element in elements {
                                self.fit(*of, element, interface, items, depth + 1);
                            }
                        }
                    }
                    BoundCodec::Value(Codec::Same | Codec::Split(_) | Codec::Head(_)) => {}
                    BoundCodec::Value(codec) if domain::is_unsaid(codec) => {
                        let is_valid = |made: &Value| {
                            let json = made.to_json();
                            let tree = Tree::parse(&json, MAX_DEPTH);
                            tree.is_ok_and(|tree| violations(interface, id, &tree).is_empty())
                        };
                        let mut tries = (0..TRIES).map(|_| self.of_value_codec(codec, index));
                        if let Some(made) = tries.find(is_valid) {
                            *value = made;
                        }
                    }
                    BoundCodec::Value(codec) => {
                        let schema = interface.schema(id);
                        let is_open = schema.pattern.is_some() || !schema.outside.is_empty();
                        if is_open && schema.kinds.meets(Kinds::STRING) && matches!(value, Value::String(_)) {
                            let made = self.of_value_codec(codec, index);
                            if matches!(made, Value::String(_)) {
                                *value = made;
                            }
                        }
                    }
                }
            }
        }
    }
}
