//! What a plain equation means, by the schemas on both sides.

use std::collections::HashSet;

use super::{DERIVED, Prover, RuleAt};
use crate::codecs::Codec;
use crate::contract::schema::{Additional, Kinds, SchemaId};
use crate::diagnostic::{Span, codes};
use crate::path::Place;
use crate::rules::checked::{BoundCodec, CheckedKind, CheckedRule, CheckedType, Origin, TypeId, Verdict};

/// What a plain equation means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The value stays.
    Same,
    /// A document of that type.
    As(TypeId),
    /// A list of them.
    Each(TypeId),
}

impl Prover<'_, '_> {
    /// Binds a plain equation; several schema pairs must agree.
    pub(super) fn bind(&mut self, at: RuleAt, span: Span, a: SchemaId, b: SchemaId, name: &str) -> Meaning {
        let meaning = self.meaning(a, b, name, span);
        match self.bound.get(&at).copied() {
            None => {
                self.bound.insert(at, meaning);
            }
            Some(before) if before == meaning => {}
            Some(_) => {
                let message = format!("`{name}` means different types where its type is used");
                if let Some(found) = self.error(codes::E4, span, message) {
                    found.help("name the type: `place: Type`");
                }
                self.lower(at, Verdict::Refuted, "it means different types");
            }
        }
        match meaning {
            Meaning::Same => {}
            Meaning::As(of) => self.visit(of, a, b),
            Meaning::Each(of) => {
                if let (Some(x), Some(y)) = (self.old.schema(a).items, self.new.schema(b).items) {
                    self.visit(of, x, y);
                }
            }
        }
        meaning
    }

    /// The type that a pair of schemas means, made if need be.
    fn meaning(&mut self, a: SchemaId, b: SchemaId, name: &str, span: Span) -> Meaning {
        let (a, b) = (self.old.core(a), self.new.core(b));
        if let Some(of) = self.declared.get(&(a, b)).or_else(|| self.derived.get(&(a, b))) {
            return Meaning::As(*of);
        }
        if !self.holds_declared(a, b) {
            return Meaning::Same;
        }
        let (x, y) = (self.old.schema(a), self.new.schema(b));
        if let (Some(x), Some(y)) = (x.items, y.items)
            && self.old.schema(a).kinds.only(Kinds::ARRAY)
        {
            // Lists of lists have no rule yet; comparing them whole is safe: unequal ones are refused.
            return match self.meaning(x, y, &format!("{name}[]"), span) {
                Meaning::As(of) => Meaning::Each(of),
                Meaning::Same | Meaning::Each(_) => Meaning::Same,
            };
        }
        if self.derived.len() >= DERIVED {
            return Meaning::Same;
        }
        Meaning::As(self.derive(a, b, name, span))
    }

    /// Whether a pair of declared schemas lies somewhere inside both. What was found to hold none is remembered, so
    /// that every pair is searched once.
    pub(super) fn holds_declared(&mut self, a: SchemaId, b: SchemaId) -> bool {
        let mut seen = HashSet::new();
        let mut waiting = vec![(a, b)];
        while let Some((a, b)) = waiting.pop() {
            let (a, b) = (self.old.core(a), self.new.core(b));
            if self.declared.contains_key(&(a, b)) {
                return true;
            }
            if self.barren.contains(&(a, b)) || !seen.insert((a, b)) {
                continue;
            }
            let (x, y) = (self.old.schema(a), self.new.schema(b));
            if let (Some(x), Some(y)) = (x.items, y.items) {
                waiting.push((x, y));
            }
            for mine in &x.properties {
                if let Some(theirs) = y.property(&mine.name) {
                    waiting.push((mine.schema, theirs.schema));
                }
            }
        }
        self.barren.extend(seen);
        false
    }

    /// A type of plain equations, one a common member. Its own check binds them.
    fn derive(&mut self, a: SchemaId, b: SchemaId, name: &str, span: Span) -> TypeId {
        let id = TypeId(self.step.types.len());
        let mut rules = Vec::new();
        for mine in &self.old.schema(a).properties {
            if self.new.schema(b).property(&mine.name).is_some() {
                rules.push(plain(vec![mine.name.clone()], span));
            }
        }
        let name = match (&self.old.schema(a).component, &self.new.schema(b).component) {
            (Some(old), Some(new)) if old == new => old.clone(),
            (Some(old), Some(new)) => format!("{old} = {new}"),
            _ => name.to_owned(),
        };
        self.step.types.push(CheckedType { name, origin: Origin::Derived, rules, span });
        self.derived.insert((a, b), id);
        id
    }

    /// Whether the two schemas are maps that hold a declared type: no rule can say that yet.
    pub(super) fn is_map_of_declared(&mut self, a: SchemaId, b: SchemaId) -> bool {
        match (self.old.schema(a).additional, self.new.schema(b).additional) {
            (Additional::Map(Some(x)), Additional::Map(Some(y))) => self.holds_declared(x, y),
            _ => false,
        }
    }
}

/// `- place`, as if it were written.
pub(super) fn plain(segments: Vec<String>, span: Span) -> CheckedRule {
    let text = segments.join(".");
    let place = Place::plain(segments, span);
    CheckedRule {
        kind: CheckedKind::Equation {
            olds: vec![place.clone()],
            news: vec![place],
            codec: BoundCodec::Value(Codec::Same),
            default: None,
        },
        lossy: false,
        verdict: Verdict::Proven,
        text,
        span,
    }
}
