//! `--trace`: which rule made what, told beside the translation.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;

use super::{Args, Job, way};
use crate::diagnostic::{Position, Sources};
use crate::plan::{PointId, ServicePlan, StepPlan, TypeId, What};
use crate::rules::checked::{BoundCodec, CheckedKind, CheckedRule, CheckedService, CheckedStep};
use crate::rules::mapping::{Convert, Mapping};

/// The same translation once more, by a plan that takes notes: the output is that of the other.
pub(super) struct Tracing<'p> {
    job: Job<'p>,
    tracer: Tracer<'p>,
}

impl<'p> Tracing<'p> {
    /// # Errors
    /// As for the job itself.
    pub(super) fn new(
        args: &Args,
        checked: &'p CheckedService,
        plan: &'p ServicePlan,
        sources: &Sources,
    ) -> Result<Self, String> {
        let job = Job::new(args, checked, plan, None)?;
        Ok(Self { job, tracer: Tracer::new(checked, plan, sources, way(args, plan)?) })
    }

    /// What is told of the document that begins in a line.
    pub(super) fn tell(&mut self, line: usize, document: &[u8]) -> String {
        let done = self.job.translate(document, &mut Vec::new());
        let told = self.tracer.tell();
        match done {
            Ok(_) => format!("line {line}:\n{told}"),
            Err(reason) => format!("line {line}: no trace: {reason}\n"),
        }
    }
}

/// Tells what the rules of a traced plan did.
struct Tracer<'p> {
    /// In the order of the way.
    steps: Vec<Step<'p>>,
}

struct Step<'p> {
    plan: &'p StepPlan,
    /// What is told of each rule.
    rules: HashMap<PointId, String>,
}

impl<'p> Tracer<'p> {
    /// `plan` is `service`, traced.
    fn new(service: &CheckedService, plan: &'p ServicePlan, sources: &Sources, (from, to): (usize, usize)) -> Self {
        let mut steps: Vec<Step<'p>> = service
            .steps
            .iter()
            .zip(&plan.steps)
            .take(from.max(to))
            .skip(from.min(to))
            .map(|(step, plan)| Step { plan, rules: rules(step, plan, sources) })
            .collect();
        if to < from {
            steps.reverse();
        }
        Self { steps }
    }

    /// What was done since this was last asked, one place a line.
    fn tell(&self) -> String {
        let mut text = String::new();
        for step in &self.steps {
            let notes = step.plan.take_notes();
            let mut told = BTreeSet::new();
            for note in &notes.met {
                let (Some(place), Some(rule)) = (&note.place, step.rules.get(&note.point)) else { continue };
                let place = if place.is_empty() { "." } else { place };
                if told.insert((place, rule)) {
                    // Writing to a string cannot fail.
                    let _ = writeln!(text, "{place} <- {rule}");
                }
            }
            let values = if notes.passed == 1 { "value passes" } else { "values pass" };
            let _ = writeln!(text, "{} {values} untouched", notes.passed);
        }
        text
    }
}

fn rules(step: &CheckedStep, plan: &StepPlan, sources: &Sources) -> HashMap<PointId, String> {
    let told = |of: TypeId, rule: usize| {
        let rule = step.types.get(of.0)?.rules.get(rule)?;
        let Position { file, line, .. } = Position::new(rule.span, sources);
        let conversion = conversion(rule, step);
        let by =
            if conversion.is_empty() || conversion == rule.text { String::new() } else { format!(": {conversion}") };
        Some(format!("{}{by} ({file}:{line})", rule.text))
    };
    let rules = plan.points().into_iter().filter(|point| point.what == What::Rule);
    rules.filter_map(|point| Some((point.id, told(point.of, point.rule)?))).collect()
}

/// How a rule changes its value, in a word; nothing where it does not.
fn conversion(rule: &CheckedRule, step: &CheckedStep) -> String {
    let name = |of: &TypeId| step.types.get(of.0).map(|of| of.name.clone()).unwrap_or_default();
    match &rule.kind {
        CheckedKind::Equation { codec, .. } => match codec {
            BoundCodec::Value(codec) => value(codec),
            BoundCodec::As(of) => name(of),
            BoundCodec::Each { of, .. } => format!("each {}", name(of)),
        },
        CheckedKind::Mapping(mapping) => match mapping.as_ref() {
            Mapping::Equation(one) => word(&one.via, &name),
            Mapping::Derived(one) => word(&one.via, &name),
            Mapping::Cases(_) | Mapping::Rest(_) => String::new(),
        },
        CheckedKind::Added { .. } | CheckedKind::Removed { .. } => String::new(),
    }
}

fn value(codec: &crate::codecs::Codec) -> String {
    if *codec == crate::codecs::Codec::Same { String::new() } else { codec.name().to_owned() }
}

fn word(convert: &Convert<TypeId>, name: &dyn Fn(&TypeId) -> String) -> String {
    match convert {
        Convert::Value(codec) => value(codec),
        Convert::As(of) => name(of),
        Convert::Each(each) => format!("each {}", word(&each.of, name)).trim_end().to_owned(),
        Convert::Values(of) => format!("values {}", word(of, name)).trim_end().to_owned(),
        Convert::Chain(all) => all.iter().map(|one| word(one, name)).collect::<Vec<_>>().join(", "),
        Convert::Flip(of) => format!("flip {}", word(of, name)),
        Convert::Cases(_) => "cases".to_owned(),
        Convert::OneOrMany(of) => format!("one_or_many {}", word(of, name)).trim_end().to_owned(),
        Convert::Flatten => "flatten".to_owned(),
        Convert::Link => "link".to_owned(),
        Convert::Entries(_) => "entries".to_owned(),
        Convert::Flat(_) => "flat".to_owned(),
        Convert::Names(_) => "names".to_owned(),
        Convert::Is(_) => "is".to_owned(),
        Convert::Cel(_) => "cel".to_owned(),
    }
}
