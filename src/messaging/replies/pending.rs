//! Which requests wait for a reply, over restarts.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::message::Message;
use crate::store::shelf::{Entry, Shelf};
use crate::store::{Boxed, Change, Store, StoreError, Table, Tables, millis, now};

/// For how long it is known of a request that its time is over, or that it was answered.
const KNOWN: Duration = Duration::from_secs(600);
/// Requests of one channel that are kept, those that are over included.
const MOST: u64 = 1_000_000;
/// Entries that have ended and are let go to make room.
const SWEPT: usize = 16;

/// A request that waits for its reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Where the reply is wanted.
    pub requester: Requester,
    /// The version of whoever asks, by name.
    pub version: String,
    /// When nobody waits any more, in milliseconds since 1970.
    pub deadline: u64,
    /// Tells it from others that have had its name; zero: there are none.
    pub turn: u64,
    /// The hash of the reply that was passed on.
    pub answered: Option<u64>,
}

/// Who waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Requester {
    /// Whoever reads an address.
    Reader {
        /// Name of the broker in the settings.
        broker: String,
        /// The address, as the request has named it.
        reply_to: String,
        /// By which the reply will be known.
        correlation_id: Option<String>,
    },
    /// Whoever has made a call, or asks for what came of it.
    Caller {
        /// Names what is kept of the call.
        id: String,
    },
}

/// Where replies to calls are kept.
pub trait Callers: fmt::Debug + Send + Sync {
    /// Whether a call of a service still waits.
    ///
    /// # Errors
    /// What is kept of it cannot be read.
    fn waits(&self, service: &str, id: &str) -> Result<bool, StoreError>;

    /// Keeps the reply to a call, in the terms of a version, and makes a change with it; resolves when a crash cannot undo
    /// it. A call that does not wait any more is left as it is.
    fn answer(&self, service: &str, id: &str, reply: (String, Message), with: Change) -> Boxed<Result<(), StoreError>>;
}

/// What became of a request that was to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It waits for its reply.
    Waits,
    /// It has had its reply.
    Answered,
    /// There are too many.
    Full,
}

/// Keeps requests.
#[derive(Debug, Clone)]
pub struct Pending {
    store: Store,
    callers: Option<Arc<dyn Callers>>,
}

/// A channel's requests.
fn shelf(scope: &str) -> Shelf {
    Shelf::new(Table::Pending, scope)
}

fn read(entry: &Entry) -> Option<Request> {
    serde_json::from_slice(&entry.value).ok()
}

fn write(request: &Request, ends: u64) -> Entry {
    Entry { ends, value: serde_json::to_vec(request).unwrap_or_default() }
}

impl Pending {
    /// Requests in a store.
    pub fn new(store: Store) -> Self {
        Self { store, callers: None }
    }

    /// The same, where calls may wait, too.
    #[must_use]
    pub fn with(self, callers: Arc<dyn Callers>) -> Self {
        Self { callers: Some(callers), ..self }
    }

    /// Keeps a request of a channel under its key; resolves when a crash cannot undo it. One that comes again waits anew.
    /// `again`: it may be another one of the same name, so that an answer to the one before is none to it.
    pub fn keep(&self, scope: &str, key: String, mut request: Request, again: bool) -> Boxed<Result<Kept, StoreError>> {
        let kept = shelf(scope);
        self.store.change(move |tables| {
            kept.expire(tables, now(), SWEPT)?;
            let before = kept.get(tables, key.as_bytes())?.and_then(|entry| read(&entry));
            if before.as_ref().is_some_and(|before| before.answered.is_some() && !again) {
                return Ok(Kept::Answered);
            }
            if before.is_none() && kept.len(tables)? >= MOST {
                return Ok(Kept::Full);
            }
            if let Some(before) = before.filter(|before| before.answered.is_none()) {
                request.turn = before.turn;
            }
            let ends = request.deadline.saturating_add(millis(KNOWN));
            kept.put(tables, key.as_bytes(), &write(&request, ends))?;
            Ok(Kept::Waits)
        })
    }

