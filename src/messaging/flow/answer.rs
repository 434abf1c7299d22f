//! A reply that has come: whose it is, and what is to become of it.

use super::super::broker::{Boxed, Lost};
use super::super::replies::reply::{Desk, Fate};
use super::super::seen::SeenError;
use super::entry::{Answers, Entry, Leg, LegState};
use super::status::add;
use super::{Flow, Snapshot};
use crate::plan::Scratch;
use crate::rules::channel::{Carries, Dedup};

impl Flow {
    /// Under which the requests of this flow's channel are kept.
    pub(super) fn requests(&self) -> String {
        format!("{}/{}", self.service, self.channel)
    }

    /// Makes the place where services reply to, before anybody is told of it.
    pub(super) async fn make_replies(&self) -> Result<(), Lost> {
        let Some(replies) = &self.of.replies else { return Ok(()) };
        let answering = match self.of.carries {
            Carries::Messages => self.targets.first(),
            Carries::Replies => Some(&self.source),
        };
        match answering {
            Some(broker) => broker.make(&replies.address).await,
            None => Ok(()),
        }
    }

    /// Keeps that a message is done; none: nothing of it is kept.
    pub(super) fn mark(&self, entry: &Entry, dedup: Dedup) -> Option<Boxed<'static, Result<(), String>>> {
        if self.of.carries == Carries::Replies {
            let Answers { key, call, .. } = entry.answers.as_ref()?;
            let (scope, key) = (self.requests(), key.clone());
            let answered = match (call, entry.legs.first()) {
                (Some((call, reply)), Some(leg)) => {
                    let reply = (leg.version.clone(), reply.clone());
                    self.pending.answer((&scope, key, entry.hash), (&self.service, call), reply)
                }
                _ => self.pending.answered(&scope, key, entry.hash),
            };
            return Some(Box::pin(async move { answered.await.map_err(|error| error.to_string()) }));
        }
        let id = entry.id.as_ref()?;
        let done: Vec<_> = entry.legs.iter().map(|leg| (self.scope(leg.target, id), entry.hash)).collect();
        let marked = (!done.is_empty()).then(|| self.seen.mark(done, dedup))?;
        Some(Box::pin(async move { marked.await.map_err(|SeenError(why)| why) }))
    }

    /// What is to become of a reply.
    ///
    /// # Errors
    /// Requests cannot be read.
    pub(super) fn plan_reply(
        &self,
        entry: &mut Entry,
        snapshot: &Snapshot,
        scratch: &mut Scratch,
    ) -> Result<(), SeenError> {
        entry.rules.clone_from(&snapshot.rules);
        let Some(replies) = &self.of.replies else { return Ok(()) };
        let desk = Desk {
            pending: &self.pending,
            scope: &self.requests(),
            replies,
            service: &snapshot.plan,
            rules: &snapshot.rules,
            limits: self.bounds.limits,
            largest: self.bounds.body,
        };
        let index_of = |name: &str| self.of.targets.iter().position(|target| target.address.broker() == name);
        let broker_of = |name: &str| self.targets.get(index_of(name)?).map(|broker| &**broker);
        let understood = desk.understand((&entry.message, entry.hash), broker_of, scratch)?;
        entry.from = understood.from;
        let target = understood.broker.as_deref().and_then(index_of).unwrap_or_default();
        let leg = match understood.fate {
            Fate::Dead(poison) => Leg::dead(target, &understood.to, poison),
            Fate::Passed => {
                add(&self.status.counts.deduplicated, 1);
                Leg::of(target, None, LegState::Done)
            }
            Fate::Passes { message, to, once, dropped } => {
                add(&self.status.counts.dropped_members, dropped as u64);
                entry.answers = understood.key.map(|key| Answers { key, once, call: None });
                Leg { version: understood.to, to: Some(to), ..Leg::of(target, Some(message), LegState::Ready) }
            }
            Fate::Kept { call, message, dropped } => {
                add(&self.status.counts.dropped_members, dropped as u64);
                add(&self.status.counts.published, 1);
                let call = Some((call, message));
                entry.answers = understood.key.map(|key| Answers { key, once: String::new(), call });
                Leg { version: understood.to, ..Leg::of(target, None, LegState::Done) }
            }
        };
        entry.legs = vec![leg];
        Ok(())
    }
}
