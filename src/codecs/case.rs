//! `case: [old, new]`

use super::argument::Arguments;
use super::{Direction, Guard, Info};
use crate::json::unescape;
use crate::json::write_string;

pub(super) const INFO: Info = Info {
    name: "case",
    options: &[],
    places: (1, 1),
    manual: "\
`case: [lower, upper]` changes a text's letter case: the old side is written in the first, the new side in the second
(`lower` or `upper` each).

```yaml
- currency = price.currency: {case: [lower, upper]}     # usd <-> USD
```

* up: the old text must already be in the old case, or it is refused, since its case could not be given back.
* down: the text in the old case, whatever it was.

Old-exact only if the old schema fixes the case (an enum, a pattern, a format); otherwise say `loss:`.
",
};

/// One of the two cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Letters {
    /// Lower case.
    Lower,
    /// Upper case.
    Upper,
}

impl Letters {
    fn apply(self, text: &str) -> String {
        match self {
            Self::Lower => text.to_lowercase(),
            Self::Upper => text.to_uppercase(),
        }
    }

    fn apply_ascii(self, byte: u8) -> u8 {
        match self {
            Self::Lower => byte.to_ascii_lowercase(),
            Self::Upper => byte.to_ascii_uppercase(),
        }
    }

    /// Its word in a rule.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lower => "lower",
            Self::Upper => "upper",
        }
    }
}

/// A text in two letter cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    /// The old side's case.
    pub old: Letters,
    /// The new side's case.
    pub new: Letters,
}

impl Case {
    pub(super) fn parse(arguments: &mut Arguments<'_>) -> Option<Self> {
        let [old, new] = arguments.pair("write for example `case: [lower, upper]`")?.map(|node| match node.as_str() {
            Some("lower") => Ok(Letters::Lower),
            Some("upper") => Ok(Letters::Upper),
            _ => Err(node.span),
        });
        match (old, new) {
            (Ok(old), Ok(new)) => Some(Self { old, new }),
            (Err(span), _) | (_, Err(span)) => {
                arguments.refuse(span, "not a letter case", "the cases are `lower` and `upper`")
            }
        }
    }

    pub(super) fn convert(self, direction: Direction, value: &[u8], out: &mut Vec<u8>) -> Result<(), Guard> {
        if value.first() != Some(&b'"') {
            return Err(EXPECTED);
        }
        let target = match direction {
            Direction::Up => self.new,
            Direction::Down => self.old,
        };
        if value.is_ascii() && !value.contains(&b'\\') {
            if direction == Direction::Up && value.iter().any(|&byte| self.old.apply_ascii(byte) != byte) {
                return Err(self.wrong_case());
            }
            out.extend(value.iter().map(|&byte| target.apply_ascii(byte)));
            return Ok(());
        }
        self.convert_letters(direction, target, value, out)
    }

    /// The same for texts of any letters.
    #[inline(never)]
    fn convert_letters(
        self,
        direction: Direction,
        target: Letters,
        value: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Guard> {
        let text = unescape(value).ok_or(EXPECTED)?;
        let converted = target.apply(&text);
        // Some letters have no single partner (`ß` becomes `SS`): those could not be given back either.
        if direction == Direction::Up && (self.old.apply(&text) != *text || self.old.apply(&converted) != *text) {
            return Err(self.wrong_case());
        }
        write_string(&converted, out);
        Ok(())
    }

    #[cold]
    fn wrong_case(self) -> Guard {
        format!("expected text in {} case", self.old.name()).into()
    }
}

const EXPECTED: Guard = Guard::Borrowed("expected a string");
