//! A message between its source and its targets.

use std::sync::Arc;

use tokio::time::Instant;

use super::super::broker::Settle;
use super::super::message::Message;
use super::super::replies::request::Asked;
use super::super::translate::Poison;
use super::parking::Busy;
use crate::rules::channel::Address;

/// One message that was taken and is not settled.
pub(super) struct Entry {
    /// As it came.
    pub(super) message: Message,
    /// Where it stood.
    pub(super) position: Option<String>,
    /// Taken when it is settled.
    pub(super) settle: Option<Box<dyn Settle>>,
    /// By which it is known again; none: not at all.
    pub(super) id: Option<String>,
    /// Over its body.
    pub(super) hash: u64,
    /// Its lane.
    pub(super) key: Option<String>,
    /// One for each target that it is to reach.
    pub(super) legs: Vec<Leg>,
    /// How often it was tried.
    pub(super) attempts: u32,
    /// When it was taken.
    pub(super) since: Instant,
    /// From when on nobody wants it any more.
    pub(super) expires: Option<Instant>,
    /// Of those before and after it.
    pub(super) order: u64,
    /// Bytes that it counts for.
    pub(super) weight: usize,
    /// How many others must be out of its way before it is its turn.
    pub(super) waits: u8,
    /// Whether it is done and being settled.
    pub(super) finishing: bool,
    /// The version that it is in, by name; empty where that is not known.
    pub(super) from: String,
    /// The rules that it was translated by.
    pub(super) rules: Arc<str>,
    /// Where keys may be parked, that it is under way.
    pub(super) busy: Option<Busy>,
    /// What it asks, where that must be kept before it is published.
    pub(super) asked: Option<Asked>,
    /// Whether it may be published.
    pub(super) held: Held,
    /// What it answers, once it has arrived.
    pub(super) answers: Option<Answers>,
}

/// A request that is being answered.
pub(super) struct Answers {
    /// Its key.
    pub(super) key: String,
    /// The id by which a broker knows the reply again; empty for a call.
    pub(super) once: String,
    /// The call that the reply is kept for, and the reply.
    pub(super) call: Option<(String, Message)>,
}

/// Whether a message may be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    /// It may.
    No,
    /// What it asks is not kept yet.
    Unkept,
    /// Something before it is not.
    Behind,
}

/// A message's way to one target.
pub(super) struct Leg {
    /// Index of the target.
    pub(super) target: usize,
    /// The version there, by name; empty where that is not known.
    pub(super) version: String,
    /// Where it goes, if not to the target's own address.
    pub(super) to: Option<Address>,
    /// What is to be published there; none: nothing is.
    pub(super) out: Option<Message>,
    /// How far it has come.
    pub(super) state: LegState,
}

/// How far a leg has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LegState {
    /// To be published.
    Ready,
    /// Handed over.
    Sent,
    /// To be published again, after a while.
    Failed,
    /// To be published to the dead letters.
    Dead(Poison),
    /// Handed over to them.
    DeadSent(Poison),
    /// Confirmed, or there is nothing to do.
    Done,
}

impl Leg {
    /// To a target's own address.
    pub(super) fn of(target: usize, out: Option<Message>, state: LegState) -> Self {
        Self { target, version: String::new(), to: None, out, state }
    }

    /// To the dead letters instead.
    pub(super) fn dead(target: usize, version: &str, poison: Poison) -> Self {
        Self { version: version.to_owned(), ..Self::of(target, None, LegState::Dead(poison)) }
    }
}

impl Entry {
    /// Whether nothing is to be done but to settle it.
    pub(super) fn is_done(&self) -> bool {
        self.legs.iter().all(|leg| leg.state == LegState::Done)
    }

    /// Whether a broker has something of it and has not answered.
    pub(super) fn is_out(&self) -> bool {
        self.finishing || self.legs.iter().any(|leg| matches!(leg.state, LegState::Sent | LegState::DeadSent(_)))
    }

    /// Whether something of it is to be handed over.
    pub(super) fn is_to_send(&self) -> bool {
        let open = |leg: &Leg| matches!(leg.state, LegState::Ready | LegState::Failed | LegState::Dead(_));
        !self.finishing && self.held == Held::No && self.legs.iter().any(open)
    }
}
