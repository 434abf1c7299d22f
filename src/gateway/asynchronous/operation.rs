//! One asynchronous operation, and the shelf that it is on.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::order::{Answer, Order, pack, unpack, unpack_head};
use crate::gateway::trouble::{Kind, Trouble};
use crate::store::shelf::{Entry, Shelf};
use crate::store::{Store, StoreError, Table, Tables, millis, now};

/// How long one may wait that has not come to its end.
const UNFINISHED: Duration = Duration::from_secs(30 * 24 * 3600);
/// Entries that have ended and are let go to make room.
const SWEPT: usize = 16;

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// It is kept, and nothing has been sent yet.
    Waiting,
    /// The service is at it.
    Running,
    /// It was told by a message, and its reply is awaited.
    Asked,
    /// The service has answered, whatever it says.
    Done,
    /// There is no answer of the service.
    Failed,
    /// Its caller does not want it any more.
    Cancelled,
}

impl State {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running | Self::Asked => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    pub(super) fn is_open(self) -> bool {
        matches!(self, Self::Waiting | Self::Running | Self::Asked)
    }
}

/// What is kept of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Operation {
    pub(super) state: State,
    /// Milliseconds since 1970.
    pub(super) created: u64,
    pub(super) updated: u64,
    /// Whose it is, as a digest.
    pub(super) owner: String,
    /// The process that carries it out.
    pub(super) run: u64,
    pub(super) order: Order,
    pub(super) answer: Option<Answer>,
    /// Of one that was told by a message: when no reply counts any more.
    #[serde(default)]
    pub(super) reply_by: u64,
    #[serde(skip)]
    pub(super) ends: u64,
}

impl Operation {
    pub(super) fn new(owner: String, order: Order) -> Self {
        let now = now();
        let ends = now.saturating_add(millis(UNFINISHED));
        Self {
            state: State::Waiting,
            created: now,
            updated: now,
            owner,
            run: 0,
            order,
            answer: None,
            reply_by: 0,
            ends,
        }
    }

    /// One that is told by a message, with so much time for its reply.
    pub(super) fn asked(owner: String, order: Order, (timeout, keep): (Duration, Duration)) -> Self {
        let reply_by = now().saturating_add(millis(timeout));
        let ends = reply_by.saturating_add(millis(keep));
        Self { state: State::Asked, reply_by, ends, ..Self::new(owner, order) }
    }

    /// The same now: one whose reply has not come in time has failed, though nobody has said so.
    fn unless_late(self) -> Self {
        if self.state != State::Asked || now() < self.reply_by {
            return self;
        }
        let late = Trouble::new(Kind::UpstreamTimeout).detail("no reply came in the time that it has");
        let answer = Some(Answer::of(&late, &self.order.names.0));
        Self { state: State::Failed, answer, updated: self.reply_by, ..self }
    }

    /// How long it may still be before a reply is too late; longer than anybody waits where there is none.
    pub(super) fn left(&self) -> Duration {
        if self.state == State::Asked {
            Duration::from_millis(self.reply_by.saturating_sub(now()).saturating_add(1))
        } else {
            Duration::from_secs(24 * 3600)
        }
    }

    /// How long it is kept from its end on.
    pub(super) fn keep(&self) -> Duration {
        Duration::from_millis(self.ends.saturating_sub(self.reply_by))
    }

    pub(super) fn finished(self, state: State, answer: Option<Answer>, keep: Duration) -> Self {
        let now = now();
        Self { state, answer, updated: now, ends: now.saturating_add(millis(keep)), ..self }
    }

    fn entry(&self) -> Entry {
        let answer = self.answer.as_ref().map(|answer| answer.body.clone()).unwrap_or_default();
        Entry { ends: self.ends, value: pack(self, [&self.order.body, &answer]) }
    }

    fn of(entry: &Entry) -> Option<Self> {
        let (mut operation, request, response): (Self, Bytes, Bytes) = unpack(&entry.value)?;
        operation.order.body = request;
        operation.ends = entry.ends;
        if let Some(answer) = &mut operation.answer {
            answer.body = response;
        }
        Some(operation.unless_late())
    }
}

pub(super) fn shelf(service: &str) -> Shelf {
    Shelf::new(Table::Operations, service)
}

/// The operation of this id.
pub(super) fn find(store: &Store, service: &str, id: &str) -> Result<Option<Operation>, StoreError> {
    let (table, key) = shelf(service).key(id.as_bytes());
    Ok(store.get(table, &key)?.and_then(|bytes| Operation::of(&Shelf::read(&bytes)?)))
}

/// Looks at every operation of every service, with its id, but not at bodies: there may be many of them.
pub(super) fn visit(store: &Store, mut look: impl FnMut(&str, Operation)) -> Result<(), StoreError> {
    store.visit(Table::Operations, b"", |key, value| {
        let id = key.rsplit(|byte| *byte == 0).next().and_then(|id| std::str::from_utf8(id).ok());
        let found =
            Shelf::split(value).and_then(|(ends, value)| Some(Operation { ends, ..unpack_head(value)? }.unless_late()));
        if let (Some(id), Some(found)) = (id, found) {
            look(id, found);
        }
    })
}

/// Keeps a new one, unless there are too many. Says whether it is.
pub(super) fn keep(tables: &mut dyn Tables, id: &str, operation: &Operation, most: u64) -> Result<bool, StoreError> {
    let shelf = shelf(&operation.order.service);
    shelf.expire(tables, now(), SWEPT)?;
    if shelf.len(tables)? >= most {
        return Ok(false);
    }
    put(tables, id, operation)?;
    Ok(true)
}

pub(super) fn put(tables: &mut dyn Tables, id: &str, operation: &Operation) -> Result<(), StoreError> {
    shelf(&operation.order.service).put(tables, id.as_bytes(), &operation.entry())
}

/// Keeps what came of one that waits for a reply, as a part of a change. One that does not is left as it is.
pub(super) fn reply(tables: &mut dyn Tables, (service, id): (&str, &str), answer: Answer) -> Result<(), StoreError> {
    let found = shelf(service).get(tables, id.as_bytes())?.and_then(|entry| Operation::of(&entry));
    let Some(before) = found.filter(|one| one.state == State::Asked) else { return Ok(()) };
    let keep = before.keep();
    put(tables, id, &before.finished(State::Done, Some(answer), keep))
}

/// Changes one that is still in a state. Says whether it was.
pub(super) async fn advance(
    store: &Store,
    (service, id): (&str, &str),
    from: &'static [State],
    change: impl FnOnce(Operation) -> Operation + Send + 'static,
) -> Result<Option<Operation>, StoreError> {
    let (shelf, id) = (shelf(service), id.to_owned());
    store
        .change(move |tables| {
            let found = shelf.get(tables, id.as_bytes())?.and_then(|entry| Operation::of(&entry));
            let Some(before) = found.filter(|one| from.contains(&one.state)) else { return Ok(None) };
            let after = change(before);
            put(tables, &id, &after)?;
            Ok(Some(after))
        })
        .await
}
