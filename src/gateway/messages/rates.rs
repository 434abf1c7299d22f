//! How fast flows are, and how much waits for them: looked at now and then.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::messaging::flow::Status;
use crate::messaging::supervisor::Supervisor;

/// Between two looks at the numbers.
const EVERY: Duration = Duration::from_secs(1);
/// Looks that are kept: rates are those of the last ten seconds.
const KEPT: usize = 11;
/// Looks between two questions to brokers.
const ASKED: u64 = 10;

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Rates(BTreeMap<String, Looks>);

#[derive(Debug, Default)]
struct Looks {
    /// When, and how many messages had been received and published by then.
    looks: VecDeque<(Instant, u64, u64)>,
    waiting: Option<u64>,
}

/// Messages a second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Rate {
    pub(super) received: f64,
    pub(super) published: f64,
}

impl Rates {
    /// Of the last ten seconds, as far as the flow has run for them.
    pub(super) fn rate(&self, flow: &str) -> Rate {
        let looks = self.0.get(flow).map(|looks| &looks.looks);
        let (Some((from, received, published)), Some((to, received_to, published_to))) =
            (looks.and_then(VecDeque::front), looks.and_then(VecDeque::back))
        else {
            return Rate::default();
        };
        let seconds = to.duration_since(*from).as_secs_f64();
        if seconds <= 0.0 {
            return Rate::default();
        }
        // A flow that was replaced begins anew.
        #[expect(clippy::cast_precision_loss, reason = "nobody counts so many messages in ten seconds")]
        let per_second = |from: u64, to: u64| to.saturating_sub(from) as f64 / seconds;
        Rate { received: per_second(*received, *received_to), published: per_second(*published, *published_to) }
    }

    /// How many messages waited when the broker was last asked, if it could tell.
    pub(super) fn waiting(&self, flow: &str) -> Option<u64> {
        self.0.get(flow)?.waiting
    }

    fn look(&mut self, flows: &[Arc<Status>], now: Instant) {
        self.0.retain(|name, _| flows.iter().any(|flow| flow.name == *name));
        for flow in flows {
            let looks = &mut self.0.entry(flow.name.clone()).or_default().looks;
            let load = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
            let received = load(&flow.counts.received);
            if looks.back().is_some_and(|(_, before, _)| *before > received) {
                looks.clear();
            }
            looks.push_back((now, received, load(&flow.counts.published)));
            if looks.len() > KEPT {
                looks.pop_front();
            }
        }
    }
}

/// Looks until told to stop.
pub(super) async fn look(supervisor: Arc<Supervisor>, rates: Arc<Mutex<Rates>>, mut stop: watch::Receiver<bool>) {
    let looking = async {
        let locked = || rates.lock().unwrap_or_else(PoisonError::into_inner);
        for round in 0_u64.. {
            let flows: Vec<Arc<Status>> = supervisor.flows().into_values().filter_map(|flow| flow.status).collect();
            locked().look(&flows, Instant::now());
            if round.is_multiple_of(ASKED) {
                let supervisor = &supervisor;
                let asked = flows.iter().map(|flow| async move { (flow.name.clone(), supervisor.waiting(flow).await) });
                let answers = join_all(asked).await;
                let mut rates = locked();
                for (name, waiting) in answers {
                    if let Some(looks) = rates.0.get_mut(&name) {
                        looks.waiting = waiting;
                    }
                }
            }
            sleep(EVERY).await;
        }
    };
    tokio::select! {
        () = looking => {}
        // A sender that is gone has stopped, too.
        _ = stop.wait_for(|stop| *stop) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::messaging::flow::Flow;
    use crate::rules::channel::{self, Address};

    fn status() -> Arc<Status> {
        let queue = Address::Queue { broker: "b".into(), queue: "q".into() };
        let flow = channel::Flow {
            name: "c/v1".into(),
            version: 0,
            source: queue.clone(),
            targets: vec![],
            dead_letter: None,
            carries: channel::Carries::Messages,
            replies: None,
        };
        Flow::status("s", &flow, queue)
    }

    #[test]
    fn a_rate_is_that_of_the_last_ten_seconds() {
        let (mut rates, flow, begun) = (Rates::default(), status(), Instant::now());
        assert!(flow.since <= SystemTime::now());
        for second in 0..30 {
            // Ten a second, later a hundred.
            flow.counts.received.fetch_add(if second < 15 { 10 } else { 100 }, Ordering::Relaxed);
            rates.look(std::slice::from_ref(&flow), begun + Duration::from_secs(second));
        }
        assert_eq!(rates.rate("s/c/v1"), Rate { received: 100.0, published: 0.0 });
        // Another flow of the same name has its own numbers.
        let flow = status();
        rates.look(std::slice::from_ref(&flow), begun + Duration::from_secs(30));
        assert_eq!(rates.rate("s/c/v1"), Rate::default());
        rates.look(&[], begun + Duration::from_secs(31));
        assert_eq!(rates.0.len(), 0);
    }
}
