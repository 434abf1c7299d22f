//! The schemas that messages must keep, where their channel says so.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::channel::Channel;
use super::checked::{BoundCodec, CheckedKind, CheckedService, CheckedStep, Origin};
use crate::contract::Interface;
use crate::contract::documents::{Violation, violations};
use crate::contract::schema::SchemaId;
use crate::diagnostic::{Diagnostics, codes};
use crate::json::Tree;

/// By channel and version: an interface, and the schema of the body in it.
#[derive(Clone, Default)]
pub struct Shapes(BTreeMap<(String, usize), (Arc<Interface>, SchemaId)>);

impl fmt::Debug for Shapes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_set().entries(self.0.keys()).finish()
    }
}

/// The schema of one version's messages.
#[derive(Clone, Copy)]
pub struct Shape<'s> {
    interface: &'s Interface,
    schema: SchemaId,
}

impl Shape<'_> {
    /// Where a body first breaks it.
    pub fn violation(&self, body: &Tree<'_>) -> Option<Violation> {
        violations(self.interface, self.schema, body).into_iter().next()
    }
}

impl Shapes {
    /// What bodies of a channel and version must keep, if anything.
    pub fn of(&self, channel: &str, version: usize) -> Option<Shape<'_>> {
        if self.0.is_empty() {
            return None;
        }
        let (interface, schema) = self.0.get(&(channel.to_owned(), version))?;
        Some(Shape { interface, schema: *schema })
    }
}

/// Finds the schemas of all channels that are to keep them.
pub(super) fn find(service: &CheckedService, interfaces: &[Option<Interface>], found: &mut Diagnostics) -> Shapes {
    let mut shapes = Shapes::default();
    let mut shared: BTreeMap<usize, Arc<Interface>> = BTreeMap::new();
    for channel in &service.channels {
        let Some(asked) = channel.validate else { continue };
        for (index, version) in service.versions.iter().enumerate() {
            let names = names(service, channel, index);
            let interface = interfaces.get(index).and_then(Option::as_ref);
            let schema = interface.and_then(|interface| names.iter().find_map(|name| interface.component(name)));
            if let (Some(interface), Some(schema)) = (interface, schema) {
                let interface = shared.entry(index).or_insert_with(|| Arc::new(interface.clone())).clone();
                shapes.0.insert((channel.name.clone(), index), (interface, schema));
            } else if channel.flows.iter().any(|flow| flow.version == index) {
                let what = names.first().map_or_else(|| "its messages".to_owned(), |name| format!("`{name}`"));
                found
                    .error(codes::E16, asked, format!("`{}` has no schema of {what} in {}", channel.name, version.name))
                    .help("name the type of the body in the rules (`messages: {orders: Order}`), and give each version that \
                           is written an interface that has its schema");
            }
        }
    }
    shapes
}

/// What the body's type is called in a version, by the steps beside it.
fn names(service: &CheckedService, channel: &Channel, version: usize) -> Vec<String> {
    let above = service.steps.get(version).and_then(|step| body(step, &channel.name));
    let below = version.checked_sub(1).and_then(|below| body(service.steps.get(below)?, &channel.name));
    above.map(|(old, _)| old).into_iter().chain(below.map(|(_, new)| new)).collect()
}

/// The old and the new name of the type of a channel's bodies.
fn body(step: &CheckedStep, channel: &str) -> Option<(String, String)> {
    let route = step.messages.iter().find(|route| route.old.to_string().ends_with(&format!("/{channel}")))?;
    let of = step.types.get(route.request?.0)?;
    let body = of.rules.iter().find_map(|rule| match &rule.kind {
        CheckedKind::Equation { olds, news, codec: BoundCodec::As(of), .. } => {
            let is_body = olds.iter().chain(news).all(|place| place.segments == ["body"]);
            is_body.then_some(*of)
        }
        _ => None,
    })?;
    match &step.types.get(body.0)?.origin {
        Origin::Named { old, new } => Some((old.clone(), new.clone())),
        _ => None,
    }
}
