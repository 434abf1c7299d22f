//! `duration: [f, g]`

use super::argument::Arguments;
use super::value::{TOO_LONG, check_back, number, text};
use super::{Direction, Guard, Info};
use crate::json::{Rational, write_string};
use crate::rules::yaml::Node;

pub(super) const INFO: Info = Info {
    name: "duration",
    options: &[],
    places: (1, 1),
    manual: "\
`duration: [f, g]` is a length of time in two notations.

```yaml
- timeout = timeout_ms: {duration: [s, ms]}             # 1.5 <-> 1500
- ttl = lifetime: {duration: [go, iso8601]}             # \"1h30m0s\" <-> \"PT1H30M\"
- wait = wait_s: {duration: [\"{s}s\", s]}                # \"30s\" <-> 30
```

| format | |
|---|---|
| `d`, `h`, `min`, `s`, `ms`, `us`, `ns` | a number of that unit, with decimals where it is not whole |
| `go` | a text such as `1h30m5s`, `1.5s`, `20ms` |
| `iso8601` | a text such as `PT1H30M`; no years and months, whose length is not fixed |
| `clock` | a text such as `01:30:05` or `00:00:00.25` |
| a text with one of `{d}`, `{h}`, `{min}`, `{s}`, `{ms}`, `{us}`, `{ns}` | that text around the number, `\"{s}s\"` for example |

* up and down: the same length of time in the other notation, exactly. What it cannot write is refused: thirds of an
  hour, parts of a nanosecond in `go`.
* each notation is read in all its spellings and written in one. On the way up, a text that would come back in another
  spelling (`90m` under `go` is `1h30m0s`) is refused, unless the rule says `loss:`.

Old-exact, but for the spelling where the rule says `loss:`.
",
};

const DAYS: i64 = 24 * 60 * 60;
/// Units by name, as the nanoseconds they have.
const UNITS: [(&str, i64); 7] = [
    ("d", DAYS * NANOS),
    ("h", 3600 * NANOS),
    ("min", 60 * NANOS),
    ("s", NANOS),
    ("ms", 1_000_000),
    ("us", 1000),
    ("ns", 1),
];
const NANOS: i64 = 1_000_000_000;
const EXPECTED: Guard = Guard::Borrowed("expected a duration in the rule's format");
const NO_END: Guard = Guard::Borrowed("expected a duration that the other format can write");

/// A notation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Length {
    /// A number of a unit, which has so many nanoseconds.
    Number(i64),
    /// Go's.
    Go,
    /// ISO 8601.
    Iso,
    /// `HH:MM:SS`
    Clock,
    /// A number of a unit, between two texts.
    Text(String, i64, String),
}

/// A length of time in two notations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Duration {
    /// The old side's notation.
    pub old: Length,
    /// The new side's notation.
    pub new: Length,
    /// Whether an old text must come back in its spelling.
    pub strict: bool,
}

impl Duration {
    pub(super) fn parse(arguments: &mut Arguments<'_>) -> Option<Self> {
        let [old, new] = arguments.pair("write for example `duration: [s, ms]`")?;
        let (old, new) = (length(arguments, old)?, length(arguments, new)?);
        Some(Self { old, new, strict: !arguments.accepts_loss() })
    }

    pub(super) fn convert(&self, direction: Direction, value: &[u8], out: &mut Vec<u8>) -> Result<(), Guard> {
        let (from, to) = direction.order(&self.old, &self.new);
        let start = out.len();
        to.write(&from.read(value)?, out)?;
        if direction == Direction::Up && self.strict {
            let written = out.get(start..).unwrap_or_default();
            return check_back(value, written, |written, again| from.write(&to.read(written)?, again));
        }
        Ok(())
    }
}

