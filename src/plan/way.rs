//! A body's way through a version line: fused steps where there are any, single ones between and instead of them.

use std::borrow::Cow;

use http::StatusCode;

use super::exchange::{BodyOut, Exchange, Hop, RequestOut};
use super::line::Span;
use super::route::Message;
use super::{Direction, Fault, FaultKind, Limits, Scratch, StepPlan, TypeId, Unplaced, engine};
use crate::json::MAX_DEPTH;

/// How a body goes through a line.
#[derive(Debug)]
pub(super) struct Way<'p> {
    /// The oldest first.
    pub(super) legs: Vec<Leg<'p>>,
}

/// Neighbouring steps of it that are one, or one step.
#[derive(Debug)]
pub(super) struct Leg<'p> {
    /// Of the messages that were asked for.
    pub(super) steps: std::ops::Range<usize>,
    pub(super) fused: Option<(&'p Span, TypeId)>,
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
        through(&self.legs, direction, body, |leg, body| {
            leg.translate(steps, direction, body, scratch, limits).map(Some)
        })
    }
}

/// A body through one thing after another, the oldest first on the way up; answers it and how many members were left out.
/// What has nothing to do with it leaves it as it is.
fn through<T>(
    all: &[T],
    direction: Direction,
    body: &[u8],
    mut translate: impl FnMut(&T, &[u8]) -> Result<Option<(Vec<u8>, usize)>, Fault>,
) -> Result<(Vec<u8>, usize), Fault> {
    let mut current = Cow::Borrowed(body);
    let mut dropped = 0;
    let mut go = |one: &T| -> Result<(), Fault> {
        if let Some((out, left_out)) = translate(one, &current)? {
            current = Cow::Owned(out);
            dropped += left_out;
        }
        Ok(())
    };
    match direction {
        Direction::Up => all.iter().try_for_each(&mut go)?,
        Direction::Down => all.iter().rev().try_for_each(&mut go)?,
    }
    Ok((current.into_owned(), dropped))
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
        let depth = limits.depth.min(MAX_DEPTH).saturating_sub(span.rise) / span.lift;
        let strict = Limits { unplaced: Unplaced::Refuse, depth, ..limits };
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
        through(steps, direction, body, |(step, of), body| {
            let Some(of) = of else { return Ok(None) };
            let mut out = Vec::with_capacity(body.len() + body.len() / 4);
            step.translate(*of, direction, body, &mut out, scratch, limits)?;
            Ok(Some((out, scratch.dropped())))
        })
    }
}

impl<'p> Exchange<'p> {
    /// The request's direction.
    pub(super) fn direction(&self) -> Direction {
        self.hops.first().map_or(Direction::Up, |hop| hop.direction)
    }

    /// The oldest step first, whatever the direction.
    fn oldest_first<T>(&self, of: impl FnMut(&Hop<'p>) -> T) -> Vec<T> {
        let mut all: Vec<T> = self.hops.iter().map(of).collect();
        if self.direction() == Direction::Down {
            all.reverse();
        }
        all
    }

    /// Every step with the body's type in it.
    pub(super) fn steps(&self, mut of: impl FnMut(&Hop<'p>) -> Option<TypeId>) -> Vec<(&'p StepPlan, Option<TypeId>)> {
        self.oldest_first(|hop| (hop.step, of(hop)))
    }

    /// How the request's body is translated for all hops at once, if some of them are fused.
    pub(super) fn request_way(&self) -> Option<Way<'p>> {
        let (line, oldest) = self.line?;
        if self.hops.len() < 2 || self.merges() {
            return None;
        }
        line.way(oldest, &self.oldest_first(|hop| hop.route.request.as_ref()))
    }

    /// As [`Exchange::request_way`], of a response's body.
    pub(super) fn response_way(&self, status: StatusCode) -> Option<Way<'p>> {
        let (line, oldest) = self.line?;
        if self.hops.len() < 2 || self.hops.iter().any(|hop| !hop.route.mapped.is_empty()) {
            return None;
        }
        line.way(oldest, &self.oldest_first(|hop| hop.route.response(status.as_u16())))
    }

    /// The request at the address that it has at the end of the way, where no hop has to do with more than that and the
    /// body.
    ///
    /// # Errors
    /// The first [`Fault`]; its place is in the caller's terms.
    pub(super) fn readdressed(
        &self,
        mut request: RequestOut,
        scratch: &mut Scratch,
        limits: Limits,
    ) -> Result<RequestOut, Fault> {
        // Headers stay, so no hop need copy them.
        let headers = std::mem::take(&mut request.headers);
        for (index, hop) in self.hops.iter().enumerate() {
            // What the first hop wrote, a later one of the same address would write again.
            if index > 0 && hop.keeps_address() {
                continue;
            }
            request = hop.readdressed(&request.seen(), scratch, limits)?;
        }
        Ok(RequestOut { headers, body: BodyOut::Unchanged, ..request })
    }

    /// How many times the request's body is read on its way.
    pub fn request_passes(&self) -> usize {
        let touched = self.hops.iter().filter(|hop| hop.route.request.as_ref().is_some_and(Message::touches_body));
        self.request_way().map_or(touched.count(), |way| way.passes())
    }

    /// How many times the body of a response of this status is read on its way, where no rule changes the status.
    pub fn response_passes(&self, status: StatusCode) -> usize {
        let message = |hop: &Hop<'p>| hop.route.response(status.as_u16());
        let touched = self.hops.iter().filter(|hop| message(hop).is_some_and(Message::touches_body));
        self.response_way(status).map_or(touched.count(), |way| way.passes())
    }
}
