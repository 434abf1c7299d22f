//! `head: true`

use super::argument::Arguments;
use super::{Direction, Guard, Info};
use crate::json::Tree;

pub(super) const INFO: Info = Info {
    name: "head",
    options: &["empty", "optional"],
    places: (1, 1),
    manual: "\
`head: true` joins an old value and a new list whose first element it is.

```yaml
- phone = phones: {head: true}        # \"555\" <-> [\"555\"], null <-> []
```

* up: a value becomes a list of one; absent and null become the empty list.
* down: the first element; `empty:` (default null) where the list is empty or absent.
* with `optional: true` absent stays absent, both ways, as parts of documents (PATCH) need it.

Old-exact. A write-back keeps the list's tail as long as the old value is unchanged.
",
};

/// An old value and the new list it heads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The old value of an empty list, as JSON text; `None`: null.
    pub empty: Option<String>,
    /// Absent stays absent.
    pub optional: bool,
}

impl Head {
    pub(super) fn parse(arguments: &mut Arguments<'_>) -> Option<Self> {
        arguments.switch("head")?;
        let empty = match arguments.option("empty") {
            Some(node) => Some(arguments.json(node)?),
            None => None,
        };
        let optional = match arguments.option("optional").map(|node| (node, node.as_bool())) {
            None => false,
            Some((_, Some(optional))) => optional,
            Some((node, None)) => {
                return arguments.refuse(node.span, "`optional` is not a boolean", "write `optional: true`");
            }
        };
        Some(Self { empty, optional })
    }

    /// The old value of an empty list.
    pub fn empty(&self) -> &str {
        self.empty.as_deref().unwrap_or("null")
    }

    pub(super) fn convert(&self, direction: Direction, value: Option<&[u8]>, out: &mut Vec<u8>) -> Result<bool, Guard> {
        if self.optional && value.is_none() {
            return Ok(false);
        }
        let value = value.filter(|raw| *raw != b"null");
        match (direction, value) {
            (Direction::Up, None) => out.extend_from_slice(b"[]"),
            (Direction::Up, Some(raw)) if self.is_empty_value(raw) => out.extend_from_slice(b"[]"),
            (Direction::Up, Some(raw)) => {
                out.push(b'[');
                out.extend_from_slice(raw);
                out.push(b']');
            }
            (Direction::Down, None) => out.extend_from_slice(self.empty().as_bytes()),
            (Direction::Down, Some(raw)) => match first_element(raw) {
                First::Element(element) => out.extend_from_slice(element),
                First::Empty => out.extend_from_slice(self.empty().as_bytes()),
                First::NotAList => return Err("expected a list".into()),
            },
        }
        Ok(true)
    }

    /// Whether an old value is the one that stands for the empty list, so that it goes back to it.
    fn is_empty_value(&self, raw: &[u8]) -> bool {
        self.empty.as_ref().is_some_and(|empty| {
            let depth = crate::json::MAX_DEPTH;
            match (Tree::parse(empty.as_bytes(), depth), Tree::parse(raw, depth)) {
                (Ok(empty), Ok(raw)) => empty.same(&raw),
                _ => false,
            }
        })
    }
}

enum First<'a> {
    Element(&'a [u8]),
    Empty,
    NotAList,
}

/// The first element of a list that a scanner has accepted.
fn first_element(raw: &[u8]) -> First<'_> {
    if raw.first() != Some(&b'[') {
        return First::NotAList;
    }
    let mut scanner = crate::json::Scanner::new(raw, crate::json::MAX_DEPTH);
    scanner.at = 1;
    scanner.skip_space();
    let start = scanner.at;
    if scanner.peek() == b']' || scanner.skip_value(1).is_err() {
        return First::Empty;
    }
    First::Element(raw.get(start..scanner.at).unwrap_or_default())
}
