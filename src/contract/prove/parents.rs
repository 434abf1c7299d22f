//! Objects that only rules fill: a required one must never come out missing.

use std::collections::BTreeSet;

use super::equation::Sites;
use super::locate::{Found, Located};
use super::{Prover, Side};
use crate::codecs::{Codec, Empty};
use crate::diagnostic::codes;
use crate::path::Place;
use crate::rules::checked::{BoundCodec, CheckedKind, CheckedRule, TypeId, Verdict};

impl Prover<'_, '_> {
    /// E5 for parents: a required object is missing from the result where none of the members that rules write into it
    /// is there. (On the way up an object of the same name is kept even if rules took everything out of it.)
    pub(super) fn check_parents(&mut self, id: TypeId, rules: &[CheckedRule], sites: &Sites) {
        for side in [Side::Old, Side::New] {
            let (root, source, source_root) = match side {
                Side::Old => (sites.a, Side::New, sites.b),
                Side::New => (sites.b, Side::Old, sites.a),
            };
            let mut parents: BTreeSet<Vec<String>> = BTreeSet::new();
            let mut filled: BTreeSet<Vec<String>> = BTreeSet::new();
            for rule in rules {
                let is_written = self.is_always_written(rule, side, source_root, sites.is_message);
                for place in &places(rule, side) {
                    let mut above = place.segments.as_slice();
                    while let Some((_, rest)) = above.split_last()
                        && !rest.is_empty()
                    {
                        let into = if is_written { &mut filled } else { &mut parents };
                        into.insert(rest.to_vec());
                        above = rest;
                    }
                }
            }
            for parent in parents.difference(&filled) {
                let Some(target) = self.quietly(side, root, parent, sites.is_message).filter(|one| one.always) else {
                    continue;
                };
                let stays = side == Side::New
                    && self.quietly(source, source_root, parent, sites.is_message).is_some_and(|one| one.always);
                let is_part = sites.is_message && parent.len() == 1;
                if stays || is_part {
                    continue;
                }
                self.report_parent(id, rules, side, parent, target);
            }
        }
    }

    fn report_parent(&mut self, id: TypeId, rules: &[CheckedRule], side: Side, parent: &[String], target: Located) {
        let inside = |rule: &&CheckedRule| places(rule, side).iter().any(|one| one.segments.starts_with(parent));
        let Some((position, rule)) = rules.iter().enumerate().find(|(_, rule)| inside(rule)) else { return };
        let (version, shown) = (self.interface(side).version.clone(), parent.join("."));
        let at = (id, position);
        if rules.iter().filter(inside).all(|rule| rule.lossy) {
            return self.lower(at, Verdict::Tested, "a required object may be left out");
        }
        let message = format!("{version} requires `{shown}`, but everything that is written into it may be absent");
        if let Some(found) = self.error(codes::E5, rule.span, message) {
            found
                .related(target.span, "required here")
                .help("give one of its members a `default: …`, or make the object optional in the schema");
        }
        self.lower(at, Verdict::Refuted, "a required object may be left out");
    }

    /// Whether the rule writes its places on a side for every source document.
    fn is_always_written(
        &self,
        rule: &CheckedRule,
        side: Side,
        source_root: crate::contract::schema::SchemaId,
        is_message: bool,
    ) -> bool {
        match &rule.kind {
            CheckedKind::Added { default, .. } | CheckedKind::Removed { default, .. } => default.is_some(),
            CheckedKind::Equation { codec: BoundCodec::Value(Codec::Head(_)), .. } | CheckedKind::Mapping(_) => true,
            CheckedKind::Equation { codec: BoundCodec::Value(Codec::Presence(_)), .. } => side == Side::Old,
            CheckedKind::Equation { codec: BoundCodec::Value(Codec::Nothing(codec)), .. }
                if *(if side == Side::New { &codec.new } else { &codec.old }) == Empty::Absent =>
            {
                false
            }
            CheckedKind::Equation { olds, news, default, .. } => {
                let (source, places) = if side == Side::New { (Side::Old, olds) } else { (Side::New, news) };
                default.is_some()
                    || places.iter().any(|place| {
                        // What is not known is not held against the rules.
                        self.quietly(source, source_root, &place.segments, is_message).is_none_or(|one| one.always)
                    })
            }
        }
    }

    fn quietly(
        &self,
        side: Side,
        root: crate::contract::schema::SchemaId,
        segments: &[String],
        is_message: bool,
    ) -> Option<Located> {
        match super::locate::find(self.interface(side), root, segments, is_message) {
            Found::At(located) => Some(located),
            Found::Nowhere | Found::Unsaid(_) => None,
        }
    }
}

fn places(rule: &CheckedRule, side: Side) -> Vec<Place> {
    match (&rule.kind, side) {
        (CheckedKind::Equation { olds, .. }, Side::Old) => olds.clone(),
        (CheckedKind::Equation { news, .. }, Side::New) => news.clone(),
        (CheckedKind::Added { place, .. }, Side::New) | (CheckedKind::Removed { place, .. }, Side::Old) => {
            vec![place.clone()]
        }
        (CheckedKind::Mapping(mapping), side) => mapping.places(side == Side::New),
        _ => Vec::new(),
    }
}
