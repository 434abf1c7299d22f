//! What a flow tells of itself.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::parking::Parking;
use crate::rules::channel::{Address, Guarantee};

/// Reasons for waiting that are told before a flow runs again.
const MOST_REASONS: usize = 8;

/// What a flow does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Looks for its brokers.
    Connecting,
    /// Takes messages.
    Running,
    /// Waits with messages in hand, or before taking more: why.
    Waiting(String),
    /// Stands at a message that cannot be translated: why.
    Halted(String),
    /// Finishes what it has.
    Draining,
    /// Over.
    Stopped,
}

impl State {
    /// One word for it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Running => "running",
            Self::Waiting(_) => "waiting",
            Self::Halted(_) => "halted",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
        }
    }

    /// Why, where there is a reason.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Waiting(why) | Self::Halted(why) => Some(why),
            _ => None,
        }
    }
}

/// Numbers since the flow began.
#[derive(Debug, Default)]
#[expect(missing_docs, reason = "each is explained where operators read it, in docs/operations.md")]
pub struct Counts {
    pub received: AtomicU64,
    pub published: AtomicU64,
    pub settled: AtomicU64,
    pub deduplicated: AtomicU64,
    pub redelivered: AtomicU64,
    pub retried: AtomicU64,
    pub dropped_members: AtomicU64,
    pub in_flight: AtomicUsize,
    pub in_flight_bytes: AtomicUsize,
}

/// A flow as operators see it.
#[derive(Debug)]
pub struct Status {
    /// `orders/orders.created/v2`
    pub name: String,
    /// What it reads.
    pub source: Address,
    /// The name by which its broker knows its reader, the same over restarts.
    pub reader: String,
    /// Where its dead letters go.
    pub dead: Address,
    /// What it promises.
    pub guarantee: Guarantee,
    /// Since when.
    pub since: SystemTime,
    /// Numbers.
    pub counts: Counts,
    /// Its keys, where they may be parked.
    pub(in crate::messaging) parking: Arc<Parking>,
    state: Mutex<State>,
    /// Why it has waited since it last ran, as the log has it already.
    told: Mutex<Vec<String>>,
    /// Dead letters by reason: the reasons are a fixed set.
    letters: Mutex<Vec<(&'static str, u64)>>,
}

impl Status {
    pub(super) fn new(name: String, (source, dead): (Address, Address), guarantee: Guarantee) -> Self {
        let plain = |one: char| if one.is_ascii_alphanumeric() || "_-".contains(one) { one } else { '-' };
        Self {
            reader: format!("bifocal-{name}").chars().map(plain).collect(),
            name,
            source,
            dead,
            guarantee,
            since: SystemTime::now(),
            counts: Counts::default(),
            parking: Parking::new(),
            state: Mutex::new(State::Connecting),
            told: Mutex::default(),
            letters: Mutex::default(),
        }
    }

    /// What it does.
    pub fn state(&self) -> State {
        self.locked().clone()
    }

    /// Dead letters by reason.
    pub fn dead_letters(&self) -> Vec<(&'static str, u64)> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says so in the log where it is news: why it waits is told once until it runs again, however often it tries.
    pub(super) fn becomes(&self, next: State) {
        let mut state = self.locked();
        if *state == next {
            return;
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match &next {
            State::Waiting(why) => {
                if told.len() < MOST_REASONS && !told.contains(why) {
                    tracing::warn!(flow = %self.name, %why, "the flow waits");
                    told.push(why.clone());
                }
            }
            State::Connecting if !told.is_empty() => {}
            State::Halted(why) => tracing::error!(flow = %self.name, %why, "the flow has halted"),
            other => tracing::info!(flow = %self.name, state = other.name(), "flow"),
        }
        if next == State::Running {
            told.clear();
        }
        *state = next;
    }

    pub(super) fn count_dead(&self, reason: &'static str) {
        let mut dead = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        match dead.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, count)) => *count += 1,
            None => dead.push((reason, 1)),
        }
    }
}

pub(super) fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}
