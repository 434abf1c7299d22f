//! Who still calls which version: requests by version, operation and consumer, in bounded memory.
//!
//! Space-Saving (Metwally, Agrawal, El Abbadi 2005): a service has so many rows; a newcomer to a full page takes the place
//! of the row that can have the fewest requests. What it may have had before is noted as `missed`, so no row that has
//! more than its page's least one is ever left out, and what rows counted that are gone is kept as one number: the sum of
//! all is exact.
//!
//! Each worker writes pages of its own, so none waits for another; they are put together when they are read (Agarwal et al.,
//! Mergeable Summaries, 2012). A row then has had between `count` and `count + missed` requests, where `missed` is at most
//! a thousandth of the service's; and whatever has had more than two thousandths of them has a row.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::access_log::rfc3339;
use super::record::Entry;
use crate::plan::names::{Folded, Names};

/// Rows of one service.
const ROWS: usize = 1000;

/// Rows of all services that one worker writes. With more of them pages do not grow any further, which costs those of many
/// services precision.
const ALL_ROWS: usize = 100_000;

/// One worker's hold on the pages of all.
#[derive(Debug)]
pub(super) struct Ledger {
    since: SystemTime,
    own: Arc<Mutex<Pages>>,
    all: Arc<Mutex<Vec<Arc<Mutex<Pages>>>>>,
}

/// What one worker writes: a page for each service.
#[derive(Debug, Default)]
struct Pages {
    pages: Names<String, Page>,
    rows: usize,
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
        let own = Arc::default();
        Self { since: SystemTime::now(), all: Arc::new(Mutex::new(vec![Arc::clone(&own)])), own }
    }

    /// The same for another worker.
    pub(super) fn share(&self) -> Self {
        let own = Arc::default();
        held(&self.all).push(Arc::clone(&own));
        Self { since: self.since, own, all: self.all.clone() }
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
        held(&self.own).count(known.service(), &key, entry.at);
    }

    /// The rows that a filter lets through, the most frequent first.
    pub(super) fn as_json(&self, filter: &Filter) -> Value {
        let all = held(&self.all).clone();
        let mut names = BTreeSet::new();
        for pages in &all {
            names.extend(held(pages).pages.keys().cloned());
        }
        names.retain(|name| filter.service.as_ref().is_none_or(|service| service == name));
        let version = filter.version.as_deref();
        let merged = |name: String| {
            // Copied one at a time: no worker waits for more than that.
            let pages = all.iter().filter_map(|pages| held(pages).pages.get(&name).map(Page::copy));
            let page = Copied::merge(&pages.collect::<Vec<_>>(), ROWS).as_json(version);
            (name, page)
        };
        let services: Map<String, Value> = names.into_iter().map(merged).collect();
        json!({ "since": time(self.since), "services": services })
    }
}

fn held<T>(lock: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pages {
    fn count(&mut self, service: &str, key: &Key<'_>, at: SystemTime) {
        let may_grow = self.rows < ALL_ROWS;
        let page = match self.pages.get_mut(service) {
            Some(page) => page,
            None => self.pages.entry(service.to_owned()).or_insert_with(|| Page::new(ROWS)),
        };
        let before = page.rows.len();
        page.count(key, at, may_grow);
        self.rows += page.rows.len() - before;
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

impl Key<'_> {
    /// Consumers are named by callers, so what they are hashed with has a seed; all else is named by rules.
    fn hash_by(&self, seeded: &RandomState) -> u64 {
        let mut rules = Folded::default();
        (self.asked, self.served, self.operation).hash(&mut rules);
        seeded.hash_one((rules.finish(), self.consumer))
    }
}

/// One service, as one worker has seen it.
#[derive(Debug)]
struct Page {
    most: usize,
    hasher: RandomState,
    /// By hash: a request that has a row costs no allocation.
    at: Names<u64, usize>,
    rows: Vec<Row>,
    /// Of each row, the most requests that it can have had. Apart from the rows, since it is searched for the least.
    ranks: Vec<u64>,
    /// What rows that are gone had counted.
    other: u64,
    /// Whether any row has given way: from then on a newcomer may have been here before.
    is_full: bool,
}

#[derive(Debug, Clone)]
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
        let (hasher, at) = (RandomState::new(), Names::default());
        Self { most, hasher, at, rows: Vec::new(), ranks: Vec::new(), other: 0, is_full: false }
    }

    fn count(&mut self, key: &Key<'_>, at: SystemTime, may_grow: bool) {
        let hash = key.hash_by(&self.hasher);
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
        if self.rows.is_empty() || (self.rows.len() < self.most && may_grow && !self.is_full) {
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
            self.is_full = true;
            self.other += gone.count;
            self.at.remove(&gone.hash);
            self.at.insert(hash, index);
        }
    }

    fn copy(&self) -> Copied {
        let least = self.ranks.iter().copied().min().filter(|_| self.is_full).unwrap_or_default();
        Copied { rows: self.rows.clone(), other: self.other, least }
    }
}

