//! What the laws leave out: acknowledged losses, defaults, emptied parents. And locality, rule by rule.

use super::super::documents::{End, Value};
use crate::rules::checked::{BoundCodec, CheckedKind, CheckedRule, CheckedType, TypeId};
use crate::rules::mapping::Mapping;

/// A step's types, as the laws see them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape<'a>(pub(super) &'a [CheckedType]);

impl Shape<'_> {
    pub(super) fn rules(&self, of: TypeId) -> &[CheckedRule] {
        self.0.get(of.0).map(|one| one.rules.as_slice()).unwrap_or_default()
    }

    /// Takes away what an old document may lose: removed fields, places with an accepted loss; then parents that
    /// stand empty. Recursion follows the document.
    pub(super) fn strip(&self, of: TypeId, value: &mut Value) {
        for rule in self.rules(of) {
            let olds = match &rule.kind {
                CheckedKind::Removed { place, .. } => std::slice::from_ref(place),
                CheckedKind::Equation { olds, .. } => olds.as_slice(),
                CheckedKind::Added { .. } => continue,
                CheckedKind::Mapping(mapping) => {
                    self.strip_mapped(of, rule, mapping, value);
                    continue;
                }
            };
            for place in olds {
                match &rule.kind {
                    CheckedKind::Equation { codec, .. } if !rule.lossy => {
                        if let Some(inner) = value.at_mut(&place.segments) {
                            each_document(codec, inner, &mut |of, one| self.strip(of, one));
                        }
                    }
                    _ => value.remove(&place.segments),
                }
                let mut parents = place.segments.as_slice();
                while let Some((_, above)) = parents.split_last()
                    && !above.is_empty()
                    && value.at(above).is_some_and(|one| matches!(one, Value::Object(all) if all.is_empty()))
                {
                    value.remove(above);
                    parents = above;
                }
            }
        }
    }

    /// Takes away what a rule's default added where the original had nothing.
    pub(super) fn forgive_defaults(&self, of: TypeId, original: &Value, value: &mut Value) {
        for rule in self.rules(of) {
            let (olds, codec, default) = match &rule.kind {
                CheckedKind::Equation { olds, codec, default, .. } => (olds, codec, default),
                CheckedKind::Mapping(mapping) => {
                    if let Mapping::Equation(one) = &**mapping
                        && one.default.is_some()
                    {
                        let absent = one.olds.iter().filter(|place| original.at(&place.segments).is_none());
                        absent.for_each(|place| value.remove(&place.segments));
                    }
                    continue;
                }
                _ => continue,
            };
            for place in olds {
                match original.at(&place.segments) {
                    None if default.is_some() => value.remove(&place.segments),
                    None => {}
                    Some(before) => {
                        let Some(after) = value.at_mut(&place.segments) else { continue };
                        match (codec, before, after) {
                            (BoundCodec::As(of), before, after) => self.forgive_defaults(*of, before, after),
                            (BoundCodec::Each { of, .. }, Value::Array(before), Value::Array(after)) => {
                                for (before, after) in before.iter().zip(after) {
                                    self.forgive_defaults(*of, before, after);
                                }
                            }
                            _ => {}
                        }
                    }
                }
            }
        }
    }

    /// Whether a place of a document lies where the author accepted a loss.
    pub(super) fn is_excused(&self, of: TypeId, end: End, path: &[String]) -> bool {
        self.rules(of).iter().any(|rule| {
            let places = match (&rule.kind, end) {
                (CheckedKind::Equation { olds, .. }, End::Old) => olds.as_slice(),
                (CheckedKind::Equation { news, .. }, End::New) => news.as_slice(),
                (CheckedKind::Removed { place, .. }, End::Old) | (CheckedKind::Added { place, .. }, End::New) => {
                    std::slice::from_ref(place)
                }
                _ => return false,
            };
            places.iter().filter_map(|place| path.strip_prefix(place.segments.as_slice())).any(|rest| {
                rule.lossy
                    || match (&rule.kind, rest) {
                        (CheckedKind::Equation { codec: BoundCodec::As(of), .. }, rest) if !rest.is_empty() => {
                            self.is_excused(*of, end, rest)
                        }
                        (CheckedKind::Equation { codec: BoundCodec::Each { of, .. }, .. }, [_, rest @ ..]) => {
                            self.is_excused(*of, end, rest)
                        }
                        _ => false,
                    }
            })
        })
    }

    /// Whether a write changed nothing that the edit (`before` to `after`, old side) did not touch. Answers the new
    /// place that changed without cause.
    pub(super) fn stray(
        &self,
        of: TypeId,
        before: &Value,
        after: &Value,
        base: &Value,
        result: &Value,
    ) -> Option<String> {
        self.rules(of).iter().find_map(|rule| {
            let (olds, news, codec) = match &rule.kind {
                CheckedKind::Removed { .. } | CheckedKind::Mapping(_) => return None,
                CheckedKind::Added { place, .. } => (&[][..], std::slice::from_ref(place), None),
                CheckedKind::Equation { olds, news, codec, .. } => (olds.as_slice(), news.as_slice(), Some(codec)),
            };
            let is_untouched = olds.iter().all(|place| same(before.at(&place.segments), after.at(&place.segments)));
            if is_untouched {
                let moved = news.iter().find(|place| !same(base.at(&place.segments), result.at(&place.segments)));
                return moved.map(|place| place.segments.join("."));
            }
            let ([old], [new], Some(codec)) = (olds, news, codec) else { return None };
            let (before, after) = (before.at(&old.segments)?, after.at(&old.segments)?);
            let (base, result) = (base.at(&new.segments)?, result.at(&new.segments)?);
            let within = |inner: String| format!("{}.{inner}", new.segments.join("."));
            match (codec, before, after, base, result) {
                (BoundCodec::As(of), Value::Object(_), Value::Object(_), Value::Object(_), Value::Object(_)) => {
                    self.stray(*of, before, after, base, result).map(within)
                }
                (
                    BoundCodec::Each { of, key: Some(key) },
                    Value::Array(before),
                    Value::Array(after),
                    Value::Array(base),
                    Value::Array(result),
                ) => {
                    let key_of = |one: &Value| one.at(&key.segments).map(Value::to_json);
                    let keys: Vec<_> = before.iter().map(key_of).collect();
                    // The same key twice is a run-time matter, not a law.
                    let is_double = |keys: &[_]| {
                        keys.iter().enumerate().any(|(at, key)| keys.iter().skip(at + 1).any(|it| it == key))
                    };
                    if is_double(&keys) || keys.contains(&None) {
                        return None;
                    }
                    after
                        .iter()
                        .zip(result)
                        .find_map(|(after, result)| {
                            let at = keys.iter().position(|key| *key == key_of(after))?;
                            self.stray(*of, before.get(at)?, after, base.get(at)?, result)
                        })
                        .map(within)
                }
                _ => None,
            }
        })
    }

    /// Whether a document without a schema has what its rules cannot do without: the other side of a whole document,
    /// and values that come back as something where they are absent, such as old ones of `head`.
    pub(super) fn is_whole(&self, of: TypeId, end: End, value: &Value) -> bool {
        self.rules(of).iter().all(|rule| {
            let CheckedKind::Equation { olds, news, codec, .. } = &rule.kind else { return true };
            let (mine, theirs) = if end == End::Old { (olds, news) } else { (news, olds) };
            let fills = matches!(codec, BoundCodec::Value(codec) if codec.fills_in(end == End::Old));
            let is_needed = fills || theirs.iter().any(|place| place.segments.is_empty());
            mine.iter().all(|place| match value.at(&place.segments) {
                None => !is_needed,
                Some(inner) => {
                    let mut is_whole = true;
                    let mut inner = inner.clone();
                    each_document(codec, &mut inner, &mut |of, one| is_whole &= self.is_whole(of, end, one));
                    is_whole
                }
            })
        })
    }

    /// The last segments of every `key`: edits leave them alone, as clients do.
    pub(super) fn key_names(&self) -> Vec<&str> {
        let rules = self.0.iter().flat_map(|one| &one.rules);
        rules
            .filter_map(|rule| match &rule.kind {
                CheckedKind::Equation { codec: BoundCodec::Each { key: Some(key), .. }, .. } => {
                    key.segments.last().map(String::as_str)
                }
                _ => None,
            })
            .collect()
    }
}

fn each_document(codec: &BoundCodec, value: &mut Value, visit: &mut dyn FnMut(TypeId, &mut Value)) {
    match (codec, value) {
        (BoundCodec::As(of), value @ Value::Object(_)) => visit(*of, value),
        (BoundCodec::Each { of, .. }, Value::Array(elements)) => {
            for element in elements.iter_mut().filter(|one| matches!(one, Value::Object(_))) {
                visit(*of, element);
            }
        }
        _ => {}
    }
}

fn same(a: Option<&Value>, b: Option<&Value>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => a.same(b),
        _ => false,
    }
}
