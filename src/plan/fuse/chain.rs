//! One rule for two that meet at a place of the version between them.

use super::{Doubt, Open};
use crate::codecs::{Codec, Direction};
use crate::plan::compile::default_for;
use crate::plan::lens::Nested;
use crate::rules::checked::{BoundCodec, CheckedKind};

/// One rule for two that meet at one place, neither of them a mere move of it; nothing inside where they cancel out.
pub(super) fn chain(older: &CheckedKind, newest: &CheckedKind, open: &mut Open) -> Result<Option<CheckedKind>, Doubt> {
    use CheckedKind::{Added, Equation, Removed};
    let either = |first: &Option<String>, second: &Option<String>| first.clone().or_else(|| second.clone());
    Ok(match (older, newest) {
        (Added { .. }, Removed { .. }) => None,
        // The value is thrown away on the way down, whatever it is: only where no codec would refuse it.
        (Added { default, .. }, Equation { olds, news, codec: BoundCodec::Value(Codec::Same), default: next }) => {
            let ([_], [to]) = (olds.as_slice(), news.as_slice()) else { return Err(Doubt) };
            Some(Added { place: to.clone(), default: either(default, next) })
        }
        (Equation { olds, codec: BoundCodec::Value(Codec::Same), default, .. }, Removed { default: given, .. }) => {
            let [from] = olds.as_slice() else { return Err(Doubt) };
            Some(Removed { place: from.clone(), default: either(given, default) })
        }
        (
            Equation { olds, codec: first, default: first_default, .. },
            Equation { olds: middle, news, codec: second, default: second_default },
        ) if olds.len() == 1 && middle.len() == 1 && news.len() == 1 => {
            let (codec, default) = match (first, second) {
                (BoundCodec::Value(first), BoundCodec::Value(second)) => {
                    let codec = first.then(second).ok_or(Doubt)?;
                    let steps = [(first, first_default.as_deref()), (second, second_default.as_deref())];
                    let default = joined_default(&codec, steps)?;
                    (BoundCodec::Value(codec), default)
                }
                _ if first_default.is_some() || second_default.is_some() => return Err(Doubt),
                (BoundCodec::As(first), BoundCodec::As(second)) => {
                    (BoundCodec::As(open.id((Some(*first), Some(*second)))), None)
                }
                (BoundCodec::Each { of: first, key }, BoundCodec::Each { of: second, .. }) => {
                    let of = open.id((Some(*first), Some(*second)));
                    (BoundCodec::Each { of, key: key.clone() }, None)
                }
                _ => return Err(Doubt),
            };
            Some(Equation { olds: olds.clone(), news: news.clone(), codec, default })
        }
        _ => return Err(Doubt),
    })
}

/// The default of a chained rule: what absent becomes by both rules, up and down. Nothing where one default cannot say it.
fn joined_default(codec: &Codec, steps: [(&Codec, Option<&str>); 2]) -> Result<Option<String>, Doubt> {
    let [(first, first_default), (second, second_default)] = steps;
    let convert = |codec: &Codec, direction, text: &str| {
        let mut out = Vec::new();
        codec.convert(direction, Some(text.as_bytes()), &mut out).ok()?;
        String::from_utf8(out).ok()
    };
    let up = match first_default {
        Some(text) => Some(convert(second, Direction::Up, text).ok_or(Doubt)?),
        None => second_default.map(str::to_owned),
    };
    let filled =
        |codec, default: Option<&str>| default.and_then(|text| default_for(text, codec, Nested::No, Direction::Down));
    let down = match filled(second, second_default) {
        Some(text) => Some(convert(first, Direction::Down, &text).ok_or(Doubt)?),
        None => filled(first, first_default),
    };
    if filled(codec, up.as_deref()) == down { Ok(up) } else { Err(Doubt) }
}
