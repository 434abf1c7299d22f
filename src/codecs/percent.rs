//! `percent: true`

use super::argument::Arguments;
use super::value::Spelling;
use super::{Direction, Guard, Info};
use crate::path::percent;

pub(super) const INFO: Info = Info {
    name: "percent",
    options: &["keep"],
    places: (1, 1),
    manual: "\
`percent: true` is a text with `%XX` escapes on the old side (RFC 3986) and the plain text on the new one.

```yaml
- key = path: {percent: true, keep: \"/\"}      # \"a%20b/c\" <-> \"a b/c\"
```

* up: every `%XX` is a byte; together they must be UTF-8. A text that would come back in another spelling (small digits,
  escapes that nobody needs, bare characters) is refused, unless the rule says `loss:`.
* down: everything is escaped but letters, digits, `-`, `.`, `_`, `~` and the ASCII characters of `keep:`.

Old-exact, but for the spelling where the rule says `loss:`.
",
};

/// A text with escapes and the text itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Percent {
    /// Further characters that are not escaped.
    pub keep: String,
    /// Whether an old text must come back in its spelling.
    pub strict: bool,
}

impl Percent {
    pub(super) fn parse(arguments: &mut Arguments<'_>) -> Option<Self> {
        arguments.switch("percent")?;
        let keep = match arguments.option("keep").map(|node| (node, node.as_str())) {
            None => "",
            Some((_, Some(keep))) if keep.is_ascii() && !keep.contains('%') => keep,
            Some((node, _)) => {
                return arguments.refuse(
                    node.span,
                    "`keep` takes ASCII characters, without `%`",
                    "for example `keep: \"/\"`",
                );
            }
        };
        Some(Self { keep: keep.to_owned(), strict: !arguments.accepts_loss() })
    }

    pub(super) fn convert(&self, direction: Direction, value: &[u8], out: &mut Vec<u8>) -> Result<(), Guard> {
        let spelling = Spelling {
            decode: percent::decode_bytes,
            encode: &|text| self.encode(text),
            undecodable: "expected two hexadecimal digits behind each `%`",
            not_text: "expected escapes of UTF-8 text",
            strict: self.strict,
        };
        spelling.convert(direction, value, out)
    }

    fn encode(&self, text: &str) -> String {
        let mut escaped = String::with_capacity(text.len());
        percent::encode(text, &[percent::UNRESERVED, self.keep.as_bytes()].concat(), &mut escaped);
        escaped
    }
}
