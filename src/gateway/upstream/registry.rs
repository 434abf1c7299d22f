//! The clusters of all versions, and their endpoints: what is the same after a reload stays.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use http::Uri;
use http::uri::{Authority, Scheme};
use tokio::runtime::Handle;
use tokio::task::{AbortHandle, JoinSet};

use super::cluster::{Cluster, Member};
use super::endpoint::{Endpoint, Place};
use super::policy::Policy;
use super::pool::Pool;
use super::resolve::Resolver;
use super::{health, resolve};
use crate::gateway::tls::Connector;
use crate::plan::ServicePlan;
use crate::rules::upstream::{Source, Upstream};
use crate::settings::Settings;

/// How long a change of the rules waits for a name that is not known yet.
const PATIENCE: Duration = Duration::from_secs(2);

/// All of them.
#[derive(Debug)]
pub(in crate::gateway) struct Clusters {
    settings: Arc<Settings>,
    connector: Connector,
    resolver: Resolver,
    known: Mutex<HashMap<Name, Known>>,
    /// The pools of all threads.
    pools: Mutex<Vec<Weak<Pool>>>,
}

/// A service and one of its versions.
type Name = (String, String);

#[derive(Debug)]
struct Known {
    cluster: Arc<Cluster>,
    /// What looks after it.
    tasks: Vec<AbortHandle>,
}

