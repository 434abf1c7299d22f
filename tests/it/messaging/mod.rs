//! Flows: nothing lost, order kept, poison to the dead letters; on the broker inside the process and on real ones.

#![expect(clippy::panic, reason = "a test ends by panicking")]

pub(crate) mod broker_process;
mod contract;
mod crashes;
mod cut;
mod flows;
mod foreign;
mod kills;
mod letters;
mod letters_real;
mod poison;
mod pressure;
mod replies;
mod replies_real;
mod secured;
mod secured_nats;
mod told;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bifocal::messaging::broker::{Boxed, Broker, Lost};
use bifocal::messaging::brokers::memory::Memory;
use bifocal::messaging::flow::{Bounds, Flow, Rules, Snapshot};
use bifocal::messaging::letters::Letters;
use bifocal::messaging::message::{Message, Value};
use bifocal::messaging::replies::pending::Pending;
use bifocal::messaging::seen::{Seen, Volatile};
use bifocal::plan::ServicePlan;
use bifocal::rules::channel::Address;
use bifocal::rules::load::ServiceSources;
use bifocal::rules::prove_service;
use bifocal::store::Store;
use tokio::sync::watch;

/// Long enough for a slow machine; no test waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(20);

/// Asks a broker that was just started until it does what is asked: it speaks before all its queues are there.
pub(crate) async fn until_it_serves<T>(ask: impl AsyncFn() -> Result<T, Lost>) -> T {
    let began = Instant::now();
    loop {
        match ask().await {
            Ok(done) => return done,
            Err(lost) => assert!(began.elapsed() < Duration::from_secs(60), "{lost}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A rule of an order: its total was cents, and is a text.
pub(crate) const RULES: &str =
    "types:\n  Order:\n    - total = price: {decimal: 2}\n    - nick = name\nmessages:\n  orders: Order\n";

/// Where orders go: old ones are written to `in.v1`, new ones to `in.v2`, and read at `out.v1` and `out.v2`.
pub(crate) fn service(more: &str) -> String {
    format!(
        "versions: {{v1: , v2: }}\nchannels:\n  orders:\n{more}    versions:\n      \
         v1: {{ingress: {{broker: m, queue: in.v1}}, egress: {{broker: m, queue: out.v1}}}}\n      \
         v2: {{ingress: {{broker: m, queue: in.v2}}, egress: {{broker: m, queue: out.v2}}}}\n"
    )
}

/// A service of these files.
pub(crate) fn plan(service: &str, rules: &str) -> Arc<ServicePlan> {
    let texts = [("service.yaml", service), ("v1-v2.yaml", rules)];
    let report = prove_service(&ServiceSources::from_texts("shop", texts));
    let checked = report.checked.as_ref();
    Arc::new(ServicePlan::compile(checked.unwrap_or_else(|| panic!("{:?}", report.diagnostics))))
}

/// Rules that a test changes.
pub(crate) struct Fixed(Mutex<(Arc<ServicePlan>, u64)>, tokio::sync::Notify);

impl Fixed {
    pub(crate) fn new(plan: Arc<ServicePlan>) -> Arc<Self> {
        Arc::new(Self(Mutex::new((plan, 1)), tokio::sync::Notify::new()))
    }

    pub(crate) fn replace(&self, plan: Arc<ServicePlan>) {
        let mut now = self.0.lock().unwrap();
        *now = (plan, now.1 + 1);
        self.1.notify_waiters();
    }
}

impl Rules for Fixed {
    fn snapshot(&self, _: &str) -> Option<Snapshot> {
        let (plan, generation) = self.0.lock().unwrap().clone();
        Some(Snapshot { plan, rules: format!("r{generation}").into(), generation })
    }

    fn plans(&self) -> (u64, Vec<Arc<ServicePlan>>) {
        let (plan, generation) = self.0.lock().unwrap().clone();
        (generation, vec![plan])
    }

    fn changed(&self, generation: u64) -> Boxed<'_, ()> {
        Box::pin(async move {
            loop {
                let changed = self.1.notified();
                if self.0.lock().unwrap().1 != generation {
                    return;
                }
                changed.await;
            }
        })
    }
}

pub(crate) fn queue(name: &str) -> Address {
    Address::Queue { broker: "m".into(), queue: name.into() }
}

/// A JSON message with an id and, perhaps, a key.
pub(crate) fn message(id: &str, key: Option<&str>, body: &str) -> Message {
    let mut message = Message { body: body.to_owned().into(), ..Message::default() };
    message.properties.message_id = Some(id.to_owned());
    message.properties.content_type = Some("application/json".to_owned());
    if let Some(key) = key {
        message.headers.push("bifocal-key", Value::text(key));
    }
    message
}

/// Flows of a service on one broker.
pub(crate) struct Running {
    stop: watch::Sender<bool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    pub(crate) flows: Vec<Arc<bifocal::messaging::flow::Status>>,
    pub(crate) letters: Letters,
}

pub(crate) fn bounds() -> Bounds {
    Bounds {
        pause: Duration::from_millis(5),
        longest_pause: Duration::from_millis(50),
        drain: Duration::from_secs(5),
        ..Bounds::default()
    }
}

pub(crate) fn flows(broker: &Arc<dyn Broker>, rules: &Arc<Fixed>, seen: &Arc<dyn Seen>) -> Vec<Flow> {
    flows_of(broker, rules, seen, &Pending::new(Store::memory()))
}

pub(crate) fn flows_of(
    broker: &Arc<dyn Broker>,
    rules: &Arc<Fixed>,
    seen: &Arc<dyn Seen>,
    pending: &Pending,
) -> Vec<Flow> {
    let plan = rules.snapshot("shop").unwrap().plan;
    let channels = plan.channels.iter();
    let flow = |channel: &str, of: &bifocal::rules::channel::Flow| Flow {
        service: "shop".into(),
        channel: channel.into(),
        of: of.clone(),
        source: broker.clone(),
        targets: of.targets.iter().map(|_| broker.clone()).collect(),
        dead: (broker.clone(), queue("dead")),
        seen: seen.clone(),
        pending: pending.clone(),
        rules: rules.clone(),
        bounds: bounds(),
        status: Flow::status("shop", of, queue("dead")),
    };
    channels.flat_map(|channel| channel.flows.iter().map(|of| flow(&channel.name, of)).collect::<Vec<_>>()).collect()
}

impl Running {
    pub(crate) fn start(broker: &Memory, rules: &Arc<Fixed>) -> Self {
        let seen: Arc<dyn Seen> = Arc::new(Volatile::default());
        let broker: Arc<dyn Broker> = Arc::new(broker.clone());
        Self::of(flows(&broker, rules, &seen))
    }

    pub(crate) fn of(flows: Vec<Flow>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let status = flows.iter().map(|flow| flow.status.clone()).collect();
        let letters = Letters::new(flows.clone(), Arc::default());
        let tasks = flows.into_iter().map(|flow| tokio::spawn(flow.run(stopped.clone()))).collect();
        Self { stop, tasks, flows: status, letters }
    }

    pub(crate) async fn stop(self) {
        self.stop.send(true).unwrap();
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

/// Waits until something changes at a broker, or long enough for something to have changed before.
pub(crate) async fn changed(broker: &Memory) {
    let changed = tokio::time::timeout(Duration::from_millis(20), broker.changed());
    let _ = changed.await;
}

/// Looks again at each change of a broker, until something is found; nothing: it never was.
pub(crate) async fn until<T>(broker: &Memory, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let looking = async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            changed(broker).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.ok()
}

/// Waits until an address has as many messages.
pub(crate) async fn arrived(broker: &Memory, address: &Address, count: usize) -> Vec<Message> {
    let all = || Some(broker.all(address)).filter(|all| all.len() >= count);
    let arrived = until(broker, all).await;
    arrived.unwrap_or_else(|| panic!("{count} messages never came to {address}: {}", broker.all(address).len()))
}

pub(crate) fn text(message: &Message) -> &str {
    std::str::from_utf8(&message.body).unwrap()
}

pub(crate) fn header<'m>(message: &'m Message, name: &str) -> &'m str {
    message.headers.get(name).unwrap_or_default()
}
