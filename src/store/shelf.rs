//! Entries that end by themselves and are bounded in number: the oldest end first.
//!
//! An entry of `table` is kept under `scope 0 key`. `Order` has `table scope 0 end key` for each, so that the next to end is
//! the first one, and `Count` has how many there are.

use super::{StoreError, Table, Tables};

/// The entries of one scope: a service's or a flow's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shelf {
    table: Table,
    scope: String,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When it ends, in milliseconds since 1970.
    pub ends: u64,
    /// What it is.
    pub value: Vec<u8>,
}

impl Entry {
    fn written(&self) -> Vec<u8> {
        [&self.ends.to_be_bytes(), self.value.as_slice()].concat()
    }
}

impl Shelf {
    /// The entries of `scope`, which has no NUL in it.
    pub fn new(table: Table, scope: &str) -> Self {
        Self { table, scope: scope.replace('\0', " ") }
    }

    /// The shelf of a key of `Count`.
    pub(super) fn named(key: &[u8]) -> Option<Self> {
        let (number, scope) = key.split_first()?;
        let table = Table::ALL.into_iter().find(|table| *table as u8 == *number)?;
        Some(Self { table, scope: String::from_utf8(scope.to_vec()).ok()? })
    }

    /// What its entries are.
    pub(super) fn table(&self) -> Table {
        self.table
    }

    /// Its table and its scope.
    pub(super) fn into_parts(self) -> (Table, String) {
        (self.table, self.scope)
    }

    /// Where an entry is, for reading it outside of a change.
    pub fn key(&self, key: &[u8]) -> (Table, Vec<u8>) {
        (self.table, [self.scope.as_bytes(), b"\0", key].concat())
    }

    /// An entry as it was read outside of a change.
    pub fn read(bytes: &[u8]) -> Option<Entry> {
        let (ends, value) = Self::split(bytes)?;
        Some(Entry { ends, value: value.to_vec() })
    }

    /// When an entry ends that was read outside of a change, and its value where it is.
    pub fn split(bytes: &[u8]) -> Option<(u64, &[u8])> {
        let (ends, value) = bytes.split_first_chunk()?;
        Some((u64::from_be_bytes(*ends), value))
    }

    fn order(&self, ends: Option<u64>, key: &[u8]) -> Vec<u8> {
        let ends = ends.map(|ends| ends.to_be_bytes().to_vec()).unwrap_or_default();
        [&[self.table as u8], self.scope.as_bytes(), b"\0", &ends, key].concat()
    }

    fn counter(&self) -> Vec<u8> {
        [&[self.table as u8], self.scope.as_bytes()].concat()
    }

    /// How many entries there are.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn len(&self, tables: &mut dyn Tables) -> Result<u64, StoreError> {
        let count = tables.get(Table::Count, &self.counter())?;
        Ok(count.and_then(|count| count.try_into().ok()).map_or(0, u64::from_be_bytes))
    }

    /// Sets how many entries there are.
    pub(super) fn set_len(&self, tables: &mut dyn Tables, count: u64) -> Result<(), StoreError> {
        if count == 0 {
            tables.delete(Table::Count, &self.counter())
        } else {
            tables.put(Table::Count, &self.counter(), &count.to_be_bytes())
        }
    }

    /// An entry.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn get(&self, tables: &mut dyn Tables, key: &[u8]) -> Result<Option<Entry>, StoreError> {
        let (table, key) = self.key(key);
        Ok(tables.get(table, &key)?.and_then(|bytes| Self::read(&bytes)))
    }

    /// Sets an entry.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn put(&self, tables: &mut dyn Tables, key: &[u8], entry: &Entry) -> Result<(), StoreError> {
        self.remove(tables, key)?;
        let (table, at) = self.key(key);
        tables.put(table, &at, &entry.written())?;
        tables.put(Table::Order, &self.order(Some(entry.ends), key), b"")?;
        let count = self.len(tables)?;
        self.set_len(tables, count + 1)
    }

    /// Removes an entry, if it is there.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn remove(&self, tables: &mut dyn Tables, key: &[u8]) -> Result<(), StoreError> {
        let Some(entry) = self.get(tables, key)? else { return Ok(()) };
        let (table, at) = self.key(key);
        tables.delete(table, &at)?;
        tables.delete(Table::Order, &self.order(Some(entry.ends), key))?;
        let count = self.len(tables)?;
        self.set_len(tables, count.saturating_sub(1))
    }

    /// When the next entry ends, and its key.
    fn next(&self, tables: &mut dyn Tables) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        let prefix = self.order(None, b"");
        let first = tables.first(Table::Order, &prefix)?;
        Ok(first.and_then(|(key, _)| {
            let (ends, key) = key.get(prefix.len()..)?.split_first_chunk()?;
            Some((u64::from_be_bytes(*ends), key.to_vec()))
        }))
    }

    /// Removes up to `most` entries that have ended. Says how many.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn expire(&self, tables: &mut dyn Tables, now: u64, most: usize) -> Result<usize, StoreError> {
        for gone in 0..most {
            match self.next(tables)? {
                Some((ends, key)) if ends <= now => self.remove(tables, &key)?,
                _ => return Ok(gone),
            }
        }
        Ok(most)
    }
}
