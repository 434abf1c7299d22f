//! The index of what is done, and how its rows are written.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sha2::{Digest, Sha256};

use super::super::shelf::Shelf;
use super::super::{Store, StoreError, Tables, millis};
use crate::messaging::seen::Scope;
use crate::rules::channel::Dedup;

/// Rows that one mark lets go, at most: the rest goes with the next one.
const EXPIRED_AT_ONCE: usize = 64;
/// Microseconds of a millisecond.
const MICROS: u64 = 1000;

/// Ids that were done together, by when they end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    /// In milliseconds since 1970.
    ends: u64,
    /// In microseconds since 1970; by them, rows of one millisecond are told apart.
    begun: u64,
}

impl Row {
    /// Its key on the flow's shelf.
    fn key(self) -> [u8; 16] {
        ((u128::from(self.ends) << 64) | u128::from(self.begun)).to_be_bytes()
    }

    /// None: it is no row's.
    fn of(key: &[u8]) -> Option<Self> {
        let (ends, begun) = key.split_first_chunk()?;
        Some(Self { ends: u64::from_be_bytes(*ends), begun: u64::from_be_bytes(begun.try_into().ok()?) })
    }

    /// How long its ids are known, in milliseconds.
    fn window(self) -> u64 {
        self.ends.saturating_sub(self.begun / MICROS)
    }
}

/// An id and the message's hash, as a row has them.
fn pairs(value: &[u8]) -> impl Iterator<Item = (u64, u64)> {
    value.chunks_exact(16).filter_map(|pair| {
        let (id, hash) = pair.split_first_chunk()?;
        Some((u64::from_be_bytes(*id), u64::from_be_bytes(hash.try_into().ok()?)))
    })
}

/// What stands for an id. Two ids have the same one as good as never, and if so, their messages have other hashes: the
/// later one goes to the dead letters, and is not left out.
pub(super) fn digest(scope: &Scope) -> u64 {
    let digest = Sha256::digest(scope.0.as_bytes());
    digest.first_chunk().map_or(0, |start| u64::from_be_bytes(*start))
}

/// What is known of one flow's messages.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The message's hash, and when its row was begun.
    by_id: HashMap<u64, (u64, u64)>,
    /// Ids in the order in which they were done. Some are known by a later row since.
    rows: BTreeMap<Row, Vec<u64>>,
    /// Rows that are not on disk as they are here.
    changed: BTreeSet<Row>,
    /// Rows that are being written, by the number of the write.
    flying: Vec<(u64, BTreeSet<Row>)>,
    /// The row that may still grow: its write has not begun.
    open: Option<Row>,
    /// Whether a write has been asked for that has not begun.
    pub(super) asked: bool,
    /// When the last row was begun.
    begun: u64,
    /// Writes so far.
    pub(super) writes: u64,
}

impl Known {
    /// The hash of what was done within the window.
    pub(super) fn get(&self, id: u64, now: u64, window: u64) -> Option<u64> {
        let (hash, begun) = self.by_id.get(&id)?;
        (now.saturating_sub(begun / MICROS) < window).then_some(*hash)
    }

    pub(super) fn mark(&mut self, done: &[(Scope, u64)], now: u64, within: Dedup) {
        let window = millis(within.window);
        self.expire(now);
        for (scope, hash) in done {
            let id = digest(scope);
            // The window begins when an id is first seen.
            if self.get(id, now, window).is_some() {
                continue;
            }
            let row = match self.open.filter(|row| row.window() == window) {
                Some(row) => row,
                None => self.begin(now, window),
            };
            self.by_id.insert(id, (*hash, row.begun));
            self.rows.entry(row).or_default().push(id);
            self.changed.insert(row);
        }
        self.keep_within(within.entries);
    }

    fn begin(&mut self, now: u64, window: u64) -> Row {
        let from = now.saturating_mul(MICROS);
        let is_taken = (from..from.saturating_add(MICROS)).contains(&self.begun);
        self.begun = if is_taken { self.begun + 1 } else { from };
        let row = Row { ends: (self.begun / MICROS).saturating_add(window), begun: self.begun };
        self.open = Some(row);
        row
    }

    /// Forgets ids of a row, unless another one has them.
    fn drop_ids(&mut self, row: Row, ids: impl IntoIterator<Item = u64>) {
        for id in ids {
            if self.by_id.get(&id).is_some_and(|(_, begun)| *begun == row.begun) {
                self.by_id.remove(&id);
            }
        }
        self.changed.insert(row);
    }

    fn expire(&mut self, now: u64) {
        for _ in 0..EXPIRED_AT_ONCE {
            match self.rows.first_entry() {
                Some(first) if first.key().ends <= now => {
                    let (row, ids) = first.remove_entry();
                    self.drop_ids(row, ids);
                }
                _ => return,
            }
        }
    }

    /// Forgets those that would end next until there are no more than so many.
    fn keep_within(&mut self, most: u64) {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        while self.by_id.len() > most
            && let Some(mut first) = self.rows.first_entry()
        {
            let (row, over) = (*first.key(), self.by_id.len() - most);
            let ids: Vec<u64> =
                if first.get().len() > over { first.get_mut().drain(..over).collect() } else { first.remove() };
            self.drop_ids(row, ids);
        }
    }

    pub(super) fn forget(&mut self, id: u64) {
        let Some((_, begun)) = self.by_id.remove(&id) else { return };
        let Some((row, ids)) = self.rows.iter_mut().find(|(row, ids)| row.begun == begun && ids.contains(&id)) else {
            return;
        };
        let row = *row;
        ids.retain(|one| *one != id);
        if ids.is_empty() {
            self.rows.remove(&row);
        }
        self.changed.insert(row);
    }

