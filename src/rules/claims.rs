//! Who answers for which requests: no two services for the same host and path prefix.

use std::collections::HashMap;

use super::checked::CheckedService;

/// The hosts and path prefixes that services have taken.
#[derive(Debug, Default)]
pub struct Claims {
    services: Vec<String>,
    /// By host and path prefix, empty for any: whose it is, and which of its claims.
    taken: HashMap<(String, String), (usize, usize)>,
}

/// What two services both want.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Clash<'c> {
    /// Who has it already.
    pub(super) holder: &'c str,
    /// Empty: any.
    pub(super) host: String,
    /// Empty: any.
    pub(super) path: String,
}

impl Claims {
    /// Those of services that do not collide.
    pub fn of<'s>(services: impl IntoIterator<Item = &'s CheckedService>) -> Self {
        let mut claims = Self::default();
        services.into_iter().for_each(|service| claims.add(service));
        claims
    }

    /// Adds a service; what another one has stays that one's.
    pub fn add(&mut self, service: &CheckedService) {
        let holder = self.services.len();
        self.services.push(service.name.clone());
        for (index, claim) in claims(service).enumerate() {
            self.taken.entry(claim).or_insert((holder, index));
        }
    }

    /// Whether a service can be added without a collision.
    pub fn are_free_for(&self, service: &CheckedService) -> bool {
        self.clash(service).is_none()
    }

    /// The first collision, by who came first.
    pub(super) fn clash(&self, service: &CheckedService) -> Option<Clash<'_>> {
        let found = claims(service).filter_map(|claim| Some((*self.taken.get(&claim)?, claim)));
        let ((holder, _), (host, path)) = found.min()?;
        Some(Clash { holder: self.services.get(holder)?, host, path })
    }
}

/// Every host and path prefix that a service answers for; empty: any.
fn claims(service: &CheckedService) -> impl Iterator<Item = (String, String)> {
    fn or_any(names: &[String]) -> Vec<&str> {
        if names.is_empty() { vec![""] } else { names.iter().map(String::as_str).collect() }
    }
    let (hosts, paths) = (or_any(&service.hosts), or_any(&service.paths));
    // A service of channels alone answers nobody, unless calls become messages.
    let answers = service.versions.iter().any(|version| version.upstream.is_some()) || !service.publish.is_empty();
    hosts
        .into_iter()
        .filter(move |_| answers)
        .flat_map(move |host| paths.clone().into_iter().map(move |path| (host.to_owned(), path.to_owned())))
}
