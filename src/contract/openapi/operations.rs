//! Paths, operations, parameters, bodies.

use super::schemas::Schemas;
use crate::contract::interface::{Body, Carrier, Operation, Parameter, Response};
use crate::diagnostic::codes;
use crate::path::percent;
use crate::path::template::Segment;
use crate::rules::ast::StatusKey;
use crate::rules::yaml::Node;

const METHODS: &[&str] = &["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// Every operation of the document.
pub(super) fn read(schemas: &mut Schemas<'_, '_>) -> Vec<Operation> {
    let mut operations = Vec::new();
    for (path, item) in schemas.map_at(&["paths"]) {
        if path.starts_with("x-") {
            continue;
        }
        let Some(item) = schemas.document.resolve(item, schemas.diagnostics) else { continue };
        let shared = item.get("parameters").map(|list| parameters(schemas, list)).unwrap_or_default();
        for (key, node) in item.as_map().unwrap_or_default() {
            let Some(method) = key.as_str().filter(|key| METHODS.contains(key)) else { continue };
            let mut own = node.get("parameters").map(|list| parameters(schemas, list)).unwrap_or_default();
            for one in &shared {
                // An operation's parameter replaces its path's of the same name and carrier.
                if !own.iter().any(|mine| mine.carrier == one.carrier && mine.name == one.name) {
                    own.push(one.clone());
                }
            }
            operations.push(Operation {
                method: method.to_uppercase(),
                path: segments(path),
                span: key.span,
                parameters: own,
                request: node.get("requestBody").and_then(|body| request_body(schemas, body)),
                responses: node.get("responses").map(|map| responses(schemas, map)).unwrap_or_default(),
            });
        }
    }
    operations
}

fn segments(path: &str) -> Vec<Segment> {
    let path = path.trim_start_matches('/');
    if path.is_empty() {
        return Vec::new();
    }
    path.split('/')
        .map(|text| match text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
            Some(name) => Segment::Param(name.to_owned()),
            None => Segment::Literal(percent::decode(text).unwrap_or_else(|| text.to_owned())),
        })
        .collect()
}

fn parameters<'n>(schemas: &mut Schemas<'n, '_>, list: &'n Node) -> Vec<Parameter> {
    let mut read = Vec::new();
    for node in list.as_list().unwrap_or_default() {
        let Some(node) = schemas.document.resolve(node, schemas.diagnostics) else { continue };
        let carrier = match node.get("in").and_then(Node::as_str) {
            Some("path") => Carrier::Path,
            Some("query") => Carrier::Query,
            Some("header") => Carrier::Header,
            Some("cookie") => Carrier::Cookie,
            _ => {
                let found = schemas.diagnostics.error(codes::S3, node.span, "a parameter without a known `in`");
                found.help("`in` is path, query, header or cookie");
                continue;
            }
        };
        let Some(name) = node.get("name").and_then(Node::as_str) else {
            schemas.diagnostics.error(codes::S3, node.span, "a parameter without `name`");
            continue;
        };
        read.push(parameter(schemas, carrier, name, node));
    }
    read
}

fn parameter<'n>(schemas: &mut Schemas<'n, '_>, carrier: Carrier, name: &str, node: &'n Node) -> Parameter {
    let required = carrier == Carrier::Path || node.get("required").and_then(Node::as_bool) == Some(true);
    let schema = node.get("schema").map(|schema| schemas.id_of(schema));
    Parameter { carrier, name: name.to_owned(), required, schema, span: node.span }
}

fn request_body<'n>(schemas: &mut Schemas<'n, '_>, node: &'n Node) -> Option<Body> {
    let node = schemas.document.resolve(node, schemas.diagnostics)?;
    let required = node.get("required").and_then(Node::as_bool) == Some(true);
    json_body(schemas, node, required)
}

fn responses<'n>(schemas: &mut Schemas<'n, '_>, map: &'n Node) -> Vec<Response> {
    let mut read = Vec::new();
    for (key, node) in map.as_map().unwrap_or_default() {
        let Some(text) = key.as_str().filter(|text| !text.starts_with("x-")) else { continue };
        let Some(status) = status(text) else {
            let found = schemas.diagnostics.error(codes::S3, key.span, format!("`{text}` is not a response status"));
            found.help("write a status such as \"200\", a class such as \"2XX\", or `default`");
            continue;
        };
        let Some(node) = schemas.document.resolve(node, schemas.diagnostics) else { continue };
        let mut headers = Vec::new();
        if let Some(map) = node.get("headers") {
            for (name, header) in schemas.members(map) {
                if let Some(header) = schemas.document.resolve(header, schemas.diagnostics) {
                    headers.push(parameter(schemas, Carrier::Header, name, header));
                }
            }
        }
        read.push(Response { status, body: json_body(schemas, node, true), headers, span: key.span });
    }
    read
}

fn status(text: &str) -> Option<StatusKey> {
    if text == "default" {
        return Some(StatusKey::Default);
    }
    if let Some(class) = text.strip_suffix("XX").or_else(|| text.strip_suffix("xx")) {
        return class.parse().ok().filter(|class| (1..=5).contains(class)).map(StatusKey::Class);
    }
    text.parse().ok().filter(|status| (100..=599).contains(status)).map(StatusKey::Exact)
}

/// The first JSON media type's schema.
fn json_body<'n>(schemas: &mut Schemas<'n, '_>, node: &'n Node, required: bool) -> Option<Body> {
    let content = node.get("content")?;
    let members = schemas.members(content);
    let (_, media) = members.into_iter().find(|(name, _)| is_json(name))?;
    let schema = media.get("schema")?;
    Some(Body { schema: schemas.id_of(schema), required, span: schema.span })
}

fn is_json(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json") || essence == "text/json"
}
