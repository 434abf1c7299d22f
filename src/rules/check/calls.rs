//! Routes that become several calls (E12).

use std::collections::HashMap;

use super::message::Part;
use super::types::{Types, Within};
use crate::diagnostic::{Diagnostics, Span, codes, suggest};
use crate::path::Place;
use crate::rules::ast::{MessageRules, RouteDecl, Rule, RuleKind, StatusKey, TypeRef};
use crate::rules::calls::{CallDecl, CallsDecl, CheckedCall, CheckedCalls, MAX_CALLS, RESERVED, is_safe};
use crate::rules::checked::CheckedMapped;
use crate::rules::mapping::{From, Mapping};

/// Parts of the document that a call's request is made of, beside earlier answers.
const SOURCES: [&str; 7] = ["method", "path", "query", "header", "cookie", "body", "item"];
const REQUEST: [&str; 5] = ["path", "query", "header", "cookie", "body"];
const RESPONSE: [&str; 3] = ["status", "header", "body"];

pub(super) fn check_calls(
    routes: &[RouteDecl],
    calls: &[CallsDecl],
    types: &mut Types<'_>,
    diagnostics: &mut Diagnostics,
) -> Vec<CheckedCalls> {
    let mut seen: HashMap<_, (bool, Span)> =
        routes.iter().map(|route| (route.old.shape(), (false, route.old.span))).collect();
    for one in calls {
        let (shape, is_open) = (one.old.shape(), one.when.is_none());
        if let Some((hides, before)) = seen.get(&shape)
            && (*hides || (is_open && routes.iter().any(|route| route.old.shape() == shape)))
        {
            diagnostics
                .error(codes::E11, one.old.span, "two routes match the same old requests")
                .related(*before, "the first one")
                .help("a route with `calls` says with `when:` which of these requests are its own");
        }
        seen.insert(shape, (is_open, one.old.span));
    }
    calls.iter().filter_map(|one| check_route(one, types, diagnostics)).collect()
}

fn check_route(route: &CallsDecl, types: &mut Types<'_>, diagnostics: &mut Diagnostics) -> Option<CheckedCalls> {
    if route.calls.len() > MAX_CALLS {
        let message = format!("{} calls for one, the limit is {MAX_CALLS}", route.calls.len());
        diagnostics.error(codes::E12, route.span, message);
        return None;
    }
    let names: Vec<&str> = route.calls.iter().map(|call| call.name.value.as_str()).collect();
    for call in route.calls.iter().filter(|call| RESERVED.contains(&call.name.value.as_str())) {
        diagnostics
            .error(codes::E12, call.name.span, format!("`{}` is a part of the old request", call.name.value))
            .help("give the call another name");
    }
    check_half_done(route, diagnostics);
    let after: Vec<Vec<usize>> = route.calls.iter().map(|call| check_needs(call, &names, diagnostics)).collect();
    check_cycle(route, &after, diagnostics);
    let calls = route.calls.iter().zip(after).map(|(call, after)| {
        check_address(route, call, diagnostics);
        let sources: Vec<&str> = SOURCES.iter().copied().chain(names.iter().copied()).collect();
        let request = call.request.as_ref().map(|rules| {
            check_sides(rules, [&sources, &REQUEST], diagnostics);
            let name = format!("{} {}", route.old, call.name.value);
            types.add(&rules.rules, Within::Message(&name, Part::Call), rules.span, diagnostics)
        });
        let (name, target, how) = (call.name.value.clone(), call.target.clone(), call.how.clone());
        CheckedCall { name, target, request, after, how }
    });
    let calls = calls.collect();

    if route.responses.is_empty() && route.mapped.is_empty() {
        diagnostics
            .error(codes::E12, route.span, "several calls, and no rules of how their answers become one")
            .help("write `200: [body = name.body]`, where `name` is a call");
    }
    let mut answer = |rules: &MessageRules, status: StatusKey, diagnostics: &mut Diagnostics| {
        let sources: Vec<&str> = names.iter().copied().chain(["request"]).collect();
        check_sides(rules, [&RESPONSE, &sources], diagnostics);
        let name = format!("{} {}", route.old, super::route::status_name(status));
        types.add(&rules.rules, Within::Message(&name, Part::Answers), rules.span, diagnostics)
    };
    let mut responses = Vec::new();
    for (status, rules) in &route.responses {
        responses.push((status.value, answer(rules, status.value, diagnostics)));
    }
    let mut mapped = Vec::new();
    for one in &route.mapped {
        if let Some(query) = &one.when.new {
            find_roots(query.text(), one.span, &names, true, diagnostics);
        }
        let of = one.rules.as_ref().map(|rules| answer(rules, one.old, diagnostics));
        mapped.push(CheckedMapped { old: one.old, new: one.new, when: one.when.clone(), of });
    }
    Some(CheckedCalls { old: route.old.clone(), when: route.when.clone(), calls, responses, mapped })
}

