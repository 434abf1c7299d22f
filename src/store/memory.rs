//! The tables in memory.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Backend, Boxed, Change, Pair, StoreError, Table, Tables};

type Kept = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<Kept>);

impl Memory {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn from<'k>(kept: &'k Kept, table: Table, prefix: &[u8]) -> impl Iterator<Item = Pair> + 'k {
    let (from, prefix) = ((table, prefix.to_vec()), prefix.to_vec());
    let all = kept.range(from..).take_while(move |((of, key), _)| *of == table && key.starts_with(&prefix));
    all.map(|((_, key), value)| (key.clone(), value.clone()))
}

impl Backend for Memory {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.kept().get(&(table, key.to_vec())).cloned())
    }

    fn scan(&self, table: Table, prefix: &[u8]) -> Result<Vec<Pair>, StoreError> {
        Ok(from(&self.kept(), table, prefix).collect())
    }

    fn change(&self, change: Change) -> Boxed<Result<(), StoreError>> {
        // Memory never refuses, so no change of it ever stops half way.
        let done = change(&mut *self.kept());
        Box::pin(std::future::ready(done))
    }
}

impl Tables for Kept {
    fn get(&mut self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(BTreeMap::get(self, &(table, key.to_vec())).cloned())
    }

    fn first(&mut self, table: Table, prefix: &[u8]) -> Result<Option<Pair>, StoreError> {
        Ok(from(self, table, prefix).next())
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
