//! Values inside a codec's domain, for codecs whose new values are what old ones become.

use super::generate::{any, number, text};
use super::random::Random;
use super::value::Value;
use crate::codecs::{Affix, Codec, Date, Direction, Duration, Empty, Fits, Length, Letters, Moment, Scalar};

/// Tries before a value that the codec refuses is given up.
const TRIES: usize = 20;

/// Whether schemas cannot state what the codec accepts, so that only values made for it say anything of it.
pub(super) fn is_unsaid(codec: &Codec) -> bool {
    match codec {
        Codec::Same
        | Codec::Enum(_)
        | Codec::Invert(_)
        | Codec::Decimal(_)
        | Codec::Case(_)
        | Codec::Split(_)
        | Codec::Head(_) => false,
        Codec::Type(codec) => codec.new != Scalar::String && codec.old != Scalar::String,
        _ => true,
    }
}

/// A value of one side that the codec accepts; null where none was found.
pub(super) fn value(codec: &Codec, is_old: bool, index: usize, random: &mut Random) -> Value {
    if let Codec::Page(page) = codec {
        // The parts are made apart, and any of these offsets is a multiple of any of these sizes.
        let sizes = [10, 20, 50];
        let made = match (is_old, index) {
            (_, 1) => random.pick(&sizes).copied().unwrap_or(10),
            (true, _) => page.first + random.below(5) as u64,
            (false, _) => 100 * random.below(5) as u64,
        };
        return Value::Number(made.to_string());
    }
    for _ in 0..TRIES {
        let old = old(codec, random);
        let json = old.to_json();
        let mut new = Vec::new();
        let Ok(written) = codec.convert(Direction::Up, Some(&json), &mut new) else { continue };
        // Rounding may lead out of the domain of the way down.
        if codec.convert(Direction::Down, written.then_some(&new), &mut Vec::new()).is_err() {
            continue;
        }
        match Value::parse(&new) {
            _ if is_old => return old,
            Some(new) if written => return new,
            _ => {}
        }
    }
    Value::Null
}

/// A value that is likely to be in the old side's domain.
fn old(codec: &Codec, random: &mut Random) -> Value {
    let length = 1 + random.below(5);
    match codec {
        Codec::Linear(_) | Codec::Reciprocal(_) => Value::Number(number(random, true)),
        Codec::Duration(codec) => duration(codec, random),
        Codec::Date(codec) => date(codec, random),
        Codec::Csv(codec) => {
            let parts: Vec<String> = (0..random.below(4)).map(|_| text(random, length)).collect();
            Value::String([codec.wrap.0.as_str(), &parts.join(&codec.separator), &codec.wrap.1].concat())
        }
        Codec::Prefix(codec) => {
            let Affix { old, .. } = &codec.0;
            Value::String(old.clone() + &text(random, length))
        }
        Codec::Suffix(codec) => Value::String(text(random, length) + &codec.0.old),
        Codec::Replace(codec) => Value::String([text(random, length), text(random, length)].join(&codec.old)),
        Codec::Template(codec) => {
            let inner = |fits: Fits, random: &mut Random| match fits {
                Fits::Digits => random.below(10_000).to_string(),
                Fits::Any | Fits::Word => (0..=random.below(5)).map(|_| letter(random)).collect(),
            };
            let holes = codec.old.holes.iter();
            let found: Vec<(&str, String)> =
                holes.map(|(name, fits, _)| (name.as_str(), inner(*fits, random))).collect();
            let found: Vec<(&str, &str)> = found.iter().map(|(name, inner)| (*name, inner.as_str())).collect();
            Value::String(codec.old.print(&found))
        }
        Codec::Json(_) => Value::String(String::from_utf8(any(random, 3).to_json()).unwrap_or_default()),
        // What the way down writes is in the domain of the way up.
        Codec::Base64(_) | Codec::Hex(_) | Codec::Percent(_) => {
            let (plain, mut encoded) = (Value::String(text(random, length)).to_json(), Vec::new());
            let written = codec.convert(Direction::Down, Some(&plain), &mut encoded);
            written.ok().and_then(|_| Value::parse(&encoded)).unwrap_or(Value::Null)
        }
        Codec::Presence(_) => Value::Bool(random.chance(50)),
        Codec::Nothing(codec) => match &codec.old {
            Empty::Value(json) if random.chance(40) => Value::parse(json.as_bytes()).unwrap_or(Value::Null),
            _ => any(random, 3),
        },
        Codec::Clamp(codec) if codec.has_numbers() => Value::Number(number(random, true)),
        Codec::Clamp(codec) => {
            let length = codec.length.unwrap_or(0).min(100) + random.below(3);
            Value::String(text(random, length))
        }
        _ => Value::Null,
    }
}

fn letter(random: &mut Random) -> char {
    random.pick(&['a', 'b', 'x', 'z']).copied().unwrap_or('a')
}

fn duration(codec: &Duration, random: &mut Random) -> Value {
    // Another unit of the same codec spells any whole number of it, so every notation is reached from a number.
    let nanos = [1_000_000_000_i64, 60_000_000_000, 3_600_000_000_000, 86_400_000_000_000, 1_000_000];
    let unit = random.pick(&nanos).copied().unwrap_or(1);
    let from = Codec::Duration(Duration { old: codec.old.clone(), new: Length::Number(unit), strict: true });
    let count = random.below(400).to_string();
    let mut written = Vec::new();
    let made = from.convert(Direction::Down, Some(count.as_bytes()), &mut written);
    made.ok().and_then(|_| Value::parse(&written)).unwrap_or(Value::Null)
}

fn date(codec: &Date, random: &mut Random) -> Value {
    let new = Moment::Unix(1_000_000_000);
    let from = Codec::Date(Date { old: codec.old.clone(), new, zone: codec.zone.clone(), strict: true });
    let seconds = random.below(4_000_000_000);
    let count = if random.chance(30) { format!("{seconds}.5") } else { seconds.to_string() };
    let mut written = Vec::new();
    let made = from.convert(Direction::Down, Some(count.as_bytes()), &mut written);
    made.ok().and_then(|_| Value::parse(&written)).unwrap_or(Value::Null)
}

/// A text of one or two words, written in a case.
pub(super) fn cased(letters: Letters, random: &mut Random) -> String {
    if matches!(letters, Letters::Lower | Letters::Upper) {
        let length = 1 + random.below(4);
        let plain: Vec<char> = "abcx yz".chars().collect();
        let made: String = (0..length).filter_map(|_| random.pick(&plain).copied()).collect();
        return if letters == Letters::Upper { made.to_uppercase() } else { made };
    }
    let words: Vec<String> =
        (0..=random.below(2)).map(|_| (0..2 + random.below(3)).map(|_| letter(random)).collect()).collect();
    letters.apply(&words.join("_"))
}
