//! `base64: true` or `base64: url`

use super::argument::Arguments;
use super::value::Spelling;
use super::{Direction, Guard, Info};

pub(super) const INFO: Info = Info {
    name: "base64",
    options: &[],
    places: (1, 1),
    manual: "\
`base64: true` is a text in Base64 on the old side (RFC 4648, with padding) and the plain text on the new one;
`base64: url` is the alphabet with `-` and `_`, without padding.

```yaml
- body = text: {base64: true}           # \"aMOp\" <-> \"hé\"
```

* up: the bytes, which must be UTF-8. Both alphabets are read, with padding or without; what would come back in another
  spelling is refused, unless the rule says `loss:`.
* down: the rule's alphabet.

Old-exact, but for the spelling where the rule says `loss:`.
",
};

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A text in Base64 and the text itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base64 {
    /// `-` and `_`, without padding.
    pub is_url: bool,
    /// Whether an old text must come back in its spelling.
    pub strict: bool,
}

impl Base64 {
    pub(super) fn parse(arguments: &mut Arguments<'_>) -> Option<Self> {
        let strict = !arguments.accepts_loss();
        let own = arguments.own;
        match (own.as_bool(), own.as_str()) {
            (Some(true), _) => Some(Self { is_url: false, strict }),
            (_, Some("url")) => Some(Self { is_url: true, strict }),
            _ => arguments.refuse(own.span, "not a kind of Base64", "write `base64: true` or `base64: url`"),
        }
    }

    pub(super) fn convert(self, direction: Direction, value: &[u8], out: &mut Vec<u8>) -> Result<(), Guard> {
        let spelling = Spelling {
            decode,
            encode: &|text| self.encode(text.as_bytes()),
            undecodable: "expected text in Base64",
            not_text: "expected Base64 of UTF-8 text",
            strict: self.strict,
        };
        spelling.convert(direction, value, out)
    }

    fn encode(self, bytes: &[u8]) -> String {
        let alphabet = if self.is_url { URL } else { STANDARD };
        let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
        for chunk in bytes.chunks(3) {
            let group = (0..3).fold(0_usize, |group, at| group << 8 | usize::from(chunk.get(at).copied().unwrap_or(0)));
            for at in 0..4 {
                match alphabet.get(group >> (18 - 6 * at) & 63) {
                    Some(&letter) if at <= chunk.len() => text.push(char::from(letter)),
                    _ if self.is_url => {}
                    _ => text.push('='),
                }
            }
        }
        text
    }
}

/// Bytes in the standard alphabet, with padding.
#[cfg(feature = "gateway")]
pub(crate) fn encode(bytes: &[u8]) -> String {
    Base64 { is_url: false, strict: true }.encode(bytes)
}

/// Reads both alphabets, padded or not; `None` for what is no Base64.
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let padding = text.iter().rev().take_while(|&&byte| byte == b'=').count();
    let letters = text.get(..text.len() - padding)?;
    if padding > 2 || letters.len() % 4 == 1 || (padding > 0 && !text.len().is_multiple_of(4)) {
        return None;
    }
    let mut bytes = Vec::with_capacity(letters.len() / 4 * 3 + 2);
    let (mut group, mut bits) = (0_u32, 0);
    for &letter in letters {
        group = group << 6 | u32::from(six_bits(letter)?);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(group >> bits & 255).ok()?);
        }
    }
    Some(bytes)
}

fn six_bits(letter: u8) -> Option<u8> {
    Some(match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    })
}