/// A read must stay one, and of several writes one may fail after others were done.
fn check_half_done(route: &CallsDecl, diagnostics: &mut Diagnostics) {
    let writes = route.calls.iter().filter(|call| !is_safe(&call.target.template.method));
    let first = writes.clone().next();
    if let Some(call) = first.filter(|_| is_safe(&route.old.method)) {
        let (old, new) = (&route.old.method, &call.target.template.method);
        diagnostics
            .error(codes::E12, call.name.span, format!("`{old}` only reads, `{new}` may change something"))
            .help("caches, prefetchers and retries rely on reads being safe");
    }
    let count = writes.clone().count() + writes.filter(|call| call.how.each.is_some()).count();
    if count > 1 && route.loss.is_none() {
        diagnostics
            .error(codes::E12, route.span, "several calls may change something, and one of them may fail")
            .label("what was done before stays done")
            .help("if that is right, say why: `loss: \"…\"` beside `calls`");
    }
}

/// The calls whose answers a call needs.
fn check_needs(call: &CallDecl, names: &[&str], diagnostics: &mut Diagnostics) -> Vec<usize> {
    let mut needs: Vec<String> = Vec::new();
    for place in call.target.places().chain(&call.how.each) {
        let first = place.segments.first().map(String::as_str).unwrap_or_default();
        if !SOURCES.contains(&first) && !names.contains(&first) {
            unknown(first, place.span, names, diagnostics);
        }
        needs.push(first.to_owned());
    }
    let own = call.name.value.as_str();
    if let Some(query) = &call.how.when {
        needs.extend(find_roots(query.text(), call.name.span, names, true, diagnostics));
    }
    if let Some(rules) = &call.request {
        rules.rules.iter().for_each(|rule| needs_of(rule, names, &mut needs, diagnostics));
    }
    if let Some(query) = &call.how.stop {
        let roots = find_roots(query.text(), call.name.span, names, true, diagnostics);
        needs.extend(roots.into_iter().filter(|name| name != own));
    }
    let index = |name: &str| names.iter().position(|known| *known == name);
    let mut after: Vec<usize> = needs.iter().filter_map(|name| index(name)).collect();
    after.sort_unstable();
    after.dedup();
    after
}

/// What a rule of a call's request reads.
fn needs_of(rule: &Rule, names: &[&str], needs: &mut Vec<String>, diagnostics: &mut Diagnostics) {
    let first = |place: &Place| place.segments.first().cloned();
    let mut query = |text: &str, is_condition: bool| find_roots(text, rule.span, names, is_condition, diagnostics);
    match &rule.kind {
        RuleKind::Equation { olds, .. } => needs.extend(olds.iter().filter_map(first)),
        RuleKind::Removed { place, .. } => needs.extend(first(place)),
        RuleKind::Added { .. } => {}
        RuleKind::Mapping(mapping) => {
            needs.extend(mapping.places(false).iter().filter_map(first));
            needs.extend(mapping.sources().iter().filter_map(|(_, place)| first(place)));
            let when = match mapping.as_ref() {
                Mapping::Equation(one) => vec![&one.when],
                Mapping::Derived(one) => {
                    if let Some(From::Query(from, _)) = &one.from {
                        needs.extend(query(from.text(), false));
                    }
                    vec![&one.when]
                }
                Mapping::Cases(cases) => cases.iter().map(|case| &case.when).collect(),
                Mapping::Rest(_) => Vec::new(),
            };
            for when in when.into_iter().filter_map(|when| when.old.as_ref()) {
                needs.extend(query(when.text(), true));
            }
            if let Mapping::Cases(cases) = mapping.as_ref() {
                for case in cases {
                    if let Some(TypeRef::Inline(rules, _)) = &case.rules {
                        for rule in rules {
                            needs_of(rule, names, needs, diagnostics);
                        }
                    }
                }
            }
        }
    }
}

/// The members of the document that a query begins at. One that begins anywhere would see what happens to be there.
fn find_roots(text: &str, at: Span, names: &[&str], is_condition: bool, diagnostics: &mut Diagnostics) -> Vec<String> {
    let (mut roots, mut quote, mut depth) = (Vec::new(), None, 0_usize);
    let mut rest = text.char_indices();
    while let Some((index, one)) = rest.next() {
        match (quote, one) {
            (Some(_), '\\') => _ = rest.next(),
            (Some(open), _) if one == open => quote = None,
            (None, '\'' | '"') => quote = Some(one),
            (None, '[') => depth += 1,
            (None, ']') => depth = depth.saturating_sub(1),
            // Inside of filters `@` is an element.
            (None, '$' | '@') if one == '$' || is_condition && depth == 0 => {
                match root(text.get(index + 1..).unwrap_or_default()) {
                    Some(name) if RESERVED.contains(&name) || names.contains(&name) => roots.push(name.to_owned()),
                    Some(name) => unknown(name, at, names, diagnostics),
                    None => {
                        diagnostics
                            .error(codes::E12, at, "a query that may look at any answer")
                            .help("begin it with a call's name or a part of the request: `$.name.body.id`");
                    }
                }
            }
            _ => {}
        }
    }
    roots
}

