//! Addresses inside of documents, by the step's own routes.

use http::HeaderMap;

use super::value::Out;
use super::{Direction, Fault, Limits, Run};
use crate::json::{Tree, write_string};
use crate::plan::address::{Found, METHODS, Surroundings, restate};
use crate::plan::exchange::{Hop, RequestIn};
use crate::plan::index::Asked;
use crate::plan::{Scratch, StepPlan};
use crate::rules::checked::{BoundCodec, CheckedKind, CheckedStep, TypeId};

/// How often addresses may stand in the query of addresses: what stands deeper passes.
pub(in crate::plan) const NESTED: usize = 2;

/// How much work finding an address is, beside that of a rule.
const COST: usize = 8;

/// What addresses are translated by.
#[derive(Debug)]
pub(in crate::plan) struct Links {
    /// The routes and what their requests consist of.
    step: StepPlan,
    /// The query parameters that name a version, and the names of the older and the newer one.
    versions: Option<(Vec<String>, [String; 2])>,
}

impl Links {
    /// Of a step whose rules have to do with addresses.
    pub(in crate::plan) fn compile(step: &CheckedStep, nested: usize) -> Option<Box<Self>> {
        let is_needed = nested > 0 && step.tells_addresses();
        is_needed
            .then(|| Box::new(Self { step: StepPlan::compile_nested(&requests_of(step), nested - 1), versions: None }))
    }

    pub(in crate::plan) fn name_versions(&mut self, parameters: &[String], names: [&str; 2]) {
        self.versions = Some((parameters.to_vec(), names.map(str::to_owned)));
        self.step.name_versions(parameters, names);
    }

    /// A request for a path and query, in the other version.
    fn find(&self, direction: Direction, path: &str, query: Option<&str>, limits: Limits) -> Option<Found> {
        let query = query.map(|query| self.restated(direction, query));
        let (query, headers) = (query.as_deref(), HeaderMap::new());
        METHODS.iter().find_map(|method| {
            let route = self.step.best_route(direction, method.as_str(), Asked::Target(path, query))?;
            let hop = Hop { step: &self.step, route, direction, surroundings: None };
            let request = RequestIn { method, path, query, headers: &headers, body: None };
            let out = hop.request(&request, None, &mut Scratch::default(), limits).ok()?;
            Some((out.path, out.query))
        })
    }

    fn restated(&self, direction: Direction, query: &str) -> String {
        let Some((parameters, [old, new])) = &self.versions else { return query.to_owned() };
        let version = if direction == Direction::Up { new } else { old };
        parameters.iter().fold(query.to_owned(), |query, name| restate(&query, name, version))
    }
}

/// The routes of a step with what their requests need, and nothing else.
fn requests_of(step: &CheckedStep) -> CheckedStep {
    let mut step = step.clone();
    (step.calls, step.examples) = (Vec::new(), Vec::new());
    let mut open: Vec<TypeId> = Vec::new();
    for route in &mut step.routes {
        (route.responses, route.mapped) = (Vec::new(), Vec::new());
        open.extend(route.request);
    }
    let mut reached = vec![false; step.types.len()];
    while let Some(of) = open.pop() {
        let Some(is_reached) = reached.get_mut(of.0).filter(|is_reached| !**is_reached) else { continue };
        *is_reached = true;
        for rule in step.types.get(of.0).into_iter().flat_map(|of| &of.rules) {
            match &rule.kind {
                CheckedKind::Equation { codec: BoundCodec::As(of) | BoundCodec::Each { of, .. }, .. } => open.push(*of),
                CheckedKind::Mapping(mapping) => open.extend(mapping.types().into_iter().copied()),
                _ => {}
            }
        }
    }
    for (of, is_reached) in step.types.iter_mut().zip(reached) {
        if !is_reached {
            of.rules.clear();
        }
    }
    step
}

impl<'a> Run<'a> {
    /// An address in the other version. One that no route covers, or that is another's, stays as it is.
    pub(super) fn link(&self, direction: Direction, tree: &'a Tree<'a>) -> Result<Out<'a>, Fault> {
        let told = tree.text().ok_or_else(|| Fault::guard("expected an address".into()))?;
        // The document itself has the same name in every version.
        let Some(links) = self.general.links.as_deref().filter(|_| !told.is_empty() && !told.starts_with('#')) else {
            return Ok(Out::Tree(tree));
        };
        self.spend_all(COST)?;
        // A rule that is flipped is still about documents that travel this way.
        let direction = if self.flipped.get() { direction.reverse() } else { direction };
        let find = |path: &str, query: Option<&str>| links.find(direction, path, query, self.limits);
        let again = match self.place {
            Some((here, request)) if request == direction => here.to_service(&told, find),
            Some((here, _)) => here.to_caller(&told, find),
            None => Surroundings::default().to_caller(&told, find),
        };
        Ok(match again {
            Some(address) if address != told => {
                let mut json = Vec::with_capacity(address.len() + 2);
                write_string(&address, &mut json);
                Out::Text(self.text(&json))
            }
            _ => Out::Tree(tree),
        })
    }
}
