//! A flow while its source is connected.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::sleep;

use super::super::broker::{Boxed, Confirm, Inbound, Lost, Sink, Source, Unpublished};
use super::super::replies::pending::Kept;
use super::super::seen::{Scope, SeenError};
use super::super::translate::Poison;
use super::entry::{Entry, LegState};
use super::lanes::Lanes;
use super::status::add;
use super::{Flow, Snapshot, stopped};
use crate::plan::Scratch;
use crate::rules::channel::{Carries, Dedup, OnPoison, Order};

/// How long what is parked stays so without a word.
pub(in crate::messaging) const PARKED: Dedup =
    Dedup { window: Duration::from_secs(24 * 365 * 3600), entries: u64::MAX };

/// Where it is remembered that a key is parked.
pub(in crate::messaging) fn parked(flow: &str, key: &str) -> Scope {
    Scope(format!("{flow}|parked|{key}"))
}

/// How a session ends.
pub(super) enum Ended {
    /// It was told to.
    Stopped,
    /// Its source, or what it remembers by, is gone.
    Lost(String),
    /// A message cannot be translated, and the channel says to stop there.
    Halted { why: String, generation: u64 },
}

/// Whether messages without a key are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// They are.
    Open,
    /// They wait for one of them that failed.
    Held,
    /// They wait, and somebody will say when they go on.
    Resuming,
}

/// What has happened to a message.
pub(super) enum Event {
    Published {
        at: u64,
        leg: usize,
        result: Result<(), Unpublished>,
    },
    /// Not confirmed so far.
    Late {
        at: u64,
        leg: usize,
        confirm: Confirm,
    },
    Settled {
        at: u64,
        result: Result<(), String>,
    },
    /// A request is kept, or not.
    Kept {
        at: u64,
        result: Result<Kept, String>,
    },
    /// It is time to try again: one message, or all that wait without a key.
    Again(Option<u64>),
}

pub(super) struct Session<'f> {
    pub(super) flow: &'f Flow,
    pub(super) source: Box<dyn Source>,
    /// One for each target, and one for the dead letters; none where it must be opened.
    pub(super) sinks: Vec<Option<Box<dyn Sink>>>,
    /// Each in a place of its own: they are large, and taken out and put back.
    pub(super) entries: BTreeMap<u64, Box<Entry>>,
    pub(super) next: u64,
    pub(super) weight: usize,
    pub(super) keys: Lanes,
    pub(super) ids: Lanes,
    /// Whose turn has come.
    pub(super) ready: VecDeque<u64>,
    /// Those without a key that wait until requests are kept, in order.
    pub(super) line: VecDeque<u64>,
    /// Whose turn has come while their keys are held.
    pub(super) aside: VecDeque<u64>,
    pub(super) held: watch::Receiver<()>,
    pub(super) work: FuturesUnordered<Boxed<'static, Event>>,
    /// Of messages without a key.
    pub(super) lane: Lane,
    /// Dead letters do not arrive.
    pub(super) dead_down: bool,
    /// Why the flow will stand still, and by which rules.
    pub(super) halting: Option<(String, u64)>,
    /// Whether the last word to operators was that it waits.
    pub(super) troubled: bool,
    pub(super) order: Order,
    pub(super) on_poison: OnPoison,
    pub(super) attempts: Option<u32>,
    pub(super) dedup: Dedup,
    pub(super) scratch: Scratch,
}

impl<'f> Session<'f> {
    /// Opens the source; none: told to stop before it was open.
    pub(super) async fn open(flow: &'f Flow, stop: &mut watch::Receiver<bool>) -> Option<Result<Self, Lost>> {
        let open = async {
            flow.dead.0.make(&flow.dead.1).await?;
            flow.make_replies().await?;
            flow.source.source(&flow.of.source, &flow.status.reader, flow.bounds.in_flight).await
        };
        let source = tokio::select! {
            source = open => source,
            () = stopped(stop) => return None,
        };
        Some(source.map(|source| Self {
            flow,
            source,
            sinks: (0..=flow.targets.len()).map(|_| None).collect(),
            entries: BTreeMap::new(),
            next: 0,
            weight: 0,
            keys: Lanes::default(),
            ids: Lanes::default(),
            ready: VecDeque::new(),
            line: VecDeque::new(),
            aside: VecDeque::new(),
            held: flow.status.parking.follow(),
            work: FuturesUnordered::new(),
            lane: Lane::Open,
            dead_down: false,
            halting: None,
            troubled: false,
            order: Order::default(),
            on_poison: OnPoison::default(),
            attempts: None,
            dedup: Dedup::default(),
            scratch: Scratch::default(),
        }))
    }

