//! The schema of `<old>-<new>.yaml`.

use serde_json::{Map, Value, json};

use super::{DIALECT, closed, explained, members, refers, text};
use crate::codecs;
use crate::rules::manual;
use crate::rules::parse::keys;

/// The JSON Schema of rule files.
pub fn rules() -> Value {
    let mut file = closed(members(keys::FILE, |key| match key {
        "versions" => {
            json!({"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 2,
                "description": "older and newer version, where the file's name does not say them"})
        }
        "strict" => json!({"type": "boolean", "description": "refuse rules that are not proven"}),
        "types" => json!({"type": "object", "additionalProperties": refers("type"),
            "description": "named lists of rules; `Old = New` where the schema's name changed"}),
        "routes" => json!({"type": "array", "items": refers("route"), "minItems": 1,
            "description": "which request of one side is which of the other"}),
        "messages" => {
            json!({"type": "object", "additionalProperties": {"anyOf": [{"const": "same"}, refers("message")]},
            "description": "what the messages of each channel of service.yaml are"})
        }
        "examples" => json!({"type": "array", "items": refers("example"), "minItems": 1,
            "description": "documents of both sides that the rules must join"}),
        _ => json!({}),
    }));
    if let Some(members) = file.as_object_mut() {
        members.insert("$schema".to_owned(), DIALECT.into());
        members.insert("title".to_owned(), "Rules of Bifocal: <old>-<new>.yaml".into());
        members.insert("definitions".to_owned(), Value::Object(definitions()));
    }
    file
}

fn definitions() -> Map<String, Value> {
    let mut all = Map::new();
    let mut add = |name: &str, schema: Value| _ = all.insert(name.to_owned(), schema);
    add("rules", json!({"type": "array", "items": refers("rule"), "minItems": 1}));
    add("reference", json!({"anyOf": [text("the name of a type"), refers("rules")]}));
    add("type", json!({"anyOf": [refers("rules"), refers("argument")]}));
    add("rule", rule());
    add("argument", conversion(keys::BESIDE));
    add("conversion", json!({"anyOf": [text("the name of a type"), refers("rules"), conversion(&["loss"])]}));
    add("case", case());
    add("unfit", unfit());
    add("when", when());
    add("reduce", explained("reduce", json!({"enum": keys::REDUCTIONS})));
    add("kind", json!({"description": "a JSON type, a list of types, or a list of values"}));
    add("route", route());
    add("message", json!({"anyOf": [text("the type of the body"), refers("rules")]}));
    add("response", response());
    add("example", example());
    for page in manual::conversions() {
        add(&argument_of(page.name), explained(page.name, structural(page.name)));
    }
    for info in codecs::ALL {
        add(&argument_of(info.name), explained(info.name, json!({})));
    }
    all
}

/// The definition of what a conversion takes: codecs have names like `type` and `case`, which definitions have, too.
fn argument_of(name: &str) -> String {
    format!("argument-{name}")
}

/// A map with one conversion and its options.
fn conversion(beside: &[&str]) -> Value {
    let structural = manual::conversions().flat_map(|page| [page.name].into_iter().chain(page.options.iter().copied()));
    let values = codecs::ALL.iter().flat_map(|info| [info.name].into_iter().chain(info.options.iter().copied()));
    let is_conversion = |name: &str| {
        codecs::ALL.iter().any(|info| info.name == name) || manual::conversions().any(|page| page.name == name)
    };
    let all = structural.chain(values).chain(beside.iter().copied());
    let known = all.map(|name| {
        let schema = match name {
            // An option that has the name of a codec, such as `wrap` of `csv`, may hold what either of them takes.
            _ if is_conversion(name) => refers(&argument_of(name)),
            other => side(other),
        };
        (name.to_owned(), schema)
    });
    let mut schema = closed(known);
    if let Some(members) = schema.as_object_mut() {
        members.insert("minProperties".to_owned(), 1.into());
    }
    schema
}

/// What stands beside a conversion.
fn side(name: &str) -> Value {
    match name {
        "loss" => explained(name, text("why it is right that something is lost")),
        "unfit" => refers("unfit"),
        "when" => refers("when"),
        "keys" => refers("conversion"),
        "only" => refers("kind"),
        "key" => text("the place inside an old element that tells elements apart"),
        "with" => json!({"type": "object", "additionalProperties": refers("conversion"),
            "description": "how variables change, old to new"}),
        "style" => json!({"enum": ["dots", "pointer", "brackets"]}),
        other => explained(other, json!({})),
    }
}

/// What a conversion of structure takes.
fn structural(name: &str) -> Value {
    let switch = json!({"type": "boolean"});
    match name {
        "as" | "names" => json!({"anyOf": [text("the name of a type"), {"$ref": "#/definitions/rules"}]}),
        "each" | "values" | "flip" | "one_or_many" => json!({"anyOf": [refers("conversion")]}),
        "via" => json!({"type": "array", "items": refers("conversion"), "minItems": 1}),
        "cases" => json!({"type": "array", "items": refers("case"), "minItems": 1}),
        "flatten" | "link" => switch,
        "entries" => {
            let mut schema = closed(members(keys::ENTRIES, |key| match key {
                "key" => text("the member of an entry that holds its name"),
                "value" => text("the member that holds the value; none: the value's members stand beside the key"),
                _ => switch.clone(),
            }));
            if let Some(members) = schema.as_object_mut() {
                members.insert("required".to_owned(), json!(["key"]));
            }
            schema
        }
        "flat" => json!({"anyOf": [{"enum": ["brackets", "dots"]}, closed(members(keys::FLAT, text))]}),
        "cel" => {
            let sides = closed(members(keys::CEL, |side| text(if side == "up" { "old to new" } else { "new to old" })));
            json!({"allOf": [sides, {"required": keys::CEL}]})
        }
        _ => json!({}),
    }
}

