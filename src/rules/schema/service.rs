//! The schema of `service.yaml`.

use serde_json::{Value, json};

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
        _ => json!({}),
    }));
    let version = closed(members(keys::VERSION, |key| match key {
        "path" => text("a path prefix that names the version; it belongs to the interface's own paths"),
        "names" => texts("other spellings that callers use"),
        "upstream" => text("where the service built for this version runs, such as `http://127.0.0.1:9101`"),
        "answered_by" => text("the version whose service answers callers of this one"),
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
        members.insert(
            "definitions".to_owned(),
            json!({
                "version": {"anyOf": [{"type": "null"}, version]},
                "negotiator": {"anyOf": [{"const": "path"}, named]}
            }),
        );
    }
    file
}
