//! Node -> ast: the shape of every part, each mistake reported at its place.
//!
//! A part that cannot be read is left out after it was reported, so that nothing that follows from it is reported too.

mod answer;
mod asynchronous;
mod calls;
mod channel;
mod convert;
mod equation;
mod file;
mod follow;
pub(super) mod keys;
mod mapping;
mod pattern;
mod publish;
mod route;
mod rule;
mod service;
mod upstream;

use std::collections::HashMap;

use super::ast::{RuleFile, ServiceFile, Spanned};
use super::yaml::{Node, to_json};
use crate::diagnostic::{Diagnostics, Span, codes, suggest};
use crate::path::{Place, PlaceError, parse_place};

/// Rules of one service.
pub(super) const MAX_RULES: usize = 20_000;
/// Entries of any other list or map.
pub(super) const MAX_ENTRIES: usize = 10_000;

/// Reads `service.yaml`. `None` where no version can be known.
pub(super) fn parse_service(node: &Node, diagnostics: &mut Diagnostics) -> Option<ServiceFile> {
    Parser { diagnostics, rules_left: MAX_RULES }.service(node)
}

/// What a rule file's name says of its versions.
pub(super) enum Named {
    /// `v1-v2.yaml`.
    Pair(String, String),
    /// Nothing; these names would.
    Other(Vec<String>),
    /// The service's versions are not known, so neither is what the name means.
    Unknown,
}

/// Reads a rule file.
pub(super) fn parse_rule_file(
    node: &Node,
    named: Named,
    rules_left: &mut usize,
    diagnostics: &mut Diagnostics,
) -> Option<RuleFile> {
    let mut parser = Parser { diagnostics, rules_left: *rules_left };
    let file = parser.rule_file(node, named);
    *rules_left = parser.rules_left;
    file
}

struct Parser<'d> {
    diagnostics: &'d mut Diagnostics,
    rules_left: usize,
}

/// A map's members by name, checked against the keys that are allowed.
struct Members<'n>(HashMap<&'n str, (&'n Node, &'n Node)>);

impl<'n> Members<'n> {
    fn get(&self, key: &str) -> Option<&'n Node> {
        self.0.get(key).map(|(_, value)| *value)
    }
}

impl Parser<'_> {
    /// The members of a map; keys other than `allowed` are reported.
    fn members<'n>(&mut self, node: &'n Node, what: &str, allowed: &[&str]) -> Option<Members<'n>> {
        let map = self.map(node, what)?;
        for (key, _) in map {
            let name = key.as_str().unwrap_or_default();
            if !allowed.contains(&name) {
                self.unknown_key(key, what, allowed);
            }
        }
        Some(Members(map.iter().filter_map(|(key, value)| Some((key.as_str()?, (key, value)))).collect()))
    }

    fn unknown_key(&mut self, key: &Node, what: &str, allowed: &[&str]) {
        let name = key.as_str().unwrap_or_default();
        let found = self.diagnostics.error(codes::R5, key.span, format!("unknown key `{}` in {what}", short(name)));
        if let Some(help) = suggest::help(name, allowed.iter().copied()) {
            found.help(help);
        }
    }

    fn map<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [(Node, Node)]> {
        let map = node.as_map();
        if map.is_none() {
            self.shape(node, what, "a map");
        }
        map
    }

    /// The elements of a list that is not empty.
    fn list<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [Node]> {
        let Some(list) = node.as_list() else {
            self.shape(node, what, "a list");
            return None;
        };
        if list.is_empty() {
            self.diagnostics
                .error(codes::R6, node.span, format!("{what} must not be an empty list"))
                .help("leave the key out where there is nothing to say");
            return None;
        }
        self.bounded(list.len(), node.span, what).then_some(list)
    }

    /// Whether a number of entries is within the limit.
    fn bounded(&mut self, count: usize, at: Span, what: &str) -> bool {
        let fits = count <= MAX_ENTRIES;
        if !fits {
            self.diagnostics.error(
                codes::E15,
                start(at),
                format!("{what} has {count} entries, the limit is {MAX_ENTRIES}"),
            );
        }
        fits
    }

    /// A scalar with at least one letter.
    fn text(&mut self, node: &Node, what: &str) -> Option<Spanned<String>> {
        match node.as_str() {
            Some(text) if !node.is_null() && !text.is_empty() => {
                Some(Spanned { value: text.to_owned(), span: node.span })
            }
            _ => {
                self.shape(node, what, "a text");
                None
            }
        }
    }

    fn boolean(&mut self, node: &Node, what: &str) -> Option<bool> {
        let value = node.as_bool();
        if value.is_none() {
            self.shape(node, what, "`true` or `false`");
        }
        value
    }

    fn shape(&mut self, node: &Node, what: &str, expected: &str) {
        let found = if node.as_str().is_some_and(str::is_empty) { "nothing" } else { node.describe() };
        self.diagnostics.error(codes::R6, node.span, format!("{what} must be {expected}, found {found}"));
    }

    fn missing(&mut self, at: Span, what: &str, key: &str, help: &str) {
        self.diagnostics.error(codes::R7, at, format!("{what} needs `{key}`")).help(help);
    }

    /// A value as exact JSON text.
    fn json(&mut self, node: &Node) -> Option<Spanned<String>> {
        match to_json(node) {
            Ok(value) => Some(Spanned { value, span: node.span }),
            Err(error) => {
                self.diagnostics.error(codes::R4, error.span, error.message).help(error.help);
                None
            }
        }
    }

    /// The part `start..end` of a scalar as a place.
    fn place(&mut self, node: &Node, start: usize, end: usize) -> Option<Place> {
        let text = node.as_str()?.get(start..end)?;
        match parse_place(text, node.part(start, end)) {
            Ok(place) => Some(place),
            Err(error) => {
                let at = node.part(start + error.at.start, start + error.at.end);
                self.path_error(codes::R8, &error, at);
                None
            }
        }
    }

    /// A place that is part of a longer text: its mistakes are shown at the whole text.
    fn place_of(&mut self, node: &Node, text: &str) -> Option<Place> {
        match parse_place(text, node.span) {
            Ok(place) => Some(place),
            Err(error) => {
                self.path_error(codes::R8, &error, node.span);
                None
            }
        }
    }

    fn path_error(&mut self, code: crate::diagnostic::Code, error: &PlaceError, at: Span) {
        let code = if error.over_limit { codes::E15 } else { code };
        let found = self.diagnostics.error(code, at, error.message.clone());
        if let Some(help) = error.help {
            found.help(help);
        }
    }
}

/// A point at a span's start, for messages about something too large to show.
fn start(span: Span) -> Span {
    span.slice(0, 0)
}

/// A name that fits in a message.
fn short(name: &str) -> String {
    if name.chars().count() <= 60 {
        name.to_owned()
    } else {
        format!("{}…", name.chars().take(60).collect::<String>())
    }
}
