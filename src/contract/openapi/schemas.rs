//! Schemas as conjunctions: `allOf` and references are flattened to the list of nodes that must all hold.

use std::collections::{HashMap, HashSet};

use super::keywords;
use super::refs::Document;
use crate::contract::schema::{Schema, SchemaId};
use crate::diagnostic::{Diagnostics, Span, codes};
use crate::rules::yaml::Node;

/// Schemas of one document; beyond this it is refused.
const LIMIT: usize = 100_000;
/// Nodes visited for them; conjunctions of conjunctions could ask for any number.
const WORK: usize = 1_000_000;
/// Nesting of `allOf` and references; beyond this it is refused.
const DEPTH: usize = 48;

/// Keywords that say nothing about values.
const ANNOTATIONS: &[&str] = &[
    "$ref",
    "allOf",
    "title",
    "description",
    "summary",
    "example",
    "examples",
    "deprecated",
    "externalDocs",
    "xml",
    "default",
    "$comment",
    "$id",
    "$anchor",
    "$schema",
    "$defs",
    "definitions",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
];

/// Nodes that must all hold, and whether `null` is allowed beside them.
#[derive(Default)]
pub(super) struct Parts<'n> {
    pub(super) nodes: Vec<&'n Node>,
    pub(super) or_null: bool,
}

/// The schemas of one document while it is read.
pub(super) struct Schemas<'n, 'd> {
    pub(super) document: Document<'n>,
    pub(super) diagnostics: &'d mut Diagnostics,
    arena: Vec<Schema>,
    /// By the addresses of the nodes that make it up.
    ids: HashMap<(Vec<usize>, bool), SchemaId>,
    names: HashMap<usize, &'n str>,
    queue: Vec<(SchemaId, Parts<'n>)>,
    visited: usize,
    is_full: bool,
}

fn address(node: &Node) -> usize {
    std::ptr::from_ref(node) as usize
}

impl<'n, 'd> Schemas<'n, 'd> {
    pub(super) fn new(document: Document<'n>, diagnostics: &'d mut Diagnostics) -> Self {
        Self {
            document,
            diagnostics,
            arena: Vec::new(),
            ids: HashMap::new(),
            names: HashMap::new(),
            queue: Vec::new(),
            visited: 0,
            is_full: false,
        }
    }

    /// The members of the map at a path from the root; nothing where there is none.
    pub(super) fn map_at(&mut self, path: &[&str]) -> Vec<(&'n str, &'n Node)> {
        let Some(node) = path.iter().try_fold(self.document.root, |node, key| node.get(key)) else {
            return Vec::new();
        };
        self.members(node)
    }

    /// The members of a map; reports what is not one. Extensions (`x-…`) are left out.
    pub(super) fn members(&mut self, node: &'n Node) -> Vec<(&'n str, &'n Node)> {
        match node.as_map() {
            Some(members) => members.iter().filter_map(|(key, value)| Some((key.as_str()?, value))).collect(),
            None if node.is_null() => Vec::new(),
            None => {
                let message = format!("expected a map, found {}", node.describe());
                self.diagnostics.error(codes::S1, node.span, message);
                Vec::new()
            }
        }
    }

    /// Remembers that this node is a component.
    pub(super) fn name(&mut self, name: &'n str, node: &'n Node) {
        self.names.insert(address(node), name);
    }

    /// The schema of a node; read later if it is new.
    pub(super) fn id_of(&mut self, node: &'n Node) -> SchemaId {
        self.id_of_all(&[node])
    }

