//! `percent: true`

use super::argument::Arguments;
use super::hex::byte;
use super::value::{check_back, text};
use super::{Direction, Guard, Info};
use crate::json::write_string;

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
        let text = text(value)?;
        if direction == Direction::Down {
            write_string(&self.encode(&text), out);
            return Ok(());
        }
        let bytes = decode(text.as_bytes()).ok_or("expected two hexadecimal digits behind each `%`")?;
        let start = out.len();
        write_string(std::str::from_utf8(&bytes).map_err(|_| "expected escapes of UTF-8 text")?, out);
        if self.strict {
            let written = out.get(start..).unwrap_or_default();
            check_back(value, written, |written, again| self.convert(Direction::Down, written, again))?;
        }
        Ok(())
    }

    fn encode(&self, text: &str) -> String {
        let mut escaped = String::with_capacity(text.len());
        for byte in text.bytes() {
            let is_bare =
                byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || self.keep.as_bytes().contains(&byte);
            if is_bare {
                escaped.push(char::from(byte));
            } else {
                let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or('0').to_ascii_uppercase();
                escaped.extend(['%', digit(byte >> 4), digit(byte & 15)]);
            }
        }
        escaped
    }
}

fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    loop {
        rest = match rest {
            [] => return Some(bytes),
            [b'%', high, low, after @ ..] => {
                bytes.push(byte(*high, *low)?);
                after
            }
            [b'%', ..] => return None,
            [plain, after @ ..] => {
                bytes.push(*plain);
                after
            }
        };
    }
}
