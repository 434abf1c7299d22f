//! Who opens the store, and when: what keeps nothing has no file, and one process alone may have the file.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::{Store, StoreError};

/// A store that is opened when it is first needed.
#[derive(Debug)]
pub struct Keeper {
    /// None: what is kept ends with the process.
    folder: Option<PathBuf>,
    state: Mutex<State>,
    /// Whether the process before this one may still have it.
    awaited: watch::Sender<bool>,
}

#[derive(Debug)]
enum State {
    /// Nobody has needed it.
    Closed,
    Open(Store),
    /// The next process has it.
    Gone,
}

impl Keeper {
    /// Of a state folder, or of memory.
    pub fn new(folder: Option<PathBuf>) -> Self {
        Self { folder, state: Mutex::new(State::Closed), awaited: watch::channel(false).0 }
    }

    /// The same, where a process before this one still has it: until [`Keeper::free`] it is not opened.
    pub fn awaiting(folder: Option<PathBuf>) -> Self {
        let keeper = Self::new(folder);
        keeper.awaited.send_replace(keeper.is_durable());
        keeper
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store; opens it if nobody has yet.
    ///
    /// # Errors
    /// It cannot be opened now; it is tried again the next time. Or another process has it: the one before, or the next.
    pub fn store(&self) -> Result<Store, StoreError> {
        let mut state = self.state();
        if matches!(*state, State::Closed) && self.is_awaited() {
            return Err(StoreError("the process before still has the store".to_owned()));
        }
        self.open(&mut state)
    }

    /// The same for who takes over from the process before: from [`Keeper::free`] on it is everybody's.
    ///
    /// # Errors
    /// As [`Keeper::store`].
    pub fn inherit(&self) -> Result<Store, StoreError> {
        self.open(&mut self.state())
    }

    fn open(&self, state: &mut State) -> Result<Store, StoreError> {
        match state {
            State::Open(store) => return Ok(store.clone()),
            State::Gone => return Err(StoreError("the store is with the process that has taken over".to_owned())),
            State::Closed => {}
        }
        let store = match &self.folder {
            Some(folder) => Store::open(folder)?,
            None => Store::memory(),
        };
        *state = State::Open(store.clone());
        Ok(store)
    }

    /// The store, if it is open.
    pub fn opened(&self) -> Option<Store> {
        match &*self.state() {
            State::Open(store) => Some(store.clone()),
            State::Closed | State::Gone => None,
        }
    }

    /// Whether what is kept survives the process.
    pub fn is_durable(&self) -> bool {
        self.folder.is_some()
    }

    /// Whether the process before may still have it.
    pub fn is_awaited(&self) -> bool {
        *self.awaited.borrow()
    }

    /// The process before has let go of it.
    pub fn free(&self) {
        self.awaited.send_replace(false);
    }

    /// Waits until the process before has let go of it, but no longer than this.
    pub async fn freed_within(&self, patience: Duration) {
        if self.is_awaited() {
            let mut awaited = self.awaited.subscribe();
            // What is not free by then is told by [`Keeper::store`].
            let _ = tokio::time::timeout(patience, awaited.wait_for(|is_awaited| !is_awaited)).await;
        }
    }

    /// Lets another process have the file, once whoever uses the store has done with it. What is in memory stays.
    pub fn let_go(&self) {
        if self.is_durable() {
            *self.state() = State::Gone;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Table;
    use super::*;

    #[tokio::test]
    async fn one_after_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let first = Keeper::new(Some(folder.path().to_owned()));
        first.store().unwrap().put(Table::Done, b"a".to_vec(), b"1".to_vec()).await.unwrap();
        let second = Keeper::awaiting(Some(folder.path().to_owned()));
        assert!(second.store().unwrap_err().to_string().contains("the process before"));
        let asked = std::time::Instant::now();
        second.freed_within(Duration::from_millis(20)).await;
        assert!(asked.elapsed() >= Duration::from_millis(20));
        assert!(second.inherit().unwrap_err().to_string().contains("another process"));
        first.let_go();
        assert!(first.store().unwrap_err().to_string().contains("has taken over"));
        assert!(second.store().is_err(), "nobody has taken it over yet");
        second.inherit().unwrap();
        second.free();
        second.freed_within(Duration::from_secs(60)).await;
        assert_eq!(second.store().unwrap().get(Table::Done, b"a").unwrap(), Some(b"1".to_vec()));
    }

    #[test]
    fn what_is_in_memory_is_each_process_own() {
        let keeper = Keeper::awaiting(None);
        assert!(keeper.store().is_ok());
        keeper.let_go();
        assert!(keeper.store().is_ok());
    }
}
