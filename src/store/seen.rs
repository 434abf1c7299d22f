//! Which messages are done, over restarts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::shelf::{Entry, Shelf};
use super::{Store, StoreError, Table, millis, now};
use crate::messaging::broker::Boxed;
use crate::messaging::seen::{Scope, Seen, SeenError};
use crate::rules::channel::Dedup;

/// Entries that one mark lets go, at most: the rest goes with the next one, or in the background.
const EXPIRED_AT_ONCE: usize = 64;

/// Remembers in the store which messages of one flow are done.
#[derive(Debug, Clone)]
pub struct Durable {
    store: Store,
    shelf: Shelf,
    /// No entry ends before that: until then, no mark looks for one that has.
    soonest: Arc<AtomicU64>,
}

impl Durable {
    /// The memory of a flow.
    pub fn new(store: Store, flow: &str) -> Self {
        Self { store, shelf: Shelf::new(Table::Done, flow), soonest: Arc::default() }
    }
}

impl From<StoreError> for SeenError {
    fn from(error: StoreError) -> Self {
        Self(error.to_string())
    }
}

/// When it was first seen, and the message's hash.
fn write(at: u64, hash: u64) -> Vec<u8> {
    [at.to_be_bytes(), hash.to_be_bytes()].concat()
}

/// The message's hash, where it was first seen within the window.
fn read(value: &[u8], now: u64, within: Dedup) -> Option<u64> {
    let (at, hash) = value.split_first_chunk()?;
    let is_known = now.saturating_sub(u64::from_be_bytes(*at)) < millis(within.window);
    hash.try_into().ok().filter(|_| is_known).map(u64::from_be_bytes)
}

impl Seen for Durable {
    fn get(&self, scope: &Scope, within: Dedup) -> Result<Option<u64>, SeenError> {
        let (table, key) = self.shelf.key(scope.0.as_bytes());
        let found = self.store.get(table, &key)?.and_then(|bytes| Shelf::read(&bytes));
        Ok(found.and_then(|entry| read(&entry.value, now(), within)))
    }

    fn mark(&self, done: Vec<(Scope, u64)>, within: Dedup) -> Boxed<'static, Result<(), SeenError>> {
        let (kept, soonest) = (self.shelf.clone(), self.soonest.clone());
        let marked = self.store.change(move |tables| {
            let now = now();
            let ends = now.saturating_add(millis(within.window));
            let mut count = 0;
            for (scope, hash) in done {
                let entry = Entry { ends, value: write(now, hash) };
                // The window begins when an id is first seen.
                let is_known = |before: &Entry| read(&before.value, now, within).is_some();
                if let Some(all) = kept.add_unless(tables, scope.0.as_bytes(), &entry, is_known)? {
                    soonest.fetch_min(ends, Ordering::Relaxed);
                    count = all;
                }
            }
            if soonest.load(Ordering::Relaxed) <= now {
                kept.expire(tables, now, EXPIRED_AT_ONCE)?;
                soonest.store(kept.next_end(tables)?.unwrap_or(u64::MAX), Ordering::Relaxed);
            }
            if count > within.entries { kept.keep_within(tables, within.entries) } else { Ok(()) }
        });
        Box::pin(async move { Ok(marked.await?) })
    }

    fn forget(&self, scope: Scope) -> Boxed<'static, Result<(), SeenError>> {
        let kept = self.shelf.clone();
        let forgotten = self.store.change(move |tables| kept.remove(tables, scope.0.as_bytes()));
        Box::pin(async move { Ok(forgotten.await?) })
    }
}