    /// The schema of several nodes that must all hold.
    pub(super) fn id_of_all(&mut self, nodes: &[&'n Node]) -> SchemaId {
        let mut parts = Parts::default();
        let mut seen = HashSet::new();
        for node in nodes {
            self.expand(node, &mut parts, &mut seen, 0);
        }
        if parts.nodes.is_empty() {
            parts.nodes.extend(nodes.first());
        }
        self.id_of_parts(parts, nodes.first().map(|node| node.span))
    }

    fn id_of_parts(&mut self, parts: Parts<'n>, span: Option<Span>) -> SchemaId {
        let key = (parts.nodes.iter().map(|node| address(node)).collect(), parts.or_null);
        if let Some(known) = self.ids.get(&key) {
            return *known;
        }
        let span = parts.nodes.first().map(|node| node.span).or(span).unwrap_or(self.document.root.span);
        let (schemas, visited) = (self.arena.len(), self.visited);
        if (schemas >= LIMIT || visited >= WORK) && !self.is_full {
            self.is_full = true;
            self.diagnostics
                .error(codes::E15, span, format!("the schemas of this document combine to more than {schemas}"))
                .help("reading stopped here: write fewer, or combine fewer by `allOf`");
        }
        let id = SchemaId(self.arena.len());
        self.ids.insert(key, id);
        let mut schema = Schema::anything(span);
        if let [node] = parts.nodes.as_slice()
            && !parts.or_null
        {
            schema.component = self.names.get(&address(node)).map(|&name| name.to_owned());
        }
        self.arena.push(schema);
        if !self.is_full {
            self.queue.push((id, parts));
        }
        id
    }

    /// Follows references and `allOf`, bounded.
    fn expand(&mut self, node: &'n Node, parts: &mut Parts<'n>, seen: &mut HashSet<usize>, depth: usize) {
        self.visited += 1;
        if self.is_full {
            return;
        }
        if depth > DEPTH {
            self.diagnostics.error(codes::S4, node.span, "references or `allOf` nested too deep");
            return;
        }
        if !seen.insert(address(node)) {
            return;
        }
        if let Some(inner) = or_null(node) {
            parts.or_null = true;
            self.expand(inner, parts, seen, depth + 1);
            return;
        }
        let reference = node.get("$ref");
        let all = node.get("allOf");
        if let Some(reference) = reference
            && let Some(target) = self.document.target(reference, self.diagnostics)
        {
            if seen.contains(&address(target)) {
                self.diagnostics.error(codes::S4, reference.span, "references lead in a circle");
                return;
            }
            self.expand(target, parts, seen, depth + 1);
        }
        match all.map(|all| (all, all.as_list())) {
            Some((_, Some(members))) => {
                for member in members {
                    self.expand(member, parts, seen, depth + 1);
                }
            }
            Some((all, None)) => {
                let message = format!("`allOf` is a list of schemas, found {}", all.describe());
                self.diagnostics.error(codes::S3, all.span, message);
            }
            None => {}
        }
        let indirect = reference.is_some() || all.is_some();
        let mut rest = node.as_map().unwrap_or_default().iter().filter_map(|(key, value)| Some((key.as_str()?, value)));
        let mut says_more = false;
        for (key, value) in &mut rest {
            if ANNOTATIONS.contains(&key) || key.starts_with("x-") {
                continue;
            }
            if indirect && key == "nullable" {
                // Strictly without effect beside a reference (OAS 3.0.3), but always meant.
                parts.or_null |= value.as_bool() == Some(true);
                continue;
            }
            says_more = true;
        }
        let siblings_count = reference.is_none() || self.document.is_31;
        if !indirect || (says_more && siblings_count) {
            parts.nodes.push(node);
        }
    }

    /// Reads what waits, until nothing does.
    pub(super) fn finish(&mut self) {
        while let Some((id, parts)) = self.queue.pop() {
            if self.is_full {
                return;
            }
            let Some(started) = self.arena.get(id.0).cloned() else { continue };
            let or_null = parts.or_null;
            let but_for_null = or_null.then(|| {
                let inner = Parts { nodes: parts.nodes.clone(), or_null: false };
                self.id_of_parts(inner, None)
            });
            let mut schema = keywords::read(self, started, &parts);
            schema.but_for_null = but_for_null;
            if let Some(place) = self.arena.get_mut(id.0) {
                *place = schema;
            }
        }
    }

    pub(super) fn into_arena(self) -> Vec<Schema> {
        self.arena
    }
}

/// `oneOf`/`anyOf` of one schema and `null`: the schema.
fn or_null(node: &Node) -> Option<&Node> {
    let members = node.as_map()?;
    let mut telling = members
        .iter()
        .filter(|(key, _)| key.as_str().is_some_and(|key| !ANNOTATIONS.contains(&key) && !key.starts_with("x-")));
    let (key, value) = telling.next()?;
    if telling.next().is_some() || !matches!(key.as_str(), Some("oneOf" | "anyOf")) || node.get("$ref").is_some() {
        return None;
    }
    let is_null = |one: &Node| {
        one.get("type").and_then(Node::as_str) == Some("null") && one.as_map().is_some_and(|all| all.len() == 1)
    };
    match value.as_list()? {
        [one, null] if is_null(null) && !is_null(one) => Some(one),
        [null, one] if is_null(null) && !is_null(one) => Some(one),
        _ => None,
    }
}
