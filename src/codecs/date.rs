//! `date: [f, g]`

use jiff::Timestamp;
use jiff::civil::Date as Day;
use jiff::fmt::rfc2822::{DateTimeParser, DateTimePrinter};
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;

use super::argument::Arguments;
use super::value::{check_back, number, text};
use super::{Direction, Guard, Info};
use crate::json::{Rational, write_string};
use crate::rules::yaml::Node;

pub(super) const INFO: Info = Info {
    name: "date",
    options: &["zone"],
    places: (1, 1),
    manual: "\
`date: [f, g]` is a moment in two notations.

```yaml
- created = created_at: {date: [unix, rfc3339]}                     # 1700000000.5 <-> \"2023-11-14T22:13:20.5Z\"
- day = due: {date: [\"%d.%m.%Y\", date]}                             # \"14.11.2023\" <-> \"2023-11-14\"
- at = at: {date: [rfc3339_s, http]}                                # … <-> \"Tue, 14 Nov 2023 22:13:20 GMT\"
- seen = seen: {date: [\"%Y-%m-%d %H:%M:%S\", unix], zone: Europe/Paris}
```

| format | |
|---|---|
| `rfc3339` | `2023-11-14T22:13:20.5Z`, with as many decimals as it takes, up to nanoseconds |
| `rfc3339_s` | the same in whole seconds; the rest is cut |
| `http` | `Tue, 14 Nov 2023 22:13:20 GMT` (RFC 9110); the rest is cut |
| `date` | `2023-11-14`: the day, which stands for its first moment |
| `unix`, `unix_ms`, `unix_us`, `unix_ns` | the number of (milli-, micro-, nano-) seconds since 1970, with decimals where it takes them |
| a text with `%` | a pattern of strftime, such as `%Y-%m-%d %H:%M:%S` |

* `zone:` (default `UTC`) is the time zone, such as `Europe/Paris`, in which texts are written, and in which those without
  an offset are read.
* years 0 to 9999. Each format is read in all its spellings and written in one. On the way up, a text that would come
  back in another spelling (with another offset, or trailing zeros) is refused, unless the rule says `loss:`.

Not old-exact, so say `loss:`, where the old format may hold more than the new one: `rfc3339` (offsets and decimals) into
anything else, decimals of seconds into whole seconds, times into days. Old-exact otherwise.
",
};

const EXPECTED: Guard = Guard::Borrowed("expected a moment in the rule's format");
const OUTSIDE: Guard = Guard::Borrowed("expected a moment of the years 0 to 9999");
const MAX_TEXT: usize = 128;

/// A notation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moment {
    /// RFC 3339 with decimals.
    Rfc3339,
    /// RFC 3339 in whole seconds.
    Seconds,
    /// RFC 9110.
    Http,
    /// A day.
    Day,
    /// A number of units since 1970, which have so many nanoseconds.
    Unix(i64),
    /// A pattern of strftime.
    Pattern(String),
}

/// A moment in two notations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Date {
    /// The old side's notation.
    pub old: Moment,
    /// The new side's notation.
    pub new: Moment,
    /// The zone of texts.
    pub zone: TimeZone,
    /// Whether an old value must come back in its spelling.
    pub strict: bool,
}

/// Whether a pattern has more than a day in it.
fn tells_time(pattern: &str) -> bool {
    let mut letters = pattern.chars();
    while let Some(one) = letters.next() {
        if one == '%' && letters.next().is_none_or(|directive| !"YmdBbhjyCeAauwFDGgUVW%nt".contains(directive)) {
            return true;
        }
    }
    false
}

impl Date {
    pub(super) fn parse(arguments: &mut Arguments<'_>) -> Option<Self> {
        let [old, new] = arguments.pair("write for example `date: [unix, rfc3339]`")?;
        let zone = match arguments.option("zone").map(|node| (node, node.as_str())) {
            None => TimeZone::UTC,
            Some((node, name)) => match name.map(TimeZone::get) {
                Some(Ok(zone)) => zone,
                _ => return arguments.refuse(node.span, "not a time zone", "for example `zone: Europe/Paris`"),
            },
        };
        let (old, new) = (moment(arguments, old, &zone)?, moment(arguments, new, &zone)?);
        Some(Self { old, new, zone, strict: !arguments.accepts_loss() })
    }

