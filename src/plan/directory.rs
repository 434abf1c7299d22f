//! Which service answers for a host and path? A named host goes before any host, then the longest path prefix.

use std::borrow::Cow;

use super::ServicePlan;
use super::names::Names;
use crate::path::first_segment;

/// Services by what they answer for.
#[derive(Debug, Default)]
pub(super) struct Directory {
    /// By host, lower-case.
    named: Names<Box<str>, Prefixes>,
    /// Those of any host.
    any: Prefixes,
}

/// Services of one host by path.
#[derive(Debug, Default)]
struct Prefixes {
    /// The one for all paths.
    rest: Option<usize>,
    /// The first one is where paths begin: a trie of whole segments.
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    below: Names<Box<str>, usize>,
    /// The prefix that ends here, by its length, and whose it is.
    service: Option<(usize, usize)>,
}

impl Directory {
    /// Of services, which are then known by their place among them.
    pub(super) fn new<'s>(services: impl Iterator<Item = &'s ServicePlan>) -> Self {
        let mut directory = Self::default();
        for (id, service) in services.enumerate() {
            // A service of channels alone has nobody who could answer, unless its calls become messages.
            let is_silent = service.versions.iter().all(|version| version.upstream.is_none());
            if is_silent && service.publish.is_empty() {
                continue;
            }
            if service.hosts.is_empty() {
                directory.any.add(&service.paths, id);
            }
            for host in &service.hosts {
                let host = host.to_ascii_lowercase().into();
                directory.named.entry(host).or_default().add(&service.paths, id);
            }
        }
        directory
    }

    /// The service for a host (without port, any case) and path.
    pub(super) fn find(&self, host: Option<&str>, path: &str) -> Option<usize> {
        let named = host.and_then(|host| {
            let is_plain = !host.bytes().any(|byte| byte.is_ascii_uppercase());
            let host = if is_plain { Cow::Borrowed(host) } else { Cow::Owned(host.to_ascii_lowercase()) };
            self.named.get(&*host)?.find(path)
        });
        named.or_else(|| self.any.find(path))
    }
}

impl Prefixes {
    fn add(&mut self, paths: &[String], id: usize) {
        if paths.is_empty() {
            self.rest = Some(id);
        }
        for path in paths {
            self.add_path(path, id);
        }
    }

    fn add_path(&mut self, path: &str, id: usize) {
        let mut at = 0;
        if self.nodes.is_empty() {
            self.nodes.push(Node::default());
        }
        for segment in path.trim_end_matches('/').split('/') {
            let fresh = self.nodes.len();
            let Some(node) = self.nodes.get_mut(at) else { return };
            at = *node.below.entry(segment.into()).or_insert(fresh);
            if at == fresh {
                self.nodes.push(Node::default());
            }
        }
        if let Some(node) = self.nodes.get_mut(at) {
            node.service = node.service.max(Some((path.len(), id)));
        }
    }

    fn find(&self, path: &str) -> Option<usize> {
        let (mut at, mut best) = (0, None);
        let mut left = Some(path);
        while let Some(path) = left {
            let (segment, after) = first_segment(path);
            let Some(next) = self.nodes.get(at).and_then(|node| node.below.get(segment)) else { break };
            left = after;
            at = *next;
            best = best.max(self.nodes.get(at).and_then(|node| node.service));
        }
        best.map(|(_, id)| id).or(self.rest)
    }
}
