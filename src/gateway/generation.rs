//! What serves now: one immutable value behind the one swap. Every request takes a snapshot once and keeps it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use http::{HeaderName, HeaderValue, header};
use sha2::{Digest, Sha256};

use super::metrics::Counters;
use crate::plan::{Plan, ServicePlan, VersionPlan};
use crate::rules::ast::Negotiator;
use crate::rules::checked::CheckedService;

/// Everything that one request may see of the rules.
#[derive(Debug)]
pub(super) struct Generation {
    /// Counts from 1 in this process; 0: nothing has been loaded yet.
    pub(super) number: u64,
    /// Names the content: over the names and hashes of its services.
    pub(super) hash: String,
    /// When it began to serve.
    pub(super) since: SystemTime,
    /// What requests use.
    pub(super) plan: Plan,
    /// What the plan was made of.
    pub(super) services: BTreeMap<String, Serving>,
    /// What each service's requests need to know beside its plan, in the order of the plan's services.
    standings: Vec<Arc<Standing>>,
}

/// A service as its requests see it: what need not be worked out for each of them.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) plan: Arc<ServicePlan>,
    /// Names the service's rules, the same for the same rules everywhere.
    pub(super) rules: String,
    /// Header fields by which the representation at one address varies.
    pub(super) varies: Vec<HeaderName>,
    /// What it counts.
    pub(super) counters: Counters,
    /// For each version that asks, for each that answers: what responses say of it.
    told: Vec<Told>,
}

/// What responses to callers of one version say of who answered: nobody, or one of the versions.
#[derive(Debug)]
struct Told {
    alone: Option<HeaderValue>,
    with: Vec<Option<HeaderValue>>,
}

impl Told {
    fn new(asked: &VersionPlan, versions: &[VersionPlan]) -> Self {
        let value = |text: String| HeaderValue::from_str(&text).ok();
        let with = |served: &VersionPlan| value(format!("asked={}, served={}", asked.name, served.name));
        Self { alone: value(format!("asked={}", asked.name)), with: versions.iter().map(with).collect() }
    }
}

impl Standing {
    fn new(serving: &Serving) -> Self {
        let plan = serving.plan.clone();
        // The same address has another representation for callers of another version; that holds for refusals, too.
        let by_type = plan.negotiate.iter().any(|way| matches!(way, Negotiator::MediaType(_)));
        let by_type = by_type.then_some(header::CONTENT_TYPE);
        let varies = plan.varies_by().chain(plan.answer_header.clone()).chain(by_type).collect();
        let told = plan.versions.iter().map(|asked| Told::new(asked, &plan.versions)).collect();
        let rules = hex(serving.hash.get(..4).unwrap_or_default());
        Self { rules, varies, counters: Counters::default(), told, plan }
    }

    /// Which version asked and which one answered, as responses say it.
    pub(super) fn told(&self, asked: usize, served: Option<usize>) -> Option<&HeaderValue> {
        let told = self.told.get(asked)?;
        served.map_or(Some(&told.alone), |served| told.with.get(served))?.as_ref()
    }

    /// The name of a version.
    pub(super) fn version(&self, index: usize) -> &str {
        self.plan.versions.get(index).map_or("", |version| &version.name)
    }
}

/// One service as it serves.
#[derive(Debug, Clone)]
pub(super) struct Serving {
    /// Hash of its sources.
    pub(super) hash: [u8; 32],
    pub(super) plan: Arc<ServicePlan>,
    /// Kept to tell collisions with services that come later.
    pub(super) checked: Arc<CheckedService>,
    /// Whether its sources are those of a time before this process.
    pub(super) restored: bool,
}

impl Generation {
    /// The generation of these services.
    pub(super) fn new(number: u64, services: BTreeMap<String, Serving>) -> Self {
        let mut digest = Sha256::new();
        for (name, serving) in &services {
            digest.update((name.len() as u64).to_be_bytes());
            digest.update(name);
            digest.update(serving.hash);
        }
        // Twelve digits tell rule sets apart and can be read aloud.
        let hash = hex(digest.finalize().get(..6).unwrap_or_default());
        let plan = Plan::new(services.values().map(|serving| serving.plan.clone()).collect());
        let standings = services.values().map(|serving| Arc::new(Standing::new(serving))).collect();
        Self { number, hash, since: SystemTime::now(), plan, services, standings }
    }

    /// What serves a host and path.
    pub(super) fn service_for(&self, host: Option<&str>, path: &str) -> Option<&Arc<Standing>> {
        self.standings.get(self.plan.find(host, path)?)
    }
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The one place where a generation is replaced.
#[derive(Debug)]
pub(super) struct Current(ArcSwap<Generation>);

impl Current {
    pub(super) fn new() -> Self {
        Self(ArcSwap::from_pointee(Generation::new(0, BTreeMap::new())))
    }

    /// The generation that serves now, to be kept for a whole exchange.
    pub(super) fn snapshot(&self) -> Arc<Generation> {
        self.0.load_full()
    }

    /// From here on this one serves; requests in flight keep theirs.
    pub(super) fn replace(&self, next: Arc<Generation>) {
        self.0.store(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_lives_as_long_as_somebody_uses_it() {
        let current = Current::new();
        let in_flight = current.snapshot();
        let old = Arc::downgrade(&in_flight);
        current.replace(Arc::new(Generation::new(1, BTreeMap::new())));
        assert_eq!((in_flight.number, current.snapshot().number), (0, 1));
        drop(in_flight);
        assert!(old.upgrade().is_none());
    }
}
