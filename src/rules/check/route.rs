//! Routes (E11).

use std::collections::HashMap;

use super::message::Part;
use super::types::{Types, Within};
use crate::diagnostic::{Diagnostics, Span, codes, suggest};
use crate::path::Place;
use crate::path::template::Template;
use crate::rules::ast::{MessageRules, RouteDecl, Rule, RuleKind, StatusKey, WriteMode};
use crate::rules::checked::{CheckedMapped, CheckedRoute};

pub(super) fn check_routes(
    routes: &[RouteDecl],
    has_schemas: bool,
    types: &mut Types<'_>,
    diagnostics: &mut Diagnostics,
) -> Vec<CheckedRoute> {
    for side in ["old", "new"] {
        let mut seen: HashMap<_, Span> = HashMap::new();
        for route in routes {
            let template = if side == "old" { &route.old } else { &route.new };
            if let Some(before) = seen.insert(template.shape(), template.span) {
                diagnostics
                    .error(codes::E11, template.span, format!("two routes match the same {side} requests"))
                    .related(before, "the first one")
                    .help("of two paths the one with a literal where the other has a parameter wins; these are equal");
            }
        }
    }
    let checked: Vec<CheckedRoute> =
        routes.iter().map(|route| check_route(route, has_schemas, types, diagnostics)).collect();
    for (written, route) in routes.iter().zip(&checked) {
        // A PATCH sends a part of a document: its defaults are not written (see the plan's partial lenses).
        if route.old.method != "PUT" {
            continue;
        }
        let help = "`write: merge` keeps it; `write: replace` says that the defaults are meant";
        if written.write.is_none() && route.request.is_some_and(|message| types.adds_to_body(message)) {
            diagnostics.warning(codes::W4, written.span, "this write replaces what only the new side knows").help(help);
        }
    }
    checked
}

/// The messages of channels, each written as a route.
pub(super) fn check_messages(
    messages: &[RouteDecl],
    types: &mut Types<'_>,
    diagnostics: &mut Diagnostics,
) -> Vec<CheckedRoute> {
    let mut seen: HashMap<_, Span> = HashMap::new();
    for message in messages {
        if let Some(before) = seen.insert(message.old.shape(), message.span) {
            diagnostics
                .error(codes::R12, message.span, "a second entry for the same channel")
                .related(before, "the first one");
        }
    }
    let check = |message: &RouteDecl| {
        let request = message.request.as_ref().map(|rules| {
            let name = message.old.to_string();
            types.add(&rules.rules, Within::Message(&name, Part::Message), rules.span, diagnostics)
        });
        CheckedRoute {
            old: message.old.clone(),
            new: message.new.clone(),
            write: WriteMode::Replace,
            follow: None,
            request,
            responses: Vec::new(),
            mapped: Vec::new(),
        }
    };
    messages.iter().map(check).collect()
}

fn check_route(
    route: &RouteDecl,
    has_schemas: bool,
    types: &mut Types<'_>,
    diagnostics: &mut Diagnostics,
) -> CheckedRoute {
    check_methods(route, diagnostics);
    check_params(route, diagnostics);
    check_write(route, has_schemas, diagnostics);
    let write = route.write.as_ref().map_or(WriteMode::Replace, |write| write.value);
    let mut message = |rules: &MessageRules, name: &str, part| {
        types.add(&rules.rules, Within::Message(name, part), rules.span, diagnostics)
    };
    let request = route.request.as_ref().map(|rules| message(rules, &format!("{} request", route.old), Part::Request));
    let responses: Vec<_> = route
        .responses
        .iter()
        .map(|(status, rules)| {
            let name = format!("{} {}", route.old, status_name(status.value));
            (status.value, message(rules, &name, Part::Response))
        })
        .collect();
    let mapped = route.mapped.iter().map(|one| {
        let name = format!("{} {}", route.old, status_name(one.old));
        CheckedMapped {
            old: one.old,
            new: one.new,
            when: one.when.clone(),
            of: one.rules.as_ref().map(|rules| message(rules, &name, Part::Response)),
        }
    });
    let mapped = mapped.collect();
    let (old, new, follow) = (route.old.clone(), route.new.clone(), route.follow.clone());
    CheckedRoute { old, new, write, follow, request, responses, mapped }
}

pub(super) fn status_name(status: StatusKey) -> String {
    match status {
        StatusKey::Exact(status) => status.to_string(),
        StatusKey::Class(class) => format!("{class}XX"),
        StatusKey::Default => "default".to_owned(),
    }
}

/// A read must stay a read in both directions.
fn check_methods(route: &RouteDecl, diagnostics: &mut Diagnostics) {
    let (old, new) = (route.old.method.as_str(), route.new.method.as_str());
    let at = route.span;
    if (old == "*") != (new == "*") {
        diagnostics
            .error(codes::E11, at, "`*` on one side only: which method would the other side's be?")
            .help("`*` keeps the method; write it on both sides");
        return;
    }
    let is_safe = |method: &str| matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "*");
    if is_safe(old) != is_safe(new) {
        let (read, write) = if is_safe(old) { (old, new) } else { (new, old) };
        diagnostics
            .error(codes::E11, at, format!("`{read}` only reads, `{write}` may change something"))
            .help("caches, prefetchers and retries rely on reads being safe");
    }
}