    pub(super) fn snapshot(&self) -> Result<Snapshot, Ended> {
        self.flow.rules.snapshot(&self.flow.service).ok_or_else(|| Ended::Lost("the service is gone".to_owned()))
    }

    /// A message has come.
    pub(super) async fn take(&mut self, inbound: Inbound) -> Option<Ended> {
        let counts = &self.flow.status.counts;
        add(&counts.received, 1);
        add(&counts.redelivered, u64::from(inbound.redelivered));
        let snapshot = match self.snapshot() {
            Ok(snapshot) => snapshot,
            Err(ended) => return Some(ended),
        };
        if let Some(channel) = snapshot.plan.channel(&self.flow.channel) {
            (self.order, self.on_poison) = match self.flow.of.carries {
                Carries::Messages => (channel.order, channel.on_poison),
                // Requesters do not wait for one another.
                Carries::Replies => (Order::None, OnPoison::DeadLetter),
            };
            (self.attempts, self.dedup) = (channel.attempts, channel.dedup);
        }
        let mut entry = Box::new(self.flow.admit(inbound, &snapshot));
        if self.order == Order::None {
            entry.key = None;
        }
        let at = self.next;
        self.next += 1;
        self.weight += entry.weight;
        let is_first = entry.key.as_ref().is_none_or(|key| self.keys.join(key, at));
        let is_only = entry.id.as_ref().is_none_or(|id| self.ids.join(id, at));
        entry.waits = u8::from(!is_first) + u8::from(!is_only);
        if entry.waits == 0 {
            self.ready.push_back(at);
        }
        self.entries.insert(at, entry);
        self.start_ready(Some(snapshot)).await
    }

    /// Plans and publishes what is ready; the first by the rules of `now`, where they have been looked up just before.
    pub(super) async fn start_ready(&mut self, mut now: Option<Snapshot>) -> Option<Ended> {
        while self.halting.is_none()
            && let Some(at) = self.ready.pop_front()
        {
            let snapshot = match now.take().map_or_else(|| self.snapshot(), Ok) {
                Ok(snapshot) => snapshot,
                Err(ended) => return Some(ended),
            };
            let Some(entry) = self.entries.get_mut(&at) else { continue };
            if self.on_poison == OnPoison::ParkKey
                && let Some(key) = &entry.key
            {
                entry.busy = self.flow.status.parking.enter(key);
                if entry.busy.is_none() {
                    self.aside.push_back(at);
                    continue;
                }
            }
            let planned = self.flow.plan(entry, &snapshot, &mut self.scratch);
            let (key, poison) = (entry.key.clone(), poison_of(entry));
            if let Err(SeenError(why)) = planned {
                return Some(Ended::Lost(why));
            }
            match (self.on_poison, poison) {
                (OnPoison::Halt, Some(poison)) => {
                    let why = format!("{}: {}", poison.reason, poison.detail);
                    self.halting = Some((why, snapshot.generation));
                    return None;
                }
                (OnPoison::ParkKey, poison) => {
                    if let (Some(key), Err(SeenError(why))) = (&key, self.park(at, key.as_deref(), poison).await) {
                        return Some(Ended::Lost(format!("`{key}`: {why}")));
                    }
                }
                _ => {}
            }
            if self.holds(at) {
                continue;
            }
            let waits_for_others = key.is_none() && self.lane != Lane::Open && self.order == Order::Key;
            if !waits_for_others {
                self.send(at).await;
            }
            self.finish(at);
        }
        None
    }

