//! The tables in one file. Changes that come while another is being written go to disk together, with one `fsync`.

use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, TrySendError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;

use redb::{
    Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError, TableDefinition, TableError,
    WriteTransaction,
};

use super::{Backend, Change, Look, Pair, StoreError, Table, Tables, Told};

/// Changes that are committed together.
const AT_ONCE: usize = 1024;
/// Changes that wait; more are refused.
const WAITING: usize = 1 << 16;
/// Bytes of the file that are kept in memory: most of it is written and not read again.
const CACHE: usize = 16 << 20;

type Definition = TableDefinition<'static, &'static [u8], &'static [u8]>;

fn definition(table: Table) -> Definition {
    TableDefinition::new(table.name())
}

/// Opens the database; after an error of the disk, once more.
type Opens = Box<dyn Fn() -> Result<Database, DatabaseError> + Send + Sync>;

#[derive(Debug)]
pub(super) struct File {
    shared: Arc<Shared>,
    queue: Option<mpsc::SyncSender<Waiting>>,
    writer: Option<JoinHandle<()>>,
}

struct Shared {
    path: PathBuf,
    open: Opens,
    /// None: an error of the disk has closed it, and it could not be opened again yet.
    database: RwLock<Option<Arc<Database>>>,
    /// Counts commits.
    commits: AtomicU64,
    /// Tables as they were after so many commits, for who reads next. To begin a read costs more than to read.
    reading: Mutex<Vec<Reading>>,
}

type ReadTable = redb::ReadOnlyTable<&'static [u8], &'static [u8]>;

struct Reading {
    of: Table,
    commits: u64,
    table: Arc<ReadTable>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_tuple("Shared").field(&self.path).finish()
    }
}

struct Waiting {
    change: Change,
    told: Told,
}

impl File {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let file = path.to_owned();
        Self::open_with(path, Box::new(move || Database::builder().set_cache_size(CACHE).create(&file)))
    }

    pub(super) fn open_with(path: &Path, open: Opens) -> Result<Self, StoreError> {
        let shared = Shared {
            path: path.to_owned(),
            open,
            database: RwLock::new(None),
            commits: AtomicU64::new(0),
            reading: Mutex::default(),
        };
        shared.database()?;
        shared.write(|transaction| {
            // A table that was never written to cannot be read.
            Table::ALL.iter().try_for_each(|table| transaction.open_table(definition(*table)).map(drop)).map_err(broken)
        })?;
        let shared = Arc::new(shared);
        let (queue, waiting) = mpsc::sync_channel(WAITING);
        let own = shared.clone();
        let writer = std::thread::Builder::new().name("store".to_owned()).spawn(move || write_all(&own, &waiting));
        let writer = writer.map_err(|error| StoreError(format!("no thread for the store: {error}")))?;
        Ok(Self { shared, queue: Some(queue), writer: Some(writer) })
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // What was handed over is written, and the file is free for another process when this is over.
        self.queue = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

impl Shared {
    fn broken(&self, error: impl std::fmt::Display) -> StoreError {
        StoreError(format!("the store {}: {error}", self.path.display()))
    }

    /// The open database.
    fn database(&self) -> Result<Arc<Database>, StoreError> {
        if let Some(database) = &*self.database.read().unwrap_or_else(PoisonError::into_inner) {
            return Ok(database.clone());
        }
        let mut slot = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(database) = &*slot {
            return Ok(database.clone());
        }
        self.forget_reading();
        let opened = (self.open)().map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => {
                self.broken("is used by another process; each gateway needs a `state` folder of its own")
            }
            DatabaseError::UpgradeRequired(_) => self.broken("was written by another version and cannot be read"),
            error => self.broken(format!("cannot be opened: {error}")),
        })?;
        let opened = Arc::new(opened);
        *slot = Some(opened.clone());
        Ok(opened)
    }

    /// After an error of the disk nothing is sure of what the database has in memory: it is read anew.
    fn close(&self) {
        *self.database.write().unwrap_or_else(PoisonError::into_inner) = None;
        self.forget_reading();
    }

    /// Nobody reads as it was before any more. Whoever holds a table holds the file, too.
    fn forget_reading(&self) {
        self.commits.fetch_add(1, Ordering::AcqRel);
        self.reading().clear();
    }

    fn reading(&self) -> MutexGuard<'_, Vec<Reading>> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write<T>(&self, work: impl FnOnce(&WriteTransaction) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let written = self.database().and_then(|database| {
            let transaction = database.begin_write().map_err(broken)?;
            let given = work(&transaction)?;
            transaction.commit().map_err(broken)?;
            // Before anybody is told: who reads from now on sees it.
            self.forget_reading();
            Ok(given)
        });
        written.map_err(|error| {
            self.close();
            self.broken(error)
        })
    }

    fn read<T>(&self, table: Table, work: impl FnOnce(&ReadTable) -> Result<T, StorageError>) -> Result<T, StoreError> {
        let read = || work(&*self.read_table(table)?).map_err(broken);
        read().map_err(|error| self.broken(error))
    }

    /// A table as it is after the last commit.
    fn read_table(&self, table: Table) -> Result<Arc<ReadTable>, StoreError> {
        let commits = self.commits.load(Ordering::Acquire);
        let known =
            self.reading().iter().find(|one| one.of == table && one.commits == commits).map(|one| one.table.clone());
        if let Some(known) = known {
            return Ok(known);
        }
        let transaction = self.database()?.begin_read().map_err(broken)?;
        let opened = Arc::new(transaction.open_table(definition(table)).map_err(broken)?);
        let mut reading = self.reading();
        reading.retain(|one| one.of != table);
        reading.push(Reading { of: table, commits, table: opened.clone() });
        Ok(opened)
    }
}

