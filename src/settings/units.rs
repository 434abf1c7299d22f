//! Sizes and durations as people write them.

use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error};

/// A number of bytes: `1024`, `"32 KiB"`, `"10 MB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size(pub(super) u64);

/// A span of time: `"10s"`, `"150ms"`, `"1m 30s"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span(pub(super) Duration);

#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrText {
    Number(i64),
    Text(String),
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match NumberOrText::deserialize(from)? {
            NumberOrText::Number(count) => {
                u64::try_from(count).map(Self).map_err(|_| D::Error::custom("a size is not negative"))
            }
            NumberOrText::Text(text) => parse_size(&text)
                .map(Self)
                .ok_or_else(|| D::Error::custom(format!("`{text}` is not a size such as `4096` or `32 KiB`"))),
        }
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match NumberOrText::deserialize(from)? {
            NumberOrText::Number(count) => {
                Err(D::Error::custom(format!("`{count}` needs a unit, for example `{count}s`")))
            }
            NumberOrText::Text(text) => {
                let quoted = serde::de::value::StringDeserializer::<D::Error>::new(text.clone());
                let read: Result<Duration, D::Error> = humantime_serde::deserialize(quoted);
                read.map(Self).map_err(|_| D::Error::custom(format!("`{text}` is not a time such as `10s` or `150ms`")))
            }
        }
    }
}

fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = text.split_at_checked(digits)?;
    let unit: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => return None,
    };
    count.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::parse_size;

    #[test]
    fn sizes_are_read_with_and_without_units() {
        assert_eq!(parse_size("4096"), Some(4096));
        assert_eq!(parse_size("32 KiB"), Some(32 << 10));
        assert_eq!(parse_size(" 10MiB "), Some(10 << 20));
        assert_eq!(parse_size("1 MB"), Some(1_000_000));
        for wrong in ["", "KiB", "-1", "1.5 MiB", "1 parsec", "99999999999 GiB"] {
            assert_eq!(parse_size(wrong), None, "{wrong}");
        }
    }
}
