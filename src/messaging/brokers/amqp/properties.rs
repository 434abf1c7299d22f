//! A message as AMQP has it: basic properties and headers, both ways.

use bytes::Bytes;
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::ShortString;

use super::super::super::broker::Unpublished;
use super::super::super::message::{Message, Properties, Value};
use super::headers;

/// Who wrote a message, where the broker would not believe it of us.
const USER: &str = "bifocal-user-id";
const TRANSIENT: u8 = 1;
const PERSISTENT: u8 = 2;

/// A message that has come.
pub(super) fn read(delivery: &mut Delivery) -> Message {
    let properties = &delivery.properties;
    let text = |one: &Option<ShortString>| one.as_ref().map(|text| text.as_str().to_owned());
    let read = Properties {
        content_type: text(properties.content_type()),
        content_encoding: text(properties.content_encoding()),
        message_id: text(properties.message_id()),
        correlation_id: text(properties.correlation_id()),
        reply_to: text(properties.reply_to()),
        kind: text(properties.kind()),
        expiration: text(properties.expiration()),
        timestamp: *properties.timestamp(),
        priority: *properties.priority(),
        persistent: properties.delivery_mode().map(|mode| mode == PERSISTENT),
        app_id: text(properties.app_id()),
        user_id: text(properties.user_id()),
        cluster_id: text(properties.cluster_id()),
        routing: Some(delivery.routing_key.as_str().to_owned()),
    };
    let headers = properties.headers().as_ref().map(headers::read).unwrap_or_default();
    Message { body: Bytes::from(std::mem::take(&mut delivery.data)), properties: read, headers }
}

/// What is written beside a body, and about how many bytes it takes.
///
/// # Errors
/// Something that AMQP cannot write, or for which a broker would close the channel on everybody.
pub(super) fn write(message: &mut Message, username: &str) -> Result<(BasicProperties, usize), Unpublished> {
    let properties = &mut message.properties;
    // A broker believes only its own users, and closes the channel of who says another one.
    if let Some(user) = properties.user_id.take_if(|user| user != username) {
        message.headers.remove(USER);
        message.headers.push(USER, Value::text(user));
    }
    if let Some(text) = &properties.expiration
        && text.parse::<u32>().is_err()
    {
        return Err(Unpublished::Unwritable("expiration".to_owned()));
    }
    let mut size = 0;
    let mut written = BasicProperties::default();
    let mut set = |text: Option<&String>, what: &str, put: &dyn Fn(BasicProperties, ShortString) -> BasicProperties| {
        if let Some(text) = text {
            size += text.len() + 1;
            let short = ShortString::try_new(text.as_str()).map_err(|_| Unpublished::Unwritable(what.to_owned()))?;
            written = put(std::mem::take(&mut written), short);
        }
        Ok::<(), Unpublished>(())
    };
    set(properties.content_type.as_ref(), "content type", &BasicProperties::with_content_type)?;
    set(properties.content_encoding.as_ref(), "content encoding", &BasicProperties::with_content_encoding)?;
    set(properties.message_id.as_ref(), "message id", &BasicProperties::with_message_id)?;
    set(properties.correlation_id.as_ref(), "correlation id", &BasicProperties::with_correlation_id)?;
    set(properties.reply_to.as_ref(), "reply address", &BasicProperties::with_reply_to)?;
    set(properties.kind.as_ref(), "type", &BasicProperties::with_type)?;
    set(properties.expiration.as_ref(), "expiration", &BasicProperties::with_expiration)?;
    set(properties.app_id.as_ref(), "app id", &BasicProperties::with_app_id)?;
    set(properties.user_id.as_ref(), "user id", &BasicProperties::with_user_id)?;
    set(properties.cluster_id.as_ref(), "cluster id", &BasicProperties::with_cluster_id)?;
    if let Some(timestamp) = properties.timestamp {
        written = written.with_timestamp(timestamp);
    }
    if let Some(priority) = properties.priority {
        written = written.with_priority(priority);
    }
    // A confirmation of a message that says nothing must outlive the broker as those of others do.
    let mode = if properties.persistent == Some(false) { TRANSIENT } else { PERSISTENT };
    written = written.with_delivery_mode(mode);
    let table = headers::write(&message.headers)?;
    size += headers::size(&table) + 64;
    if !table.inner().is_empty() {
        written = written.with_headers(table);
    }
    Ok((written, size))
}
