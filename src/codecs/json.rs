//! `json: true`

use super::argument::Arguments;
use super::value::{check_back, text};
use super::{Direction, Guard, Info};
use crate::json::{Scanner, write_string};

pub(super) const INFO: Info = Info {
    name: "json",
    options: &[],
    places: (1, 1),
    manual: "\
`json: true` joins an old text that holds JSON and the new value itself.

```yaml
- payload = event: {json: true}         # \"{\\\"a\\\":1}\" <-> {\"a\":1}
```

* up: the value, byte for byte. A text that is not JSON is refused, and so is one nested deeper than 64.
* down: the value as a text without white space between its parts.
* on the way up, a text that would come back in another form, for its white space or because it is `null`, is refused,
  unless the rule says `loss:`.

Old-exact, but for white space where the rule says `loss:`.
",
};

/// How deep a text may nest: the document around it needs room too.
pub(super) const DEPTH: usize = 64;

/// A text that holds a value, and the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Json {
    /// Whether an old text must come back byte for byte.
    pub strict: bool,
}

impl Json {
    pub(super) fn parse(arguments: &mut Arguments<'_>) -> Option<Self> {
        arguments.switch("json").map(|()| Self { strict: !arguments.accepts_loss() })
    }

    pub(super) fn convert(self, direction: Direction, value: &[u8], out: &mut Vec<u8>) -> Result<(), Guard> {
        if direction == Direction::Down {
            write_string(&compact(value), out);
            return Ok(());
        }
        let text = text(value)?;
        let inner = text.trim_matches([' ', '\t', '\n', '\r']);
        let mut scanner = Scanner::new(inner.as_bytes(), DEPTH);
        // Where nothing stands in front of it, a value is read from the first byte to the last or not at all.
        scanner.skip_value(0).and_then(|()| scanner.finish()).map_err(|_| "expected a text that holds JSON")?;
        out.extend_from_slice(inner.as_bytes());
        if self.strict {
            check_back(value, inner.as_bytes(), |written, again| self.convert(Direction::Down, written, again))?;
        }
        Ok(())
    }
}

/// A value that a scanner has accepted, without the white space between its parts.
fn compact(value: &[u8]) -> String {
    let mut text = String::with_capacity(value.len());
    let (mut in_string, mut is_escaped) = (false, false);
    for one in String::from_utf8_lossy(value).chars() {
        if in_string {
            in_string = is_escaped || one != '"';
            is_escaped = !is_escaped && one == '\\';
        } else if matches!(one, ' ' | '\t' | '\n' | '\r') {
            continue;
        } else {
            in_string = one == '"';
        }
        text.push(one);
    }
    text
}
