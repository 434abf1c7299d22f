//! `split: separator`

use std::borrow::Cow;

use memchr::{memchr, memrchr};

use super::argument::Arguments;
use super::{Direction, Guard, Info, Written};
use crate::json::{plain_inner, unescape, write_string};

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
        if let Some((a, b)) = plain_inner(raw).and_then(|inner| self.cut_plain(inner)) {
            *first = Some(enclose(&[a], out));
            *second = Some(enclose(&[b], out));
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

    /// Cuts a text that needs no escapes, where the separator is one byte and the cut gives two parts.
    fn cut_plain<'t>(&self, text: &'t [u8]) -> Option<(&'t [u8], &'t [u8])> {
        let [separator] = self.separator.as_bytes() else { return None };
        let at = match self.at {
            At::First => memchr(*separator, text)?,
            At::Last => memrchr(*separator, text)?,
        };
        let (a, b) = (text.get(..at)?, text.get(at + 1..)?);
        let usable = !a.is_empty() && !b.is_empty() && Some(b) != self.fill.as_deref().map(str::as_bytes);
        usable.then_some((a, b))
    }

    /// Joins two texts that need no escapes, if both take part and the separator needs none either.
    fn join_plain<'t>(&'t self, a: &'t [u8], b: &'t [u8]) -> Option<[&'t [u8]; 3]> {
        let (a, b) = (plain_inner(a)?, plain_inner(b)?);
        let [separator @ (b' ' | b'!' | b'#'..=b'[' | b']'..)] = self.separator.as_bytes() else { return None };
        let joins = !b.is_empty() && Some(b) != self.fill.as_deref().map(str::as_bytes);
        joins.then_some([a, std::slice::from_ref(separator), b])
    }

    fn down(
        &self,
        first: Option<&[u8]>,
        second: Option<&[u8]>,
        whole: &mut Written,
        out: &mut Vec<u8>,
    ) -> Result<(), Guard> {
        if let (Some(a), Some(b)) = (first, second)
            && let Some(parts) = self.join_plain(a, b)
        {
            *whole = Some(enclose(&parts, out));
            return Ok(());
        }
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

/// Writes a literal of texts that need no escapes.
fn enclose(parts: &[&[u8]], out: &mut Vec<u8>) -> (usize, usize) {
    let start = out.len();
    out.push(b'"');
    for part in parts {
        out.extend_from_slice(part);
    }
    out.push(b'"');
    (start, out.len())
}

fn quote(text: &str, out: &mut Vec<u8>) -> (usize, usize) {
    let start = out.len();
    write_string(text, out);
    (start, out.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(outputs: &[Written], out: &[u8]) -> Vec<Option<String>> {
        let text = |(start, end)| String::from_utf8_lossy(out.get(start..end).unwrap_or_default()).into_owned();
        outputs.iter().map(|written| written.map(text)).collect()
    }

    /// An escape changes the spelling of a text and not what becomes of it.
    #[test]
    fn plain_texts_convert_like_escaped_ones() {
        let parts = ["", "a", "-", "a b", " ", "é", "a–b", "a  b c", "/", "\"", "b\\"];
        let literal = |text: &str| {
            let mut literal = Vec::new();
            write_string(text, &mut literal);
            literal
        };
        let escaped = |text: &str| {
            let mut escaped = literal(text);
            if let Some(first) = text.bytes().next().filter(u8::is_ascii) {
                let behind = match (escaped.get(1), first) {
                    (Some(b'\\'), 0..0x20) => 7,
                    (Some(b'\\'), _) => 3,
                    _ => 2,
                };
                escaped.splice(1..behind, format!("\\u{first:04x}").into_bytes());
            }
            escaped
        };
        let separators = [" ", "-", "\"", "\\", "–", "  ", "\u{1}"];
        for (separator, at) in
            separators.into_iter().flat_map(|separator| [(separator, At::First), (separator, At::Last)])
        {
            for fill in [None, Some("-".to_owned()), Some(String::new())] {
                let split = Split { separator: separator.into(), at, fill };
                let convert = |direction, inputs: &[Option<&[u8]>], count: usize| {
                    let (mut outputs, mut out) = (vec![None; count], Vec::new());
                    split.convert(direction, inputs, &mut outputs, &mut out).unwrap();
                    texts(&outputs, &out)
                };
                for (a, b) in parts.into_iter().flat_map(|a| parts.map(|b| (a, b))) {
                    let whole = format!("{a}{separator}{b}");
                    let plain = convert(Direction::Up, &[Some(&literal(&whole))], 2);
                    let same = convert(Direction::Up, &[Some(&escaped(&whole))], 2);
                    let value = |text: &Option<String>| {
                        text.as_ref().map(|text| unescape(text.as_bytes()).unwrap().into_owned())
                    };
                    assert!(plain.iter().map(value).eq(same.iter().map(value)), "{whole:?} {plain:?} {same:?}");
                    let plain = convert(Direction::Down, &[Some(&literal(a)), Some(&literal(b))], 1);
                    let same = convert(Direction::Down, &[Some(&escaped(a)), Some(&escaped(b))], 1);
                    assert!(plain.iter().map(value).eq(same.iter().map(value)), "{a:?} {b:?} {plain:?} {same:?}");
                }
            }
        }
    }
}
