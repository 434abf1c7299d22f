//! `prefix: p` or `prefix: [old, new]`

use super::argument::Arguments;
use super::value::text;
use super::{Direction, Guard, Info};
use crate::json::write_string;

pub(super) const INFO: Info = Info {
    name: "prefix",
    options: &[],
    places: (1, 1),
    manual: "\
`prefix: p` is a text that begins with `p` on the old side and goes without it on the new one; `prefix: [p, q]` begins
with `p` on the old side and with `q` on the new one.

```yaml
- id = number: {prefix: \"ord-\"}                   # \"ord-17\" <-> \"17\"
- ref = ref: {prefix: [\"order:\", \"orders/\"]}      # \"order:17\" <-> \"orders/17\"
```

A text without its side's prefix is refused. Exact in both directions.
",
};

/// What a text begins or ends with, by side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Affix {
    /// The old side's.
    pub old: String,
    /// The new side's; empty for none.
    pub new: String,
}

/// Where an affix stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Edge {
    Start,
    End,
}

impl Affix {
    pub(super) fn parse(name: &str, arguments: &mut Arguments<'_>) -> Option<Self> {
        let own = arguments.own;
        let texts = match own.as_list() {
            None => own.as_str().map(|old| (old, "")),
            Some([old, new]) => old.as_str().zip(new.as_str()),
            Some(_) => None,
        };
        match texts {
            Some((old, new)) if !(old.is_empty() && new.is_empty()) => {
                Some(Self { old: old.to_owned(), new: new.to_owned() })
            }
            _ => arguments.refuse(
                own.span,
                format!("`{name}` takes a text, or a list of the old one and the new one"),
                format!("for example `{name}: \"x-\"` or `{name}: [\"a-\", \"b-\"]`"),
            ),
        }
    }

    pub(super) fn convert(
        &self,
        edge: Edge,
        direction: Direction,
        value: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Guard> {
        let (from, to) = direction.order(&self.old, &self.new);
        let text = text(value)?;
        let (inner, word) = match edge {
            Edge::Start => (text.strip_prefix(from.as_str()), "begins"),
            Edge::End => (text.strip_suffix(from.as_str()), "ends"),
        };
        let inner = inner.ok_or_else(|| Guard::from(format!("expected text that {word} with `{from}`")))?;
        let written = match edge {
            Edge::Start => format!("{to}{inner}"),
            Edge::End => format!("{inner}{to}"),
        };
        write_string(&written, out);
        Ok(())
    }
}

/// What a text begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix(pub Affix);

impl Prefix {
    pub(super) fn parse(arguments: &mut Arguments<'_>) -> Option<Self> {
        Affix::parse("prefix", arguments).map(Self)
    }

    pub(super) fn convert(&self, direction: Direction, value: &[u8], out: &mut Vec<u8>) -> Result<(), Guard> {
        self.0.convert(Edge::Start, direction, value, out)
    }
}
