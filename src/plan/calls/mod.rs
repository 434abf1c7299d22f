//! One old call that becomes several new ones: which calls, in which order, and what their answers come to.
//!
//! Everything here is a step from what is known to what is next; who sends the calls and waits for them is somebody
//! else's business (the gateway's, or a test's).

mod document;
mod progress;
mod request;
mod response;

use http::StatusCode;

use super::address::Surroundings;
use super::exchange::Exchange;
use super::general::Requests;
use super::route::{Mapped, Message, Side};
use super::{Direction, Fault, Needs, ServicePlan, StepPlan};
use crate::path::query::Query;
use crate::rules::ast::StatusKey;
use crate::rules::calls::{CheckedCalls, How, Target};
use crate::rules::checked::CheckedStep;

pub use progress::{Answer, CallOut, Next, Progress};

/// A route with calls, compiled.
#[derive(Debug)]
pub(super) struct Calls {
    old: Side,
    when: Option<Query>,
    /// In written order.
    all: Vec<Call>,
    responses: Vec<(StatusKey, Message)>,
    mapped: Vec<Mapped>,
}

/// One call, compiled.
#[derive(Debug)]
struct Call {
    name: String,
    target: Target,
    request: Option<Message>,
    /// Whose answers it needs.
    after: Vec<usize>,
    how: How,
}

/// Why something could not be translated, and whose fault it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallFault {
    /// What is wrong.
    pub fault: Fault,
    /// Whether it is wrong in an answer rather than in the caller's request.
    pub is_service: bool,
}

/// What became of a route whose answers make no response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The call that failed; none where all went well, but no rules are for what came.
    pub call: Option<String>,
    /// Its answer's status, if it was answered.
    pub status: Option<StatusCode>,
}

/// One route with calls between a caller of one version and the service of another.
#[derive(Debug)]
pub struct Fan<'p> {
    plan: &'p ServicePlan,
    step: &'p StepPlan,
    calls: &'p Calls,
    /// The way from the caller's version to the one whose call becomes several.
    before: Exchange<'p>,
    /// The version that the calls speak, and the one that answers them.
    after: (usize, usize),
    surroundings: Surroundings,
}

impl Calls {
    pub(super) fn compile(calls: &CheckedCalls, step: &CheckedStep, needs: &Needs) -> Self {
        Self {
            old: Side { label: calls.old.to_string(), template: calls.old.clone() },
            when: calls.when.clone(),
            all: calls
                .calls
                .iter()
                .map(|call| Call {
                    name: call.name.clone(),
                    target: call.target.clone(),
                    request: call.request.map(|of| Message::compile(of, step, needs)),
                    after: call.after.clone(),
                    how: call.how.clone(),
                })
                .collect(),
            responses: calls.responses.iter().map(|(key, of)| (*key, Message::compile(*of, step, needs))).collect(),
            mapped: calls.mapped.iter().map(|one| Mapped::compile(one, step, needs)).collect(),
        }
    }
}

impl ServicePlan {
    /// The routes with calls that may be meant by a request of version `asked` where the service of version `served`
    /// answers, the first to be tried first. They go before [`ServicePlan::exchange`]; which one it is depends on what
    /// its condition says of the request ([`Fan::begin`]). Only callers of older versions have any.
    pub fn fans(&self, asked: usize, served: usize, method: &str, target: (&str, Option<&str>)) -> Vec<Fan<'_>> {
        let mut fans = Vec::new();
        for at in asked..served {
            let Some(step) = self.steps.get(at).filter(|step| !step.calls.is_empty()) else { continue };
            let Ok(before) = self.exchange(asked, at, method, target) else { continue };
            let method = before.next_method(method);
            let asked = before.seeks(target);
            let other = step.best_route(Direction::Up, method, asked).map(|route| route.old.template.specificity());
            let fits = |id: usize| step.calls.get(id).is_some_and(|one| asked.is_of(&one.old.template, method));
            let found = step.called.all(asked, fits);
            let mut found: Vec<&Calls> = found.into_iter().filter_map(|id| step.calls.get(id)).collect();
            found.retain(|one| other.as_ref().is_none_or(|other| one.old.template.specificity() >= *other));
            // The sort is stable: of equals the first written comes first.
            found.sort_by_key(|one| std::cmp::Reverse(one.old.template.specificity()));
            let after = (at + 1, served);
            fans.extend(found.into_iter().map(|calls| Fan {
                plan: self,
                step,
                calls,
                before: before.clone(),
                after,
                surroundings: Surroundings::default(),
            }));
        }
        fans
    }
}

impl Fan<'_> {
    /// The same where it takes place, as [`Exchange::within`].
    #[must_use]
    pub fn within(self, surroundings: &Surroundings) -> Self {
        Self { before: self.before.within(&surroundings.beyond()), surroundings: surroundings.clone(), ..self }
    }

    /// What the rules of the calls see of where they are made.
    fn here(&self) -> Surroundings {
        if self.after.0 == self.after.1 { self.surroundings.clone() } else { self.surroundings.beyond() }
    }

    /// The route in the caller's terms, for logs and metrics.
    pub fn label(&self) -> &str {
        Some(self.before.label()).filter(|label| !label.is_empty()).unwrap_or(&self.calls.old.label)
    }

    /// The names of its calls, in written order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.calls.all.iter().map(|call| call.name.as_str())
    }
}

/// What the messages of the calls are part of.
fn requests<'a>(progress: &'a Progress, here: &'a Surroundings) -> Requests<'a> {
    let asked = Some(progress.asked.view.as_slice());
    Requests { old: asked, new: asked, place: Some((here, Direction::Up)) }
}

impl CallFault {
    fn caller(fault: Fault) -> Self {
        Self { fault, is_service: false }
    }

    fn service(fault: Fault) -> Self {
        Self { fault, is_service: true }
    }
}

impl std::fmt::Display for CallFault {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.fault.fmt(out)
    }
}

impl std::error::Error for CallFault {}

impl std::fmt::Display for Failure {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.call, self.status) {
            (Some(call), Some(status)) => write!(out, "the call `{call}` was answered {}", status.as_u16()),
            (Some(call), None) => write!(out, "the call `{call}` was not answered"),
            (None, _) => out.write_str("the route has no rules for these answers"),
        }
    }
}
