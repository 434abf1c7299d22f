//! What converts a value between its two places: one file a codec, each with both directions, arguments and manual.
//!
//! Every codec keeps one law wherever its guard does not refuse: `down(up(old)) = old`.

mod argument;
mod base64;
mod case;
mod chain;
mod clamp;
mod csv;
mod date;
mod decimal;
mod duration;
mod r#enum;
mod head;
mod hex;
mod invert;
mod json;
mod linear;
mod nothing;
mod page;
mod percent;
mod prefix;
mod presence;
mod reciprocal;
mod replace;
mod split;
mod suffix;
mod template;
mod r#type;
mod value;

use std::borrow::Cow;

pub use base64::Base64;
pub(crate) use base64::decode as decode_base64;
#[cfg(feature = "gateway")]
pub(crate) use base64::encode as encode_base64;
pub use case::{Case, Letters};
pub use chain::nesting;
pub use clamp::Clamp;
pub use csv::Csv;
pub use date::{Date, Moment};
pub(crate) use date::{http_date, moment_of};
pub use decimal::Decimal;
pub use duration::{Duration, Length};
pub use r#enum::Enum;
pub use head::Head;
pub use hex::Hex;
pub use invert::Invert;
pub use json::Json;
pub use linear::Linear;
pub use nothing::{Empty, Nothing};
pub use page::Page;
pub use percent::Percent;
pub use prefix::{Affix, Prefix};
pub use presence::Presence;
pub use reciprocal::Reciprocal;
pub use replace::Replace;
pub use split::{At, Split};
pub use suffix::Suffix;
pub use template::{Fits, Pattern, Template};
pub use r#type::{Scalar, Type};

use crate::diagnostic::Diagnostics;
use crate::rules::yaml::Node;

/// Old to new, or new to old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Old to new.
    Up,
    /// New to old.
    Down,
}

impl Direction {
    /// The way back.
    #[must_use]
    pub fn reverse(self) -> Self {
        match self {
            Self::Up => Self::Down,
            Self::Down => Self::Up,
        }
    }

    /// What an old and a new thing are on this way: where it comes from, and where it goes to.
    pub(crate) fn order<T>(self, old: T, new: T) -> (T, T) {
        match self {
            Self::Up => (old, new),
            Self::Down => (new, old),
        }
    }
}

/// A value codec with its arguments, valid in itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Codec {
    /// The bytes stay.
    Same,
    /// A table of values.
    Enum(Enum),
    /// Not.
    Invert(Invert),
    /// Minor units as a decimal text.
    Decimal(Decimal),
    /// Letter case.
    Case(Case),
    /// A scalar's JSON type.
    Type(Type),
    /// One text, two texts.
    Split(Split),
    /// A value, a list of it.
    Head(Head),
    /// A number in another unit.
    Linear(Linear),
    /// Two numbers of a fixed product.
    Reciprocal(Reciprocal),
    /// A length of time in two notations.
    Duration(Duration),
    /// A moment in two notations.
    Date(Date),
    /// A text and the list of its parts.
    Csv(Csv),
    /// What a text begins with.
    Prefix(Prefix),
    /// What a text ends with.
    Suffix(Suffix),
    /// One text for another, wherever it stands.
    Replace(Replace),
    /// A text by two patterns.
    Template(Template),
    /// A text that holds a value, and the value.
    Json(Json),
    /// A text in Base64.
    Base64(Base64),
    /// A text in hexadecimal digits.
    Hex(Hex),
    /// A text with `%XX` escapes.
    Percent(Percent),
    /// A boolean, and a value that is there or not.
    Presence(Presence),
    /// No value, in the words of both sides.
    Nothing(Nothing),
    /// Bounds of the new value.
    Clamp(Clamp),
    /// A page and its size, an offset and a limit.
    Page(Page),
    /// One after the other, the first nearest the old side. No rule says it: it joins the rules of neighbouring steps.
    Chain(Box<[Codec]>),
}

/// What the rule parser and the manual know of a codec.
#[derive(Debug, Clone, Copy)]
pub struct Info {
    /// Its key in a rule, for example `split`.
    pub name: &'static str,
    /// Its further keys, for example `at` and `fill`.
    pub options: &'static [&'static str],
    /// Its manual page, Markdown.
    pub manual: &'static str,
    /// How many places it joins on the old and on the new side.
    pub places: (usize, usize),
}

