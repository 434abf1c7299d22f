//! A version line's fused steps: which types meet on its routes, what they are as one, and translating a body by it.

use std::collections::{BTreeMap, BTreeSet};

use super::fuse::{Fused, Pair, Table};
use super::lens::Lenses;
use super::route::{Message, Route};
use super::{Direction, Fault, FaultKind, Limits, Scratch, StepPlan, TypeId, Unplaced, compile, engine, route};
use crate::rules::ast::StatusKey;
use crate::rules::checked::CheckedStep;

/// The types of neighbouring steps that one body goes through; nothing for a step that takes it as it is.
type Course = Vec<Option<TypeId>>;

/// All that is fused of one version line.
#[derive(Debug, Default)]
pub(super) struct Line {
    spans: Vec<Span>,
    /// By the first step and the types from there on: the span, and the type in it.
    fused: BTreeMap<(usize, Course), (usize, TypeId)>,
    /// How many types each step has: their partial forms begin there.
    counts: Vec<usize>,
}

/// Several steps as one.
#[derive(Debug)]
struct Span {
    up: Lenses,
    down: Lenses,
    /// Where partial forms begin.
    count: usize,
    /// The most levels of one version that one level of another becomes.
    lift: usize,
}

impl Line {
    /// Fuses what meets on the routes of a line. Cannot fail: what cannot be fused is not.
    pub(super) fn compile(checked: &[CheckedStep], steps: &[StepPlan]) -> Self {
        let counts = checked.iter().map(|step| step.types.len()).collect();
        let mut line = Self { counts, ..Self::default() };
        if checked.len() < 2 {
            return line;
        }
        let tables: Vec<Table> = checked.iter().map(Table::of).collect();
        let courses = line.courses(steps);
        for start in 0..steps.len() {
            let of_start: Vec<&Course> =
                courses.iter().filter(|(at, _)| *at == start).map(|(_, course)| course).collect();
            line.fuse(start, &of_start, tables.get(start..).unwrap_or_default());
        }
        line
    }

    /// Fuses the courses that begin at one step, a step at a time.
    fn fuse(&mut self, start: usize, courses: &[&Course], tables: &[Table]) {
        let first = courses.iter().filter_map(|course| course.first().copied().flatten());
        let mut known: BTreeMap<Course, TypeId> = first.map(|of| (vec![Some(of)], of)).collect();
        let mut older: Option<Table> = None;
        for (length, newest) in (2..).zip(tables.iter().skip(1)) {
            let mut wanted: BTreeMap<Course, TypeId> = BTreeMap::new();
            let mut pairs: Vec<Pair> = Vec::new();
            for course in courses.iter().filter_map(|course| course.get(..length)) {
                let Some((newest, before)) = course.split_last() else { continue };
                let Some(of) = known.get(before) else { continue };
                let pair = (Some(*of), *newest);
                let index = pairs.iter().position(|one| *one == pair).unwrap_or_else(|| {
                    pairs.push(pair);
                    pairs.len() - 1
                });
                wanted.insert(course.to_vec(), TypeId(index));
            }
            let Some(table) = older.as_ref().or(tables.first()) else { return };
            let fused = Table::fuse(table, newest, pairs);
            wanted.retain(|_, of| fused.types.get(of.0).is_some_and(Option::is_some));
            let reads = |course: &&Course| course.last().is_some_and(Option::is_some);
            if wanted.keys().any(|course| reads(&course)) {
                let span = self.spans.len();
                self.spans.push(Span::compile(&fused));
                let used = wanted.iter().filter(|(course, _)| reads(course));
                self.fused.extend(used.map(|(course, of)| ((start, course.clone()), (span, *of))));
            }
            if wanted.is_empty() {
                return;
            }
            known = wanted;
            older = Some(fused);
        }
    }

