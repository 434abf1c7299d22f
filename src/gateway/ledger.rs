//! Who still calls which version: requests by version, operation and consumer, in bounded memory.
//!
//! Space-Saving (Metwally, Agrawal, El Abbadi 2005): a service has so many rows; a newcomer to a full page takes the place
//! of the row that can have the fewest requests. What it may have had before is noted as `missed`, so no row that has
//! more than its page's least one is ever left out, and what rows counted that are gone is kept as one number: the sum of
//! all is exact.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::access_log::rfc3339;
use super::record::Entry;

/// Rows of one service.
const ROWS: usize = 1000;

/// The pages of all services.
#[derive(Debug)]
pub(super) struct Ledger {
    since: SystemTime,
    pages: Mutex<BTreeMap<String, Page>>,
}

/// Which rows are asked for.
#[derive(Debug, Default)]
pub(super) struct Filter {
    pub(super) service: Option<String>,
    /// The version that callers ask for.
    pub(super) version: Option<String>,
}

impl Ledger {
    pub(super) fn new() -> Self {
        Self { since: SystemTime::now(), pages: Mutex::default() }
    }

    /// Counts a finished request. One whose version is not known is nobody's.
    pub(super) fn finished(&self, entry: &Entry<'_>) {
        let known = entry.known;
        if known.asked().is_empty() {
            return;
        }
        let key = Key {
            asked: known.asked(),
            served: known.served(),
            operation: known.route.as_deref().unwrap_or_default(),
            consumer: known.consumer.as_deref().unwrap_or_default(),
        };
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(page) = pages.get_mut(known.service()) {
            page.count(&key, entry.at);
        } else {
            let mut page = Page::new(ROWS);
            page.count(&key, entry.at);
            pages.insert(known.service().to_owned(), page);
        }
    }

    /// The rows that a filter lets through, the most frequent first.
    pub(super) fn as_json(&self, filter: &Filter) -> Value {
        let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = pages.iter().filter(|(name, _)| filter.service.as_ref().is_none_or(|service| service == *name));
        let version = filter.version.as_deref();
        let services: Map<String, Value> = wanted.map(|(name, page)| (name.clone(), page.as_json(version))).collect();
        json!({ "since": time(self.since), "services": services })
    }
}

fn time(at: SystemTime) -> String {
    rfc3339(at.duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// What requests are told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key<'k> {
    asked: &'k str,
    served: &'k str,
    operation: &'k str,
    consumer: &'k str,
}

/// One service.
#[derive(Debug)]
struct Page {
    most: usize,
    hasher: RandomState,
    /// By hash: a request that has a row costs no allocation.
    at: HashMap<u64, usize>,
    rows: Vec<Row>,
    /// Of each row, the most requests that it can have had. Apart from the rows, since it is searched for the least.
    ranks: Vec<u64>,
    /// What rows that are gone had counted.
    other: u64,
}

#[derive(Debug)]
struct Row {
    hash: u64,
    asked: String,
    served: String,
    operation: String,
    consumer: String,
    /// Counted here.
    count: u64,
    /// At most so many came before it had this row.
    missed: u64,
    last: SystemTime,
}

impl Row {
    fn key(&self) -> Key<'_> {
        let Self { asked, served, operation, consumer, .. } = self;
        Key { asked, served, operation, consumer }
    }

    /// Among rows of one count.
    fn order(&self) -> (&str, &str, &str, &str) {
        (&self.asked, &self.operation, &self.consumer, &self.served)
    }

    fn as_json(&self) -> Value {
        let named = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        json!({
            "asked": self.asked,
            "served": named(&self.served),
            "operation": named(&self.operation),
            "consumer": named(&self.consumer),
            "count": self.count,
            "missed": self.missed,
            "last": time(self.last),
        })
    }
}

impl Page {
    fn new(most: usize) -> Self {
        Self { most, hasher: RandomState::new(), at: HashMap::new(), rows: Vec::new(), ranks: Vec::new(), other: 0 }
    }