fn length(arguments: &mut Arguments<'_>, node: &Node) -> Option<Length> {
    let text = node.as_str().unwrap_or_default();
    let found = match text {
        "go" => Some(Length::Go),
        "iso8601" => Some(Length::Iso),
        "clock" => Some(Length::Clock),
        _ => unit(text).map(Length::Number).or_else(|| {
            let (before, rest) = text.split_once('{')?;
            let (name, after) = rest.split_once('}')?;
            let is_plain = !after.contains(['{', '}']) && !before.contains('}');
            unit(name).filter(|_| is_plain).map(|unit| Length::Text(before.to_owned(), unit, after.to_owned()))
        }),
    };
    let help =
        "the formats are `d`, `h`, `min`, `s`, `ms`, `us`, `ns`, `go`, `iso8601`, `clock`, or for example `\"{s}s\"`";
    found.or_else(|| arguments.refuse(node.span, "not a format of durations", help))
}

fn unit(name: &str) -> Option<i64> {
    UNITS.iter().find(|(unit, _)| *unit == name).map(|(_, nanos)| *nanos)
}

impl Length {
    /// Whether it is a number in JSON.
    pub fn is_number(&self) -> bool {
        matches!(self, Self::Number(_))
    }

    /// In nanoseconds.
    fn read(&self, value: &[u8]) -> Result<Rational, Guard> {
        if let Self::Number(unit) = self {
            return Ok(number(value)?.times(&Rational::whole(*unit)));
        }
        let text = text(value)?;
        if text.len() > 256 {
            return Err(TOO_LONG);
        }
        let (is_negative, plain) = text.strip_prefix('-').map_or((false, &*text), |rest| (true, rest));
        let length = match self {
            Self::Go => read_units(plain, &["h", "m", "s", "ms", "us", "µs", "ns"]),
            Self::Iso => read_iso(plain),
            Self::Clock => read_clock(plain),
            Self::Text(before, unit, after) => {
                let inner = text.strip_prefix(before.as_str()).and_then(|rest| rest.strip_suffix(after.as_str()));
                let number = inner.and_then(decimal).ok_or(EXPECTED)?;
                return Ok(number.times(&Rational::whole(*unit)));
            }
            Self::Number(_) => None,
        };
        let length = length.ok_or(EXPECTED)?;
        Ok(if is_negative { length.negated() } else { length })
    }

    fn write(&self, nanos: &Rational, out: &mut Vec<u8>) -> Result<(), Guard> {
        let of = |unit: i64| nanos.divide(&Rational::whole(unit)).and_then(|number| number.to_text()).ok_or(NO_END);
        let (sign, plain) = if nanos.is_negative() { ("-", nanos.negated()) } else { ("", nanos.clone()) };
        let text = match self {
            Self::Number(unit) => {
                out.extend_from_slice(of(*unit)?.as_bytes());
                return Ok(());
            }
            Self::Text(before, unit, after) => format!("{before}{}{after}", of(*unit)?),
            Self::Go => format!("{sign}{}", write_go(&plain)?),
            Self::Iso => {
                let (hours, minutes, seconds) = parts(&plain)?;
                let part = |text: String, unit: &str| if text == "0" { String::new() } else { text + unit };
                let time = [part(hours, "H"), part(minutes, "M"), part(seconds, "S")].concat();
                format!("{sign}PT{}", if time.is_empty() { "0S" } else { &time })
            }
            Self::Clock => {
                let (hours, minutes, seconds) = parts(&plain)?;
                let width = seconds.find('.').map_or(2, |point| seconds.len() - point + 2);
                format!("{sign}{hours:0>2}:{minutes:0>2}:{seconds:0>width$}")
            }
        };
        write_string(&text, out);
        Ok(())
    }
}

/// Whole hours, whole minutes of the rest, seconds.
fn parts(nanos: &Rational) -> Result<(String, String, String), Guard> {
    let seconds = nanos.divide(&Rational::whole(NANOS)).ok_or(NO_END)?;
    let whole = |number: &Rational, size: i64| {
        let size = Rational::whole(size);
        let (whole, _) = number.divide(&size)?.split();
        Some((whole.to_text()?, number.minus(&whole.times(&size))))
    };
    let (hours, rest) = whole(&seconds, 3600).ok_or(NO_END)?;
    let (minutes, rest) = whole(&rest, 60).ok_or(NO_END)?;
    Ok((hours, minutes, rest.to_text().ok_or(NO_END)?))
}

