//! Sending letters on.
//!
//! Where a key is parked, its letters go in the order of their messages, each only when those before it have gone; when
//! none is left, the key is held for a moment, whatever came meanwhile is sent on too, and its messages go their way again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{Instant, timeout, timeout_at};

use super::super::broker::{Broker, Inbound, Look, Lost, Settle, Sink, Unpublished};
use super::super::flow::{Flow, PARKED, parked};
use super::super::message::{Message, Value};
use super::super::translate::Poison;
use super::attempt::{self, Attempt, Refusal};
use super::{DEEPEST, Facts, Filter, Letter, Letters, PATIENCE, REDRIVE};
use crate::gateway::rfc3339;
use crate::rules::channel::Address;

/// Bytes of letters that are held at a time.
const BYTES: usize = 64 << 20;
/// How long a broker may take to confirm one.
const CONFIRM: Duration = Duration::from_secs(3);

/// What is to be sent on.
#[derive(Debug, Clone, Default)]
pub struct Errand {
    /// Which letters.
    pub filter: Filter,
    /// How many, at most.
    pub most: usize,
    /// Whether only to say what would happen.
    pub dry_run: bool,
    /// [`Redriven::before`] of an errand that this one goes on with: what has come back since then is left alone.
    pub before: Option<String>,
}

/// What became of a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Its message was published, or would be.
    Sent,
    /// It is a letter again, or would be: reason, detail and place.
    Again(&'static str, String, String),
    /// It waits for an earlier letter of its key.
    Behind,
    /// Its flow or its readers are no more.
    Gone,
    /// It is as it was, or was sent on and could not be settled: why.
    Left(String),
}

/// What became of an errand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Redriven {
    /// Each letter that was tried.
    pub letters: Vec<(Facts, Outcome)>,
    /// Whether there are more letters that the filter takes.
    pub more: bool,
    /// Letters that are what they are since before this time were there when this began.
    pub before: String,
    /// Keys whose messages go their way again.
    pub released: usize,
    /// Addresses that could not be looked through, and why.
    pub problems: Vec<(Address, String)>,
}

/// A flow and a key of its messages.
type Key = (String, String);

/// A letter of a parked key: its place in the order, and in the hand where it is meant.
type Place = (u64, Option<usize>);

/// Letters of one address in hand.
#[derive(Default)]
struct Hand {
    taken: Vec<Option<(Letter, Box<dyn Settle>)>>,
    /// Those of parked keys, by key and readers.
    lanes: BTreeMap<(Key, String), Vec<Place>>,
    /// Whether the whole address was looked through.
    is_whole: bool,
}

struct Run<'l> {
    letters: &'l Letters,
    errand: &'l Errand,
    until: Instant,
    done: Redriven,
    sinks: BTreeMap<(String, usize), Box<dyn Sink>>,
    /// Targets that do not take messages at the moment, and why.
    down: BTreeMap<(String, usize), String>,
    /// How many letters of flows that are there were taken in hand, and how many others were found.
    tried: usize,
    gone: usize,
}

impl Letters {
    /// Sends letters on, each to its flow's readers of its version and to nobody else.
    pub async fn redrive(&self, errand: &Errand) -> Redriven {
        let until = Instant::now() + PATIENCE;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let before = errand.before.clone().unwrap_or_else(|| rfc3339(now));
        let done = Redriven { before, ..Redriven::default() };
        let mut run = Run {
            letters: self,
            errand,
            until,
            done,
            sinks: BTreeMap::new(),
            down: BTreeMap::new(),
            tried: 0,
            gone: 0,
        };
        let Ok(_one) = timeout_at(until, self.one.lock()).await else {
            run.done.more = true;
            return run.done;
        };
        for (address, broker) in self.addresses(errand.filter.flow.as_deref()) {
            if let Err(Lost(why)) = run.address(&*broker, &address).await {
                run.done.problems.push((address, why));
            }
        }
        run.done
    }
}

