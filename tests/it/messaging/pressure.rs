//! Targets that take nothing while thousands of messages wait: what a flow holds is bounded, and it goes on where it was.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bifocal::messaging::broker::Broker;
use bifocal::messaging::brokers::nats::{Nats, Settings};
use bifocal::messaging::flow::{Flow, State, Status};
use bifocal::rules::channel::Address;
use tokio::sync::watch;

use super::broker_process::{Kind, More, Process};
use super::contract::subject;
use super::kills::{Judge, Outcome, flow, number};
use super::{message, queue, until_it_serves};

/// Bytes of each message. So many wait as make 80 MB, or 320 MB in the long form.
const BODY: usize = 16_384;
/// What a flow may hold, messages and bytes. The bytes are reached first.
const IN_FLIGHT: usize = 200;
const BYTES: usize = 1_600_000;
/// Bytes by which the process may grow meanwhile: far less than waits, and enough for buffers of connections.
const GROWTH: usize = 40 << 20;

/// Messages that wait.
fn count() -> usize {
    number("BIFOCAL_WAITING", 5000)
}

/// A flow with messages that wait for it.
struct Carrying {
    status: Arc<Status>,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
    target: (Arc<dyn Broker>, Address),
    before: usize,
}

async fn fill(broker: &dyn Broker, at: &Address) {
    let mut sink = broker.sink().await.unwrap();
    let filling = "x".repeat(BODY);
    let ids: Vec<usize> = (0..count()).collect();
    for part in ids.chunks(1000) {
        let mut confirms = Vec::new();
        for id in part {
            let body = format!(r#"{{"total":{id},"nick":"n","filling":"{filling}"}}"#);
            confirms.push(sink.enqueue(at, message(&id.to_string(), None, &body), None).await.unwrap());
        }
        for confirm in confirms {
            confirm.await.unwrap();
        }
    }
}

impl Carrying {
    /// Starts when all are there, and comes back when some have been carried.
    async fn start(from: (Kind, Arc<dyn Broker>), to: (Kind, Arc<dyn Broker>)) -> Self {
        let at = |kind: Kind, name: &str| if kind == Kind::Rabbit { queue(name) } else { subject(name) };
        let (source, target) = (at(from.0, "in"), at(to.0, "out"));
        from.1.make(&source).await.unwrap();
        to.1.make(&target).await.unwrap();
        fill(&*from.1, &source).await;
        let mut flow: Flow = flow((from.0, from.1, "in"), (to.0, to.1.clone(), "out"));
        flow.bounds.in_flight = IN_FLIGHT;
        flow.bounds.bytes = BYTES;
        flow.bounds.confirm = Duration::from_secs(2);
        flow.bounds.longest_pause = Duration::from_millis(500);
        let before = resident();
        let (stop, stopped) = watch::channel(false);
        let status = flow.status.clone();
        let carrying = Self { status, stop, task: tokio::spawn(flow.run(stopped)), target: (to.1, target), before };
        carrying.until("some are carried", |status| status.counts.published.load(Relaxed) >= 300).await;
        carrying
    }

    /// Waits for something of the flow, and sees to it that it never holds more than it may.
    async fn until(&self, what: &str, is_so: impl Fn(&Status) -> bool) {
        let counts = &self.status.counts;
        let waiting = async {
            while !is_so(&self.status) {
                let (messages, bytes) = (counts.in_flight.load(Relaxed), counts.in_flight_bytes.load(Relaxed));
                assert!(messages <= IN_FLIGHT, "{messages} in flight");
                assert!(bytes <= BYTES + 2 * BODY, "{bytes} bytes in flight");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let in_time = tokio::time::timeout(Duration::from_secs(120), waiting).await;
        in_time.unwrap_or_else(|_| panic!("never: {what}; {:?} {counts:?}", self.status.state()));
    }

    /// Waits until the flow has waited for some time for the reason that is expected, and looks at the process's memory.
    async fn in_vain(&self, words: &str, tries: u64) {
        let waits = |status: &Status| matches!(status.state(), State::Waiting(why) if why.contains(words));
        self.until(words, waits).await;
        let before = self.status.counts.retried.load(Relaxed);
        self.until("it has tried again", |status| status.counts.retried.load(Relaxed) >= before + tries).await;
        let grown = resident().saturating_sub(self.before);
        assert!(grown < GROWTH, "{} KiB more than before", grown >> 10);
        assert!(self.status.counts.settled.load(Relaxed) < count() as u64);
    }

    async fn end(self) -> Outcome {
        let mut judge = Judge::default();
        let mut reader = until_it_serves(async || self.target.0.source(&self.target.1, "judge", 512).await).await;
        judge.read(&mut reader, count(), Duration::from_secs(60)).await;
        self.until("all are settled", |status| status.counts.settled.load(Relaxed) >= count() as u64).await;
        judge.read(&mut reader, usize::MAX, Duration::from_secs(1)).await;
        self.stop.send(true).unwrap();
        self.task.await.unwrap();
        judge.outcome(count(), false)
    }
}

/// Bytes of this process that are in memory.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

fn rabbit() -> Option<Process> {
    Process::start(Kind::Rabbit)
}

/// Not each message is synced: thousands are written.
fn nats() -> Option<Process> {
    Process::start_with(Kind::Nats, More::default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_hangs_holds_the_flow_back() {
    let (Some(rabbit), Some(nats)) = (rabbit(), nats()) else { return };
    let urls = vec![format!("nats://127.0.0.1:{}", nats.port)];
    let target = Nats::new(Settings { urls, patience: Duration::from_secs(1), ..Settings::default() });
    let carrying = Carrying::start((Kind::Rabbit, Arc::new(rabbit.amqp())), (Kind::Nats, Arc::new(target))).await;
    nats.signal("-STOP");
    carrying.in_vain("did not answer in time", 3).await;
    nats.signal("-CONT");
    let outcome = carrying.end().await;
    assert_eq!((outcome.lost, outcome.duplicates, outcome.reordered), (0, 0, 0), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_gone_holds_the_flow_back() {
    let (Some(mut rabbit), Some(nats)) = (rabbit(), nats()) else { return };
    let target: Arc<dyn Broker> = Arc::new(rabbit.amqp());
    let carrying = Carrying::start((Kind::Nats, Arc::new(nats.nats_client())), (Kind::Rabbit, target)).await;
    // Of one that is killed while it writes, a queue may stay closed: `kills` has that, here it must only be gone.
    rabbit.end();
    carrying.in_vain("cannot be reached", 3).await;
    rabbit.restart();
    let outcome = carrying.end().await;
    assert_eq!((outcome.lost, outcome.reordered), (0, 0), "{outcome:?}");
    assert!(outcome.duplicates <= IN_FLIGHT, "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_blocks_publishers_holds_the_flow_back() {
    let Some(rabbit) = rabbit() else { return };
    let broker: Arc<dyn Broker> = Arc::new(rabbit.amqp());
    let carrying = Carrying::start((Kind::Rabbit, broker.clone()), (Kind::Rabbit, broker)).await;
    rabbit.control(&["set_vm_memory_high_watermark", "absolute", "1MB"]);
    // It says so when confirmations should have come; nothing is published again.
    carrying.in_vain("takes nothing at the moment: low on memory", 0).await;
    rabbit.control(&["set_vm_memory_high_watermark", "absolute", "1GB"]);
    let outcome = carrying.end().await;
    assert_eq!((outcome.lost, outcome.duplicates, outcome.reordered), (0, 0, 0), "{outcome:?}");
}
