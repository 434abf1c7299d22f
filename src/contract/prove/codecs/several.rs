//! The codecs that change how many values there are: `split` and `head`.

use super::{Level, Sides, breaks};
use crate::codecs::{Head, Split};
use crate::contract::include::{Comparison, Inclusion};
use crate::contract::schema::{Kinds, Schema, SchemaId};
use crate::diagnostic::codes;

impl Sides<'_> {
    pub(super) fn split(&mut self, codec: &Split, second: SchemaId) {
        if !self.types("split", Kinds::STRING, Kinds::STRING) {
            return;
        }
        let (a, first, second_schema) = (self.a(), self.b(), self.new.schema(second));
        if !second_schema.kinds.only(Kinds::STRING) {
            let label = format!("{} has {}", self.new.version, second_schema.kinds.describe());
            let message = "`split` needs string on the new side";
            return self.say(Level::Wrong, codes::E4, message, label, "use the codec that fits both types");
        }
        if let Some(fill) = &codec.fill {
            let mut json = Vec::new();
            crate::json::write_string(fill, &mut json);
            if let Some(found) = breaks(self.new, second, &json) {
                let message = format!("`fill: \"{fill}\"` is not valid in {}", self.new.version);
                self.say(Level::Wrong, codes::E6, message, found, "choose a text that the schema allows");
            }
        }
        if first.length.min > 0 && a.length.min == 0 {
            let label = format!("{} allows \"\", {} does not", self.old.version, self.new.version);
            let help = "allow the empty text on both sides or on none";
            self.say(Level::Waivable, codes::E4, "an empty text has no first part", label, help);
        }
        if first.length.min > 1 || second_schema.length.min > 1 {
            self.tested("minimum lengths of parts are not decided");
        }
        for part in [first, second_schema] {
            let fits = match (a.length.max, part.length.max) {
                (_, None) => true,
                (Some(whole), Some(part)) => part >= whole,
                (None, Some(_)) => false,
            };
            if !fits {
                let label = format!("{} allows longer texts than {} has room for", self.old.version, self.new.version);
                let help = "give the parts the room of the whole, or accept it with `loss: \"why\"`";
                self.say(Level::Waivable, codes::E4, "a part may be too long", label, help);
            }
            if part.pattern.is_some() || part.format.is_some() || part.values.is_some() {
                self.tested("constraints of parts are not decided");
            }
        }
        if let Some(max) = a.length.max {
            let gap = codec.separator.chars().count() as u64;
            let parts = first.length.max.zip(second_schema.length.max);
            if parts.is_none_or(|(x, y)| x.saturating_add(y).saturating_add(gap) > max) {
                let label =
                    format!("{} allows longer parts together than {} has room for", self.new.version, self.old.version);
                let help = "give the whole the room of both parts, or accept it with `loss: \"why\"`";
                self.say(Level::Waivable, codes::E7, "the joined text may be too long", label, help);
            }
        }
        if a.pattern.is_some() || a.format.is_some() || a.values.is_some() {
            self.tested("constraints of the whole are not decided");
        }
        if a.length.min > first.length.min {
            self.say(
                Level::Waivable,
                codes::E7,
                "the joined text may be too short",
                format!("{} allows shorter parts than {} allows texts", self.new.version, self.old.version),
                "give the first part the same minimum length, or accept it with `loss: \"why\"`",
            );
        }
        let nullable = [a, first, second_schema].map(Schema::is_nullable);
        if nullable != [true; 3] && nullable != [false; 3] && nullable != [false, false, true] {
            let help = "allow null in all three places or in none, or accept it with `loss: \"why\"`";
            self.say(Level::Waivable, codes::E4, "null is allowed on one side only", "null stays null", help);
        }
    }

    pub(super) fn head(&mut self, codec: &Head, always: bool) {
        let (a, b) = (self.a(), self.b());
        if !b.kinds.only(Kinds::ARRAY) {
            let label = format!("{} has {}", self.new.version, b.kinds.describe());
            let message = "`head` needs a list on the new side";
            return self.say(Level::Wrong, codes::E4, message, label, "the old side is one value, the new one a list");
        }
        match b.items {
            None => self.tested("the schema does not say what the elements are"),
            Some(items) => self.head_elements(items),
        }
        if b.count.max == Some(0) {
            self.say(Level::Wrong, codes::E4, "the list may hold nothing", "`maxItems: 0`", "allow one element");
        }
        if b.count.min > 1 {
            let label = format!("{} requires {} elements", self.new.version, b.count.min);
            self.say(
                Level::Wrong,
                codes::E4,
                "one value is not enough for the list",
                label,
                "use `minItems: 1` or less",
            );
        }
        let may_be_nothing = a.is_nullable() || !always;
        if b.count.min == 1 && may_be_nothing {
            let label = format!("{} may have no value, {} requires an element", self.old.version, self.new.version);
            self.say(Level::Waivable, codes::E4, "an empty list is not allowed", label, "use `minItems: 0`");
        }
        if b.count.min == 0 {
            let written = codec.empty();
            if let Some(first) = breaks(self.old, self.a, written.as_bytes()) {
                if written == "null" {
                    let message = "an empty list has no first element, and the old side does not allow null";
                    self.say(Level::Wrong, codes::E7, message, first, "add `empty: …`");
                } else {
                    let message = format!("`empty: {written}` is not valid in {}", self.old.version);
                    self.say(Level::Wrong, codes::E6, message, first, "choose a value that the schema allows");
                }
            }
        }
        if !always && b.count.min == 0 {
            let label = format!("absent becomes `[]`, which comes back as `{}`", codec.empty());
            let help = "require the old field, or accept it with `loss: \"why\"`";
            self.say(Level::Waivable, codes::E8, "an absent old value does not come back", label, help);
        }
        if a.is_nullable() && codec.empty() != "null" {
            let label = format!("null becomes `[]`, which comes back as `{}`", codec.empty());
            self.say(Level::Waivable, codes::E8, "old null does not come back", label, "leave `empty` out");
        }
    }

    fn head_elements(&mut self, items: SchemaId) {
        let (a, element) = (self.a(), self.new.schema(items));
        // Null stands for the empty list, so it is compared apart.
        let mut old = self.old.clone();
        let mut new = self.new.clone();
        let strip = |schema: &Schema| {
            let mut schema = schema.clone();
            schema.kinds = schema.kinds.without(Kinds::NULL);
            if let Some(values) = &mut schema.values {
                values.retain(|one| one.json != "null");
            }
            schema
        };
        let (x, y) = (old.add(strip(a)), new.add(strip(element)));
        for (answer, from, to) in [
            (Comparison::new(&old, &new).decide(x, y), self.old, self.new),
            (Comparison::new(&new, &old).decide(y, x), self.new, self.old),
        ] {
            match answer {
                Inclusion::Yes => {}
                Inclusion::Unknown(why) => self.tested(why),
                Inclusion::No(mismatch) => {
                    let level = if mismatch.is_kind { Level::Wrong } else { Level::Waivable };
                    let message = format!("a value of {} is not an element of {}", from.version, to.version);
                    let help = "the list's elements must be what the old place holds";
                    self.say(level, codes::E4, message, mismatch.detail, help);
                    break;
                }
            }
        }
        if element.is_nullable() && !a.is_nullable() {
            self.say(
                Level::Waivable,
                codes::E7,
                "an element may be null",
                "the old side does not allow null",
                "forbid null elements",
            );
        }
    }
}
