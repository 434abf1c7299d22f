//! `csv: separator`

use super::argument::Arguments;
use super::value::text;
use super::{Direction, Guard, Info};
use crate::json::{MAX_DEPTH, Tree, separate, write_string};

pub(super) const INFO: Info = Info {
    name: "csv",
    options: &["quotes", "wrap"],
    places: (1, 1),
    manual: "\
`csv: sep` joins an old text and a new list of the texts between its separators. The empty text is the empty list.

```yaml
- tags = labels: {csv: \",\"}                                    # \"a,b\" <-> [\"a\", \"b\"]
- tags = labels: {csv: \",\", wrap: [\"{\", \"}\"], quotes: true}    # '{a,\"b,c\"}' <-> [\"a\", '\"b,c\"']
```

* `wrap: [before, after]`: the old text stands between these.
* `quotes: true`: a separator between double quotes does not separate. The quotes stay a part of their element.
* up: split at every separator. down: join.
* a list that would not come back is refused: an element that holds the separator, one empty element alone.

Old-exact for every text.
",
};

/// A text and the list of its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Csv {
    /// What stands between two elements; not empty.
    pub separator: String,
    /// Whether double quotes protect separators.
    pub quotes: bool,
    /// What stands before and behind all of them.
    pub wrap: (String, String),
}

impl Csv {
    pub(super) fn parse(arguments: &mut Arguments<'_>) -> Option<Self> {
        let own = arguments.own;
        let quotes = match arguments.option("quotes").map(|node| (node, node.as_bool())) {
            None => false,
            Some((_, Some(quotes))) => quotes,
            Some((node, None)) => return arguments.refuse(node.span, "`quotes` is not a boolean", "`quotes: true`"),
        };
        let wrap = match arguments.option("wrap").map(|node| (node, node.as_list())) {
            None => (String::new(), String::new()),
            Some((node, list)) => match list.map(|list| list.iter().map(|one| one.as_str()).collect::<Vec<_>>()) {
                Some(texts) if matches!(texts.as_slice(), [Some(_), Some(_)]) => {
                    let mut texts = texts.into_iter().flatten().map(str::to_owned);
                    (texts.next().unwrap_or_default(), texts.next().unwrap_or_default())
                }
                _ => {
                    return arguments.refuse(node.span, "`wrap` takes two texts", "for example `wrap: [\"{\", \"}\"]`");
                }
            },
        };
        match own.as_str() {
            Some(separator) if !(separator.is_empty() || (quotes && separator.contains('"'))) => {
                Some(Self { separator: separator.to_owned(), quotes, wrap })
            }
            _ => arguments.refuse(own.span, "`csv` takes the separator", "for example `csv: \",\"`"),
        }
    }

    pub(super) fn convert(&self, direction: Direction, value: &[u8], out: &mut Vec<u8>) -> Result<(), Guard> {
        match direction {
            Direction::Up => self.up(value, out),
            Direction::Down => self.down(value, out),
        }
    }

    fn up(&self, value: &[u8], out: &mut Vec<u8>) -> Result<(), Guard> {
        let text = text(value)?;
        let (before, after) = &self.wrap;
        let inner = text.strip_prefix(before.as_str()).and_then(|rest| rest.strip_suffix(after.as_str()));
        let inner = inner.ok_or_else(|| Guard::from(format!("expected text between `{before}` and `{after}`")))?;
        out.push(b'[');
        for element in self.split(inner) {
            separate(out);
            write_string(element, out);
        }
        out.push(b']');
        Ok(())
    }

    fn down(&self, value: &[u8], out: &mut Vec<u8>) -> Result<(), Guard> {
        const EXPECTED: Guard = Guard::Borrowed("expected a list of texts");
        let tree = Tree::parse(value, MAX_DEPTH).map_err(|_| EXPECTED)?;
        // A query says one text and a list of one alike.
        let single = tree.text().is_some().then_some(std::slice::from_ref(&tree));
        let elements = tree.elements().or(single).ok_or(EXPECTED)?.iter().map(Tree::text).collect::<Option<Vec<_>>>();
        let elements = elements.ok_or(EXPECTED)?;
        let inner = elements.join(self.separator.as_str());
        if self.split(&inner) != elements {
            return Err("expected elements without the separator, and more than one empty one".into());
        }
        write_string(&[self.wrap.0.as_str(), &inner, &self.wrap.1].concat(), out);
        Ok(())
    }

    fn split<'t>(&self, inner: &'t str) -> Vec<&'t str> {
        if inner.is_empty() {
            return Vec::new();
        }
        if !self.quotes {
            return inner.split(self.separator.as_str()).collect();
        }
        let mut elements = Vec::new();
        let (mut start, mut at, mut is_quoted) = (0, 0, false);
        while let Some(rest) = inner.get(at..).filter(|rest| !rest.is_empty()) {
            if !is_quoted && rest.starts_with(self.separator.as_str()) {
                elements.push(inner.get(start..at).unwrap_or_default());
                at += self.separator.len();
                start = at;
                continue;
            }
            is_quoted ^= rest.starts_with('"');
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
        elements.push(inner.get(start..).unwrap_or_default());
        elements
    }
}
