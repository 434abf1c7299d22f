//! What must survive a restart: ids of messages that are done, idempotency keys, asynchronous operations.
//!
//! One embedded file ([`mod@file`]), or memory where there is no state folder ([`memory`]): small tables of bytes by bytes. A
//! [`Change`] reads and writes as many of them as it needs, and all of it is kept or nothing. Its future resolves when a
//! crash cannot undo it. [`shelf`] has entries that are bounded in number and end by themselves.

mod file;
mod keeper;
mod memory;
mod seen;
pub mod shelf;

use std::fmt;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use keeper::Keeper;
pub use seen::{Durable, Indexes};
use shelf::Shelf;
use tokio::sync::oneshot;

/// The file's name in the state folder.
const FILE: &str = "store.redb";
/// Entries that one background change lets go.
const SWEPT_AT_ONCE: usize = 500;

/// Why a change was not made whose store is not there any more.
const ENDED: &str = "the store has ended";

/// A future in a box.
pub type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Bytes by bytes, in the order of their keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Messages that are done: see [`seen`].
    Done,
    /// Idempotency keys.
    Keys,
    /// Asynchronous operations.
    Operations,
    /// Requests that wait for a broker's answer.
    Pending,
    /// When entries of shelves end: see [`shelf`].
    Order,
    /// How many entries shelves have: see [`shelf`].
    Count,
}

impl Table {
    const ALL: [Self; 6] = [Self::Done, Self::Keys, Self::Operations, Self::Pending, Self::Order, Self::Count];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Keys => "keys",
            Self::Operations => "operations",
            Self::Pending => "pending",
            Self::Order => "order",
            Self::Count => "count",
        }
    }
}

/// What the store cannot do, for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreError(String);

impl fmt::Display for StoreError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for StoreError {}

/// A key and its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// The tables as one change sees them: what it has written, and what was there before.
pub trait Tables {
    /// A key's value.
    ///
    /// # Errors
    /// The store cannot be read.
    fn get(&mut self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// The first key that begins so, with its value.
    ///
    /// # Errors
    /// The store cannot be read.
    fn first(&mut self, table: Table, prefix: &[u8]) -> Result<Option<Pair>, StoreError>;

    /// Sets a key's value.
    ///
    /// # Errors
    /// The store cannot be written.
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StoreError>;

    /// Removes a key, if it is there.
    ///
    /// # Errors
    /// The store cannot be written.
    fn delete(&mut self, table: Table, key: &[u8]) -> Result<(), StoreError>;
}

/// What is done to the tables, as a whole or not at all. It fails only where the tables do.
pub type Change = Box<dyn FnOnce(&mut dyn Tables) -> Result<(), StoreError> + Send>;

/// What is called once a change is kept, or has failed.
type Told = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// Where the tables are.
trait Backend: fmt::Debug + Send + Sync {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;
    fn visit(&self, table: Table, prefix: &[u8], look: &mut Look<'_>) -> Result<(), StoreError>;
    fn change(&self, change: Change, told: Told);
    fn bytes(&self) -> u64;
}

/// Looks at a key and its value.
type Look<'l> = dyn FnMut(&[u8], &[u8]) + 'l;

/// A handle on what is kept.
#[derive(Debug, Clone)]
pub struct Store(Arc<dyn Backend>);

impl Store {
    /// The store of a state folder, which is made if it is not there. One process alone may have it.
    ///
    /// # Errors
    /// Another process has it, or it cannot be read or written.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(FILE);
        let make = std::fs::create_dir_all(folder);
        make.map_err(|error| StoreError(format!("the state folder {} cannot be made: {error}", folder.display())))?;
        Ok(Self(Arc::new(file::File::open(&path)?)))
    }

    /// A store that is forgotten with the process.
    pub fn memory() -> Self {
        Self(Arc::new(memory::Memory::default()))
    }

    /// A key's value, as far as changes have been committed.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get(table, key)
    }