    /// Why an old value may not come back.
    pub fn loses(&self) -> Option<&'static str> {
        let has_decimals = |side: &Moment| matches!(side, Moment::Rfc3339 | Moment::Unix(_));
        match (&self.old, &self.new) {
            (old, new) if old == new => None,
            (Moment::Rfc3339, _) => Some("an offset or decimals of the old text may be lost"),
            (Moment::Day, _) => None,
            (Moment::Pattern(pattern), Moment::Day) if !tells_time(pattern) => None,
            (_, Moment::Day) => Some("the time of the day is lost"),
            (old, Moment::Seconds | Moment::Http) if has_decimals(old) => Some("decimals of seconds are lost"),
            _ => None,
        }
    }

    pub(super) fn convert(&self, direction: Direction, value: &[u8], out: &mut Vec<u8>) -> Result<(), Guard> {
        let (from, to) = direction.order(&self.old, &self.new);
        let start = out.len();
        to.write(from.read(value, &self.zone)?, &self.zone, out)?;
        if direction == Direction::Up && self.strict {
            let written = out.get(start..).unwrap_or_default();
            return check_back(value, written, |written, again| {
                from.write(to.read(written, &self.zone)?, &self.zone, again)
            });
        }
        Ok(())
    }
}

fn moment(arguments: &mut Arguments<'_>, node: &Node, zone: &TimeZone) -> Option<Moment> {
    let text = node.as_str().unwrap_or_default();
    let found = match text {
        "rfc3339" => Some(Moment::Rfc3339),
        "rfc3339_s" => Some(Moment::Seconds),
        "http" => Some(Moment::Http),
        "date" => Some(Moment::Day),
        "unix" => Some(Moment::Unix(1_000_000_000)),
        "unix_ms" => Some(Moment::Unix(1_000_000)),
        "unix_us" => Some(Moment::Unix(1000)),
        "unix_ns" => Some(Moment::Unix(1)),
        _ if text.contains('%') => Some(Moment::Pattern(text.to_owned())),
        _ => None,
    };
    let Some(found) = found else {
        let help = "the formats are `rfc3339`, `rfc3339_s`, `http`, `date`, `unix`, `unix_ms`, `unix_us`, `unix_ns`, or a \
                    pattern such as `\"%Y-%m-%d\"`";
        return arguments.refuse(node.span, "not a format of dates", help);
    };
    // A pattern must be able to read what it writes.
    let mut sample = Vec::new();
    let works = found.write(Timestamp::UNIX_EPOCH, zone, &mut sample).is_ok() && found.read(&sample, zone).is_ok();
    if !works {
        let help = "a pattern needs at least the year, month and day: `\"%Y-%m-%d\"`";
        return arguments.refuse(node.span, "a pattern that cannot be read back", help);
    }
    Some(found)
}

impl Moment {
    /// Whether it is a number in JSON.
    pub fn is_number(&self) -> bool {
        matches!(self, Self::Unix(_))
    }

    fn read(&self, value: &[u8], zone: &TimeZone) -> Result<Timestamp, Guard> {
        if let Self::Unix(unit) = self {
            let nanos = number(value)?.times(&Rational::whole(*unit)).to_i128();
            let nanos = nanos.ok_or("expected a moment in whole nanoseconds")?;
            return Timestamp::from_nanosecond(nanos).map_err(|_| OUTSIDE);
        }
        let text = text(value)?;
        if text.len() > MAX_TEXT {
            return Err(EXPECTED);
        }
        let found = match self {
            Self::Rfc3339 | Self::Seconds => text.parse().ok().filter(|_| is_rfc3339(text.as_bytes())),
            Self::Http => DateTimeParser::new().parse_timestamp(&*text).ok(),
            Self::Day if text.len() == 10 => {
                let day = text.parse::<Day>().ok();
                day.and_then(|day| day.to_zoned_datetime(zone.clone()).ok()).map(|zoned| zoned.timestamp())
            }
            Self::Pattern(pattern) => BrokenDownTime::parse(pattern, &*text).ok().and_then(|parts| {
                let there = || parts.to_datetime().ok()?.to_zoned_datetime(zone.clone()).ok();
                parts.to_timestamp().ok().or_else(|| there().map(|zoned| zoned.timestamp()))
            }),
            Self::Day | Self::Unix(_) => None,
        };
        found.ok_or(EXPECTED)
    }

