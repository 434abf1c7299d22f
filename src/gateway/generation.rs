//! What serves now: one immutable value behind the one swap. Every request takes a snapshot once and keeps it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::headers::add_vary;
use super::metrics::Counters;
use super::upstream::{Cluster, Clusters};
use crate::plan::{Plan, ServicePlan, VersionPlan};
use crate::rules::ast::Negotiator;
use crate::rules::checked::CheckedService;

/// Everything that one request may see of the rules.
#[derive(Debug)]
pub(super) struct Generation {
    /// Counts from 1 in this process; 0: nothing has been loaded yet.
    pub(super) number: u64,
    /// The same as responses say it.
    pub(super) told: HeaderValue,
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
    /// See [`Serving::rules`].
    pub(super) rules: Arc<str>,
    /// Header fields by which the representation at one address varies.
    varies: Vec<HeaderName>,
    /// The same as `Vary` says it where nothing else is said; none: there are none.
    vary: Option<HeaderValue>,
    /// The services of its versions, by index.
    pub(super) clusters: Vec<Option<Arc<Cluster>>>,
    /// Whether one address has the documents of several services, whose entity tags could then be mistaken for one
    /// another.
    pub(super) shares_addresses: bool,
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
    fn new(serving: &Serving, clusters: Option<&Arc<Clusters>>) -> Self {
        let plan = serving.plan.clone();
        // The same address has another representation for callers of another version; that holds for refusals, too.
        let by_type = plan.negotiate.iter().any(|way| matches!(way, Negotiator::MediaType(_)));
        let by_type = by_type.then_some(header::CONTENT_TYPE);
        let varies: Vec<_> = plan.varies_by().chain(plan.answer_header.clone()).chain(by_type).collect();
        let mut headers = HeaderMap::new();
        add_vary(&mut headers, varies.iter());
        let vary = headers.remove(header::VARY);
        let told = plan.versions.iter().map(|asked| Told::new(asked, &plan.versions)).collect();
        let rules = serving.rules.clone();
        let clusters = clusters.map(|clusters| clusters.of(&plan)).unwrap_or_default();
        let shares_addresses = plan.varies_by().next().is_some() && clusters.iter().flatten().count() > 1;
        Self { rules, varies, vary, clusters, shares_addresses, counters: Counters::default(), told, plan }
    }

    /// Says by what the representation varies.
    pub(super) fn add_vary(&self, headers: &mut HeaderMap) {
        match &self.vary {
            Some(vary) if !headers.contains_key(header::VARY) => {
                headers.insert(header::VARY, vary.clone());
            }
            _ => add_vary(headers, self.varies.iter()),
        }
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
    /// Names its rules in answers and messages, the same for the same rules everywhere.
    pub(super) rules: Arc<str>,
    pub(super) plan: Arc<ServicePlan>,
    /// Kept to tell collisions with services that come later.
    pub(super) checked: Arc<CheckedService>,
    /// Whether its sources are those of a time before this process.
    pub(super) restored: bool,
}

impl Generation {
    /// What serves before anything has been loaded.
    fn nothing() -> Self {
        Self::of(0, BTreeMap::new(), &HashMap::new(), None)
    }

    /// The generation of these services that comes next, with the endpoints that they have; those of others are forgotten.
    /// What has not changed of it stays.
    pub(super) fn after(&self, services: BTreeMap<String, Serving>, clusters: &Arc<Clusters>) -> Self {
        let known = self.standings.iter().map(|one| (one.plan.name.as_str(), one)).collect();
        let plans: Vec<Arc<ServicePlan>> = services.values().map(|serving| serving.plan.clone()).collect();
        let generation = Self::of(self.number + 1, services, &known, Some(clusters));
        clusters.retain(&plans);
        generation
    }

    fn of(
        number: u64,
        services: BTreeMap<String, Serving>,
        known: &HashMap<&str, &Arc<Standing>>,
        clusters: Option<&Arc<Clusters>>,
    ) -> Self {
        let mut digest = Sha256::new();
        for (name, serving) in &services {
            digest.update((name.len() as u64).to_be_bytes());
            digest.update(name);
            digest.update(serving.hash);
        }
        // Twelve digits tell rule sets apart and can be read aloud.
        let hash = hex(digest.finalize().get(..6).unwrap_or_default());
        let plan = Plan::new(services.values().map(|serving| serving.plan.clone()).collect());
        let standing = |serving: &Serving| {
            let known = known.get(serving.plan.name.as_str()).filter(|known| Arc::ptr_eq(&known.plan, &serving.plan));
            known.map_or_else(|| Arc::new(Standing::new(serving, clusters)), |known| Arc::clone(known))
        };
        let standings = services.values().map(standing).collect();
        Self { number, told: number.into(), hash, since: SystemTime::now(), plan, services, standings }
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
pub(super) struct Current {
    serving: ArcSwap<Generation>,
    /// The number of the generation that serves, for whoever waits for another.
    number: watch::Sender<u64>,
}

impl Current {
    pub(super) fn new() -> Self {
        Self { serving: ArcSwap::from_pointee(Generation::nothing()), number: watch::channel(0).0 }
    }

    /// The generation that serves now, to be kept for a whole exchange.
    pub(super) fn snapshot(&self) -> Arc<Generation> {
        self.serving.load_full()
    }

    /// From here on this one serves; requests in flight keep theirs.
    pub(super) fn replace(&self, next: Arc<Generation>) {
        let number = next.number;
        self.serving.store(next);
        self.number.send_replace(number);
    }

    /// Waits until another generation serves than this one.
    pub(super) async fn changed(&self, from: u64) {
        let mut number = self.number.subscribe();
        // The sender is here, so it cannot have gone.
        let _ = number.wait_for(|number| *number != from).await;
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
        current.replace(Arc::new(Generation { number: 1, ..Generation::nothing() }));
        assert_eq!((in_flight.number, current.snapshot().number), (0, 1));
        drop(in_flight);
        assert!(old.upgrade().is_none());
    }
}
