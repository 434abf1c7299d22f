//! What rules that say more than one codec between plain places may lose of an old document.

use std::collections::HashSet;

use super::super::documents::Value;
use super::shape::Shape;
use crate::rules::checked::{BoundCodec, CheckedKind, CheckedRule, TypeId};
use crate::rules::mapping::{Convert, Mapping, Unfit};

impl Shape<'_> {
    /// Takes away what such a rule may lose: it is more than what it does lose, where the rule leads into other types by
    /// more than their name.
    pub(super) fn strip_mapped(&self, of: TypeId, rule: &CheckedRule, mapping: &Mapping<TypeId>, value: &mut Value) {
        if let Mapping::Rest(_) = mapping {
            // Left out on one way, or on the way back.
            self.strip_unnamed(of, value);
            return;
        }
        let loses = rule.lossy || loses(mapping);
        let inner = match mapping {
            Mapping::Equation(one) => Inside::of(&one.via),
            Mapping::Cases(_) | Mapping::Derived(_) | Mapping::Rest(_) => None,
        };
        let loses_inside = || mapping.types().into_iter().any(|of| self.is_lossy(*of, &mut HashSet::new()));
        for place in mapping.places(false) {
            let is_plain = place.tail.is_empty();
            match &inner {
                Some(documents) if !loses && is_plain => {
                    if let Some(inner) = value.at_mut(&place.segments) {
                        documents.each(inner, &mut |of, one| self.strip(of, one));
                    }
                }
                _ if (loses || loses_inside()) && place.segments.is_empty() => *value = Value::Null,
                _ if loses || loses_inside() => value.remove(&place.segments),
                _ => {}
            }
            // What holds values of any name, and none of them, says no more than its absence.
            if !is_plain && value.at(&place.segments).is_some_and(is_empty) {
                value.remove(&place.segments);
            }
        }
    }

    /// Leaves only members that some rule names.
    fn strip_unnamed(&self, of: TypeId, value: &mut Value) {
        let Value::Object(members) = value else { return };
        let named: HashSet<String> = self.named(of, false).collect();
        members.retain(|(name, _)| named.contains(name));
    }

    /// Takes away what shows of a live document after a write and is no rule's business, in any type.
    pub(super) fn strip_strangers(&self, written: &Value, seen: &mut Value) {
        strip_strangers(&self.all_named(false), written, seen);
    }

    /// Leaves of a live document only members that rules of some type name: on others conditions may depend.
    pub(super) fn keep_named(&self, base: &mut Value) {
        keep_named(&self.all_named(true), base);
    }

    fn all_named(&self, is_new: bool) -> HashSet<String> {
        (0..self.0.len()).flat_map(|of| self.named(TypeId(of), is_new)).collect()
    }

    /// The names that rules give to members of one side's documents.
    fn named(&self, of: TypeId, is_new: bool) -> impl Iterator<Item = String> {
        let places = self.rules(of).iter().flat_map(move |rule| match &rule.kind {
            CheckedKind::Equation { olds, news, .. } => if is_new { news } else { olds }.clone(),
            CheckedKind::Removed { place, .. } if !is_new => vec![place.clone()],
            CheckedKind::Added { place, .. } if is_new => vec![place.clone()],
            CheckedKind::Removed { .. } | CheckedKind::Added { .. } => Vec::new(),
            CheckedKind::Mapping(mapping) => mapping.places(is_new),
        });
        places.flat_map(|place| place.segments)
    }

    fn is_lossy(&self, of: TypeId, seen: &mut HashSet<TypeId>) -> bool {
        seen.insert(of)
            && self.rules(of).iter().any(|rule| {
                rule.lossy
                    || match &rule.kind {
                        CheckedKind::Removed { .. } => true,
                        CheckedKind::Added { .. } => false,
                        CheckedKind::Equation { codec, default, .. } => {
                            let inner = match codec {
                                BoundCodec::As(of) | BoundCodec::Each { of, .. } => self.is_lossy(*of, seen),
                                BoundCodec::Value(_) => false,
                            };
                            inner || default.is_some()
                        }
                        CheckedKind::Mapping(mapping) => {
                            loses(mapping) || mapping.types().into_iter().any(|of| self.is_lossy(*of, seen))
                        }
                    }
            })
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.is_empty(),
        Value::Array(elements) => elements.is_empty(),
        _ => false,
    }
}

/// Recursion follows the document.
fn keep_named(named: &HashSet<String>, value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|(name, _)| named.contains(name));
            for (_, member) in members {
                keep_named(named, member);
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(|element| keep_named(named, element)),
        _ => {}
    }
}

/// Recursion follows the document.
fn strip_strangers(named: &HashSet<String>, written: &Value, seen: &mut Value) {
    match (written, seen) {
        (Value::Object(written), Value::Object(seen)) => {
            let of = |name: &str| written.iter().find(|(other, _)| other == name).map(|(_, value)| value);
            seen.retain(|(name, _)| named.contains(name) || of(name).is_some());
            for (name, seen) in seen {
                if let Some(written) = of(name) {
                    strip_strangers(named, written, seen);
                }
            }
        }
        (Value::Array(written), Value::Array(seen)) => {
            written.iter().zip(seen).for_each(|(written, seen)| strip_strangers(named, written, seen));
        }
        _ => {}
    }
}

/// Whether the rule itself says that values may go.
fn loses(mapping: &Mapping<TypeId>) -> bool {
    match mapping {
        Mapping::Equation(one) => one.unfit != Unfit::Refuse,
        Mapping::Derived(one) => !one.is_new,
        Mapping::Rest(_) => true,
        Mapping::Cases(_) => false,
    }
}

/// Where a conversion has documents of a type, and nothing else.
enum Inside {
    One(TypeId),
    List(TypeId),
    Dictionary(TypeId),
}

impl Inside {
    fn of(via: &Convert<TypeId>) -> Option<Self> {
        let one = |via: &Convert<TypeId>| if let Convert::As(of) = via { Some(*of) } else { None };
        match via {
            Convert::As(of) => Some(Self::One(*of)),
            Convert::Each(each) if each.unfit == Unfit::Refuse => one(&each.of).map(Self::List),
            Convert::Values(via) => one(via).map(Self::Dictionary),
            _ => None,
        }
    }

    fn each(&self, value: &mut Value, visit: &mut dyn FnMut(TypeId, &mut Value)) {
        match (self, value) {
            (Self::One(of), value) => visit(*of, value),
            (Self::List(of), Value::Array(elements)) => elements.iter_mut().for_each(|one| visit(*of, one)),
            (Self::Dictionary(of), Value::Object(members)) => {
                for (_, one) in members {
                    visit(*of, one);
                }
            }
            _ => {}
        }
    }
}
