//! What a message says of itself: its version, its id, its key.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use super::message::{Message, PATH, VERSION};
use crate::json::{MAX_DEPTH, Tree, write_name, write_string};
use crate::path::query::Query;
use crate::plan::ServicePlan;
use crate::rules::channel::{Channel, MessageSource};

/// A message may be translated this often.
const MOST_HOPS: usize = 8;
/// CloudEvents attributes have one name a binding (HTTP and Kafka, AMQP, NATS).
const PREFIXES: [&str; 4] = ["ce-", "ce_", "cloudEvents:", "cloudEvents_"];

/// Why a message's version cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unusable {
    /// There is no such version.
    Unknown,
    /// It has been translated too often.
    Loop,
}

/// A CloudEvents attribute: of a header, or of the body of a structured event.
pub(super) fn attribute<'m>(message: &'m Message, name: &str) -> Option<Cow<'m, str>> {
    let binary = PREFIXES.iter().find_map(|prefix| {
        let is_it = |known: &str| {
            known.len() == prefix.len() + name.len()
                && known.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
                && known.get(prefix.len()..).is_some_and(|end| end.eq_ignore_ascii_case(name))
        };
        message.headers.iter().find(|(known, _)| is_it(known)).and_then(|(_, value)| value.as_text())
    });
    if let Some(text) = binary {
        return Some(Cow::Borrowed(text));
    }
    if !is_structured(message) {
        return None;
    }
    let tree = Tree::parse(&message.body, MAX_DEPTH).ok()?;
    tree.get(name)?.text().map(|text| Cow::Owned(text.into_owned()))
}

/// Whether the body is a whole CloudEvent.
pub(super) fn is_structured(message: &Message) -> bool {
    let of = message.properties.content_type.as_deref().unwrap_or_default();
    of.get(..28).is_some_and(|start| start.eq_ignore_ascii_case("application/cloudevents+json"))
}

/// What a message's `type` is: that of the event, else the broker's property.
pub(super) fn event_type(message: &Message) -> Option<Cow<'_, str>> {
    attribute(message, "type").or_else(|| message.properties.kind.as_deref().map(Cow::Borrowed))
}

/// The version that a message is in: as it says, else as its address says.
///
/// # Errors
/// A version that does not exist.
pub(super) fn version(
    message: &Message,
    service: &ServicePlan,
    channel: &Channel,
    of_address: usize,
) -> Result<usize, Unusable> {
    for source in &channel.version_by {
        let said = match source {
            MessageSource::EventType => match by_type(message, channel) {
                Some(found) => return found.ok_or(Unusable::Unknown),
                None => continue,
            },
            other => text(message, other),
        };
        if let Some(said) = said {
            return service.named(said.trim()).ok_or(Unusable::Unknown);
        }
    }
    // What the gateway has written says so; types are looked at wherever the channel has any.
    if let Some(said) = message.headers.get(VERSION) {
        return service.named(said.trim()).ok_or(Unusable::Unknown);
    }
    if !channel.event_types.is_empty()
        && !channel.version_by.contains(&MessageSource::EventType)
        && let Some(Some(version)) = by_type(message, channel)
    {
        return Ok(version);
    }
    Ok(of_address)
}

/// The version of a message's type; inside, nothing where no version has it.
#[expect(clippy::option_option, reason = "a message without a type is not one with an unknown type")]
fn by_type(message: &Message, channel: &Channel) -> Option<Option<usize>> {
    let of = event_type(message)?;
    Some(channel.event_types.iter().find(|(_, known)| *known == of).map(|(version, _)| *version))
}