    /// Where a message of a key is poison, those behind it follow it.
    async fn park(&mut self, at: u64, key: Option<&str>, poison: Option<Poison>) -> Result<(), SeenError> {
        let Some(key) = key else { return Ok(()) };
        let scope = parked(&self.flow.status.name, key);
        if poison.is_some() {
            return self.flow.seen.mark(vec![(scope, 1)], PARKED).await;
        }
        if self.flow.seen.get(&scope, PARKED)?.is_some()
            && let Some(entry) = self.entries.get_mut(&at)
        {
            for leg in entry.legs.iter_mut().filter(|leg| leg.state != LegState::Done) {
                leg.state = LegState::Dead(Poison::new("parked", "a message of the same key is with the dead letters"));
            }
        }
        Ok(())
    }

    /// Once nothing without a key is under way any more, all that failed is published again, in order, after a pause.
    pub(super) fn resume(&mut self, pause: Duration) {
        let under_way = |entry: &Entry| entry.key.is_none() && !entry.finishing && entry.is_out();
        if self.lane != Lane::Held || self.entries.values().any(|entry| under_way(entry)) {
            return;
        }
        self.lane = Lane::Resuming;
        self.work.push(Box::pin(async move {
            sleep(pause).await;
            Event::Again(None)
        }));
    }

    pub(super) async fn on(&mut self, event: Event, pause: &mut Duration) -> Option<Ended> {
        match event {
            Event::Published { at, leg, result } => {
                let is_ok = result.is_ok();
                self.published(at, leg, result).await;
                if is_ok {
                    *pause = self.flow.bounds.pause;
                }
                self.finish(at);
                self.resume(self.flow.bounds.pause);
            }
            Event::Late { at, leg, confirm } => {
                self.late(at, leg, confirm).await;
                self.finish(at);
                self.resume(self.flow.bounds.pause);
            }
            // What has failed goes back to the broker with the poison, and so does what stands behind it.
            Event::Again(_) if self.halting.is_some() => {}
            Event::Again(one) => {
                let again: Vec<u64> = if let Some(at) = one {
                    vec![at]
                } else {
                    self.lane = Lane::Open;
                    let open = |entry: &Entry| entry.key.is_none() && entry.waits == 0 && entry.is_to_send();
                    let open = self.entries.iter().filter(|(_, entry)| open(entry));
                    open.map(|(at, _)| *at).collect()
                };
                for at in again {
                    // One that fails holds those behind it.
                    if one.is_none() && self.lane != Lane::Open {
                        break;
                    }
                    self.send(at).await;
                    self.finish(at);
                }
            }
            Event::Kept { at, result } => {
                if let Some(ended) = self.kept(at, result).await {
                    return Some(ended);
                }
            }
            Event::Settled { at, result } => {
                if let Err(why) = result {
                    return Some(Ended::Lost(why));
                }
                if let Some(entry) = self.entries.remove(&at) {
                    self.weight = self.weight.saturating_sub(entry.weight);
                    add(&self.flow.status.counts.settled, 1);
                    if let Some(next) = entry.id.as_ref().and_then(|id| self.ids.leave(id, at)) {
                        self.make_way(next);
                    }
                }
            }
        }
        self.start_ready(None).await
    }

    /// Marks and settles a message that is done everywhere; what waits for its key goes on.
    pub(super) fn finish(&mut self, at: u64) {
        let Some(entry) = self.entries.get_mut(&at).filter(|entry| entry.is_done() && !entry.finishing) else { return };
        entry.finishing = true;
        let Some(settle) = entry.settle.take() else { return };
        let flow = self.flow;
        let mark = flow.mark(entry, self.dedup);
        let next = entry.key.clone().and_then(|key| self.keys.leave(&key, at));
        self.work.push(Box::pin(async move {
            if let Some(mark) = mark
                && let Err(why) = mark.await
            {
                return Event::Settled { at, result: Err(why) };
            }
            Event::Settled { at, result: settle.done().await.map_err(|Lost(why)| why) }
        }));
        if let Some(next) = next {
            self.make_way(next);
        }
    }

    fn make_way(&mut self, at: u64) {
        if let Some(entry) = self.entries.get_mut(&at) {
            entry.waits = entry.waits.saturating_sub(1);
            if entry.waits == 0 {
                self.ready.push_back(at);
            }
        }
    }
}

fn poison_of(entry: &Entry) -> Option<Poison> {
    entry.legs.iter().find_map(|leg| match &leg.state {
        LegState::Dead(poison) => Some(poison.clone()),
        _ => None,
    })
}
