//! The version line (E13) and one step of it.

use crate::diagnostic::{Diagnostics, Sources, Span, codes};
use crate::rules::ast::{Example, RuleFile, ServiceFile, VersionDecl};
use crate::rules::checked::{CheckedExample, CheckedRoute, CheckedStep, CheckedType};

use super::calls::check_calls;
use super::route::{check_messages, check_routes};
use super::service::find_version;
use super::types::Types;

/// The rule file of each step, oldest first. Gaps are reported and left out.
pub(super) fn check_line<'f>(
    service: &'f ServiceFile,
    files: &'f [RuleFile],
    all_read: bool,
    diagnostics: &mut Diagnostics,
) -> Vec<(&'f RuleFile, [&'f VersionDecl; 2])> {
    let mut steps: Vec<Option<&RuleFile>> = vec![None; service.versions.len().saturating_sub(1)];
    let mut sound = all_read;
    for file in files {
        let found = [&file.old, &file.new].map(|name| find_version(service, name, diagnostics));
        let [Some(old), Some(new)] = found else {
            sound = false;
            continue;
        };
        let whole = Span { source: file.new.span.source, start: file.old.span.start, end: file.new.span.end };
        if new != old + 1 {
            sound = false;
            let found = diagnostics.error(
                codes::E13,
                whole,
                format!("`{}` and `{}` are not neighbours in this order", file.old.value, file.new.value),
            );
            found.help("rules join each version to the next newer one; chains are made of them");
            continue;
        }
        match steps.get_mut(old) {
            Some(Some(first)) => {
                diagnostics
                    .error(
                        codes::E13,
                        whole,
                        format!("a second file for `{}` and `{}`", file.old.value, file.new.value),
                    )
                    .related(first.old.span, "the first one");
            }
            Some(empty) => *empty = Some(file),
            None => {}
        }
    }
    let pairs = service.versions.iter().zip(service.versions.iter().skip(1));
    let (mut line, mut gaps) = (Vec::with_capacity(steps.len()), Vec::new());
    for (file, (old, new)) in steps.into_iter().zip(pairs) {
        match file {
            Some(file) => line.push((file, [old, new])),
            None => gaps.push((&old.name, &new.name)),
        }
    }
    // A file that could not be read or placed is probably the one that is missing.
    if let (true, Some((old, new))) = (sound, gaps.first()) {
        let message = match gaps.len() {
            1 => format!("no rules between `{}` and `{}`", old.value, new.value),
            more => format!("no rules between `{}` and `{}`, nor for {} later steps", old.value, new.value, more - 1),
        };
        let names: Vec<String> =
            gaps.iter().take(4).map(|(old, new)| format!("`{}-{}.yaml`", old.value, new.value)).collect();
        let more = if gaps.len() > names.len() { ", …" } else { "" };
        diagnostics
            .error(codes::E13, new.span, message)
            .help(format!("write {}{more} beside `service.yaml`", names.join(", ")));
    }
    line
}

/// Checks what one rule file says.
pub(super) fn check_step(
    file: &RuleFile,
    has_schemas: bool,
    sources: &Sources,
    diagnostics: &mut Diagnostics,
) -> CheckedStep {
    let mut types = Types::new(&file.types, has_schemas, sources);
    types.check_named(&file.types, diagnostics);
    let routes = check_routes(&file.routes, has_schemas, &mut types, diagnostics);
    let calls = check_calls(&file.routes, &file.calls, &mut types, diagnostics);
    let messages = check_messages(&file.messages, &mut types, diagnostics);
    let examples: Vec<CheckedExample> =
        file.examples.iter().filter_map(|example| check_example(example, &types, diagnostics)).collect();
    types.check_endless(diagnostics);
    // Schemas may lead to a type that no rule names; so may what could not be read.
    let is_routed = !(routes.is_empty() && calls.is_empty() && messages.is_empty());
    if is_routed && !has_schemas && !diagnostics.has_errors() {
        let all: Vec<&CheckedRoute> = routes.iter().chain(&messages).collect();
        types.check_unused(&all, &calls, &examples, diagnostics);
    }
    let types = types.finish();
    if routes.is_empty() && !diagnostics.has_errors() {
        check_addresses(&types, diagnostics);
    }
    CheckedStep { types, routes, calls, messages, examples, strict: file.strict }
}

/// Addresses are translated by routes (R11).
fn check_addresses(types: &[CheckedType], diagnostics: &mut Diagnostics) {
    for rule in types.iter().flat_map(|of| &of.rules).filter(|rule| rule.tells_addresses()) {
        diagnostics
            .error(codes::R11, rule.span, "`link` has no route to go by")
            .help("say under `routes:` in this file which old address is which new one");
    }
}

fn check_example(example: &Example, types: &Types<'_>, diagnostics: &mut Diagnostics) -> Option<CheckedExample> {
    Some(CheckedExample {
        of: types.find(&example.of, diagnostics)?,
        old: example.old.as_ref().map(|text| text.value.clone()),
        new: example.new.as_ref().map(|text| text.value.clone()),
        back: example.back.as_ref().map(|text| text.value.clone()),
        edit: example.edit.as_ref().map(|text| text.value.clone()),
        put: example.put.as_ref().map(|text| text.value.clone()),
        span: example.span,
    })
}
