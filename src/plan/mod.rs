//! What a request may see: services, version lines, routes and compiled lenses. Immutable once built.

pub mod address;
mod answer;
mod asynchronous;
mod bodies;
mod calls;
mod channel;
mod compile;
mod consumer;
mod cut;
mod directory;
mod edit;
mod engine;
mod exchange;
mod fault;
mod follow;
mod fuse;
mod general;
mod hop;
mod index;
mod keys;
mod lay;
mod lens;
mod line;
mod live;
mod members;
mod message;
pub(crate) mod names;
pub(crate) mod negotiate;
mod patch;
mod put;
mod query;
mod route;
mod scratch;
mod shape;
mod stencil;
mod stream;
mod way;
pub mod wire;
mod write;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use crate::codecs::Direction;
pub use crate::rules::checked::TypeId;
pub use answer::{Asking, Ending};
pub use calls::{Answer, CallFault, CallOut, Failure, Fan, Next, Progress};
pub use channel::{MessageIn, MessageOut, MessageWay};
pub use consumer::Certified;
pub use exchange::{BodyOut, Exchange, NoRoute, RequestIn, RequestOut, ResponseIn, ResponseOut};
pub use fault::{Fault, FaultKind};
pub use general::{Note, Notes, Point, PointId, What};
pub use negotiate::Unclear;
pub use scratch::Scratch;
pub use stream::{Stream, StreamLimits, Streamed};

use crate::rules::answer::{Admission, Assign, ConsumerSource};
use crate::rules::ast::Negotiator;
use crate::rules::asynchronous::{Idempotency, Operations};
use crate::rules::channel::Channel;
use crate::rules::checked::{CheckedService, CheckedStep, CheckedVersion};
use crate::rules::publish::Publish;
use crate::rules::shapes::Shapes;
use crate::rules::upstream::Upstream;
use lens::Lenses;

/// Limits that every translation keeps.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Nesting levels of a document; at most [`crate::json::MAX_DEPTH`] count.
    pub depth: usize,
    /// Values of a document that is read as a whole before it is translated.
    pub nodes: usize,
    /// Bytes of a translated document.
    pub output: usize,
    /// What becomes of members that have nowhere to go.
    pub unplaced: Unplaced,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 128, nodes: 1_000_000, output: 64 << 20, unplaced: Unplaced::Refuse }
    }
}

/// What becomes of a member that no rule names, where a rule writes another member of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unplaced {
    /// The document is refused: what a client writes must not vanish.
    Refuse,
    /// It is left out and counted: an addition to a service must not break the callers of its other version.
    Drop,
}

/// Everything that is served, as one value.
#[derive(Debug, Default)]
pub struct Plan {
    services: Vec<Arc<ServicePlan>>,
    directory: directory::Directory,
}

impl Plan {
    /// Joins services into one plan.
    pub fn new(services: Vec<Arc<ServicePlan>>) -> Self {
        let directory = directory::Directory::new(services.iter().map(|service| &**service));
        Self { services, directory }
    }

    /// The services.
    pub fn services(&self) -> &[Arc<ServicePlan>] {
        &self.services
    }

    /// The service that answers for a host (without port, any case) and path: a named host before any host, then the
    /// longest path prefix; of equals the last one.
    pub fn service_for(&self, host: Option<&str>, path: &str) -> Option<&Arc<ServicePlan>> {
        self.services.get(self.find(host, path)?)
    }

    /// Its place among the services.
    pub(crate) fn find(&self, host: Option<&str>, path: &str) -> Option<usize> {
        self.directory.find(host, path)
    }
}

/// One compiled service.
#[derive(Debug)]
pub struct ServicePlan {
    /// The folder's name.
    pub name: String,
    /// Lower-case host names; empty: any.
    pub hosts: Vec<String>,
    /// Path prefixes; empty: any.
    pub paths: Vec<String>,
    /// Oldest first.
    pub versions: Vec<VersionPlan>,
    /// How a caller's version is found.
    pub negotiate: Vec<Negotiator>,
    /// The default version's index.
    pub default: Option<usize>,
    /// Header that chooses who answers.
    pub answer_header: Option<http::HeaderName>,
    /// Which callers shares fall to.
    pub assign: Assign,
    /// What names the consumer that a request comes from.
    pub consumer: Vec<ConsumerSource>,
    /// The versions of consumers that name none.
    pub pins: BTreeMap<String, usize>,
    /// Compiled rules between neighbours.
    pub steps: Vec<StepPlan>,
    /// Queues and topics.
    pub channels: Vec<Channel>,
    /// The schemas that their messages must keep.
    pub shapes: Shapes,
    /// Calls that become messages.
    pub publish: Vec<Publish>,
    /// Requests that are carried out once.
    pub idempotency: Option<Idempotency>,
    /// Requests that may be carried out later.
    pub operations: Option<Operations>,
    /// Steps that bodies take in one.
    line: line::Line,
}

