//! One asynchronous operation, and the shelf that it is on.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::order::{Answer, Order, pack, unpack, unpack_head};
use crate::store::shelf::{Entry, Shelf};
use crate::store::{Store, StoreError, Table, Tables, millis, now};

/// How long one may wait that has not come to its end.
const UNFINISHED: Duration = Duration::from_secs(30 * 24 * 3600);

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// It is kept, and nothing has been sent yet.
    Waiting,
    /// The service is at it.
    Running,
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
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    pub(super) fn is_open(self) -> bool {
        matches!(self, Self::Waiting | Self::Running)
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
    #[serde(skip)]
    pub(super) ends: u64,
}

impl Operation {
    pub(super) fn new(owner: String, order: Order) -> Self {
        let now = now();
        let ends = now.saturating_add(millis(UNFINISHED));
        Self { state: State::Waiting, created: now, updated: now, owner, run: 0, order, answer: None, ends }
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
        Some(operation)
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
        let found = Shelf::split(value).and_then(|(ends, value)| Some(Operation { ends, ..unpack_head(value)? }));
        if let (Some(id), Some(found)) = (id, found) {
            look(id, found);
        }
    })
}

pub(super) fn put(tables: &mut dyn Tables, id: &str, operation: &Operation) -> Result<(), StoreError> {
    shelf(&operation.order.service).put(tables, id.as_bytes(), &operation.entry())
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