/// A page as it was.
#[derive(Debug)]
struct Copied {
    rows: Vec<Row>,
    other: u64,
    /// The most requests that anything without a row can have had.
    least: u64,
}

impl Copied {
    /// What several workers have seen of one service, as one page with so many rows.
    fn merge(pages: &[Self], most: usize) -> Self {
        let least: u64 = pages.iter().map(|page| page.least).sum();
        let mut merged: HashMap<Key<'_>, Row> = HashMap::new();
        for page in pages {
            for row in &page.rows {
                // At a worker where it has no row, it may have had as many requests as the least one that has.
                let new = || Row { count: 0, missed: least, ..row.clone() };
                let one = merged.entry(row.key()).or_insert_with(new);
                one.count += row.count;
                one.missed = one.missed.saturating_sub(page.least) + row.missed;
                one.last = one.last.max(row.last);
            }
        }
        let mut rows: Vec<Row> = merged.into_values().collect();
        rows.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.order().cmp(&b.order())));
        let cut: u64 = rows.iter().skip(most).map(|row| row.count).sum();
        rows.truncate(most);
        Self { rows, other: pages.iter().map(|page| page.other).sum::<u64>() + cut, least }
    }

    fn as_json(&self, version: Option<&str>) -> Value {
        let rows = self.rows.iter().filter(|row| version.is_none_or(|one| row.asked == one));
        json!({ "rows": rows.map(Row::as_json).collect::<Vec<_>>(), "other": self.other })
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
            page.count(&key(&format!("once-{number}")), UNIX_EPOCH, true);
            sent += 1;
            if number % 4 == 0 {
                page.count(&key("often"), UNIX_EPOCH, true);
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
            page.count(&one, at, true);
        }
        page.count(&Key { served: "v1", ..key("a") }, UNIX_EPOCH, true);
        // Where one text ends and the next one begins matters.
        page.count(&Key { operation: "GET /orders/{id}a", consumer: "", ..key("") }, UNIX_EPOCH, true);
        let page = Copied::merge(&[page.copy()], 8);
        let found = page.as_json(None);
        assert_eq!(found["rows"].as_array().unwrap().len(), 4);
        assert_eq!(found["rows"][0]["count"], 2);
        assert_eq!(found["rows"][0]["last"], "1970-01-01T00:00:07.000Z");
        assert_eq!(page.as_json(Some("v2"))["rows"], json!([]));
    }

    /// However requests are spread over workers: what is said of a row holds, what is frequent has one, and none is lost.
    #[test]
    fn pages_of_several_workers_are_one() {
        let mut all = [(); 3].map(|()| Pages::default());
        let mut truth: HashMap<String, u64> = HashMap::new();
        let mut chance = 1_u32;
        let mut draw = |below: u32| {
            chance = chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (chance >> 8) % below
        };
        let sent = 60_000;
        for _ in 0..sent {
            // Some come often, most once or twice; one is frequent at one worker alone.
            let consumer = match draw(10) {
                0..4 => format!("often-{}", draw(20)),
                4 => "alone".to_owned(),
                _ => format!("rare-{}", draw(50_000)),
            };
            let worker = if consumer == "alone" { 2 } else { draw(3) };
            all[worker as usize].count("shop", &key(&consumer), UNIX_EPOCH);
            *truth.entry(consumer).or_default() += 1;
        }
        let pages: Vec<Copied> = all.iter().map(|pages| pages.pages["shop"].copy()).collect();
        let page = Copied::merge(&pages, ROWS);
        assert_eq!(page.rows.len(), ROWS);
        assert_eq!(page.rows.iter().map(|row| row.count).sum::<u64>() + page.other, sent);
        for row in &page.rows {
            let real = truth[&row.consumer];
            assert!(row.count <= real && real <= row.count + row.missed, "{row:?} had {real}");
            assert!(row.missed <= sent / 1000, "{row:?}");
        }
        for (consumer, count) in truth.iter().filter(|(_, count)| **count > 2 * sent / 1000) {
            assert!(page.rows.iter().any(|row| row.consumer == *consumer), "{consumer} had {count}");
        }
    }

    #[test]
    fn rows_of_all_services_are_bounded() {
        let mut pages = Pages::default();
        for number in 0..ALL_ROWS + 5_000 {
            pages.count(&format!("s{}", number % 150), &key(&number.to_string()), UNIX_EPOCH);
        }
        pages.count("late", &key("a"), UNIX_EPOCH);
        pages.count("late", &key("b"), UNIX_EPOCH);
        let rows: usize = pages.pages.values().map(|page| page.rows.len()).sum();
        assert_eq!((pages.rows, rows), (ALL_ROWS + 1, ALL_ROWS + 1));
        let late = pages.pages["late"].copy();
        assert_eq!((late.rows[0].count, late.rows[0].missed, late.other), (1, 1, 1));
    }
}
