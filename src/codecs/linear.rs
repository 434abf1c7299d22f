//! `linear: {mul: m, add: a}`

use super::argument::Arguments;
use super::value::{TOO_LONG, number, rounding};
use super::{Direction, Guard, Info};
use crate::json::{Rational, Rounding};
use crate::rules::yaml::Node;

pub(super) const INFO: Info = Info {
    name: "linear",
    options: &["round", "places"],
    places: (1, 1),
    manual: "\
`linear: {mul: m, add: a}` is a number in another unit: new = old × m + a. Both are exact decimals or fractions; `mul`
defaults to 1, `add` to 0.

```yaml
- timeout_s = timeout_ms: {linear: {mul: 1000}}                                   # 1.5 <-> 1500
- fahrenheit = celsius: {linear: {mul: 5/9, add: -160/9}, round: half_even, places: 1, loss: rounded}   # 70 -> 21.1
```

* up: old × m + a; down: (new − a) / m. Results are plain decimals, without exponent and without trailing zeros.
* a result whose decimals do not end is refused, unless `round:` says how to round it: `floor`, `ceil`, `half_even`,
  `half_up` (halves away from zero) or `trunc`, to so many `places:` (default 0), in either direction.

Old-exact without `round:`. With it, it is as long as no way up needs rounding: `m` is whole, `a` has no more than
`places` decimals, and old values with more of them are refused. Otherwise say `loss:`.
",
};

/// The most decimals that a result is rounded to.
pub(super) const MAX_PLACES: u32 = 100;

/// A number and a linear function of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linear {
    /// The factor; not zero.
    pub mul: Rational,
    /// What is added to the product.
    pub add: Rational,
    /// How to round, and to how many decimals.
    pub rounding: Option<(Rounding, u32)>,
}

impl Linear {
    pub(super) fn parse(arguments: &mut Arguments<'_>) -> Option<Self> {
        const HELP: &str = "write `linear: {mul: 1000, add: 0}`";
        let own = arguments.own;
        let (mut mul, mut add) = (Rational::whole(1), Rational::whole(0));
        let Some(members) = own.as_map().filter(|members| !members.is_empty()) else {
            return arguments.refuse(own.span, format!("expected a map with members, found {}", own.describe()), HELP);
        };
        for (key, value) in members {
            match key.as_str() {
                Some("mul") => mul = coefficient(arguments, value)?,
                Some("add") => add = coefficient(arguments, value)?,
                _ => return arguments.refuse(key.span, "`linear` takes `mul` and `add`", HELP),
            }
        }
        if mul.is_zero() {
            return arguments.refuse(own.span, "`mul: 0` forgets the value", HELP);
        }
        let places = match arguments.option("places").map(|node| (node, node.as_str().map(str::parse::<u32>))) {
            None => None,
            Some((_, Some(Ok(places)))) if places <= MAX_PLACES => Some(places),
            Some((node, _)) => {
                let message = format!("`places` is a number of decimals, 0 to {MAX_PLACES}");
                return arguments.refuse(node.span, message, "for example `places: 2`");
            }
        };
        let rounding = match (arguments.option("round"), places) {
            (None, Some(_)) => {
                let help = "say how: for example `round: half_even`";
                return arguments.refuse(own.span, "`places` without `round`", help);
            }
            (None, None) => None,
            (Some(node), places) => Some((rounding(arguments, node)?, places.unwrap_or(0))),
        };
        Some(Self { mul, add, rounding })
    }

    /// Why an old value may not come back.
    pub fn loses(&self) -> Option<&'static str> {
        (self.rounding.is_some() && self.scale().is_none()).then_some("the way up is rounded")
    }

    /// The most decimals of an old value that comes back although the way down is rounded.
    fn scale(&self) -> Option<u32> {
        let (_, places) = self.rounding?;
        let is_exact = self.mul.is_whole() && self.add.decimals().is_some_and(|decimals| decimals <= places);
        is_exact.then_some(places)
    }

    pub(super) fn convert(&self, direction: Direction, value: &[u8], out: &mut Vec<u8>) -> Result<(), Guard> {
        let number = number(value)?;
        if direction == Direction::Up
            && let Some(places) = self.scale()
            && number.decimals().is_some_and(|decimals| decimals > places)
        {
            return Err(format!("expected at most {places} decimals").into());
        }
        let result = match direction {
            Direction::Up => number.times(&self.mul).plus(&self.add),
            Direction::Down => number.minus(&self.add).divide(&self.mul).ok_or(TOO_LONG)?,
        };
        let result = match self.rounding {
            Some((rounding, places)) => result.round(places, rounding),
            None => result,
        };
        let text = result.to_text().ok_or("expected a number whose counterpart has decimals that end")?;
        out.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

fn coefficient(arguments: &mut Arguments<'_>, node: &Node) -> Option<Rational> {
    match node.as_str().filter(|text| text.len() <= 64).and_then(Rational::parse) {
        Some(number) if number.to_text().is_none_or(|text| text.len() <= 128) => Some(number),
        _ => arguments.refuse(node.span, "not a number or fraction of reasonable size", "for example `1000` or `5/9`"),
    }
}