impl Run<'_> {
    async fn address(&mut self, broker: &dyn Broker, address: &Address) -> Result<(), Lost> {
        let clear = self.pass(broker, address, None).await?;
        if clear.is_empty() || self.errand.dry_run {
            return Ok(());
        }
        let mut held = Vec::new();
        let mut keys = BTreeSet::new();
        for key in clear {
            let Some(flow) = self.letters.flow(&key.0) else { continue };
            // One that has messages under way for longer than this is asked for again.
            if let Ok(Some(one)) = timeout_at(self.until, flow.status.parking.hold(&key.1)).await {
                held.push(one);
                keys.insert(key);
            }
        }
        for key in self.pass(broker, address, Some(&keys)).await? {
            let Some(flow) = self.letters.flow(&key.0) else { continue };
            let forgotten = flow.seen.forget(parked(&key.0, &key.1)).await;
            forgotten.map_err(|error| Lost(error.to_string()))?;
            self.done.released += 1;
        }
        Ok(())
    }

    /// Looks through an address once and sends on what is meant; with `only`, letters of these keys. Answers the parked
    /// keys of which nothing is left.
    async fn pass(
        &mut self,
        broker: &dyn Broker,
        address: &Address,
        only: Option<&BTreeSet<Key>>,
    ) -> Result<BTreeSet<Key>, Lost> {
        let late = |_| Lost("it did not answer in time".to_owned());
        let mut look = timeout_at(self.until, broker.look(address, None)).await.map_err(late)??;
        let gathered = timeout_at(self.until, self.gather(&mut *look, only)).await;
        let result = match gathered.map_err(late) {
            Ok(Ok(hand)) => Ok(self.send_all(hand, only).await),
            Ok(Err(lost)) | Err(lost) => Err(lost),
        };
        look.end().await;
        result
    }

    async fn gather(&mut self, look: &mut dyn Look, only: Option<&BTreeSet<Key>>) -> Result<Hand, Lost> {
        let mut hand = Hand::default();
        let mut parks: BTreeMap<Key, bool> = BTreeMap::new();
        let mut bytes = 0;
        for _ in 0..DEEPEST {
            let Some(Inbound { message, settle, .. }) = look.next().await? else {
                hand.is_whole = true;
                break;
            };
            let Some(letter) = Letter::read(message) else { continue };
            let key = self.parked_key(&letter, &mut parks)?;
            let size = letter.message.weight();
            let is_gone = self.letters.flow(&letter.facts.flow).is_none();
            let is_meant = self.errand.filter.takes(&letter.facts)
                && self.is_new(&letter.facts)
                && only.is_none_or(|only| key.as_ref().is_some_and(|key| only.contains(key)));
            if is_meant && is_gone {
                if self.gone < self.errand.most {
                    self.gone += 1;
                    self.note(letter.facts, Outcome::Gone);
                }
                continue;
            }
            let has_room =
                self.tried + hand.taken.len() < self.errand.most && (bytes + size <= BYTES || hand.taken.is_empty());
            self.done.more |= is_meant && !has_room;
            let (order, to) = (letter.facts.order, letter.facts.to.clone());
            let at = (is_meant && has_room).then(|| {
                bytes += size;
                hand.taken.push(Some((letter, settle)));
                hand.taken.len() - 1
            });
            if let Some(key) = key {
                hand.lanes.entry((key, to)).or_default().push((order, at));
            }
        }
        self.done.more |= !hand.is_whole;
        Ok(hand)
    }

    /// Not one that came back since the errand began that this one goes on with. What a parked key has brought along since
    /// then was never tried.
    fn is_new(&self, facts: &Facts) -> bool {
        let before = self.errand.before.as_ref();
        facts.reason == "parked" || before.is_none_or(|before| facts.last_at <= *before)
    }

    fn parked_key(&self, letter: &Letter, parks: &mut BTreeMap<Key, bool>) -> Result<Option<Key>, Lost> {
        let Some(flow) = self.letters.flow(&letter.facts.flow) else { return Ok(None) };
        let Some(key) = attempt::key(flow, letter) else { return Ok(None) };
        let key = (letter.facts.flow.clone(), key);
        let is_parked = if let Some(known) = parks.get(&key) {
            *known
        } else {
            let found = flow.seen.get(&parked(&key.0, &key.1), PARKED);
            let found = found.map_err(|error| Lost(error.to_string()))?.is_some();
            parks.insert(key.clone(), found);
            found
        };
        Ok(is_parked.then_some(key))
    }

    async fn send_all(&mut self, mut hand: Hand, only: Option<&BTreeSet<Key>>) -> BTreeSet<Key> {
        self.tried += hand.taken.len();
        let mut clear: BTreeSet<Key> = only.cloned().unwrap_or_default();
        clear.extend(hand.lanes.keys().map(|(key, _)| key.clone()));
        if !hand.is_whole {
            clear.clear();
        }
        for ((key, _), mut lane) in std::mem::take(&mut hand.lanes) {
            lane.sort_unstable();
            let mut is_open = true;
            for (_, at) in lane {
                let taken = at.and_then(|at| hand.taken.get_mut(at)?.take());
                let outcome = match taken {
                    Some((letter, settle)) if is_open => self.send_one(letter, settle).await,
                    Some((letter, _)) => Some(self.note(letter.facts, Outcome::Behind)),
                    None => None,
                };
                is_open &= outcome == Some(Outcome::Sent);
            }
            if !is_open {
                clear.remove(&key);
            }
        }
        let mut rest: Vec<_> = hand.taken.into_iter().flatten().collect();
        // A broker may give back what was looked at in another order.
        rest.sort_by_key(|(letter, _)| letter.facts.order);
        for (letter, settle) in rest {
            self.send_one(letter, settle).await;
        }
        clear
    }

    fn note(&mut self, facts: Facts, outcome: Outcome) -> Outcome {
        self.done.letters.push((facts, outcome.clone()));
        outcome
    }

    /// None: there was no time for it.
    async fn send_one(&mut self, letter: Letter, settle: Box<dyn Settle>) -> Option<Outcome> {
        if Instant::now() >= self.until {
            self.done.more = true;
            return None;
        }
        let facts = letter.facts.clone();
        let outcome = self.outcome(letter, settle).await;
        Some(self.note(facts, outcome))
    }

    async fn outcome(&mut self, letter: Letter, settle: Box<dyn Settle>) -> Outcome {
        let Some(flow) = self.letters.flows.iter().find(|flow| flow.status.name == letter.facts.flow) else {
            return Outcome::Gone;
        };
        let (attempted, rules) = attempt::attempt(flow, &letter);
        let poison = match attempted {
            Err(Refusal::Gone) => return Outcome::Gone,
            Err(Refusal::Later(why)) => return Outcome::Left(why),
            Err(Refusal::Poison(poison)) => poison,
            Ok(_) if self.errand.dry_run => return Outcome::Sent,
            Ok(Attempt { target, mut out, once, .. }) => {
                out.headers.remove(REDRIVE);
                out.headers.push(REDRIVE, Value::text(letter.facts.id.clone()));
                match self.publish(flow, target, out, once).await {
                    Ok(()) => return settled(settle, Outcome::Sent).await,
                    Err(why) => match why.permanent() {
                        Some(reason) => Poison::new(reason, why.to_string()),
                        None => return Outcome::Left(why.to_string()),
                    },
                }
            }
        };
        let again = Outcome::Again(poison.reason, poison.detail.clone(), poison.place.clone());
        if self.errand.dry_run {
            return again;
        }
        let mut back = letter;
        back.facts.blame(&poison);
        back.facts.rules = rules.to_string();
        back.facts.attempts = back.facts.attempts.saturating_add(1);
        back.facts.returns = back.facts.returns.saturating_add(1);
        let (message, once) = (back.write(), back.facts.once());
        match self.publish(flow, flow.targets.len(), message, once).await {
            Ok(()) => settled(settle, again).await,
            Err(why) => Outcome::Left(format!("its dead letters do not take it back: {why}")),
        }
    }

    /// To a target, or behind them to the dead letters.
    async fn publish(&mut self, flow: &Flow, at: usize, message: Message, once: String) -> Result<(), Unpublished> {
        let place = (flow.status.name.clone(), at);
        if let Some(why) = self.down.get(&place) {
            return Err(Unpublished::Lost(why.clone()));
        }
        let published = timeout(flow.bounds.confirm.min(CONFIRM), self.hand_over(flow, at, message, once)).await;
        let published = published.unwrap_or_else(|_| Err(Unpublished::Lost("not confirmed in time".to_owned())));
        if let Err(why) = &published
            && why.permanent().is_none()
        {
            self.sinks.remove(&place);
            self.down.insert(place, why.to_string());
        }
        published
    }

    async fn hand_over(&mut self, flow: &Flow, at: usize, message: Message, once: String) -> Result<(), Unpublished> {
        let lost = |Lost(why)| Unpublished::Lost(why);
        let broker: &Arc<dyn Broker> = flow.targets.get(at).unwrap_or(&flow.dead.0);
        let address = flow.of.targets.get(at).map_or(&flow.dead.1, |target| &target.address);
        let sink = match self.sinks.entry((flow.status.name.clone(), at)) {
            std::collections::btree_map::Entry::Occupied(open) => open.into_mut(),
            std::collections::btree_map::Entry::Vacant(place) => place.insert(broker.sink().await.map_err(lost)?),
        };
        let confirm = sink.enqueue(address, message, Some(once)).await.map_err(lost)?;
        confirm.await
    }
}

/// A letter is forgotten when what becomes of it is safe.
async fn settled(settle: Box<dyn Settle>, outcome: Outcome) -> Outcome {
    match settle.done().await {
        Ok(()) => outcome,
        Err(Lost(why)) => Outcome::Left(format!("it went on, and is still there: {why}")),
    }
}
