//! Documents made by chance: by a schema, or by the rules alone. Edge values come often.

use super::random::Random;
use super::value::Value;
use super::{UNKNOWN, decimals, is_multiple};
use crate::contract::interface::Interface;
use crate::contract::schema::{Additional, Kinds, Schema, SchemaId};
use crate::json::Decimal;

/// Where optional members and elements stop.
const SHALLOW: usize = 6;
/// Where even required members stop: only an endless schema leads there.
const DEEP: usize = 24;

/// Makes documents that a schema allows.
pub struct Generator<'a> {
    interface: &'a Interface,
    random: &'a mut Random,
    /// Whether to add members that the schema does not declare, where it lets them be.
    pub unknown_members: bool,
    /// Values left before documents become as small as they may.
    left: usize,
}

impl<'a> Generator<'a> {
    /// A generator for an interface's schemas.
    pub fn new(interface: &'a Interface, random: &'a mut Random) -> Self {
        Self { interface, random, unknown_members: true, left: super::guided::VALUES }
    }

    /// A document.
    pub fn document(&mut self, schema: SchemaId) -> Value {
        self.value(schema, 0)
    }

    // Recursion is bounded by `DEEP`.
    fn value(&mut self, id: SchemaId, depth: usize) -> Value {
        let schema = self.interface.schema(id);
        self.left = self.left.saturating_sub(1);
        let depth = if self.left == 0 { depth.max(SHALLOW) } else { depth };
        if depth > DEEP || (self.left == 0 && depth > SHALLOW + 2) {
            return Value::Null;
        }
        if let Some(values) = &schema.values {
            let picked = self.random.pick(values).and_then(|one| Value::parse(one.json.as_bytes()));
            return picked.unwrap_or(Value::Null);
        }
        if let Some(id) = self.random.pick(&schema.alternatives).copied() {
            return self.value(id, depth + 1);
        }
        if schema.is_nullable() && (self.random.chance(20) || schema.kinds == Kinds::NULL) {
            return Value::Null;
        }
        if schema.kinds == Kinds::ANY && schema.properties.is_empty() {
            return any(self.random, depth);
        }
        let mut kinds: Vec<Kinds> = [Kinds::OBJECT, Kinds::ARRAY, Kinds::STRING, Kinds::BOOLEAN, Kinds::INTEGER]
            .into_iter()
            .filter(|kind| schema.kinds.holds(*kind))
            .collect();
        if schema.kinds.holds(Kinds::NUMBER) {
            kinds.push(Kinds::NUMBER);
        }
        match self.random.pick(&kinds).copied() {
            Some(Kinds::OBJECT) => self.object(schema, depth),
            Some(Kinds::ARRAY) => self.array(schema, depth),
            Some(Kinds::STRING) => Value::String(self.text(schema)),
            Some(Kinds::BOOLEAN) => Value::Bool(self.random.chance(50)),
            Some(Kinds::INTEGER) => Value::Number(self.number(schema, false)),
            Some(Kinds::NUMBER) => Value::Number(self.number(schema, true)),
            _ => Value::Null,
        }
    }

    fn object(&mut self, schema: &Schema, depth: usize) -> Value {
        if let Some(choice) = &schema.choice {
            let Some((tag, case)) = self.random.pick(&choice.cases).cloned() else { return Value::Object(Vec::new()) };
            let mut value = self.value(case, depth + 1);
            value.set(std::slice::from_ref(&choice.tag), Value::String(tag));
            return value;
        }
        let mut members = Vec::new();
        for property in &schema.properties {
            if property.required || (depth < SHALLOW && self.random.chance(65)) {
                members.push((property.name.clone(), self.value(property.schema, depth + 1)));
            }
        }
        let extra = match schema.additional {
            Additional::Refused => None,
            Additional::Map(Some(id)) => Some(Some(id)),
            Additional::Map(None) | Additional::Unsaid => self.unknown_members.then_some(None),
        };
        if let Some(values) = extra
            && self.random.chance(25)
        {
            let name = format!("{UNKNOWN} {}", self.random.below(3));
            let value = match values {
                Some(id) => self.value(id, depth + 1),
                None => any(self.random, depth + 1),
            };
            members.push((name, value));
        }
        if self.random.chance(30) {
            self.random.shuffle(&mut members);
        }
        Value::Object(members)
    }

