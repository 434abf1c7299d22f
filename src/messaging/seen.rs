//! Which messages are done.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::broker::Boxed;
use super::replies::pending::Pending;
use crate::rules::channel::Dedup;

/// A flow, a target of it, and a message's id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scope(pub String);

/// What was done before cannot be told, or what was done now cannot be kept.
#[derive(Debug, Clone)]
pub struct SeenError(pub String);

impl fmt::Display for SeenError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for SeenError {}

/// Remembers which messages are done.
pub trait Seen: Send + Sync {
    /// The hash of the message that was done under an id, within the window.
    ///
    /// # Errors
    /// The memory cannot be read.
    fn get(&self, scope: &Scope, within: Dedup) -> Result<Option<u64>, SeenError>;

    /// Keeps that these are done; resolves when a crash cannot undo it.
    fn mark(&self, done: Vec<(Scope, u64)>, within: Dedup) -> Boxed<'static, Result<(), SeenError>>;

    /// Forgets one; resolves when a crash cannot undo it.
    fn forget(&self, scope: Scope) -> Boxed<'static, Result<(), SeenError>>;
}

/// Where flows remember.
pub trait Memory: Send + Sync {
    /// The memory of a flow, by its name.
    ///
    /// # Errors
    /// It cannot be had now.
    fn of(&self, flow: &str) -> Result<Arc<dyn Seen>, SeenError>;

    /// Where requests wait for their replies.
    ///
    /// # Errors
    /// It cannot be had now.
    fn pending(&self) -> Result<Pending, SeenError>;
}

/// In memory: forgotten with the process.
#[derive(Debug, Default)]
pub struct Volatile(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    by_id: HashMap<Scope, (u64, Instant)>,
    /// In the order in which they were first seen.
    order: VecDeque<(Scope, Instant)>,
}

impl Volatile {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen for Volatile {
    fn get(&self, scope: &Scope, within: Dedup) -> Result<Option<u64>, SeenError> {
        let known = self.known();
        Ok(known.by_id.get(scope).filter(|(_, at)| at.elapsed() < within.window).map(|(hash, _)| *hash))
    }

    fn mark(&self, done: Vec<(Scope, u64)>, within: Dedup) -> Boxed<'static, Result<(), SeenError>> {
        let now = Instant::now();
        let mut known = self.known();
        for (scope, hash) in done {
            // The window begins when an id is first seen.
            let is_live = |at: &Instant| now.duration_since(*at) < within.window;
            if known.by_id.get(&scope).is_some_and(|(_, at)| is_live(at)) {
                continue;
            }
            known.by_id.insert(scope.clone(), (hash, now));
            known.order.push_back((scope, now));
        }
        let most = usize::try_from(within.entries).unwrap_or(usize::MAX);
        let over = |known: &Known| {
            let oldest = known.order.front().map(|(_, at)| now.duration_since(*at));
            known.order.len() > most || oldest.is_some_and(|age| age >= within.window.max(Duration::from_secs(1)))
        };
        while over(&known) {
            let Some((scope, at)) = known.order.pop_front() else { break };
            if known.by_id.get(&scope).is_some_and(|(_, since)| *since == at) {
                known.by_id.remove(&scope);
            }
        }
        Box::pin(std::future::ready(Ok(())))
    }

    fn forget(&self, scope: Scope) -> Boxed<'static, Result<(), SeenError>> {
        self.known().by_id.remove(&scope);
        Box::pin(std::future::ready(Ok(())))
    }
}
