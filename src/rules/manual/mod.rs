//! The manual of the rule language: one page for every operation, rule form, kind of place and part of a route.
//!
//! Value codecs tell their own story, beside their code in [`crate::codecs`]. What is written here is what the parser
//! goes by, too: a conversion's name and options are read from its page. The examples of every page are tried by
//! `tests/it/docs/manual.rs`.

mod beside;
mod channels;
mod conversions;
mod forms;
mod places;
mod routes;
mod rules;

/// What a page tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An entry of a rule list.
    Rule,
    /// A conversion of one value that needs more than the value itself.
    Conversion,
    /// What an entry may say beside its conversion.
    Beside,
    /// How values are described.
    Form,
    /// How places are written.
    Place,
    /// How messages are joined.
    Route,
    /// How messages of queues and topics are described.
    Channel,
}

impl Kind {
    /// Every kind with its heading, in the manual's order.
    pub const ALL: [(Self, &'static str); 7] = [
        (Self::Rule, "Rules"),
        (Self::Conversion, "Conversions of structure"),
        (Self::Beside, "Beside a conversion"),
        (Self::Form, "Forms"),
        (Self::Place, "Places"),
        (Self::Route, "Routes"),
        (Self::Channel, "Queues and topics"),
    ];
}

/// One page.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// What it is called; for rules, conversions and what stands beside them their key.
    pub name: &'static str,
    /// What it tells of.
    pub kind: Kind,
    /// Keys that belong to it and stand in the same map.
    pub options: &'static [&'static str],
    /// The page in one line.
    pub line: &'static str,
    /// The page, Markdown. A `pairs` block shows what the rules above it do: old left, new right.
    pub manual: &'static str,
}

/// Every page, in the manual's order.
pub fn all() -> impl Iterator<Item = &'static Page> {
    let rules = [rules::PAGES, conversions::PAGES, beside::PAGES, forms::PAGES, places::PAGES];
    rules.into_iter().chain([routes::PAGES, channels::PAGES]).flatten()
}

/// The conversions of structure.
pub fn conversions() -> impl Iterator<Item = &'static Page> {
    conversions::PAGES.iter()
}

/// The page of this name, in any letter case.
pub fn find(name: &str) -> Option<&'static Page> {
    all().find(|page| page.name.eq_ignore_ascii_case(name))
}
