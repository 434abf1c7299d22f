//! `hex: true`

use super::argument::Arguments;
use super::value::{check_back, text};
use super::{Direction, Guard, Info};
use crate::json::write_string;

pub(super) const INFO: Info = Info {
    name: "hex",
    options: &[],
    places: (1, 1),
    manual: "\
`hex: true` is a text's bytes as hexadecimal digits on the old side and the plain text on the new one.

```yaml
- token = name: {hex: true}             # \"68c3a9\" <-> \"hé\"
```

* up: the bytes, which must be UTF-8. Capital digits are refused, since they would come back small, unless the rule
  says `loss:`.
* down: small digits, two a byte.

Old-exact, but for the capitals where the rule says `loss:`.
",
};

/// A text in hexadecimal digits and the text itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hex {
    /// Whether an old text must come back in its spelling.
    pub strict: bool,
}

impl Hex {
    pub(super) fn parse(arguments: &mut Arguments<'_>) -> Option<Self> {
        arguments.switch("hex").map(|()| Self { strict: !arguments.accepts_loss() })
    }

    pub(super) fn convert(self, direction: Direction, value: &[u8], out: &mut Vec<u8>) -> Result<(), Guard> {
        let text = text(value)?;
        if direction == Direction::Down {
            let digits = text.bytes().flat_map(|byte| [byte >> 4, byte & 15]);
            let letters: String = digits.map(|digit| char::from_digit(u32::from(digit), 16).unwrap_or('0')).collect();
            write_string(&letters, out);
            return Ok(());
        }
        let bytes = decode(text.as_bytes()).ok_or("expected pairs of hexadecimal digits")?;
        let start = out.len();
        write_string(std::str::from_utf8(&bytes).map_err(|_| "expected digits of UTF-8 text")?, out);
        if self.strict {
            let written = out.get(start..).unwrap_or_default();
            check_back(value, written, |written, again| self.convert(Direction::Down, written, again))?;
        }
        Ok(())
    }
}

fn decode(text: &[u8]) -> Option<Vec<u8>> {
    text.chunks(2).map(|pair| if let [high, low] = pair { byte(*high, *low) } else { None }).collect()
}

/// The byte that two hexadecimal digits spell.
pub(super) fn byte(high: u8, low: u8) -> Option<u8> {
    let digit = |letter: u8| char::from(letter).to_digit(16);
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
}
