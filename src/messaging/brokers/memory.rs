//! A broker inside the process: what every other one must behave like, with faults at every step for tests.
//!
//! A queue gives each message to one reader until it is settled, and gives what a reader has left unsettled to the next
//! one, in its old order. A subject is a log: it is committed as far as it is settled without a gap, and it takes an id
//! once.

mod look;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::super::broker::{Boxed, Broker, Confirm, Inbound, Look, Lost, Settle, Sink, Source, Unpublished};
use super::super::message::Message;
use super::super::watermark::Watermark;
use crate::rules::channel::Address;

/// What happens around messages, and what a test may do there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// A message is about to be given out.
    Give,
    /// One has been handed over and is not stored.
    Publish,
    /// It is stored, and nobody has been told.
    Store,
    /// One is about to be settled.
    Settle,
}

/// What a test makes of a step.
pub trait Faults: Send + Sync {
    /// Called at each step with the address. A future that never ends is a crash there; an error is the broker's.
    fn at<'f>(
        &'f self,
        step: Step,
        address: &'f str,
        message: Option<&'f Message>,
    ) -> Boxed<'f, Result<(), Unpublished>>;
}

/// Nothing goes wrong.
#[derive(Debug)]
struct Faultless;

impl Faults for Faultless {
    fn at<'f>(&'f self, _: Step, _: &'f str, _: Option<&'f Message>) -> Boxed<'f, Result<(), Unpublished>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// The broker. Clones are the same one.
#[derive(Clone)]
pub struct Memory {
    shared: Arc<Shared>,
}

struct Shared {
    places: Mutex<BTreeMap<String, Place>>,
    changed: Notify,
    faults: Box<dyn Faults>,
}

/// Messages at one address.
#[derive(Default)]
struct Place {
    /// Whether it is a log.
    is_log: bool,
    waiting: VecDeque<(u64, Message)>,
    /// When each came.
    came: HashMap<u64, Instant>,
    /// Given out, and to which reader.
    given: BTreeMap<u64, (u64, Message)>,
    next: u64,
    readers: u64,
    mark: Watermark,
    ids: HashSet<String>,
    /// Of a log, everything that was not taken away.
    history: BTreeMap<u64, Message>,
    repeated: HashMap<u64, u32>,
}

impl fmt::Debug for Memory {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Memory")
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::with_faults(Box::new(Faultless))
    }
}

impl Memory {
    /// One whose steps a test takes part in.
    pub fn with_faults(faults: Box<dyn Faults>) -> Self {
        let shared = Shared { places: Mutex::default(), changed: Notify::new(), faults };
        Self { shared: Arc::new(shared) }
    }

    /// Puts a message at an address, as a client of the broker does.
    pub fn put(&self, address: &Address, message: Message) {
        self.shared.store(address, message, None);
    }

    /// Everything that is at an address, in order: of a queue what is not settled, of a log all.
    pub fn all(&self, address: &Address) -> Vec<Message> {
        let places = self.shared.places();
        let Some(place) = places.get(&address.to_string()) else { return Vec::new() };
        if place.is_log {
            return place.history.values().cloned().collect();
        }
        let mut all: Vec<(u64, &Message)> = place.waiting.iter().map(|(at, message)| (*at, message)).collect();
        all.extend(place.given.iter().map(|(at, (_, message))| (*at, message)));
        all.sort_by_key(|(at, _)| *at);
        all.into_iter().map(|(_, message)| message.clone()).collect()
    }

    /// How many messages at an address are not settled.
    pub fn unsettled(&self, address: &Address) -> usize {
        self.shared.places().get(&address.to_string()).map_or(0, |place| place.waiting.len() + place.given.len())
    }

    /// Resolves when something at any address changes after the call.
    pub async fn changed(&self) {
        self.shared.changed.notified().await;
    }
}

impl Shared {
    fn places(&self) -> MutexGuard<'_, BTreeMap<String, Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn store(&self, address: &Address, message: Message, once: Option<String>) {
        let mut places = self.places();
        let place = places.entry(address.to_string()).or_default();
        place.is_log = matches!(address, Address::Subject { .. });
        let is_new = once.filter(|_| place.is_log).is_none_or(|id| place.ids.insert(id));
        if is_new {
            let at = place.next;
            place.next += 1;
            if place.is_log {
                place.history.insert(at, message.clone());
            }
            place.waiting.push_back((at, message));
            place.came.insert(at, Instant::now());
        }
        drop(places);
        self.changed.notify_waiters();
    }

    /// What a reader has and has not settled waits again, in its old order.
    fn give_back(&self, key: &str, number: u64) {
        let mut places = self.places();
        let Some(place) = places.get_mut(key) else { return };
        let own: Vec<u64> =
            place.given.iter().filter(|(_, (reader, _))| *reader == number).map(|(at, _)| *at).collect();
        for at in own.into_iter().rev() {
            if let Some((_, message)) = place.given.remove(&at) {
                place.waiting.push_front((at, message));
            }
        }
        place.waiting.make_contiguous().sort_by_key(|(at, _)| *at);
        drop(places);
        self.changed.notify_waiters();
    }
}