    fn write(&self, moment: Timestamp, zone: &TimeZone, out: &mut Vec<u8>) -> Result<(), Guard> {
        let zoned = moment.to_zoned_datetime(zone.clone());
        if !(0..=9999).contains(&zoned.year()) {
            return Err(OUTSIDE);
        }
        let rfc3339 = |moment: Timestamp| {
            if *zone == TimeZone::UTC {
                moment.to_string()
            } else {
                moment.display_with_offset(zoned.offset()).to_string()
            }
        };
        let text = match self {
            Self::Rfc3339 => rfc3339(moment),
            Self::Seconds => {
                let seconds = moment.as_nanosecond().div_euclid(1_000_000_000);
                rfc3339(Timestamp::from_nanosecond(seconds * 1_000_000_000).map_err(|_| OUTSIDE)?)
            }
            Self::Http => DateTimePrinter::new().timestamp_to_rfc9110_string(&moment).map_err(|_| OUTSIDE)?,
            Self::Day => zoned.date().to_string(),
            Self::Unix(unit) => {
                // Both are whole numbers of moderate size, and a unit is a power of ten: the decimals end.
                let nanos = Rational::parse(&moment.as_nanosecond().to_string());
                let count = nanos.and_then(|nanos| nanos.divide(&Rational::whole(*unit))?.to_text()).ok_or(OUTSIDE)?;
                out.extend_from_slice(count.as_bytes());
                return Ok(());
            }
            Self::Pattern(pattern) => {
                let text = BrokenDownTime::from(&zoned).to_string(pattern).map_err(|_| EXPECTED)?;
                if text.len() > MAX_TEXT {
                    return Err(EXPECTED);
                }
                text
            }
        };
        write_string(&text, out);
        Ok(())
    }
}

/// Seconds since 1970 of a moment (RFC 3339) or of a day's beginning in UTC.
pub(crate) fn moment_of(text: &str) -> Option<i64> {
    if text.len() > MAX_TEXT {
        return None;
    }
    let day = || text.parse::<Day>().ok().filter(|_| text.len() == 10)?.to_zoned_datetime(TimeZone::UTC).ok();
    let moment = text.parse::<Timestamp>().ok().filter(|_| is_rfc3339(text.as_bytes()));
    moment.or_else(|| day().map(|zoned| zoned.timestamp())).map(Timestamp::as_second)
}

/// A moment as HTTP writes it (RFC 9110, 5.6.7).
pub(crate) fn http_date(seconds: u64) -> Option<String> {
    let moment = Timestamp::from_second(i64::try_from(seconds).ok()?).ok()?;
    DateTimePrinter::new().timestamp_to_rfc9110_string(&moment).ok()
}

/// `YYYY-MM-DDTHH:MM:SS[.fff](Z|±HH:MM)`: the shape alone. The parser reads much that RFC 3339 does not have.
fn is_rfc3339(text: &[u8]) -> bool {
    let fits = |text: &[u8], shape: &[u8]| {
        text.len() == shape.len()
            && text.iter().zip(shape).all(|(byte, shape)| match shape {
                b'0' => byte.is_ascii_digit(),
                _ => byte.eq_ignore_ascii_case(shape),
            })
    };
    let Some((head, rest)) = text.split_at_checked(19) else { return false };
    let digits = rest.strip_prefix(b".").map_or(0, |rest| rest.iter().take_while(|byte| byte.is_ascii_digit()).count());
    let is_fraction = digits > 0 || rest.first() != Some(&b'.');
    let offset = rest.get(if digits > 0 { digits + 1 } else { 0 }..).unwrap_or_default();
    let is_offset = fits(offset, b"Z") || fits(offset, b"+00:00") || fits(offset, b"-00:00");
    fits(head, b"0000-00-00T00:00:00") && is_fraction && is_offset
}