    fn array(&mut self, schema: &Schema, depth: usize) -> Value {
        let min = usize::try_from(schema.count.min).unwrap_or(0).min(64);
        let max = schema.count.max.map_or(usize::MAX, |max| usize::try_from(max).unwrap_or(usize::MAX));
        let more = if depth < SHALLOW { self.random.below(4) } else { 0 };
        let mut elements: Vec<Value> = Vec::new();
        for _ in 0..min.saturating_add(more).min(max) {
            let element = match schema.items {
                Some(id) => self.value(id, depth + 1),
                None => any(self.random, depth + 1),
            };
            if !(schema.unique && elements.iter().any(|other| other.same(&element))) {
                elements.push(element);
            }
        }
        Value::Array(elements)
    }

    fn number(&mut self, schema: &Schema, fractions: bool) -> String {
        for _ in 0..24 {
            let mut text = number(self.random, fractions);
            if let Some(by) = &schema.multiple_of
                && let Some(step) = whole(by)
            {
                text = (i128::try_from(self.random.below(2000)).unwrap_or(0) - 1000).saturating_mul(step).to_string();
            }
            for bound in [&schema.minimum, &schema.maximum].into_iter().flatten() {
                if self.random.chance(15) {
                    text.clone_from(&bound.text);
                }
            }
            if fits(schema, &text) {
                return text;
            }
        }
        // Between narrow bounds: close to one of them.
        let near = schema.minimum.as_ref().or(schema.maximum.as_ref());
        let start = near.and_then(|bound| bound.text.parse::<i128>().ok()).unwrap_or(0);
        let around = (0..64).flat_map(|step| [start.saturating_add(step), start.saturating_sub(step)]);
        let close = around.map(|value| value.to_string()).find(|text| fits(schema, text));
        close.unwrap_or_else(|| near.map_or_else(|| "0".to_owned(), |bound| bound.text.clone()))
    }

    fn text(&mut self, schema: &Schema) -> String {
        if let Some(format) = &schema.format
            && let Some(text) = formatted(&format.text, self.random)
        {
            return text;
        }
        let min = usize::try_from(schema.length.min).unwrap_or(0).min(512);
        let max = schema.length.max.map_or(usize::MAX, |max| usize::try_from(max).unwrap_or(usize::MAX));
        let length = match self.random.below(8) {
            0 => min,
            1 if max <= 512 => max,
            _ => min.saturating_add(self.random.below(7)).min(max),
        };
        text(self.random, length)
    }
}

fn fits(schema: &Schema, text: &str) -> bool {
    let Some(value) = Decimal::parse(text) else { return false };
    let above = schema.minimum.as_ref().is_none_or(|bound| {
        let order = value.compare(&bound.value);
        order.is_gt() || (order.is_eq() && !bound.exclusive)
    });
    let below = schema.maximum.as_ref().is_none_or(|bound| {
        let order = value.compare(&bound.value);
        order.is_lt() || (order.is_eq() && !bound.exclusive)
    });
    above && below && schema.multiple_of.as_ref().is_none_or(|by| is_multiple(&value, by) != Some(false))
}

/// A step that is a whole number.
fn whole(by: &Decimal) -> Option<i128> {
    let digits: i128 = std::str::from_utf8(&by.digits).ok()?.parse().ok()?;
    digits.checked_mul(10_i128.checked_pow(u32::try_from(by.exponent).ok()?)?)
}

