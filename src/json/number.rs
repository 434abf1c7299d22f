//! Exact decimal numbers as texts.

use std::cmp::Ordering;

/// A JSON number's exact value: `digits` × 10^`exponent`. Never expanded, so `1e1000000000` costs what its text costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decimal {
    /// Sign; never set for zero.
    pub negative: bool,
    /// Significant digits `b'0'..=b'9'` without leading or trailing zeros; empty for zero.
    pub digits: Vec<u8>,
    /// Power of ten of the last digit; 0 for zero.
    pub exponent: i64,
}

impl Decimal {
    /// Reads a text in JSON's number grammar. `None` if it is not one, or its exponent has more than 18 digits.
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
            None => (rest, 0),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (mantissa, ""),
        };
        if whole.is_empty() || (whole.len() > 1 && whole.starts_with('0')) {
            return None;
        }
        let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).skip_while(|&digit| digit == b'0').collect();
        if !whole.bytes().chain(fraction.bytes()).all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let kept = digits.iter().rposition(|&digit| digit != b'0').map_or(0, |last| last + 1);
        let dropped = i64::try_from(digits.len() - kept).ok()?;
        digits.truncate(kept);
        if digits.is_empty() {
            return Some(Self { negative: false, digits, exponent: 0 });
        }
        let exponent = exponent - i64::try_from(fraction.len()).ok()? + dropped;
        Some(Self { negative, digits, exponent })
    }

    /// Whether it has no fraction.
    pub fn is_integer(&self) -> bool {
        self.exponent >= 0
    }

    /// The power of ten just above its first digit.
    fn magnitude(&self) -> i64 {
        self.exponent.saturating_add(i64::try_from(self.digits.len()).unwrap_or(i64::MAX))
    }

    /// By value.
    pub fn compare(&self, other: &Self) -> Ordering {
        let sign = |number: &Self| match (number.digits.is_empty(), number.negative) {
            (true, _) => 0,
            (_, true) => -1,
            (_, false) => 1,
        };
        let by_sign = sign(self).cmp(&sign(other));
        if by_sign != Ordering::Equal || self.digits.is_empty() {
            return by_sign;
        }
        // Trailing zeros are gone, so comparing digits as texts is comparing values once magnitudes agree.
        let by_size = self.magnitude().cmp(&other.magnitude()).then_with(|| self.digits.cmp(&other.digits));
        if self.negative { by_size.reverse() } else { by_size }
    }
}

fn parse_exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let digits = digits.trim_start_matches('0');
    if digits.len() > 18 {
        return None;
    }
    let value = if digits.is_empty() { 0 } else { digits.parse::<i64>().ok()? };
    Some(if text.starts_with('-') { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_have_one_form() {
        for (a, b) in [("1.0", "1"), ("100", "1e2"), ("-0", "0"), ("0.10", "1E-1"), ("12.5e1", "125"), ("0e9", "0")] {
            assert_eq!(Decimal::parse(a), Decimal::parse(b), "{a} {b}");
            assert!(Decimal::parse(a).is_some(), "{a}");
        }
        for text in ["", "-", "01", ".5", "1.", "1e", "+1", "1_0", "0x1", "NaN", "1e9999999999999999999"] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
    }

    #[test]
    fn order_is_by_value() {
        let sorted = ["-1e9", "-2", "-1.5", "0", "1e-9", "0.5", "0.51", "5", "49", "5e1", "1e1000000000"];
        for pair in sorted.windows(2) {
            let [a, b] = pair else { continue };
            let (a, b) = (Decimal::parse(a).unwrap(), Decimal::parse(b).unwrap());
            assert_eq!(a.compare(&b), Ordering::Less, "{a:?} {b:?}");
            assert_eq!(b.compare(&a), Ordering::Greater);
        }
    }
}
