//! Steps whose examples and laws held, by content: loading again tries only what is new.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::load::{ServiceSources, digest};

/// Steps that are remembered; with more of them everything is tried anew, once.
const MOST: usize = 100_000;

/// What has been tried and held.
#[derive(Debug, Default)]
pub struct Held {
    steps: Mutex<HashSet<[u8; 32]>>,
    tried: AtomicUsize,
}

impl Held {
    /// How many steps were tried, and not merely remembered.
    pub fn tried(&self) -> usize {
        self.tried.load(Ordering::Relaxed)
    }

    /// Tries a step, unless it is remembered. Only what held is, so whatever was found is found again.
    pub(super) fn or_try(&self, step: [u8; 32], holds: impl FnOnce() -> bool) {
        let steps = || self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        if steps().contains(&step) {
            return;
        }
        self.tried.fetch_add(1, Ordering::Relaxed);
        if holds() {
            let mut steps = steps();
            if steps.len() >= MOST {
                steps.clear();
            }
            steps.insert(step);
        }
    }
}

/// The content that a step's examples and laws depend on: its rule file, the service file, and every interface.
pub(super) fn content(service: &ServiceSources, (old, new): (&str, &str)) -> [u8; 32] {
    let rule_file = format!("{old}-{new}.yaml");
    let own = [rule_file.as_str(), "service.yaml"].into_iter().filter_map(|path| service.find(path));
    let all = own.chain(service.interfaces().map(|(id, _)| id));
    digest(all.filter_map(|id| service.sources.get(id)))
}
