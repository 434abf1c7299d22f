//! The process that is measured: what it is told, and what it says at its end.

use std::ops::Range;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bifocal::messaging::broker::{Boxed, Broker};
use bifocal::messaging::brokers::amqp::{self, Amqp};
use bifocal::messaging::brokers::nats::{self, Nats};
use bifocal::messaging::flow::{Bounds, Flow, Rules, Snapshot, Status};
use bifocal::messaging::message::Message;
use bifocal::messaging::replies::pending::Pending;
use bifocal::messaging::seen::{Seen, Volatile};
use bifocal::plan::ServicePlan;
use bifocal::rules::channel::Address;
use bifocal::store::{Indexes, Store};
use tokio::sync::watch;

use super::broker_process::Kind;
use super::{own_path, plain, sample};

/// Messages that are taken and not settled, on either side.
pub(super) const IN_FLIGHT: usize = 256;
/// Messages before the measurement begins, of a hundred.
const WARM_UP: usize = 10;

/// What a process is to carry.
pub(super) struct Told {
    pub(super) how: String,
    pub(super) kind: Kind,
    pub(super) port: u16,
    pub(super) from: String,
    pub(super) to: String,
    /// How many messages; zero: until it is killed.
    pub(super) count: usize,
    pub(super) seen: String,
}

impl Told {
    pub(super) fn parse(text: &str) -> Self {
        let parts: Vec<&str> = text.split(' ').collect();
        let [how, kind, port, from, to, count, seen] = parts[..] else { panic!("{text}") };
        Self {
            how: how.to_owned(),
            kind: if kind == "Rabbit" { Kind::Rabbit } else { Kind::Nats },
            port: port.parse().unwrap(),
            from: from.to_owned(),
            to: to.to_owned(),
            count: count.parse().unwrap(),
            seen: seen.to_owned(),
        }
    }

    /// On one core, so that both sides pay the same for threads that wake one another.
    pub(super) fn command(&self) -> Command {
        let Self { how, kind, port, from, to, count, seen } = self;
        let mut command = Command::new("taskset");
        command.args(["-c", "0"]).arg(own_path());
        command.args(["--carry", &format!("{how} {kind:?} {port} {from} {to} {count} {seen}")]);
        command.stdin(Stdio::null());
        command
    }

    /// Microseconds of CPU time for a message, and seconds for all, in a process of its own.
    pub(super) fn run_apart(&self) -> (f64, f64) {
        let output = self.command().stderr(Stdio::inherit()).output().unwrap();
        assert!(output.status.success(), "the process that carries has failed");
        let text = String::from_utf8(output.stdout).unwrap();
        let (micros, seconds) = text.trim().split_once(' ').unwrap();
        (micros.parse().unwrap(), seconds.parse::<f64>().unwrap() * (1.0 + 0.01 * WARM_UP as f64))
    }
}

pub(super) fn broker(kind: Kind, port: u16) -> Arc<dyn Broker> {
    match kind {
        Kind::Rabbit => {
            let urls = vec![format!("amqp://guest:guest@127.0.0.1:{port}/%2f")];
            Arc::new(Amqp::new(amqp::Settings { urls, ..amqp::Settings::default() }))
        }
        Kind::Nats => {
            let urls = vec![format!("nats://127.0.0.1:{port}")];
            Arc::new(Nats::new(nats::Settings { urls, ..nats::Settings::default() }))
        }
    }
}

pub(super) fn address(kind: Kind, name: &str) -> Address {
    match kind {
        Kind::Rabbit => Address::Queue { broker: "m".into(), queue: name.into() },
        Kind::Nats => Address::Subject { broker: "m".into(), subject: name.into(), stream: Some(format!("S-{name}")) },
    }
}

