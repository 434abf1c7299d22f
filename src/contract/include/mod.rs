//! Inclusion: does one schema allow every value that another allows?
//!
//! Three answers. Recursion through references is decided coinductively: a pair that is being decided is assumed to
//! hold, which is sound because every cycle consumes a document level.

use std::collections::HashSet;

mod parts;

use super::documents::{constant_kind, validate};
use super::interface::Interface;
use super::schema::{Additional, Choice, Kinds, Schema, SchemaId};
use crate::diagnostic::Span;
use crate::json::{MAX_DEPTH, Tree};

/// Nesting of schemas without a cycle; deeper is "unknown".
const DEPTH: usize = 64;
/// Pairs of schemas; more is "unknown".
const PAIRS: usize = 20_000;

/// Whether every value of one schema is a value of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inclusion {
    /// Every one.
    Yes,
    /// Not this one.
    No(Mismatch),
    /// Outside what is decided; why.
    Unknown(String),
}

/// Where and how two schemas differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The place below both schemas, for example `lines[].qty`; empty: here.
    pub place: String,
    /// What the first allows and the second does not.
    pub detail: String,
    /// Where the first says so.
    pub wide: Span,
    /// Where the second says so.
    pub narrow: Span,
    /// Whether the two hold different JSON types.
    pub is_kind: bool,
}

/// One direction of one comparison.
pub struct Comparison<'a> {
    wide: &'a Interface,
    narrow: &'a Interface,
    assumed: HashSet<(SchemaId, SchemaId)>,
    path: Vec<String>,
}

impl<'a> Comparison<'a> {
    /// Compares values of `wide`'s schemas with `narrow`'s.
    pub fn new(wide: &'a Interface, narrow: &'a Interface) -> Self {
        Self { wide, narrow, assumed: HashSet::new(), path: Vec::new() }
    }

    /// Whether every value of `a` (in the first interface) is a value of `b` (in the second).
    pub fn decide(&mut self, a: SchemaId, b: SchemaId) -> Inclusion {
        if self.path.len() > DEPTH || self.assumed.len() > PAIRS {
            return Inclusion::Unknown("the schemas nest too deep".to_owned());
        }
        if !self.assumed.insert((a, b)) {
            return Inclusion::Yes;
        }
        let (wide, narrow) = (self.wide, self.narrow);
        let (a, b) = (wide.schema(a), narrow.schema(b));
        if a.kinds == Kinds::NONE {
            return Inclusion::Yes;
        }
        let mut all = All::default();
        if let (Some(x), Some(y)) = (a.text_of, b.text_of) {
            return self.decide(x, y);
        }
        if b.text_of.is_some_and(|id| !narrow.schema(id).kinds.holds(Kinds::STRING)) {
            all.unknown(format!("{} expects the text of a value", narrow.version));
        }
        self.values(a, b, &mut all);
        if all.is_decided() {
            return all.answer(a, b);
        }
        let missing = a.kinds.without(b.kinds);
        if missing != Kinds::NONE {
            let detail = format!(
                "{} allows {}, {} only {}",
                wide.version,
                a.kinds.describe(),
                narrow.version,
                b.kinds.describe()
            );
            let is_kind = !missing.without(Kinds::NULL).and(Kinds::ANY).eq(&Kinds::NONE);
            all.no(Mismatch { is_kind, ..self.mismatch(a, b, detail) });
        }
        if a.values.is_none() {
            self.numbers(a, b, &mut all);
            self.strings(a, b, &mut all);
        }
        self.arrays(a, b, &mut all);
        self.objects(a, b, &mut all);
        self.choices(a, b, &mut all);
        if let Some(outside) = b.outside.first() {
            all.unknown(format!("`{}` in {} is not decided", outside.text, narrow.version));
        }
        all.answer(a, b)
    }

    fn mismatch(&self, a: &Schema, b: &Schema, detail: String) -> Mismatch {
        let place = self.path.concat();
        let place = place.strip_prefix('.').unwrap_or(&place).to_owned();
        Mismatch { place, detail, wide: a.span, narrow: b.span, is_kind: false }
    }

    fn below(&mut self, step: String, a: SchemaId, b: SchemaId, all: &mut All) {
        self.path.push(step);
        let answer = self.decide(a, b);
        self.path.pop();
        all.add(answer);
    }

    fn values(&mut self, a: &Schema, b: &Schema, all: &mut All) {
        let listed: Vec<String> = match (&a.values, &b.values) {
            (Some(values), _) => values.iter().map(|one| one.json.clone()).collect(),
            (None, Some(_)) => {
                let Some(values) = enumerate(a) else {
                    let detail =
                        format!("{} leaves the values open, {} lists them", self.wide.version, self.narrow.version);
                    return all.no(self.mismatch(a, b, detail));
                };
                values
            }
            (None, None) => return,
        };
        for json in listed {
            let kept = if let Some(values) = &b.values {
                values.iter().any(|one| same_text(&one.json, &json))
            } else {
                b.kinds.holds(constant_kind(&json)) && (b.text_of.is_some() || validates(self.narrow, b, &json))
            };
            if !kept {
                let detail = format!("{} allows `{json}`, {} does not", self.wide.version, self.narrow.version);
                let is_kind = !b.kinds.holds(constant_kind(&json)) && json != "null";
                return all.no(Mismatch { is_kind, ..self.mismatch(a, b, detail) });
            }
        }
        all.done = b.outside.is_empty();
    }