    fn count(&mut self, key: &Key<'_>, at: SystemTime) {
        let hash = self.hasher.hash_one(key);
        if let Some(index) = self.at.get(&hash).copied()
            && let (Some(row), Some(rank)) = (self.rows.get_mut(index), self.ranks.get_mut(index))
        {
            if row.key() == *key {
                row.count += 1;
                row.last = row.last.max(at);
                *rank += 1;
            } else {
                // Two keys with one hash of 64 bits whose seed nobody knows: the second one is not told apart.
                self.other += 1;
            }
            return;
        }
        let row = |missed| Row {
            hash,
            asked: key.asked.to_owned(),
            served: key.served.to_owned(),
            operation: key.operation.to_owned(),
            consumer: key.consumer.to_owned(),
            count: 1,
            missed,
            last: at,
        };
        if self.rows.len() < self.most {
            self.at.insert(hash, self.rows.len());
            self.rows.push(row(0));
            self.ranks.push(1);
            return;
        }
        let least = self.ranks.iter().enumerate().min_by_key(|(_, rank)| **rank).map(|(index, rank)| (index, *rank));
        if let Some((index, rank)) = least
            && let (Some(place), Some(kept)) = (self.rows.get_mut(index), self.ranks.get_mut(index))
        {
            let gone = std::mem::replace(place, row(rank));
            *kept = rank + 1;
            self.other += gone.count;
            self.at.remove(&gone.hash);
            self.at.insert(hash, index);
        }
    }

    fn as_json(&self, version: Option<&str>) -> Value {
        let mut rows: Vec<&Row> = self.rows.iter().filter(|row| version.is_none_or(|one| row.asked == one)).collect();
        rows.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.order().cmp(&b.order())));
        json!({
            "rows": rows.iter().map(|row| row.as_json()).collect::<Vec<_>>(),
            "other": self.other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(consumer: &str) -> Key<'_> {
        Key { asked: "v1", served: "v2", operation: "GET /orders/{id}", consumer }
    }

    #[test]
    fn a_page_is_bounded_and_its_sum_is_exact() {
        let mut page = Page::new(8);
        let mut sent = 0_u64;
        // A frequent caller among many who come once.
        for number in 0..1000 {
            page.count(&key(&format!("once-{number}")), UNIX_EPOCH);
            sent += 1;
            if number % 4 == 0 {
                page.count(&key("often"), UNIX_EPOCH);
                sent += 1;
            }
        }
        assert_eq!((page.rows.len(), page.ranks.len(), page.at.len()), (8, 8, 8));
        let counted: u64 = page.rows.iter().map(|row| row.count).sum();
        assert_eq!(counted + page.other, sent);
        let often = page.rows.iter().find(|row| row.consumer == "often").unwrap();
        assert!(often.count <= 250 && often.count + often.missed >= 250, "{often:?}");
        for (row, rank) in page.rows.iter().zip(&page.ranks) {
            assert_eq!(row.count + row.missed, *rank);
        }
    }

    #[test]
    fn rows_tell_apart_what_is_different() {
        let mut page = Page::new(8);
        let later = UNIX_EPOCH + std::time::Duration::from_secs(7);
        for (one, at) in [(key("a"), later), (key("b"), UNIX_EPOCH), (key("a"), UNIX_EPOCH)] {
            page.count(&one, at);
        }
        page.count(&Key { served: "v1", ..key("a") }, UNIX_EPOCH);
        // Where one text ends and the next one begins matters.
        page.count(&Key { operation: "GET /orders/{id}a", consumer: "", ..key("") }, UNIX_EPOCH);
        let found = page.as_json(None);
        assert_eq!(found["rows"].as_array().unwrap().len(), 4);
        assert_eq!(found["rows"][0]["count"], 2);
        assert_eq!(found["rows"][0]["last"], "1970-01-01T00:00:07.000Z");
        assert_eq!(page.as_json(Some("v2"))["rows"], json!([]));
    }
}