fn broken(error: impl std::fmt::Display) -> StoreError {
    StoreError(error.to_string())
}

/// Commits what waits, as much of it at once as there is.
fn write_all(shared: &Shared, waiting: &mpsc::Receiver<Waiting>) {
    while let Ok(first) = waiting.recv() {
        let Waiting { change, told } = first;
        // Who came first hears the reason, too, where nothing can be begun.
        let mut all = vec![told];
        let written = shared.write(|transaction| {
            let mut tables = Writing::of(transaction);
            change(&mut tables)?;
            for Waiting { change, told } in waiting.try_iter().take(AT_ONCE - 1) {
                all.push(told);
                change(&mut tables)?;
            }
            tables.write_counts()
        });
        for told in all {
            told(written.clone());
        }
    }
}

/// The keys that begin so.
fn beginning(prefix: &[u8]) -> (Bound<&[u8]>, Bound<&[u8]>) {
    (Bound::Included(prefix), Bound::Unbounded)
}

impl Backend for File {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.shared.read(table, |table| Ok(table.get(key)?.map(|value| value.value().to_vec())))
    }

    fn visit(&self, table: Table, prefix: &[u8], look: &mut Look<'_>) -> Result<(), StoreError> {
        self.shared.read(table, |table| {
            for pair in table.range::<&[u8]>(beginning(prefix))? {
                let (key, value) = pair?;
                if !key.value().starts_with(prefix) {
                    break;
                }
                look(key.value(), value.value());
            }
            Ok(())
        })
    }

    fn bytes(&self) -> u64 {
        std::fs::metadata(&self.shared.path).map_or(0, |data| data.len())
    }

    fn change(&self, change: Change, told: Told) {
        let waiting = Waiting { change, told };
        let refused = match &self.queue {
            Some(queue) => queue.try_send(waiting).err().map(|error| match error {
                TrySendError::Full(waiting) | TrySendError::Disconnected(waiting) => waiting,
            }),
            None => Some(waiting),
        };
        if let Some(Waiting { told, .. }) = refused {
            told(Err(self.shared.broken("too much waits to be written, or its thread has ended")));
        }
    }
}

type Opened<'t> = redb::Table<'t, &'static [u8], &'static [u8]>;

/// One transaction. A table is opened when it is first needed, and stays so: to open one is to look it up.
struct Writing<'t> {
    transaction: &'t WriteTransaction,
    opened: Vec<(Table, Opened<'t>)>,
    /// [`Table::Count`] as far as it was looked at: each change counts, and only the last figure is written.
    counts: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl<'t> Writing<'t> {
    fn of(transaction: &'t WriteTransaction) -> Self {
        Self { transaction, opened: Vec::with_capacity(Table::ALL.len()), counts: Vec::new() }
    }

    fn table(&mut self, table: Table) -> Result<&mut Opened<'t>, StoreError> {
        let at = self.opened.iter().position(|(known, _)| *known == table);
        let at = if let Some(at) = at {
            at
        } else {
            let opened = self.transaction.open_table(definition(table)).map_err(|error: TableError| broken(error))?;
            self.opened.push((table, opened));
            self.opened.len() - 1
        };
        let found = self.opened.get_mut(at).map(|(_, opened)| opened);
        found.ok_or_else(|| broken("a table that was opened is gone"))
    }

    fn set_count(&mut self, key: &[u8], value: Option<Vec<u8>>) {
        match self.counts.iter_mut().find(|(known, _)| known == key) {
            Some((_, slot)) => *slot = value,
            None => self.counts.push((key.to_vec(), value)),
        }
    }

    fn write_counts(&mut self) -> Result<(), StoreError> {
        for (key, value) in std::mem::take(&mut self.counts) {
            let table = self.table(Table::Count)?;
            let written = match value {
                Some(value) => table.insert(key.as_slice(), value.as_slice()).map(drop),
                None => table.remove(key.as_slice()).map(drop),
            };
            written.map_err(broken)?;
        }
        Ok(())
    }
}

