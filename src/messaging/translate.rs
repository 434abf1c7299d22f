//! One message as the readers of one version get it.

use bytes::Bytes;
use http::HeaderMap;

use super::identify::{self, Unusable, event_type};
use super::message::{self, Message, RULES, VERSION};
use crate::json::{ErrorKind, MAX_DEPTH, Tree};
use crate::plan::{BodyOut, Fault, FaultKind, Limits, MessageIn, Scratch, ServicePlan};
use crate::rules::channel::Channel;

/// A message that no further attempt would help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Poison {
    /// A stable word.
    pub reason: &'static str,
    /// For operators, without values of the message.
    pub detail: String,
    /// The place in the message that is at fault, in its writer's terms.
    pub place: String,
}

impl Poison {
    pub(super) fn new(reason: &'static str, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), place: String::new() }
    }

    /// Of a message whose version cannot be used.
    pub(super) fn unusable(why: Unusable) -> Self {
        match why {
            Unusable::Unknown => Self::new("unknown_version", "the message names a version that does not exist"),
            Unusable::Loop => Self::new("loop", "it has been translated too often"),
        }
    }

    fn of(fault: &Fault) -> Self {
        let reason = match fault.kind {
            FaultKind::Json(ErrorKind::Nodes) | FaultKind::TooLarge => "too_large",
            FaultKind::Json(_) => "not_json",
            _ => "rule_error",
        };
        Self { reason, detail: fault.detail.clone(), place: fault.place.clone() }
    }
}

/// What one translation needs beside the message.
pub(super) struct Surroundings<'s> {
    pub(super) service: &'s ServicePlan,
    pub(super) channel: &'s Channel,
    /// Names the rules.
    pub(super) rules: &'s str,
    pub(super) limits: Limits,
    /// Bytes of a body.
    pub(super) largest: usize,
}

/// A message of version `from` as one of version `to`; its writer's id stays what it is.
pub(super) fn translate(
    message: &Message,
    (from, to): (usize, usize),
    around: &Surroundings<'_>,
    scratch: &mut Scratch,
) -> Result<(Message, usize), Poison> {
    let Surroundings { service, channel, .. } = around;
    let Some(way) = service.message_way(&channel.name, from, to) else {
        return Err(Poison::new("no_path", "a step between the two versions has no rules for this channel"));
    };
    if message.body.len() > around.largest {
        return Err(Poison::new("too_large", format!("the limit is {} bytes", around.largest)));
    }
    if let Some(shape) = service.shapes.of(&channel.name, from) {
        check_body(message)?;
        let depth = around.limits.depth.min(MAX_DEPTH);
        let body = Tree::parse_within(&message.body, depth, around.limits.nodes)
            .map_err(|error| Poison::of(&Fault::from(error)))?;
        if let Some(broken) = shape.violation(&body) {
            return Err(Poison { reason: "schema_violation", detail: broken.detail, place: broken.place });
        }
    }
    let mut out = message.clone();
    let mut dropped = 0;
    if from != to {
        if way.touches_body() {
            check_body(message)?;
        }
        let before = if way.touches_headers() { message::to_map(message) } else { HeaderMap::new() };
        let seen = MessageIn { headers: &before, body: &message.body };
        let translated = way.translate(&seen, scratch, around.limits).map_err(|fault| Poison::of(&fault))?;
        if let BodyOut::Replaced(body) = translated.body {
            out.body = Bytes::from(body);
        }
        message::write_back(&before, &translated.headers, &mut out);
        dropped = translated.dropped;
        retype(message, &mut out, channel, (from, to));
    }
    let name = |version: usize| service.versions.get(version).map_or("", |version| version.name.as_str());
    identify::extend_path(&mut out, service, &channel.name, name(from), name(to));
    out.headers.set(VERSION, name(to));
    out.headers.set(RULES, around.rules);
    Ok((out, dropped))
}

/// Media types of bodies that may be JSON. The last two are what clients write that do not think about it.
const JSON: [&str; 4] = ["application/json", "text/json", "application/octet-stream", "text/plain"];

/// Bodies that rules look into are JSON, and not coded: nothing else is ever taken for it.
fn check_body(message: &Message) -> Result<(), Poison> {
    let coding = message.properties.content_encoding.as_deref().unwrap_or_default();
    if !coding.is_empty() && !coding.eq_ignore_ascii_case("identity") && !coding.eq_ignore_ascii_case("utf-8") {
        return Err(Poison::new("not_json", "the body has a content encoding"));
    }
    let of = message.properties.content_type.as_deref().unwrap_or_default();
    let essence = of.split(';').next().unwrap_or_default().trim();
    let is = |known: &&str| essence.eq_ignore_ascii_case(known);
    let ends_so = |end: &str| {
        let start = essence.len().checked_sub(end.len());
        start.and_then(|start| essence.get(start..)).is_some_and(|found| found.eq_ignore_ascii_case(end))
    };
    let may_be_json = essence.is_empty() || JSON.iter().any(is) || ends_so("+json");
    if may_be_json { Ok(()) } else { Err(Poison::new("not_json", "the content type is another one")) }
}

/// An event's type names its version: where the channel says so, and no rule has changed it, it becomes the other's.
fn retype(before: &Message, after: &mut Message, channel: &Channel, (from, to): (usize, usize)) {
    let of = |version: usize| channel.event_types.iter().find(|(at, _)| *at == version).map(|(_, name)| name.as_str());
    let (Some(old), Some(new)) = (of(from), of(to)) else { return };
    if event_type(before).as_deref() != Some(old) {
        return;
    }
    let name = after
        .headers
        .iter()
        .find(|(name, value)| {
            value.as_text() == Some(old)
                && name.to_ascii_lowercase().trim_start_matches("cloudevents").ends_with("type")
        })
        .map(|(name, _)| name.to_owned());
    if let Some(name) = name {
        after.headers.set(&name, new);
    }
    if after.properties.kind.as_deref() == Some(old) {
        after.properties.kind = Some(new.to_owned());
    }
}