/// What the rules of each type need, those of types that it refers to included.
struct Needs {
    /// The general engine.
    general: Vec<bool>,
    /// Sight of the request that a response answers.
    request: Vec<bool>,
}

impl Needs {
    fn of(step: &CheckedStep) -> Self {
        Self { general: step.general(), request: step.sees_request() }
    }

    fn has(all: &[bool], of: TypeId) -> bool {
        all.get(of.0) == Some(&true)
    }
}

/// One version of a service.
#[derive(Debug)]
pub struct VersionPlan {
    /// Its name.
    pub name: String,
    /// Other spellings.
    pub aliases: Vec<String>,
    /// Its own service, if it runs.
    pub upstream: Option<Arc<Upstream>>,
    /// Who answers its callers by default.
    pub answered_by: usize,
    /// Versions that share its callers, with their weights; empty: [`VersionPlan::answered_by`] has all of them.
    pub shares: Vec<(usize, u32)>,
    /// Whether its own service answers where another has failed to.
    pub fallback: bool,
    /// Which consumers may ask for it.
    pub consumers: Admission,
    /// What its callers are told of its end.
    pub ending: Option<Ending>,
    /// Path prefix that names it.
    pub path: Option<String>,
}

/// Compiled rules between two neighbours.
#[derive(Debug)]
pub struct StepPlan {
    up: Arc<Lenses>,
    down: Arc<Lenses>,
    puts: Vec<Vec<put::PutRule>>,
    general: Arc<general::General>,
    routes: Vec<route::Route>,
    calls: Vec<calls::Calls>,
    /// Of channels.
    messages: Vec<route::Route>,
    /// The older sides of routes.
    olds: index::Index,
    /// Their newer sides.
    news: index::Index,
    /// What becomes several calls.
    called: index::Index,
}

impl StepPlan {
    /// Compiles the types of a checked step. Cannot fail.
    pub fn compile(step: &CheckedStep) -> Self {
        Self::compile_nested(step, general::NESTED)
    }

    /// The same where addresses may stand in addresses this often.
    fn compile_nested(step: &CheckedStep, nested: usize) -> Self {
        let links = general::Links::compile(step, nested);
        let mut step = compile::with_plain_headers(step);
        let bodies = bodies::with_body_types(&mut step);
        let needs = Needs::of(&step);
        let general = general::compile(&step, needs.general.clone()).with_links(links);
        Self::build(&step, &bodies, &needs, general)
    }

    /// As [`StepPlan::compile`], for looking on: every translation notes what its rules do, for [`StepPlan::take_notes`].
    /// Slower, and nothing to serve with.
    pub fn traced(step: &CheckedStep) -> Self {
        let links = general::Links::compile(step, general::NESTED);
        let step = compile::with_plain_headers(step);
        let general = general::compile_traced(&step).with_links(links);
        let mut plan = Self::build(&step, &BTreeMap::new(), &Needs::of(&step), general);
        // A message's rules are noted too, and its body's places as parts of the message.
        plan.routes.iter_mut().chain(&mut plan.messages).for_each(route::Route::keep_messages_whole);
        plan
    }

    fn build(step: &CheckedStep, bodies: &BTreeMap<TypeId, TypeId>, needs: &Needs, general: general::General) -> Self {
        Self {
            up: Arc::new(compile::compile_lenses(step, Direction::Up)),
            down: Arc::new(compile::compile_lenses(step, Direction::Down)),
            puts: step.types.iter().map(put::compile_put).collect(),
            general: Arc::new(general),
            routes: step.routes.iter().map(|route| route::Route::compile(route, step, bodies, needs)).collect(),
            calls: step.calls.iter().map(|calls| calls::Calls::compile(calls, step, needs)).collect(),
            messages: step.messages.iter().map(|one| route::Route::compile(one, step, bodies, needs)).collect(),
            olds: index::Index::new(step.routes.iter().map(|route| &route.old)),
            news: index::Index::new(step.routes.iter().map(|route| &route.new)),
            called: index::Index::new(step.calls.iter().map(|calls| &calls.old)),
        }
    }

    /// The routes by the caller's side.
    fn index(&self, direction: Direction) -> &index::Index {
        direction.order(&self.olds, &self.news).0
    }

    /// What rules did since this was last asked; nothing where the plan is not [`StepPlan::traced`].
    pub fn take_notes(&self) -> Notes {
        self.general.take_notes()
    }

    fn forget_notes(&self) {
        self.general.forget_notes();
    }

    /// Everything in the rules that documents can meet, for plans that are [`StepPlan::traced`].
    pub fn points(&self) -> Vec<Point> {
        self.general.points()
    }

    /// Whether its rules have to do with addresses.
    fn tells_addresses(&self) -> bool {
        self.general.tells_addresses()
    }

