//! The tables in memory.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Backend, Change, Look, Pair, StoreError, Table, Tables, Told};

type Kept = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<Kept>);

impl Memory {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn from<'k>(kept: &'k Kept, table: Table, prefix: &[u8]) -> impl Iterator<Item = (&'k [u8], &'k [u8])> {
    let (from, prefix) = ((table, prefix.to_vec()), prefix.to_vec());
    let all = kept.range(from..).take_while(move |((of, key), _)| *of == table && key.starts_with(&prefix));
    all.map(|((_, key), value)| (key.as_slice(), value.as_slice()))
}

impl Backend for Memory {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.kept().get(&(table, key.to_vec())).cloned())
    }

    fn visit(&self, table: Table, prefix: &[u8], look: &mut Look<'_>) -> Result<(), StoreError> {
        from(&self.kept(), table, prefix).for_each(|(key, value)| look(key, value));
        Ok(())
    }

    fn bytes(&self) -> u64 {
        self.kept().iter().map(|((_, key), value)| (key.len() + value.len()) as u64).sum()
    }

    fn change(&self, change: Change, told: Told) {
        // Memory never refuses, so no change of it ever stops half way.
        let done = change(&mut *self.kept());
        told(done);
    }
}

impl Tables for Kept {
    fn get(&mut self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(BTreeMap::get(self, &(table, key.to_vec())).cloned())
    }

    fn first(&mut self, table: Table, prefix: &[u8]) -> Result<Option<Pair>, StoreError> {
        Ok(from(self, table, prefix).next().map(|(key, value)| (key.to_vec(), value.to_vec())))
    }

    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.insert((table, key.to_vec()), value.to_vec());
        Ok(())
    }

    fn delete(&mut self, table: Table, key: &[u8]) -> Result<(), StoreError> {
        self.remove(&(table, key.to_vec()));
        Ok(())
    }
}
