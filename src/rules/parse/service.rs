//! `service.yaml`.

use super::{Parser, keys};
use crate::diagnostic::{codes, suggest};
use crate::rules::ast::{Negotiator, ServiceFile, Spanned, VersionDecl};
use crate::rules::yaml::Node;

/// The header that names a version where `negotiate:` says nothing.
pub(super) const VERSION_HEADER: &str = "API-Version";

impl Parser<'_> {
    pub(super) fn service(&mut self, node: &Node) -> Option<ServiceFile> {
        let members = self.members(node, "service.yaml", keys::SERVICE)?;
        let (mut hosts, mut paths) = (Vec::new(), Vec::new());
        if let Some(node) = members.get("match")
            && let Some(members) = self.members(node, "`match`", keys::MATCH)
        {
            hosts = members.get("hosts").map(|node| self.texts(node, "`hosts`")).unwrap_or_default();
            paths = members.get("paths").map(|node| self.texts(node, "`paths`")).unwrap_or_default();
        }
        let negotiate = match members.get("negotiate") {
            Some(list) => self.negotiators(list),
            None => [Negotiator::Path, Negotiator::Header(VERSION_HEADER.to_owned())]
                .map(|value| Spanned { value, span: node.span })
                .into(),
        };
        let default = members.get("default").and_then(|node| self.text(node, "`default`"));
        let answer_header = members.get("answer_header").and_then(|node| self.text(node, "`answer_header`"));
        let assign = members.get("assign").and_then(|node| self.assign(node));
        let consumer = members.get("consumer").map(|node| self.consumer(node));
        let pins = members.get("pins").map(|node| self.pins(node)).unwrap_or_default();
        let lockstep = members.get("lockstep").and_then(|node| self.lockstep(node));
        let idempotency = members.get("idempotency").and_then(|node| self.idempotency(node));
        let operations = members.get("async").and_then(|node| self.operations(node));
        let channels = members.get("channels").map(|node| self.channels(node)).unwrap_or_default();
        let publish = members.get("publish").map(|node| self.publishes(node)).unwrap_or_default();
        let Some(versions) = members.get("versions") else {
            let help = "list the versions, oldest first: `versions: {v1: {upstream: …}, v2: {…}}`";
            self.missing(super::start(node.span), "service.yaml", "versions", help);
            return None;
        };
        let versions = self.versions(versions)?;
        Some(ServiceFile {
            hosts,
            paths,
            versions,
            negotiate,
            default,
            answer_header,
            assign,
            consumer,
            pins,
            lockstep,
            idempotency,
            operations,
            channels,
            publish,
            span: node.span,
        })
    }

    fn versions(&mut self, node: &Node) -> Option<Vec<VersionDecl>> {
        let map = self.map(node, "`versions`")?;
        if map.is_empty() {
            self.diagnostics.error(codes::R6, node.span, "`versions` must name at least one version");
            return None;
        }
        // Chains of versions are walked pairwise; nobody keeps a hundred versions alive.
        if map.len() > 100 {
            let count = map.len();
            self.diagnostics.error(codes::E15, super::start(node.span), format!("{count} versions, the limit is 100"));
            return None;
        }
        Some(map.iter().filter_map(|(name, value)| self.version(name, value)).collect())
    }

    fn version(&mut self, name: &Node, value: &Node) -> Option<VersionDecl> {
        let name = self.text(name, "a version's name")?;
        let mut version = VersionDecl {
            name,
            aliases: Vec::new(),
            upstream: None,
            answered_by: None,
            fallback: None,
            consumers: None,
            deprecated: None,
            path: None,
            openapi: None,
        };
        if value.is_null() {
            return Some(version);
        }
        // A version whose entry has the wrong shape still exists: nothing else should be reported for its absence.
        let Some(members) = self.members(value, "a version", keys::VERSION) else { return Some(version) };
        let mut text = |key: &str| members.get(key).and_then(|node| self.text(node, &format!("`{key}`")));
        version.path = text("path");
        version.openapi = text("openapi");
        version.upstream = members.get("upstream").and_then(|node| self.upstream(node));
        version.aliases = members.get("names").map(|node| self.texts(node, "`names`")).unwrap_or_default();
        version.answered_by = members.get("answered_by").and_then(|node| self.answered_by(node));
        version.fallback = members.get("fallback").and_then(|node| self.fallback(node));
        version.consumers = members.get("consumers").and_then(|node| self.consumers(node));
        version.deprecated = members.get("deprecated").and_then(|node| self.deprecated(node));
        Some(version)
    }

    pub(super) fn texts(&mut self, node: &Node, what: &str) -> Vec<Spanned<String>> {
        let Some(list) = self.list(node, what) else { return Vec::new() };
        list.iter().filter_map(|one| self.text(one, &format!("an element of {what}"))).collect()
    }

    fn negotiators(&mut self, node: &Node) -> Vec<Spanned<Negotiator>> {
        let Some(list) = self.list(node, "`negotiate`") else { return Vec::new() };
        list.iter().filter_map(|one| self.negotiator(one)).collect()
    }

    fn negotiator(&mut self, node: &Node) -> Option<Spanned<Negotiator>> {
        let spanned = |value| Some(Spanned { value, span: node.span });
        let (key, value) = match node.as_map() {
            Some([(key, value)]) => (key, Some(value)),
            Some(_) => {
                self.shape(node, "an element of `negotiate`", "one of its own, such as `{header: API-Version}`");
                return None;
            }
            None => (node, None),
        };
        let name = self.text(key, "an element of `negotiate`")?.value;
        let argument = |parser: &mut Self| {
            if let Some(value) = value {
                return parser.text(value, &format!("`{name}`")).map(|text| text.value);
            }
            let help = format!("write `{{{name}: NAME}}`");
            parser.diagnostics.error(codes::R7, key.span, format!("`{name}` needs a name")).help(help);
            None
        };
        match name.as_str() {
            "path" if value.is_none() => spanned(Negotiator::Path),
            "path" => {
                self.diagnostics
                    .error(codes::R6, node.span, "`path` takes no argument here")
                    .help("each version says its own prefix: `v1: {path: /v1}`");
                None
            }
            "header" => spanned(Negotiator::Header(argument(self)?)),
            "query" => spanned(Negotiator::Query(argument(self)?)),
            "media_type" => spanned(Negotiator::MediaType(argument(self)?)),
            other => {
                let found = self.diagnostics.error(codes::R5, key.span, format!("unknown way to negotiate `{other}`"));
                if let Some(help) = suggest::help(other, keys::NEGOTIATORS.iter().copied()) {
                    found.help(help);
                }
                None
            }
        }
    }
}
