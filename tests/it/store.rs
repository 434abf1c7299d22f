//! What survives: the embedded store and its form in memory.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use bifocal::messaging::seen::{Scope, Seen, Volatile};
use bifocal::rules::channel::Dedup;
use bifocal::store::shelf::{Entry, Shelf};
use bifocal::store::{Durable, Store, Table};

const DAY: Dedup = Dedup { window: Duration::from_secs(86_400), entries: 3 };

fn scope(text: &str) -> Scope {
    Scope(text.to_owned())
}

/// Whatever remembers what is done keeps to the same.
async fn remembers(seen: &dyn Seen) {
    let marks = |names: &[&str], hash| names.iter().map(|name| (scope(name), hash)).collect::<Vec<_>>();
    assert_eq!(seen.get(&scope("a"), DAY).unwrap(), None);
    seen.mark(marks(&["a", "b"], 1), DAY).await.unwrap();
    // The first hash stays, so that a conflict is seen.
    seen.mark(marks(&["a"], 2), DAY).await.unwrap();
    assert_eq!(seen.get(&scope("a"), DAY).unwrap(), Some(1));
    // Outside of the window it is new.
    let none = Dedup { window: Duration::ZERO, ..DAY };
    assert_eq!(seen.get(&scope("a"), none).unwrap(), None);
    seen.forget(scope("b")).await.unwrap();
    assert_eq!(seen.get(&scope("b"), DAY).unwrap(), None);
    // The oldest go first.
    for name in ["c", "d", "e"] {
        tokio::time::sleep(Duration::from_millis(2)).await;
        seen.mark(marks(&[name], 3), DAY).await.unwrap();
    }
    let left: Vec<_> = ["a", "c", "d", "e"].map(|name| seen.get(&scope(name), DAY).unwrap()).into();
    assert_eq!(left, [None, Some(3), Some(3), Some(3)]);
}

#[tokio::test]
async fn what_is_done_is_remembered_alike_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    remembers(&Volatile::default()).await;
    remembers(&Durable::new(Store::memory(), "orders")).await;
    let store = Store::open(folder.path()).unwrap();
    remembers(&Durable::new(store.clone(), "orders")).await;
    // Each flow has its own entries and bounds.
    assert_eq!(Durable::new(store.clone(), "other").get(&scope("e"), DAY).unwrap(), None);
    drop(store);
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(Durable::new(store, "orders").get(&scope("e"), DAY).unwrap(), Some(3));
}

#[tokio::test]
async fn entries_end_by_themselves() {
    let folder = tempfile::tempdir().unwrap();
    for store in [Store::memory(), Store::open(folder.path()).unwrap()] {
        let shelf = Shelf::new(Table::Keys, "orders");
        let kept = shelf.clone();
        let put = store.change(move |tables| {
            for number in 0..1200_u32 {
                let ends = u64::from(number) + 1;
                kept.put(tables, &number.to_be_bytes(), &Entry { ends, value: Vec::new() })?;
            }
            kept.len(tables)
        });
        assert_eq!(put.await.unwrap(), 1200);
        assert_eq!(store.sweep(1199).await.unwrap(), 1199);
        assert_eq!(store.scan(Table::Keys, b"").unwrap().len(), 1);
        assert_eq!(store.sweep(1200).await.unwrap(), 1);
        for table in [Table::Keys, Table::Order, Table::Count] {
            assert_eq!(store.scan(table, b"").unwrap(), [], "{table:?}");
        }
    }
}

#[tokio::test]
async fn an_entry_that_stays_is_not_replaced_and_one_that_does_not_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for store in [Store::memory(), Store::open(folder.path()).unwrap()] {
        let shelf = Shelf::new(Table::Done, "orders");
        let add = |ends: u64, stays: bool| {
            let (kept, entry) = (shelf.clone(), Entry { ends, value: ends.to_be_bytes().to_vec() });
            store.change(move |tables| kept.add_unless(tables, b"a", &entry, |_| stays))
        };
        assert_eq!(add(1, true).await.unwrap(), Some(1), "there was none");
        assert_eq!(add(2, true).await.unwrap(), None);
        let (table, key) = shelf.key(b"a");
        let ends = || Shelf::read(&store.get(table, &key).unwrap().unwrap()).unwrap().ends;
        assert_eq!(ends(), 1);
        assert_eq!(add(3, false).await.unwrap(), Some(1));
        assert_eq!(ends(), 3);
        assert_eq!(store.scan(Table::Order, b"").unwrap().len(), 1);
        assert_eq!(store.sweep(3).await.unwrap(), 1);
        for table in [Table::Done, Table::Order, Table::Count] {
            assert_eq!(store.scan(table, b"").unwrap(), [], "{table:?}");
        }
    }
}

#[tokio::test]
async fn pairs_are_put_scanned_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    for store in [Store::memory(), Store::open(folder.path()).unwrap()] {
        for key in ["b/1", "a/2", "a/1", "c"] {
            store.put(Table::Pending, key.into(), b"v".to_vec()).await.unwrap();
        }
        store.delete(Table::Pending, b"a/2".to_vec()).await.unwrap();
        let keys = |prefix: &str| -> Vec<String> {
            let found = store.scan(Table::Pending, prefix.as_bytes()).unwrap();
            found.into_iter().map(|(key, _)| String::from_utf8(key).unwrap()).collect()
        };
        assert_eq!((keys("a/"), keys("")), (vec!["a/1".to_owned()], vec!["a/1".into(), "b/1".into(), "c".into()]));
        assert_eq!(store.get(Table::Pending, b"c").unwrap(), Some(b"v".to_vec()));
    }
}

#[test]
fn one_process_has_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let _first = Store::open(folder.path()).unwrap();
    let error = Store::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("store.redb") && error.contains("used by another process"), "{error}");
}

#[test]
fn a_file_that_is_no_store_is_refused_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    std::fs::write(&path, "something else").unwrap();
    let error = Store::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("cannot be opened"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"something else");
}

const FOLDER: &str = "BIFOCAL_TEST_STORE";

/// Not a test of its own: what the next one starts as a process, and kills.
#[tokio::test]
async fn a_process_that_writes() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let store = Store::open(folder.as_ref()).unwrap();
    let begin = store.scan(Table::Pending, b"").unwrap().len();
    let mut out = std::io::stdout();
    for number in begin.. {
        let number = u32::try_from(number).unwrap();
        // Two tables at once: both or neither.
        let written = store.change(move |tables| {
            tables.put(Table::Pending, &number.to_be_bytes(), &[7; 3000])?;
            tables.put(Table::Operations, &number.to_be_bytes(), b"x")
        });
        written.await.unwrap();
        writeln!(out, "kept {number}").unwrap();
        out.flush().unwrap();
    }
}

#[tokio::test]
async fn what_was_kept_survives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let mut most = 0;
    for round in 0..6 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::a_process_that_writes", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let numbers = lines.filter_map(|line| line.ok()?.strip_prefix("kept ")?.parse::<u32>().ok());
        for number in numbers.take(15 + 7 * round) {
            most = number;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let (one, other) = (store.scan(Table::Pending, b"").unwrap(), store.scan(Table::Operations, b"").unwrap());
        assert!(one.len() > most as usize, "{most} was said to be kept, there are {}", one.len());
        assert_eq!(one.len(), other.len());
        assert!(one.iter().all(|(_, value)| **value == [7; 3000]));
    }
}
