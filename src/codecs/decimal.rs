//! `decimal: k`

use super::argument::Arguments;
use super::{Direction, Guard, Info};
use crate::json::{self, unescape};

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
        match direction {
            Direction::Up => self.up(value, out),
            Direction::Down => self.down(value, out),
        }
    }

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
