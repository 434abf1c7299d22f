//! Which flows run: those that the rules of now ask for, each with the brokers of the settings.
//!
//! Rules are swapped between messages, so most reloads touch no flow. One whose addresses have changed is replaced, once its
//! new source answers; until then the old one goes on.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::broker::Broker;
use super::flow::{Bounds, Flow, Rules, State, Status};
use super::letters::Letters;
use super::seen::Memory;
use crate::plan::ServicePlan;
use crate::rules::channel::{self, Address};

/// How long a new source may take to answer before the old flow is given up for it.
const ANSWER: Duration = Duration::from_secs(10);
/// How often what could not be started, or has ended, is started again.
const AGAIN: Duration = Duration::from_secs(10);

/// Starts and stops flows.
pub struct Supervisor {
    brokers: BTreeMap<String, Arc<dyn Broker>>,
    memory: Arc<dyn Memory>,
    rules: Arc<dyn Rules>,
    bounds: Bounds,
    running: Mutex<BTreeMap<String, Running>>,
    /// What is asked for and cannot be started, and why.
    refused: Mutex<BTreeMap<String, (Spec, String)>>,
    /// Every flow has a receiver of it for as long as it runs.
    alive: watch::Sender<()>,
    /// Held by whoever looks through dead letters.
    looking: Arc<tokio::sync::Mutex<()>>,
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Supervisor").field("brokers", &self.brokers).finish_non_exhaustive()
    }
}

/// What a flow is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// The service.
    pub service: String,
    /// Its channel.
    pub channel: String,
    /// What is read and where it goes.
    pub flow: channel::Flow,
}

/// A flow that the rules ask for, or one from before that still runs.
#[derive(Debug, Clone)]
pub struct Listed {
    /// What it is made of; where an older one still runs, what that is made of.
    pub spec: Spec,
    /// What it tells of itself; none: it does not run.
    pub status: Option<Arc<Status>>,
    /// Why it cannot be started as the rules ask for.
    pub refused: Option<String>,
}

struct Running {
    spec: Spec,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    status: Arc<Status>,
    /// The same once more, for its dead letters.
    flow: Flow,
}

impl Supervisor {
    /// Flows by these rules, between these brokers; `memory` remembers what is done.
    pub fn new(
        brokers: BTreeMap<String, Arc<dyn Broker>>,
        memory: Arc<dyn Memory>,
        rules: Arc<dyn Rules>,
        bounds: Bounds,
    ) -> Self {
        let (running, refused) = Default::default();
        Self { brokers, memory, rules, bounds, running, refused, alive: watch::channel(()).0, looking: Arc::default() }
    }

    /// Every flow by its name.
    pub fn flows(&self) -> BTreeMap<String, Listed> {
        let running = self.running();
        let mut all: BTreeMap<String, Listed> = running
            .iter()
            .map(|(name, one)| {
                let (spec, status) = (one.spec.clone(), Some(one.status.clone()));
                (name.clone(), Listed { spec, status, refused: None })
            })
            .collect();
        for (name, (spec, why)) in &*self.refused() {
            let listed = || Listed { spec: spec.clone(), status: None, refused: None };
            all.entry(name.clone()).or_insert_with(listed).refused = Some(why.clone());
        }
        all
    }

    /// How many messages wait for a flow, where its broker can tell.
    pub async fn waiting(&self, status: &Status) -> Option<u64> {
        let broker = self.brokers.get(status.source.broker())?;
        timeout(Duration::from_secs(2), broker.waiting(&status.source, &status.reader)).await.ok()?.ok()?
    }

    /// The dead letters of the flows that run.
    pub fn letters(&self) -> Letters {
        Letters::new(self.running().values().map(|one| one.flow.clone()).collect(), self.looking.clone())
    }

    /// A broker by its name in the settings.
    pub fn broker(&self, name: &str) -> Option<&Arc<dyn Broker>> {
        self.brokers.get(name)
    }

