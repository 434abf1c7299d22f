//! A crash after every step, and brokers that refuse: nothing is lost, order is kept.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bifocal::contract::documents::Random;
use bifocal::messaging::broker::{Boxed, Broker, Unpublished};
use bifocal::messaging::brokers::memory::{Faults, Memory, Step};
use bifocal::messaging::message::Message;
use bifocal::messaging::seen::{Seen, Volatile};
use tokio::sync::{Notify, watch};

use super::{Fixed, PATIENCE, RULES, Running, flows, header, message, plan, queue, service, text, until};

/// Ends the world at the nth step of a kind, anywhere or at one queue.
#[derive(Clone)]
pub(super) struct Crash {
    step: Step,
    queue: Option<String>,
    /// Steps that are left with the one that ends it; none: it does not end.
    left: Arc<AtomicU64>,
    come: Arc<Notify>,
}

impl Crash {
    /// A broker at which the world ends at a step once it is [armed](Self::arm).
    pub(super) fn broker(step: Step, of: Option<&str>) -> (Memory, Self) {
        let of = of.map(|name| queue(name).to_string());
        let crash = Self { step, queue: of, left: Arc::default(), come: Arc::default() };
        (Memory::with_faults(Box::new(crash.clone())), crash)
    }

    /// It ends at the nth step from now on.
    pub(super) fn arm(&self, nth: u64) {
        self.left.store(nth, Ordering::SeqCst);
    }

    /// Waits for the end.
    pub(super) async fn come(&self) {
        tokio::time::timeout(PATIENCE, self.come.notified()).await.unwrap();
    }
}

impl Faults for Crash {
    fn at<'f>(&'f self, step: Step, address: &'f str, _: Option<&'f Message>) -> Boxed<'f, Result<(), Unpublished>> {
        Box::pin(async move {
            if step == self.step
                && self.queue.as_deref().is_none_or(|queue| queue == address)
                && self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)) == Ok(1)
            {
                self.come.notify_one();
                std::future::pending::<()>().await;
            }
            Ok(())
        })
    }
}

/// The totals at an address, by key, first deliveries only, each in order.
fn firsts(all: &[Message]) -> BTreeMap<String, Vec<u64>> {
    let mut seen = std::collections::BTreeSet::new();
    let mut lanes: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for one in all {
        let id = one.properties.message_id.clone().unwrap();
        if seen.insert(id.clone()) {
            lanes.entry(header(one, "bifocal-key").to_owned()).or_default().push(id.parse().unwrap());
        }
    }
    lanes
}

/// What has come through once as many messages have and all are settled.
async fn all_through(broker: &Memory, count: usize, what: &str) -> Vec<Message> {
    let out = || broker.all(&queue("out.v2"));
    let through = until(broker, || {
        let is_settled = broker.unsettled(&queue("in.v1")) == 0;
        Some(out()).filter(|out| is_settled && firsts(out).values().map(Vec::len).sum::<usize>() == count)
    });
    through.await.unwrap_or_else(|| panic!("{what}: {} of {count}", out().len()))
}

#[tokio::test]
async fn a_crash_after_any_step_loses_nothing() {
    const COUNT: u64 = 40;
    for keyed in [false, true] {
        for step in [Step::Give, Step::Publish, Step::Store, Step::Settle] {
            for nth in [1, 2, 7, 23] {
                let (broker, crash) = Crash::broker(step, None);
                crash.arm(nth);
                let rules = Fixed::new(plan(&service(""), RULES));
                for id in 0..COUNT {
                    let key = keyed.then(|| format!("k{}", id % 5));
                    broker.put(
                        &queue("in.v1"),
                        message(&id.to_string(), key.as_deref(), &format!(r#"{{"total":{id}}}"#)),
                    );
                }
                let seen: Arc<dyn Seen> = Arc::new(Volatile::default());
                let shared: Arc<dyn Broker> = Arc::new(broker.clone());
                {
                    let (_stop, stopped) = watch::channel(false);
                    let running = flows(&shared, &rules, &seen).into_iter().map(|flow| flow.run(stopped.clone()));
                    let all = futures_util::future::join_all(running);
                    tokio::select! {
                        _ = all => {}
                        () = crash.come() => {}
                    }
                }
                // A process that was killed remembers nothing that was not kept.
                let running = Running::start(&broker, &rules);
                let what = format!("{step:?} {nth} keyed {keyed}");
                let out = all_through(&broker, 40, &what).await;
                running.stop().await;
                assert!(firsts(&out).values().all(|lane| lane.is_sorted()), "{what}: {:?}", firsts(&out));
                assert_eq!(broker.unsettled(&queue("in.v1")), 0, "{what}");
                assert_eq!(broker.all(&queue("dead")).len(), 0, "{what}");
                for one in &out {
                    let id: u64 = one.properties.message_id.as_deref().unwrap().parse().unwrap();
                    assert_eq!(text(one), format!(r#"{{"price":"0.{id:02}"}}"#), "{what}");
                }
            }
        }
    }
}

/// Refuses, at random, to publish, to confirm, or to keep a connection.
pub(super) struct Moody {
    random: Mutex<Random>,
    /// How often, of a hundred times.
    share: fn(Step) -> usize,
}

impl Moody {
    pub(super) fn broker(seed: u64, share: fn(Step) -> usize) -> Memory {
        Memory::with_faults(Box::new(Self { random: Mutex::new(Random::new(seed)), share }))
    }
}

impl Faults for Moody {
    fn at<'f>(&'f self, step: Step, _: &'f str, _: Option<&'f Message>) -> Boxed<'f, Result<(), Unpublished>> {
        let fails = self.random.lock().unwrap().below(100) < (self.share)(step);
        Box::pin(async move {
            // Others go first, sometimes.
            tokio::task::yield_now().await;
            match step {
                _ if !fails => Ok(()),
                Step::Publish => Err(Unpublished::Refused("not now".into())),
                _ => Err(Unpublished::Lost("gone".into())),
            }
        })
    }
}

#[tokio::test]
async fn what_is_refused_is_published_again_in_order() {
    for seed in 0..12 {
        let keyed = seed % 2 == 0;
        let broker = Moody::broker(seed, |step| match step {
            Step::Publish => 4,
            Step::Store => 2,
            Step::Give | Step::Settle => 1,
        });
        let rules = Fixed::new(plan(&service(""), RULES));
        let running = Running::start(&broker, &rules);
        for id in 0..300_u64 {
            let key = keyed.then(|| format!("k{}", id % 7));
            broker.put(&queue("in.v1"), message(&id.to_string(), key.as_deref(), &format!(r#"{{"total":{id}}}"#)));
        }
        let out = all_through(&broker, 300, &format!("seed {seed}")).await;
        running.stop().await;
        assert_eq!(broker.unsettled(&queue("in.v1")), 0, "seed {seed}");
        // Without keys messages are published without waiting: one that is refused alone is overtaken by those that were
        // on their way; with keys never.
        if keyed {
            assert!(firsts(&out).values().all(|lane| lane.is_sorted()), "seed {seed}: {:?}", firsts(&out));
        }
    }
}
