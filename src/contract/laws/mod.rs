//! Evidence: examples in every direction, and the laws on generated documents.
//!
//! Everything is counted, nothing is timed, and chance is seeded: the same rules give the same evidence everywhere.

mod diff;
mod edit;
mod forget;
mod known;
mod law;
mod shape;
mod shrink;

use std::fmt::Write as _;

pub use law::{Law, Translator};

use super::documents::{End, Generator, Guided, Random, VALUES, Value};
use super::interface::Interface;
use super::schema::SchemaId;
use crate::codecs::Direction;
use crate::diagnostic::{Diagnostics, codes};
use crate::plan::{Fault, Limits, Scratch, StepPlan, Unplaced};
use crate::rules::checked::{CheckedExample, CheckedService, CheckedStep, CheckedType, Origin, TypeId};
use diff::diff;
use known::Known;
use law::{Broken, Sample, Subject};
use shape::Shape;

/// How much is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Documents of each type, at most.
    pub documents: usize,
    /// The same seed gives the same documents.
    pub seed: u64,
}

/// Work for one requested document of each type: what a step with many or huge types has to share.
const WORK: usize = 1_000_000;
/// Work of any document, whatever its type.
const COST: usize = 200;

impl Budget {
    /// At every load: little enough to be unnoticed.
    pub const LOAD: Self = Self { documents: 40, seed: 7 };

    /// Documents of one type: fewer where its rules are very many, so that loading stays quick.
    fn of(self, one: &CheckedType, types: usize) -> usize {
        let share = self.documents.saturating_mul(WORK) / types.max(1);
        let rules = one.rules.len();
        self.documents.min(share / rules.saturating_mul(rules).saturating_add(COST))
    }
}

/// What one step's examples and laws came to.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// Each example in written order: its type's name, and whether it came out as written.
    pub examples: Vec<(String, bool)>,
    /// Each named type in written order.
    pub types: Vec<TypeEvidence>,
}

/// What one type's laws came to.
#[derive(Debug, Clone)]
pub struct TypeEvidence {
    /// The type's name.
    pub name: String,
    /// Where documents came from.
    pub documents: Documents,
    /// Each law that was tried.
    pub laws: Vec<LawEvidence>,
}

/// Where the documents of a type come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Documents {
    /// From the schemas of both sides.
    Schemas,
    /// Made by the rules, inside each codec's domain.
    Rules,
    /// The examples, changed.
    Examples,
}

/// What one law came to.
#[derive(Debug, Clone)]
pub struct LawEvidence {
    /// Which.
    pub law: Law,
    /// Documents tried.
    pub documents: usize,
    /// The smallest document found that breaks it, as text for people.
    pub counter_example: Option<String>,
}

/// The engine as the laws see it.
#[derive(Debug)]
pub struct Engine<'p> {
    plan: &'p StepPlan,
    scratch: Scratch,
}

impl<'p> Engine<'p> {
    /// A compiled step.
    pub fn new(plan: &'p StepPlan) -> Self {
        Self { plan, scratch: Scratch::default() }
    }
}

impl Translator for Engine<'_> {
    fn translate(&mut self, of: TypeId, direction: Direction, input: &[u8]) -> Result<Vec<u8>, Fault> {
        let mut out = Vec::new();
        // As the gateway answers: what a new service adds is left out for old callers, what callers write is not.
        let unplaced = match direction {
            Direction::Up => Unplaced::Refuse,
            Direction::Down => Unplaced::Drop,
        };
        let limits = Limits { unplaced, ..Limits::default() };
        self.plan.translate(of, direction, input, &mut out, &mut self.scratch, limits)?;
        Ok(out)
    }

    fn put(&mut self, of: TypeId, old: &[u8], base: &[u8]) -> Result<Vec<u8>, Fault> {
        let mut out = Vec::new();
        self.plan.put(of, old, base, &mut out, Limits::default())?;
        Ok(out)
    }
}

/// Runs the examples and laws of every step of a service; reports failures as E14.
pub fn verify_service(
    service: &CheckedService,
    interfaces: &[Option<Interface>],
    budget: Budget,
    diagnostics: &mut Diagnostics,
) -> Vec<Evidence> {
    let interface = |version: usize| interfaces.get(version).and_then(Option::as_ref);
    let steps = service.steps.iter().enumerate();
    let verified = steps.map(|(index, step)| {
        verify(step, &StepPlan::compile(step), interface(index), interface(index + 1), budget, diagnostics)
    });
    verified.collect()
}

/// Runs a step's examples and laws over its compiled form; reports failures as E14.
///
/// `old` and `new` are the interfaces of the step's two versions, where they are known.
pub fn verify(
    step: &CheckedStep,
    plan: &StepPlan,
    old: Option<&Interface>,
    new: Option<&Interface>,
    budget: Budget,
    diagnostics: &mut Diagnostics,
) -> Evidence {
    verify_with(step, &mut Engine::new(plan), old, new, budget, diagnostics)
}

