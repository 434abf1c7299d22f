//! Where rules read: the values at a place, with what the variable parts of its names stand for.

use std::borrow::Cow;
use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

use super::value::{At, has_members, is_literal};
use super::{Fault, Rule, RuleKind, Run, side};
use crate::json::{Tree, TreeKind};
use crate::path::{Step, View};
use crate::rules::mapping::{JsonType, Kind};

/// Values, named by their addresses.
type Values = HashSet<usize, BuildHasherDefault<Spread>>;

/// Spreads addresses over a table (Fibonacci hashing: Knuth, The Art of Computer Programming, vol. 3, 6.4). They are not
/// a caller's to choose, so no more is needed.
#[derive(Debug, Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_usize(usize::from(*byte));
        }
    }

    fn write_usize(&mut self, value: usize) {
        let mixed = (self.0 ^ value as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        // Tables take the lowest and the highest bits.
        self.0 = mixed ^ (mixed >> 32);
    }
}

/// Parts of the source that rules have read.
#[derive(Debug, Default)]
pub(super) struct Owned {
    /// Values that a rule owns.
    whole: Values,
    /// Values of which rules own parts.
    entered: Values,
    /// Members by which a rule finds an element: by themselves they do not keep it.
    selectors: Values,
}

impl Owned {
    pub(super) fn own(&mut self, tree: &Tree<'_>) {
        self.whole.insert(key(tree));
    }

    pub(super) fn enter(&mut self, tree: &Tree<'_>) {
        self.entered.insert(key(tree));
    }

    pub(super) fn select(&mut self, tree: &Tree<'_>) {
        self.selectors.insert(key(tree));
    }

    pub(super) fn is_selector(&self, tree: &Tree<'_>) -> bool {
        self.selectors.contains(&key(tree))
    }

    pub(super) fn is_whole(&self, tree: &Tree<'_>) -> bool {
        self.whole.contains(&key(tree))
    }

    pub(super) fn is_entered(&self, tree: &Tree<'_>) -> bool {
        self.entered.contains(&key(tree))
    }

    pub(super) fn is_free(&self, tree: &Tree<'_>) -> bool {
        !self.is_whole(tree) && !self.is_entered(tree)
    }
}

/// Trees stay where they are while a translation runs, so their address names them.
fn key(tree: &Tree<'_>) -> usize {
    std::ptr::from_ref(tree) as usize
}

/// A value at a place.
#[derive(Debug, Clone)]
pub(super) struct Found<'a> {
    pub(super) tree: Option<&'a Tree<'a>>,
    pub(super) captures: Vec<(&'a str, Cow<'a, str>)>,
    /// The values above it.
    pub(super) above: Vec<&'a Tree<'a>>,
    /// Members by which elements above it were found.
    pub(super) selectors: Vec<&'a Tree<'a>>,
    pub(super) path: Vec<At<'a>>,
}

