//! A message as NATS has it: properties are headers, too.

use std::str::FromStr;

use async_nats::{HeaderMap, HeaderName, HeaderValue};

use super::super::super::broker::Unpublished;
use super::super::super::message::{Headers, Message, PATH, Properties, RULES, VERSION, Value};

/// The id by which a stream leaves out repetitions.
const ONCE: &str = "Nats-Msg-Id";
/// The writer's id, where the stream's is another one.
const ID: &str = "Message-Id";
/// Headers that tell the server what to do: what a message brings along must never do so.
const SERVERS: &str = "nats-";
const HARMLESS: &str = "Bifocal-";

/// What every translated message has.
const OWN: [&str; 3] = [PATH, VERSION, RULES];

/// What a property is called.
const TEXTS: [(&str, Text); 9] = [
    ("Content-Type", |all| &mut all.content_type),
    ("Content-Encoding", |all| &mut all.content_encoding),
    ("Correlation-Id", |all| &mut all.correlation_id),
    ("Reply-To", |all| &mut all.reply_to),
    ("Amqp-Type", |all| &mut all.kind),
    ("Amqp-Expiration", |all| &mut all.expiration),
    ("Amqp-App-Id", |all| &mut all.app_id),
    ("Amqp-User-Id", |all| &mut all.user_id),
    ("Amqp-Cluster-Id", |all| &mut all.cluster_id),
];
const TIMESTAMP: &str = "Amqp-Timestamp";
const PRIORITY: &str = "Amqp-Priority";
const PERSISTENT: &str = "Amqp-Delivery-Mode";

type Text = fn(&mut Properties) -> &mut Option<String>;

/// Headers and properties as they come.
pub(super) fn read(map: Option<&HeaderMap>, subject: &str) -> (Headers, Properties) {
    let mut headers = Headers::default();
    let mut properties = Properties { routing: Some(subject.to_owned()), ..Properties::default() };
    let mut all: Vec<(&str, &str)> = map
        .into_iter()
        .flat_map(HeaderMap::iter)
        .flat_map(|(name, values)| values.iter().map(move |value| (name.as_ref(), value.as_str())))
        .collect();
    // The client forgets their order; at least it is always the same one. Values of one name keep theirs.
    all.sort_by_key(|(name, _)| *name);
    let mut once = None;
    for (name, value) in all {
        let text = TEXTS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        let slot = text.map(|(_, slot)| slot(&mut properties)).filter(|slot| slot.is_none());
        if let Some(slot) = slot {
            *slot = Some(value.to_owned());
        } else if name.eq_ignore_ascii_case(ONCE) && once.is_none() {
            once = Some(value.to_owned());
        } else if name.eq_ignore_ascii_case(ID) && properties.message_id.is_none() {
            properties.message_id = Some(value.to_owned());
        } else if name.eq_ignore_ascii_case(TIMESTAMP) && value.parse::<u64>().is_ok() {
            properties.timestamp = value.parse().ok();
        } else if name.eq_ignore_ascii_case(PRIORITY) && value.parse::<u8>().is_ok() {
            properties.priority = value.parse().ok();
        } else if name.eq_ignore_ascii_case(PERSISTENT) {
            properties.persistent = Some(value == "2");
        } else {
            headers.push(name, Value::text(value));
        }
    }
    properties.message_id = properties.message_id.or(once);
    (headers, properties)
}

/// Headers and properties as they go.
///
/// # Errors
/// Something that a header of NATS cannot hold.
pub(super) fn write(message: &mut Message, once: Option<&str>) -> Result<HeaderMap, Unpublished> {
    let mut map = HeaderMap::new();
    let properties = &mut message.properties;
    for (name, slot) in TEXTS {
        if let Some(text) = slot(properties) {
            put(&mut map, name, text)?;
        }
    }
    if let Some(timestamp) = properties.timestamp {
        put(&mut map, TIMESTAMP, &timestamp.to_string())?;
    }
    if let Some(priority) = properties.priority {
        put(&mut map, PRIORITY, &priority.to_string())?;
    }
    if let Some(persistent) = properties.persistent {
        put(&mut map, PERSISTENT, if persistent { "2" } else { "1" })?;
    }
    let id = properties.message_id.as_deref();
    if let Some(once) = once.or(id) {
        // An id that cannot stand in a header is known again by what can.
        if writable(once) { put(&mut map, ONCE, once)? } else { put(&mut map, ONCE, &digest(once))? }
    }
    if let Some(id) = id.filter(|id| once.is_some_and(|once| once != *id)) {
        put(&mut map, ID, id)?;
    }
    for (name, value) in message.headers.iter() {
        let text = value.as_text().ok_or_else(|| Unpublished::Unwritable(format!("header {name}")))?;
        let is_servers = name.get(..SERVERS.len()).is_some_and(|start| start.eq_ignore_ascii_case(SERVERS));
        if is_servers { put_any(&mut map, &format!("{HARMLESS}{name}"), text)? } else { put_any(&mut map, name, text)? }
    }
    Ok(map)
}

/// A header with a name of ours.
fn put(map: &mut HeaderMap, name: &'static str, text: &str) -> Result<(), Unpublished> {
    append(map, name, HeaderName::from_static(name), text)
}

/// A header with whatever name it came with.
fn put_any(map: &mut HeaderMap, name: &str, text: &str) -> Result<(), Unpublished> {
    if let Some(own) = OWN.into_iter().find(|own| *own == name) {
        return put(map, own, text);
    }
    let is_token = !name.is_empty() && name.bytes().all(|one| one.is_ascii_graphic() && one != b':');
    let written = HeaderName::from_str(name).ok().filter(|_| is_token);
    append(map, name, written.ok_or_else(|| Unpublished::Unwritable(format!("header {name}")))?, text)
}

fn append(map: &mut HeaderMap, name: &str, written: HeaderName, text: &str) -> Result<(), Unpublished> {
    let value = HeaderValue::from_str(text).ok().filter(|_| writable(text));
    map.append(written, value.ok_or_else(|| Unpublished::Unwritable(format!("header {name}")))?);
    Ok(())
}

/// Servers and clients trim values, and end a header at the end of a line.
fn writable(text: &str) -> bool {
    text.trim() == text && text.bytes().all(|one| one == b' ' || one == b'\t' || one.is_ascii_graphic())
}

fn digest(text: &str) -> String {
    use sha2::{Digest, Sha256};
    format!("{:x}", Sha256::digest(text))
}
