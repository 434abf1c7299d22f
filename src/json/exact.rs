//! Exact arithmetic on decimal numbers, within bounds: no float, and no number longer than [`MAX_DIGITS`].

use num_bigint::{BigInt, Sign};

use super::Decimal;

/// The most digits on either side of the point. `1e1000000000` is a number, but nobody's price.
pub const MAX_DIGITS: i64 = 1000;

/// A fraction in lowest terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rational {
    numerator: BigInt,
    /// Above zero.
    denominator: BigInt,
}

/// What becomes of decimals that there is no room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// Towards minus infinity.
    Floor,
    /// Towards plus infinity.
    Ceil,
    /// To the nearest; halves to the even neighbour.
    HalfEven,
    /// To the nearest; halves away from zero.
    HalfUp,
    /// Towards zero.
    Trunc,
}

impl Rational {
    /// A decimal's exact value; `None` if it is longer than [`MAX_DIGITS`].
    pub fn of(number: &Decimal) -> Option<Self> {
        let length = i64::try_from(number.digits.len()).ok()?;
        let magnitude = number.exponent.saturating_add(length);
        if length > MAX_DIGITS || number.exponent < -MAX_DIGITS || magnitude > MAX_DIGITS {
            return None;
        }
        if number.digits.is_empty() {
            return Some(Self::whole(0));
        }
        let digits = BigInt::parse_bytes(&number.digits, 10)?;
        let digits = if number.negative { -digits } else { digits };
        let power = ten_to(u32::try_from(number.exponent.unsigned_abs()).ok()?);
        if number.exponent < 0 { Self::new(digits, power) } else { Self::new(digits * power, BigInt::from(1)) }
    }

    /// Reads `12`, `-0.5`, `1e3` or a fraction such as `5/9`; `None` if it is neither, or too long.
    pub fn parse(text: &str) -> Option<Self> {
        let read = |part: &str| Self::of(&Decimal::parse(part.trim())?);
        match text.split_once('/') {
            None => read(text),
            Some((above, below)) => read(above)?.divide(&read(below)?),
        }
    }

    /// A whole number.
    pub fn whole(number: i64) -> Self {
        Self { numerator: BigInt::from(number), denominator: BigInt::from(1) }
    }

    fn new(numerator: BigInt, denominator: BigInt) -> Option<Self> {
        let (numerator, denominator) = match denominator.sign() {
            Sign::NoSign => return None,
            Sign::Minus => (-numerator, -denominator),
            Sign::Plus => (numerator, denominator),
        };
        let (mut common, mut rest) = (BigInt::from(numerator.magnitude().clone()), denominator.clone());
        while rest.sign() != Sign::NoSign {
            (common, rest) = (rest.clone(), common % rest);
        }
        Some(Self { numerator: numerator / &common, denominator: denominator / common })
    }

    /// Whether it is zero.
    pub fn is_zero(&self) -> bool {
        self.numerator.sign() == Sign::NoSign
    }

    /// Whether it is below zero.
    pub fn is_negative(&self) -> bool {
        self.numerator.sign() == Sign::Minus
    }

    /// Whether it has no fraction.
    pub fn is_whole(&self) -> bool {
        self.denominator == BigInt::from(1)
    }

    /// How many decimals it has; `None` if they do not end.
    pub fn decimals(&self) -> Option<u32> {
        let twos = self.denominator.trailing_zeros().unwrap_or(0);
        let mut rest = &self.denominator >> twos;
        let five = BigInt::from(5);
        let mut fives = 0_u64;
        while (&rest % &five).sign() == Sign::NoSign {
            rest /= &five;
            fives += 1;
        }
        (rest == BigInt::from(1)).then_some(u32::try_from(twos.max(fives)).ok()?)
    }

