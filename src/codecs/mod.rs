//! What converts a value between its two places: one file a codec, listed once here.

use crate::diagnostic::Diagnostics;
use crate::rules::yaml::Node;

/// A value codec with its arguments, valid in itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Codec {
    /// The bytes stay.
    Same,
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
pub const ALL: &[Info] = &[];

/// Reads the codec `name` from the map that a rule gives it (`{split: " ", at: last}`).
///
/// Keys that belong to no codec option (`default`, `loss`, unknown ones) are the caller's business.
/// `None` where an error was reported.
pub fn parse(_name: &str, _map: &[(Node, Node)], _diagnostics: &mut Diagnostics) -> Option<Codec> {
    None
}
