//! The keywords of one schema.

use super::schemas::{Parts, Schemas};
use crate::contract::documents::constant_kind;
use crate::contract::schema::{Additional, Bound, Choice, Constant, Kinds, Property, Schema, SchemaId, Text};
use crate::diagnostic::{Diagnostics, codes};
use crate::json::{Decimal, MAX_DEPTH, Tree};
use crate::rules::yaml::{Node, to_json};

/// Keywords that are read, noted as present, and never decided.
const OUTSIDE: &[&str] = &[
    "not",
    "if",
    "then",
    "else",
    "patternProperties",
    "propertyNames",
    "minProperties",
    "maxProperties",
    "contains",
    "minContains",
    "maxContains",
    "prefixItems",
    "additionalItems",
    "dependentRequired",
    "dependentSchemas",
    "dependencies",
    "unevaluatedItems",
    "$dynamicRef",
    "$recursiveRef",
];

/// Reads every part into one schema.
pub(super) fn read<'n>(schemas: &mut Schemas<'n, '_>, started: Schema, parts: &Parts<'n>) -> Schema {
    let mut schema = started;
    let mut members: Vec<(&'n str, &'n Node, Vec<&'n Node>)> = Vec::new();
    let mut required: Vec<&'n str> = Vec::new();
    let mut items: Vec<&'n Node> = Vec::new();
    for node in &parts.nodes {
        if let Some(allowed) = node.as_bool() {
            if !allowed {
                schema.kinds = Kinds::NONE;
            }
            continue;
        }
        let Some(map) = node.as_map() else {
            let message = format!("a schema is a map, found {}", node.describe());
            schemas.diagnostics.error(codes::S1, node.span, message);
            continue;
        };
        read_type(&mut schema, node, schemas.diagnostics);
        for (key, value) in map {
            let Some(key) = key.as_str() else { continue };
            match key {
                "properties" => {
                    for (name, child) in value.as_map().unwrap_or_default() {
                        let Some(text) = name.as_str() else { continue };
                        match members.iter_mut().find(|(known, ..)| *known == text) {
                            Some((.., nodes)) => nodes.push(child),
                            None => members.push((text, name, vec![child])),
                        }
                    }
                    expect_map(value, key, schemas.diagnostics);
                }
                "required" => match value.as_list() {
                    Some(names) => required.extend(names.iter().filter_map(Node::as_str)),
                    None => wrong(value, key, "a list of names", schemas.diagnostics),
                },
                "items" => items.push(value),
                "additionalProperties" | "unevaluatedProperties" => read_additional(&mut schema, value, schemas),
                "oneOf" | "anyOf" => read_alternatives(&mut schema, key, node, value, schemas),
                _ => read_plain(&mut schema, key, value, schemas.diagnostics),
            }
        }
    }
    if !items.is_empty() {
        schema.items = Some(schemas.id_of_all(&items));
    }
    for name in &required {
        if !members.iter().any(|(known, ..)| known == name) {
            // Required but not declared: any value.
            schema.properties.push(Property {
                name: (*name).to_owned(),
                span: schema.span,
                schema: schemas.id_of(&ANYTHING),
                required: true,
            });
        }
    }
    for (name, node, nodes) in members {
        let id: SchemaId = schemas.id_of_all(&nodes);
        let property =
            Property { name: name.to_owned(), span: node.span, schema: id, required: required.contains(&name) };
        schema.properties.push(property);
    }
    if parts.or_null {
        allow_null(&mut schema);
    }
    for bound in [&mut schema.minimum, &mut schema.maximum] {
        // A 3.0 `exclusive…: true` without the bound that it speaks of.
        if bound.as_ref().is_some_and(|bound| bound.text.is_empty()) {
            *bound = None;
        }
    }
    narrow_by_values(&mut schema);
    schema
}

/// A schema that says nothing, for members that are required but not declared.
static ANYTHING: Node = Node {
    span: crate::diagnostic::Span { source: crate::diagnostic::SourceId(u32::MAX), start: 0, end: 0 },
    kind: crate::rules::yaml::Kind::Map(Vec::new()),
};

fn read_type(schema: &mut Schema, node: &Node, diagnostics: &mut Diagnostics) {
    let mut kinds = match node.get("type") {
        None => {
            let says = |key: &str| node.get(key).is_some();
            // Strictly, `properties` alone also allows strings; no author means that.
            if says("enum") || says("const") {
                Kinds::ANY
            } else if says("properties") || says("required") || says("additionalProperties") {
                Kinds::OBJECT
            } else if says("items") {
                Kinds::ARRAY
            } else {
                Kinds::ANY
            }
        }
        Some(node) => {
            let names = node.as_list().unwrap_or(std::slice::from_ref(node));
            let mut kinds = Kinds::NONE;
            for name in names {
                if let Some(kind) = name.as_str().and_then(Kinds::named) {
                    kinds = kinds.with(kind);
                } else {
                    diagnostics
                        .error(codes::S3, name.span, "not a type of JSON Schema")
                        .help("the types are string, number, integer, boolean, array, object and null");
                    kinds = Kinds::ANY;
                }
            }
            kinds
        }
    };
    let nullable = node.get("nullable").and_then(Node::as_bool) == Some(true);
    if nullable {
        kinds = kinds.with(Kinds::NULL);
    }
    schema.kinds = schema.kinds.and(kinds);
    if let Some(list) = node.get("enum") {
        match list.as_list() {
            Some(list) => read_values(schema, list, nullable, diagnostics),
            None => wrong(list, "enum", "a list of values", diagnostics),
        }
    }
    if let Some(value) = node.get("const") {
        read_values(schema, std::slice::from_ref(value), false, diagnostics);
    }
}

fn read_values(schema: &mut Schema, list: &[Node], or_null: bool, diagnostics: &mut Diagnostics) {
    let mut values = Vec::new();
    for node in list {
        match to_json(node) {
            Ok(json) => values.push(Constant { json, span: node.span }),
            Err(error) => {
                diagnostics.error(codes::R4, error.span, error.message).help(error.help);
            }
        }
    }
    if or_null && !values.iter().any(|one| one.json == "null") {
        let span = list.first().map_or(schema.span, |node| node.span);
        values.push(Constant { json: "null".to_owned(), span });
    }
    schema.values = Some(match schema.values.take() {
        None => values,
        Some(before) => before.into_iter().filter(|one| values.iter().any(|other| same(one, other))).collect(),
    });
}

fn same(a: &Constant, b: &Constant) -> bool {
    a.json == b.json
        || match (Tree::parse(a.json.as_bytes(), MAX_DEPTH), Tree::parse(b.json.as_bytes(), MAX_DEPTH)) {
            (Ok(a), Ok(b)) => a.same(&b),
            _ => false,
        }
}

fn allow_null(schema: &mut Schema) {
    schema.kinds = schema.kinds.with(Kinds::NULL);
    if let Some(values) = &mut schema.values
        && !values.iter().any(|one| one.json == "null")
    {
        values.push(Constant { json: "null".to_owned(), span: schema.span });
    }
}

fn narrow_by_values(schema: &mut Schema) {
    if let Some(values) = &mut schema.values {
        let kinds = schema.kinds;
        values.retain(|one| kinds.meets(constant_kind(&one.json)));
        schema.kinds = schema.kinds.and(values.iter().fold(Kinds::NONE, |all, one| all.with(constant_kind(&one.json))));
    }
}

fn read_additional<'n>(schema: &mut Schema, value: &'n Node, schemas: &mut Schemas<'n, '_>) {
    let read = match value.as_bool() {
        Some(false) => Additional::Refused,
        Some(true) => Additional::Map(None),
        None => Additional::Map(Some(schemas.id_of(value))),
    };
    if schema.additional != Additional::Refused {
        schema.additional = read;
    }
}

