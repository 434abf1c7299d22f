//! The loop of a session: what has happened, and what is to be done about it.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout_at};

use super::super::broker::{Boxed, Inbound, Lost};
use super::session::{Ended, Event, Lane, Session};
use super::{State, stopped};

/// How often brokers hear that messages are still in work.
const WORKING: Duration = Duration::from_secs(3);
/// Events of one kind that follow one another without a look at all others.
const AT_ONCE: usize = 32;

impl Session<'_> {
    /// Runs until it is told to stop or its source is gone.
    pub(super) async fn run(mut self, stop: &mut watch::Receiver<bool>, pause: &mut Duration) -> Ended {
        self.flow.status.becomes(State::Running);
        let mut working = interval(WORKING);
        working.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut deadline: Option<Instant> = None;
        let mut told_to_stop = std::pin::pin!(stopped(stop));
        loop {
            if let Some(deadline) = deadline.filter(|_| self.entries.is_empty()) {
                // In time or not, nothing is left to be done.
                let _ = timeout_at(deadline, self.source.close()).await;
                return Ended::Stopped;
            }
            // What is under way ends before the flow stands still.
            if self.halting.is_some()
                && !self.entries.values().any(|entry| entry.is_out())
                && let Some((why, generation)) = self.halting.take()
            {
                return Ended::Halted { why, generation };
            }
            // What is rare comes first, and what makes room before what takes it: each look at what is not ready costs.
            let happened = tokio::select! {
                biased;
                () = &mut told_to_stop, if deadline.is_none() => {
                    self.flow.status.becomes(State::Draining);
                    self.source.stop().await;
                    deadline = Some(Instant::now() + self.flow.bounds.drain);
                    None
                }
                // The flow has the other end.
                Ok(()) = self.held.changed(), if !self.aside.is_empty() => {
                    self.ready.append(&mut self.aside);
                    self.start_ready(None).await
                }
                () = wait_until(deadline), if deadline.is_some() => return Ended::Stopped,
                _ = working.tick() => {
                    for told in self.still_working() {
                        told.await;
                    }
                    None
                }
                Some(event) = self.work.next(), if !self.work.is_empty() => self.happened(event, pause).await,
                inbound = self.source.next(), if deadline.is_none() && self.may_take() => self.came(inbound).await,
            };
            if let Some(ended) = happened {
                return ended;
            }
            self.tell();
        }
    }

    /// Whether it is the turn of the source.
    fn may_take(&self) -> bool {
        let bounds = &self.flow.bounds;
        let has_room = self.entries.is_empty() || (self.entries.len() < bounds.in_flight && self.weight < bounds.bytes);
        has_room && self.halting.is_none() && self.lane == Lane::Open && !self.dead_down
    }

    /// Something has happened, and maybe more.
    async fn happened(&mut self, event: Event, pause: &mut Duration) -> Option<Ended> {
        let mut next = Some(event);
        let mut left = AT_ONCE;
        while let Some(event) = next {
            if let Some(ended) = self.on(event, pause).await {
                return Some(ended);
            }
            left -= 1;
            let more = poll_fn(|context| Poll::Ready(self.work.poll_next_unpin(context)));
            next = if left == 0 { None } else { ready(more.await).flatten() };
        }
        None
    }

    /// A message has come, and maybe more.
    async fn came(&mut self, inbound: Result<Inbound, Lost>) -> Option<Ended> {
        let mut next = Some(inbound);
        let mut left = AT_ONCE;
        while let Some(inbound) = next {
            let ended = match inbound {
                Ok(inbound) => self.take(inbound).await,
                Err(Lost(why)) => Some(Ended::Lost(why)),
            };
            if ended.is_some() {
                return ended;
            }
            left -= 1;
            if left == 0 || !self.may_take() {
                return None;
            }
            let mut more = self.source.next();
            next = ready(poll_fn(|context| Poll::Ready(more.as_mut().poll(context))).await);
        }
        None
    }

    fn tell(&self) {
        use std::sync::atomic::Ordering::Relaxed;
        self.flow.status.counts.in_flight.store(self.entries.len(), Relaxed);
        self.flow.status.counts.in_flight_bytes.store(self.weight, Relaxed);
    }

    /// What tells brokers that old messages are still in work.
    fn still_working(&self) -> Vec<Boxed<'static, ()>> {
        let old = self.entries.values().filter(|entry| entry.since.elapsed() > WORKING);
        old.filter_map(|entry| entry.settle.as_ref()).map(|settle| settle.working()).collect()
    }
}

/// What is there already.
fn ready<T>(looked: Poll<T>) -> Option<T> {
    match looked {
        Poll::Ready(found) => Some(found),
        Poll::Pending => None,
    }
}

/// Until then; without a time, for ever.
async fn wait_until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
