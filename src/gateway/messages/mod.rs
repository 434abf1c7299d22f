//! Flows of messages in a running gateway: by the rules that serve, between the brokers of the settings, remembered in the
//! state folder.
//!
//! [`brokers`] are made of the settings, [`report`] and [`letters`] are what operators are told, [`rates`] is what is
//! looked at now and then for it.

mod brokers;
mod letters;
mod metrics;
mod rates;
mod report;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::watch;

pub(super) use letters::{Asked, Wanted};
pub(super) use metrics::Counts;

use super::asynchronous::Asynchronous;
use super::exchange::documents;
use super::generation::Current;
use crate::messaging::broker::{Boxed, Broker};
use crate::messaging::flow::{Bounds, Rules, Snapshot};
use crate::messaging::publisher::Publisher;
use crate::messaging::replies::pending::Pending;
use crate::messaging::seen::{Memory, Seen, SeenError};
use crate::messaging::supervisor::Supervisor;
use crate::plan::ServicePlan;
use crate::settings::Settings;
use crate::store::Indexes;
use rates::Rates;

/// Brokers by the names that rules use.
pub type Brokers = BTreeMap<String, Arc<dyn Broker>>;

/// All flows of a gateway.
#[derive(Debug)]
pub(super) struct Flows {
    supervisor: Arc<Supervisor>,
    /// Publishes what callers send.
    pub(super) publisher: Publisher,
    rates: Arc<Mutex<Rates>>,
    begun: AtomicBool,
    /// Where they run: what is asked of brokers for an operator is asked there, too, since connections are shared.
    runtime: OnceLock<Handle>,
    stop: watch::Sender<bool>,
    /// Whoever runs flows, or looks at them, has a receiver of it.
    alive: watch::Sender<()>,
}

impl Flows {
    /// None runs yet.
    pub(super) fn new(
        settings: &Settings,
        own: Brokers,
        current: &Arc<Current>,
        asynchronous: &Arc<Asynchronous>,
    ) -> Self {
        let mut all = brokers::build(&settings.brokers);
        all.extend(own);
        let rules = Arc::new(Serving(current.clone()));
        let supervisor = Supervisor::new(
            all,
            Arc::new(Remembered { asynchronous: asynchronous.clone(), indexes: Indexes::default() }),
            rules,
            bounds(settings),
        );
        Self {
            supervisor: Arc::new(supervisor),
            publisher: Publisher::new(settings.messages.confirm),
            rates: Arc::default(),
            begun: AtomicBool::new(false),
            runtime: OnceLock::new(),
            stop: watch::channel(false).0,
            alive: watch::channel(()).0,
        }
    }

    /// Runs what the rules ask for, from now on.
    pub(super) fn begin(&self) {
        if self.begun.swap(true, Ordering::AcqRel) || *self.stop.borrow() {
            return;
        }
        // Once: it begins once.
        let _ = self.runtime.set(Handle::current());
        let (supervisor, stop, alive) = (self.supervisor.clone(), self.stop.subscribe(), self.alive.subscribe());
        tokio::spawn(async move {
            supervisor.follow(stop).await;
            drop(alive);
        });
        self.publisher.begin(self.supervisor.brokers().clone());
        tokio::spawn(rates::look(self.supervisor.clone(), self.rates.clone(), self.stop.subscribe()));
    }

    /// A broker by its name in the settings.
    pub(super) fn broker(&self, name: &str) -> Option<&Arc<dyn Broker>> {
        self.supervisor.broker(name)
    }

    /// Whether they run, or have run.
    pub(super) fn have_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// No flow takes anything new.
    pub(super) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits until every flow has finished what it had.
    pub(super) async fn stopped(&self) {
        self.alive.closed().await;
    }

    fn rates(&self) -> std::sync::MutexGuard<'_, Rates> {
        self.rates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bounds(settings: &Settings) -> Bounds {
    let (messages, limits) = (&settings.messages, &settings.limits);
    Bounds {
        in_flight: messages.in_flight,
        bytes: messages.bytes,
        body: messages.body,
        confirm: messages.confirm,
        pause: messages.pause,
        longest_pause: messages.longest_pause,
        drain: settings.timeouts.drain,
        limits: documents(limits),
    }
}

/// The rules that serve now.
#[derive(Debug)]
struct Serving(Arc<Current>);

impl Rules for Serving {
    fn snapshot(&self, service: &str) -> Option<Snapshot> {
        let generation = self.0.snapshot();
        let serving = generation.services.get(service)?;
        let (plan, rules) = (serving.plan.clone(), serving.rules.clone());
        Some(Snapshot { plan, rules, generation: generation.number })
    }

    fn plans(&self) -> (u64, Vec<Arc<ServicePlan>>) {
        let generation = self.0.snapshot();
        (generation.number, generation.services.values().map(|serving| serving.plan.clone()).collect())
    }

    fn changed(&self, generation: u64) -> Boxed<'_, ()> {
        Box::pin(self.0.changed(generation))
    }
}

/// What is done is kept where everything is that survives a restart.
#[derive(Debug)]
struct Remembered {
    asynchronous: Arc<Asynchronous>,
    indexes: Indexes,
}

impl Memory for Remembered {
    fn of(&self, flow: &str) -> Result<Arc<dyn Seen>, SeenError> {
        Ok(Arc::new(self.indexes.durable(self.asynchronous.keeper.store()?, flow)?))
    }

    fn pending(&self) -> Result<Pending, SeenError> {
        Ok(Pending::new(self.asynchronous.keeper.store()?).with(self.asynchronous.clone()))
    }
}