/// As [`verify`], over any engine.
pub fn verify_with(
    step: &CheckedStep,
    engine: &mut dyn Translator,
    old: Option<&Interface>,
    new: Option<&Interface>,
    budget: Budget,
    diagnostics: &mut Diagnostics,
) -> Evidence {
    let mut evidence = Evidence::default();
    for example in &step.examples {
        let name = step.types.get(example.of.0).map(|one| one.name.clone()).unwrap_or_default();
        let holds = check_example(example, &name, engine, diagnostics);
        evidence.examples.push((name, holds));
    }
    let general = step.general();
    for (index, one) in step.types.iter().enumerate() {
        let Origin::Named { old: old_name, new: new_name } = &one.origin else { continue };
        let subject = Subject {
            of: TypeId(index),
            shape: Shape(&step.types),
            is_general: general.get(index) == Some(&true),
            old: old.and_then(|all| Some((all, all.component(old_name)?))),
            new: new.and_then(|all| Some((all, all.component(new_name)?))),
        };
        evidence.types.extend(check_laws(one, &subject, step, engine, budget, diagnostics));
    }
    evidence
}

fn check_laws(
    one: &CheckedType,
    subject: &Subject<'_>,
    step: &CheckedStep,
    engine: &mut dyn Translator,
    budget: Budget,
    diagnostics: &mut Diagnostics,
) -> Option<TypeEvidence> {
    let has_schemas = subject.old.is_some() && subject.new.is_some();
    let (documents, samples) = match (has_schemas, subject.is_general) {
        (true, _) => (Documents::Schemas, samples(one, subject, step, budget)),
        (false, false) => (Documents::Rules, samples(one, subject, step, budget)),
        (false, true) => (Documents::Examples, changed_examples(one, subject, step, engine, budget)),
    };
    if subject.is_general && samples.is_empty() {
        return None;
    }
    let mut laws = Vec::new();
    for law in Law::ALL {
        let is_checkable = match law {
            Law::ValidUp => subject.new.is_some() && subject.old.is_some(),
            Law::ValidDown => subject.old.is_some() && subject.new.is_some(),
            _ => true,
        };
        if !is_checkable {
            continue;
        }
        let first = samples.iter().find_map(|sample| Some((sample, subject.broken(law, sample, engine)?)));
        let counter_example = first.map(|(sample, broken)| {
            let (sample, broken) = shrink::shrink(subject, law, sample.clone(), broken, engine);
            counter_example(one, law, &sample, &broken)
        });
        if let Some(text) = &counter_example
            && law.is_required()
        {
            let message = format!("`{}` breaks {}: {}", one.name, law.name(), law.meaning());
            diagnostics.error(codes::E14, one.span, message).label("a generated document breaks it").note(text);
        }
        laws.push(LawEvidence { law, documents: samples.len(), counter_example });
    }
    Some(TypeEvidence { name: one.name.clone(), documents, laws })
}

/// Generated documents that both sides allow: a schema that hardly any document fits may defeat the generator.
fn samples(one: &CheckedType, subject: &Subject<'_>, step: &CheckedStep, budget: Budget) -> Vec<Sample> {
    let rounds = (0..budget.of(one, step.types.len())).map(|round| sample(subject, &step.types, budget.seed, round));
    rounds.filter(|one| subject.allows(End::Old, &one.old) && subject.allows(End::New, &one.new)).collect()
}

/// Changed examples that the rules take: which those are only the rules know.
fn changed_examples(
    one: &CheckedType,
    subject: &Subject<'_>,
    step: &CheckedStep,
    engine: &mut dyn Translator,
    budget: Budget,
) -> Vec<Sample> {
    let known = Known::of(&step.examples, subject.of, engine);
    let mut made = |round: usize| {
        let seed = seed_of(subject, budget.seed, round);
        let mut random = Random::new(seed);
        let old = known::vary(&known.old, &mut random)?;
        let (new, donor) = (known::vary(&known.new, &mut random)?, known::vary(&known.old, &mut random)?);
        let mut is_taken = |direction, value: &Value| engine.translate(subject.of, direction, &value.to_json()).is_ok();
        let is_one = is_taken(Direction::Up, &old) && is_taken(Direction::Down, &new);
        is_one.then_some(Sample { old, new, donor, seed })
    };
    (0..budget.of(one, step.types.len())).filter_map(&mut made).collect()
}

fn seed_of(subject: &Subject<'_>, seed: u64, round: usize) -> u64 {
    seed ^ (round as u64).wrapping_mul(0xD6E8_FEB8_6659_FD93) ^ ((subject.of.0 as u64) << 48)
}