fn read_alternatives<'n>(
    schema: &mut Schema,
    key: &str,
    node: &'n Node,
    value: &'n Node,
    schemas: &mut Schemas<'n, '_>,
) {
    let Some(list) = value.as_list() else {
        return wrong(value, key, "a list of schemas", schemas.diagnostics);
    };
    let ids: Vec<SchemaId> = list.iter().map(|one| schemas.id_of(one)).collect();
    if key == "oneOf"
        && schema.choice.is_none()
        && let Some(discriminator) = node.get("discriminator")
        && let Some(tag) = discriminator.get("propertyName").and_then(Node::as_str)
    {
        let mut cases = Vec::new();
        for (name, target) in discriminator.get("mapping").and_then(Node::as_map).unwrap_or_default() {
            let (Some(name), Some(text)) = (name.as_str(), target.as_str()) else { continue };
            let id = if text.starts_with('#') {
                schemas.document.target(target, schemas.diagnostics).map(|node| schemas.id_of(node))
            } else {
                let component = schemas.document.root.get("components").and_then(|all| all.get("schemas"));
                component.and_then(|all| all.get(text)).map(|node| schemas.id_of(node))
            };
            cases.extend(id.map(|id| (name.to_owned(), id)));
        }
        for (id, one) in ids.iter().zip(list) {
            let name = one.get("$ref").and_then(Node::as_str).and_then(|text| text.rsplit('/').next());
            if !cases.iter().any(|(_, known)| known == id)
                && let Some(name) = name
            {
                cases.push((name.to_owned(), *id));
            }
        }
        schema.kinds = schema.kinds.and(Kinds::OBJECT.with(Kinds::NULL));
        schema.choice = Some(Choice { tag: tag.to_owned(), cases, span: value.span });
        return;
    }
    schema.outside.push(Text { text: key.to_owned(), span: value.span });
    if schema.alternatives.is_empty() {
        schema.alternatives = ids;
    }
}