impl Broker for Memory {
    fn source<'b>(&'b self, address: &'b Address, _: &'b str, most: usize) -> Boxed<'b, Result<Box<dyn Source>, Lost>> {
        let key = address.to_string();
        let reader = {
            let mut places = self.shared.places();
            let place = places.entry(key.clone()).or_default();
            place.is_log = matches!(address, Address::Subject { .. });
            place.readers += 1;
            place.readers
        };
        let source: Box<dyn Source> =
            Box::new(Reader { shared: self.shared.clone(), key, number: reader, most, stopped: false });
        Box::pin(std::future::ready(Ok(source)))
    }

    fn sink(&self) -> Boxed<'_, Result<Box<dyn Sink>, Lost>> {
        let sink: Box<dyn Sink> = Box::new(Writer(self.shared.clone()));
        Box::pin(std::future::ready(Ok(sink)))
    }

    fn make<'b>(&'b self, address: &'b Address) -> Boxed<'b, Result<(), Lost>> {
        self.shared.places().entry(address.to_string()).or_default();
        Box::pin(std::future::ready(Ok(())))
    }

    fn takes(&self, _: &Address) -> bool {
        true
    }

    fn waiting<'b>(&'b self, address: &'b Address, _: &'b str) -> Boxed<'b, Result<Option<u64>, Lost>> {
        let waiting = self.shared.places().get(&address.to_string()).map_or(0, |place| place.waiting.len() as u64);
        Box::pin(std::future::ready(Ok(Some(waiting))))
    }

    fn look<'b>(&'b self, address: &'b Address, after: Option<&'b str>) -> Boxed<'b, Result<Box<dyn Look>, Lost>> {
        Box::pin(std::future::ready(Ok(look::open(self.shared.clone(), address, after))))
    }

    fn dead_letters(&self, broker: &str, flow: &str) -> Address {
        Address::Queue { broker: broker.to_owned(), queue: format!("bifocal.dead.{flow}") }
    }

    fn reply_address(&self, broker: &str, named: &str) -> Option<Address> {
        Some(Address::Queue { broker: broker.to_owned(), queue: named.to_owned() })
    }

    fn reply_name(&self, address: &Address) -> Option<String> {
        match address {
            Address::Queue { queue, .. } => Some(queue.clone()),
            _ => None,
        }
    }
}

struct Reader {
    shared: Arc<Shared>,
    key: String,
    number: u64,
    most: usize,
    stopped: bool,
}

impl Reader {
    fn has_some(&self) -> bool {
        self.shared.places().get(&self.key).is_some_and(|place| !self.stopped && !place.waiting.is_empty())
    }

    fn take(&self) -> Option<(u64, Message, bool, Duration)> {
        let mut places = self.shared.places();
        let place = places.get_mut(&self.key)?;
        let of_reader = place.given.values().filter(|(reader, _)| *reader == self.number).count();
        if self.stopped || of_reader >= self.most {
            return None;
        }
        let (at, message) = place.waiting.pop_front()?;
        place.given.insert(at, (self.number, message.clone()));
        let times = place.repeated.entry(at).or_default();
        *times += 1;
        let waited = place.came.get(&at).map_or(Duration::ZERO, Instant::elapsed);
        Some((at, message, *times > 1, waited))
    }
}

impl Source for Reader {
    fn next(&mut self) -> Boxed<'_, Result<Inbound, Lost>> {
        Box::pin(async move {
            loop {
                let changed = self.shared.changed.notified();
                let mut changed = std::pin::pin!(changed);
                // Registered before the look, so that nothing that comes between them is missed.
                changed.as_mut().enable();
                // Between taking a message and giving it out nothing is waited for: whoever asks may stop asking.
                if self.has_some() && self.shared.faults.at(Step::Give, &self.key, None).await.is_err() {
                    return Err(Lost("the connection was cut".to_owned()));
                }
                if let Some((at, message, redelivered, waited)) = self.take() {
                    let settle =
                        Settled { shared: self.shared.clone(), key: self.key.clone(), number: self.number, at };
                    let position = Some(format!("{}/{at}", self.key));
                    return Ok(Inbound { message, position, redelivered, waited, settle: Box::new(settle) });
                }
                changed.await;
            }
        })
    }

    fn stop(&mut self) -> Boxed<'_, ()> {
        self.stopped = true;
        Box::pin(std::future::ready(()))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.shared.give_back(&self.key, self.number);
    }
}

struct Settled {
    shared: Arc<Shared>,
    key: String,
    number: u64,
    at: u64,
}

impl Settle for Settled {
    fn done(self: Box<Self>) -> Boxed<'static, Result<(), Lost>> {
        Box::pin(async move {
            if let Err(why) = self.shared.faults.at(Step::Settle, &self.key, None).await {
                return Err(Lost(why.to_string()));
            }
            let mut places = self.shared.places();
            let Some(place) = places.get_mut(&self.key) else { return Ok(()) };
            // A message that another reader has by now is that one's to settle.
            if place.given.get(&self.at).is_some_and(|(reader, _)| *reader == self.number) {
                if place.is_log {
                    if let Some(next) = place.mark.done(self.at) {
                        place.given.retain(|at, _| *at >= next);
                    }
                } else {
                    place.given.remove(&self.at);
                }
            }
            drop(places);
            self.shared.changed.notify_waiters();
            Ok(())
        })
    }
}

struct Writer(Arc<Shared>);

impl Sink for Writer {
    fn enqueue<'s>(
        &'s mut self,
        to: &'s Address,
        message: Message,
        once: Option<String>,
    ) -> Boxed<'s, Result<Confirm, Lost>> {
        Box::pin(async move {
            let key = to.to_string();
            // Nothing is bound to an exchange that nobody has made.
            if matches!(to, Address::Exchange { .. }) && !self.0.places().contains_key(&key) {
                return Ok(Box::pin(std::future::ready(Err(Unpublished::Unroutable))) as Confirm);
            }
            if let Err(why) = self.0.faults.at(Step::Publish, &key, Some(&message)).await {
                return Ok(Box::pin(std::future::ready(Err(why))) as Confirm);
            }
            self.0.store(to, message, once);
            let shared = self.0.clone();
            Ok(Box::pin(async move { shared.faults.at(Step::Store, &key, None).await }) as Confirm)
        })
    }
}