    /// Every course that a body can take, each with its first step.
    fn courses(&self, steps: &[StepPlan]) -> BTreeSet<(usize, Course)> {
        let mut courses = BTreeSet::new();
        let mut add = |start: usize, routes: &[&Route]| {
            for messages in messages(routes) {
                let mut course: Course = self.course(start, &messages).map_while(|of| Some(of?.0)).collect();
                let untouched = course.iter().take_while(|of| of.is_none()).count();
                course.drain(..untouched);
                if course.len() > 1 {
                    courses.insert((start + untouched, course));
                }
            }
        };
        for (start, step) in steps.iter().enumerate() {
            for route in &step.routes {
                let newer = steps.get(start + 1..).unwrap_or_default();
                add(start, &follow(route, newer.iter(), Direction::Up));
                let mut routes = follow(route, steps.get(..start).unwrap_or_default().iter().rev(), Direction::Down);
                routes.reverse();
                let first = (start + 1).saturating_sub(routes.len());
                (0..routes.len()).for_each(|skip| add(first + skip, routes.get(skip..).unwrap_or_default()));
            }
        }
        courses
    }

    /// The body types of messages of neighbouring steps, each with whether it is a partial form; nothing for a message
    /// that has to do with more than the body.
    fn course<'l>(
        &'l self,
        start: usize,
        messages: &'l [Option<&Message>],
    ) -> impl Iterator<Item = Option<(Option<TypeId>, bool)>> + 'l {
        messages.iter().enumerate().map(move |(index, message)| {
            let Some(message) = message else { return Some((None, false)) };
            let of = message.body_only.filter(|_| !message.general)?;
            let count = self.counts.get(start + index)?;
            let partial = of.0 >= *count;
            Some((Some(TypeId(if partial { of.0 - count } else { of.0 })), partial))
        })
    }

    /// How a body goes through the messages of neighbouring steps, the oldest first. Nothing where no steps of it are one,
    /// or a message has to do with more than the body.
    pub(super) fn way<'p>(&'p self, start: usize, messages: &[Option<&Message>]) -> Option<Way<'p>> {
        let course: Vec<(Option<TypeId>, bool)> = self.course(start, messages).collect::<Option<_>>()?;
        let mut legs = Vec::new();
        let mut at = 0;
        while let Some((of, partial)) = course.get(at) {
            if of.is_none() {
                at += 1;
                continue;
            }
            let same_form = course.iter().skip(at).take_while(|(of, other)| of.is_none() || other == partial).count();
            let longest = (at + 2..=at + same_form).rev().find_map(|end| {
                let types: Course = course.get(at..end)?.iter().map(|(of, _)| *of).collect();
                Some((end, self.fused.get(&(start + at, types))?))
            });
            let fused = longest.and_then(|(_, (span, of))| {
                let span = self.spans.get(*span)?;
                Some((span, TypeId(of.0 + if *partial { span.count } else { 0 })))
            });
            let end = longest.map_or(at + 1, |(end, _)| end);
            legs.push(Leg { steps: at..end, fused });
            at = end;
        }
        legs.iter().any(|leg| leg.fused.is_some()).then_some(Way { legs })
    }
}

/// How a body goes through a line.
#[derive(Debug)]
pub(super) struct Way<'p> {
    /// The oldest first.
    legs: Vec<Leg<'p>>,
}

#[derive(Debug)]
struct Leg<'p> {
    /// Of the messages that were asked for.
    steps: std::ops::Range<usize>,
    fused: Option<(&'p Span, TypeId)>,
}

impl Way<'_> {
    /// How many times the body is read.
    pub(super) fn passes(&self) -> usize {
        self.legs.len()
    }

    /// Translates a body; answers it and how many members were left out. `steps` are those of the messages that the way
    /// was made of, the oldest first, each with its message's type.
    ///
    /// # Errors
    /// The first fault met; its place is in the terms of the source of the leg where it was met.
    pub(super) fn translate(
        &self,
        steps: &[(&StepPlan, Option<TypeId>)],
        direction: Direction,
        body: &[u8],
        scratch: &mut Scratch,
        limits: Limits,
    ) -> Result<(Vec<u8>, usize), Fault> {
        let mut current: Option<Vec<u8>> = None;
        let mut dropped = 0;
        let mut go = |leg: &Leg<'_>| -> Result<(), Fault> {
            let body = current.as_deref().unwrap_or(body);
            let (out, left_out) = leg.translate(steps, direction, body, scratch, limits)?;
            dropped += left_out;
            current = Some(out);
            Ok(())
        };
        match direction {
            Direction::Up => self.legs.iter().try_for_each(&mut go)?,
            Direction::Down => self.legs.iter().rev().try_for_each(&mut go)?,
        }
        Ok((current.unwrap_or_else(|| body.to_vec()), dropped))
    }
}

