//! Silence is refused: every declared field is named by a rule.

use super::{Prover, Side};
use crate::contract::interface::Interface;
use crate::contract::schema::{Kinds, SchemaId};
use crate::diagnostic::{Span, codes, suggest};
use crate::rules::checked::{CheckedKind, CheckedRule, TypeId};

impl Prover<'_, '_> {
    /// Reports fields that no rule of the type mentions.
    pub(super) fn cover(&mut self, id: TypeId, a: SchemaId, b: SchemaId) {
        let Some(of) = self.step.types.get(id.0) else { return };
        let (name, span) = (of.name.clone(), of.span);
        for (side, root) in [(Side::Old, a), (Side::New, b)] {
            let owned: Vec<Vec<String>> = of_side(self.rules(id), side);
            let mut gaps = Vec::new();
            let owned: Vec<&[String]> = owned.iter().map(Vec::as_slice).collect();
            find_gaps(self.interface(side), root, &owned, &mut Vec::new(), &mut gaps);
            let other = match side {
                Side::Old => Side::New,
                Side::New => Side::Old,
            };
            let other_root = if side == Side::Old { b } else { a };
            let other_names: Vec<String> =
                self.interface(other).schema(other_root).properties.iter().map(|one| one.name.clone()).collect();
            for gap in gaps {
                let version = self.interface(side).version.clone();
                let other_version = self.interface(other).version.clone();
                let field = gap.path.join(".");
                if gap.path.last().is_some_and(|last| self.meant.contains(&(side, last.clone()))) {
                    continue;
                }
                let help = help(side, &field, &other_names, &other_version);
                let message = format!("{version} declares `{field}`, but no rule of `{name}` mentions it");
                if let Some(found) = self.error(codes::E3, span, message) {
                    found.related(gap.span, "declared here").help(help);
                }
            }
        }
    }

    pub(super) fn rules(&self, id: TypeId) -> &[CheckedRule] {
        self.step.types.get(id.0).map(|one| one.rules.as_slice()).unwrap_or_default()
    }
}

fn help(side: Side, field: &str, other_names: &[String], other_version: &str) -> String {
    let alone = match side {
        Side::Old => format!("`{{removed: {field}, loss: \"why\"}}`"),
        Side::New => format!("`{{added: {field}}}`"),
    };
    if other_names.iter().any(|one| one == field) {
        return format!("write `- {field}` if it means the same in {other_version}, or {alone}");
    }
    match suggest::closest(field, other_names.iter().map(String::as_str)) {
        Some(near) => {
            let (old, new) = if side == Side::Old { (field, near) } else { (near, field) };
            format!("write `- {old} = {new}`, or {alone} if {other_version} has nothing like it")
        }
        None => format!("write an equation for it, or {alone} if {other_version} has nothing like it"),
    }
}

/// The places that rules own on a side.
pub(super) fn of_side(rules: &[CheckedRule], side: Side) -> Vec<Vec<String>> {
    let mut owned = Vec::new();
    for rule in rules {
        match (&rule.kind, side) {
            (CheckedKind::Equation { olds, .. }, Side::Old) => {
                owned.extend(olds.iter().map(|one| one.segments.clone()));
            }
            (CheckedKind::Equation { news, .. }, Side::New) => {
                owned.extend(news.iter().map(|one| one.segments.clone()));
            }
            (CheckedKind::Added { place, .. }, Side::New) | (CheckedKind::Removed { place, .. }, Side::Old) => {
                owned.push(place.segments.clone());
            }
            (CheckedKind::Mapping(mapping), side) => {
                owned.extend(mapping.places(side == Side::New).into_iter().map(|one| one.segments));
            }
            _ => {}
        }
    }
    owned
}

pub(super) struct Gap {
    pub(super) path: Vec<String>,
    pub(super) span: Span,
}

/// Declared members that no place in `owned` covers. Descends only where a rule owns a part, so recursion is bounded by
/// the length of the rules' places.
pub(super) fn find_gaps(
    interface: &Interface,
    root: SchemaId,
    owned: &[&[String]],
    path: &mut Vec<String>,
    gaps: &mut Vec<Gap>,
) {
    if owned.iter().any(|one| one.is_empty()) {
        return;
    }
    let schema = interface.schema(root);
    if !schema.kinds.holds(Kinds::OBJECT) {
        return;
    }
    for property in &schema.properties {
        let below: Vec<&[String]> = owned
            .iter()
            .filter_map(|one| one.split_first())
            .filter(|(first, _)| **first == property.name)
            .map(|(_, rest)| rest)
            .collect();
        path.push(property.name.clone());
        if below.is_empty() {
            gaps.push(Gap { path: path.clone(), span: property.span });
        } else {
            find_gaps(interface, property.schema, &below, path, gaps);
        }
        path.pop();
    }
}
