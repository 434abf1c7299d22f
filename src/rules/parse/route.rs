//! `METHOD /old = METHOD /new: {…}`.

use std::collections::HashMap;

use super::{Parser, keys, short};
use crate::diagnostic::{Span, codes};
use crate::path::Place;
use crate::path::template::Template;
use crate::rules::ast::{
    CodecDecl, MappedDecl, MessageRules, RouteDecl, Rule, RuleKind, Spanned, StatusKey, TypeRef, WriteMode,
};
use crate::rules::asynchronous::Follow;
use crate::rules::calls::CallsDecl;
use crate::rules::mapping::When;
use crate::rules::yaml::Node;

const KEYS: [&str; 7] = ["write", "follow", "request", "response", "responses", "default", "200"];

impl Parser<'_> {
    pub(super) fn routes(&mut self, node: &Node) -> (Vec<RouteDecl>, Vec<CallsDecl>) {
        let (mut routes, mut calls) = (Vec::new(), Vec::new());
        for one in self.list(node, "`routes`").unwrap_or_default() {
            match one.as_map() {
                Some([(line, value)]) if value.get("calls").is_some() => calls.extend(self.calls_route(line, value)),
                _ => routes.extend(self.route(one)),
            }
        }
        (routes, calls)
    }

    fn route(&mut self, node: &Node) -> Option<RouteDecl> {
        let (line, value) = match node.as_map() {
            Some([(line, value)]) => (line, Some(value)),
            Some(_) => {
                let help = "each route is an entry of its own; its `request` and responses are indented below it";
                self.diagnostics.error(codes::R10, node.span, "several keys in one route").help(help);
                return None;
            }
            None => (node, None),
        };
        self.text(line, "a route")?;
        let sides = self.templates(line);
        let mut route = RouteBody::default();
        if let Some(value) = value.filter(|value| !value.is_null()) {
            self.route_body(value, &mut route);
        }
        let (old, new) = sides?;
        let RouteBody { write, follow, request, responses, mapped } = route;
        Some(RouteDecl { old, new, write, follow, request, responses, mapped, span: line.span })
    }

    fn templates(&mut self, node: &Node) -> Option<(Template, Template)> {
        let text = node.as_str()?;
        if let Some(colon) = text.find(": ") {
            self.diagnostics
                .error(codes::R10, node.part(colon, colon + 1), "a route whose messages stand inside its quotes")
                .help("close them before the colon, `\"GET /old = GET /new\": {…}`; most routes need no quotes");
            return None;
        }
        let (old, new) = match text.split_once(" = ") {
            Some((old, new)) => (0..old.len(), text.len() - new.len()..text.len()),
            None => (0..text.len(), 0..text.len()),
        };
        let same = old == new;
        let mut side = |range: std::ops::Range<usize>| {
            let written = text.get(range.clone())?;
            let start = range.start + written.len() - written.trim_start().len();
            let trimmed = written.trim();
            match Template::parse(trimmed, node.part(start, start + trimmed.len())) {
                Ok(template) => Some(template),
                Err(error) => {
                    let at = node.part(start + error.at.start, start + error.at.end);
                    self.path_error(codes::R10, &error, at);
                    None
                }
            }
        };
        let old = side(old);
        let new = if same { old.clone() } else { side(new) };
        Some((old?, new?))
    }

    pub(super) fn route_body(&mut self, node: &Node, route: &mut RouteBody) {
        let Some(map) = self.map(node, "a route") else { return };
        let mut seen: HashMap<StatusKey, Span> = HashMap::new();
        for (key, value) in map {
            let name = key.as_str().unwrap_or_default();
            match name {
                "write" => route.write = self.write_mode(value),
                "follow" => route.follow = self.follow(value),
                "request" => route.request = self.message(value),
                "responses" => route.mapped.extend(self.mapped(value)),
                _ if name.contains(" = ") => {
                    let rules = if value.is_null() { Some(None) } else { self.message(value).map(Some) };
                    let (statuses, Some(rules)) = (self.statuses(key), rules) else { continue };
                    let Some((old, new)) = statuses else { continue };
                    route.mapped.push(MappedDecl { old, new, when: When::ALWAYS, rules, span: key.span });
                }
                _ => {
                    let Some(status) = parse_status(name) else {
                        self.unknown_status(key, name);
                        continue;
                    };
                    if let Some(before) = seen.insert(status, key.span) {
                        self.diagnostics
                            .error(codes::R12, key.span, "a second entry for the same responses")
                            .related(before, "the first one")
                            .help("`response` is short for `2XX`");
                        continue;
                    }
                    if let Some(rules) = self.message(value) {
                        route.responses.push((Spanned { value: status, span: key.span }, rules));
                    }
                }
            }
        }
    }

    /// `404 = 200`, or one status for both sides.
    fn statuses(&mut self, node: &Node) -> Option<(StatusKey, StatusKey)> {
        let text = node.as_str().unwrap_or_default();
        let (old, new) = text.split_once(" = ").unwrap_or((text, text));
        let (Some(old), Some(new)) = (parse_status(old.trim()), parse_status(new.trim())) else {
            self.unknown_status(node, text);
            return None;
        };
        Some((old, new))
    }

    /// `[{status: 404 = 200, when: …, rules: …}]`
    fn mapped(&mut self, node: &Node) -> Vec<MappedDecl> {
        let Some(list) = self.list(node, "`responses`") else { return Vec::new() };
        let one = |node: &Node| {
            let members = self.members(node, "a response", keys::RESPONSE)?;
            let Some(status) = members.get("status") else {
                self.missing(node.span, "a response", "status", "`200`, or `404 = 200` where it changes");
                return None;
            };
            let (old, new) = self.statuses(status)?;
            let when = members.get("when").map_or(Some(When::ALWAYS), |node| self.when(node))?;
            let rules = match members.get("rules") {
                None => None,
                Some(node) => Some(self.message(node)?),
            };
            Some(MappedDecl { old, new, when, rules, span: node.span })
        };
        list.iter().filter_map(one).collect()
    }

    fn unknown_status(&mut self, key: &Node, name: &str) {
        if name.starts_with(|one: char| one.is_ascii_digit()) {
            self.diagnostics
                .error(codes::R14, key.span, format!("`{}` is not a status", short(name)))
                .help("write a status (`200`), a class (`4XX`), `response` (for `2XX`) or `default`");
        } else {
            self.unknown_key(key, "a route", &KEYS);
        }
    }

    fn write_mode(&mut self, node: &Node) -> Option<Spanned<WriteMode>> {
        let value = match node.as_str() {
            Some("replace") => WriteMode::Replace,
            Some("merge") => WriteMode::Merge,
            _ => {
                self.shape(node, "`write`", "`replace` or `merge`");
                return None;
            }
        };
        Some(Spanned { value, span: node.span })
    }

    /// `Order`, short for `[{body: Order}]`, or a list of rules.
    pub(super) fn message(&mut self, node: &Node) -> Option<MessageRules> {
        if node.as_list().is_some() {
            return Some(MessageRules { rules: self.rules(node, "a message")?, span: node.span });
        }
        if node.as_map().is_some() {
            self.shape(node, "a message", "the type of its body or a list of rules");
            return None;
        }
        let TypeRef::Named(name) = self.type_ref(node)? else { return None };
        let span = name.span;
        let body = || vec![Place::plain(vec!["body".to_owned()], span)];
        let codec = CodecDecl::As(TypeRef::Named(name));
        let kind = RuleKind::Equation { olds: body(), news: body(), codec, default: None };
        Some(MessageRules { rules: vec![Rule { kind, loss: None, span }], span })
    }
}

#[derive(Default)]
pub(super) struct RouteBody {
    write: Option<Spanned<WriteMode>>,
    follow: Option<Follow>,
    request: Option<MessageRules>,
    pub(super) responses: Vec<(Spanned<StatusKey>, MessageRules)>,
    pub(super) mapped: Vec<MappedDecl>,
}

pub(super) fn parse_status(name: &str) -> Option<StatusKey> {
    match name {
        "response" => return Some(StatusKey::Class(2)),
        "default" => return Some(StatusKey::Default),
        _ => {}
    }
    if let Some(class) = name.strip_suffix("XX").or_else(|| name.strip_suffix("xx")) {
        return class.parse().ok().filter(|class| (1..=5).contains(class)).map(StatusKey::Class);
    }
    name.parse().ok().filter(|status| name.len() == 3 && (100..600).contains(status)).map(StatusKey::Exact)
}
