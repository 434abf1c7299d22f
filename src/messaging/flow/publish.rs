//! How messages of a session are published, and what follows from the answers.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::super::broker::{Boxed, Confirm, Lost, Sink, Unpublished};
use super::super::message::Message;
use super::super::translate::Poison;
use super::entry::LegState;
use super::session::{Event, Lane, Session};
use super::status::add;
use super::{Flow, State};
use crate::rules::channel::{Address, Order};

impl Session<'_> {
    /// Hands over whatever of a message is to be published, in the order of its targets.
    pub(super) async fn send(&mut self, at: u64) {
        let flow = self.flow;
        let Some(entry) = self.entries.get_mut(&at) else { return };
        if entry.expires.is_some_and(|at| at <= Instant::now()) {
            for leg in entry.legs.iter_mut().filter(|leg| matches!(leg.state, LegState::Ready | LegState::Failed)) {
                leg.state = LegState::Dead(Poison::new("expired", "it is older than its expiration"));
            }
        }
        let mut failed = None;
        for index in 0..entry.legs.len() {
            let Some(leg) = entry.legs.get(index) else { continue };
            let (sink, to, message, once, next) = match (&leg.state, &leg.out) {
                (LegState::Ready | LegState::Failed, Some(out)) => {
                    let Some(target) = flow.of.targets.get(leg.target) else { continue };
                    let once = Flow::once(entry, leg);
                    let to = leg.to.as_ref().unwrap_or(&target.address);
                    (leg.target, to, out.clone(), once, LegState::Sent)
                }
                (LegState::Dead(poison), _) => {
                    let to = leg.version.as_str();
                    let letter = flow.letter(entry, to, poison);
                    let once = Some(letter.facts.once());
                    let dead = LegState::DeadSent(poison.clone());
                    entry.answers = None;
                    (flow.targets.len(), &flow.dead.1, letter.write(), once, dead)
                }
                _ => continue,
            };
            match enqueue(flow, &mut self.sinks, (sink, to), message, once).await {
                Ok(confirm) => {
                    self.work.push(confirmed(at, index, confirm, flow.bounds.confirm));
                    if let Some(leg) = entry.legs.get_mut(index) {
                        leg.state = next;
                    }
                }
                Err(Lost(why)) => {
                    if let Some(leg) = entry.legs.get_mut(index)
                        && leg.state == LegState::Ready
                    {
                        leg.state = LegState::Failed;
                    }
                    self.dead_down |= sink == flow.targets.len();
                    failed = Some(why);
                }
            }
        }
        if let Some(why) = failed {
            self.failed(at, why);
        }
    }

    /// A confirmation has not come in time. One that the broker itself holds back comes later: to publish once more would be
    /// to publish twice.
    pub(super) async fn late(&mut self, at: u64, leg: usize, confirm: Confirm) {
        let found = self.entries.get(&at).and_then(|entry| entry.legs.get(leg));
        let sink = match found {
            Some(leg) if matches!(leg.state, LegState::DeadSent(_)) => self.flow.targets.len(),
            Some(leg) => leg.target,
            None => return,
        };
        let held = self.sinks.get(sink).and_then(Option::as_ref).and_then(|sink| sink.held());
        if let Some(why) = held {
            self.flow.status.becomes(State::Waiting(why));
            self.troubled = true;
            self.work.push(confirmed(at, leg, confirm, self.flow.bounds.confirm));
        } else {
            drop(confirm);
            self.published(at, leg, Err(Unpublished::Lost("not confirmed in time".to_owned()))).await;
        }
    }

    /// A message could not be published this time.
    fn failed(&mut self, at: u64, why: String) {
        add(&self.flow.status.counts.retried, 1);
        self.flow.status.becomes(State::Waiting(why));
        self.troubled = true;
        let Some(entry) = self.entries.get_mut(&at) else { return };
        entry.attempts += 1;
        let bounds = &self.flow.bounds;
        if self.attempts.is_some_and(|most| entry.attempts >= most) {
            for leg in entry.legs.iter_mut().filter(|leg| leg.state == LegState::Failed) {
                leg.state = LegState::Dead(Poison::new("attempts_exhausted", "it could not be published"));
            }
        }
        let pause =
            bounds.pause.saturating_mul(1 << entry.attempts.min(16).saturating_sub(1)).min(bounds.longest_pause);
        let pause = super::jittered(pause);
        if entry.key.is_some() || self.order == Order::None {
            self.work.push(Box::pin(async move {
                sleep(pause).await;
                Event::Again(Some(at))
            }));
            return;
        }
        self.lane = Lane::Held;
        self.resume(pause);
    }

    /// A broker has answered, or not in time.
    pub(super) async fn published(&mut self, at: u64, index: usize, result: Result<(), Unpublished>) {
        let Some(leg) = self.entries.get_mut(&at).and_then(|entry| entry.legs.get_mut(index)) else { return };
        let target = leg.target;
        let is_letter = matches!(leg.state, LegState::DeadSent(_));
        match result {
            Ok(()) => {
                if let LegState::DeadSent(poison) = &leg.state {
                    self.flow.status.count_dead(poison.reason);
                    self.dead_down = false;
                } else {
                    add(&self.flow.status.counts.published, 1);
                }
                leg.state = LegState::Done;
                if self.troubled && self.lane == Lane::Open {
                    self.troubled = false;
                    self.flow.status.becomes(State::Running);
                }
            }
            Err(why) => {
                let permanent = why.permanent().filter(|_| !is_letter);
                leg.state = match (&leg.state, permanent) {
                    (_, Some(reason)) => LegState::Dead(Poison::new(reason, why.to_string())),
                    (LegState::DeadSent(poison), None) => LegState::Dead(poison.clone()),
                    _ => LegState::Failed,
                };
                if permanent.is_some() {
                    return self.send(at).await;
                }
                if matches!(why, Unpublished::Lost(_)) {
                    let sink = if is_letter { self.flow.targets.len() } else { target };
                    self.sinks.get_mut(sink).into_iter().for_each(|slot| *slot = None);
                }
                self.dead_down |= is_letter;
                self.failed(at, why.to_string());
            }
        }
    }
}

/// Hands a message over to a sink, which is opened where it must be.
async fn enqueue(
    flow: &Flow,
    sinks: &mut [Option<Box<dyn Sink>>],
    (sink, to): (usize, &Address),
    message: Message,
    once: Option<String>,
) -> Result<Confirm, Lost> {
    let Some(slot) = sinks.get_mut(sink) else { return Err(Lost("no such target".to_owned())) };
    let open = if let Some(open) = slot {
        open
    } else {
        let broker = flow.targets.get(sink).unwrap_or(&flow.dead.0);
        slot.insert(broker.sink().await?)
    };
    let handed = open.enqueue(to, message, once).await;
    if handed.is_err() {
        *slot = None;
    }
    handed
}

/// Waits for a confirmation, for so long.
fn confirmed(at: u64, leg: usize, mut confirm: Confirm, limit: Duration) -> Boxed<'static, Event> {
    Box::pin(async move {
        match timeout(limit, &mut confirm).await {
            Ok(result) => Event::Published { at, leg, result },
            Err(_) => Event::Late { at, leg, confirm },
        }
    })
}
