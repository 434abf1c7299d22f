//! `decimal: k`

use super::argument::Arguments;
use super::{Direction, Guard, Info};
use crate::json::{self, are_digits, unescape, word_of};

pub(super) const INFO: Info = Info {
    name: "decimal",
    options: &[],
    places: (1, 1),
    manual: "\
`decimal: k` joins an integer of minor units and a decimal text with exactly `k` decimals. No float is ever involved;
numbers of any length are exact.

```yaml
- amount = price.value: {decimal: 2}        # 1999 <-> \"19.99\", -5 <-> \"-0.05\"
```

* up: an integer becomes its text with `k` decimals.
* down: the text (or number) times 10^k, which must be whole: `\"19.999\"` under `decimal: 2` is refused.

Old-exact always; exact both ways on texts with `k` decimals.
",
};

/// The largest scale, and the most digits that an exponent may stretch a value to.
const MAX_SCALE: usize = 64;
const MAX_DIGITS: i64 = 4096;

/// Integer minor units and a decimal text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decimal {
    /// Decimals of the text.
    pub scale: usize,
}

impl Decimal {
    pub(super) fn parse(arguments: &mut Arguments<'_>) -> Option<Self> {
        let own = arguments.own;
        match own.as_str().and_then(|text| text.parse::<usize>().ok()) {
            Some(scale) if scale <= MAX_SCALE => Some(Self { scale }),
            _ => arguments.refuse(
                own.span,
                format!("`decimal` takes the number of decimals, 0 to {MAX_SCALE}"),
                "for example `decimal: 2` for cents",
            ),
        }
    }

    pub(super) fn convert(self, direction: Direction, value: &[u8], out: &mut Vec<u8>) -> Result<(), Guard> {
        let short = match direction {
            Direction::Up => self.short_up(value, out),
            Direction::Down => self.short_down(value, out),
        };
        match (short, direction) {
            (Some(()), _) => Ok(()),
            (None, Direction::Up) => self.up(value, out),
            (None, Direction::Down) => self.down(value, out),
        }
    }

    #[inline(never)]
    fn up(self, value: &[u8], out: &mut Vec<u8>) -> Result<(), Guard> {
        let (negative, digits) = match value {
            [b'-', digits @ ..] => (true, digits),
            digits => (false, digits),
        };
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Err("expected an integer of minor units".into());
        }
        out.push(b'"');
        if negative && digits != b"0" {
            out.push(b'-');
        }
        let whole = digits.len().saturating_sub(self.scale);
        let (whole, fraction) = digits.split_at(whole);
        out.extend_from_slice(if whole.is_empty() { b"0" } else { whole });
        if self.scale > 0 {
            out.push(b'.');
            out.extend(std::iter::repeat_n(b'0', self.scale - fraction.len()));
            out.extend_from_slice(fraction);
        }
        out.push(b'"');
        Ok(())
    }

    #[inline(never)]
    fn down(self, value: &[u8], out: &mut Vec<u8>) -> Result<(), Guard> {
        const EXPECTED: Guard = Guard::Borrowed("expected a decimal number");
        let unescaped;
        let text: &str = match value {
            [b'"', ..] => {
                unescaped = unescape(value).ok_or(EXPECTED)?;
                &unescaped
            }
            [b'-' | b'0'..=b'9', ..] => std::str::from_utf8(value).map_err(|_| EXPECTED)?,
            _ => return Err(EXPECTED),
        };
        // The common spelling `-?digits.digits` is shifted in place; anything else goes by its exact value.
        if let Some(shifted) = Plain::read(text) {
            return shifted.write(self.scale, out);
        }
        let number = json::Decimal::parse(text).ok_or(EXPECTED)?;
        let scale = i64::try_from(self.scale).unwrap_or(i64::MAX);
        let exponent = number.exponent.saturating_add(scale);
        if exponent < 0 && !number.digits.is_empty() {
            return Err(format!("expected at most {} decimals", self.scale).into());
        }
        if exponent > MAX_DIGITS {
            return Err("expected a number of reasonable size".into());
        }
        if number.digits.is_empty() {
            out.push(b'0');
            return Ok(());
        }
        if number.negative {
            out.push(b'-');
        }
        out.extend_from_slice(&number.digits);
        out.extend(std::iter::repeat_n(b'0', usize::try_from(exponent).unwrap_or(0)));
        Ok(())
    }
}