/// A text of a format that codecs depend on, or of a common one.
fn formatted(format: &str, random: &mut Random) -> Option<String> {
    Some(match format {
        "lower" => letters(random, "abcxyz"),
        "upper" => letters(random, "ABCXYZ"),
        "int32" | "int64" | "intstr" => small_integer(random),
        "decimal" => format!("{}.{}", small_integer(random), random.below(1000)),
        "date" => format!("20{:02}-0{}-1{}", random.below(100), 1 + random.below(9), random.below(10)),
        "date-time" => format!(
            "20{:02}-0{}-1{}T0{}:30:00Z",
            random.below(100),
            1 + random.below(9),
            random.below(10),
            random.below(10)
        ),
        "email" => format!("{}@example.com", letters(random, "abcxyz")),
        "uri" | "url" => format!("https://example.com/{}", letters(random, "abcxyz")),
        "uuid" => format!("{:08x}-0000-4000-8000-{:012x}", random.below(1 << 31), random.below(1 << 40)),
        _ => decimal_text(random, decimals(format)?),
    })
}

fn letters(random: &mut Random, from: &str) -> String {
    let from: Vec<char> = from.chars().collect();
    (0..=random.below(3)).filter_map(|_| random.pick(&from).copied()).collect()
}

fn small_integer(random: &mut Random) -> String {
    (i64::try_from(random.below(2_000_000)).unwrap_or(0) - 1_000_000).to_string()
}

/// A text with exactly so many decimals.
pub(super) fn decimal_text(random: &mut Random, scale: usize) -> String {
    let whole = match random.below(5) {
        0 => "0".to_owned(),
        1 => "123456789012345678901".to_owned(),
        2 => "-7".to_owned(),
        _ => random.below(100_000).to_string(),
    };
    if scale == 0 {
        return whole;
    }
    let fraction: String = (0..scale).map(|_| char::from(b'0' + u8::try_from(random.below(10)).unwrap_or(0))).collect();
    format!("{whole}.{fraction}")
}

pub(super) fn number(random: &mut Random, fractions: bool) -> String {
    if fractions && random.chance(60) {
        let written = ["0.5", "-2.50", "1e3", "1.10", "12345678901234567890.123456789", "1E-7", "0.0"];
        return random.pick(&written).map_or_else(|| "0".to_owned(), |text| (*text).to_owned());
    }
    match random.below(10) {
        0 => "0".to_owned(),
        1 => "-1".to_owned(),
        2 => "9007199254740993".to_owned(),
        3 => "12345678901234567890123".to_owned(),
        4 => small_integer(random),
        // Small numbers meet again: they are the keys of elements.
        _ => (1 + random.below(6)).to_string(),
    }
}

/// A text of so many characters, some of which need care.
pub(super) fn text(random: &mut Random, length: usize) -> String {
    let common: Vec<char> = "ab -".chars().collect();
    let rare: Vec<char> = "\"\\/\n\u{1}éß😀\u{2028}".chars().collect();
    (0..length)
        .filter_map(|_| if random.chance(12) { random.pick(&rare) } else { random.pick(&common) }.copied())
        .collect()
}

/// Any value at all.
pub(super) fn any(random: &mut Random, depth: usize) -> Value {
    match random.below(if depth < 4 { 9 } else { 6 }) {
        0 => Value::Null,
        1 => Value::Bool(random.chance(50)),
        2 => Value::Number(number(random, true)),
        3 => Value::Number(number(random, false)),
        4 | 5 => {
            let length = random.below(7);
            Value::String(text(random, length))
        }
        6 => Value::Array((0..random.below(3)).map(|_| any(random, depth + 1)).collect()),
        7 => Value::Array(Vec::new()),
        _ => {
            let names = ["p", "q"];
            let take = random.below(3);
            Value::Object(names.iter().take(take).map(|name| ((*name).to_owned(), any(random, depth + 1))).collect())
        }
    }
}
