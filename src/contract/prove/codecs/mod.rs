//! What schemas say about each value codec: one function a codec.
//!
//! Where the values of a side are few (`enum`, `const`, booleans) the codec itself is run on each of them, both ways;
//! otherwise its domain is compared with the schema's keywords.

mod several;
mod shapes;

use super::locate::Located;
use crate::codecs::{Case, Codec, Decimal, Direction, Enum, Scalar, Type};
use crate::contract::documents::{decimals, violations};
use crate::contract::include::{Comparison, Inclusion, enumerate, same_text};
use crate::contract::interface::Interface;
use crate::contract::schema::{Kinds, Range, Schema, SchemaId};
use crate::diagnostic::{Code, codes};
use crate::json::{MAX_DEPTH, Tree};

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// Refused.
    Wrong,
    /// Refused unless the author accepted a loss.
    Waivable,
    /// Cannot be decided.
    Tested,
}

/// One thing that keeps a rule from being proven.
#[derive(Debug, Clone)]
pub(super) struct Finding {
    pub(super) level: Level,
    pub(super) code: Code,
    pub(super) message: String,
    pub(super) label: String,
    pub(super) help: String,
}

/// Both sides of a rule with a value codec.
struct Sides<'a> {
    old: &'a Interface,
    new: &'a Interface,
    a: SchemaId,
    b: SchemaId,
    found: Vec<Finding>,
}

pub(super) fn check(
    codec: &Codec,
    old: &Interface,
    new: &Interface,
    olds: &[Located],
    news: &[Located],
) -> Vec<Finding> {
    let (Some(a), Some(b)) = (olds.first(), news.first()) else { return Vec::new() };
    let mut sides = Sides { old, new, a: a.schema, b: b.schema, found: Vec::new() };
    match codec {
        Codec::Same => {}
        Codec::Enum(codec) => sides.table(codec),
        Codec::Invert(_) => {
            if sides.types("invert", Kinds::BOOLEAN, Kinds::BOOLEAN) {
                sides.each_value(&Codec::Invert(crate::codecs::Invert));
            }
        }
        Codec::Decimal(codec) => sides.decimal(*codec),
        Codec::Case(codec) => sides.case(*codec),
        Codec::Type(codec) => sides.scalar(*codec),
        Codec::Split(codec) => {
            if let Some(second) = news.get(1) {
                sides.split(codec, second.schema);
            }
        }
        Codec::Head(codec) => sides.head(codec, a.always),
        Codec::Presence(codec) => sides.presence(codec, a.always, b.always),
        Codec::Nothing(codec) => sides.nothing(codec, a.always),
        Codec::Page(_) => sides.page(olds, news),
        other => sides.shaped(other),
    }
    if codec.keeps_null() {
        sides.null();
    }
    sides.found
}

