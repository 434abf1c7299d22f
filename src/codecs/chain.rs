//! Codecs after one another: what two rules of neighbouring steps do to one value.

use super::nothing::Empty;
use super::{Codec, Direction, Guard, json};

impl Codec {
    /// Whether it takes one value to one value by itself: absent stays absent, null stays null, anything else is converted
    /// or refused.
    pub fn is_steady(&self) -> bool {
        !matches!(self, Self::Head(_) | Self::Presence(_) | Self::Nothing(_) | Self::Split(_) | Self::Page(_))
    }

    /// Whether a value may become a multiple of its length.
    fn grows(&self) -> bool {
        match self {
            Self::Replace(_) | Self::Template(_) | Self::Percent(_) | Self::Hex(_) | Self::Base64(_) => true,
            Self::Chain(links) => links.iter().any(Self::grows),
            _ => false,
        }
    }

    /// How many levels deeper than what it is made of a value may be nested.
    pub fn deepens(&self) -> usize {
        let of = |empty: &Empty| match empty {
            Empty::Absent => 0,
            Empty::Value(text) => nesting(text),
        };
        match self {
            Self::Csv(_) => 1,
            Self::Head(codec) => 1 + nesting(codec.empty()),
            Self::Json(_) => json::DEPTH,
            Self::Presence(codec) => nesting(&codec.value),
            Self::Nothing(codec) => of(&codec.old).max(of(&codec.new)),
            Self::Enum(codec) => {
                let rows = codec.rows.iter().flat_map(|(old, new)| [old, new]);
                rows.chain(&codec.else_old).chain(&codec.else_new).map(|text| nesting(text)).max().unwrap_or(0)
            }
            Self::Chain(links) => links.iter().map(Self::deepens).sum(),
            _ => 0,
        }
    }

    /// Both after one another. Nothing where one of them is not [steady](Self::is_steady), so that what lies between them
    /// could be seen; nor where both make values longer, which nobody would bound before the last of them.
    #[must_use]
    pub fn then(&self, next: &Self) -> Option<Self> {
        if !self.is_steady() || !next.is_steady() || (self.grows() && next.grows()) {
            return None;
        }
        let links = |codec: &Self| match codec {
            Self::Same => Vec::new(),
            Self::Chain(links) => links.to_vec(),
            codec => vec![codec.clone()],
        };
        let mut chain = [links(self), links(next)].concat();
        Some(match chain.len() {
            0 | 1 => chain.pop().unwrap_or(Self::Same),
            _ => Self::Chain(chain.into()),
        })
    }
}

/// No less than the levels that a JSON text has.
pub fn nesting(text: &str) -> usize {
    text.bytes().filter(|byte| matches!(byte, b'{' | b'[')).count()
}

/// What one codec wrote is what the next one reads.
pub(super) fn convert(links: &[Codec], direction: Direction, value: &[u8], out: &mut Vec<u8>) -> Result<(), Guard> {
    let start = out.len();
    out.extend_from_slice(value);
    let mut step = |codec: &Codec| {
        let between = out.split_off(start);
        codec.convert(direction, Some(&between), out).map(drop)
    };
    match direction {
        Direction::Up => links.iter().try_for_each(&mut step),
        Direction::Down => links.iter().rev().try_for_each(&mut step),
    }
}
