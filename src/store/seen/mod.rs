//! Which messages are done, over restarts.
//!
//! What is done at about the same time is one row on disk ([`known`]), written once: an id costs sixteen bytes at the end of a
//! tree, however many others are known. They are looked for in memory, where each takes about eighty bytes; that is read from the
//! rows when a flow begins. Memory is what counts, and each write makes the rows that have changed as it is.

mod known;

use std::collections::HashMap;
use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::Shared;
use tokio::sync::oneshot;

use super::shelf::Shelf;
use super::{ENDED, Store, StoreError, Table, millis, now};
use crate::messaging::broker::Boxed;
use crate::messaging::seen::{Scope, Seen, SeenError};
use crate::rules::channel::Dedup;
pub(super) use known::expire;
use known::{Known, digest};

type Written = Shared<Boxed<'static, Result<(), SeenError>>>;

/// What is known of one flow.
#[derive(Debug, Default)]
struct Index {
    known: Mutex<Known>,
    /// The last write that was asked for.
    next: Mutex<Option<Written>>,
}

impl Index {
    fn known(&self) -> MutexGuard<'_, Known> {
        lock(&self.known)
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is known of each flow: two that remember for the same flow know of each other. It does not keep a store open.
#[derive(Debug, Default)]
pub struct Indexes(Mutex<HashMap<String, Arc<Index>>>);

impl Indexes {
    /// The memory of a flow, in a store that is always the same.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn durable(&self, store: Store, flow: &str) -> Result<Durable, StoreError> {
        let place = Shelf::new(Table::Done, flow);
        let mut all = lock(&self.0);
        if let Some(index) = all.get(flow) {
            return Ok(Durable { store, place, index: index.clone() });
        }
        // Where a flow has gone, the store knows what it knew.
        all.retain(|_, index| Arc::strong_count(index) > 1 || !index.known().is_on_disk());
        let known = Mutex::new(Known::read(&store, &place)?);
        let index = Arc::new(Index { known, ..Index::default() });
        all.insert(flow.to_owned(), index.clone());
        Ok(Durable { store, place, index })
    }
}

/// Remembers in the store which messages of one flow are done.
#[derive(Debug)]
pub struct Durable {
    store: Store,
    place: Shelf,
    index: Arc<Index>,
}

impl Durable {
    /// Makes a change; resolves when a crash cannot undo it, nor what was changed before it.
    fn change(&self, change: impl FnOnce(&mut Known)) -> Boxed<'static, Result<(), SeenError>> {
        let mut next = lock(&self.index.next);
        let number = {
            let mut known = self.index.known();
            change(&mut known);
            if known.is_on_disk() {
                return Box::pin(ready(Ok(())));
            }
            if std::mem::replace(&mut known.asked, true)
                && let Some(next) = &*next
            {
                return Box::pin(next.clone());
            }
            known.writes += 1;
            known.writes
        };
        let (tell, told) = oneshot::channel();
        let (writing, index, place) = (self.index.clone(), self.index.clone(), self.place.clone());
        self.store.change_then(
            Box::new(move |tables| writing.known().write(number, &place, tables)),
            Box::new(move |result| {
                index.known().written(number, result.is_ok());
                // Whoever does not wait any more has gone away.
                let _ = tell.send(result);
            }),
        );
        let written: Boxed<'static, _> = Box::pin(async move {
            let result = told.await.unwrap_or_else(|_| Err(StoreError(ENDED.to_owned())));
            result.map_err(SeenError::from)
        });
        let written = written.shared();
        *next = Some(written.clone());
        Box::pin(written)
    }
}

impl From<StoreError> for SeenError {
    fn from(error: StoreError) -> Self {
        Self(error.to_string())
    }
}

impl Seen for Durable {
    fn get(&self, scope: &Scope, within: Dedup) -> Result<Option<u64>, SeenError> {
        Ok(self.index.known().get(digest(scope), now(), millis(within.window)))
    }

    fn mark(&self, done: Vec<(Scope, u64)>, within: Dedup) -> Boxed<'static, Result<(), SeenError>> {
        self.change(|known| known.mark(&done, now(), within))
    }

    fn forget(&self, scope: Scope) -> Boxed<'static, Result<(), SeenError>> {
        self.change(|known| known.forget(digest(&scope)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use super::super::file::tests::on_a_disk;
    use super::*;

    #[tokio::test]
    async fn what_could_not_be_written_is_written_with_what_comes_next() {
        let folder = tempfile::tempdir().unwrap();
        let (store, is_full) = on_a_disk(folder.path());
        let indexes = Indexes::default();
        let within = Dedup { window: Duration::from_secs(60), entries: 100 };
        let live = indexes.durable(store.clone(), "orders").unwrap();
        let mark = |id: &str| live.mark(vec![(Scope(id.to_owned()), 1)], within);
        mark("before").await.unwrap();
        is_full.store(true, Ordering::SeqCst);
        assert!(mark("during").await.is_err());
        // What was done stays done, and nobody is told that it is kept.
        assert_eq!(live.get(&Scope("during".to_owned()), within).unwrap(), Some(1));
        assert!(mark("during").await.is_err());
        assert!(!live.index.known().is_on_disk());
        is_full.store(false, Ordering::SeqCst);
        // Nobody waits for this one.
        drop(mark("dropped"));
        mark("after").await.unwrap();
        assert!(live.index.known().is_on_disk());
        let again = Indexes::default().durable(store, "orders").unwrap();
        for id in ["before", "during", "dropped", "after"] {
            assert_eq!(again.get(&Scope(id.to_owned()), within).unwrap(), Some(1), "{id}");
        }
    }
}
