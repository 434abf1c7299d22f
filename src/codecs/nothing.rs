//! `nothing: [old, new]`

use super::argument::Arguments;
use super::value::same;
use super::{Direction, Guard, Info};
use crate::rules::yaml::Node;

pub(super) const INFO: Info = Info {
    name: "nothing",
    options: &[],
    places: (1, 1),
    manual: "\
`nothing: [old, new]` is how each side writes that there is no value: `null`, `absent`, or a value such as `\"\"`, `[]`
or `0`. Every other value stays as it is.

```yaml
- note = note: {nothing: [null, absent]}        # null <-> absent
- ends = ends_at: {nothing: [\"\", null]}         # \"\" <-> null
```

* up: the old nothing becomes the new one. down: the new one becomes the old one.
* a value that is the other side's nothing, but not its own side's, is refused: it could not be told apart. An absent
  value stays absent instead, and so does null where the two are `null` and `absent` and it is the new value.
* in a PATCH absent says nothing of the value. Where `absent` is the new nothing, null is written.

Old-exact, but for absent old values where `absent` is the new nothing alone. The rule takes no `default:` where one of
the two is `absent`.
",
};

/// How one side writes that there is no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Empty {
    /// It leaves the value out.
    Absent,
    /// This value, as JSON text.
    Value(String),
}

/// No value, in the words of both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nothing {
    /// The old side's.
    pub old: Empty,
    /// The new side's.
    pub new: Empty,
}

impl Nothing {
    pub(super) fn parse(arguments: &mut Arguments<'_>) -> Option<Self> {
        const HELP: &str = "write for example `nothing: [null, absent]`";
        let [old, new] = arguments.pair(HELP)?;
        let (old, new) = (empty(arguments, old)?, empty(arguments, new)?);
        if old == new {
            return arguments.refuse(arguments.own.span, "both sides write nothing alike", HELP);
        }
        if let (true, Some(node)) = ([&old, &new].contains(&&Empty::Absent), arguments.option("default")) {
            let help = "leave `default` out: `nothing` says what absent becomes";
            return arguments.refuse(node.span, "a default beside `absent`", help);
        }
        Some(Self { old, new })
    }

    /// Whether null means more than null to it.
    pub(super) fn concerns_null(&self) -> bool {
        [&self.old, &self.new].into_iter().any(|side| *side == Empty::Value("null".to_owned()))
    }

    /// Whether an absent old value comes back as the old side's word for nothing.
    pub(super) fn fills_in(&self) -> bool {
        self.new == Empty::Absent
    }

    pub(super) fn convert(&self, direction: Direction, value: Option<&[u8]>, out: &mut Vec<u8>) -> Result<bool, Guard> {
        let (from, to) = direction.order(&self.old, &self.new);
        if from.is(value) {
            return Ok(match to {
                Empty::Absent => false,
                Empty::Value(json) => {
                    out.extend_from_slice(json.as_bytes());
                    true
                }
            });
        }
        let Some(raw) = value else { return Ok(false) };
        let is_plain_null = direction == Direction::Down && raw == b"null" && *from == Empty::Absent;
        if to.is(value) && !is_plain_null {
            return Err("expected a value that does not mean nothing on the other side".into());
        }
        out.extend_from_slice(raw);
        Ok(true)
    }
}

impl Empty {
    fn is(&self, value: Option<&[u8]>) -> bool {
        match (self, value) {
            (Self::Absent, None) => true,
            (Self::Value(json), Some(raw)) => {
                // Only numbers and escaped texts have several spellings that begin unlike.
                let first = |text: &[u8]| text.first().map(|byte| if byte.is_ascii_digit() { b'-' } else { *byte });
                first(json.as_bytes()) == first(raw) && same(json.as_bytes(), raw)
            }
            _ => false,
        }
    }
}

fn empty(arguments: &mut Arguments<'_>, node: &Node) -> Option<Empty> {
    match arguments.json(node)?.as_str() {
        "\"absent\"" => Some(Empty::Absent),
        json => Some(Empty::Value(json.to_owned())),
    }
}
