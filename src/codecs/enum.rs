//! `enum: {old: new}` or `enum: [[old, new], …]`

use super::argument::Arguments;
use super::{Direction, Guard, Info};
use crate::json::{MAX_DEPTH, Tree};

pub(super) const INFO: Info = Info {
    name: "enum",
    options: &["else", "others"],
    places: (1, 1),
    manual: "\
`enum:` is a table of values. The map form is one to one; the row form may repeat a value, and the first row wins.

```yaml
- state = status: {enum: {open: OPEN, closed: DONE}}
- state = status: {enum: [[open, OPEN], [closed, DONE], [closed, CANCELLED]]}
```

* up: the first row with that old value; down: the first row with that new value.
* a value in no row is refused, unless `else: old` (or `else: [old, new]`) names what it becomes, or `others: pass` lets it
  through as it is (unless it is a value of the other side's, which would come back as another).

Old-exact if every old value comes back as itself. New values that share an old one are kept by a write-back as long as
the old value is unchanged.
",
};

/// A table of values, each as JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enum {
    /// Old and new value of each row.
    pub rows: Vec<(String, String)>,
    /// Whether it was written as a map, and so must be one to one.
    pub is_map: bool,
    /// What a new value without row becomes on the way down.
    pub else_old: Option<String>,
    /// What an old value without row becomes on the way up.
    pub else_new: Option<String>,
    /// Values in no row pass as they are.
    pub passes: bool,
}

impl Enum {
    pub(super) fn parse(arguments: &mut Arguments<'_>) -> Option<Self> {
        let own = arguments.own;
        let mut rows = Vec::new();
        let is_map = own.as_map().is_some();
        if let Some(members) = own.as_map() {
            for (old, new) in members {
                rows.push((arguments.json(old)?, arguments.json(new)?));
            }
        } else if let Some(list) = own.as_list() {
            for row in list {
                let Some([old, new]) = row.as_list() else {
                    return arguments.refuse(row.span, "not a row", "write rows as `[old, new]`");
                };
                rows.push((arguments.json(old)?, arguments.json(new)?));
            }
        }
        if rows.is_empty() {
            let help = "write `enum: {old: new}` or `enum: [[old, new], …]`";
            return arguments.refuse(own.span, "`enum` needs at least one row", help);
        }
        let (else_old, else_new) = match arguments.option("else") {
            None => (None, None),
            Some(node) => match node.as_list() {
                Some([old, new]) => (Some(arguments.json(old)?), Some(arguments.json(new)?)),
                Some(_) => return arguments.refuse(node.span, "not a pair", "write `else: old` or `else: [old, new]`"),
                None => (Some(arguments.json(node)?), None),
            },
        };
        let passes = match arguments.option("others").map(|node| (node, node.as_str())) {
            None => false,
            Some((_, Some("pass"))) => true,
            Some((node, _)) => {
                return arguments.refuse(node.span, "not a word for other values", "write `others: pass`");
            }
        };
        Some(Self { rows, is_map, else_old, else_new, passes })
    }

    pub(super) fn convert(&self, direction: Direction, value: &[u8], out: &mut Vec<u8>) -> Result<(), Guard> {
        if self.passes && self.find(direction, value).is_none() && self.find(direction.reverse(), value).is_none() {
            out.extend_from_slice(value);
            return Ok(());
        }
        let text = self.lookup(direction, value).ok_or(Guard::Borrowed("expected one of the values in the table"))?;
        out.extend_from_slice(text.as_bytes());
        Ok(())
    }

    /// What a value becomes, as JSON text; `None` where no row and no `else` has it.
    pub fn lookup(&self, direction: Direction, value: &[u8]) -> Option<&str> {
        let fallback = match direction {
            Direction::Up => &self.else_new,
            Direction::Down => &self.else_old,
        };
        self.find(direction, value).or(fallback.as_deref())
    }

    fn find(&self, direction: Direction, value: &[u8]) -> Option<&str> {
        let row = self.rows.get(self.row(direction, value)?)?;
        Some(directed(row, direction).1)
    }

    /// The index of the row that has a value.
    pub(crate) fn row(&self, direction: Direction, value: &[u8]) -> Option<usize> {
        if let Some(row) = self.rows.iter().position(|row| directed(row, direction).0.as_bytes() == value) {
            return Some(row);
        }
        // Another spelling of the same value: an escape in a string, `1.0` for `1`.
        if value.first() == Some(&b'"') && !value.contains(&b'\\') {
            return None;
        }
        self.find_spelled(direction, value)
    }

    #[inline(never)]
    fn find_spelled(&self, direction: Direction, value: &[u8]) -> Option<usize> {
        let value = Tree::parse(value, MAX_DEPTH).ok()?;
        let is_same = |from: &str| Tree::parse(from.as_bytes(), MAX_DEPTH).is_ok_and(|from| from.same(&value));
        self.rows.iter().position(|row| is_same(directed(row, direction).0))
    }
}

/// A row as (from, to).
fn directed((old, new): &(String, String), direction: Direction) -> (&str, &str) {
    direction.order(old, new)
}
