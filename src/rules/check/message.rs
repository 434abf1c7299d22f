//! Rules over whole messages: which parts there are, and what they may hold.

use super::service::check_header_name;
use crate::diagnostic::{Diagnostics, codes, suggest};
use crate::path::Place;
use crate::rules::ast::{Rule, RuleKind, Spanned};

/// Which message of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// From the caller.
    Request,
    /// To the caller.
    Response,
    /// Of a channel.
    Message,
    /// To a service, one call of several; its places are checked with its route.
    Call,
    /// To the caller, made of several answers; its places are checked with its route.
    Answers,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Request | Self::Call => "a request",
            Self::Message => "a message",
            Self::Response | Self::Answers => "a response",
        }
    }

    fn parts(self) -> &'static [&'static str] {
        match self {
            Self::Request | Self::Call => &["path", "query", "header", "cookie", "body"],
            Self::Response | Self::Answers => &["status", "header", "body"],
            Self::Message => &["header", "body"],
        }
    }
}

/// `None` where a place of the rule is in no part of the message; that was reported.
pub(super) fn check_message_rule(rule: &Rule, part: Part, diagnostics: &mut Diagnostics) -> Option<()> {
    if matches!(part, Part::Call | Part::Answers) {
        return Some(());
    }
    let (olds, news) = (rule.kind.places(false), rule.kind.places(true));
    let places: Vec<&Place> = olds.iter().chain(news.iter()).collect();
    let default = match &rule.kind {
        RuleKind::Equation { default, .. } | RuleKind::Added { default, .. } | RuleKind::Removed { default, .. } => {
            default.as_ref()
        }
        RuleKind::Mapping(_) => None,
    };
    let takes_whole_parts = matches!(rule.kind, RuleKind::Mapping(_));
    let mut sound = true;
    for place in &places {
        sound &= check_place(place, part, takes_whole_parts, diagnostics).is_some();
    }
    let outside_body = places.iter().any(|place| place.segments.first().is_some_and(|part| part != "body"));
    if let Some(default) = default.filter(|_| outside_body) {
        check_default(default, diagnostics);
    }
    sound.then_some(())
}

/// `takes_whole_parts` is whether the rule may be over all of a part, such as a form of the whole query.
fn check_place(place: &Place, part: Part, takes_whole_parts: bool, diagnostics: &mut Diagnostics) -> Option<()> {
    let known = part.parts();
    let Some((first, rest)) = place.segments.split_first() else {
        diagnostics
            .error(codes::R8, place.span, format!("{} is no document of its own", part.name()))
            .help(format!("name its part: {}", list(known)));
        return None;
    };
    if !known.contains(&first.as_str()) {
        let found = diagnostics.error(codes::R8, place.span, format!("{} has no part `{first}`", part.name()));
        match suggest::closest(first, known.iter().copied()) {
            _ if first == "method" => found.help("the route's own line names the methods"),
            Some(near) => found.help(format!("did you mean `{near}`?")),
            None => found.help(format!("places begin with {}; the body's members with `body.`", list(known))),
        };
        return None;
    }
    // A tail is of names with a variable part.
    if !place.tail.is_empty() || (rest.is_empty() && takes_whole_parts) {
        return Some(());
    }
    match (first.as_str(), rest) {
        ("body", _) | ("status", []) | ("path" | "query" | "cookie", [_]) => Some(()),
        ("header", [name]) => {
            check_header_name(&Spanned { value: name.clone(), span: place.span }, diagnostics).map(drop)
        }
        ("status", _) => {
            diagnostics.error(codes::R8, place.span, "`status` is a single number");
            None
        }
        (_, []) => {
            diagnostics.error(codes::R8, place.span, format!("`{first}` needs a name")).help(format!("`{first}.name`"));
            None
        }
        _ => {
            let found = diagnostics.error(codes::R8, place.span, format!("a {first} value is a single text"));
            found.help("write a name with dots as `query['filter.name']`");
            None
        }
    }
}

/// What is written outside the body must not be able to end a line.
fn check_default(default: &Spanned<String>, diagnostics: &mut Diagnostics) {
    let json = default.value.as_str();
    let is_collection = json.starts_with(['{', '[']);
    if is_collection {
        diagnostics.error(codes::R14, default.span, "only a body holds lists and maps");
    } else if json.contains("\\r") || json.contains("\\n") || json.contains("\\u00") {
        diagnostics.error(codes::R14, default.span, "control characters outside the body");
    }
}

fn list(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|one| format!("`{one}`")).collect();
    quoted.join(", ")
}
