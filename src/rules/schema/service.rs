//! The schema of `service.yaml`.

use serde_json::{Value, json};

use super::channel::{channel, definitions};
use super::upstream::upstream;
use super::{DIALECT, closed, members, refers, text, texts};
use crate::rules::parse::keys;

/// The JSON Schema of `service.yaml`.
pub fn service() -> Value {
    let mut file = closed(members(keys::SERVICE, |key| match key {
        "match" => json!({"allOf": [closed(members(keys::MATCH, |key| match key {
            "hosts" => texts("host names"),
            _ => texts("path prefixes, whole segments"),
        }))], "description": "which requests are this service's"}),
        "versions" => json!({"type": "object", "minProperties": 1, "additionalProperties": refers("version"),
            "description": "the versions, oldest first"}),
        "negotiate" => json!({"type": "array", "minItems": 1, "items": refers("negotiator"),
            "description": "how a caller's version is found; the first that says anything decides"}),
        "default" => text("the version of callers who name none; without it they are refused"),
        "answer_header" => text("the request header by which a tester chooses whose service answers"),
        "assign" => json!({"allOf": [assign()], "description": "which callers the shares of versions fall to"}),
        "consumer" => json!({"type": "array", "minItems": 1, "items": refers("consumer"),
            "description": "what names the consumer that a request comes from, tried in this order"}),
        "pins" => json!({"type": "object", "additionalProperties": {"type": "string"},
            "description": "consumers and their versions, for requests that name none"}),
        "lockstep" => {
            let mut group = closed(members(keys::LOCKSTEP, |key| match key {
                "group" => text("the name that they have in common"),
                _ => {
                    json!({"type": ["string", "integer"], "description": "which change this is; the same in all of them"})
                }
            }));
            if let Some(members) = group.as_object_mut() {
                members.insert("required".to_owned(), json!(keys::LOCKSTEP));
            }
            json!({"allOf": [group], "description": "the services that change together, or not at all"})
        }
        "idempotency" => {
            json!({"allOf": [idempotency()], "description": "requests that are carried out once, by their `Idempotency-Key`"})
        }
        "async" => {
            json!({"allOf": [operations()], "description": "requests that are carried out later, by `Prefer: respond-async`"})
        }
        "publish" => {
            json!({"type": "array", "items": publish(), "description": "calls that become messages of a channel"})
        }
        "channels" => json!({"type": "object", "additionalProperties": channel(),
            "description": "queues and topics; rule files say under the same names what their messages are"}),
        _ => json!({}),
    }));
    let version = closed(members(keys::VERSION, |key| match key {
        "path" => text("a path prefix that names the version; it belongs to the interface's own paths"),
        "names" => texts("other spellings that callers use"),
        "upstream" => json!({"anyOf": [text("such as `http://127.0.0.1:9101`"), refers("upstream")],
            "description": "where the service built for this version runs"}),
        "answered_by" => json!({"anyOf": [
                {"type": "string", "minLength": 1},
                {"type": "object", "minProperties": 1, "additionalProperties": {"type": "integer", "minimum": 0}}
            ], "description": "the version whose service answers callers of this one, or several with their weights"}),
        "fallback" => json!({"const": "native", "description":
            "the version's own service answers safe requests that another has failed to answer"}),
        "consumers" => json!({"allOf": [closed(members(keys::CONSUMERS, |key| match key {
            "allow" => texts("these alone may ask for this version"),
            _ => texts("everybody else may"),
        }))], "description": "which consumers may ask for this version"}),
        "deprecated" => {
            json!({"allOf": [deprecated()], "description": "since when it is deprecated, and when it ends"})
        }
        "openapi" => text("the interface's file in this folder"),
        _ => json!({}),
    }));
    let named = keys::NEGOTIATORS.iter().filter(|name| **name != "path");
    let mut named = closed(named.map(|name| ((*name).to_owned(), text("its name"))));
    if let Some(members) = named.as_object_mut() {
        members.insert("minProperties".to_owned(), 1.into());
        members.insert("maxProperties".to_owned(), 1.into());
    }
    if let Some(members) = file.as_object_mut() {
        members.insert("$schema".to_owned(), DIALECT.into());
        members.insert("title".to_owned(), "A service of Bifocal: service.yaml".into());
        members.insert("required".to_owned(), json!(["versions"]));
        let consumer =
            json!({"type": "string", "pattern": "^((header|api_key)\\..+|certificate\\.(uri|dns|subject))$"});
        let defined = [
            ("upstream", upstream()),
            ("version", json!({"anyOf": [{"type": "null"}, version]})),
            ("negotiator", json!({"anyOf": [{"const": "path"}, named]})),
            ("consumer", json!({"anyOf": [consumer, claim()]})),
        ];
        let defined = defined.into_iter().chain(definitions()).map(|(name, schema)| (name.to_owned(), schema));
        members.insert("definitions".to_owned(), defined.collect::<serde_json::Map<_, _>>().into());
    }
    file
}

