//! `POST /old: {calls: {name: {call: METHOD /path, …}}, 200: […]}`.

use std::time::Duration;

use super::route::RouteBody;
use super::{Parser, keys, short};
use crate::diagnostic::codes;
use crate::path::query::Query;
use crate::path::template::Template;
use crate::path::{Place, parse_place};
use crate::rules::ast::{MessageRules, Rule, RuleKind, Spanned};
use crate::rules::calls::{CallDecl, CallsDecl, How, Target, is_single};
use crate::rules::mapping::{Mapping, Rest, header_at};
use crate::rules::yaml::{Kind, Node};

/// Keys of a route with calls that other routes do not have.
const OWN: [&str; 3] = ["calls", "when", "loss"];

impl Parser<'_> {
    /// A route with `calls`.
    pub(super) fn calls_route(&mut self, line: &Node, value: &Node) -> Option<CallsDecl> {
        let text = self.text(line, "a route")?.value;
        let old = if text.contains(" = ") {
            self.diagnostics
                .error(codes::R10, line.span, "a route with `calls` has an old side only")
                .help("write the old call alone; what it becomes stands under `calls`");
            None
        } else {
            self.template(line, &text)
        };
        let map = value.as_map()?;
        let (own, others): (Vec<_>, Vec<_>) =
            map.iter().partition(|(key, _)| OWN.contains(&key.as_str().unwrap_or_default()));
        let get = |name: &str| own.iter().find(|(key, _)| key.as_str() == Some(name)).map(|(_, value)| value);
        let others: Vec<_> = others.into_iter().cloned().collect();
        for (key, _) in others.iter().filter(|(key, _)| matches!(key.as_str(), Some("request" | "write"))) {
            let name = key.as_str().unwrap_or_default();
            let found =
                self.diagnostics.error(codes::R5, key.span, format!("unknown key `{name}` in a route with `calls`"));
            found.help(if name == "request" { "each call has a `request` of its own" } else { "leave it out" });
        }
        let calls = get("calls").and_then(|node| self.calls(node));
        let when = get("when").map_or(Some(None), |node| self.condition_of(node).map(Some));
        let loss = self.loss_of(get("loss"));
        let mut body = RouteBody::default();
        self.route_body(&Node { span: value.span, kind: Kind::Map(others) }, &mut body);
        let rules = body.responses.iter_mut().map(|(_, rules)| rules);
        rules.chain(body.mapped.iter_mut().filter_map(|one| one.rules.as_mut())).for_each(one_way);
        let RouteBody { responses, mapped, .. } = body;
        Some(CallsDecl { old: old?, when: when?, loss, calls: calls?, responses, mapped, span: line.span })
    }

    fn calls(&mut self, node: &Node) -> Option<Vec<CallDecl>> {
        let map = self.map(node, "`calls`")?;
        if map.is_empty() {
            self.diagnostics
                .error(codes::R6, node.span, "`calls` must not be empty")
                .help("`calls: {name: GET /v2/…}`");
            return None;
        }
        self.bounded(map.len(), node.span, "`calls`").then_some(())?;
        let calls: Vec<Option<CallDecl>> = map.iter().map(|(name, value)| self.call(name, value)).collect();
        calls.into_iter().collect()
    }

    fn call(&mut self, name: &Node, node: &Node) -> Option<CallDecl> {
        let name = self.text(name, "a call's name")?;
        let plain = |one: char| one.is_alphanumeric() || one == '_';
        if !name.value.chars().all(plain) || name.value.starts_with(|one: char| one.is_ascii_digit()) {
            let message = format!("`{}` cannot name a call", short(&name.value));
            self.diagnostics.error(codes::E12, name.span, message).help("letters, digits and `_`, a letter first");
            return None;
        }
        if node.as_str().is_some() {
            let target = self.target(node)?;
            return Some(CallDecl { name, target, request: None, how: How::default() });
        }
        let members = self.members(node, "a call", keys::CALL)?;
        let Some(target) = members.get("call") else {
            self.missing(node.span, "a call", "call", "the method and path: `call: GET /v2/orders/{id}`");
            return None;
        };
        let target = self.target(target);
        let mut request = match members.get("request") {
            None => None,
            Some(node) => Some(self.message(node)?),
        };
        request.iter_mut().for_each(one_way);
        let each = members.get("each").map_or(Some(None), |node| self.each_place(node).map(Some));
        let when = members.get("when").map_or(Some(None), |node| self.condition_of(node).map(Some));
        let stop = members.get("stop").map_or(Some(None), |node| self.condition_of(node).map(Some));
        let partial = members.get("partial").map_or(Some(None), |node| self.partial(node).map(Some));
        let timeout = members.get("timeout").map_or(Some(None), |node| self.timeout(node).map(Some));
        let optional = members.get("optional").map_or(Some(false), |node| self.boolean(node, "`optional`"));
        let partial = partial?;
        let optional = optional? || partial.is_some();
        let how = How { each: each?, when: when?, stop: stop?, optional, partial, timeout: timeout? };
        Some(CallDecl { name, target: target?, request, how })
    }

    /// A condition on a document.
    fn condition_of(&mut self, node: &Node) -> Option<Query> {
        let text = self.text(node, "a condition")?.value;
        self.when(node).and_then(|when| when.old).filter(|_| !text.is_empty())
    }

    fn each_place(&mut self, node: &Node) -> Option<Place> {
        let place = node.as_str().and_then(|text| parse_place(text, node.span).ok());
        let place = place.filter(is_single);
        if place.is_none() {
            self.diagnostics
                .error(codes::E12, node.span, "`each` is the place of a list")
                .help("one place of the request or of an earlier answer: `each: body.ids`");
        }
        place.map(plain_header)
    }

    fn partial(&mut self, node: &Node) -> Option<String> {
        if node.as_map().is_none() {
            self.shape(node, "`partial`", "the answer that stands in: `{body: {state: unknown}}`");
            return None;
        }
        self.members(node, "`partial`", &["status", "header", "body"])?;
        self.json(node).map(|json| json.value)
    }

    fn timeout(&mut self, node: &Node) -> Option<Duration> {
        let text = self.text(node, "`timeout`")?.value;
        let time = parse_time(&text);
        if time.is_none() {
            self.shape(node, "`timeout`", "a time such as `500ms`, `2s` or `1m`");
        }
        time
    }

    /// `METHOD /path/{param}/{place.of.an.answer}` or `METHOD {place}`.
    fn target(&mut self, node: &Node) -> Option<Target> {
        let text = self.text(node, "a call")?.value;
        let (method, path) = text.split_once(' ').unwrap_or((&text, ""));
        let whole = path.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        if let Some(inner) = whole.filter(|inner| !inner.contains(['{', '}'])) {
            let address = self.value_place(node, inner)?;
            let template = self.template(node, &format!("{method} /"))?;
            return Some(Target { template, given: Vec::new(), address: Some(address) });
        }
        let (mut written, mut given, mut rest) = (String::new(), Vec::new(), text.as_str());
        while let Some((before, inside)) = rest.split_once('{') {
            let Some((inner, after)) = inside.split_once('}') else { break };
            written.push_str(before);
            if inner == "item" || inner.contains(['.', '[']) && !inner.ends_with("...") {
                let name = format!("-{}", given.len());
                written.extend(["{", &name, "}"]);
                given.push((name, self.value_place(node, inner)?));
            } else {
                written.extend(["{", inner, "}"]);
            }
            rest = after;
        }
        written.push_str(rest);
        let template = self.template(node, &written)?;
        Some(Target { template, given, address: None })
    }

    fn template(&mut self, node: &Node, text: &str) -> Option<Template> {
        match Template::parse(text.trim(), node.span) {
            Ok(template) => Some(template),
            Err(error) => {
                self.path_error(codes::R10, &error, node.span);
                None
            }
        }
    }

    /// The place of one value.
    fn value_place(&mut self, node: &Node, text: &str) -> Option<Place> {
        let place = self.place_of(node, text)?;
        if is_single(&place) {
            return Some(plain_header(place));
        }
        self.diagnostics.error(codes::R8, node.span, format!("`{}` is not the place of one value", short(text)));
        None
    }
}