    /// The sum.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let above = &self.numerator * &other.denominator + &other.numerator * &self.denominator;
        Self::new(above, &self.denominator * &other.denominator).unwrap_or_else(|| self.clone())
    }

    /// The difference.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        self.plus(&other.negated())
    }

    /// The other sign.
    #[must_use]
    pub fn negated(&self) -> Self {
        Self { numerator: -&self.numerator, denominator: self.denominator.clone() }
    }

    /// The product.
    #[must_use]
    pub fn times(&self, other: &Self) -> Self {
        let above = &self.numerator * &other.numerator;
        Self::new(above, &self.denominator * &other.denominator).unwrap_or_else(|| self.clone())
    }

    /// The quotient; `None` by zero.
    pub fn divide(&self, other: &Self) -> Option<Self> {
        Self::new(&self.numerator * &other.denominator, &self.denominator * &other.numerator)
    }

    /// Rounded to so many decimals.
    #[must_use]
    pub fn round(&self, places: u32, rounding: Rounding) -> Self {
        let scale = ten_to(places);
        let scaled = &self.numerator * &scale;
        let (mut quotient, mut rest) = (&scaled / &self.denominator, &scaled % &self.denominator);
        if rest.sign() == Sign::Minus {
            quotient -= 1_u32;
            rest += &self.denominator;
        }
        // Now `quotient` is the floor, and `rest` is not negative.
        let half = (&rest * 2_u32).cmp(&self.denominator);
        let is_up = rest.sign() != Sign::NoSign
            && match rounding {
                Rounding::Floor => false,
                Rounding::Ceil => true,
                Rounding::Trunc => self.is_negative(),
                Rounding::HalfEven => half.is_gt() || (half.is_eq() && quotient.bit(0)),
                Rounding::HalfUp => half.is_gt() || (half.is_eq() && !self.is_negative()),
            };
        if is_up {
            quotient += 1_u32;
        }
        Self::new(quotient, scale).unwrap_or_else(|| self.clone())
    }

    /// The whole number below or at it, and what is left.
    pub fn split(&self) -> (Self, Self) {
        let whole = self.round(0, Rounding::Floor);
        let rest = self.minus(&whole);
        (whole, rest)
    }

    /// As a machine integer, if it is one.
    pub fn to_i128(&self) -> Option<i128> {
        if self.is_whole() { i128::try_from(&self.numerator).ok() } else { None }
    }

    /// In plain digits: no exponent, no trailing zeros, no point where it is whole. `None` if the decimals do not end
    /// or there are more than twice [`MAX_DIGITS`] of them.
    pub fn to_text(&self) -> Option<String> {
        let decimals = self.decimals()?;
        if i64::from(decimals) > 2 * MAX_DIGITS {
            return None;
        }
        let scaled = &self.numerator * ten_to(decimals) / &self.denominator;
        let digits = scaled.magnitude().to_string();
        let decimals = decimals as usize;
        let padded = format!("{digits:0>width$}", width = decimals + 1);
        let (whole, fraction) = padded.split_at_checked(padded.len() - decimals)?;
        let sign = if self.is_negative() { "-" } else { "" };
        Some(if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") })
    }
}

fn ten_to(power: u32) -> BigInt {
    BigInt::from(10).pow(power)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Rational {
        Rational::parse(text).unwrap()
    }

    #[test]
    fn arithmetic_is_exact() {
        let text = |number: Option<Rational>| number.and_then(|one| one.to_text());
        assert_eq!(text(Some(read("0.1").plus(&read("0.2")))).as_deref(), Some("0.3"));
        assert_eq!(text(Some(read("1").minus(&read("1e-20")))).as_deref(), Some("0.99999999999999999999"));
        assert_eq!(text(Some(read("5/9").times(&read("-18")))).as_deref(), Some("-10"));
        assert_eq!(text(read("1").divide(&read("8"))).as_deref(), Some("0.125"));
        assert_eq!(text(read("1").divide(&read("3"))), None);
        assert_eq!(read("1").divide(&read("0")), None);
        assert_eq!(text(Some(read("-0.0"))).as_deref(), Some("0"));
        assert_eq!(text(Some(read("12e3"))).as_deref(), Some("12000"));
        assert_eq!(read("-1/-2").to_text().as_deref(), Some("0.5"));
    }

    #[test]
    fn rounding_is_by_its_name() {
        use Rounding::{Ceil, Floor, HalfEven, HalfUp, Trunc};
        for (number, expected) in [
            ("2.5", ["2", "3", "2", "3", "2"]),
            ("-2.5", ["-3", "-2", "-2", "-3", "-2"]),
            ("3.5", ["3", "4", "4", "4", "3"]),
            ("-0.4", ["-1", "0", "0", "0", "0"]),
            ("0.6", ["0", "1", "1", "1", "0"]),
            ("7", ["7"; 5]),
        ] {
            let modes = [Floor, Ceil, HalfEven, HalfUp, Trunc];
            let found = modes.map(|mode| read(number).round(0, mode).to_text().unwrap());
            assert_eq!(found, expected, "{number}");
        }
        assert_eq!(read("1/3").round(2, Ceil).to_text().as_deref(), Some("0.34"));
        assert_eq!(read("0.125").round(2, HalfEven).to_text().as_deref(), Some("0.12"));
    }

    #[test]
    fn long_numbers_are_refused() {
        for text in ["1e1000", "1e-1001", "1e1000000000000", "1e-999999999999999999"] {
            assert_eq!(Rational::parse(text), None, "{text}");
        }
        assert_eq!(Rational::parse(&"9".repeat(1001)), None);
        assert!(Rational::parse(&"9".repeat(1000)).is_some());
        assert!(Rational::parse("1e999").is_some());
        assert_eq!(read("1e-1000").to_text().unwrap().len(), 1002);
    }
}
