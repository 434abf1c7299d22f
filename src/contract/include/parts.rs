//! Inclusion of each JSON type's own keywords.

use super::{All, Comparison, Mismatch};
use crate::contract::documents::is_multiple;
use crate::contract::schema::{Additional, Bound, Kinds, Range, Schema};

impl Comparison<'_> {
    pub(super) fn numbers(&mut self, a: &Schema, b: &Schema, all: &mut All) {
        if !a.kinds.meets(Kinds::NUMBER) || !b.kinds.meets(Kinds::NUMBER) {
            return;
        }
        let below = |mine: &Bound, theirs: &Bound| {
            let order = mine.value.compare(&theirs.value);
            order.is_gt() || (order.is_eq() && (mine.exclusive || !theirs.exclusive))
        };
        if let Some(limit) = &b.minimum
            && !a.minimum.as_ref().is_some_and(|mine| below(mine, limit))
        {
            let detail =
                format!("{} allows numbers below {}'s minimum {}", self.wide.version, self.narrow.version, limit.text);
            all.no(self.mismatch(a, b, detail));
        }
        let above = |mine: &Bound, theirs: &Bound| {
            let order = mine.value.compare(&theirs.value);
            order.is_lt() || (order.is_eq() && (mine.exclusive || !theirs.exclusive))
        };
        if let Some(limit) = &b.maximum
            && !a.maximum.as_ref().is_some_and(|mine| above(mine, limit))
        {
            let detail =
                format!("{} allows numbers above {}'s maximum {}", self.wide.version, self.narrow.version, limit.text);
            all.no(self.mismatch(a, b, detail));
        }
        match (&a.multiple_of, &b.multiple_of) {
            (_, None) => {}
            (Some(mine), Some(theirs)) if mine == theirs => {}
            (Some(mine), Some(theirs)) => match is_multiple(mine, theirs) {
                Some(true) => {}
                Some(false) => {
                    let detail =
                        format!("the two `multipleOf` differ ({} and {})", self.wide.version, self.narrow.version);
                    all.no(self.mismatch(a, b, detail));
                }
                None => all.unknown("`multipleOf` is too large to decide".to_owned()),
            },
            (None, Some(_)) => {
                let whole = crate::json::Decimal { negative: false, digits: vec![b'1'], exponent: 0 };
                let integers = !a.kinds.holds(Kinds::NUMBER);
                if !(integers && b.multiple_of.as_ref() == Some(&whole)) {
                    let detail = format!("only {} says `multipleOf`", self.narrow.version);
                    all.no(self.mismatch(a, b, detail));
                }
            }
        }
    }

    pub(super) fn strings(&mut self, a: &Schema, b: &Schema, all: &mut All) {
        if !a.kinds.holds(Kinds::STRING) || !b.kinds.holds(Kinds::STRING) {
            return;
        }
        if !b.length.holds(a.length) {
            let words = |range: Range| match range.max {
                Some(max) => format!("{} to {max} characters", range.min),
                None => format!("{} or more characters", range.min),
            };
            let detail = format!(
                "{} allows {}, {} {}",
                self.wide.version,
                words(a.length),
                self.narrow.version,
                words(b.length)
            );
            all.no(self.mismatch(a, b, detail));
        }
        if let Some(pattern) = &b.pattern
            && a.pattern.as_ref().is_none_or(|mine| mine.text != pattern.text)
        {
            all.unknown(format!("`pattern` in {} is not decided", self.narrow.version));
        }
        if let Some(format) = &b.format {
            match &a.format {
                Some(mine) if mine.text == format.text => {}
                Some(mine) if mine.text == "int32" && format.text == "int64" => {}
                Some(mine) => {
                    let detail = format!(
                        "{} says `format: {}`, {} `format: {}`",
                        self.wide.version, mine.text, self.narrow.version, format.text
                    );
                    all.no(self.mismatch(a, b, detail));
                }
                None if a.pattern.is_some() => all.unknown("`pattern` and `format` cannot be compared".to_owned()),
                None => {
                    let detail = format!("only {} says `format: {}`", self.narrow.version, format.text);
                    all.no(self.mismatch(a, b, detail));
                }
            }
        }
    }

    pub(super) fn arrays(&mut self, a: &Schema, b: &Schema, all: &mut All) {
        if !a.kinds.holds(Kinds::ARRAY) || !b.kinds.holds(Kinds::ARRAY) {
            return;
        }
        if !b.count.holds(a.count) {
            let detail = format!("{} allows other numbers of elements than {}", self.wide.version, self.narrow.version);
            all.no(self.mismatch(a, b, detail));
        }
        if b.unique && !a.unique && a.count.max.is_none_or(|max| max > 1) {
            let detail =
                format!("{} allows equal elements, {} says `uniqueItems`", self.wide.version, self.narrow.version);
            all.no(self.mismatch(a, b, detail));
        }
        match (a.items, b.items) {
            (_, None) => {}
            (Some(x), Some(y)) => self.below("[]".to_owned(), x, y, all),
            (None, Some(_)) if a.count.max == Some(0) => {}
            (None, Some(_)) => {
                let detail = format!("{} allows any element, {} does not", self.wide.version, self.narrow.version);
                all.no(self.mismatch(a, b, detail));
            }
        }
    }

    pub(super) fn objects(&mut self, a: &Schema, b: &Schema, all: &mut All) {
        if !a.kinds.holds(Kinds::OBJECT) || !b.kinds.holds(Kinds::OBJECT) || a.choice.is_some() || b.choice.is_some() {
            return;
        }
        for theirs in &b.properties {
            match a.property(&theirs.name) {
                Some(mine) => {
                    if theirs.required && !mine.required {
                        let detail = format!(
                            "{} may leave `{}` out, {} requires it",
                            self.wide.version, theirs.name, self.narrow.version
                        );
                        all.no(Mismatch { wide: mine.span, narrow: theirs.span, ..self.mismatch(a, b, detail) });
                    }
                    self.below(format!(".{}", theirs.name), mine.schema, theirs.schema, all);
                }
                None if theirs.required => {
                    let detail = format!(
                        "{} requires `{}`, {} does not know it",
                        self.narrow.version, theirs.name, self.wide.version
                    );
                    all.no(Mismatch { narrow: theirs.span, ..self.mismatch(a, b, detail) });
                }
                None => {
                    if let Additional::Map(Some(values)) = a.additional {
                        self.below(format!(".{}", theirs.name), values, theirs.schema, all);
                    }
                }
            }
        }
        for mine in a.properties.iter().filter(|mine| b.property(&mine.name).is_none()) {
            match b.additional {
                Additional::Map(None) => {}
                Additional::Map(Some(values)) => self.below(format!(".{}", mine.name), mine.schema, values, all),
                Additional::Unsaid | Additional::Refused => {
                    let detail = format!("{} has `{}`, {} does not", self.wide.version, mine.name, self.narrow.version);
                    all.no(Mismatch { wide: mine.span, ..self.mismatch(a, b, detail) });
                }
            }
        }
        match (a.additional, b.additional) {
            (Additional::Map(Some(x)), Additional::Map(Some(y))) => self.below(".*".to_owned(), x, y, all),
            (Additional::Map(_), Additional::Refused) => {
                let detail =
                    format!("{} is a map, {} allows no further members", self.wide.version, self.narrow.version);
                all.no(self.mismatch(a, b, detail));
            }
            (Additional::Map(None), Additional::Map(Some(_))) => {
                let detail =
                    format!("{} allows members of any value, {} does not", self.wide.version, self.narrow.version);
                all.no(self.mismatch(a, b, detail));
            }
            _ => {}
        }
    }
}
