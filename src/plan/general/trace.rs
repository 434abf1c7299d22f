//! What rules did: which of them wrote a place, which rows, cases and conditions documents met. Only a plan that was made
//! for it takes notes; every other one pays a look at an empty option.

use std::sync::{Mutex, PoisonError};

use super::document::Effect;
use super::place::shown;
use super::value::{At, Out};
use super::{Case, Direction, General, Rule, RuleKind, Run, TypeId, Via};
use crate::codecs::Codec;
use crate::json::{Tree, TreeKind};

/// Something in the rules that a document can meet.
#[derive(Debug, Clone)]
pub struct Point {
    /// What notes call it.
    pub id: PointId,
    /// The type whose rule it is, or is part of.
    pub of: TypeId,
    /// The rule's index in the checked type.
    pub rule: usize,
    /// What it is.
    pub what: What,
    /// Whether documents on the way up and on the way down can meet it.
    pub ways: [bool; 2],
}

/// What a point is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The rule itself: it read or wrote something.
    Rule,
    /// A row of a table of values, as `old: new`.
    Row(String),
    /// A case, counted from 1 in its list.
    Case(usize),
    /// A condition of a rule that does not hold.
    Unmet,
    /// A condition of a case that does not hold, the case counted from 1.
    CaseUnmet(usize),
}

/// A point's name within one plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PointId {
    /// Where the compiled rule, case or table lies: a plan does not move.
    address: usize,
    part: Part,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Part {
    Whole,
    Unmet,
    Row(usize),
}

/// A point that a document met.
#[derive(Debug, Clone)]
pub struct Note {
    /// Which.
    pub point: PointId,
    /// On which way.
    pub direction: Direction,
    /// The place that a rule wrote, as the target names it.
    pub place: Option<String>,
}

/// Everything that was noted since it was last asked for.
#[derive(Debug, Clone, Default)]
pub struct Notes {
    /// In the order in which rules were done.
    pub met: Vec<Note>,
    /// Values that no rule named and that passed as they were.
    pub passed: usize,
}

/// Where notes are kept.
#[derive(Debug, Default)]
pub(super) struct Trace(Mutex<Notes>);

impl Trace {
    fn change<T>(&self, change: impl FnOnce(&mut Notes) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn id<T>(of: &T, part: Part) -> PointId {
    PointId { address: std::ptr::from_ref(of).addr(), part }
}

impl General {
    pub(in crate::plan) fn take_notes(&self) -> Notes {
        self.trace.as_ref().map(|trace| trace.change(std::mem::take)).unwrap_or_default()
    }

    pub(in crate::plan) fn forget_notes(&self) {
        if let Some(trace) = &self.trace {
            trace.change(|notes| *notes = Notes::default());
        }
    }

    /// Everything in the rules that documents can meet.
    pub(in crate::plan) fn points(&self) -> Vec<Point> {
        let mut points = Vec::new();
        for (index, of) in self.types.iter().enumerate() {
            for rule in of.iter().flat_map(|of| &of.rules) {
                let mut add = |id: PointId, what: What, ways: [bool; 2]| {
                    points.push(Point { id, of: TypeId(index), rule: rule.index, what, ways });
                };
                add(id(rule, Part::Whole), What::Rule, [true, true]);
                let conditions = rule.when.each_ref().map(Option::is_some);
                if conditions.contains(&true) {
                    add(id(rule, Part::Unmet), What::Unmet, conditions);
                }
                match &rule.kind {
                    RuleKind::Equation { via, keys, .. } => {
                        conversion_points(via, false, &mut add);
                        if let Some(keys) = keys {
                            conversion_points(keys, false, &mut add);
                        }
                    }
                    RuleKind::Cases(cases) => case_points(cases, false, &mut add),
                    RuleKind::Derived { via, is_new, .. } => {
                        // Made on one way only.
                        let way = [*is_new, !*is_new];
                        conversion_points(via, false, &mut |id, what, ways| {
                            let [up, down] = ways;
                            add(id, what, [up && way == [true, false], down && way == [false, true]]);
                        });
                    }
                }
            }
        }
        points.retain(|point| point.ways != [false, false]);
        points
    }
}

type Add<'f> = dyn FnMut(PointId, What, [bool; 2]) + 'f;

/// `flipped`: the way up reads it from new to old.
fn conversion_points(via: &Via, flipped: bool, add: &mut Add<'_>) {
    match via {
        Via::Value(Codec::Enum(table)) => {
            for (row, (old, new)) in table.rows.iter().enumerate() {
                // The first row with a value wins.
                let by_old = table.rows.iter().take(row).all(|(earlier, _)| earlier != old);
                let by_new = table.rows.iter().take(row).all(|(_, earlier)| earlier != new);
                let ways = if flipped { [by_new, by_old] } else { [by_old, by_new] };
                add(id(table, Part::Row(row)), What::Row(format!("{old}: {new}")), ways);
            }
        }
        Via::Flip(of) => conversion_points(of, !flipped, add),
        Via::Each { of, .. } | Via::Values(of) | Via::OneOrMany(of) => conversion_points(of, flipped, add),
        Via::Chain(all) => all.iter().for_each(|of| conversion_points(of, flipped, add)),
        Via::Cases(cases) => case_points(cases, flipped, add),
        _ => {}
    }
}

fn case_points(cases: &[Case], flipped: bool, add: &mut Add<'_>) {
    for (number, case) in (1..).zip(cases) {
        add(id(case, Part::Whole), What::Case(number), [true, true]);
        let [old, new] = case.when.each_ref().map(Option::is_some);
        if old || new {
            let ways = if flipped { [new, old] } else { [old, new] };
            add(id(case, Part::Unmet), What::CaseUnmet(number), ways);
        }
        for via in case.with.iter().flatten() {
            conversion_points(via, flipped, add);
        }
    }
}

/// Where notes and counts stood when something began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    dropped: usize,
    met: usize,
    passed: usize,
}

impl<'a> Run<'a> {
    pub(super) fn mark(&self) -> Mark {
        let dropped = self.dropped.get();
        let now = |notes: &mut Notes| Mark { dropped, met: notes.met.len(), passed: notes.passed };
        self.trace.map_or(Mark { dropped, met: 0, passed: 0 }, |trace| trace.change(now))
    }

