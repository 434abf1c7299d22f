//! `type: [old, new]`

use super::argument::Arguments;
use super::value::number;
use super::{Direction, Guard, Info};
use crate::json::unescape;

pub(super) const INFO: Info = Info {
    name: "type",
    options: &[],
    places: (1, 1),
    manual: "\
`type: [string, integer]` gives a scalar another JSON type; the types are `string`, `integer`, `number` and `boolean`,
and one of the two is `string`. `type: [number, integer]` joins two spellings of whole numbers.

```yaml
- total_count = meta.total: {type: [string, integer]}     # \"17\" <-> 17
- created = created_at: {type: [number, integer]}         # 1575317847.0 -> 1575317847
```

Only canonical text converts, so that it can be given back: `\"007\"`, `\"1.0\"` and `\"+1\"` are not integers. A `number`
keeps its spelling both ways: `\"1.10\"` <-> `1.10`.

Under `[number, integer]` a number that is not whole is refused on the way up, and the way down leaves the integer as it
is: the same value, if not the same spelling.
",
};

/// A scalar's JSON type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scalar {
    /// A string.
    String,
    /// A number without fraction or exponent.
    Integer,
    /// Any number; its text is kept.
    Number,
    /// `true` or `false`.
    Boolean,
}

impl Scalar {
    /// Its word in a rule, which is JSON Schema's.
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }

    /// Whether a text is this type's canonical spelling. Any text is a string.
    fn spells(self, text: &[u8]) -> bool {
        match self {
            Self::String => true,
            Self::Boolean => matches!(text, b"true" | b"false"),
            Self::Integer => {
                let digits = text.strip_prefix(b"-").unwrap_or(text);
                let leading = digits.first() == Some(&b'0');
                !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) && (!leading || text == b"0")
            }
            Self::Number => std::str::from_utf8(text).is_ok_and(|text| crate::json::Decimal::parse(text).is_some()),
        }
    }
}

/// A scalar in two JSON types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Type {
    /// The old side's type.
    pub old: Scalar,
    /// The new side's type.
    pub new: Scalar,
}

impl Type {
    pub(super) fn parse(arguments: &mut Arguments<'_>) -> Option<Self> {
        let help =
            "write for example `type: [string, integer]`; one of the two is `string`, or they are `[number, integer]`";
        let nodes = arguments.pair(help)?;
        let [old, new] = nodes.map(|node| match node.as_str() {
            Some("string") => Ok(Scalar::String),
            Some("integer") => Ok(Scalar::Integer),
            Some("number") => Ok(Scalar::Number),
            Some("boolean") => Ok(Scalar::Boolean),
            _ => Err(node.span),
        });
        match (old, new) {
            (Err(span), _) | (_, Err(span)) => {
                arguments.refuse(span, "not a scalar type", "the types are `string`, `integer`, `number`, `boolean`")
            }
            (Ok(Scalar::Number), Ok(Scalar::Integer)) => Some(Self { old: Scalar::Number, new: Scalar::Integer }),
            (Ok(old), Ok(new)) if (old == Scalar::String) == (new == Scalar::String) => {
                arguments.refuse(arguments.own.span, "exactly one of the two types must be `string`", help)
            }
            (Ok(old), Ok(new)) => Some(Self { old, new }),
        }
    }

    pub(super) fn convert(self, direction: Direction, value: &[u8], out: &mut Vec<u8>) -> Result<(), Guard> {
        let (source, target) = direction.order(self.old, self.new);
        if (self.old, self.new) == (Scalar::Number, Scalar::Integer) {
            return whole(direction, value, out);
        }
        let guard = |expected: &str| Guard::from(format!("expected {expected}"));
        if source == Scalar::String {
            let expected = || guard(&format!("a string that spells one {} in its plainest form", target.name()));
            let text = unescape(value).ok_or_else(expected)?;
            if !target.spells(text.as_bytes()) {
                return Err(expected());
            }
            out.extend_from_slice(text.as_bytes());
        } else {
            if !source.spells(value) {
                return Err(guard(&format!("one {} in its plainest form", source.name())));
            }
            out.push(b'"');
            out.extend_from_slice(value);
            out.push(b'"');
        }
        Ok(())
    }
}

/// A whole number in its plainest spelling on the way up, and as it stands on the way down.
fn whole(direction: Direction, value: &[u8], out: &mut Vec<u8>) -> Result<(), Guard> {
    let number = number(value)?;
    match number.to_text().filter(|_| number.is_whole()) {
        None => return Err("expected a whole number".into()),
        Some(text) if direction == Direction::Up => out.extend_from_slice(text.as_bytes()),
        Some(_) => out.extend_from_slice(value),
    }
    Ok(())
}