impl<'a> Sides<'a> {
    fn a(&self) -> &'a Schema {
        self.old.schema(self.a)
    }

    fn b(&self) -> &'a Schema {
        self.new.schema(self.b)
    }

    fn say(&mut self, level: Level, code: Code, message: impl Into<String>, label: impl Into<String>, help: &str) {
        let (message, label, help) = (message.into(), label.into(), help.to_owned());
        self.found.push(Finding { level, code, message, label, help });
    }

    fn tested(&mut self, why: impl Into<String>) {
        self.say(Level::Tested, codes::E4, why, "", "");
    }

    /// E4 unless both sides have the types that the codec joins.
    fn types(&mut self, name: &str, old: Kinds, new: Kinds) -> bool {
        let (old_version, new_version) = (self.old.version.clone(), self.new.version.clone());
        let (a, b) = (self.a().kinds, self.b().kinds);
        for (kinds, expected, version, side) in [(a, old, old_version, "old"), (b, new, new_version, "new")] {
            if !kinds.only(expected) {
                let message = format!("`{name}` needs {} on the {side} side", expected.describe());
                let label = format!("{version} has {}", kinds.describe());
                self.say(Level::Wrong, codes::E4, message, label, "use the codec that fits both types");
                return false;
            }
        }
        true
    }

    /// Nullability must agree: null stays null.
    fn null(&mut self) {
        let (a, b) = (self.a().is_nullable(), self.b().is_nullable());
        if a != b {
            let (yes, no) = if a { (self.old, self.new) } else { (self.new, self.old) };
            let label = format!("{} allows null, {} does not", yes.version, no.version);
            let help = "null stays null: allow it on both sides, or accept it with `loss: \"why\"`";
            self.say(Level::Waivable, codes::E4, "null is allowed on one side only", label, help);
        }
    }

    /// Runs the codec on every value that a side lists, both ways. `true` where both sides were decided so.
    fn each_value(&mut self, codec: &Codec) -> bool {
        let mut is_decided = true;
        let sides = [(Direction::Up, self.a(), self.b), (Direction::Down, self.b(), self.a)];
        for (direction, source, target) in sides {
            let Some(values) = enumerate(source) else {
                is_decided = false;
                continue;
            };
            let (from, to) = direction.order(self.old, self.new);
            for json in values.iter().filter(|json| *json != "null") {
                let mut out = Vec::new();
                if let Err(guard) = codec.convert(direction, Some(json.as_bytes()), &mut out) {
                    let message = format!("{} allows `{json}`, which the rule cannot translate", from.version);
                    let help = match direction {
                        Direction::Up => "an old request could fail: add a row or `else: [old, new]`",
                        Direction::Down => "an old caller could be shown it: add a row or `else: old`",
                    };
                    self.say(Level::Waivable, codes::E7, message, guard, help);
                    continue;
                }
                if let Some(first) = breaks(to, target, &out) {
                    let text = String::from_utf8_lossy(&out).into_owned();
                    let message = format!("`{json}` becomes `{text}`, which {} does not allow", to.version);
                    self.say(Level::Waivable, codes::E4, message, first, "mend the row or the schema");
                    continue;
                }
                let mut back = Vec::new();
                let returns = codec.convert(direction.reverse(), Some(&out), &mut back).is_ok();
                let back = String::from_utf8_lossy(&back).into_owned();
                if direction == Direction::Up && !(returns && same_text(&back, json)) {
                    let text = String::from_utf8_lossy(&out).into_owned();
                    let message = format!("old `{json}` does not come back");
                    let label = format!("`{json}` becomes `{text}`, which comes back as `{back}`");
                    let help = "add a row of its own for it, or accept it with `loss: \"why\"`";
                    self.say(Level::Waivable, codes::E8, message, label, help);
                }
            }
        }
        is_decided
    }

    fn table(&mut self, codec: &Enum) {
        let sides: [(_, &Interface, SchemaId, &Option<String>); 2] =
            [(0, self.old, self.a, &codec.else_old), (1, self.new, self.b, &codec.else_new)];
        for (side, interface, id, fallback) in sides {
            if let Some(json) = fallback
                && let Some(first) = breaks(interface, id, json.as_bytes())
            {
                let message = format!("`else` gives `{json}`, which {} does not allow", interface.version);
                self.say(Level::Wrong, codes::E6, message, first, "name a value that the schema allows");
            }
            let schema = interface.schema(id);
            for (old, new) in &codec.rows {
                let json = if side == 0 { old } else { new };
                if schema.values.is_some()
                    && let Some(first) = breaks(interface, id, json.as_bytes())
                {
                    let message = format!("the table names `{json}`, which {} does not allow", interface.version);
                    self.say(Level::Wrong, codes::E4, message, first, "remove the row, or mend its spelling");
                }
            }
        }
        if codec.is_map {
            let mut rest = codec.rows.as_slice();
            while let Some(((old, new), others)) = rest.split_first() {
                if let Some((twin, _)) = others.iter().find(|(_, other)| same_text(other, new)) {
                    let message = format!("`{old}` and `{twin}` both become `{new}`");
                    let help = "write rows `[[old, new], …]`: the first row wins on the way back";
                    self.say(Level::Wrong, codes::E8, message, "the map form is one to one", help);
                }
                rest = others;
            }
        }
        self.each_value(&Codec::Enum(codec.clone()));
        for (schema, interface, fallback, code) in [
            (self.a(), self.old, codec.else_new.is_some(), codes::E8),
            (self.b(), self.new, codec.else_old.is_some(), codes::E7),
        ] {
            if enumerate(schema).is_some() {
                continue;
            }
            let version = &interface.version;
            if !fallback {
                let message = format!("{version} leaves the values open, the table cannot have them all");
                let help = "add `else: old` (or `else: [old, new]`), or list the values in the schema (`enum:`)";
                self.say(Level::Waivable, codes::E7, message, "no `enum` in the schema", help);
            } else if code == codes::E8 {
                let message = format!("{version} leaves the values open, and those without a row do not come back");
                let help = "list the values in the schema (`enum:`), or accept it with `loss: \"why\"`";
                self.say(Level::Waivable, codes::E8, message, "no `enum` in the schema", help);
            }
        }
    }

    fn decimal(&mut self, codec: Decimal) {
        if !self.types("decimal", Kinds::INTEGER, Kinds::STRING.with(Kinds::NUMBER)) {
            return;
        }
        let (a, b) = (self.a(), self.b());
        if !b.kinds.holds(Kinds::STRING) {
            let label = format!("{} has {}", self.new.version, b.kinds.describe());
            let message = "`decimal` writes a text on the new side";
            self.say(Level::Wrong, codes::E4, message, label, "make it a string in the new interface");
            return;
        }
        if enumerate(b).is_some() {
            self.each_value(&Codec::Decimal(codec));
            return;
        }
        let format = b.format.as_ref().map(|one| one.text.as_str());
        match format.and_then(decimals) {
            Some(scale) if scale <= codec.scale => {
                if scale < codec.scale {
                    let message = format!("the text has {} decimals, {} allows {scale}", codec.scale, self.new.version);
                    self.say(Level::Waivable, codes::E4, message, "", "use the same number of decimals");
                }
            }
            None if b.pattern.is_some() => self.tested("`pattern` is not decided"),
            _ => {
                let message = format!("{} allows texts with more than {} decimals", self.new.version, codec.scale);
                let help = format!(
                    "say `format: decimal{0}` or a `pattern` such as `^-?[0-9]+\\.[0-9]{{{0}}}$` in {1}, or `loss: \"why\"`",
                    codec.scale, self.new.version
                );
                self.say(Level::Waivable, codes::E7, message, "an old caller could be shown one", &help);
            }
        }
        if a.minimum.is_some() || a.maximum.is_some() || a.multiple_of.is_some() {
            self.tested("bounds of numbers are not decided across `decimal`");
        }
        if b.length != Range::default() {
            self.tested("lengths are not decided across `decimal`");
        }
    }

    fn case(&mut self, codec: Case) {
        if !self.types("case", Kinds::STRING, Kinds::STRING) {
            return;
        }
        let (a, b) = (self.a(), self.b());
        if enumerate(a).is_some() || enumerate(b).is_some() {
            if self.each_value(&Codec::Case(codec)) {
                return;
            }
            if enumerate(a).is_some() {
                let message = format!("{} leaves the values open, {} lists them", self.new.version, self.old.version);
                self.say(Level::Waivable, codes::E7, message, "", "list the values on both sides");
                return;
            }
        }
        if codec.old.is_of_words() || codec.new.is_of_words() {
            self.tested("words are tried, not decided");
        }
        let fixed = a.format.as_ref().is_some_and(|one| one.text == codec.old.name());
        if !fixed && enumerate(a).is_none() {
            if a.pattern.is_some() {
                self.tested("`pattern` is not decided");
            } else {
                let message =
                    format!("{} does not say that the text is in {} case", self.old.version, codec.old.name());
                let help =
                    format!("say `format: {}`, an `enum` or a `pattern` there, or `loss: \"why\"`", codec.old.name());
                self.say(Level::Waivable, codes::E8, message, "its case would be lost", &help);
            }
        }
        if b.pattern.is_some() || b.format.as_ref().is_some_and(|one| one.text != codec.new.name()) {
            self.tested("`pattern` and `format` are not decided across `case`");
        }
        if a.length != b.length {
            self.tested("lengths differ");
        }
    }

    fn scalar(&mut self, codec: Type) {
        let kinds = |scalar: Scalar| match scalar {
            Scalar::String => Kinds::STRING,
            Scalar::Integer => Kinds::INTEGER,
            Scalar::Number => Kinds::NUMBER,
            Scalar::Boolean => Kinds::BOOLEAN,
        };
        if (codec.old, codec.new) == (Scalar::Number, Scalar::Integer) {
            return self.shaped(&Codec::Type(codec));
        }
        if !self.types("type", kinds(codec.old), kinds(codec.new)) || self.each_value(&Codec::Type(codec)) {
            return;
        }
        let is_old_text = codec.old == Scalar::String;
        let (text, text_in, value, value_in, value_schema) = if is_old_text {
            (self.a(), self.old, self.b(), self.new, self.b)
        } else {
            (self.b(), self.new, self.a(), self.old, self.a)
        };
        let scalar = if is_old_text { codec.new } else { codec.old };
        let spelt = text.format.as_ref().is_some_and(|one| match scalar {
            Scalar::Integer => matches!(one.text.as_str(), "int32" | "int64" | "intstr"),
            Scalar::Number => one.text == "decimal" || decimals(&one.text).is_some(),
            Scalar::String | Scalar::Boolean => false,
        });
        if let Some(spelled) = text.text_of {
            let there = Comparison::new(text_in, value_in).decide(spelled, value_schema);
            let back = Comparison::new(value_in, text_in).decide(value_schema, spelled);
            for answer in [there, back] {
                match answer {
                    Inclusion::Yes => {}
                    Inclusion::Unknown(why) => self.tested(why),
                    Inclusion::No(mismatch) => {
                        let help = "make both sides allow the same values, or accept it with `loss: \"why\"`";
                        let message = "the text spells other values than the other side allows";
                        self.say(Level::Waivable, codes::E4, message, mismatch.detail, help);
                    }
                }
            }
        } else if text.pattern.is_some() {
            self.tested("`pattern` is not decided");
        } else if !spelt && enumerate(text).is_none() {
            let message = format!("{} allows texts that spell no {}", text_in.version, scalar.name());
            let help = "say `format: int64`, an `enum` or a `pattern` there, or accept it with `loss: \"why\"`";
            self.say(Level::Waivable, codes::E7, message, "such a text cannot be translated", help);
        }
        if text.text_of.is_none() && (value.minimum.is_some() || value.maximum.is_some() || value.multiple_of.is_some())
        {
            self.tested("bounds of numbers are not decided across `type`");
        }
        if text.length != Range::default() {
            self.tested("lengths are not decided across `type`");
        }
    }
}

/// The first way in which a JSON text breaks a schema.
fn breaks(interface: &Interface, id: SchemaId, json: &[u8]) -> Option<String> {
    let tree = Tree::parse(json, MAX_DEPTH).ok()?;
    violations(interface, id, &tree).into_iter().next().map(|one| one.detail)
}
