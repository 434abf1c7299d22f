//! A message as NATS has it: properties are headers, too.

use std::borrow::Cow;
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
    let mut map = Written::default();
    let properties = &mut message.properties;
    for (name, slot) in TEXTS {
        if let Some(text) = slot(properties) {
            map.put(name, text)?;
        }
    }
    if let Some(timestamp) = properties.timestamp {
        map.put(TIMESTAMP, &timestamp.to_string())?;
    }
    if let Some(priority) = properties.priority {
        map.put(PRIORITY, &priority.to_string())?;
    }
    if let Some(persistent) = properties.persistent {
        map.put(PERSISTENT, if persistent { "2" } else { "1" })?;
    }
    let id = properties.message_id.as_deref();
    if let Some(once) = once.or(id) {
        // An id that cannot stand in a header is known again by what can.
        if writable(once) { map.put(ONCE, once)? } else { map.put(ONCE, &digest(once))? }
    }
    if let Some(id) = id.filter(|id| once.is_some_and(|once| once != *id)) {
        map.put(ID, id)?;
    }
    for (name, value) in message.headers.iter() {
        let text = value.as_text().ok_or_else(|| unwritable(name))?;
        let is_servers = name.get(..SERVERS.len()).is_some_and(|start| start.eq_ignore_ascii_case(SERVERS));
        if is_servers {
            let name = format!("{HARMLESS}{name}");
            map.put_named(header_name(&name)?, name.into(), text)?;
        } else if let Some(own) = OWN.into_iter().find(|own| *own == name) {
            map.put(own, text)?;
        } else {
            map.put_named(header_name(name)?, name.into(), text)?;
        }
    }
    Ok(map.all)
}

/// Headers that are being written.
#[derive(Default)]
struct Written<'n> {
    all: HeaderMap,
    /// Their names. To append, the map looks for a name twice; to insert, once.
    names: Vec<Cow<'n, str>>,
}

impl<'n> Written<'n> {
    /// A header with a name of ours.
    fn put(&mut self, name: &'static str, text: &str) -> Result<(), Unpublished> {
        self.put_named(HeaderName::from_static(name), name.into(), text)
    }

    fn put_named(&mut self, written: HeaderName, name: Cow<'n, str>, text: &str) -> Result<(), Unpublished> {
        let value = HeaderValue::from_str(text).ok().filter(|_| writable(text)).ok_or_else(|| unwritable(&name))?;
        if self.names.contains(&name) {
            self.all.append(written, value);
        } else {
            self.all.insert(written, value);
            self.names.push(name);
        }
        Ok(())
    }
}

fn unwritable(name: &str) -> Unpublished {
    Unpublished::Unwritable(format!("header {name}"))
}

/// A name that a header came with.
fn header_name(name: &str) -> Result<HeaderName, Unpublished> {
    let is_token = !name.is_empty() && name.bytes().all(|one| one.is_ascii_graphic() && one != b':');
    HeaderName::from_str(name).ok().filter(|_| is_token).ok_or_else(|| unwritable(name))
}

/// Servers and clients trim values, and end a header at the end of a line.
fn writable(text: &str) -> bool {
    let is_blank = |one: &u8| matches!(one, b' ' | b'\t');
    let bytes = text.as_bytes();
    !bytes.first().is_some_and(is_blank)
        && !bytes.last().is_some_and(is_blank)
        && bytes.iter().all(|one| one.is_ascii_graphic() || is_blank(one))
}

fn digest(text: &str) -> String {
    use sha2::{Digest, Sha256};
    format!("{:x}", Sha256::digest(text))
}