    /// Every key that begins so, with its value, in the order of keys.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn scan(&self, table: Table, prefix: &[u8]) -> Result<Vec<Pair>, StoreError> {
        let mut found = Vec::new();
        self.visit(table, prefix, |key, value| found.push((key.to_vec(), value.to_vec())))?;
        Ok(found)
    }

    /// Looks at every key that begins so and at its value, in the order of keys. Only one of them is in memory at a time.
    /// What looks must not use the store.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn visit(&self, table: Table, prefix: &[u8], mut look: impl FnMut(&[u8], &[u8])) -> Result<(), StoreError> {
        self.0.visit(table, prefix, &mut look)
    }

    /// How much there is of it: bytes of the file, or of keys and values in memory.
    pub fn bytes(&self) -> u64 {
        self.0.bytes()
    }

    /// How many entries each shelf has, by table and scope: what has ended and was not let go of yet is among them.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn counts(&self) -> Result<Vec<(Table, String, u64)>, StoreError> {
        let mut counts = Vec::new();
        self.visit(Table::Count, b"", |key, count| {
            if let (Some(shelf), Ok(count)) = (Shelf::named(key), count.try_into()) {
                let (table, scope) = shelf.into_parts();
                counts.push((table, scope, u64::from_be_bytes(count)));
            }
        })?;
        Ok(counts)
    }

    /// Sets a key's value; resolves when a crash cannot undo it.
    pub fn put(&self, table: Table, key: Vec<u8>, value: Vec<u8>) -> Boxed<Result<(), StoreError>> {
        self.make(Box::new(move |tables| tables.put(table, &key, &value)))
    }

    /// Removes a key; resolves when a crash cannot undo it.
    pub fn delete(&self, table: Table, key: Vec<u8>) -> Boxed<Result<(), StoreError>> {
        self.make(Box::new(move |tables| tables.delete(table, &key)))
    }

    fn make(&self, change: Change) -> Boxed<Result<(), StoreError>> {
        let (tell, told) = oneshot::channel();
        // Whoever does not wait any more has gone away.
        self.change_then(change, Box::new(move |result| drop(tell.send(result))));
        Box::pin(async move { told.await.unwrap_or_else(|_| Err(StoreError(ENDED.to_owned()))) })
    }

    /// Makes a change, and calls `told` when a crash cannot undo it, or it has failed: from the thread that writes, or from
    /// here. Such calls come in the order of their changes. What is called must not use the store.
    fn change_then(&self, change: Change, told: Told) {
        self.0.change(change, told);
    }

    /// Makes a change, and gives what it gives once a crash cannot undo it.
    pub fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut dyn Tables) -> Result<T, StoreError> + Send + 'static,
    ) -> Boxed<Result<T, StoreError>> {
        let given = Arc::new(Mutex::new(None));
        let slot = given.clone();
        let committed = self.make(Box::new(move |tables| {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(change(tables)?);
            Ok(())
        }));
        Box::pin(async move {
            committed.await?;
            let given = given.lock().unwrap_or_else(PoisonError::into_inner).take();
            given.ok_or_else(|| StoreError("a change was committed that was not made".to_owned()))
        })
    }

    /// Lets go of what has ended. Says how many entries there were.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub async fn sweep(&self, now: u64) -> Result<usize, StoreError> {
        let mut count = 0;
        for (counter, _) in self.scan(Table::Count, b"")? {
            let Some(counted) = Shelf::named(&counter) else { continue };
            loop {
                let own = counted.clone();
                let swept = self.change(move |tables| match own.table() {
                    Table::Done => seen::expire(&own, tables, now, SWEPT_AT_ONCE),
                    _ => own.expire(tables, now, SWEPT_AT_ONCE),
                });
                let gone = swept.await?;
                count += gone;
                if gone < SWEPT_AT_ONCE {
                    break;
                }
            }
        }
        Ok(count)
    }
}

/// Milliseconds since 1970.
pub fn now() -> u64 {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// A length of time in milliseconds.
pub fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