    /// A document met something.
    pub(super) fn met<T>(&self, of: &T, part: Part) {
        self.note(id(of, part), None);
    }

    fn note(&self, point: PointId, place: Option<String>) {
        if let Some(trace) = self.trace {
            let note = Note { point, direction: self.direction, place };
            trace.change(|notes| notes.met.push(note));
        }
    }

    /// A value went through a codec.
    pub(super) fn met_row(&self, codec: &Codec, direction: Direction, value: Option<&Tree<'_>>) {
        if self.trace.is_some()
            && let (Codec::Enum(table), Some(value)) = (codec, value)
            && let Some(row) = table.row(direction, value.raw)
        {
            self.met(table, Part::Row(row));
        }
    }

    /// A rule did this.
    pub(super) fn met_rule(&self, rule: &Rule, effect: &Effect<'a>) {
        if self.trace.is_none() {
            return;
        }
        for write in &effect.writes {
            self.note(id(rule, Part::Whole), Some(shown(&write.path)));
        }
        if effect.writes.is_empty() && effect.read.iter().any(|found| found.tree.is_some()) {
            self.met(rule, Part::Whole);
        }
    }

    /// What was written since then lies inside this place.
    pub(super) fn inside(&self, mark: Mark, place: impl FnOnce() -> String) {
        let Some(trace) = self.trace else { return };
        let outer = place();
        trace.change(|notes| {
            for inner in notes.met.iter_mut().skip(mark.met).filter_map(|note| note.place.as_mut()) {
                *inner = match inner.chars().next() {
                    None => outer.clone(),
                    Some('[') => format!("{outer}{inner}"),
                    Some(_) if outer.is_empty() => std::mem::take(inner),
                    Some(_) => format!("{outer}.{inner}"),
                };
            }
        });
    }

    pub(super) fn inside_path(&self, mark: Mark, path: &[At<'a>]) {
        self.inside(mark, || shown(path));
    }

    /// What was written since then is no place of the target: it is put elsewhere.
    pub(super) fn nowhere(&self, mark: Mark) {
        if let Some(trace) = self.trace {
            trace.change(|notes| {
                notes.met.iter_mut().skip(mark.met).for_each(|note| note.place = None);
                notes.passed = mark.passed;
            });
        }
    }

    /// What happened since then did not: a case was tried and did not fit.
    pub(super) fn undo(&self, mark: Mark) {
        self.dropped.set(mark.dropped);
        if let Some(trace) = self.trace {
            trace.change(|notes| {
                notes.met.truncate(mark.met);
                notes.passed = mark.passed;
            });
        }
    }

    /// A part of the source passes as it is.
    pub(super) fn pass(&self, tree: &'a Tree<'a>) -> Out<'a> {
        // The request stands in its response for rules to look at, and does not go anywhere.
        let is_request = || self.requests.iter().flatten().any(|request| request.raw == tree.raw);
        if let Some(trace) = self.trace
            && !is_request()
        {
            trace.change(|notes| notes.passed += leaves(tree));
        }
        Out::Tree(tree)
    }
}

fn leaves(tree: &Tree<'_>) -> usize {
    match &tree.kind {
        TreeKind::Object(members) if !members.is_empty() => members.iter().map(|(_, value)| leaves(value)).sum(),
        TreeKind::Array(elements) if !elements.is_empty() => elements.iter().map(leaves).sum(),
        _ => 1,
    }
}