impl Drop for Known {
    fn drop(&mut self) {
        // A task that is told to end may still be at work.
        self.cluster.is_over.store(true, Ordering::SeqCst);
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Clusters {
    pub(in crate::gateway) fn new(settings: Arc<Settings>, connector: Connector) -> Self {
        let resolver = Resolver::new(&settings.upstream_defaults.resolvers);
        Self { settings, connector, resolver, known: Mutex::default(), pools: Mutex::default() }
    }

    /// The clusters of a service's versions, by index; none where nothing runs. From here on those that it had before are
    /// not looked after any more, but for those that are still the same.
    pub(in crate::gateway) fn of(self: &Arc<Self>, plan: &ServicePlan) -> Vec<Option<Arc<Cluster>>> {
        let set = self.settings.upstreams.get(&plan.name);
        let upstreams = plan.versions.iter().map(|version| {
            let set = set.and_then(|service| service.get(&version.name));
            let upstream = version.upstream.as_deref();
            match set {
                Some(endpoints) => {
                    let source = Source::Fixed(endpoints.iter().map(|address| (address.clone(), 1)).collect());
                    let said = upstream.map(|upstream| Upstream { source: source.clone(), ..upstream.clone() });
                    said.or_else(|| Some(Upstream { source, ..Upstream::one(Uri::default()) }))
                }
                None => upstream.cloned(),
            }
        });
        let versions = plan.versions.iter().map(|version| version.name.as_str());
        versions.zip(upstreams).map(|(version, upstream)| self.adopt((&plan.name, version), &upstream?)).collect()
    }

    /// No service but these is looked after any more.
    pub(in crate::gateway) fn retain(&self, plans: &[Arc<ServicePlan>]) {
        let is_there = |(service, version): &Name| {
            let plan = plans.iter().find(|plan| plan.name == *service);
            plan.is_some_and(|plan| plan.versions.iter().any(|one| one.name == *version))
        };
        self.known().retain(|name, _| is_there(name));
    }

    pub(super) fn adopt(
        self: &Arc<Self>,
        (service, version): (&str, &str),
        upstream: &Upstream,
    ) -> Option<Arc<Cluster>> {
        let name = (service.to_owned(), version.to_owned());
        let before = self.known().get(&name).map(|known| known.cluster.clone());
        if let Some(before) = before.as_ref().filter(|before| before.upstream == *upstream) {
            return Some(before.clone());
        }
        let policy = Policy::new(upstream, &self.settings.upstream_defaults, &self.settings.timeouts);
        let ledger = before.as_ref().map(|before| before.ledger.clone()).unwrap_or_default();
        let members = match (&upstream.source, &before) {
            (Source::Fixed(endpoints), _) => {
                let old = before.as_ref().map(|before| before.members());
                let member = |(address, weight): &(Uri, u32)| member(address, upstream, *weight, old.as_deref());
                endpoints.iter().filter_map(member).collect()
            }
            // What the name was known to mean goes on until it is looked up.
            (source, Some(before)) if before.upstream.source == *source && before.upstream.host == upstream.host => {
                before.members().to_vec()
            }
            _ => Vec::new(),
        };
        let cluster = Arc::new(Cluster::new((service, version), upstream, policy, members, ledger)?);
        // Those that were known to take no connections are tried on.
        cluster.alarm.notify_one();
        let tasks = self.look_after(&cluster);
        self.known().insert(name, Known { cluster: cluster.clone(), tasks });
        // Once nobody asks any more, whatever was found out before.
        if upstream.health.is_none() {
            cluster.members().iter().for_each(|member| member.endpoint.checked(true));
        }
        Some(cluster)
    }

    fn look_after(self: &Arc<Self>, cluster: &Arc<Cluster>) -> Vec<AbortHandle> {
        let runtime = Handle::current();
        let mut tasks = Vec::new();
        tasks.push(runtime.spawn(health::reach(cluster.clone(), self.connector.clone())).abort_handle());
        if cluster.upstream.health.is_some() {
            tasks.push(runtime.spawn(health::check(cluster.clone(), self.connector.clone())).abort_handle());
        }
        if !matches!(cluster.upstream.source, Source::Fixed(_)) {
            tasks.push(runtime.spawn(resolve::follow(cluster.clone(), self.resolver.clone())).abort_handle());
        }
        tasks
    }

    /// Waits for names that are not known yet, but not for long: so that a change of the rules is not felt.
    pub(in crate::gateway) async fn settle(&self) {
        let unknown: Vec<_> = self.all().into_iter().filter(|cluster| cluster.members().is_empty()).collect();
        let mut looking = JoinSet::new();
        for cluster in unknown {
            let resolver = self.resolver.clone();
            looking.spawn(async move { resolve::refresh(&cluster, &resolver).await });
        }
        // What takes longer goes on by itself.
        let _ = tokio::time::timeout(PATIENCE, async { while looking.join_next().await.is_some() {} }).await;
    }

    pub(super) fn all(&self) -> Vec<Arc<Cluster>> {
        let mut all: Vec<_> = self.known().values().map(|known| known.cluster.clone()).collect();
        all.sort_by(|one, two| (&one.service, &one.version).cmp(&(&two.service, &two.version)));
        all
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<Name, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A thread's pool, from which others may ask for room.
    pub(super) fn add_pool(&self, pool: &Arc<Pool>) {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(pool));
    }

    /// Closes a connection to an endpoint that some thread keeps for later. Whether there was one.
    pub(super) fn make_room(&self, endpoint: &Endpoint) -> bool {
        let pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.iter().filter_map(Weak::upgrade).any(|pool| pool.give_up(endpoint.id))
    }
}

/// An endpoint by its address: the one that there was, or a new one.
fn member(address: &Uri, upstream: &Upstream, weight: u32, old: Option<&[Member]>) -> Option<Member> {
    let scheme = address.scheme().cloned().unwrap_or(Scheme::HTTP);
    let reach = address.authority()?.clone();
    let host = upstream.host.clone().unwrap_or_else(|| reach.clone());
    found(Place { scheme, reach, host }, (weight, 0), old)
}

/// The endpoint of a place: the one that there was, or a new one.
pub(super) fn found(place: Place, (weight, priority): (u32, u16), old: Option<&[Member]>) -> Option<Member> {
    let same = old.and_then(|old| old.iter().find(|member| member.endpoint.place == place));
    let endpoint = match same {
        Some(member) => member.endpoint.clone(),
        // The first ones of all have nobody to leave the requests to while they get warm.
        None => Arc::new(Endpoint::new(place, old.is_some_and(|old| !old.is_empty()))?),
    };
    Some(Member { endpoint, weight, priority })
}

/// An address and a port as they stand in a URI.
pub(super) fn authority(address: std::net::SocketAddr) -> Option<Authority> {
    address.to_string().parse().ok()
}
