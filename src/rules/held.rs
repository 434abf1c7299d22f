//! What need not be found out again, by content: steps whose examples and laws held, and large interfaces. Loading again
//! reads and tries only what is new.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::load::{ServiceSources, digest};
use crate::contract::Interface;
use crate::diagnostic::SourceId;

/// Steps that are remembered; with more of them everything is tried anew, once.
const MOST: usize = 100_000;
/// Bytes of an interface's text from which on it is remembered: others are read in no time.
const LARGE: usize = 128 << 10;
/// Large interfaces that are remembered.
const MOST_INTERFACES: usize = 64;

/// What has been tried and held.
#[derive(Debug, Default)]
pub struct Held {
    steps: Mutex<HashSet<[u8; 32]>>,
    tried: AtomicUsize,
    /// By path, each as it was read last.
    interfaces: Mutex<HashMap<String, Known>>,
    interfaces_read: AtomicUsize,
}

/// A large interface without anything to complain about.
#[derive(Debug)]
struct Known {
    /// Of its text.
    digest: [u8; 32],
    /// Its spans hold only in this place among its service's texts.
    source: SourceId,
    /// Of which version it was said to be.
    version: String,
    interface: Arc<Interface>,
}

impl Held {
    /// How many steps were tried, and not merely remembered.
    pub fn tried(&self) -> usize {
        self.tried.load(Ordering::Relaxed)
    }

    /// How many interfaces were read, and not merely remembered.
    pub fn interfaces_read(&self) -> usize {
        self.interfaces_read.load(Ordering::Relaxed)
    }

    /// Reads the interface of a version, unless it is remembered. `read` says whether there was anything to complain about:
    /// such a one is not, so whatever was found is found again.
    pub(super) fn interface_or_read(
        &self,
        service: &ServiceSources,
        (source, version): (SourceId, &str),
        read: impl FnOnce() -> (Option<Interface>, bool),
    ) -> Option<Interface> {
        let text = service.sources.get(source)?;
        let digest = (text.text.len() >= LARGE).then(|| digest(std::iter::once(text)));
        let all = || self.interfaces.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |known: &&Known| Some(known.digest) == digest && known.source == source && known.version == version;
        let known = all().get(&text.path).filter(same).map(|known| Arc::clone(&known.interface));
        if let Some(known) = known {
            return Some(Interface::clone(&known));
        }
        self.interfaces_read.fetch_add(1, Ordering::Relaxed);
        let (interface, has_findings) = read();
        if let (Some(digest), Some(interface), false) = (digest, &interface, has_findings) {
            let (version, interface) = (version.to_owned(), Arc::new(interface.clone()));
            let mut all = all();
            if all.len() >= MOST_INTERFACES && !all.contains_key(&text.path) {
                all.clear();
            }
            all.insert(text.path.clone(), Known { digest, source, version, interface });
        }
        interface
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
