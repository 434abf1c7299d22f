//! What the schemas prove about the rules: binding, refusals E1, E3–E10, verdicts.
//!
//! A type is checked against every pair of schemas that it meets: those of its own name, and those that routes and
//! other types lead to. Pairs wait in a queue; each is visited once, so recursive schemas come to an end.

mod bind;
mod codecs;
mod cover;
mod equation;
mod locate;
mod messages;
mod parents;

use std::collections::{HashMap, HashSet};

use super::interface::Interface;
use super::schema::SchemaId;
use crate::codecs::Codec;
use crate::diagnostic::{Code, Diagnostics, Span, codes, suggest};
use crate::rules::checked::{BoundCodec, CheckedKind, CheckedService, CheckedStep, Origin, TypeId, Verdict};

/// Derived types in one step; beyond, schemas are compared without deriving.
const DERIVED: usize = 5_000;

/// Binds plain equations to declared types, refuses what the schemas refute, and gives every rule its verdict.
///
/// `interfaces` holds one entry a version, `None` where the version has no (readable) document. A step with a document
/// on one side only, or on none, keeps its rules as they are with the verdict "tested".
///
/// Message rules are proven over whole messages (`body`, `query`, …); routes that say nothing of a body get a type
/// derived from the two schemas where those differ or hold a declared type.
pub fn prove(
    mut service: CheckedService,
    interfaces: &[Option<Interface>],
    diagnostics: &mut Diagnostics,
) -> CheckedService {
    for (step, pair) in service.steps.iter_mut().zip(interfaces.windows(2)) {
        for rule in step.types.iter_mut().flat_map(|one| &mut one.rules) {
            rule.verdict = Verdict::Tested;
        }
        let mut reasons = HashMap::new();
        if let [Some(old), Some(new)] = pair {
            let mut prover = Prover::new(step, old.clone(), new.clone(), diagnostics);
            prover.run();
            reasons = prover.reasons;
        }
        settle(step);
        if step.strict {
            refuse_unproven(step, &reasons, diagnostics);
        }
    }
    service
}

/// A rule: its type and its position there.
type RuleAt = (TypeId, usize);

/// Works on one step.
struct Prover<'s, 'd> {
    step: &'s mut CheckedStep,
    old: Interface,
    new: Interface,
    /// Schema pairs of the declared types.
    declared: HashMap<(SchemaId, SchemaId), TypeId>,
    derived: HashMap<(SchemaId, SchemaId), TypeId>,
    /// Pairs inside which no declared pair lies.
    barren: HashSet<(SchemaId, SchemaId)>,
    queue: Vec<(TypeId, SchemaId, SchemaId)>,
    seen: HashSet<(TypeId, SchemaId, SchemaId)>,
    /// Plain equations and what schemas made of them.
    bound: HashMap<RuleAt, bind::Meaning>,
    verdicts: HashMap<RuleAt, Verdict>,
    /// Why a rule is only tested.
    reasons: HashMap<RuleAt, String>,
    reported: HashSet<(Code, Span, String)>,
    /// Fields that a misspelt place probably meant: not reported as forgotten too.
    meant: HashSet<(Side, String)>,
    diagnostics: &'d mut Diagnostics,
}

/// Which side of an equation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Side {
    Old,
    New,
}

impl<'s, 'd> Prover<'s, 'd> {
    fn new(step: &'s mut CheckedStep, old: Interface, new: Interface, diagnostics: &'d mut Diagnostics) -> Self {
        Self {
            step,
            old,
            new,
            declared: HashMap::new(),
            derived: HashMap::new(),
            barren: HashSet::new(),
            queue: Vec::new(),
            seen: HashSet::new(),
            bound: HashMap::new(),
            verdicts: HashMap::new(),
            reasons: HashMap::new(),
            reported: HashSet::new(),
            meant: HashSet::new(),
            diagnostics,
        }
    }

    fn run(&mut self) {
        let mut unmatched = Vec::new();
        for index in 0..self.step.types.len() {
            let id = TypeId(index);
            let Some((old, new)) = self.named_pair(id) else { continue };
            match (self.old.component(&old), self.new.component(&new)) {
                (Some(a), Some(b)) => {
                    self.declared.insert((a, b), id);
                    self.visit(id, a, b);
                }
                (a, _) => unmatched.push((id, if a.is_none() { (Side::Old, old) } else { (Side::New, new) })),
            }
        }
        self.routes();
        while let Some((id, a, b)) = self.queue.pop() {
            self.check_type(id, a, b);
        }
        for (id, (side, name)) in unmatched {
            if !self.seen.iter().any(|(seen, ..)| *seen == id) {
                self.warn_unmatched(id, side, &name);
            }
        }
        self.write_back();
    }

