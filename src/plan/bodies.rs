//! The bodies of messages as documents of their own.

use std::collections::BTreeMap;

use super::compile::places;
use crate::path::Place;
use crate::rules::checked::{BoundCodec, CheckedKind, CheckedRule, CheckedStep, CheckedType, Origin, TypeId};

/// Adds a type for the body of each message whose rules keep the body apart from everything else; answers which type it
/// is, by message.
pub(super) fn with_body_types(step: &mut CheckedStep) -> BTreeMap<TypeId, TypeId> {
    let mut bodies = BTreeMap::new();
    for route in step.routes.iter().chain(&step.messages) {
        for message in route.request.into_iter().chain(route.responses.iter().map(|(_, of)| *of)) {
            let Some(of) = step.types.get(message.0) else { continue };
            let Some(rules) = body_rules(&of.rules) else { continue };
            if let [CheckedRule { kind: CheckedKind::Equation { olds, news, codec, default: None }, .. }] =
                rules.as_slice()
                && let BoundCodec::As(of) = codec
                && olds.iter().chain(news).all(|place| place.segments.is_empty())
            {
                bodies.insert(message, *of);
            } else if !rules.is_empty() {
                bodies.insert(message, TypeId(step.types.len()));
                let (name, span) = (of.name.clone(), of.span);
                step.types.push(CheckedType { name, origin: Origin::Message, rules, span });
            }
        }
    }
    bodies
}

/// The rules of a message's body, as those of a document; none where a rule joins it with another part, or may.
fn body_rules(rules: &[CheckedRule]) -> Option<Vec<CheckedRule>> {
    let mut found = Vec::new();
    for rule in rules {
        if matches!(rule.kind, CheckedKind::Mapping(_)) {
            // It may look at the whole message.
            return None;
        }
        let mut rule = rule.clone();
        let mut places = places(&mut rule.kind);
        let is_body = |place: &Place| place.segments.first().is_some_and(|part| part == "body");
        match places.iter().filter(|place| is_body(place)).count() {
            0 => continue,
            count if count < places.len() => return None,
            _ => places.iter_mut().for_each(|place| drop(place.segments.remove(0))),
        }
        found.push(rule);
    }
    Some(found)
}