impl Leg<'_> {
    fn translate(
        &self,
        steps: &[(&StepPlan, Option<TypeId>)],
        direction: Direction,
        body: &[u8],
        scratch: &mut Scratch,
        limits: Limits,
    ) -> Result<(Vec<u8>, usize), Fault> {
        let Some((span, of)) = self.fused else { return self.stepwise(steps, direction, body, scratch, limits) };
        let lenses = match direction {
            Direction::Up => &span.up,
            Direction::Down => &span.down,
        };
        let mut out = Vec::with_capacity(body.len() + body.len() / 4);
        // What is left out, and how deep a document between may be, the steps know: here anything in doubt is refused.
        let strict = Limits { unplaced: Unplaced::Refuse, depth: limits.depth / span.lift, ..limits };
        let Err(fault) = engine::translate(lenses, of, direction, body, &mut out, scratch, strict) else {
            return Ok((out, 0));
        };
        scratch.detours += 1;
        self.stepwise(steps, direction, body, scratch, limits).map_err(|by_step| {
            // The same fault, but in the terms of the one who sent the body, whatever step it is met in.
            let is_same = fault.kind == by_step.kind && matches!(fault.kind, FaultKind::Guard | FaultKind::Collision);
            if is_same { fault } else { by_step }
        })
    }

    fn stepwise(
        &self,
        steps: &[(&StepPlan, Option<TypeId>)],
        direction: Direction,
        body: &[u8],
        scratch: &mut Scratch,
        limits: Limits,
    ) -> Result<(Vec<u8>, usize), Fault> {
        let steps = steps.get(self.steps.clone()).unwrap_or_default();
        let mut current = body.to_vec();
        let mut dropped = 0;
        let mut go = |(step, of): &(&StepPlan, Option<TypeId>)| -> Result<(), Fault> {
            let Some(of) = of else { return Ok(()) };
            let mut out = Vec::with_capacity(current.len() + current.len() / 4);
            step.translate(*of, direction, &current, &mut out, scratch, limits)?;
            dropped += scratch.dropped();
            current = out;
            Ok(())
        };
        match direction {
            Direction::Up => steps.iter().try_for_each(&mut go)?,
            Direction::Down => steps.iter().rev().try_for_each(&mut go)?,
        }
        Ok((current, dropped))
    }
}

impl Span {
    fn compile(table: &Table) -> Self {
        // No fused type refers to a refused one, so its place may hold nothing.
        let types: Vec<Fused> = table.types.iter().map(|of| of.clone().unwrap_or_default()).collect();
        Self {
            up: compile::compile_fused(&types, Direction::Up),
            down: compile::compile_fused(&types, Direction::Down),
            count: types.len(),
            lift: types.iter().map(Fused::deepest).max().unwrap_or(1).max(1),
        }
    }
}

/// The routes that a request of one goes on by, as [`super::ServicePlan::exchange`] finds them.
fn follow<'p>(first: &'p Route, further: impl Iterator<Item = &'p StepPlan>, direction: Direction) -> Vec<&'p Route> {
    let mut method = first.sides(direction).0.template.method.as_str();
    let mut routes = vec![first];
    for step in further {
        let Some(last) = routes.last() else { break };
        let target = &last.sides(direction).1.template;
        if target.method != "*" {
            method = &target.method;
        }
        let found = step.find_route(direction, method, |side| route::covers(&side.template, target));
        let Ok(found) = found else { break };
        routes.push(found);
    }
    routes
}

/// The messages that meet on routes of neighbouring steps: those of requests, and those of responses of each status that
/// makes a difference.
fn messages<'p>(routes: &[&'p Route]) -> Vec<Vec<Option<&'p Message>>> {
    let mut messages = vec![routes.iter().map(|route| route.request.as_ref()).collect()];
    let keys = routes.iter().flat_map(|route| route.responses.iter().map(|(key, _)| *key));
    let statuses: BTreeSet<u16> = keys
        .map(|key| match key {
            StatusKey::Exact(status) => status,
            // A status of the class that no rule is likely to name by itself.
            StatusKey::Class(class) => u16::from(class) * 100 + 98,
            StatusKey::Default => 998,
        })
        .collect();
    messages.extend(statuses.into_iter().map(|status| routes.iter().map(|route| route.response(status)).collect()));
    messages
}
