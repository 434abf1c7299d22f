//! `idempotency:` and `async:` in `service.yaml`.

use super::{Parser, keys};
use crate::diagnostic::codes;
use crate::path::template::Template;
use crate::rules::ast::Spanned;
use crate::rules::asynchronous::{IdempotencyDecl, OperationsDecl};
use crate::rules::yaml::Node;

/// Entries that a store keeps for one service, at most.
const MOST: u64 = 10_000_000;

impl Parser<'_> {
    pub(super) fn idempotency(&mut self, node: &Node) -> Option<IdempotencyDecl> {
        let members = self.members(node, "`idempotency`", keys::IDEMPOTENCY)?;
        let mut flag = |key: &str, usual: bool| {
            members.get(key).and_then(|node| self.boolean(node, &format!("`{key}`"))).unwrap_or(usual)
        };
        let (required, keep_errors) = (flag("required", false), flag("keep_errors", true));
        let choices = [("refuse", false), ("repeat", true)];
        let interrupted = members.get("interrupted").and_then(|node| self.word(node, "`interrupted`", &choices));
        Some(IdempotencyDecl {
            required,
            methods: members.get("methods").map(|node| self.texts(node, "`methods`")).unwrap_or_default(),
            routes: members.get("routes").map(|node| self.requests(node)).unwrap_or_default(),
            keep: members.get("keep").and_then(|node| self.duration(node, "`keep`")),
            most: members.get("most").and_then(|node| self.count(node, "`most`", MOST)),
            keep_errors,
            repeat: interrupted.is_some_and(|choice| choice.value),
        })
    }

    pub(super) fn operations(&mut self, node: &Node) -> Option<OperationsDecl> {
        let members = self.members(node, "`async`", keys::ASYNC)?;
        let mut decl = OperationsDecl {
            path: members.get("path").and_then(|node| self.text(node, "`path`")),
            routes: members.get("routes").map(|node| self.requests(node)).unwrap_or_default(),
            keep: None,
            timeout: None,
            most: members.get("most").and_then(|node| self.count(node, "`most`", MOST)),
            at_once: members.get("at_once").and_then(|node| self.count(node, "`at_once`", 10_000)),
            span: node.span,
        };
        if members.get("path").is_none() {
            let help = "say where callers ask for their operations: `path: /operations`";
            self.missing(super::start(node.span), "`async`", "path", help);
        }
        let mut time = |key: &str| members.get(key).and_then(|node| self.duration(node, &format!("`{key}`")));
        (decl.keep, decl.timeout) = (time("keep"), time("timeout"));
        Some(decl)
    }

    /// `[POST /v2/reports]`
    fn requests(&mut self, node: &Node) -> Vec<Template> {
        let texts: Vec<Spanned<String>> = self.texts(node, "`routes`");
        let read = |text: Spanned<String>| match Template::parse(&text.value, text.span) {
            Ok(template) => Some(template),
            Err(error) => {
                self.path_error(codes::R10, &error, text.span);
                None
            }
        };
        texts.into_iter().filter_map(read).collect()
    }
}
