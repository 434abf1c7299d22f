//! An address that is looked through: a queue's messages are taken for as long as that lasts, a log's stay where they are.

use std::sync::Arc;
use std::time::Duration;

use super::super::super::broker::{Boxed, Inbound, Look, Lost, Settle};
use super::super::super::message::Message;
use super::{Settled, Shared, Step};
use crate::rules::channel::Address;

pub(super) fn open(shared: Arc<Shared>, address: &Address, after: Option<&str>) -> Box<dyn Look> {
    let key = address.to_string();
    let after = after.and_then(|position| position.rsplit_once('/')?.1.parse::<u64>().ok());
    let (number, end) = {
        let mut places = shared.places();
        let place = places.entry(key.clone()).or_default();
        place.readers += 1;
        (place.readers, place.next)
    };
    Box::new(Looker { shared, key, number, next: after.map_or(0, |after| after + 1), end })
}

struct Looker {
    shared: Arc<Shared>,
    key: String,
    number: u64,
    next: u64,
    /// What comes from here on came after the look began.
    end: u64,
}

impl Looker {
    fn take(&mut self) -> Option<(u64, Message, bool)> {
        let mut places = self.shared.places();
        let place = places.get_mut(&self.key)?;
        let (at, message, is_log) = if place.is_log {
            let (at, message) = place.history.range(self.next..self.end).next()?;
            (*at, message.clone(), true)
        } else {
            let wanted = self.next..self.end;
            let index = place.waiting.iter().position(|(at, _)| wanted.contains(at))?;
            let (at, message) = place.waiting.remove(index)?;
            place.given.insert(at, (self.number, message.clone()));
            (at, message, false)
        };
        self.next = at + 1;
        Some((at, message, is_log))
    }
}

impl Look for Looker {
    fn next(&mut self) -> Boxed<'_, Result<Option<Inbound>, Lost>> {
        Box::pin(async move {
            if self.shared.faults.at(Step::Give, &self.key, None).await.is_err() {
                return Err(Lost("the connection was cut".to_owned()));
            }
            let Some((at, message, is_log)) = self.take() else { return Ok(None) };
            let (shared, key) = (self.shared.clone(), self.key.clone());
            let position = Some(format!("{key}/{at}"));
            let settle: Box<dyn Settle> = if is_log {
                Box::new(TakenAway { shared, key, at })
            } else {
                Box::new(Settled { shared, key, number: self.number, at })
            };
            Ok(Some(Inbound { message, position, redelivered: false, waited: Duration::ZERO, settle }))
        })
    }

    fn end(self: Box<Self>) -> Boxed<'static, ()> {
        drop(self);
        Box::pin(std::future::ready(()))
    }
}

impl Drop for Looker {
    fn drop(&mut self) {
        self.shared.give_back(&self.key, self.number);
    }
}

/// Settles a log's message: nobody finds it there any more.
struct TakenAway {
    shared: Arc<Shared>,
    key: String,
    at: u64,
}

impl Settle for TakenAway {
    fn done(self: Box<Self>) -> Boxed<'static, Result<(), Lost>> {
        Box::pin(async move {
            if let Err(why) = self.shared.faults.at(Step::Settle, &self.key, None).await {
                return Err(Lost(why.to_string()));
            }
            let mut places = self.shared.places();
            if let Some(place) = places.get_mut(&self.key) {
                place.history.remove(&self.at);
                place.waiting.retain(|(at, _)| *at != self.at);
            }
            drop(places);
            self.shared.changed.notify_waiters();
            Ok(())
        })
    }
}
