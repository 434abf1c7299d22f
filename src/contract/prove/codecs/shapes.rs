//! Codecs of which schemas say little: their types are compared, values that are listed are tried, the rest is tested.

use super::{Level, Sides, breaks};
use crate::codecs::{Codec, Empty, Nothing, Presence};
use crate::contract::include::enumerate;
use crate::contract::prove::locate::Located;
use crate::contract::schema::Kinds;
use crate::diagnostic::codes;

impl Sides<'_> {
    /// A codec of one place on either side whose types are known.
    pub(super) fn shaped(&mut self, codec: &Codec) {
        let Some((name, old, new)) = shape(codec) else { return };
        if !self.types(name, old, new) {
            return;
        }
        let element = self.b().items.map(|items| self.new.schema(items).kinds);
        if let (Codec::Csv(_), Some(kinds)) = (codec, element.filter(|kinds| !kinds.holds(Kinds::STRING))) {
            let label = format!("{} has {}", self.new.version, kinds.describe());
            let help = "make the elements strings in the new interface";
            return self.say(Level::Wrong, codes::E4, "`csv` writes a list of texts", label, help);
        }
        let is_listed = enumerate(self.a()).is_some() || enumerate(self.b()).is_some();
        if is_listed && self.each_value(codec) {
            return;
        }
        self.tested(format!("`{name}` is tried, not decided"));
    }

    pub(super) fn presence(&mut self, codec: &Presence, old_always: bool, new_always: bool) {
        if !self.types("presence", Kinds::BOOLEAN, Kinds::ANY) {
            return;
        }
        if let Some(first) = breaks(self.new, self.b, codec.value.as_bytes()) {
            let message = format!("`presence: {}` is not valid in {}", codec.value, self.new.version);
            self.say(Level::Wrong, codes::E6, message, first, "choose a value that the schema allows");
        }
        if new_always {
            let label = format!("{} requires it", self.new.version);
            let help = "make it optional in the new interface, or use `enum`";
            self.say(Level::Wrong, codes::E5, "false leaves the new value out", label, help);
        }
        if !old_always {
            let help = "require the old field, or accept it with `loss: \"why\"`";
            self.say(Level::Waivable, codes::E8, "an absent old value comes back as false", "not required", help);
        }
        if self.a().is_nullable() {
            let help = "forbid null there, or accept it with `loss: \"why\"`";
            self.say(Level::Waivable, codes::E7, "`presence` has no place for an old null", "null is allowed", help);
        }
        self.tested("`presence` is tried, not decided");
    }

    pub(super) fn nothing(&mut self, codec: &Nothing, old_always: bool) {
        for (side, interface, id) in [(&codec.old, self.old, self.a), (&codec.new, self.new, self.b)] {
            if let Empty::Value(json) = side
                && let Some(first) = breaks(interface, id, json.as_bytes())
            {
                let message = format!("`nothing` gives `{json}`, which {} does not allow", interface.version);
                self.say(Level::Wrong, codes::E4, message, first, "name a value that the schema allows");
            }
        }
        if codec.new == Empty::Absent && !old_always {
            let help = "require the old field, or accept it with `loss: \"why\"`";
            self.say(Level::Waivable, codes::E8, "an absent old value does not come back", "not required", help);
        }
        self.tested("`nothing` is tried, not decided");
    }

    pub(super) fn page(&mut self, olds: &[Located], news: &[Located]) {
        let fitting = Kinds::NUMBER.with(Kinds::STRING);
        for (interface, located, side) in [(self.old, olds, "old"), (self.new, news, "new")] {
            for one in located {
                let kinds = interface.schema(one.schema).kinds;
                if !kinds.only(fitting) {
                    let label = format!("{} has {}", interface.version, kinds.describe());
                    let message = format!("`page` needs whole numbers on the {side} side");
                    return self.say(Level::Wrong, codes::E4, message, label, "use the codec that fits both types");
                }
            }
        }
        self.tested("`page` is tried, not decided");
    }
}

/// Name and types of both sides.
fn shape(codec: &Codec) -> Option<(&'static str, Kinds, Kinds)> {
    let (text, number) = (Kinds::STRING, Kinds::NUMBER);
    let spelled = |is_number: bool| if is_number { number } else { text };
    Some(match codec {
        Codec::Linear(_) => ("linear", number, number),
        Codec::Reciprocal(_) => ("reciprocal", number, number),
        Codec::Duration(codec) => ("duration", spelled(codec.old.is_number()), spelled(codec.new.is_number())),
        Codec::Date(codec) => ("date", spelled(codec.old.is_number()), spelled(codec.new.is_number())),
        Codec::Csv(_) => ("csv", text, Kinds::ARRAY),
        Codec::Prefix(_) => ("prefix", text, text),
        Codec::Suffix(_) => ("suffix", text, text),
        Codec::Replace(_) => ("replace", text, text),
        Codec::Template(_) => ("template", text, text),
        Codec::Json(_) => ("json", text, Kinds::ANY),
        Codec::Base64(_) => ("base64", text, text),
        Codec::Hex(_) => ("hex", text, text),
        Codec::Percent(_) => ("percent", text, text),
        Codec::Clamp(codec) => {
            let kinds = match (codec.has_numbers(), codec.length.is_some()) {
                (true, true) => number.with(text),
                (is_number, _) => spelled(is_number),
            };
            ("clamp", kinds, kinds)
        }
        Codec::Type(_) => ("type", number, Kinds::INTEGER),
        Codec::Same
        | Codec::Enum(_)
        | Codec::Invert(_)
        | Codec::Decimal(_)
        | Codec::Case(_)
        | Codec::Split(_)
        | Codec::Head(_)
        | Codec::Presence(_)
        | Codec::Nothing(_)
        | Codec::Page(_)
        | Codec::Chain(_) => return None,
    })
}