    /// The request of this key.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn find(&self, scope: &str, key: &str) -> Result<Option<Request>, StoreError> {
        let (table, key) = shelf(scope).key(key.as_bytes());
        Ok(self.store.get(table, &key)?.and_then(|bytes| read(&Shelf::read(&bytes)?)))
    }

    /// Keeps that a request has had its reply; resolves when a crash cannot undo it.
    pub fn answered(&self, scope: &str, key: String, hash: u64) -> Boxed<Result<(), StoreError>> {
        self.store.change(answered(scope, key, hash))
    }

    /// Whether a call of a service still waits for its reply.
    ///
    /// # Errors
    /// What is kept of it cannot be read.
    pub fn waits(&self, service: &str, id: &str) -> Result<bool, StoreError> {
        self.callers.as_ref().map_or(Ok(false), |callers| callers.waits(service, id))
    }

    /// Keeps the reply to a call, and that its request has had it; resolves when a crash cannot undo it.
    pub fn answer(
        &self,
        (scope, key, hash): (&str, String, u64),
        (service, id): (&str, &str),
        reply: (String, Message),
    ) -> Boxed<Result<(), StoreError>> {
        let with = Box::new(answered(scope, key, hash));
        match &self.callers {
            Some(callers) => callers.answer(service, id, reply, with),
            None => self.store.change(with),
        }
    }
}

/// A request has had its reply.
fn answered(
    scope: &str,
    key: String,
    hash: u64,
) -> impl FnOnce(&mut dyn Tables) -> Result<(), StoreError> + Send + 'static {
    let shelf = shelf(scope);
    move |tables| {
        let before = shelf.get(tables, key.as_bytes())?.and_then(|entry| read(&entry));
        let Some(before) = before else { return Ok(()) };
        let ends = now().saturating_add(millis(KNOWN));
        shelf.put(tables, key.as_bytes(), &write(&Request { answered: Some(hash), ..before }, ends))
    }
}

/// Keeps a request that nobody has asked before, as a part of a change.
///
/// # Errors
/// The store cannot be written.
pub fn put(tables: &mut dyn Tables, scope: &str, key: &str, request: &Request) -> Result<Kept, StoreError> {
    let shelf = shelf(scope);
    shelf.expire(tables, now(), SWEPT)?;
    if shelf.len(tables)? >= MOST {
        return Ok(Kept::Full);
    }
    let ends = request.deadline.saturating_add(millis(KNOWN));
    shelf.put(tables, key.as_bytes(), &write(request, ends))?;
    Ok(Kept::Waits)
}

/// Forgets a request, as a part of a change.
///
/// # Errors
/// The store cannot be written.
pub fn forget(tables: &mut dyn Tables, scope: &str, key: &str) -> Result<(), StoreError> {
    shelf(scope).remove(tables, key.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(deadline: u64) -> Request {
        let requester =
            Requester::Reader { broker: "m".into(), reply_to: "r".into(), correlation_id: Some("7".into()) };
        Request { requester, version: "v1".into(), deadline, turn: 0, answered: None }
    }

    #[tokio::test]
    async fn a_request_has_one_reply_and_survives_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Pending::new(Store::open(folder.path()).unwrap());
        let later = now() + 60_000;
        {
            let pending = open();
            let kept = pending.keep("shop/orders", "k".into(), request(later), false).await.unwrap();
            assert_eq!(kept, Kept::Waits);
        }
        let pending = open();
        assert_eq!(pending.find("shop/orders", "k").unwrap(), Some(request(later)));
        assert_eq!(pending.find("shop/others", "k").unwrap(), None);
        pending.answered("shop/orders", "k".into(), 5).await.unwrap();
        assert_eq!(pending.find("shop/orders", "k").unwrap().unwrap().answered, Some(5));
        let kept = pending.keep("shop/orders", "k".into(), request(later), false).await.unwrap();
        assert_eq!(kept, Kept::Answered, "the same one has had its reply");
        let kept = pending.keep("shop/orders", "k".into(), request(later), true).await.unwrap();
        assert_eq!(kept, Kept::Waits, "another one of its name has not");
        assert_eq!(pending.find("shop/orders", "k").unwrap(), Some(request(later)));
    }

    #[tokio::test]
    async fn what_is_long_over_is_swept() {
        let store = Store::memory();
        let pending = Pending::new(store.clone());
        pending.keep("shop/orders", "k".into(), request(now()), false).await.unwrap();
        assert_eq!(store.sweep(now()).await.unwrap(), 0, "that it is late is known for a while");
        assert_eq!(store.sweep(now() + millis(KNOWN) + 1).await.unwrap(), 1);
        assert_eq!(pending.find("shop/orders", "k").unwrap(), None);
    }
}