/// What most amounts are: a few digits, at least one before the point, no sign. They fit a register, whose lowest byte is
/// the text's first.
impl Decimal {
    /// `12597` becomes `"125.97"`; nothing happens where the value is another.
    #[inline]
    fn short_up(self, value: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let word = word_of(value)?;
        let whole = value.len().checked_sub(self.scale).filter(|whole| self.scale > 0 && (1..8).contains(whole))?;
        if !are_digits(word, value.len()) {
            return None;
        }
        let behind = out.len() + value.len() + 3;
        // Written whole, then cut, so that every copy has a fixed length.
        out.extend_from_slice(&[b'"'; 24]);
        let text = out.last_chunk_mut::<24>()?;
        text.get_mut(1..9)?.copy_from_slice(&word.to_le_bytes());
        *text.get_mut(whole + 1)? = b'.';
        text.get_mut(whole + 2..whole + 10)?.copy_from_slice(&(word >> (whole * 8)).to_le_bytes());
        *text.get_mut(value.len() + 2)? = b'"';
        out.truncate(behind);
        Some(())
    }

    /// `"125.97"` becomes `12597`; nothing happens where the value is another.
    #[inline]
    fn short_down(self, value: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let [b'"', text @ .., b'"'] = value else { return None };
        let word = word_of(text)?;
        let count = text.len().checked_sub(1)?;
        let whole = count.checked_sub(self.scale).filter(|whole| self.scale > 0 && (1..7).contains(whole))?;
        let (point, below) = (word >> (whole * 8), word & ((1 << (whole * 8)) - 1));
        let digits = below | (point >> 8 << (whole * 8));
        // A number that begins with a zero is not only without its point afterwards.
        if point & 0xff != u64::from(b'.') || word & 0xff == u64::from(b'0') || !are_digits(digits, count) {
            return None;
        }
        let behind = out.len() + count;
        out.extend_from_slice(&digits.to_le_bytes());
        out.truncate(behind);
        Some(())
    }
}

/// `-?digits[.digits]`, the spelling that services write.
struct Plain<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
}

impl<'a> Plain<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let (negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (whole, fraction) = rest.split_once('.').unwrap_or((rest, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let canonical = digits(whole) && digits(fraction) && (whole.len() == 1 || !whole.starts_with('0'));
        canonical.then_some(Self { negative, whole: whole.as_bytes(), fraction: fraction.as_bytes() })
    }

    fn write(&self, scale: usize, out: &mut Vec<u8>) -> Result<(), Guard> {
        let (kept, rest) = self.fraction.split_at(scale.min(self.fraction.len()));
        if rest.iter().any(|&digit| digit != b'0') {
            return Err(format!("expected at most {scale} decimals").into());
        }
        let digits = || self.whole.iter().chain(kept).copied().skip_while(|&digit| digit == b'0');
        if digits().next().is_none() {
            out.push(b'0');
            return Ok(());
        }
        if self.negative {
            out.push(b'-');
        }
        out.extend(digits());
        out.extend(std::iter::repeat_n(b'0', scale - kept.len()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the short way writes, checked against the long one; nothing if it leaves the value to it.
    fn short(direction: Direction, scale: usize, value: &str) -> Option<String> {
        let codec = Decimal { scale };
        let (mut short, mut long) = (b"[".to_vec(), b"[".to_vec());
        let (taken, converted) = match direction {
            Direction::Up => (codec.short_up(value.as_bytes(), &mut short), codec.up(value.as_bytes(), &mut long)),
            Direction::Down => {
                (codec.short_down(value.as_bytes(), &mut short), codec.down(value.as_bytes(), &mut long))
            }
        };
        match taken {
            Some(()) => assert_eq!((Ok(()), short.as_slice()), (converted, long.as_slice()), "{value} {scale}"),
            None => assert_eq!(short, b"[", "{value} {scale}"),
        }
        taken.map(|()| String::from_utf8_lossy(&short).into_owned())
    }

    #[test]
    fn the_short_way_says_what_the_long_one_says() {
        let (up, down) = (Direction::Up, Direction::Down);
        assert_eq!(short(up, 2, "12597"), Some("[\"125.97\"".into()));
        assert_eq!(short(up, 7, "12345678"), Some("[\"1.2345678\"".into()));
        assert_eq!(short(down, 2, "\"125.97\""), Some("[12597".into()));
        assert_eq!(short(down, 1, "\"123456.7\""), Some("[1234567".into()));
        let mut taken = 0;
        for scale in 0..10 {
            for value in ["", "0", "7", "00", "12", "123", "1234", "12345678", "123456789", "-12", "1x3", "12:4", "1e2"]
            {
                taken += usize::from(short(up, scale, value).is_some());
            }
            for whole in ["", "0", "7", "07", "12", "123", "12345", "123456", "1234567", "-1", "x", ":"] {
                for point in ["", ".", "..", ",", "e"] {
                    for fraction in ["", "0", "9", "97", "970", "123456", "1234567", "9x", "9.", "-1"] {
                        let text = format!("{whole}{point}{fraction}");
                        taken += usize::from(short(down, scale, &text).is_some());
                        taken += usize::from(short(down, scale, &format!("\"{text}\"")).is_some());
                    }
                }
            }
        }
        assert!(taken > 30, "{taken}");
    }
}
