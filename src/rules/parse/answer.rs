//! Who asks and who answers, in `service.yaml`.

use super::{Parser, keys};
use crate::diagnostic::{Span, codes, suggest};
use crate::rules::answer::{
    AnsweredBy, AssignDecl, CertificateName, ConsumerSource, DeprecatedDecl, Key, ListDecl, PinDecl,
};
use crate::rules::ast::Spanned;
use crate::rules::lockstep::Lockstep;
use crate::rules::yaml::{Node, Plain};

/// Weights are shares of their sum, so this is fine enough for any.
const MOST_WEIGHT: u32 = 1_000_000;

impl Parser<'_> {
    /// `v2`, or `{v1: 90, v2: 10}`
    pub(super) fn answered_by(&mut self, node: &Node) -> Option<AnsweredBy> {
        let Some(map) = node.as_map() else { return self.text(node, "`answered_by`").map(AnsweredBy::One) };
        let weights = map.iter().filter_map(|(name, value)| Some((self.text(name, "a version's name")?, value)));
        let weights: Vec<(Spanned<String>, &Node)> = weights.collect();
        // All of them are looked at; of shares that are known in part nothing follows.
        let weights: Vec<_> = weights.into_iter().map(|(name, value)| (name, self.weight(value))).collect();
        let weights = weights.into_iter().map(|(name, weight)| Some((name, weight?))).collect::<Option<_>>()?;
        Some(AnsweredBy::Shares { weights, span: node.span })
    }

    fn weight(&mut self, node: &Node) -> Option<u32> {
        let number = node.as_str().filter(|_| node.as_plain() == Some(Plain::Number));
        let weight = number.and_then(|text| text.parse().ok()).filter(|weight| *weight <= MOST_WEIGHT);
        if weight.is_none() {
            let help = "a version's share is its weight of the sum: `{v1: 90, v2: 10}`, or `{v1: 999, v2: 1}`";
            self.diagnostics
                .error(codes::R6, node.span, format!("a weight must be a whole number from 0 to {MOST_WEIGHT}"))
                .help(help);
        }
        weight
    }

    pub(super) fn fallback(&mut self, node: &Node) -> Option<Span> {
        let text = self.text(node, "`fallback`")?;
        if text.value != "native" {
            let found = format!("`{}` is nothing to fall back to", text.value.escape_debug());
            self.diagnostics
                .error(codes::R14, text.span, found)
                .help("`fallback: native` lets the version's own service answer where another has failed to");
            return None;
        }
        Some(text.span)
    }

    pub(super) fn assign(&mut self, node: &Node) -> Option<AssignDecl> {
        let members = self.members(node, "`assign`", keys::ASSIGN)?;
        let salt = members.get("salt").and_then(|node| self.text(node, "`salt`"));
        let Some(by) = members.get("by") else {
            let help = "say what callers are told apart by: `by: [consumer, cookie.session, path.id]`";
            self.missing(super::start(node.span), "`assign`", "by", help);
            return Some(AssignDecl { by: Vec::new(), salt });
        };
        let by = self.texts(by, "`by`").into_iter().filter_map(|text| self.key(&text)).collect();
        Some(AssignDecl { by, salt })
    }

    fn key(&mut self, text: &Spanned<String>) -> Option<Spanned<Key>> {
        let key = match text.value.split_once('.') {
            Some(("header", name)) if !name.is_empty() => Key::Header(name.to_owned()),
            Some(("cookie", name)) if !name.is_empty() => Key::Cookie(name.to_owned()),
            Some(("path", name)) if !name.is_empty() => Key::Path(name.to_owned()),
            None if text.value == "consumer" => Key::Consumer,
            None if text.value == "request" => Key::Request,
            _ => {
                let help =
                    "write `consumer`, `header.NAME`, `cookie.NAME`, `path.NAME`, or, as the last one, `request`";
                self.unknown_source(text, "way to tell callers apart", keys::ASSIGNED_BY, help);
                return None;
            }
        };
        Some(Spanned { value: key, span: text.span })
    }

    fn unknown_source(&mut self, text: &Spanned<String>, what: &str, known: &[&str], help: &str) {
        let word = text.value.split('.').next().unwrap_or_default();
        let found = format!("unknown {what} `{}`", super::short(&text.value).escape_debug());
        let close = Some(word).filter(|word| !known.contains(word));
        let close = close.and_then(|word| suggest::closest(word, known.iter().copied()));
        let help = close.map_or_else(|| help.to_owned(), |near| format!("did you mean `{near}`? {help}"));
        self.diagnostics.error(codes::R5, text.span, found).help(help);
    }

    pub(super) fn consumer(&mut self, node: &Node) -> Vec<Spanned<ConsumerSource>> {
        let Some(list) = self.list(node, "`consumer`") else { return Vec::new() };
        list.iter().filter_map(|one| self.consumer_source(one)).collect()
    }

    fn consumer_source(&mut self, node: &Node) -> Option<Spanned<ConsumerSource>> {
        if node.as_map().is_some() {
            return self.claim(node);
        }
        let text = self.text(node, "an element of `consumer`")?;
        let certificate = text.value.strip_prefix("certificate.").and_then(|name| {
            CertificateName::ALL.into_iter().find_map(|(word, which)| (word == name).then_some(which))
        });
        if let Some(name) = certificate {
            return Some(Spanned { value: ConsumerSource::Certificate(name), span: text.span });
        }
        let source = match text.value.split_once('.') {
            Some(("header", name)) if !name.is_empty() => ConsumerSource::Header(name.to_owned()),
            Some(("api_key", name)) if !name.is_empty() => ConsumerSource::ApiKey(name.to_owned()),
            _ => {
                let help = "write `header.NAME`, `api_key.NAME`, `certificate.uri`, `certificate.dns`, `certificate.subject`, \
                            or `{claim: azp, verified_by: proxy}`";
                self.unknown_source(&text, "way to name a consumer", keys::CONSUMER, help);
                return None;
            }
        };
        Some(Spanned { value: source, span: text.span })
    }

    /// A token says who it is for, but only whoever has verified it may be believed; the gateway does not.
    fn claim(&mut self, node: &Node) -> Option<Spanned<ConsumerSource>> {
        let members = self.members(node, "an element of `consumer`", keys::CLAIM)?;
        let header = members.get("header").and_then(|node| self.text(node, "`header`"));
        let header = header.map_or_else(|| "Authorization".to_owned(), |text| text.value);
        let verified = members.get("verified_by").and_then(|node| self.text(node, "`verified_by`"));
        let Some(claim) = members.get("claim") else {
            self.missing(super::start(node.span), "a consumer's token", "claim", "for example `claim: azp`");
            return None;
        };
        let claim = self.text(claim, "`claim`")?.value;
        match verified {
            Some(by) if by.value == "proxy" => {}
            Some(by) => {
                self.diagnostics.error(codes::R14, by.span, "not who can verify a token here").help(
                    "`verified_by: proxy`: what stands in front of the gateway refuses tokens that are not valid",
                );
                return None;
            }
            None => {
                let help = "the gateway reads tokens and does not verify them: anybody could write one. Where a proxy in \
                            front refuses all that are not valid, say so with `verified_by: proxy`";
                self.missing(super::start(node.span), "a consumer's token", "verified_by", help);
                return None;
            }
        }
        Some(Spanned { value: ConsumerSource::Claim { claim, header }, span: node.span })
    }

    pub(super) fn pins(&mut self, node: &Node) -> Vec<PinDecl> {
        let Some(map) = self.map(node, "`pins`") else { return Vec::new() };
        if !self.bounded(map.len(), node.span, "`pins`") {
            return Vec::new();
        }
        let pin = |(consumer, version): &(Node, Node)| {
            let consumer = self.text(consumer, "a consumer's name")?;
            Some(PinDecl { consumer, version: self.text(version, "a pinned version")? })
        };
        map.iter().filter_map(pin).collect()
    }

    pub(super) fn lockstep(&mut self, node: &Node) -> Option<Lockstep> {
        let members = self.members(node, "`lockstep`", keys::LOCKSTEP)?;
        let [group, step] = keys::LOCKSTEP else { return None };
        let mut text = |key: &str, help: &str| {
            let Some(node) = members.get(key) else {
                self.missing(super::start(node.span), "`lockstep`", key, help);
                return None;
            };
            self.text(node, &format!("`{key}`"))
        };
        let group = text(group, "the name that the services which change together have in common: `group: checkout`");
        let step = text(step, "the change that this is, the same in all of them: `step: 7`");
        Some(Lockstep { group: group?.value, step: step?.value, span: node.span })
    }

    pub(super) fn consumers(&mut self, node: &Node) -> Option<ListDecl> {
        let members = self.members(node, "`consumers`", keys::CONSUMERS)?;
        let allow = members.get("allow").map(|node| self.texts(node, "`allow`"));
        let deny = members.get("deny").map(|node| self.texts(node, "`deny`"));
        if allow.is_none() && deny.is_none() {
            let help = "write `consumers: {allow: [acme]}` or `consumers: {deny: [acme]}`";
            self.missing(super::start(node.span), "`consumers`", "allow", help);
            return None;
        }
        Some(ListDecl { allow, deny, span: node.span })
    }

    pub(super) fn deprecated(&mut self, node: &Node) -> Option<DeprecatedDecl> {
        let members = self.members(node, "`deprecated`", keys::DEPRECATED)?;
        let sunset = members.get("sunset").and_then(|node| self.text(node, "`sunset`"));
        let link = members.get("link").and_then(|node| self.text(node, "`link`"));
        let gone = members.get("gone").and_then(|node| Some((self.boolean(node, "`gone`")?, node.span)));
        let Some(at) = members.get("at") else {
            let help = "say since when, or from when on: `at: 2026-03-01`";
            self.missing(super::start(node.span), "`deprecated`", "at", help);
            return None;
        };
        let at = self.text(at, "`at`")?;
        Some(DeprecatedDecl { at, sunset, link, gone: gone.and_then(|(gone, span)| gone.then_some(span)) })
    }
}