    fn choices(&mut self, a: &Schema, b: &Schema, all: &mut All) {
        match (&a.choice, &b.choice) {
            (Some(mine), Some(theirs)) if mine.tag == theirs.tag => {
                for (tag, case) in &mine.cases {
                    if let Some(other) = find_case(theirs, tag) {
                        self.below(format!("({tag})"), *case, other, all);
                        continue;
                    }
                    let (wide, narrow) = (&self.wide.version, &self.narrow.version);
                    let detail = format!("{wide} allows `{}: {tag}`, {narrow} does not", mine.tag);
                    all.no(Mismatch { wide: mine.span, narrow: theirs.span, ..self.mismatch(a, b, detail) });
                }
            }
            (Some(mine), None) if !b.properties.is_empty() || b.additional != Additional::Unsaid => {
                // Each case must be allowed by the one schema of the other side.
                let cases: Vec<(String, SchemaId)> = mine.cases.clone();
                let target = self.find_narrow(b);
                for (tag, case) in cases {
                    match target {
                        Some(target) => self.below(format!("({tag})"), case, target, all),
                        None => all.unknown("`oneOf` against a merged schema is not decided".to_owned()),
                    }
                }
            }
            (_, None) => {}
            (_, Some(theirs)) => {
                all.unknown(format!("`oneOf` chosen by `{}` only in {}", theirs.tag, self.narrow.version));
            }
        }
    }

    fn find_narrow(&self, b: &Schema) -> Option<SchemaId> {
        let name = b.component.as_deref()?;
        self.narrow.component(name)
    }
}

fn find_case(choice: &Choice, tag: &str) -> Option<SchemaId> {
    choice.cases.iter().find(|(name, _)| name == tag).map(|(_, id)| *id)
}

/// Every value of a schema, `null` included, where there are few.
pub(super) fn enumerate(schema: &Schema) -> Option<Vec<String>> {
    if let Some(values) = &schema.values {
        return Some(values.iter().map(|one| one.json.clone()).collect());
    }
    if !Kinds::BOOLEAN.with(Kinds::NULL).holds(schema.kinds) {
        return None;
    }
    let mut values = Vec::new();
    if schema.kinds.holds(Kinds::BOOLEAN) {
        values.extend(["true".to_owned(), "false".to_owned()]);
    }
    if schema.is_nullable() {
        values.push("null".to_owned());
    }
    Some(values)
}

pub(super) fn same_text(a: &str, b: &str) -> bool {
    a == b
        || match (Tree::parse(a.as_bytes(), MAX_DEPTH), Tree::parse(b.as_bytes(), MAX_DEPTH)) {
            (Ok(a), Ok(b)) => a.same(&b),
            _ => false,
        }
}

fn validates(interface: &Interface, schema: &Schema, json: &str) -> bool {
    Tree::parse(json.as_bytes(), MAX_DEPTH).is_ok_and(|tree| validate::is_allowed(interface, schema, &tree))
}

/// The answers of the parts.
#[derive(Default)]
struct All {
    no: Option<Mismatch>,
    unknown: Option<String>,
    done: bool,
}

impl All {
    fn no(&mut self, mismatch: Mismatch) {
        // A difference of types says more than what follows from it.
        if self.no.as_ref().is_none_or(|before| mismatch.is_kind && !before.is_kind) {
            self.no = Some(mismatch);
        }
    }

    fn unknown(&mut self, why: String) {
        self.unknown.get_or_insert(why);
    }

    fn add(&mut self, answer: Inclusion) {
        match answer {
            Inclusion::Yes => {}
            Inclusion::No(mismatch) => self.no(mismatch),
            Inclusion::Unknown(why) => self.unknown(why),
        }
    }

    fn is_decided(&self) -> bool {
        self.done || self.no.is_some()
    }

    /// `a`'s undecided keywords can only make it smaller: they never spoil a "yes", but they do spoil a "no".
    fn answer(self, a: &Schema, _b: &Schema) -> Inclusion {
        match (self.no, self.unknown) {
            (Some(mismatch), _) if a.outside.is_empty() || mismatch.is_kind => Inclusion::No(mismatch),
            (Some(mismatch), _) => Inclusion::Unknown(mismatch.detail),
            (None, Some(why)) => Inclusion::Unknown(why),
            (None, None) => Inclusion::Yes,
        }
    }
}