fn read_plain(schema: &mut Schema, key: &str, value: &Node, diagnostics: &mut Diagnostics) {
    match key {
        "minimum" | "exclusiveMinimum" | "maximum" | "exclusiveMaximum" => read_bound(schema, key, value, diagnostics),
        "multipleOf" => match number(value) {
            Some((by, _)) if !by.negative && !by.digits.is_empty() => {
                if schema.multiple_of.as_ref().is_some_and(|before| *before != by) {
                    schema.outside.push(Text { text: key.to_owned(), span: value.span });
                }
                schema.multiple_of = Some(by);
            }
            _ => wrong(value, key, "a number above 0", diagnostics),
        },
        "minLength" => raise(&mut schema.length.min, key, value, diagnostics),
        "maxLength" => lower(&mut schema.length.max, key, value, diagnostics),
        "minItems" => raise(&mut schema.count.min, key, value, diagnostics),
        "maxItems" => lower(&mut schema.count.max, key, value, diagnostics),
        "uniqueItems" => schema.unique |= value.as_bool() == Some(true),
        "pattern" => match value.as_str() {
            Some(text) => {
                if schema.pattern.as_ref().is_some_and(|before| before.text != text) {
                    schema.outside.push(Text { text: key.to_owned(), span: value.span });
                }
                schema.pattern = Some(Text { text: text.to_owned(), span: value.span });
            }
            None => wrong(value, key, "a string", diagnostics),
        },
        "format" => read_format(schema, value),
        "readOnly" => schema.read_only |= value.as_bool() == Some(true),
        "writeOnly" => schema.write_only |= value.as_bool() == Some(true),
        _ if OUTSIDE.contains(&key) => schema.outside.push(Text { text: key.to_owned(), span: value.span }),
        _ => {}
    }
}

fn read_bound(schema: &mut Schema, key: &str, value: &Node, diagnostics: &mut Diagnostics) {
    let is_minimum = key.ends_with("inimum");
    let place = if is_minimum { &mut schema.minimum } else { &mut schema.maximum };
    if let Some(flag) = value.as_bool() {
        // OpenAPI 3.0: a boolean beside `minimum`, whichever of the two is written first.
        if flag {
            match place {
                Some(bound) => bound.exclusive = true,
                None => *place = Some(Bound { value: FLAG, exclusive: true, text: String::new() }),
            }
        }
        return;
    }
    let Some((value, text)) = number(value) else {
        return wrong(value, key, "a number", diagnostics);
    };
    let exclusive = key.starts_with("exclusive");
    let bound = Bound { value, exclusive, text };
    match place {
        Some(before) if before.text.is_empty() => *place = Some(Bound { exclusive: true, ..bound }),
        Some(before) => {
            let order = bound.value.compare(&before.value);
            if order.is_eq() {
                before.exclusive |= bound.exclusive;
            } else if order.is_gt() == is_minimum {
                *place = Some(bound);
            }
        }
        None => *place = Some(bound),
    }
}

/// Stands for a minimum that has not been read yet.
const FLAG: Decimal = Decimal { negative: false, digits: Vec::new(), exponent: 0 };

fn read_format(schema: &mut Schema, value: &Node) {
    let Some(text) = value.as_str() else { return };
    let mut limit = |low: &str, high: &str| {
        for (key, text) in [("minimum", low), ("maximum", high)] {
            let node = Node {
                span: value.span,
                kind: crate::rules::yaml::Kind::Scalar { text: text.to_owned(), plain: true },
            };
            read_bound(schema, key, &node, &mut Diagnostics::default());
        }
    };
    match text {
        "int32" => limit("-2147483648", "2147483647"),
        "int64" => limit("-9223372036854775808", "9223372036854775807"),
        _ => {}
    }
    match text {
        "float" | "double" | "password" | "" => {}
        _ => {
            if schema.format.as_ref().is_some_and(|before| before.text != text) {
                schema.outside.push(Text { text: "format".to_owned(), span: value.span });
            }
            schema.format = Some(Text { text: text.to_owned(), span: value.span });
        }
    }
}

fn number(node: &Node) -> Option<(Decimal, String)> {
    let text = node.as_str()?;
    node.as_plain()?;
    Some((Decimal::parse(text)?, text.to_owned()))
}

fn count(key: &str, value: &Node, diagnostics: &mut Diagnostics) -> Option<u64> {
    let read = number(value).filter(|(value, _)| value.is_integer() && !value.negative);
    let count = read.and_then(|(_, text)| text.trim_end_matches(".0").parse().ok());
    if count.is_none() {
        wrong(value, key, "a whole number from 0 up", diagnostics);
    }
    count
}

fn raise(place: &mut u64, key: &str, value: &Node, diagnostics: &mut Diagnostics) {
    if let Some(count) = count(key, value, diagnostics) {
        *place = (*place).max(count);
    }
}

fn lower(place: &mut Option<u64>, key: &str, value: &Node, diagnostics: &mut Diagnostics) {
    if let Some(count) = count(key, value, diagnostics) {
        *place = Some(place.map_or(count, |before| before.min(count)));
    }
}

fn expect_map(value: &Node, key: &str, diagnostics: &mut Diagnostics) {
    if value.as_map().is_none() {
        wrong(value, key, "a map", diagnostics);
    }
}

fn wrong(value: &Node, key: &str, expected: &str, diagnostics: &mut Diagnostics) {
    let message = format!("`{key}` is {expected}, found {}", value.describe());
    diagnostics.error(codes::S3, value.span, message);
}
