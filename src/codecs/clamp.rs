//! `clamp: {min: n, max: n, length: n}`

use super::argument::Arguments;
use super::value::text;
use super::{Direction, Guard, Info};
use crate::json::{Decimal, write_string};
use crate::rules::yaml::Node;

pub(super) const INFO: Info = Info {
    name: "clamp",
    options: &[],
    places: (1, 1),
    manual: "\
`clamp: {min: n, max: n, length: n}` keeps the new value within bounds: numbers by `min` and `max`, texts by `length`,
counted in characters.

```yaml
- limit = page_size: {clamp: {min: 1, max: 100}, loss: the new side has no larger pages}      # 500 -> 100
- title = title: {clamp: {length: 80}, loss: longer titles are cut}
```

* up: a number outside becomes the bound; a text is cut behind so many characters.
* down: the value as it is.

Never old-exact: say `loss:`.
",
};

/// Bounds of the new value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clamp {
    /// The least number, in JSON.
    pub min: Option<String>,
    /// The largest number, in JSON.
    pub max: Option<String>,
    /// The most characters.
    pub length: Option<usize>,
}

impl Clamp {
    pub(super) fn parse(arguments: &mut Arguments<'_>) -> Option<Self> {
        const HELP: &str = "write for example `clamp: {min: 1, max: 100}` or `clamp: {length: 80}`";
        let own = arguments.own;
        let Some(members) = own.as_map().filter(|members| !members.is_empty()) else {
            return arguments.refuse(own.span, format!("expected a map with members, found {}", own.describe()), HELP);
        };
        let mut clamp = Self { min: None, max: None, length: None };
        for (key, value) in members {
            match key.as_str() {
                Some("min") => clamp.min = Some(bound(arguments, value)?),
                Some("max") => clamp.max = Some(bound(arguments, value)?),
                Some("length") => match value.as_str().and_then(|text| text.parse().ok()) {
                    Some(length) => clamp.length = Some(length),
                    None => return arguments.refuse(value.span, "`length` is a number of characters", HELP),
                },
                _ => return arguments.refuse(key.span, "`clamp` takes `min`, `max` and `length`", HELP),
            }
        }
        let parsed = |text: &Option<String>| text.as_deref().and_then(Decimal::parse);
        if let (Some(min), Some(max)) = (parsed(&clamp.min), parsed(&clamp.max))
            && min.compare(&max).is_gt()
        {
            return arguments.refuse(own.span, "`min` is above `max`", HELP);
        }
        Some(clamp)
    }

    /// Whether it takes numbers.
    pub fn has_numbers(&self) -> bool {
        self.min.is_some() || self.max.is_some()
    }

    pub(super) fn convert(&self, direction: Direction, value: &[u8], out: &mut Vec<u8>) -> Result<(), Guard> {
        let is_text = value.first() == Some(&b'"');
        let number = std::str::from_utf8(value).ok().and_then(Decimal::parse);
        match (number, self.length) {
            (Some(number), _) if self.has_numbers() => {
                let beyond = |bound: &Option<String>, is_min: bool| {
                    let order = number.compare(&Decimal::parse(bound.as_deref()?)?);
                    (if is_min { order.is_lt() } else { order.is_gt() }).then(|| bound.clone()).flatten()
                };
                match beyond(&self.min, true).or_else(|| beyond(&self.max, false)) {
                    Some(bound) if direction == Direction::Up => out.extend_from_slice(bound.as_bytes()),
                    _ => out.extend_from_slice(value),
                }
            }
            (_, Some(length)) if is_text => {
                let text = text(value)?;
                match text.char_indices().nth(length) {
                    Some((cut, _)) if direction == Direction::Up => {
                        write_string(text.get(..cut).unwrap_or_default(), out);
                    }
                    _ => out.extend_from_slice(value),
                }
            }
            (_, None) => return Err("expected a number".into()),
            (_, Some(_)) if self.has_numbers() => return Err("expected a number or a string".into()),
            (_, Some(_)) => return Err("expected a string".into()),
        }
        Ok(())
    }
}

fn bound(arguments: &mut Arguments<'_>, node: &Node) -> Option<String> {
    match node.as_str().filter(|text| text.len() <= 64 && Decimal::parse(text).is_some()) {
        Some(text) => Some(text.to_owned()),
        None => arguments.refuse(node.span, "a bound is a number", "for example `clamp: {min: 1, max: 100}`"),
    }
}
