//! `template: [old, new]`

use super::argument::Arguments;
use super::value::text;
use super::{Direction, Guard, Info};
use crate::json::write_string;
use crate::rules::yaml::Node;

pub(super) const INFO: Info = Info {
    name: "template",
    options: &[],
    places: (1, 1),
    manual: "\
`template: [old, new]` reads a text by one pattern and writes it by the other. `{name}` stands for any text that is not
empty, `{name:digits}` for digits, `{name:word}` for letters, digits, `_` and `-`. Both patterns have the same names,
each once.

```yaml
- topic = name: {template: [\"/topics/{t}\", \"{t}\"]}                                # \"/topics/a\" <-> \"a\"
- ref = id: {template: [\"{shop:word}/{order:digits}\", \"{order:digits}@{shop:word}\"]}   # \"x/17\" <-> \"17@x\"
```

* a hole ends where the text behind it in the pattern comes first; the last hole of a pattern takes what is left.
* a text that does not fit is refused, and so is one whose new form would be read otherwise.

Exact in both directions.
",
};

/// The most holes of a pattern.
const MAX_HOLES: usize = 16;

/// What may stand in a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fits {
    /// Any text that is not empty.
    Any,
    /// ASCII digits.
    Digits,
    /// ASCII letters, digits, `_`, `-`.
    Word,
}

/// A pattern: a text, then holes, each with the text behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// What the pattern begins with.
    pub start: String,
    /// Name, contents and the text behind.
    pub holes: Vec<(String, Fits, String)>,
}

/// A text by two patterns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// The old side's.
    pub old: Pattern,
    /// The new side's.
    pub new: Pattern,
}

impl Template {
    pub(super) fn parse(arguments: &mut Arguments<'_>) -> Option<Self> {
        let [old_node, new_node] = arguments.pair("write for example `template: [\"/topics/{t}\", \"{t}\"]`")?;
        let (old, new) = (Pattern::parse(arguments, old_node)?, Pattern::parse(arguments, new_node)?);
        let names = |pattern: &Pattern| {
            let mut names: Vec<_> = pattern.holes.iter().map(|(name, ..)| name.clone()).collect();
            names.sort_unstable();
            names
        };
        if names(&old) != names(&new) {
            let help = "each name stands once in the old pattern and once in the new one";
            return arguments.refuse(arguments.own.span, "the patterns have different names", help);
        }
        Some(Self { old, new })
    }

    pub(super) fn convert(&self, direction: Direction, value: &[u8], out: &mut Vec<u8>) -> Result<(), Guard> {
        let (from, to) = direction.order(&self.old, &self.new);
        let text = text(value)?;
        let found = from.read(&text).ok_or("expected text in the rule's pattern")?;
        let written = to.print(&found);
        let mut again = to.read(&written).unwrap_or_default();
        let mut found = found;
        found.sort_unstable();
        again.sort_unstable();
        if found != again {
            return Err("expected text whose parts the other pattern can tell apart".into());
        }
        write_string(&written, out);
        Ok(())
    }
}

impl Pattern {
    fn parse(arguments: &mut Arguments<'_>, node: &Node) -> Option<Self> {
        const HELP: &str = "for example `\"/topics/{t}\"` or `\"{shop:word}/{order:digits}\"`";
        let mut parts = node.as_str().unwrap_or_default().split('{');
        let mut pattern = Self { start: parts.next().unwrap_or_default().to_owned(), holes: Vec::new() };
        for part in parts {
            let hole = part.split_once('}').and_then(|(hole, behind)| {
                let (name, fits) = hole.split_once(':').unwrap_or((hole, ""));
                let fits = match fits {
                    "" => Fits::Any,
                    "digits" => Fits::Digits,
                    "word" => Fits::Word,
                    _ => return None,
                };
                let is_name = !name.is_empty() && Fits::Word.allows(name);
                is_name.then(|| (name.to_owned(), fits, behind.to_owned()))
            });
            let Some(hole) = hole else { return arguments.refuse(node.span, "not a hole of a pattern", HELP) };
            if pattern.holes.iter().any(|(name, ..)| *name == hole.0) {
                return arguments.refuse(node.span, format!("`{{{}}}` stands twice", hole.0), HELP);
            }
            if pattern.holes.last().is_some_and(|(.., behind)| behind.is_empty()) {
                let help = "put a text between them that tells where one ends";
                return arguments.refuse(node.span, "two holes without a text between them", help);
            }
            pattern.holes.push(hole);
        }
        let stray = pattern.holes.iter().any(|(.., behind)| behind.contains('}')) || pattern.start.contains('}');
        if pattern.holes.is_empty() || pattern.holes.len() > MAX_HOLES || stray {
            return arguments.refuse(node.span, format!("expected a pattern with 1 to {MAX_HOLES} holes"), HELP);
        }
        Some(pattern)
    }

    /// The texts in the holes, by name.
    fn read<'t>(&self, text: &'t str) -> Option<Vec<(&str, &'t str)>> {
        let mut rest = text.strip_prefix(self.start.as_str())?;
        let mut found = Vec::with_capacity(self.holes.len());
        for (index, (name, fits, behind)) in self.holes.iter().enumerate() {
            let is_last = index + 1 == self.holes.len();
            let (inner, after) =
                if is_last { (rest.strip_suffix(behind.as_str())?, "") } else { rest.split_once(behind.as_str())? };
            if inner.is_empty() || !fits.allows(inner) {
                return None;
            }
            found.push((name.as_str(), inner));
            rest = after;
        }
        Some(found)
    }

    /// The text that has these in its holes.
    pub(crate) fn print(&self, found: &[(&str, &str)]) -> String {
        let mut text = self.start.clone();
        for (name, _, behind) in &self.holes {
            let inner = found.iter().find(|(found, _)| found == name);
            text.push_str(inner.map(|(_, inner)| *inner).unwrap_or_default());
            text.push_str(behind);
        }
        text
    }
}

impl Fits {
    fn allows(self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Digits => text.bytes().all(|byte| byte.is_ascii_digit()),
            Self::Word => text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')),
        }
    }
}