    /// All brokers by their names in the settings.
    pub fn brokers(&self) -> &BTreeMap<String, Arc<dyn Broker>> {
        &self.brokers
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<String, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refused(&self) -> MutexGuard<'_, BTreeMap<String, (Spec, String)>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows the rules until told to stop; then every flow finishes what it has, and this ends when all have.
    pub async fn follow(&self, mut stop: watch::Receiver<bool>) {
        loop {
            let (generation, plans) = self.rules.plans();
            tokio::select! {
                () = self.apply(&plans) => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
            tokio::select! {
                () = self.rules.changed(generation) => {}
                // A flow that could not be started, or has ended by a mistake of ours.
                () = sleep(AGAIN) => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        self.stop_all().await;
    }

    /// Starts, replaces and stops flows.
    async fn apply(&self, plans: &[Arc<ServicePlan>]) {
        let mut wanted: BTreeMap<String, Spec> = BTreeMap::new();
        for plan in plans {
            for channel in &plan.channels {
                for flow in &channel.flows {
                    let spec = Spec { service: plan.name.clone(), channel: channel.name.clone(), flow: flow.clone() };
                    wanted.insert(format!("{}/{}", plan.name, flow.name), spec);
                }
            }
        }
        let gone: Vec<String> = self.running().keys().filter(|name| !wanted.contains_key(*name)).cloned().collect();
        join_all(gone.iter().map(|name| self.stop(name))).await;
        let is_as_asked = |(name, spec): &(String, Spec)| {
            self.running().get(name).is_some_and(|one| one.spec == *spec && !one.task.is_finished())
        };
        let (kept, new): (Vec<_>, Vec<_>) = wanted.into_iter().partition(is_as_asked);
        let mut readers: BTreeMap<Address, String> =
            kept.into_iter().map(|(name, spec)| (spec.flow.source, name)).collect();
        let new = new.into_iter().map(|(name, spec)| {
            // Within a service that is a mistake in its rules. Two services do not know of one another.
            let other = readers.get(&spec.flow.source).cloned();
            if other.is_none() {
                readers.insert(spec.flow.source.clone(), name.clone());
            }
            (name, spec, other)
        });
        let new: Vec<_> = new.collect();
        let new = new.into_iter().map(|(name, spec, other)| async move {
            let why = match other {
                Some(other) => format!("`{other}` reads {} already: each would get a part", spec.flow.source),
                None => self.replace(&name, &spec).await.err()?,
            };
            Some((name, (spec, why)))
        });
        let refused: BTreeMap<_, _> = join_all(new).await.into_iter().flatten().collect();
        let mut before = self.refused();
        for (name, (_, why)) in &refused {
            if before.get(name).is_none_or(|(_, known)| known != why) {
                tracing::error!(flow = %name, %why, "the flow cannot be started as the rules ask for");
            }
        }
        *before = refused;
    }

    async fn replace(&self, name: &str, spec: &Spec) -> Result<(), String> {
        let old = self.running().get(name).map(|one| one.task.is_finished());
        let flow = match self.build(name, spec) {
            // The old one goes on until the new one has something to read.
            Ok(flow) if old == Some(false) => answers(&flow).await.map(|()| flow),
            built => built,
        };
        let flow = flow.map_err(|why| if old == Some(false) { format!("{why}; it runs as before") } else { why })?;
        if old.is_some() {
            self.stop(name).await;
        }
        let (stop, stopped) = watch::channel(false);
        let status = flow.status.clone();
        let targets: Vec<String> = spec.flow.targets.iter().map(|target| target.address.to_string()).collect();
        let (source, targets, guarantee) = (&spec.flow.source, targets.join(" "), status.guarantee.name());
        tracing::info!(flow = %name, %source, targets, guarantee, "the flow starts");
        let alive = self.alive.subscribe();
        let same = flow.clone();
        let task = tokio::spawn(async move {
            flow.run(stopped).await;
            drop(alive);
        });
        self.running().insert(name.to_owned(), Running { spec: spec.clone(), stop, task, status, flow: same });
        Ok(())
    }

    fn build(&self, name: &str, spec: &Spec) -> Result<Flow, String> {
        let find = |address: &Address| {
            let name = address.broker();
            let broker =
                self.brokers.get(name).ok_or_else(|| format!("there is no `[brokers.{name}]` in the settings"))?;
            if broker.takes(address) {
                Ok(broker.clone())
            } else {
                Err(format!("`{name}` has no addresses such as {address}"))
            }
        };
        let source = find(&spec.flow.source)?;
        let targets = spec.flow.targets.iter().map(|target| find(&target.address)).collect::<Result<_, _>>()?;
        let dead = if let Some(address) = &spec.flow.dead_letter {
            (find(address)?, address.clone())
        } else {
            let address =
                source.dead_letters(spec.flow.source.broker(), &format!("{}.{}", spec.service, spec.flow.name));
            (source.clone(), address)
        };
        Ok(Flow {
            service: spec.service.clone(),
            channel: spec.channel.clone(),
            of: spec.flow.clone(),
            source,
            targets,
            status: Flow::status(&spec.service, &spec.flow, dead.1.clone()),
            dead,
            seen: self.memory.of(name).map_err(|error| error.to_string())?,
            pending: self.memory.pending().map_err(|error| error.to_string())?,
            rules: self.rules.clone(),
            bounds: self.bounds,
        })
    }

    async fn stop(&self, name: &str) {
        let running = self.running().remove(name);
        if let Some(running) = running {
            // One that has ended already does not hear it.
            let _ = running.stop.send(true);
            if let Err(error) = running.task.await {
                tracing::error!(flow = %name, %error, "the flow has ended by a mistake of ours");
            }
        }
    }

    /// Tells all to finish what they have, and waits for those that were told before, too.
    async fn stop_all(&self) {
        for one in std::mem::take(&mut *self.running()).values() {
            let _ = one.stop.send(true);
        }
        self.alive.closed().await;
    }

    /// The flows that do not take messages, and why.
    pub fn troubles(&self) -> Vec<(String, String)> {
        let trouble = |(name, flow): (String, Listed)| {
            let state = flow.status.as_ref().map(|status| status.state());
            let why = flow.refused.or_else(|| match state? {
                State::Running | State::Draining => None,
                other => Some(other.reason().unwrap_or_else(|| other.name()).to_owned()),
            });
            Some((name, why?))
        };
        self.flows().into_iter().filter_map(trouble).collect()
    }
}

/// Whether a flow's source is there.
async fn answers(flow: &Flow) -> Result<(), String> {
    let source = &flow.of.source;
    match timeout(ANSWER, flow.source.waiting(source, &flow.status.reader)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(lost)) => Err(format!("{source}: {lost}")),
        Err(_) => Err(format!("{source} does not answer")),
    }
}