/// Names of headers have no case; documents have them in lower case.
fn plain_header(mut place: Place) -> Place {
    let name = header_at(&place.segments).and_then(|at| place.segments.get_mut(at + 1));
    if let Some(name) = name {
        name.make_ascii_lowercase();
    }
    place
}

/// Such rules are read in one direction: nothing comes back that could be lost. And of the source only that goes on which
/// a rule names: it is the source of several messages, each of which takes its part.
fn one_way(message: &mut MessageRules) {
    let span = message.span;
    for rule in &mut message.rules {
        rule.loss.get_or_insert_with(|| Spanned { value: "one way".to_owned(), span });
    }
    let kind = RuleKind::Mapping(Box::new(Mapping::Rest(Rest { old: true, new: true })));
    message.rules.push(Rule { kind, loss: None, span });
}

/// `500ms`, `2s`, `1m`.
pub(super) fn parse_time(text: &str) -> Option<Duration> {
    let digits = text.trim().trim_end_matches(|one: char| one.is_ascii_alphabetic());
    let number: u64 = digits.parse().ok()?;
    let time = match text.trim().get(digits.len()..)? {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.checked_mul(60)?),
        _ => return None,
    };
    (!time.is_zero() && time <= Duration::from_secs(3600)).then_some(time)
}
