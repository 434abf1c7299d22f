//! A version line's fused steps: which types meet on its routes, and what they are as one.

use std::collections::{BTreeMap, BTreeSet};

use super::fuse::{Fused, Pair, Table};
use super::index::Asked;
use super::lens::Lenses;
use super::route::{Message, Route};
use super::way::{Leg, Way};
use super::{Direction, StepPlan, TypeId, compile};
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
    /// How many more places fused types may have.
    room: usize,
}

/// The most places of the fused types of one line. Versions meet in pairs, so their number would grow with the square of
/// theirs; what is beyond it goes step by step.
const MOST_PLACES: usize = 128 << 10;

/// Several steps as one.
#[derive(Debug)]
pub(super) struct Span {
    pub(super) up: Lenses,
    pub(super) down: Lenses,
    /// Where partial forms begin.
    count: usize,
    /// The most levels of one version that one level of another becomes.
    pub(super) lift: usize,
    /// How much deeper values themselves may be nested in one version than in another.
    pub(super) rise: usize,
}

impl Line {
    /// Fuses what meets on the routes of a line. Cannot fail: what cannot be fused is not.
    pub(super) fn compile(checked: &[CheckedStep], steps: &[StepPlan]) -> Self {
        // Bodies of messages are types of the compiled steps, too.
        let counts = steps.iter().map(|step| step.puts.len()).collect();
        let mut line = Self { counts, room: MOST_PLACES, ..Self::default() };
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
            let fused = Table::fuse(table, newest, pairs, self.room);
            self.room -= fused.weight().min(self.room);
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

impl Span {
    fn compile(table: &Table) -> Self {
        // No fused type refers to a refused one, so its place may hold nothing.
        let types: Vec<Fused> = table.types.iter().map(|of| of.clone().unwrap_or_default()).collect();
        Self {
            up: compile::compile_fused(&types, Direction::Up),
            down: compile::compile_fused(&types, Direction::Down),
            count: types.len(),
            lift: types.iter().map(Fused::deepest).max().unwrap_or(1).max(1),
            rise: types.iter().map(|of| of.rise).max().unwrap_or(0),
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
        let found = step.best_route(direction, method, Asked::Template(target));
        let Some(found) = found else { break };
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
