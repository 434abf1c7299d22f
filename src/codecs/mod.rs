//! What converts a value between its two places: one file a codec, each with both directions, arguments and manual.
//!
//! Every codec keeps one law wherever its guard does not refuse: `down(up(old)) = old`.

mod argument;
mod case;
mod decimal;
mod r#enum;
mod head;
mod invert;
mod split;
mod r#type;

use std::borrow::Cow;

pub use case::{Case, Letters};
pub use decimal::Decimal;
pub use r#enum::Enum;
pub use head::Head;
pub use invert::Invert;
pub use split::{At, Split};
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
pub const ALL: &[Info] =
    &[r#enum::INFO, invert::INFO, decimal::INFO, case::INFO, r#type::INFO, split::INFO, head::INFO];

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
        }
    }

    /// How many values it takes in a direction, and how many it gives.
    pub fn arity(&self, direction: Direction) -> (usize, usize) {
        match (self, direction) {
            (Self::Split(_), Direction::Up) => (1, 2),
            (Self::Split(_), Direction::Down) => (2, 1),
            _ => (1, 1),
        }
    }

    /// Converts one value to one value: appends its JSON text to `out`, or answers `false` where the place stays
    /// absent. `value` is the raw JSON text of the source, `None` where it is absent.
    ///
    /// For every codec but `head`, absent stays absent and null stays null.
    ///
    /// # Errors
    /// A [`Guard`] where the value is outside the codec's domain; `out` may then hold a part of a value.
    pub fn convert(&self, direction: Direction, value: Option<&[u8]>, out: &mut Vec<u8>) -> Result<bool, Guard> {
        if let Self::Head(head) = self {
            return head.convert(direction, value, out);
        }
        let Some(value) = value else { return Ok(false) };
        if value == b"null" {
            out.extend_from_slice(value);
            return Ok(true);
        }
        match self {
            // `split` joins several places and is asked through `convert_many`.
            Self::Same | Self::Head(_) | Self::Split(_) => out.extend_from_slice(value),
            Self::Enum(codec) => codec.convert(direction, value, out)?,
            Self::Invert(codec) => codec.convert(value, out)?,
            Self::Decimal(codec) => codec.convert(direction, value, out)?,
            Self::Case(codec) => codec.convert(direction, value, out)?,
            Self::Type(codec) => codec.convert(direction, value, out)?,
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
        if let Self::Split(split) = self {
            return split.convert(direction, inputs, outputs, out);
        }
        let start = out.len();
        let written = self.convert(direction, inputs.first().copied().flatten(), out)?;
        if let Some(output) = outputs.first_mut() {
            *output = written.then_some((start, out.len()));
        }
        Ok(())
    }
}
