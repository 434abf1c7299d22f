//! What survives: the embedded store and its form in memory.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use bifocal::messaging::seen::{Scope, Seen, Volatile};
use bifocal::rules::channel::Dedup;
use bifocal::store::shelf::{Entry, Shelf};
use bifocal::store::{Durable, Indexes, Store, Table};

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
    remembers(&seen(&Store::memory(), "orders")).await;
    let store = Store::open(folder.path()).unwrap();
    remembers(&seen(&store, "orders")).await;
    // Each flow has its own entries and bounds.
    assert_eq!(seen(&store, "other").get(&scope("e"), DAY).unwrap(), None);
    drop(store);
    let store = Store::open(folder.path()).unwrap();
    let again = seen(&store, "orders");
    let left: Vec<_> = ["a", "b", "c", "d", "e"].map(|name| again.get(&scope(name), DAY).unwrap()).into();
    assert_eq!(left, [None, None, Some(3), Some(3), Some(3)]);
    assert_eq!(store.counts().unwrap(), [(Table::Done, "orders".to_owned(), 3)]);
}

/// As a process finds it that has just started.
fn seen(store: &Store, flow: &str) -> Durable {
    Indexes::default().durable(store.clone(), flow).unwrap()
}

#[tokio::test]
async fn ids_end_on_disk_and_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    for store in [Store::memory(), Store::open(folder.path()).unwrap()] {
        let soon = Dedup { window: Duration::from_secs(3), entries: 100 };
        let live = seen(&store, "orders");
        live.mark(vec![(scope("a"), 1), (scope("b"), 2)], soon).await.unwrap();
        live.mark(vec![(scope("c"), 3)], DAY).await.unwrap();
        // A row of another length, beside the one that ends soon.
        assert_eq!(store.scan(Table::Done, b"").unwrap().len(), 2);
        live.forget(scope("b")).await.unwrap();
        assert_eq!(store.counts().unwrap(), [(Table::Done, "orders".to_owned(), 2)]);
        assert_eq!(seen(&store, "orders").get(&scope("b"), DAY).unwrap(), None);
        while live.get(&scope("a"), soon).unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // A flow that does nothing is swept; one that does sweeps itself.
        assert_eq!(store.sweep(bifocal::store::now()).await.unwrap(), 1);
        assert_eq!(store.counts().unwrap(), [(Table::Done, "orders".to_owned(), 1)]);
        live.mark(vec![(scope("a"), 4)], DAY).await.unwrap();
        assert_eq!(live.get(&scope("a"), DAY).unwrap(), Some(4), "its time was over");
        assert_eq!(seen(&store, "orders").get(&scope("a"), DAY).unwrap(), Some(4));
        assert_eq!(store.counts().unwrap(), [(Table::Done, "orders".to_owned(), 2)]);
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    /// Whatever is marked and forgotten, by how many at once: a process that starts knows what the one before knew.
    #[test]
    fn the_next_process_knows_the_same(steps in proptest::collection::vec((0..12_u8, 0..5_usize, 1..8_u64), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (indexes, store) = (Indexes::default(), Store::memory());
        let live = indexes.durable(store.clone(), "orders").unwrap();
        let within = |most| Dedup { entries: most, ..DAY };
        for (first, count, most) in steps {
            let id = |number: u8| scope(&number.to_string());
            let marks = (first..).take(count).map(|number| (id(number), u64::from(number))).collect::<Vec<_>>();
            runtime.block_on(async {
                if marks.is_empty() { live.forget(id(first)).await } else { live.mark(marks, within(most)).await }
            }).unwrap();
            let next = seen(&store, "orders");
            let known = |seen: &dyn Seen| (0..20).filter_map(|number| seen.get(&id(number), DAY).unwrap()).collect::<Vec<_>>();
            proptest::prop_assert_eq!(known(&live), known(&next));
            let count = store.counts().unwrap().first().map_or(0, |(_, _, count)| *count);
            proptest::prop_assert_eq!(known(&live).len() as u64, count);
        }
    }
}

#[tokio::test]
async fn whoever_remembers_for_one_flow_knows_what_others_of_it_do() {
    let (indexes, store) = (Indexes::default(), Store::memory());
    let [one, other] = [(); 2].map(|()| indexes.durable(store.clone(), "orders").unwrap());
    one.mark(vec![(scope("a"), 1)], DAY).await.unwrap();
    assert_eq!(other.get(&scope("a"), DAY).unwrap(), Some(1));
    other.forget(scope("a")).await.unwrap();
    assert_eq!(one.get(&scope("a"), DAY).unwrap(), None);
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
