//! JSON Schemas of rule files and of `service.yaml`, for editors: names and options come from the tables that the parser
//! goes by, stories from the manual.
//!
//! They are wider than the parser where the language is: a place, a form and a query are any text here.

mod channel;
mod rules;
mod service;
mod upstream;

use serde_json::{Map, Value, json};

use crate::codecs;
use crate::rules::manual;

pub use rules::rules;
pub use service::service;

const DIALECT: &str = "http://json-schema.org/draft-07/schema#";

/// An object with these members and no others.
fn closed(members: impl IntoIterator<Item = (String, Value)>) -> Value {
    let members: Map<String, Value> = members.into_iter().collect();
    json!({"type": "object", "properties": members, "additionalProperties": false})
}

fn text(description: &str) -> Value {
    json!({"type": "string", "minLength": 1, "description": description})
}

fn texts(description: &str) -> Value {
    json!({"type": "array", "minItems": 1, "items": {"type": "string"}, "description": description})
}

fn refers(definition: &str) -> Value {
    json!({"$ref": format!("#/definitions/{definition}")})
}

/// One of the keys that are read at a place; `told` says what the known ones hold.
fn members(keys: &[&str], told: impl Fn(&str) -> Value) -> Vec<(String, Value)> {
    keys.iter().map(|key| ((*key).to_owned(), told(key))).collect()
}

/// A schema with the story of a key in the manual: a line, and the page where the editor shows it.
fn explained(name: &str, mut schema: Value) -> Value {
    let codec = || codecs::ALL.iter().find(|info| info.name == name).map(|info| (first_line(info.manual), info.manual));
    let story = manual::find(name).map(|page| (page.line.to_owned(), page.manual)).or_else(codec);
    if let (Some((line, page)), Some(members)) = (story, schema.as_object_mut()) {
        members.insert("description".to_owned(), Value::String(line));
        members.insert("markdownDescription".to_owned(), Value::String(page.to_owned()));
    }
    schema
}

fn first_line(manual: &str) -> String {
    let paragraph: Vec<&str> = manual.lines().take_while(|line| !line.is_empty()).collect();
    paragraph.join(" ")
}
