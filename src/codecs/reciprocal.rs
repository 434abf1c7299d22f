//! `reciprocal: n`

use super::argument::Arguments;
use super::value::{number, rounding};
use super::{Guard, Info};
use crate::json::{Rational, Rounding};

pub(super) const INFO: Info = Info {
    name: "reciprocal",
    options: &["round"],
    places: (1, 1),
    manual: "\
`reciprocal: n` joins two numbers whose product is `n`: a rate and an interval.

```yaml
- per_second = interval_us: {reciprocal: 1000000, round: half_up, loss: rounded to microseconds}   # 300 <-> 3333
```

* up: n / old; down: n / new; rounded to a whole number as `round:` says: `floor`, `ceil`, `half_even`, `half_up` or
  `trunc`.
* zero is refused, and so is what is rounded to zero.

Never old-exact: say `loss:`.
",
};

/// Two numbers of a fixed product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reciprocal {
    /// The product; not zero.
    pub product: Rational,
    /// How to round.
    pub rounding: Rounding,
}

impl Reciprocal {
    pub(super) fn parse(arguments: &mut Arguments<'_>) -> Option<Self> {
        let own = arguments.own;
        let product = own.as_str().filter(|text| text.len() <= 64).and_then(Rational::parse);
        let Some(product) = product.filter(|number| !number.is_zero()) else {
            let help = "for example `reciprocal: 1000000`";
            return arguments.refuse(own.span, "`reciprocal` takes the product, a number that is not zero", help);
        };
        match arguments.option("round") {
            Some(node) => Some(Self { product, rounding: rounding(arguments, node)? }),
            None => arguments.refuse(own.span, "`reciprocal` needs `round`", "for example `round: half_up`"),
        }
    }

    pub(super) fn convert(&self, value: &[u8], out: &mut Vec<u8>) -> Result<(), Guard> {
        const EXPECTED: Guard = Guard::Borrowed("expected a number whose counterpart is not zero");
        let quotient = self.product.divide(&number(value)?).ok_or("expected a number other than zero")?;
        let rounded = quotient.round(0, self.rounding);
        let text = rounded.to_text().filter(|_| !rounded.is_zero()).ok_or(EXPECTED)?;
        out.extend_from_slice(text.as_bytes());
        Ok(())
    }
}