    /// Makes the rows on disk as they are here.
    pub(super) fn write(&mut self, number: u64, place: &Shelf, tables: &mut dyn Tables) -> Result<(), StoreError> {
        (self.open, self.asked) = (None, false);
        self.flying.push((number, std::mem::take(&mut self.changed)));
        for row in self.flying.last().into_iter().flat_map(|(_, changed)| changed) {
            let ids = self.rows.get(row).map(Vec::as_slice).unwrap_or_default();
            let mut value = Vec::with_capacity(ids.len() * 16);
            for id in ids {
                if let Some((hash, begun)) = self.by_id.get(id)
                    && *begun == row.begun
                {
                    value.extend_from_slice(&id.to_be_bytes());
                    value.extend_from_slice(&hash.to_be_bytes());
                }
            }
            let (table, key) = place.key(&row.key());
            if value.is_empty() { tables.delete(table, &key)? } else { tables.put(table, &key, &value)? }
        }
        place.set_len(tables, self.by_id.len() as u64)
    }

    /// A write is over. What it was to write is written by the next one, if it has failed.
    pub(super) fn written(&mut self, number: u64, is_kept: bool) {
        let at = self.flying.iter().position(|(known, _)| *known == number);
        let rows = at.map(|at| self.flying.swap_remove(at).1);
        match (rows, is_kept) {
            (_, true) => {}
            (Some(rows), false) => self.changed.extend(rows),
            // It has never begun.
            (None, false) => self.asked = false,
        }
    }

    /// Whether all of it is on disk.
    pub(super) fn is_on_disk(&self) -> bool {
        self.changed.is_empty() && self.flying.is_empty()
    }

    /// What the rows of a flow say.
    pub(super) fn read(store: &Store, place: &Shelf) -> Result<Self, StoreError> {
        let mut known = Self::default();
        let (table, prefix) = place.key(b"");
        store.visit(table, &prefix, |key, value| {
            let Some(row) = key.get(prefix.len()..).and_then(Row::of) else { return };
            for (id, hash) in pairs(value) {
                known.rows.entry(row).or_default().push(id);
                let other = known.by_id.get(&id).map(|(_, begun)| *begun);
                if other.is_none_or(|other| other < row.begun) {
                    known.by_id.insert(id, (hash, row.begun));
                }
            }
        })?;
        Ok(known)
    }
}

/// Lets go of up to `most` rows that have ended: of a flow that does not do it itself. Says how many.
pub(in crate::store) fn expire(
    place: &Shelf,
    tables: &mut dyn Tables,
    now: u64,
    most: usize,
) -> Result<usize, StoreError> {
    let (table, prefix) = place.key(b"");
    for gone in 0..most {
        let Some((key, value)) = tables.first(table, &prefix)? else { return Ok(gone) };
        if key.get(prefix.len()..).and_then(Row::of).is_some_and(|row| row.ends > now) {
            return Ok(gone);
        }
        tables.delete(table, &key)?;
        let left = place.len(tables)?.saturating_sub(pairs(&value).count() as u64);
        place.set_len(tables, left)?;
    }
    Ok(most)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::super::{Pair, Table, now};
    use super::*;

    /// Tables of a disk that cannot be read.
    struct Unreadable;

    impl Tables for Unreadable {
        fn get(&mut self, _: Table, _: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
            Err(StoreError("unreadable".to_owned()))
        }

        fn first(&mut self, table: Table, key: &[u8]) -> Result<Option<Pair>, StoreError> {
            self.get(table, key).map(|_| None)
        }

        fn put(&mut self, table: Table, key: &[u8], _: &[u8]) -> Result<(), StoreError> {
            self.get(table, key).map(drop)
        }

        fn delete(&mut self, table: Table, key: &[u8]) -> Result<(), StoreError> {
            self.get(table, key).map(drop)
        }
    }

    #[test]
    fn a_write_that_stops_half_way_is_made_again() {
        let within = Dedup { window: Duration::from_secs(60), entries: 100 };
        let mut known = Known::default();
        known.mark(&[(Scope("a".to_owned()), 1)], now(), within);
        assert!(known.write(1, &Shelf::new(Table::Done, "orders"), &mut Unreadable).is_err());
        assert!(known.changed.is_empty());
        known.written(1, false);
        assert_eq!((known.changed.len(), known.flying.len()), (1, 0));
    }

    #[test]
    fn a_clock_that_was_wrong_for_a_while_is_wrong_for_no_longer() {
        let within = Dedup { window: Duration::from_secs(60), entries: 100 };
        let (mut known, ids) = (Known::default(), ["ahead", "back", "again"].map(|id| Scope(id.to_owned())));
        let [ahead, back, again] = &ids;
        let (year, now, hour) = (31_536_000_000, 1_800_000_000_000, 3_600_000);
        known.mark(&[(ahead.clone(), 1)], now + year, within);
        known.open = None;
        known.mark(&[(back.clone(), 2)], now, within);
        known.open = None;
        known.mark(&[(again.clone(), 3)], now, within);
        let get = |id: &Scope, at: u64| known.get(digest(id), at, millis(within.window));
        assert_eq!((get(back, now + 59_999), get(again, now + 59_999)), (Some(2), Some(3)));
        assert_eq!((get(back, now + hour), get(again, now + hour)), (None, None));
        assert_eq!(known.rows.len(), 3, "two of one millisecond");
    }
}