/// The documents of one round. Rounds do not depend on each other, so more rounds only add to fewer.
fn sample(subject: &Subject<'_>, types: &[CheckedType], seed: u64, round: usize) -> Sample {
    let seed = seed_of(subject, seed, round);
    let mut random = Random::new(seed);
    let unknown_members = random.chance(40);
    let mut make = |end: End, unknown_members: bool| {
        let schema: Option<(&Interface, SchemaId)> = match end {
            End::Old => subject.old,
            End::New => subject.new,
        };
        match schema {
            Some((interface, id)) => {
                let mut generator = Generator::new(interface, &mut random);
                generator.unknown_members = unknown_members;
                let mut value = generator.document(id);
                let mut guided = Guided { types, end, random: &mut random, unknown_members, left: VALUES };
                guided.fit(subject.of, &mut value, interface, id, 0);
                value
            }
            None => Guided { types, end, random: &mut random, unknown_members, left: VALUES }.document(subject.of),
        }
    };
    Sample {
        old: make(End::Old, unknown_members),
        new: make(End::New, unknown_members),
        donor: make(End::Old, false),
        seed,
    }
}

fn text_of(value: &Value) -> String {
    String::from_utf8_lossy(&value.to_json()).into_owned()
}

fn counter_example(one: &CheckedType, law: Law, sample: &Sample, broken: &Broken) -> String {
    let mut text = String::new();
    let (old, new) = (text_of(&sample.old), text_of(&sample.new));
    let name = &one.name;
    let (shown, entry) = match law {
        Law::ValidUp | Law::OldExact => (format!("old: {old}"), format!("- {{type: {name}, old: {old}}}")),
        Law::ValidDown | Law::GetPut | Law::NewExact => {
            (format!("new: {new}"), format!("- {{type: {name}, new: {new}}}"))
        }
        Law::PutGet => (
            format!("old: {old}\nwritten onto new: {new}"),
            format!("- {{type: {name}, new: {new}, edit: {old}, put: {{}}}}"),
        ),
        Law::Local => {
            let edit = broken.edit.as_ref().map(text_of).unwrap_or_default();
            (
                format!("old: {edit}\nwritten onto new: {new}"),
                format!("- {{type: {name}, new: {new}, edit: {edit}, put: {{}}}}"),
            )
        }
    };
    // Writing to a string cannot fail.
    let _ = writeln!(text, "smallest document found:\n{shown}");
    if !broken.detail.is_empty() {
        let _ = writeln!(text, "{}", broken.detail);
    }
    match (&broken.expected, &broken.actual) {
        (Some(expected), Some(actual)) => {
            let _ = writeln!(text, "expected (-), actual (+):\n{}", diff(expected, actual));
        }
        (None, Some(actual)) => {
            let _ = writeln!(text, "it becomes: {}", text_of(actual));
        }
        _ => {}
    }
    let _ = write!(text, "to keep it as an example, complete this entry:\n  {entry}");
    text
}

/// What is tried, what came of it, what was expected.
type Trial<'t> = (&'static str, Result<Vec<u8>, Fault>, &'t Value);

/// Runs one example in every direction that it speaks of.
fn check_example(
    example: &CheckedExample,
    name: &str,
    engine: &mut dyn Translator,
    diagnostics: &mut Diagnostics,
) -> bool {
    let parse = |text: &Option<String>| text.as_ref().and_then(|text| Value::parse(text.as_bytes()));
    let (old, new) = (parse(&example.old), parse(&example.new));
    let back = parse(&example.back).or_else(|| old.clone());
    let (edit, put) = (parse(&example.edit), parse(&example.put));
    let mut trials: Vec<Trial<'_>> = Vec::new();
    if let (Some(old), Some(new)) = (&old, &new) {
        trials.push(("`old` goes up", engine.translate(example.of, Direction::Up, &old.to_json()), new));
    }
    if let (Some(new), Some(back)) = (&new, &back) {
        trials.push(("`new` comes down", engine.translate(example.of, Direction::Down, &new.to_json()), back));
    }
    if let (Some(edit), Some(new), Some(put)) = (&edit, &new, &put) {
        trials.push(("`edit` is written onto `new`", engine.put(example.of, &edit.to_json(), &new.to_json()), put));
    }
    let mut holds = true;
    for (what, result, expected) in trials {
        let trouble = match result {
            Ok(text) => match Value::parse(&text) {
                Some(actual) if actual.same(expected) => continue,
                Some(actual) => format!("expected (-), actual (+):\n{}", diff(expected, &actual)),
                None => "the result is not JSON".to_owned(),
            },
            Err(fault) if fault.place.is_empty() => fault.detail,
            Err(fault) => format!("`{}`: {}", fault.place, fault.detail),
        };
        holds = false;
        diagnostics
            .error(codes::E14, example.span, format!("an example of `{name}` does not come out as written"))
            .label(format!("when {what}"))
            .note(&trouble);
    }
    holds
}