/// Every value codec, in the manual's order.
pub const ALL: &[Info] = &[
    r#enum::INFO,
    invert::INFO,
    decimal::INFO,
    case::INFO,
    r#type::INFO,
    split::INFO,
    head::INFO,
    linear::INFO,
    reciprocal::INFO,
    duration::INFO,
    date::INFO,
    csv::INFO,
    prefix::INFO,
    suffix::INFO,
    replace::INFO,
    template::INFO,
    json::INFO,
    base64::INFO,
    hex::INFO,
    percent::INFO,
    presence::INFO,
    nothing::INFO,
    clamp::INFO,
    page::INFO,
];

/// Reads the codec `name` from the map that a rule gives it (`{split: " ", at: last}`).
///
/// Keys that belong to no codec option (`default`, `loss`, unknown ones) are the caller's business.
/// `None` where an error was reported, or where there is no such codec.
pub fn parse(name: &str, map: &[(Node, Node)], diagnostics: &mut Diagnostics) -> Option<Codec> {
    let mut arguments = argument::Arguments::new(name, map, diagnostics)?;
    match name {
        "enum" => Enum::parse(&mut arguments).map(Codec::Enum),
        "invert" => Invert::parse(&mut arguments).map(Codec::Invert),
        "decimal" => Decimal::parse(&mut arguments).map(Codec::Decimal),
        "case" => Case::parse(&mut arguments).map(Codec::Case),
        "type" => Type::parse(&mut arguments).map(Codec::Type),
        "split" => Split::parse(&mut arguments).map(Codec::Split),
        "head" => Head::parse(&mut arguments).map(Codec::Head),
        "linear" => Linear::parse(&mut arguments).map(Codec::Linear),
        "reciprocal" => Reciprocal::parse(&mut arguments).map(Codec::Reciprocal),
        "duration" => Duration::parse(&mut arguments).map(Codec::Duration),
        "date" => Date::parse(&mut arguments).map(Codec::Date),
        "csv" => Csv::parse(&mut arguments).map(Codec::Csv),
        "prefix" => Prefix::parse(&mut arguments).map(Codec::Prefix),
        "suffix" => Suffix::parse(&mut arguments).map(Codec::Suffix),
        "replace" => Replace::parse(&mut arguments).map(Codec::Replace),
        "template" => Template::parse(&mut arguments).map(Codec::Template),
        "json" => Json::parse(&mut arguments).map(Codec::Json),
        "base64" => Base64::parse(&mut arguments).map(Codec::Base64),
        "hex" => Hex::parse(&mut arguments).map(Codec::Hex),
        "percent" => Percent::parse(&mut arguments).map(Codec::Percent),
        "presence" => Presence::parse(&mut arguments).map(Codec::Presence),
        "nothing" => Nothing::parse(&mut arguments).map(Codec::Nothing),
        "clamp" => Clamp::parse(&mut arguments).map(Codec::Clamp),
        "page" => Page::parse(&mut arguments).map(Codec::Page),
        _ => None,
    }
}

/// Why a value is outside what a codec can convert. Says what was expected, never the value.
pub type Guard = Cow<'static, str>;

/// What a conversion wrote for one place: nothing, or a range of the output buffer.
pub type Written = Option<(usize, usize)>;

