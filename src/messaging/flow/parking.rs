//! Keys whose messages follow one of them to the dead letters, and the moment when they stop doing so.
//!
//! Whoever sends the last letter of a key on must know that it is the last one. So a key can be held: its messages wait at
//! the flow, and once those under way are letters or have arrived, what is at the dead letters is all there is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// The keys of a flow.
#[derive(Debug)]
pub(in crate::messaging) struct Parking {
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    /// How many messages of a key are under way.
    busy: BTreeMap<String, usize>,
    held: BTreeSet<String>,
}

impl Parking {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), changed: watch::channel(()).0 })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hears of whatever changes.
    pub(super) fn follow(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// A message of a key goes its way until what this answers is dropped; none: the key is held.
    pub(super) fn enter(self: &Arc<Self>, key: &str) -> Option<Busy> {
        let mut state = self.state();
        if state.held.contains(key) {
            return None;
        }
        *state.busy.entry(key.to_owned()).or_default() += 1;
        Some(Busy { parking: self.clone(), key: key.to_owned() })
    }

    /// Holds a key, and waits for its messages that are under way; none: somebody else holds it.
    pub(in crate::messaging) async fn hold(self: &Arc<Self>, key: &str) -> Option<Held> {
        let mut changes = self.follow();
        if !self.state().held.insert(key.to_owned()) {
            return None;
        }
        let held = Held { parking: self.clone(), key: key.to_owned() };
        while self.state().busy.contains_key(key) {
            // Its other end is ours.
            let _ = changes.changed().await;
        }
        Some(held)
    }

    fn tell(&self) {
        self.changed.send_replace(());
    }
}

/// A message that is under way.
#[derive(Debug)]
pub(super) struct Busy {
    parking: Arc<Parking>,
    key: String,
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = self.parking.state();
        if let Some(count) = state.busy.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                state.busy.remove(&self.key);
            }
        }
        drop(state);
        self.parking.tell();
    }
}

/// A key whose messages wait, until this is dropped.
#[derive(Debug)]
pub(in crate::messaging) struct Held {
    parking: Arc<Parking>,
    key: String,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.parking.state().held.remove(&self.key);
        self.parking.tell();
    }
}
