//! Which flows run: those that the rules of now ask for, each with the brokers of the settings.
//!
//! Rules are swapped between messages, so most reloads touch no flow. One whose addresses have changed is replaced, once its
//! new source answers; until then the old one goes on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::broker::Broker;
use super::flow::{Bounds, Flow, Rules, State, Status};
use super::replies::pending::Pending;
use super::seen::Seen;
use crate::plan::ServicePlan;
use crate::rules::channel::{self, Address};

/// How long a new source may take to answer before the old flow is given up for it.
const ANSWER: Duration = Duration::from_secs(10);
/// How often what could not be started is tried again.
const AGAIN: Duration = Duration::from_secs(10);

/// Starts and stops flows.
pub struct Supervisor {
    brokers: BTreeMap<String, Arc<dyn Broker>>,
    seen: Arc<dyn Seen>,
    pending: Pending,
    rules: Arc<dyn Rules>,
    bounds: Bounds,
    running: Mutex<BTreeMap<String, Running>>,
    /// What is asked for and cannot be started, and why.
    refused: Mutex<BTreeMap<String, String>>,
}

/// What a flow is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Spec {
    service: String,
    channel: String,
    flow: channel::Flow,
}

struct Running {
    spec: Spec,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    status: Arc<Status>,
}

impl Supervisor {
    /// Flows by these rules, between these brokers; `seen` remembers what is done, `pending` what waits for a reply.
    pub fn new(
        brokers: BTreeMap<String, Arc<dyn Broker>>,
        (seen, pending): (Arc<dyn Seen>, Pending),
        rules: Arc<dyn Rules>,
        bounds: Bounds,
    ) -> Self {
        Self { brokers, seen, pending, rules, bounds, running: Mutex::default(), refused: Mutex::default() }
    }

    /// Every flow as operators see it, and those that cannot be started with the reason.
    pub fn flows(&self) -> (Vec<Arc<Status>>, BTreeMap<String, String>) {
        let flows = self.running().values().map(|one| one.status.clone()).collect();
        (flows, self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// How many messages wait for a flow, where its broker can tell.
    pub async fn waiting(&self, status: &Status) -> Option<u64> {
        let broker = self.brokers.get(status.source.broker())?;
        timeout(Duration::from_secs(2), broker.waiting(&status.source, &status.reader)).await.ok()?.ok()?
    }

    /// A broker by its name in the settings.
    pub fn broker(&self, name: &str) -> Option<&Arc<dyn Broker>> {
        self.brokers.get(name)
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<String, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows the rules until told to stop; then every flow finishes what it has. `services` answers the plans of now, and
    /// `changed` when there are others.
    pub async fn follow(&self, mut plans: watch::Receiver<Vec<Arc<ServicePlan>>>, mut stop: watch::Receiver<bool>) {
        loop {
            let now = plans.borrow_and_update().clone();
            let is_complete = self.apply(&now).await;
            tokio::select! {
                changed = plans.changed() => if changed.is_err() { break },
                () = sleep(AGAIN), if !is_complete => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        self.stop_all().await;
    }

    /// Starts, replaces and stops flows. Answers whether all that is asked for runs.
    async fn apply(&self, plans: &[Arc<ServicePlan>]) -> bool {
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
        for name in gone {
            self.stop(&name).await;
        }
        let mut refused = BTreeMap::new();
        for (name, spec) in wanted {
            let is_same = self.running().get(&name).is_some_and(|one| one.spec == spec && !one.task.is_finished());
            if is_same {
                continue;
            }
            if let Err(why) = self.replace(&name, spec).await {
                tracing::error!(flow = %name, %why, "the flow cannot be started as the rules ask for");
                refused.insert(name, why);
            }
        }
        let is_complete = refused.is_empty();
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = refused;
        is_complete
    }

    async fn replace(&self, name: &str, spec: Spec) -> Result<(), String> {
        let flow = self.build(&spec)?;
        let has_old = self.running().contains_key(name);
        if has_old {
            // The old one goes on until the new one has something to read.
            let asked = flow.source.waiting(&spec.flow.source, &flow.status.reader);
            match timeout(ANSWER, asked).await {
                Ok(Ok(_)) => {}
                Ok(Err(lost)) => return Err(format!("{}: {lost}; it runs as before", spec.flow.source)),
                Err(_) => return Err(format!("{} does not answer; it runs as before", spec.flow.source)),
            }
            self.stop(name).await;
        }
        let (stop, stopped) = watch::channel(false);
        let status = flow.status.clone();
        let task = tokio::spawn(flow.run(stopped));
        self.running().insert(name.to_owned(), Running { spec, stop, task, status });
        Ok(())
    }

    fn build(&self, spec: &Spec) -> Result<Flow, String> {
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
            seen: self.seen.clone(),
            pending: self.pending.clone(),
            rules: self.rules.clone(),
            bounds: self.bounds,
        })
    }

    async fn stop(&self, name: &str) {
        let running = self.running().remove(name);
        if let Some(running) = running {
            let _ = running.stop.send(true);
            // A flow that panics has stopped, too.
            let _ = running.task.await;
        }
    }

    async fn stop_all(&self) {
        let all = std::mem::take(&mut *self.running());
        for one in all.values() {
            // One that has ended already does not hear it.
            let _ = one.stop.send(true);
        }
        for (_, one) in all {
            let _ = one.task.await;
        }
    }

    /// Whether every flow that is asked for takes messages.
    pub fn is_ready(&self) -> bool {
        let (flows, refused) = self.flows();
        refused.is_empty() && flows.iter().all(|flow| matches!(flow.state(), State::Running | State::Draining))
    }
}