impl Codec {
    /// Its key in a rule.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Enum(_) => "enum",
            Self::Invert(_) => "invert",
            Self::Decimal(_) => "decimal",
            Self::Case(_) => "case",
            Self::Type(_) => "type",
            Self::Split(_) => "split",
            Self::Head(_) => "head",
            Self::Linear(_) => "linear",
            Self::Reciprocal(_) => "reciprocal",
            Self::Duration(_) => "duration",
            Self::Date(_) => "date",
            Self::Csv(_) => "csv",
            Self::Prefix(_) => "prefix",
            Self::Suffix(_) => "suffix",
            Self::Replace(_) => "replace",
            Self::Template(_) => "template",
            Self::Json(_) => "json",
            Self::Base64(_) => "base64",
            Self::Hex(_) => "hex",
            Self::Percent(_) => "percent",
            Self::Presence(_) => "presence",
            Self::Nothing(_) => "nothing",
            Self::Clamp(_) => "clamp",
            Self::Page(_) => "page",
            Self::Chain(_) => "chain",
        }
    }

    /// How many values it takes in a direction, and how many it gives.
    pub fn arity(&self, direction: Direction) -> (usize, usize) {
        match (self, direction) {
            (Self::Split(_), Direction::Up) => (1, 2),
            (Self::Split(_), Direction::Down) => (2, 1),
            (Self::Page(_), _) => (2, 2),
            _ => (1, 1),
        }
    }

    /// Whether null stays null, or is refused by no one.
    pub fn keeps_null(&self) -> bool {
        match self {
            Self::Head(_) | Self::Split(_) | Self::Page(_) | Self::Presence(_) => false,
            Self::Nothing(codec) => !codec.concerns_null(),
            _ => true,
        }
    }

    /// Whether an absent value of a side comes back as something.
    pub fn fills_in(&self, is_old: bool) -> bool {
        match self {
            Self::Head(_) | Self::Presence(_) => is_old,
            Self::Nothing(codec) => is_old && codec.fills_in(),
            Self::Page(_) => true,
            _ => false,
        }
    }

    /// Why old values may not come back, whatever the schemas say; such a rule needs its author's `loss:`.
    pub fn loses(&self) -> Option<&'static str> {
        match self {
            Self::Linear(codec) => codec.loses(),
            Self::Reciprocal(_) => Some("the way up is rounded"),
            Self::Date(codec) => codec.loses(),
            Self::Clamp(_) => Some("values beyond the bounds are lost"),
            _ => None,
        }
    }

    /// Converts one value to one value: appends its JSON text to `out`, or answers `false` where the place stays
    /// absent. `value` is the raw JSON text of the source, `None` where it is absent.
    ///
    /// For every codec but `head`, `presence` and `nothing`, absent stays absent and null stays null.
    ///
    /// # Errors
    /// A [`Guard`] where the value is outside the codec's domain; `out` may then hold a part of a value.
    pub fn convert(&self, direction: Direction, value: Option<&[u8]>, out: &mut Vec<u8>) -> Result<bool, Guard> {
        match self {
            Self::Head(codec) => return codec.convert(direction, value, out),
            Self::Presence(codec) => return codec.convert(direction, value, out),
            Self::Nothing(codec) => return codec.convert(direction, value, out),
            _ => {}
        }
        let Some(value) = value else { return Ok(false) };
        if value == b"null" {
            out.extend_from_slice(value);
            return Ok(true);
        }
        match self {
            // `split` and `page` join several places and are asked through `convert_many`.
            Self::Same | Self::Head(_) | Self::Presence(_) | Self::Nothing(_) | Self::Split(_) | Self::Page(_) => {
                out.extend_from_slice(value);
            }
            Self::Enum(codec) => codec.convert(direction, value, out)?,
            Self::Invert(codec) => codec.convert(value, out)?,
            Self::Decimal(codec) => codec.convert(direction, value, out)?,
            Self::Case(codec) => codec.convert(direction, value, out)?,
            Self::Type(codec) => codec.convert(direction, value, out)?,
            Self::Linear(codec) => codec.convert(direction, value, out)?,
            Self::Reciprocal(codec) => codec.convert(value, out)?,
            Self::Duration(codec) => codec.convert(direction, value, out)?,
            Self::Date(codec) => codec.convert(direction, value, out)?,
            Self::Csv(codec) => codec.convert(direction, value, out)?,
            Self::Prefix(codec) => codec.convert(direction, value, out)?,
            Self::Suffix(codec) => codec.convert(direction, value, out)?,
            Self::Replace(codec) => codec.convert(direction, value, out)?,
            Self::Template(codec) => codec.convert(direction, value, out)?,
            Self::Json(codec) => codec.convert(direction, value, out)?,
            Self::Base64(codec) => codec.convert(direction, value, out)?,
            Self::Hex(codec) => codec.convert(direction, value, out)?,
            Self::Percent(codec) => codec.convert(direction, value, out)?,
            Self::Clamp(codec) => codec.convert(direction, value, out)?,
            Self::Chain(links) => chain::convert(links, direction, value, out)?,
        }
        Ok(true)
    }

    /// Converts several values to several: appends texts to `out` and says where each is.
    ///
    /// `inputs` and `outputs` have the lengths that [`Codec::arity`] names.
    ///
    /// # Errors
    /// A [`Guard`] where a value is outside the codec's domain.
    pub fn convert_many(
        &self,
        direction: Direction,
        inputs: &[Option<&[u8]>],
        outputs: &mut [Written],
        out: &mut Vec<u8>,
    ) -> Result<(), Guard> {
        match self {
            Self::Split(codec) => return codec.convert(direction, inputs, outputs, out),
            Self::Page(codec) => return codec.convert(direction, inputs, outputs, out),
            _ => {}
        }
        let start = out.len();
        let written = self.convert(direction, inputs.first().copied().flatten(), out)?;
        if let Some(output) = outputs.first_mut() {
            *output = written.then_some((start, out.len()));
        }
        Ok(())
    }
}
