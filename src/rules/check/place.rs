//! Which rule owns which place (E2).

use crate::diagnostic::{Diagnostics, codes};
use crate::path::Place;
use crate::rules::ast::{Rule, RuleKind};
use crate::rules::mapping::Mapping;

/// Refuses rules of one list that own the same place, or a place inside another's, on either side.
///
/// `folded`: the list is a message's, so the names of headers are compared without letter case.
pub(super) fn check_disjoint(rules: &[&Rule], folded: bool, diagnostics: &mut Diagnostics) {
    for side in [Side::Old, Side::New] {
        let mut places: Vec<(Vec<String>, &Place)> =
            rules.iter().flat_map(|rule| side.places(rule)).map(|place| (key(place, folded), place)).collect();
        // In this order a place comes right before everything inside it. The sort is stable: first written, first.
        places.sort_by(|(left, _), (right, _)| left.cmp(right));
        check_mappings(rules, side, diagnostics);
        let mut owner: Option<&(Vec<String>, &Place)> = None;
        for entry in &places {
            let (key, place) = entry;
            match owner {
                Some((above, first)) if key.starts_with(above) => {
                    // The later of the two in the file is the surprise.
                    let (before, after) =
                        if first.span.start <= place.span.start { (*first, *place) } else { (*place, *first) };
                    let message = if above == key {
                        format!("two rules own the {} place `{place}`", side.name())
                    } else {
                        format!("the {} place `{place}` lies inside `{first}`, which another rule owns", side.name())
                    };
                    diagnostics
                        .error(codes::E2, after.span, message)
                        .related(before.span, "the other rule")
                        .help("each place belongs to one rule; split the outer rule into its members");
                }
                _ => owner = Some(entry),
            }
        }
    }
}

/// The same where a rule's places are more than member names, or several rules' forms speak of one place.
fn check_mappings(rules: &[&Rule], side: Side, diagnostics: &mut Diagnostics) {
    let mut all: Vec<(usize, bool, Place)> = Vec::new();
    // Patterns that take values of different kinds share the names among them.
    let only = |index: usize| match rules.get(index).map(|rule| &rule.kind) {
        Some(RuleKind::Mapping(mapping)) => match mapping.as_ref() {
            Mapping::Equation(one) => one.only.as_ref(),
            _ => None,
        },
        _ => None,
    };
    for (index, rule) in rules.iter().enumerate() {
        match &rule.kind {
            RuleKind::Mapping(mapping) => {
                let places = mapping.places(matches!(side, Side::New));
                all.extend(places.into_iter().map(|place| (index, true, place)));
            }
            _ => all.extend(side.places(rule).iter().map(|place| (index, false, place.clone()))),
        }
    }
    if !all.iter().any(|(_, general, _)| *general) {
        return;
    }
    for (at, (index, general, place)) in all.iter().enumerate() {
        let clash = all.iter().take(at).find(|(other, other_general, before)| {
            other != index
                && (*general || *other_general)
                && before.overlaps(place)
                && (before.is_plain() || only(*other) == only(*index))
        });
        let Some((before, ..)) = clash else { continue };
        let (Some(before), Some(after)) = (rules.get(*before), rules.get(*index)) else { continue };
        diagnostics
            .error(codes::E2, after.span, format!("two rules own the {} place `{place}`", side.name()))
            .related(before.span, "the other rule")
            .help("each place belongs to one rule; split the outer rule into its members");
        return;
    }
}

fn key(place: &Place, folded: bool) -> Vec<String> {
    let is_header = folded && place.segments.first().is_some_and(|part| part == "header");
    place.segments.iter().map(|name| if is_header { name.to_ascii_lowercase() } else { name.clone() }).collect()
}

#[derive(Clone, Copy)]
enum Side {
    Old,
    New,
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Self::Old => "old",
            Self::New => "new",
        }
    }

    fn places(self, rule: &Rule) -> &[Place] {
        match (self, &rule.kind) {
            (Self::Old, RuleKind::Equation { olds, .. }) => olds,
            (Self::New, RuleKind::Equation { news, .. }) => news,
            (Self::New, RuleKind::Added { place, .. }) | (Self::Old, RuleKind::Removed { place, .. }) => {
                std::slice::from_ref(place)
            }
            (Self::Old, RuleKind::Added { .. }) | (Self::New, RuleKind::Removed { .. }) | (_, RuleKind::Mapping(_)) => {
                &[]
            }
        }
    }
}