    /// What the query of an address may name: parameters, and the older and the newer version. Before it is shared.
    fn name_versions(&mut self, parameters: &[String], names: [&str; 2]) {
        if let Some(general) = Arc::get_mut(&mut self.general) {
            general.name_versions(parameters, names);
        }
    }

    fn lenses(&self, direction: Direction) -> &Arc<Lenses> {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }

    /// Translates one document of a type, appending to `out`. On error `out` is as it was.
    ///
    /// # Errors
    /// The first [`Fault`] met; places are named as `direction`'s source side names them.
    pub fn translate(
        &self,
        of: TypeId,
        direction: Direction,
        input: &[u8],
        out: &mut Vec<u8>,
        scratch: &mut Scratch,
        limits: Limits,
    ) -> Result<(), Fault> {
        self.translate_within(of, direction, input, general::Requests::default(), out, scratch, limits)
    }

    /// As [`StepPlan::translate`], with what the message is part of.
    #[expect(clippy::too_many_arguments, reason = "one translation's whole surroundings")]
    pub(crate) fn translate_within(
        &self,
        of: TypeId,
        direction: Direction,
        input: &[u8],
        requests: general::Requests<'_>,
        out: &mut Vec<u8>,
        scratch: &mut Scratch,
        limits: Limits,
    ) -> Result<(), Fault> {
        if self.general.has(of) {
            scratch.dropped = self.general.translate(of, direction, input, requests, out, limits)?;
            return Ok(());
        }
        engine::translate(self.lenses(direction), of, direction, input, out, scratch, limits)
    }

    /// Writes an old document onto a live new one, appending the result to `out`: what the old document leaves
    /// unchanged stays as it is, byte for byte.
    ///
    /// # Errors
    /// The first [`Fault`] met; places are named as the old side names them.
    pub fn put(&self, of: TypeId, old: &[u8], base: &[u8], out: &mut Vec<u8>, limits: Limits) -> Result<(), Fault> {
        self.put_within(of, (old, base), general::Requests::default(), out, limits)
    }

    /// As [`StepPlan::put`], with what the message is part of.
    fn put_within(
        &self,
        of: TypeId,
        (old, base): (&[u8], &[u8]),
        requests: general::Requests<'_>,
        out: &mut Vec<u8>,
        limits: Limits,
    ) -> Result<(), Fault> {
        if self.general.has(of) {
            return self.general.put(of, old, base, requests, out, limits);
        }
        put::put(self, of, old, base, out, limits)
    }
}

impl ServicePlan {
    /// Compiles a checked service. Cannot fail.
    pub fn compile(service: &CheckedService) -> Self {
        Self::compile_rest(service, Vec::new())
    }

    /// The same with what has been compiled of its steps, by index: to try their laws.
    pub fn compile_rest(service: &CheckedService, known: Vec<Option<StepPlan>>) -> Self {
        let known = known.into_iter().chain(std::iter::repeat_with(|| None));
        let steps = service.steps.iter().zip(known);
        let steps = steps.map(|(step, known)| known.unwrap_or_else(|| StepPlan::compile(step)));
        let plan = Self::with_steps(service, steps.collect());
        Self { line: line::Line::compile(&service.steps, &plan.steps), ..plan }
    }

    /// As [`ServicePlan::compile`], with steps that are [`StepPlan::traced`].
    pub fn traced(service: &CheckedService) -> Self {
        Self::with_steps(service, service.steps.iter().map(StepPlan::traced).collect())
    }

    fn with_steps(service: &CheckedService, mut steps: Vec<StepPlan>) -> Self {
        let version = |version: &CheckedVersion| VersionPlan {
            name: version.name.clone(),
            aliases: version.aliases.clone(),
            upstream: version.upstream.clone(),
            answered_by: version.answered_by,
            shares: version.shares.clone(),
            fallback: version.fallback,
            consumers: version.consumers.clone(),
            ending: version.deprecated.as_ref().map(Ending::compile),
            path: version.path.clone(),
        };
        let parameters: Vec<String> = address::naming_parameters(&service.negotiate).map(str::to_owned).collect();
        for (step, (old, new)) in steps.iter_mut().zip(service.versions.iter().zip(service.versions.iter().skip(1))) {
            step.name_versions(&parameters, [&old.name, &new.name]);
        }
        Self {
            name: service.name.clone(),
            hosts: service.hosts.clone(),
            paths: service.paths.clone(),
            versions: service.versions.iter().map(version).collect(),
            negotiate: service.negotiate.clone(),
            default: service.default,
            answer_header: service.answer_header.as_deref().and_then(|name| name.parse().ok()),
            assign: service.assign.clone(),
            consumer: service.consumer.clone(),
            pins: service.pins.iter().cloned().collect(),
            steps,
            channels: service.channels.clone(),
            shapes: service.shapes.clone(),
            publish: service.publish.clone(),
            idempotency: service.idempotency.clone(),
            operations: service.operations.clone(),
            line: line::Line::default(),
        }
    }
}
