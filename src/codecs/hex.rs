//! `hex: true`

use super::argument::Arguments;
use super::value::Spelling;
use super::{Direction, Guard, Info};
use crate::path::percent::byte;

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
        let spelling = Spelling {
            decode,
            encode: &encode,
            undecodable: "expected pairs of hexadecimal digits",
            not_text: "expected digits of UTF-8 text",
            strict: self.strict,
        };
        spelling.convert(direction, value, out)
    }
}

fn encode(text: &str) -> String {
    let digits = text.bytes().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from_digit(u32::from(digit), 16).unwrap_or('0')).collect()
}

fn decode(text: &[u8]) -> Option<Vec<u8>> {
    text.chunks(2).map(|pair| if let [high, low] = pair { byte(*high, *low) } else { None }).collect()
}