/// Publishes old orders with these ids.
pub(super) async fn fill(broker: &dyn Broker, to: &Address, ids: Range<usize>) {
    let mut sink = broker.sink().await.unwrap();
    let mut confirms = std::collections::VecDeque::new();
    for id in ids {
        let mut message = Message { body: sample::ORDER.into(), ..Message::default() };
        message.properties.message_id = Some(format!("order-{id}"));
        message.properties.content_type = Some("application/json".to_owned());
        confirms.push_back(sink.enqueue(to, message, None).await.unwrap());
        if confirms.len() >= 1000
            && let Some(oldest) = confirms.pop_front()
        {
            oldest.await.unwrap();
        }
    }
    for confirm in confirms {
        confirm.await.unwrap();
    }
}

/// Whether as many messages wait there as should.
pub(super) async fn waiting(broker: &dyn Broker, at: &Address, count: usize) -> bool {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(20) {
        if broker.waiting(at, "nobody").await.unwrap() == Some(count as u64) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}

/// The same rules all the while.
struct Fixed(Arc<ServicePlan>);

impl Rules for Fixed {
    fn snapshot(&self, _: &str) -> Option<Snapshot> {
        Some(Snapshot { plan: self.0.clone(), rules: "1".into(), generation: 1 })
    }

    fn plans(&self) -> (u64, Vec<Arc<ServicePlan>>) {
        (1, vec![self.0.clone()])
    }

    fn changed(&self, _: u64) -> Boxed<'_, ()> {
        Box::pin(std::future::pending())
    }
}

fn flow(told: &Told, folder: &std::path::Path) -> Flow {
    let rules = sample::plan(told);
    let channel = rules.channels.first().unwrap();
    let of = channel.flows.first().unwrap().clone();
    let broker = broker(told.kind, told.port);
    let dead = address(told.kind, &format!("{}-dead", told.from));
    let seen: Arc<dyn Seen> = match told.seen.as_str() {
        "disk" => {
            let store = Store::open(&folder.join("store")).unwrap();
            Arc::new(Indexes::default().durable(store, "orders").unwrap())
        }
        _ => Arc::new(Volatile::default()),
    };
    Flow {
        service: "orders".into(),
        channel: channel.name.clone(),
        status: Flow::status("orders", &of, dead.clone()),
        of,
        dead: (broker.clone(), dead),
        source: broker.clone(),
        targets: vec![broker],
        seen,
        pending: Pending::new(Store::memory()),
        rules: Arc::new(Fixed(rules)),
        bounds: Bounds { in_flight: IN_FLIGHT, ..Bounds::default() },
    }
}

/// Carries until all have been settled, and says what it has cost.
pub(super) async fn carry(told: &Told) {
    let folder = tempfile::tempdir().unwrap();
    let (_stop, stopped) = watch::channel(false);
    let settled: Box<dyn Fn() -> u64> = if told.how == "flow" {
        let flow = flow(told, folder.path());
        let status: Arc<Status> = flow.status.clone();
        tokio::spawn(flow.run(stopped));
        Box::new(move || status.counts.settled.load(Ordering::Relaxed))
    } else {
        let count = Arc::new(AtomicU64::new(0));
        tokio::spawn(plain::run(told.kind, told.port, told.from.clone(), told.to.clone(), count.clone()));
        Box::new(move || count.load(Ordering::Relaxed))
    };
    if told.count == 0 {
        return std::future::pending().await;
    }
    let first = until(&settled, (told.count * WARM_UP / 100) as u64).await;
    let (cpu, began) = (cpu(), Instant::now());
    let last = until(&settled, told.count as u64).await;
    let carried = (last - first) as f64;
    println!("{} {}", self::cpu().saturating_sub(cpu).as_secs_f64() * 1e6 / carried, began.elapsed().as_secs_f64());
}

async fn until(settled: &dyn Fn() -> u64, count: u64) -> u64 {
    loop {
        let now = settled();
        if now >= count {
            return now;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// CPU time of this process so far.
fn cpu() -> Duration {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let nanos = threads.flatten().map(|thread| {
        let text = std::fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|nanos| nanos.parse::<u64>().ok()).unwrap_or_default()
    });
    Duration::from_nanos(nanos.sum())
}