    fn named_pair(&self, id: TypeId) -> Option<(String, String)> {
        match &self.step.types.get(id.0)?.origin {
            Origin::Named { old, new } => Some((old.clone(), new.clone())),
            _ => None,
        }
    }

    fn interface(&self, side: Side) -> &Interface {
        match side {
            Side::Old => &self.old,
            Side::New => &self.new,
        }
    }

    /// Checks a type against a pair of schemas, once, later.
    fn visit(&mut self, id: TypeId, a: SchemaId, b: SchemaId) {
        let (a, b) = (self.old.core(a), self.new.core(b));
        if self.seen.insert((id, a, b)) {
            self.queue.push((id, a, b));
        }
    }

    /// Reports an error once, however many schema pairs lead to it.
    fn error(&mut self, code: Code, span: Span, message: String) -> Option<&mut crate::diagnostic::Diagnostic> {
        self.reported.insert((code, span, message.clone())).then(|| self.diagnostics.error(code, span, message))
    }

    /// Lowers a rule's verdict.
    fn lower(&mut self, at: RuleAt, verdict: Verdict, reason: impl Into<String>) {
        let held = self.verdicts.entry(at).or_insert(Verdict::Proven);
        *held = (*held).max(verdict);
        if verdict != Verdict::Proven {
            self.reasons.entry(at).or_insert_with(|| reason.into());
        }
    }

    fn warn_unmatched(&mut self, id: TypeId, side: Side, name: &str) {
        let Some(span) = self.step.types.get(id.0).map(|one| one.span) else { return };
        let interface = self.interface(side);
        let message = format!("no schema is named `{name}` in {}", interface.version);
        let near = suggest::closest(name, interface.component_names());
        let help = match near {
            Some(near) => format!("did you mean `{near}`? `Old = New: [...]` joins schemas of different names"),
            None => "its rules cannot be proven; `Old = New: [...]` joins schemas of different names".to_owned(),
        };
        self.diagnostics.warning(codes::W2, span, message).help(help);
    }

    /// Puts bindings and verdicts into the step.
    fn write_back(&mut self) {
        for (index, one) in self.step.types.iter_mut().enumerate() {
            for (position, rule) in one.rules.iter_mut().enumerate() {
                let at = (TypeId(index), position);
                if let Some(verdict) = self.verdicts.get(&at) {
                    rule.verdict = *verdict;
                }
                if let (Some(meaning), CheckedKind::Equation { codec, .. }) = (self.bound.get(&at), &mut rule.kind)
                    && matches!(codec, BoundCodec::Value(Codec::Same))
                {
                    match *meaning {
                        bind::Meaning::Same => {}
                        bind::Meaning::As(of) => *codec = BoundCodec::As(of),
                        bind::Meaning::Each(of) => *codec = BoundCodec::Each { of, key: None },
                    }
                }
            }
        }
    }
}

/// A rule that applies a type is no more proven than that type's rules.
fn settle(step: &mut CheckedStep) {
    loop {
        let worst: Vec<Verdict> = step
            .types
            .iter()
            .map(|one| one.rules.iter().map(|rule| rule.verdict).max().unwrap_or(Verdict::Proven))
            .collect();
        let mut changed = false;
        for rule in step.types.iter_mut().flat_map(|one| &mut one.rules) {
            let inner = match &rule.kind {
                CheckedKind::Equation { codec: BoundCodec::As(of) | BoundCodec::Each { of, .. }, .. } => vec![*of],
                CheckedKind::Mapping(mapping) => mapping.types().into_iter().copied().collect(),
                _ => Vec::new(),
            };
            if let Some(verdict) = inner.iter().filter_map(|of| worst.get(of.0)).max()
                && *verdict > rule.verdict
            {
                rule.verdict = *verdict;
                changed = true;
            }
        }
        if !changed {
            return;
        }
    }
}

fn refuse_unproven(step: &CheckedStep, reasons: &HashMap<RuleAt, String>, diagnostics: &mut Diagnostics) {
    let mut seen = HashSet::new();
    for (index, one) in step.types.iter().enumerate() {
        for (position, rule) in one.rules.iter().enumerate() {
            if rule.verdict == Verdict::Proven || !seen.insert(rule.span) {
                continue;
            }
            let reason = reasons.get(&(TypeId(index), position)).map_or("no schemas for both sides", String::as_str);
            diagnostics
                .error(
                    codes::E14,
                    rule.span,
                    format!("`{}` is not proven, and this file says `strict: true`", rule.text),
                )
                .label(reason)
                .help("give both interfaces schemas that decide it, or remove `strict`");
        }
    }
}