/// What a source says of a message.
fn text<'m>(message: &'m Message, source: &MessageSource) -> Option<Cow<'m, str>> {
    match source {
        MessageSource::Header(name) => message.headers.get(name).map(Cow::Borrowed),
        MessageSource::EventType => event_type(message),
        MessageSource::ContentType(name) => {
            let parts = message.properties.content_type.as_deref()?.split(';').skip(1);
            let found =
                parts.filter_map(|part| part.split_once('=')).find(|(key, _)| key.trim().eq_ignore_ascii_case(name));
            found.map(|(_, value)| Cow::Borrowed(value.trim().trim_matches('"')))
        }
        MessageSource::Query(query) => by_query(message, query).map(Cow::Owned),
        MessageSource::MessageId => message.properties.message_id.as_deref().map(Cow::Borrowed),
        MessageSource::CloudEvent => cloud_event(message).map(Cow::Owned),
        MessageSource::ContentHash => Some(Cow::Owned(format!("{:x}", Sha256::digest(&message.body)))),
    }
}

/// The first scalar that a query selects in `{header, body}`.
fn by_query(message: &Message, query: &Query) -> Option<String> {
    let mut whole = vec![b'{'];
    write_name("header", &mut whole);
    whole.push(b'{');
    let mut seen: Vec<String> = Vec::new();
    for (name, value) in message.headers.iter() {
        let name = name.to_ascii_lowercase();
        let Some(text) = value.as_text().filter(|_| !seen.contains(&name)) else { continue };
        write_name(&name, &mut whole);
        write_string(text, &mut whole);
        seen.push(name);
    }
    whole.push(b'}');
    if Tree::parse(&message.body, MAX_DEPTH).is_ok() {
        write_name("body", &mut whole);
        whole.extend_from_slice(&message.body);
    }
    whole.push(b'}');
    let tree = Tree::parse(&whole, MAX_DEPTH).ok()?;
    let found = query.select(&tree).ok()?;
    found.first()?.scalar_text().map(Cow::into_owned)
}

fn cloud_event(message: &Message) -> Option<String> {
    let (source, id) = (attribute(message, "source")?, attribute(message, "id")?);
    Some(format!("{source}|{id}"))
}

/// The first source that says anything.
fn first(message: &Message, sources: &[MessageSource]) -> Option<String> {
    let said = |source| text(message, source).filter(|text| !text.is_empty()).map(Cow::into_owned);
    sources.iter().find_map(said)
}

/// By what a message is known again: as the channel says; else a CloudEvent's source and id; else the broker's message id;
/// else its position.
pub(super) fn id(message: &Message, channel: &Channel, position: Option<&str>) -> Option<String> {
    first(message, &channel.id_by)
        .or_else(|| cloud_event(message))
        .or_else(|| message.properties.message_id.clone().filter(|id| !id.is_empty()))
        .or_else(|| position.map(|position| format!("@{position}")))
}

/// What a message is about: messages of one key stay in order.
pub(super) fn key(message: &Message, channel: &Channel) -> Option<String> {
    first(message, &channel.key_by)
        .or_else(|| attribute(message, "partitionkey").map(Cow::into_owned).filter(|key| !key.is_empty()))
        .or_else(|| message.headers.get("bifocal-key").map(str::to_owned))
}

/// The versions of a channel that a message has been in.
pub(super) fn visited(message: &Message, service: &ServicePlan, channel: &str) -> Result<Vec<usize>, Unusable> {
    let Some(path) = message.headers.get(PATH) else { return Ok(Vec::new()) };
    let hops: Vec<&str> = path.split(',').map(str::trim).filter(|hop| !hop.is_empty()).collect();
    if hops.len() >= MOST_HOPS {
        return Err(Unusable::Loop);
    }
    let of_channel = hops
        .iter()
        .filter_map(|hop| hop.split_once('@'))
        .filter(|(name, _)| name.split_once('/').is_some_and(|(of, name)| of == service.name && name == channel));
    Ok(of_channel.flat_map(|(_, versions)| versions.split('>')).filter_map(|name| service.named(name)).collect())
}

/// The path of a message that goes on.
pub(super) fn extend_path(message: &mut Message, service: &ServicePlan, channel: &str, from: &str, to: &str) {
    let [before, comma] = message.headers.get(PATH).map_or([""; 2], |path| [path, ", "]);
    let path = [before, comma, &service.name, "/", channel, "@", from, ">", to].concat();
    message.headers.set(PATH, path);
}
