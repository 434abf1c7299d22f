//! `--coverage`: what of the rules no example has met.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;

use crate::contract::laws::{Engine, Translator as _};
use crate::diagnostic::{Position, Sources};
use crate::plan::{Direction, Point, PointId, StepPlan, TypeId, What};
use crate::rules::checked::{BoundCodec, CheckedKind, CheckedStep, Origin};

/// What the examples of a step exercise, type by type.
pub(super) fn describe(step: &CheckedStep, sources: &Sources, out: &mut String) {
    let plan = StepPlan::traced(step);
    let met = met(step, &plan);
    let counted = counted(step);
    let mut types: BTreeMap<TypeId, Vec<Point>> = BTreeMap::new();
    for point in plan.points().into_iter().filter(|point| counted.contains(&point.of)) {
        types.entry(point.of).or_default().push(point);
    }
    for (of, points) in types {
        let (mut all, mut reached) = (0, 0);
        let mut missed = String::new();
        for point in &points {
            let ways = [Direction::Up, Direction::Down].into_iter().zip(point.ways).filter(|(_, can)| *can);
            let not: Vec<Direction> = ways
                .map(|(way, _)| way)
                .inspect(|_| all += 1)
                .filter(|way| !met.contains(&(point.id, *way == Direction::Up)))
                .collect();
            reached += point.ways.iter().filter(|can| **can).count() - not.len();
            let way = match not.as_slice() {
                [] => continue,
                [Direction::Up] => "not up  ",
                [Direction::Down] => "not down",
                _ => "never   ",
            };
            // Writing to a string cannot fail.
            let _ = writeln!(missed, "    {way} {}", place(point, step, sources));
        }
        let name = step.types.get(of.0).map_or("", |of| of.name.as_str());
        let _ = writeln!(out, "  {:>3}% {name}: examples exercise {reached} of {all}", 100 * reached / all.max(1));
        out.push_str(&missed);
    }
}

/// What examples meet, each with whether it was on the way up.
fn met(step: &CheckedStep, plan: &StepPlan) -> HashSet<(PointId, bool)> {
    let mut engine = Engine::new(plan);
    for example in &step.examples {
        // An edit is an old document, too. What does not translate was reported with the examples.
        for (text, way) in
            [(&example.old, Direction::Up), (&example.edit, Direction::Up), (&example.new, Direction::Down)]
        {
            if let Some(text) = text {
                let _ = engine.translate(example.of, way, text.as_bytes());
            }
        }
    }
    plan.take_notes().met.into_iter().map(|note| (note.point, note.direction == Direction::Up)).collect()
}

/// Named types and those that they lead to: examples are documents of these. Rules of messages have none.
fn counted(step: &CheckedStep) -> HashSet<TypeId> {
    let is_named = |of: &TypeId| step.types.get(of.0).is_some_and(|of| matches!(of.origin, Origin::Named { .. }));
    let mut open: Vec<TypeId> = (0..step.types.len()).map(TypeId).filter(is_named).collect();
    let mut counted = HashSet::new();
    while let Some(of) = open.pop() {
        if !counted.insert(of) {
            continue;
        }
        for rule in step.types.get(of.0).iter().flat_map(|of| &of.rules) {
            match &rule.kind {
                CheckedKind::Equation { codec: BoundCodec::As(of) | BoundCodec::Each { of, .. }, .. } => open.push(*of),
                CheckedKind::Mapping(mapping) => open.extend(mapping.types()),
                _ => {}
            }
        }
    }
    let is_written = |of: &TypeId| step.types.get(of.0).is_some_and(|of| of.origin != Origin::Derived);
    counted.retain(is_written);
    counted
}

fn place(point: &Point, step: &CheckedStep, sources: &Sources) -> String {
    let Some(rule) = step.types.get(point.of.0).and_then(|of| of.rules.get(point.rule)) else { return String::new() };
    let part = match &point.what {
        What::Rule => String::new(),
        What::Row(row) => format!(", row {row}"),
        What::Case(number) => format!(", case {number}"),
        What::Unmet => ", where `when` does not hold".to_owned(),
        What::CaseUnmet(number) => format!(", case {number} where its `when` does not hold"),
    };
    let Position { file, line, .. } = Position::new(rule.span, sources);
    format!("{}{part} ({file}:{line})", rule.text)
}