/// The first name of a query, behind its `$`.
fn root(text: &str) -> Option<&str> {
    let plain = |one: char| one.is_alphanumeric() || one == '_';
    if let Some(rest) = text.strip_prefix('.') {
        let end = rest.find(|one| !plain(one)).unwrap_or(rest.len());
        return rest.get(..end).filter(|name| !name.is_empty());
    }
    let rest = text.strip_prefix('[')?;
    let quote = rest.chars().next().filter(|one| matches!(one, '\'' | '"'))?;
    rest.get(1..)?.split(quote).next().filter(|name| !name.is_empty())
}

fn unknown(name: &str, at: Span, names: &[&str], diagnostics: &mut Diagnostics) {
    let found = diagnostics.error(codes::E12, at, format!("no call of this route is named `{name}`"));
    let known = names.iter().copied().chain(SOURCES);
    match suggest::help(name, known) {
        Some(help) => found.help(help),
        None => found.help("places begin with a call's name or a part of the old request"),
    };
}

/// Calls that wait for each other.
fn check_cycle(route: &CallsDecl, after: &[Vec<usize>], diagnostics: &mut Diagnostics) {
    let mut done = vec![false; after.len()];
    loop {
        let is_ready = |index: &usize| {
            let waits = after.get(*index).is_some_and(|all| all.iter().all(|one| done.get(*one) == Some(&true)));
            done.get(*index) == Some(&false) && waits
        };
        let ready: Vec<usize> = (0..after.len()).filter(is_ready).collect();
        if ready.is_empty() {
            break;
        }
        for index in ready {
            if let Some(slot) = done.get_mut(index) {
                *slot = true;
            }
        }
    }
    let stuck: Vec<&CallDecl> =
        route.calls.iter().zip(&done).filter(|(_, done)| !**done).map(|(call, _)| call).collect();
    if let Some(first) = stuck.first() {
        let names: Vec<String> = stuck.iter().map(|call| format!("`{}`", call.name.value)).collect();
        let message = match names.as_slice() {
            [one] => format!("{one} needs its own answer"),
            all => format!("{} wait for each other's answers", all.join(", ")),
        };
        diagnostics
            .error(codes::E12, first.name.span, message)
            .help("a call may name only answers that are there before it is made");
    }
}

/// Every parameter of a call's path comes from the old path, or from a rule.
fn check_address(route: &CallsDecl, call: &CallDecl, diagnostics: &mut Diagnostics) {
    let template = &call.target.template;
    let rules = call.request.as_ref().map(|rules| rules.rules.as_slice()).unwrap_or_default();
    let param = |(place, span): (Place, Span)| match place.segments.as_slice() {
        [part, name] if part == "path" => Some((name.clone(), span)),
        _ => None,
    };
    let written: Vec<(String, Span)> = rules.iter().flat_map(new_places).filter_map(param).collect();
    let is_given = |name: &str| call.target.given.iter().any(|(known, _)| known == name);
    for name in template.params().filter(|name| !is_given(name)) {
        if !route.old.params().any(|known| known == name) && !written.iter().any(|(known, _)| known == name) {
            diagnostics
                .error(codes::E11, template.span, format!("the path parameter `{name}` comes from nowhere"))
                .help("name a place of an answer, `{order.body.id}`, or write a rule on `path.…` in `request`");
        }
    }
    for (name, span) in &written {
        if !template.params().any(|known| known == name) {
            diagnostics
                .error(codes::E11, *span, format!("the call's path has no parameter `{name}`"))
                .related(template.span, "this path");
        }
    }
}

fn new_places(rule: &Rule) -> Vec<(Place, Span)> {
    rule.kind.places(true).iter().map(|place| (place.clone(), rule.span)).collect()
}

/// Places of each side begin with a part of that side's document.
fn check_sides(message: &MessageRules, sides: [&[&str]; 2], diagnostics: &mut Diagnostics) {
    for rule in &message.rules {
        for (places, known) in [false, true].map(|is_new| rule.kind.places(is_new)).iter().zip(sides) {
            for place in places.iter() {
                let first = place.segments.first().map(String::as_str).unwrap_or_default();
                if known.contains(&first) {
                    continue;
                }
                let at = if place.span == Span::NOWHERE { rule.span } else { place.span };
                let listed: Vec<String> = known.iter().map(|one| format!("`{one}`")).collect();
                let found = diagnostics.error(codes::R8, at, format!("`{place}` is in no part of this message"));
                match suggest::help(first, known.iter().copied()) {
                    Some(help) => found.help(help),
                    None => found.help(format!("places of this side begin with {}", listed.join(", "))),
                };
            }
        }
    }
}
