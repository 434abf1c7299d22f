//! Requests are kept before they are published. What waits for that keeps its place in the order.

use super::super::replies::pending::Kept;
use super::entry::{Entry, Held, LegState};
use super::session::{Ended, Event, Lane, Session};
use super::status::add;
use crate::rules::channel::Order;

impl Session<'_> {
    /// Whether a message cannot be published yet. It is, in its turn, once it can.
    pub(super) fn holds(&mut self, at: u64) -> bool {
        let Some(entry) = self.entries.get_mut(&at) else { return false };
        let is_in_line = entry.key.is_none() && self.order == Order::Key;
        entry.held = match entry.asked.take() {
            Some(asked) => {
                let kept = self.flow.pending.keep(&self.flow.requests(), asked.key, asked.request, asked.is_reused);
                self.work.push(Box::pin(async move {
                    let result = kept.await.map_err(|error| error.to_string());
                    Event::Kept { at, result }
                }));
                Held::Unkept
            }
            None if is_in_line && !self.line.is_empty() => Held::Behind,
            None => return false,
        };
        if is_in_line {
            self.line.push_back(at);
        }
        true
    }

    /// A request is kept, or cannot be.
    pub(super) async fn kept(&mut self, at: u64, result: Result<Kept, String>) -> Option<Ended> {
        match result {
            Err(why) => return Some(Ended::Lost(why)),
            Ok(Kept::Full) => return Some(Ended::Lost("too many requests wait for replies".to_owned())),
            Ok(Kept::Waits) => {}
            Ok(Kept::Answered) => self.has_answer(at),
        }
        let mut free = Vec::new();
        match self.entries.get_mut(&at) {
            Some(entry) if self.line.contains(&at) => entry.held = Held::Behind,
            Some(_) => free.push(at),
            None => {}
        }
        let is_kept = |entry: Option<&Box<Entry>>| entry.is_none_or(|entry| entry.held != Held::Unkept);
        while let Some(first) = self.line.front().copied().filter(|first| is_kept(self.entries.get(first))) {
            self.line.pop_front();
            free.push(first);
        }
        for at in free {
            let Some(entry) = self.entries.get_mut(&at) else { continue };
            entry.held = Held::No;
            // Where its lane does not move, it goes with the others of it.
            let waits = entry.key.is_none() && self.lane != Lane::Open && self.order == Order::Key;
            if !waits {
                self.send(at).await;
            }
            self.finish(at);
        }
        None
    }

    /// A request that has come again after its reply is not asked again.
    fn has_answer(&mut self, at: u64) {
        let Some(entry) = self.entries.get_mut(&at) else { return };
        for leg in entry.legs.iter_mut().filter(|leg| leg.state == LegState::Ready) {
            leg.state = LegState::Done;
            add(&self.flow.status.counts.deduplicated, 1);
        }
    }
}
