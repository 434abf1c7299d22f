//! Local references.

use std::collections::HashMap;

use crate::diagnostic::{Diagnostics, codes};
use crate::path::percent;
use crate::rules::yaml::Node;

/// References to references to … this many; real documents have two or three.
const CHAIN: usize = 32;

/// Maps from this many members on are indexed.
const LARGE: usize = 32;

/// The document that references point into.
pub(super) struct Document<'n> {
    pub(super) root: &'n Node,
    /// Whether `$ref` may have siblings that count.
    pub(super) is_31: bool,
    found: HashMap<&'n str, Option<&'n Node>>,
    /// The members of large maps, by the map's address: references mostly lead into one.
    indices: HashMap<usize, HashMap<&'n str, &'n Node>>,
}

impl<'n> Document<'n> {
    pub(super) fn new(root: &'n Node, is_31: bool) -> Self {
        Self { root, is_31, found: HashMap::new(), indices: HashMap::new() }
    }

    /// The node that `$ref` names; `None` where that was reported.
    pub(super) fn target(&mut self, reference: &'n Node, diagnostics: &mut Diagnostics) -> Option<&'n Node> {
        let Some(text) = reference.as_str() else {
            let message = format!("`$ref` is a string, found {}", reference.describe());
            diagnostics.error(codes::S3, reference.span, message).help("for example `#/components/schemas/Order`");
            return None;
        };
        if let Some(known) = self.found.get(text) {
            return *known;
        }
        let target = match text.strip_prefix('#') {
            Some(pointer) => self.follow(pointer),
            None => None,
        };
        if target.is_none() {
            let found = diagnostics.error(codes::S2, reference.span, format!("`{text}` leads nowhere"));
            if text.starts_with('#') {
                found.help("there is no such part in this file");
            } else {
                found.label("not in this file").help(
                    "references into other files or over the network are not followed: bring the part into this file",
                );
            }
        }
        self.found.insert(text, target);
        target
    }

    /// The node itself, or what its chain of `$ref`s ends at. For parts that are not schemas.
    pub(super) fn resolve(&mut self, node: &'n Node, diagnostics: &mut Diagnostics) -> Option<&'n Node> {
        let mut node = node;
        for _ in 0..CHAIN {
            match node.get("$ref") {
                Some(reference) => node = self.target(reference, diagnostics)?,
                None => return Some(node),
            }
        }
        diagnostics.error(codes::S4, node.span, "references lead in a circle");
        None
    }

    /// RFC 6901 in a URI fragment.
    fn follow(&mut self, pointer: &str) -> Option<&'n Node> {
        let pointer = percent::decode(pointer)?;
        if pointer.is_empty() {
            return Some(self.root);
        }
        pointer.strip_prefix('/')?.split('/').try_fold(self.root, |node, token| {
            let token = token.replace("~1", "/").replace("~0", "~");
            match node.as_list() {
                Some(elements) => elements.get(token.parse::<usize>().ok()?),
                None => self.member(node, &token),
            }
        })
    }

    fn member(&mut self, node: &'n Node, name: &str) -> Option<&'n Node> {
        let members = node.as_map()?;
        if members.len() < LARGE {
            return node.get(name);
        }
        let index = self
            .indices
            .entry(std::ptr::from_ref(node) as usize)
            .or_insert_with(|| members.iter().filter_map(|(key, value)| Some((key.as_str()?, value))).collect());
        index.get(name).copied()
    }
}