pub(super) fn time(description: &str) -> Value {
    json!({"type": "string", "pattern": "^[1-9][0-9]*(ms|s|m|h|d)$", "description": description})
}

pub(super) fn number(description: &str) -> Value {
    json!({"type": "integer", "minimum": 1, "description": description})
}

fn idempotency() -> Value {
    closed(members(keys::IDEMPOTENCY, |key| match key {
        "required" => json!({"type": "boolean", "description": "whether a request without a key is refused"}),
        "methods" => json!({"type": "array", "minItems": 1, "items": {"enum": ["POST", "PATCH", "PUT", "DELETE"]},
            "description": "the methods that it is about; POST and PATCH if it is left out"}),
        "routes" => texts("the requests that it is about, in the newest version's terms; all if it is left out"),
        "keep" => time("how long an answer is kept; 24h if it is left out"),
        "most" => number("how many keys are kept at once"),
        "keep_errors" => json!({"type": "boolean", "description": "whether answers from 500 on are kept, too"}),
        _ => json!({"enum": ["refuse", "repeat"], "description":
            "what becomes of a request that may have been carried out when the gateway ended"}),
    }))
}

fn operations() -> Value {
    let mut schema = closed(members(keys::ASYNC, |key| match key {
        "path" => text("where callers ask for their operations, such as `/operations`"),
        "routes" => texts("the requests that may become one, in the newest version's terms; all if it is left out"),
        "keep" => time("how long a finished one is kept; 1h if it is left out"),
        "timeout" => time("how long the service may take; 10m if it is left out"),
        "most" => number("how many there are at once, finished ones included"),
        _ => number("how many are carried out at once"),
    }));
    if let Some(members) = schema.as_object_mut() {
        members.insert("required".to_owned(), json!(["path"]));
    }
    schema
}

fn publish() -> Value {
    let mut options = closed(members(keys::PUBLISH, |key| match key {
        "channel" => text("the channel that its body becomes a message of"),
        "wait" => time("how long a caller waits for a reply where it says nothing else; not at all if it is left out"),
        _ => texts("headers of the request that the message has, too"),
    }));
    if let Some(members) = options.as_object_mut() {
        members.insert("required".to_owned(), json!(["channel"]));
    }
    json!({"type": "object", "minProperties": 1, "maxProperties": 1,
        "additionalProperties": {"anyOf": [text("the channel that its body becomes a message of"), options]}})
}

fn assign() -> Value {
    let by = json!({"type": "array", "minItems": 1, "description": "what callers are told apart by, tried in this order",
        "items": {"type": "string", "pattern": "^(consumer|request|(header|cookie|path)\\..+)$"}});
    closed(members(keys::ASSIGN, |key| match key {
        "by" => by.clone(),
        _ => text("mixed into the hash of every key; another salt assigns all callers anew"),
    }))
}

fn claim() -> Value {
    closed(members(keys::CLAIM, |key| match key {
        "claim" => text("the claim of the JSON Web Token that names the consumer"),
        "header" => text("the header that holds the token; `Authorization` if it is left out"),
        _ => {
            json!({"const": "proxy", "description": "what stands in front of the gateway refuses tokens that are not valid"})
        }
    }))
}

fn deprecated() -> Value {
    closed(members(keys::DEPRECATED, |key| match key {
        "at" => text("since when, or from when on: a day or a moment (RFC 3339)"),
        "sunset" => text("when it ends: a day or a moment (RFC 3339)"),
        "link" => text("the address of a page about it"),
        _ => json!({"type": "boolean", "description": "whether it is refused with 410 after its end"}),
    }))
}
