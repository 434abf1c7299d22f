//! From files to what serves: load, build, replace. Off the request path, one reload at a time.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use tokio::runtime::Handle;

use super::build::build;
use super::generation::Current;
use super::last_good::LastGood;
use super::metrics::Metrics;
use super::status::Status;
use super::upstream::Clusters;
use crate::rules::Held;
use crate::rules::load::load_folder;

/// Replaces generations, one at a time.
#[derive(Debug)]
pub(super) struct Reloader {
    rules: PathBuf,
    kept: LastGood,
    held: Held,
    current: Arc<Current>,
    metrics: Arc<Metrics>,
    clusters: Arc<Clusters>,
    /// One reload at a time; whoever waits sees the newest files.
    turn: tokio::sync::Mutex<()>,
    status: Mutex<Arc<Status>>,
}

impl Reloader {
    pub(super) fn new(
        rules: PathBuf,
        kept: LastGood,
        current: Arc<Current>,
        metrics: Arc<Metrics>,
        clusters: Arc<Clusters>,
    ) -> Self {
        Self {
            rules,
            kept,
            held: Held::default(),
            current,
            metrics,
            clusters,
            turn: tokio::sync::Mutex::new(()),
            status: Mutex::default(),
        }
    }

    /// What the newest reload came to.
    pub(super) fn status(&self) -> Arc<Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The folder that is read.
    pub(super) fn rules(&self) -> &PathBuf {
        &self.rules
    }

    /// Reads the folder and puts into service what is new and good.
    pub(super) async fn reload(self: &Arc<Self>, why: &'static str) -> Arc<Status> {
        let turn = self.turn.lock().await;
        let this = self.clone();
        let worked = tokio::task::spawn_blocking(move || this.reload_now(why)).await;
        drop(turn);
        worked.unwrap_or_else(|error| {
            // A mistake of ours in reading one rule set must not take down the one that serves.
            tracing::error!(%error, "reload failed; what serves goes on");
            self.metrics.reloaded("failed");
            let status =
                Arc::new(Status { failure: Some("reading the rules failed".to_owned()), ..(*self.status()).clone() });
            *self.status.lock().unwrap_or_else(PoisonError::into_inner) = status.clone();
            status
        })
    }

    fn reload_now(&self, why: &'static str) -> Arc<Status> {
        let begun = Instant::now();
        let previous = self.current.snapshot();
        let built = build(load_folder(&self.rules), &previous, &self.status(), &self.kept, &self.held);
        let generation = match built.next {
            Some(services) => {
                let next = Arc::new(previous.after(services, &self.clusters));
                Handle::current().block_on(self.clusters.settle());
                self.current.replace(next.clone());
                next
            }
            None => previous.clone(),
        };
        // What serves now need not wait for the disk.
        self.kept.keep(&built.accepted);
        let changed = generation.number != previous.number;
        let status = Arc::new(Status {
            generation: generation.number,
            hash: generation.hash.clone(),
            since: generation.since,
            at: SystemTime::now(),
            changed,
            folder: built.folder,
            services: built.services,
            failure: None,
        });
        let same = status.says_the_same_as(&self.status());
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = status.clone();

        let result = status.result();
        self.metrics.reloaded(result);
        self.metrics.generation.set(i64::try_from(generation.number).unwrap_or(i64::MAX));
        let refused = status.services.values().filter(|service| service.state.is_refused()).count();
        self.metrics.refused_services.set(i64::try_from(refused).unwrap_or(i64::MAX));
        if !same {
            let millis = begun.elapsed().as_millis();
            let (number, hash) = (generation.number, &generation.hash);
            tracing::info!(why, result, generation = number, hash, millis, "rules read");
            status.complaints().for_each(|text| tracing::error!("{text}"));
        }
        status
    }
}
