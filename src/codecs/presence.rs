//! `presence: value`

use super::argument::Arguments;
use super::{Direction, Guard, Info};

pub(super) const INFO: Info = Info {
    name: "presence",
    options: &[],
    places: (1, 1),
    manual: "\
`presence: value` joins an old boolean and a new value that is there or not.

```yaml
- gzip = compression: {presence: {level: 6}}        # true <-> {\"level\": 6}, false <-> absent
```

* up: true becomes the value; false becomes absent (null in a PATCH, which takes the value away).
* down: anything but null is true; absent and null are false. Null on the old side is refused.

Old-exact, but for absent old values, which come back as false. The rule takes no `default:`. A write-back keeps the
new value as long as the old one is unchanged.
",
};

/// A boolean, and a value that is there or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    /// What true becomes, as JSON text; not null.
    pub value: String,
}

impl Presence {
    pub(super) fn parse(arguments: &mut Arguments<'_>) -> Option<Self> {
        let own = arguments.own;
        let value = arguments.json(own)?;
        if value == "null" {
            let help = "write what true becomes, for example `presence: {}`";
            return arguments.refuse(own.span, "null is the same as nothing here", help);
        }
        if let Some(node) = arguments.option("default") {
            let help = "absent means false already: leave `default` out";
            return arguments.refuse(node.span, "a default would turn false into true", help);
        }
        Some(Self { value })
    }

    pub(super) fn convert(&self, direction: Direction, value: Option<&[u8]>, out: &mut Vec<u8>) -> Result<bool, Guard> {
        match (direction, value) {
            (Direction::Up, None | Some(b"false")) => return Ok(false),
            (Direction::Up, Some(b"true")) => out.extend_from_slice(self.value.as_bytes()),
            (Direction::Up, Some(_)) => return Err("expected a boolean".into()),
            (Direction::Down, None | Some(b"null")) => out.extend_from_slice(b"false"),
            (Direction::Down, Some(_)) => out.extend_from_slice(b"true"),
        }
        Ok(true)
    }
}
