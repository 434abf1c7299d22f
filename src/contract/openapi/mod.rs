//! Reading OpenAPI 3.0 and 3.1 documents.
//!
//! Only local references (`#/…`) are followed. Recursion of schemas becomes a cycle of indices, never a deep call:
//! schemas wait in a queue until they are read.

mod keywords;
mod operations;
mod refs;
mod schemas;

use std::collections::BTreeMap;

use super::interface::{Interface, Operations};
use crate::diagnostic::{Diagnostics, codes};
use crate::rules::yaml::Node;

use refs::Document;
use schemas::Schemas;

/// Reads one version's document. `None` where it is no such document; what was wrong is in `diagnostics`.
///
/// An interface may come together with errors, so that later stages can report theirs in the same run.
pub fn parse_interface(version: &str, root: &Node, diagnostics: &mut Diagnostics) -> Option<Interface> {
    let stated = root.get("openapi");
    let text = stated.and_then(Node::as_str).unwrap_or_default();
    let is_31 = text.starts_with("3.1.") || text == "3.1";
    if !is_31 && !text.starts_with("3.0.") && text != "3.0" {
        let span = stated.or_else(|| root.get("swagger")).map_or(root.span, |node| node.span);
        diagnostics
            .error(codes::S1, span, "not an OpenAPI 3.0 or 3.1 document")
            .help("the document begins with `openapi: 3.0.x` or `openapi: 3.1.x`");
        return None;
    }
    let document = Document::new(root, is_31);
    let mut schemas = Schemas::new(document, diagnostics);
    let mut components = BTreeMap::new();
    for (name, node) in schemas.map_at(&["components", "schemas"]) {
        schemas.name(name, node);
    }
    for (name, node) in schemas.map_at(&["components", "schemas"]) {
        let id = schemas.id_of(node);
        components.insert(name.to_owned(), id);
    }
    let operations = Operations::new(operations::read(&mut schemas));
    schemas.finish();
    Some(Interface {
        version: version.to_owned(),
        span: root.span,
        schemas: schemas.into_arena(),
        components,
        operations,
    })
}
