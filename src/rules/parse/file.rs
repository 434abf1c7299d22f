//! `<old>-<new>.yaml`: versions, types and examples.

use std::collections::HashMap;

use super::{Named, Parser, keys, start};
use crate::diagnostic::{Span, codes};
use crate::rules::ast::{Example, RuleFile, Spanned, TypeDecl};
use crate::rules::yaml::Node;

impl Parser<'_> {
    pub(super) fn rule_file(&mut self, node: &Node, named: Named) -> Option<RuleFile> {
        let members = self.members(node, "a rule file", keys::FILE)?;
        let versions = match members.get("versions") {
            Some(list) => self.pair_of_versions(list, &named),
            None => self.named_versions(node, named),
        };
        let strict = members.get("strict").and_then(|node| self.boolean(node, "`strict`")).unwrap_or(false);
        let types = members.get("types").map(|node| self.types(node)).unwrap_or_default();
        let (routes, calls) = members.get("routes").map(|node| self.routes(node)).unwrap_or_default();
        let messages = members.get("messages").map(|node| self.messages(node)).unwrap_or_default();
        let examples = members.get("examples").map(|node| self.examples(node)).unwrap_or_default();
        let (old, new) = versions?;
        Some(RuleFile { old, new, strict, types, routes, calls, messages, examples })
    }

    fn named_versions(&mut self, node: &Node, named: Named) -> Option<(Spanned<String>, Spanned<String>)> {
        let span = start(node.span);
        match named {
            Named::Pair(old, new) => Some((Spanned { value: old, span }, Spanned { value: new, span })),
            Named::Unknown => None,
            Named::Other(candidates) => {
                let choice = match candidates.as_slice() {
                    [] => "<old>-<new>.yaml".to_owned(),
                    some => some.join("` or `"),
                };
                let help = format!("call the file `{choice}`, or write `versions: [old, new]`");
                self.missing(span, "a rule file that is not named after two versions", "versions", &help);
                None
            }
        }
    }

    fn pair_of_versions(&mut self, node: &Node, named: &Named) -> Option<(Spanned<String>, Spanned<String>)> {
        let Some([old, new]) = node.as_list() else {
            self.shape(node, "`versions`", "a list of two, older first");
            return None;
        };
        let (old, new) = (self.text(old, "a version")?, self.text(new, "a version")?);
        if let Named::Pair(file_old, file_new) = named
            && (*file_old != old.value || *file_new != new.value)
        {
            self.diagnostics
                .error(codes::E13, node.span, format!("the file's name says `{file_old}` and `{file_new}`"))
                .help("rename the file or mend `versions`");
            return None;
        }
        Some((old, new))
    }

    fn types(&mut self, node: &Node) -> Vec<TypeDecl> {
        let Some(map) = self.map(node, "`types`") else { return Vec::new() };
        if !self.bounded(map.len(), node.span, "`types`") {
            return Vec::new();
        }
        let mut seen: [HashMap<String, Span>; 2] = [HashMap::new(), HashMap::new()];
        let mut types = Vec::new();
        for (name, value) in map {
            let names = self.type_names(name);
            // A type whose rules cannot be read still exists, so that its uses are not reported as unknown.
            let rules = match value.as_map() {
                // A conversion of the whole value: one rule over it.
                Some(_) => self.whole_rule(name, value).into_iter().collect(),
                None => self.rules(value, "a type").unwrap_or_default(),
            };
            let Some((old, new)) = names else { continue };
            for (known, name, side) in [(0, &old, "old"), (1, &new, "new")] {
                let Some(known) = seen.get_mut(known) else { continue };
                if let Some(before) = known.insert(name.value.clone(), name.span) {
                    self.diagnostics
                        .error(codes::R12, name.span, format!("the {side} type `{}` is declared twice", name.value))
                        .related(before, "first declared here");
                }
            }
            types.push(TypeDecl { old, new, rules });
        }
        types
    }

    /// `Name` or `Old = New`.
    fn type_names(&mut self, node: &Node) -> Option<(Spanned<String>, Spanned<String>)> {
        let text = self.text(node, "a type's name")?.value;
        let mut parts = text.split('=');
        let sides = match (parts.next(), parts.next(), parts.next()) {
            (Some(both), None, _) => (both, both, 0),
            (Some(old), Some(new), None) => (old, new, old.len() + 1),
            _ => {
                self.diagnostics.error(codes::R9, node.span, "expected a type's name or `Old = New`");
                return None;
            }
        };
        let mut name = |part: &str, at: usize| {
            let trimmed = part.trim();
            let from = at + part.len() - part.trim_start().len();
            let span = node.part(from, from + trimmed.len());
            let plain = |one: char| one.is_alphanumeric() || "._-".contains(one);
            if trimmed.is_empty() || !trimmed.chars().all(plain) {
                self.diagnostics
                    .error(codes::R9, span, "not the name of a type")
                    .help("names of types are schema names: letters, digits, `.`, `_` and `-`");
                return None;
            }
            Some(Spanned { value: trimmed.to_owned(), span })
        };
        let (old, new) = (name(sides.0, 0), name(sides.1, sides.2));
        Some((old?, new?))
    }

    fn examples(&mut self, node: &Node) -> Vec<Example> {
        let Some(list) = self.list(node, "`examples`") else { return Vec::new() };
        list.iter().filter_map(|one| self.example(one)).collect()
    }

    fn example(&mut self, node: &Node) -> Option<Example> {
        let members = self.members(node, "an example", keys::EXAMPLE)?;
        let Some(of) = members.get("type") else {
            self.missing(node.span, "an example", "type", "write `{type: Order, old: …, new: …}`");
            return None;
        };
        let of = self.text(of, "`type`")?;
        let mut sound = true;
        let mut document = |key: &str| {
            let node = members.get(key)?;
            let read = self.json(node);
            sound &= read.is_some();
            read
        };
        let (old, new) = (document("old"), document("new"));
        let (back, edit, put) = (document("back"), document("edit"), document("put"));
        if !sound {
            return None;
        }
        let needs = [
            (old.is_none() && new.is_none(), "old` or `new"),
            (edit.is_some() != put.is_some(), if edit.is_some() { "put" } else { "edit" }),
            ((back.is_some() || edit.is_some()) && new.is_none(), "new"),
        ];
        let complete = needs.iter().all(|(missing, _)| !missing);
        if let Some((_, key)) = needs.iter().find(|(missing, _)| *missing) {
            let help = "`new` goes down to `back` (or `old`); `edit` written onto `new` gives `put`";
            self.missing(node.span, "this example", key, help);
        }
        complete.then_some(Example { of, old, new, back, edit, put, span: node.span })
    }
}
