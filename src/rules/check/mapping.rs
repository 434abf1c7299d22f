//! What can be said of general rules before any document is seen.

use std::collections::HashSet;

use crate::diagnostic::{Diagnostics, codes};
use crate::rules::ast::{Rule, TypeRef};
use crate::rules::mapping::{Case, Convert, Mapping, Member, Part, Pattern, Unfit};

/// Losses without a reason (E8, E9), variables that come from nowhere (E10).
pub(super) fn check_mapping(mapping: &Mapping<TypeRef>, rule: &Rule, diagnostics: &mut Diagnostics) {
    match mapping {
        Mapping::Equation(one) => {
            if one.unfit != Unfit::Refuse {
                needs_reason(rule, "values that do not convert are lost", diagnostics);
            }
            check_convert(&one.via, rule, diagnostics);
            if let (Convert::Value(codec), None) = (innermost(&one.via), &rule.loss) {
                super::cursor::check_cursors(codec, one.olds.iter().chain(&one.news), diagnostics);
            }
        }
        Mapping::Cases(cases) => {
            for case in cases {
                check_case(case, rule, diagnostics);
            }
        }
        Mapping::Derived(one) => {
            // A derived value is never read back, so its conversion loses nothing.
            if !one.is_new {
                needs_reason(rule, "what old callers write here is lost", diagnostics);
            }
        }
        Mapping::Rest(_) => {}
    }
}

fn needs_reason(rule: &Rule, why: &str, diagnostics: &mut Diagnostics) {
    if rule.loss.is_none() {
        diagnostics
            .error(codes::E9, rule.span, "something vanishes without a reason")
            .label(why)
            .help("if that is right, say why: `loss: \"…\"`");
    }
}

fn check_convert(via: &Convert<TypeRef>, rule: &Rule, diagnostics: &mut Diagnostics) {
    match via {
        Convert::Each(each) => {
            if each.unfit != Unfit::Refuse {
                needs_reason(rule, "elements that do not convert are lost", diagnostics);
            }
            check_convert(&each.of, rule, diagnostics);
        }
        Convert::Value(codec) if rule.loss.is_none() => super::types::check_codec(codec, rule.span, diagnostics),
        Convert::Chain(all) => all.iter().for_each(|one| check_convert(one, rule, diagnostics)),
        Convert::Values(one) | Convert::Flip(one) | Convert::OneOrMany(one) => check_convert(one, rule, diagnostics),
        Convert::Cases(cases) => cases.iter().for_each(|case| check_case(case, rule, diagnostics)),
        _ => {}
    }
}

/// The conversion whose sides are exchanged, or the conversion itself.
fn innermost<T>(via: &Convert<T>) -> &Convert<T> {
    match via {
        Convert::Flip(inner) => innermost(inner),
        other => other,
    }
}

/// Each side's variables must be the other's, too: what only one has could not be written.
fn check_case(case: &Case<TypeRef>, rule: &Rule, diagnostics: &mut Diagnostics) {
    let (mut old, mut new) = (Vec::new(), Vec::new());
    variables(&case.old, &mut old);
    variables(&case.new, &mut new);
    for (side, names) in [("old", &old), ("new", &new)] {
        let mut seen = HashSet::new();
        if let Some(twice) = names.iter().find(|name| !seen.insert(name.as_str())) {
            diagnostics
                .error(codes::E10, rule.span, format!("the {side} form names `${twice}` twice"))
                .help("give each place a variable of its own");
        }
    }
    for (side, names, others) in [("new", &new, &old), ("old", &old, &new)] {
        for name in names.iter().filter(|name| !others.contains(name)) {
            let found = diagnostics.error(codes::E10, rule.span, format!("`${name}` stands only in the {side} form"));
            found.help(
                "name it on both sides; what only one side has is `{$default: value}` there, or a rule of its own",
            );
        }
    }
    for (name, convert) in &case.with {
        if !old.contains(name) && !new.contains(name) {
            diagnostics.error(codes::E10, rule.span, format!("`with` speaks of `{name}`, which no form names"));
        }
        check_convert(convert, rule, diagnostics);
    }
}

fn variables(pattern: &Pattern, names: &mut Vec<String>) {
    match pattern {
        Pattern::Variable(name) => names.push(name.clone()),
        Pattern::Text(parts) => names.extend(parts.iter().filter_map(|part| match part {
            Part::Variable(name) => Some(name.clone()),
            Part::Text(_) | Part::Place(_) => None,
        })),
        Pattern::Object(members) => {
            for member in members {
                match member {
                    Member::Named { value, .. } => variables(value, names),
                    Member::Every { variable, value, .. } => {
                        names.push(variable.clone());
                        variables(value, names);
                    }
                    Member::Rest(name) => names.push(name.clone()),
                }
            }
        }
        Pattern::List { first, each, last } => {
            first.iter().chain(each.as_deref()).chain(last).for_each(|one| variables(one, names));
        }
        Pattern::Set(all) => all.iter().for_each(|one| variables(one, names)),
        Pattern::Literal(_) | Pattern::Default(_) | Pattern::Place(_) => {}
    }
}