/// As Go's `Duration.String` does: the smallest unit alone below a second, else every unit from the first that counts.
fn write_go(nanos: &Rational) -> Result<String, Guard> {
    let count = nanos.to_i128().filter(|count| i64::try_from(*count).is_ok()).ok_or(NO_END)?;
    let small = [(1, "ns"), (1_000, "µs"), (1_000_000, "ms")];
    if count == 0 {
        return Ok("0s".to_owned());
    }
    if count < i128::from(NANOS) {
        let (size, unit) = small.into_iter().rev().find(|(size, _)| i128::from(*size) <= count).unwrap_or((1, "ns"));
        let text = nanos.divide(&Rational::whole(size)).and_then(|number| number.to_text()).ok_or(NO_END)?;
        return Ok(text + unit);
    }
    let (hours, minutes, seconds) = parts(nanos)?;
    Ok(match (hours.as_str(), minutes.as_str()) {
        ("0", "0") => format!("{seconds}s"),
        ("0", _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    })
}

/// Numbers with units, largest unit first or not, as Go reads them.
fn read_units(text: &str, units: &[&str]) -> Option<Rational> {
    if text == "0" {
        return Some(Rational::whole(0));
    }
    let mut sum = Rational::whole(0);
    let mut rest = Some(text).filter(|text| !text.is_empty())?;
    while !rest.is_empty() {
        let end = rest.find(|one: char| !one.is_ascii_digit() && one != '.')?;
        let (number, more) = rest.split_at_checked(end)?;
        let end = more.find(|one: char| one.is_ascii_digit() || one == '.').unwrap_or(more.len());
        let (name, more) = more.split_at_checked(end)?;
        let size = match units.iter().find(|unit| **unit == name)? {
            &"m" => unit("min")?,
            &"µs" => unit("us")?,
            name => unit(name)?,
        };
        sum = sum.plus(&decimal(number)?.times(&Rational::whole(size)));
        rest = more;
    }
    Some(sum)
}

/// `PnWnDTnHnMnS` without the `P`'s years and months, each part at most once and in this order.
fn read_iso(text: &str) -> Option<Rational> {
    let (days, time) = match text.strip_prefix('P')?.split_once('T') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (text.strip_prefix('P')?, ""),
    };
    let mut sum = None;
    let day = unit("d")?;
    let units = [('W', 7 * day), ('D', day), ('H', 3600 * NANOS), ('M', 60 * NANOS), ('S', NANOS)];
    let (mut days, mut time) = (days, time);
    for (letter, size) in units {
        let left = if matches!(letter, 'W' | 'D') { &mut days } else { &mut time };
        let Some((number, rest)) = left.split_once(letter) else { continue };
        *left = rest;
        let before = sum.unwrap_or_else(|| Rational::whole(0));
        sum = Some(before.plus(&decimal(number)?.times(&Rational::whole(size))));
    }
    sum.filter(|_| days.is_empty() && time.is_empty())
}

/// `HH:MM:SS[.fff]`; hours may have more digits.
fn read_clock(text: &str) -> Option<Rational> {
    let mut parts = text.split(':');
    let (hours, minutes, seconds) = (parts.next()?, parts.next()?, parts.next()?);
    let two = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    let sixty = |part: &str| two(part) && part < "60";
    let whole = seconds.split_once('.').map_or(seconds, |(whole, _)| whole);
    if parts.next().is_some() || hours.len() < 2 || !sixty(minutes) || !sixty(whole) {
        return None;
    }
    let sizes = [(hours, 3600), (minutes, 60), (seconds, 1)];
    sizes.into_iter().try_fold(Rational::whole(0), |sum, (part, size)| {
        Some(sum.plus(&decimal(part)?.times(&Rational::whole(size * NANOS))))
    })
}

/// Digits with or without a point; leading zeros are fine, an exponent is not.
fn decimal(text: &str) -> Option<Rational> {
    let is_plain = text.strip_prefix('-').unwrap_or(text).bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let trimmed = digits.trim_start_matches('0');
    let padded =
        if trimmed.is_empty() || trimmed.starts_with('.') { format!("0{trimmed}") } else { trimmed.to_owned() };
    if digits.is_empty() || !is_plain || digits.starts_with('.') {
        return None;
    }
    Rational::parse(&format!("{sign}{padded}"))
}