impl<'a> Run<'a> {
    /// All values at a place: exactly one, which may be absent, unless its names have variable parts or it means the
    /// rest of a list.
    pub(super) fn find(
        &self,
        steps: &'a [Step],
        root: &'a Tree<'a>,
        side: usize,
        owned: &Owned,
        only: Option<&Kind>,
    ) -> Result<Vec<Found<'a>>, Fault> {
        let start = Found {
            tree: Some(root),
            captures: Vec::new(),
            above: Vec::new(),
            selectors: Vec::new(),
            path: Vec::new(),
        };
        let mut all = vec![start];
        for (index, step) in steps.iter().enumerate() {
            let is_last = index + 1 == steps.len();
            let mut next = Vec::new();
            for found in all {
                self.spend()?;
                self.advance(step, &found, side, owned, only.filter(|_| is_last), &mut next);
            }
            all = next;
        }
        Ok(all)
    }

    fn advance(
        &self,
        step: &'a Step,
        found: &Found<'a>,
        side: usize,
        owned: &Owned,
        only: Option<&Kind>,
        next: &mut Vec<Found<'a>>,
    ) {
        let fits = |tree: &Tree<'_>| only.is_none_or(|kind| is_kind(tree, kind));
        let members = found.tree.map(Tree::members).unwrap_or_default();
        let elements = found.tree.and_then(Tree::elements).unwrap_or_default();
        let above = |found: &Found<'a>| found.above.iter().copied().chain(found.tree).collect();
        let single = |found: &Found<'a>, at: At<'a>, tree: Option<&'a Tree<'a>>| Found {
            tree,
            captures: found.captures.clone(),
            above: above(found),
            selectors: found.selectors.clone(),
            path: found.path.iter().cloned().chain([at]).collect(),
        };
        match step {
            Step::Name(name) => {
                let tree = members.iter().find(|(known, _)| known == name).map(|(_, value)| value);
                next.push(single(found, At::Name(Cow::Borrowed(name)), tree.filter(|tree| fits(tree))));
            }
            Step::Asked { prefix, view, path, suffix } => {
                let name = self.asked(*view, path, side).map(|text| format!("{prefix}{text}{suffix}"));
                let tree =
                    members.iter().find(|(known, _)| Some(known.as_ref()) == name.as_deref()).map(|(_, value)| value);
                next.push(single(found, At::Name(Cow::Owned(name.unwrap_or_default())), tree));
            }
            Step::Pattern { variable, .. } => {
                for (name, value) in members {
                    if let Some(capture) = step.capture(name)
                        && owned.is_free(value)
                        && fits(value)
                    {
                        let mut one = single(found, At::Name(Cow::Borrowed(name)), Some(value));
                        one.captures.push((variable, Cow::Borrowed(capture)));
                        next.push(one);
                    }
                }
            }
            Step::Index(index) => next.push(single(found, At::Index(*index), elements.get(*index))),
            Step::Find(conditions) => {
                let tree = elements.iter().find(|one| has_members(one, conditions));
                let mut one = single(found, At::Find(conditions), tree);
                one.selectors.extend(conditions.iter().filter_map(|(path, _)| tree?.at(path)));
                next.push(one);
            }
            Step::Rest => {
                let free = elements.iter().filter(|one| owned.is_free(one));
                next.extend(free.map(|one| single(found, At::Append, Some(one))));
            }
        }
    }

    /// A text of the request.
    pub(super) fn asked(&self, view: View, path: &[String], side: usize) -> Option<String> {
        let tree = self.view(Some(view), side)?.at(path)?;
        tree.scalar_text().map(Cow::into_owned)
    }

    /// The document that a place of the request is in.
    pub(super) fn view(&self, view: Option<View>, side: usize) -> Option<&'a Tree<'a>> {
        let side = match view? {
            View::Source => side,
            View::Old => 0,
            View::New => 1,
        };
        *super::side(&self.requests, side)
    }

    /// Where a rule writes, given what the variables of the place that it read stand for.
    pub(super) fn target(
        &self,
        steps: &'a [Step],
        side: usize,
        captures: &[(&'a str, Cow<'a, str>)],
    ) -> Result<Vec<At<'a>>, Fault> {
        let at = steps.iter().map(|step| {
            Ok(match step {
                Step::Name(name) => At::Name(Cow::Borrowed(name.as_str())),
                Step::Pattern { prefix, variable, suffix } => {
                    let value = captures.iter().find(|(name, _)| name == variable).map(|(_, value)| value);
                    let value = value.ok_or_else(|| Fault::guard("a name cannot be made".into()))?;
                    At::Name(Cow::Owned(format!("{prefix}{value}{suffix}")))
                }
                Step::Asked { prefix, view, path, suffix } => {
                    let value = self.asked(*view, path, side);
                    let value = value.ok_or_else(|| Fault::guard("the request has no such value".into()))?;
                    At::Name(Cow::Owned(format!("{prefix}{value}{suffix}")))
                }
                Step::Index(index) => At::Index(*index),
                Step::Find(conditions) => At::Find(conditions),
                Step::Rest => At::Append,
            })
        });
        at.collect()
    }
}

/// Whether a value is of a kind.
pub(super) fn is_kind(tree: &Tree<'_>, kind: &Kind) -> bool {
    let of_type = |one: &JsonType| match (one, &tree.kind) {
        (JsonType::Null, TreeKind::Null)
        | (JsonType::Boolean, TreeKind::Bool(_))
        | (JsonType::Number, TreeKind::Number)
        | (JsonType::String, TreeKind::String)
        | (JsonType::Array, TreeKind::Array(_))
        | (JsonType::Object, TreeKind::Object(_)) => true,
        (JsonType::Integer, TreeKind::Number) => tree.number().is_some_and(|number| number.is_integer()),
        _ => false,
    };
    let is_value = |value: &String| is_literal(tree, value.as_bytes());
    let is_so = (kind.types.is_empty() || kind.types.iter().any(of_type))
        && (kind.values.is_empty() || kind.values.iter().any(is_value));
    is_so != kind.negated
}

/// A place of the source for people.
pub(super) fn shown(path: &[At<'_>]) -> String {
    let mut text = String::new();
    for at in path {
        match at {
            At::Name(name) => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(name);
            }
            At::Index(index) => {
                text.push('[');
                text.push_str(&index.to_string());
                text.push(']');
            }
            At::Find(_) | At::Append => text.push_str("[…]"),
        }
    }
    text
}

/// Whether a rule takes what other rules leave.
pub(super) fn is_patient(rule: &Rule, from: usize) -> bool {
    patience(rule, from).is_some()
}

/// How exact the pattern is by which a rule takes what other rules leave; nothing where it names its places.
pub(super) fn patience(rule: &Rule, from: usize) -> Option<usize> {
    let places: &[super::Steps] = match &rule.kind {
        RuleKind::Equation { places, .. } => side(places, from).as_slice(),
        RuleKind::Derived { place, is_new, .. } if usize::from(*is_new) == from => std::slice::from_ref(place),
        RuleKind::Derived { .. } | RuleKind::Cases(_) => &[],
    };
    let open = |step: &Step| match step {
        Step::Pattern { .. } => Some(step.exactness()),
        Step::Rest => Some(0),
        _ => None,
    };
    places.iter().flatten().filter_map(open).min()
}
