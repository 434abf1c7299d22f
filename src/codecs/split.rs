//! `split: separator`

use std::borrow::Cow;

use super::argument::Arguments;
use super::{Direction, Guard, Info, Written};
use crate::json::{unescape, write_string};

pub(super) const INFO: Info = Info {
    name: "split",
    options: &["at", "fill"],
    places: (1, 2),
    manual: "\
`split: sep` joins one old text and two new ones.

```yaml
- name = first_name + last_name: {split: \" \", at: last, fill: \"-\"}    # Mary Ann Smith <-> Mary Ann + Smith
```

* `at: first` (default) or `last`: which separator cuts.
* up: cut there. If a part would be empty, or the second would be `fill`, the whole text goes into the first place and
  `fill` (or nothing) into the second.
* down: join what is neither empty nor `fill`.

Old-exact for every text. Not new-exact where the part behind the cut holds the separator; a write-back keeps such
parts as long as the old text is unchanged.
",
};

/// Which separator cuts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// The first.
    First,
    /// The last.
    Last,
}

/// One old text and two new ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// What stands between the parts; not empty.
    pub separator: String,
    /// Which occurrence cuts.
    pub at: At,
    /// The second part where there is none.
    pub fill: Option<String>,
}

impl Split {
    pub(super) fn parse(arguments: &mut Arguments<'_>) -> Option<Self> {
        let own = arguments.own;
        let Some(separator) = own.as_str().filter(|text| !text.is_empty()) else {
            return arguments.refuse(own.span, "`split` takes the separator", "for example `split: \" \"`");
        };
        let at = match arguments.option("at").map(|node| (node, node.as_str())) {
            None | Some((_, Some("first"))) => At::First,
            Some((_, Some("last"))) => At::Last,
            Some((node, _)) => {
                return arguments.refuse(node.span, "`at` is not a side", "write `at: first` or `at: last`");
            }
        };
        let fill = match arguments.option("fill").map(|node| (node, node.as_str())) {
            None => None,
            Some((_, Some(text))) => Some(text.to_owned()),
            Some((node, None)) => {
                return arguments.refuse(node.span, "`fill` is not a text", "for example `fill: \"-\"`");
            }
        };
        Some(Self { separator: separator.to_owned(), at, fill })
    }

    pub(super) fn convert(
        &self,
        direction: Direction,
        inputs: &[Option<&[u8]>],
        outputs: &mut [Written],
        out: &mut Vec<u8>,
    ) -> Result<(), Guard> {
        match (direction, inputs, outputs) {
            (Direction::Up, [whole], [first, second]) => self.up(*whole, first, second, out),
            (Direction::Down, [first, second], [whole]) => self.down(*first, *second, whole, out),
            _ => Err("expected one place on the old side and two on the new".into()),
        }
    }

    fn up(
        &self,
        whole: Option<&[u8]>,
        first: &mut Written,
        second: &mut Written,
        out: &mut Vec<u8>,
    ) -> Result<(), Guard> {
        let Some(raw) = whole else { return Ok(()) };
        if raw == b"null" {
            *first = Some(copy(raw, out));
            *second = *first;
            return Ok(());
        }
        let text = unescape(raw).ok_or(EXPECTED)?;
        let cut = match self.at {
            At::First => text.split_once(self.separator.as_str()),
            At::Last => text.rsplit_once(self.separator.as_str()),
        };
        let usable = |(a, b): &(&str, &str)| !a.is_empty() && !b.is_empty() && Some(*b) != self.fill.as_deref();
        if let Some((a, b)) = cut.filter(usable) {
            *first = Some(quote(a, out));
            *second = Some(quote(b, out));
        } else {
            *first = Some(copy(raw, out));
            *second = self.fill.as_deref().map(|fill| quote(fill, out));
        }
        Ok(())
    }

    fn down(
        &self,
        first: Option<&[u8]>,
        second: Option<&[u8]>,
        whole: &mut Written,
        out: &mut Vec<u8>,
    ) -> Result<(), Guard> {
        let a = read(first)?;
        let b = read(second)?.filter(|b| !b.is_empty() && Some(&**b) != self.fill.as_deref());
        *whole = match (a, b) {
            (Some(a), Some(b)) => {
                let start = out.len();
                out.push(b'"');
                for part in [&*a, &self.separator, &*b] {
                    crate::json::write_escaped(part, out);
                }
                out.push(b'"');
                Some((start, out.len()))
            }
            (Some(_), None) => first.map(|raw| copy(raw, out)),
            (None, Some(_)) => second.map(|raw| copy(raw, out)),
            (None, None) => first.map(|raw| copy(raw, out)),
        };
        Ok(())
    }
}

const EXPECTED: Guard = Guard::Borrowed("expected a string");

fn read(raw: Option<&[u8]>) -> Result<Option<Cow<'_, str>>, Guard> {
    match raw.filter(|raw| *raw != b"null") {
        Some(raw) => unescape(raw).map(Some).ok_or(EXPECTED),
        None => Ok(None),
    }
}

fn copy(raw: &[u8], out: &mut Vec<u8>) -> (usize, usize) {
    let start = out.len();
    out.extend_from_slice(raw);
    (start, out.len())
}

fn quote(text: &str, out: &mut Vec<u8>) -> (usize, usize) {
    let start = out.len();
    write_string(text, out);
    (start, out.len())
}