/// `write:` must have something to do, and be able to do it.
fn check_write(route: &RouteDecl, has_schemas: bool, diagnostics: &mut Diagnostics) {
    let Some(write) = &route.write else { return };
    if route.follow.is_some() && write.value == WriteMode::Merge {
        diagnostics.error(codes::E11, write.span, "a write onto the live document cannot be waited for").help(
            "between looking at the document and the end of the operation others may change it: leave one of them out",
        );
    }
    let method = route.old.method.as_str();
    if matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "DELETE") {
        diagnostics.error(codes::E11, write.span, format!("`{method}` writes no document")).help("leave `write` out");
        return;
    }
    if write.value == WriteMode::Replace {
        return;
    }
    if !matches!(method, "PUT" | "POST") {
        diagnostics
            .error(codes::E11, write.span, format!("`merge` needs the whole old document, `{method}` may send a part"))
            .help("name the method `PUT` or `POST`, or write `write: replace`");
    } else if !(has_schemas || names_body(route)) {
        diagnostics
            .error(codes::E11, write.span, "`merge` needs the type of the request's body")
            .help("write `request: Order`, or rules over `body`");
    }
}

fn rules_of(route: &RouteDecl) -> &[Rule] {
    route.request.as_ref().map(|request| request.rules.as_slice()).unwrap_or_default()
}

fn names_body(route: &RouteDecl) -> bool {
    rules_of(route).iter().any(|rule| match &rule.kind {
        RuleKind::Equation { olds, news, .. } => {
            olds.iter().chain(news).any(|place| place.segments.first().is_some_and(|part| part == "body"))
        }
        RuleKind::Added { .. } | RuleKind::Removed { .. } => false,
        RuleKind::Mapping(mapping) => {
            let mut places = mapping.places(false).into_iter().chain(mapping.places(true));
            places.any(|place| place.segments.first().is_some_and(|part| part == "body"))
        }
    })
}

/// Every path parameter of the side that is written must come from the other: under the same name, or by a rule.
fn check_params(route: &RouteDecl, diagnostics: &mut Diagnostics) {
    let mut owned: [HashMap<String, Span>; 2] = [HashMap::new(), HashMap::new()];
    let [owned_old, owned_new] = &mut owned;
    for rule in rules_of(route) {
        match &rule.kind {
            RuleKind::Equation { olds, news, .. } => {
                owned_old.extend(olds.iter().filter_map(param).map(|(name, span)| (name.to_owned(), span)));
                owned_new.extend(news.iter().filter_map(param).map(|(name, span)| (name.to_owned(), span)));
            }
            RuleKind::Mapping(mapping) => {
                for (owned, is_new) in [(&mut *owned_old, false), (&mut *owned_new, true)] {
                    let places = mapping.places(is_new);
                    owned.extend(places.iter().filter_map(param).map(|(name, _)| (name.to_owned(), rule.span)));
                }
            }
            RuleKind::Added { place, default } => check_constant(place, default.is_some(), owned_new, diagnostics),
            RuleKind::Removed { place, default } => check_constant(place, default.is_some(), owned_old, diagnostics),
        }
    }
    for (side, template, own, other, other_owned) in [
        ("old", &route.old, &*owned_old, &route.new, &*owned_new),
        ("new", &route.new, &*owned_new, &route.old, &*owned_old),
    ] {
        for (name, span) in own {
            if !template.params().any(|param| param == *name) {
                let message = format!("the {side} path has no parameter `{name}`");
                let found = diagnostics.error(codes::E11, *span, message);
                found.related(template.span, "this path");
                if let Some(help) = suggest::help(name, template.params()) {
                    found.help(help);
                }
            }
        }
        for name in template.params() {
            let shared = other.params().any(|param| param == name) && !other_owned.contains_key(name);
            if !own.contains_key(name) && !shared {
                unbound(side, name, template, other, diagnostics);
            }
        }
    }
}

/// `{added: path.x, default: …}` fixes a parameter; without a default there is nothing to write.
fn check_constant(place: &Place, has_default: bool, owned: &mut HashMap<String, Span>, diagnostics: &mut Diagnostics) {
    let Some((name, span)) = param(place) else { return };
    owned.insert(name.to_owned(), span);
    if !has_default {
        diagnostics.error(codes::E11, span, format!("the path parameter `{name}` needs a `default`"));
    }
}

fn unbound(side: &str, name: &str, template: &Template, other: &Template, diagnostics: &mut Diagnostics) {
    let other_side = if side == "old" { "new" } else { "old" };
    let found =
        diagnostics.error(codes::E11, template.span, format!("the {side} path parameter `{name}` comes from nowhere"));
    found.label(format!("nothing on the {other_side} side fills `{{{name}}}`"));
    let from = other.params().next().map_or_else(|| format!("query.{name}"), |param| format!("path.{param}"));
    let (old, new) = if side == "old" { (format!("path.{name}"), from) } else { (from, format!("path.{name}")) };
    found.help(format!("use one name on both sides, or write `request: [{old} = {new}]`"));
}

fn param(place: &Place) -> Option<(&str, Span)> {
    match place.segments.as_slice() {
        [part, name] if part == "path" => Some((name, place.span)),
        _ => None,
    }
}
