//! Rules that are no equation between two places: cases, derived values, unnamed members.

use super::convert::rule;
use super::pattern::Names;
use super::{Parser, keys};
use crate::diagnostic::codes;
use crate::path::Place;
use crate::rules::ast::{Rule, RuleKind, TypeRef};
use crate::rules::mapping::{Case, Derived, From, Mapping, Member, Pattern, Reduce, Rest, Unfit, When};
use crate::rules::yaml::{Node, get};

/// A case for every other document of a type: nothing of it is the case's business.
fn open(case: Case<TypeRef>) -> Case<TypeRef> {
    if case.old == Pattern::Variable(String::new()) && case.new == case.old {
        let any = || Pattern::Object(Vec::new());
        return Case { old: any(), new: any(), ..case };
    }
    case
}

impl Parser<'_> {
    /// `cases: […]`, or `{on: kind = type, cases: {a = b: […]}}`.
    pub(super) fn cases_rule(&mut self, node: &Node) -> Option<Rule> {
        let members = self.members(node, "a rule with cases", &["on", "cases", "loss"])?;
        let loss = self.loss_of(members.get("loss"));
        let cases = members.get("cases")?;
        let cases = match members.get("on") {
            None => self.cases(cases)?.into_iter().map(open).collect(),
            Some(on) => self.discriminated(on, cases)?,
        };
        Some(rule(RuleKind::Mapping(Box::new(Mapping::Cases(cases))), loss, node))
    }

    /// Cases told apart by a member on each side.
    fn discriminated(&mut self, on: &Node, cases: &Node) -> Option<Vec<Case<TypeRef>>> {
        self.text(on, "`on`")?;
        let (olds, news) = self.equation(on)?;
        let ([old], [new]) = (olds.as_slice(), news.as_slice()) else {
            self.shape(on, "`on`", "one place on each side");
            return None;
        };
        if !(old.is_plain() && new.is_plain()) {
            self.diagnostics.error(codes::R8, on.span, "the tag of a case must be a member");
            return None;
        }
        let map = self.map(cases, "`cases`")?;
        let mut made = Vec::new();
        for (tags, rules) in map {
            if tags.as_str() == Some("else") && rules.as_str() == Some("pass") {
                let any = || Pattern::Object(Vec::new());
                made.push(Case { when: When::ALWAYS, old: any(), new: any(), with: Vec::new(), rules: None });
                continue;
            }
            let text = self.text(tags, "a case")?.value;
            let (old_tag, new_tag) = match text.split_once(" = ") {
                Some((old, new)) => (old.trim().to_owned(), new.trim().to_owned()),
                None => (text.clone(), text.clone()),
            };
            let form = |place: &Place, tag: &str| {
                let mut value = String::new();
                crate::rules::yaml::quote(tag, &mut value);
                place.segments.iter().rev().fold(Pattern::Literal(value), |value, name| {
                    Pattern::Object(vec![Member::Named { name: name.clone(), optional: false, value }])
                })
            };
            let rules = self.rules_of_case(rules).ok()?;
            let (old, new) = (form(old, &old_tag), form(new, &new_tag));
            made.push(Case { when: When::ALWAYS, old, new, with: Vec::new(), rules });
        }
        Some(made)
    }

    /// `rest: drop`, `rest: {new: drop}`.
    pub(super) fn rest_rule(&mut self, node: &Node, value: &Node) -> Option<Rule> {
        let is_drop = |node: &Node| node.as_str() == Some("drop");
        let rest = match value.as_map() {
            None if is_drop(value) => Rest { old: true, new: true },
            Some(map) if !map.is_empty() && map.iter().all(|(_, value)| is_drop(value)) => {
                let members = self.members(value, "`rest`", &["old", "new"])?;
                Rest { old: members.get("old").is_some(), new: members.get("new").is_some() }
            }
            _ => {
                self.shape(value, "`rest`", "`drop`, or `{old: drop}` or `{new: drop}`");
                return None;
            }
        };
        let loss = node.get("loss");
        let loss = self.loss_of(loss);
        Some(rule(RuleKind::Mapping(Box::new(Mapping::Rest(rest))), loss, node))
    }

    /// `{added: place, from: …, …}` and `{removed: place, from: …, …}`.
    pub(super) fn derived(&mut self, node: &Node, own: &str, place: Place, is_new: bool) -> Option<Rule> {
        let map = self.map(node, "a rule")?;
        let beside: Vec<&str> = keys::DERIVED.iter().copied().chain([own]).collect();
        let via = self.convert_map(node, map, &beside)?;
        let value = |name: &str| get(map, name);
        let loss = self.loss_of(value("loss"));
        let default = match value("default") {
            None => None,
            Some(node) => Some(self.json(node)?.value),
        };
        let when = value("when").map_or(Some(When::ALWAYS), |node| self.when(node))?;
        let from = match (value("from"), value("reduce")) {
            (None, None) => None,
            (Some(from), None) => Some(self.from(from)?),
            (Some(from), Some(reduce)) => {
                let text = self.text(from, "`from`")?.value;
                let query = self.query(from, &text);
                let separator = value("separator").and_then(Node::as_str).unwrap_or_default();
                let reduce = self.reduce(reduce, separator)?;
                Some(From::Query(query?, reduce))
            }
            (None, Some(reduce)) => {
                self.missing(reduce.span, "`reduce`", "from", "the query whose values become one");
                return None;
            }
        };
        let unfit = value("unfit").map_or(Some(Unfit::Refuse), |node| self.unfit(node))?;
        let derived = Derived { is_new, place, from, via, default, unfit, when };
        Some(rule(RuleKind::Mapping(Box::new(Mapping::Derived(derived))), loss, node))
    }

    /// A place, a text with `{places}` in it, or a structure with `$places`.
    fn from(&mut self, node: &Node) -> Option<From> {
        if let Some(text) = node.as_str()
            && !text.contains(['{', '}'])
        {
            return self.place(node, 0, text.len()).map(From::Place);
        }
        self.pattern(node, Names::Places).map(From::Pattern)
    }

    fn reduce(&mut self, node: &Node, separator: &str) -> Option<Reduce> {
        Some(match node.as_str().unwrap_or_default() {
            "sum" => Reduce::Sum,
            "count" => Reduce::Count,
            "first" => Reduce::First,
            "last" => Reduce::Last,
            "min" => Reduce::Min,
            "max" => Reduce::Max,
            "join" => Reduce::Join(separator.to_owned()),
            "list" => Reduce::List,
            "any" => Reduce::Any,
            _ => {
                let known = "`sum`, `count`, `first`, `last`, `min`, `max`, `join`, `list` or `any`";
                self.shape(node, "`reduce`", known);
                return None;
            }
        })
    }
}