fn rule() -> Value {
    let equation = json!({
        "type": "object", "minProperties": 1, "maxProperties": 1,
        "propertyNames": {"not": {"enum": ["added", "removed", "cases"]}},
        "additionalProperties": {"anyOf": [{"type": "null"}, text("the name of a type"), refers("rules"), refers("argument")]},
        "description": "old = new: how the value changes"
    });
    let one_sided = |own: &str| {
        let beside: Vec<&str> = keys::DERIVED.iter().copied().chain([own]).collect();
        let mut schema = conversion(&beside);
        if let Some(members) = schema.as_object_mut() {
            members.insert("required".to_owned(), json!([own]));
            if let Some(Value::Object(properties)) = members.get_mut("properties") {
                properties.insert(own.to_owned(), explained(own, json!({"type": "string"})));
                properties.insert("reduce".to_owned(), refers("reduce"));
            }
        }
        schema
    };
    let cases = json!({
        "type": "object", "required": ["cases"],
        "properties": {"cases": refers(&argument_of("cases")), "loss": side("loss")}, "additionalProperties": false
    });
    let tags = json!({
        "type": "object", "required": ["on", "cases"], "additionalProperties": false,
        "properties": {
            "on": explained("on", json!({"type": "string"})),
            "cases": {"type": "object", "additionalProperties": {"anyOf": [{"type": "null"}, refers("reference")]}},
            "loss": side("loss")
        }
    });
    let drop = json!({"const": "drop"});
    let rest = json!({
        "type": "object", "required": ["rest"], "additionalProperties": false,
        "properties": {
            "rest": {"anyOf": [drop, closed([("old".to_owned(), drop.clone()), ("new".to_owned(), drop.clone())])]},
            "loss": side("loss")
        }
    });
    json!({"anyOf": [
        text("a place, or `old = new`"), equation, one_sided("added"), one_sided("removed"), cases, tags, rest
    ]})
}

fn case() -> Value {
    closed(members(keys::CASE, |key| match key {
        "old" | "new" => json!({"description": "the form on this side: YAML that looks like the value"}),
        "with" => side("with"),
        "when" => refers("when"),
        "rules" => refers("reference"),
        "else" => json!({"const": "pass", "description": "documents of any other form pass"}),
        _ => json!({}),
    }))
}

fn unfit() -> Value {
    let fallback =
        json!({"type": "object", "required": ["else"], "properties": {"else": {}}, "additionalProperties": false});
    explained("unfit", json!({"anyOf": [{"enum": ["drop", "pass"]}, fallback]}))
}

fn when() -> Value {
    let sides = closed(members(&["old", "new"], |_| text("a query on documents of this side")));
    explained("when", json!({"anyOf": [text("a query on the document"), sides]}))
}

fn route() -> Value {
    let status = "^([1-5]([0-9]{2}|XX|xx)|response|default)( = ([1-5]([0-9]{2}|XX|xx)|response|default))?$";
    let body = json!({
        "type": "object", "additionalProperties": false,
        "properties": {
            "write": explained("write", json!({"enum": ["replace", "merge"]})),
            "follow": follow(),
            "request": refers("message"),
            "responses": {"type": "array", "items": refers("response"), "minItems": 1},
            "when": refers("when"),
            "loss": text("why half of several calls may be done where one of them fails"),
            "calls": {"type": "object", "minProperties": 1, "additionalProperties": call()},
        },
        "patternProperties": {status: {"anyOf": [{"type": "null"}, refers("message")]}}
    });
    let line = "METHOD /old/{id} = METHOD /new/{id}";
    json!({"anyOf": [
        text(line),
        {"type": "object", "minProperties": 1, "maxProperties": 1, "description": line,
            "additionalProperties": {"anyOf": [{"type": "null"}, body]}}
    ]})
}

fn follow() -> Value {
    let mut known = closed(members(keys::FOLLOW, |key| match key {
        "until" => text("what is true of the status resource's answer once it is over, `$.body.state == 'done'`"),
        "result" => text("where in its body the result's address is, `body.result_url`"),
        "limit" => text("how long the caller waits, `30s`"),
        _ => {
            json!({"type": "boolean", "description": "whether the service is told with DELETE that nobody waits any more"})
        }
    }));
    let story = "how the new side is waited for where it answers 202 and its callers know of no such thing";
    if let Some(members) = known.as_object_mut() {
        members.insert("description".to_owned(), story.into());
    }
    known
}

fn call() -> Value {
    closed(members(keys::CALL, |key| match key {
        "call" => text("METHOD /new/{id}"),
        "request" => refers("message"),
        "when" | "stop" => refers("when"),
        "each" => text("the list whose elements get a call each"),
        "optional" => json!({"type": "boolean"}),
        "timeout" => text("how long its answer may take, `2s`"),
        _ => json!({}),
    }))
}

fn response() -> Value {
    let known = closed(members(keys::RESPONSE, |key| match key {
        "status" => json!({"type": ["string", "integer"], "description": "`200`, or `404 = 200` where it changes"}),
        "when" => refers("when"),
        "rules" => refers("message"),
        _ => json!({}),
    }));
    json!({"allOf": [known, {"required": ["status"]}]})
}

fn example() -> Value {
    let known = closed(members(keys::EXAMPLE, |key| {
        let story = match key {
            "type" => return text("the documents' type"),
            "old" => "an old document; it must become `new` and come back",
            "new" => "a new document",
            "back" => "what `new` becomes, where that is not `old`",
            "edit" => "an old document that is written onto `new`",
            "put" => "what that gives",
            _ => "",
        };
        json!({ "description": story })
    }));
    json!({"allOf": [known, {"required": ["type"]}]})
}