impl Tables for Writing<'_> {
    fn get(&mut self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        if table == Table::Count
            && let Some((_, value)) = self.counts.iter().find(|(known, _)| known == key)
        {
            return Ok(value.clone());
        }
        let found = self.table(table)?.get(key).map_err(broken)?.map(|value| value.value().to_vec());
        if table == Table::Count {
            self.set_count(key, found.clone());
        }
        Ok(found)
    }

    fn first(&mut self, table: Table, prefix: &[u8]) -> Result<Option<Pair>, StoreError> {
        if table == Table::Count {
            self.write_counts()?;
        }
        let table = self.table(table)?;
        let mut range = table.range::<&[u8]>(beginning(prefix)).map_err(broken)?;
        let Some(pair) = range.next() else { return Ok(None) };
        let (key, value) = pair.map_err(broken)?;
        let found = key.value().starts_with(prefix);
        Ok(found.then(|| (key.value().to_vec(), value.value().to_vec())))
    }

    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        if table == Table::Count {
            self.set_count(key, Some(value.to_vec()));
            return Ok(());
        }
        self.table(table)?.insert(key, value).map(drop).map_err(broken)
    }

    fn delete(&mut self, table: Table, key: &[u8]) -> Result<(), StoreError> {
        if table == Table::Count {
            self.set_count(key, None);
            return Ok(());
        }
        self.table(table)?.remove(key).map(drop).map_err(broken)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io;
    use std::sync::atomic::AtomicBool;

    use redb::StorageBackend;
    use redb::backends::FileBackend;

    use super::*;

    /// A disk that can be full.
    #[derive(Debug)]
    struct Disk(FileBackend, Arc<AtomicBool>);

    impl Disk {
        fn check(&self) -> io::Result<()> {
            if self.1.load(Ordering::SeqCst) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        }
    }

    impl StorageBackend for Disk {
        fn len(&self) -> io::Result<u64> {
            self.0.len()
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.0.read(offset, out)
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            self.check()?;
            self.0.set_len(len)
        }

        fn sync_data(&self) -> io::Result<()> {
            self.check()?;
            self.0.sync_data()
        }

        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.check()?;
            self.0.write(offset, data)
        }

        fn close(&self) -> io::Result<()> {
            self.0.close()
        }
    }

    /// A store, and whether its disk is full.
    pub(in crate::store) fn on_a_disk(folder: &Path) -> (super::super::Store, Arc<AtomicBool>) {
        let path = folder.join("store");
        let is_full = Arc::new(AtomicBool::new(false));
        let (file, full) = (path.clone(), is_full.clone());
        let open = move || {
            let file = std::fs::File::options().read(true).write(true).create(true).truncate(false).open(&file)?;
            Database::builder().create_with_backend(Disk(FileBackend::new(file)?, full.clone()))
        };
        (super::super::Store(Arc::new(File::open_with(&path, Box::new(open)).unwrap())), is_full)
    }

    #[tokio::test]
    async fn a_full_disk_loses_nothing_and_is_got_over() {
        let folder = tempfile::tempdir().unwrap();
        let (store, is_full) = on_a_disk(folder.path());
        let put = |name: &str| store.put(Table::Pending, name.into(), b"x".to_vec());
        put("before").await.unwrap();
        is_full.store(true, Ordering::SeqCst);
        let error = put("during").await.unwrap_err().to_string();
        assert!(error.contains("no storage space") || error.contains("PreviousIo") || error.contains("I/O"), "{error}");
        assert!(put("still").await.is_err());
        is_full.store(false, Ordering::SeqCst);
        put("after").await.unwrap();
        let kept: Vec<_> = store.scan(Table::Pending, b"").unwrap().into_iter().map(|(key, _)| key).collect();
        assert_eq!(kept, [b"after".to_vec(), b"before".to_vec()]);
    }
}
