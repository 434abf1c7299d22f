//! The schema of `channels`.

use serde_json::{Value, json};

use super::service::{number, time};
use super::{closed, members, refers, text};
use crate::rules::parse::keys;

/// What stands under a channel's name. It speaks of `address` and the two `source` definitions of [`definitions`].
pub(super) fn channel() -> Value {
    let sources = |definition: &str, description: &str| {
        json!({"type": "array", "items": refers(definition),
            "description": format!("{description}; tried in this order")})
    };
    let mut schema = closed(members(keys::CHANNEL, |key| match key {
        "topology" => json!({"enum": ["views", "mirror"], "description":
            "`views`: everything goes to one version and others read views of it; `mirror`: each version is written and \
             read natively"}),
        "canonical" => text("in views, the version that everything goes to; the newest if it is left out"),
        "version_by" => sources("version_source", "what of a message names its version, before its address does"),
        "id_by" => sources("id_source", "what of a message is its id, before a CloudEvent's or the broker's is"),
        "key_by" => sources("key_source", "what of a message is its key: messages of one key stay in order"),
        "guarantee" => json!({"enum": ["at_least_once", "effectively_once"], "description":
            "what every flow must promise; rules that cannot keep it are refused"}),
        "order" => json!({"enum": ["key", "none"], "description": "whether messages of one key stay in order"}),
        "on_poison" => json!({"enum": ["dead_letter", "park_key", "halt"], "description":
            "what becomes of what is behind a message that cannot be translated"}),
        "dedup" => json!({"anyOf": [{"enum": ["off", false]}, dedup()],
            "description": "how repeated ids are found out"}),
        "attempts" => number("after how many attempts a message goes to the dead letters; for ever if it is left out"),
        "dead_letter" => json!({"allOf": [refers("address")], "description": "where dead letters go"}),
        "replies" => json!({"allOf": [replies()], "description": "how requests by message are answered"}),
        _ => json!({"type": "object", "additionalProperties": version(),
            "description": "where each version is written and read"}),
    }));
    if let Some(members) = schema.as_object_mut() {
        members.insert("required".to_owned(), json!(["versions"]));
    }
    schema
}

fn version() -> Value {
    let version = closed(members(keys::CHANNEL_VERSION, |key| match key {
        "type" => text("the CloudEvents type of this version's messages"),
        "ingress" => json!({"allOf": [refers("address")], "description": "where clients of this version write"}),
        _ => json!({"allOf": [refers("address")], "description": "where clients of this version read"}),
    }));
    // A channel of replies alone has none.
    json!({"anyOf": [{"type": "null"}, version]})
}

fn dedup() -> Value {
    closed(members(keys::DEDUP, |key| match key {
        "window" => time("how long an id is known, from when it was first seen; 24h if it is left out"),
        _ => number("how many ids are known at once; a million if it is left out"),
    }))
}

fn replies() -> Value {
    let mut schema = closed(members(keys::REPLIES, |key| match key {
        "channel" => text("the channel whose rules replies have; this one if it is left out"),
        "address" => json!({"allOf": [refers("address")], "description":
            "a queue or subject that only the gateway reads: services are told to reply there"}),
        _ => time("how long a reply may take; 30s if it is left out"),
    }));
    if let Some(members) = schema.as_object_mut() {
        members.insert("required".to_owned(), json!(["address"]));
    }
    schema
}

/// One of the words, or one of the members with a text.
fn source(words: &[&str], named: &[&str]) -> Value {
    let mut named = closed(named.iter().map(|name| ((*name).to_owned(), text("its name, or a query"))));
    if let Some(members) = named.as_object_mut() {
        members.insert("minProperties".to_owned(), 1.into());
        members.insert("maxProperties".to_owned(), 1.into());
    }
    json!({"anyOf": [{"enum": words}, named]})
}

/// What channels refer to, by name.
pub(super) fn definitions() -> [(&'static str, Value); 4] {
    let mut address = closed(members(keys::ADDRESS, |key| match key {
        "broker" => text("its name in the settings: `[brokers.NAME]`"),
        "queue" => text("a queue (AMQP)"),
        "exchange" => text("an exchange (AMQP); it can only be written"),
        "routing_key" => text("the routing key; the message's own if it is left out"),
        "subject" => text("a subject of a stream (NATS JetStream)"),
        _ => text("the stream that has the subject; needed where it is read"),
    }));
    if let Some(members) = address.as_object_mut() {
        members.insert("required".to_owned(), json!(["broker"]));
    }
    [
        ("address", address),
        ("version_source", source(&["type"], &["header", "content_type", "query"])),
        ("id_source", source(&["message_id", "cloud_event", "content_hash"], &["header", "query"])),
        ("key_source", source(&["message_id"], &["header", "query"])),
    ]
}
