//! From files to what serves: load, check, compile, prove, replace. Off the request path, service by service.
//!
//! A service whose newest files are refused goes on as it was, and the others still change. A service whose folder is
//! gone is removed only where the rest of the folder is sound: a folder that is being rewritten looks like that, too.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use super::generation::{Current, Generation, Serving, hex};
use super::last_good::LastGood;
use super::metrics::Metrics;
use super::status::{FolderStatus, ServiceStatus, Status, diagnostics_of};
use crate::plan::ServicePlan;
use crate::rules::Report;
use crate::rules::checked::CheckedService;
use crate::rules::load::{LoadedFolder, ServiceSources, load_folder};

/// Replaces generations, one at a time.
#[derive(Debug)]
pub(super) struct Reloader {
    rules: PathBuf,
    kept: LastGood,
    current: Arc<Current>,
    metrics: Arc<Metrics>,
    /// One reload at a time; whoever waits sees the newest files.
    turn: tokio::sync::Mutex<()>,
    status: Mutex<Arc<Status>>,
}

impl Reloader {
    pub(super) fn new(rules: PathBuf, kept: LastGood, current: Arc<Current>, metrics: Arc<Metrics>) -> Self {
        Self { rules, kept, current, metrics, turn: tokio::sync::Mutex::new(()), status: Mutex::default() }
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
        let built = build(load_folder(&self.rules), &previous, &self.status(), &self.kept);
        let generation = match built.next {
            Some(services) => {
                let next = Arc::new(Generation::new(previous.number + 1, services));
                self.current.replace(next.clone());
                next
            }
            None => previous.clone(),
        };
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

/// What building came to.
struct Built {
    /// The services of the next generation; `None`: nothing that serves has changed.
    next: Option<BTreeMap<String, Serving>>,
    services: BTreeMap<String, ServiceStatus>,
    folder: FolderStatus,
}

/// The pure part (but for what is kept on disk): a folder and what served -> what serves next.
fn build(loaded: io::Result<LoadedFolder>, previous: &Generation, before: &Status, kept: &LastGood) -> Built {
    let (loaded, unreadable) = match loaded {
        Ok(loaded) => (loaded, None),
        Err(error) => (LoadedFolder::default(), Some(format!("the rules folder cannot be read: {error}"))),
    };
    let mut folder =
        FolderStatus { diagnostics: diagnostics_of(&loaded.diagnostics, &loaded.sources), problem: unreadable };
    let mut next: BTreeMap<String, Serving> = BTreeMap::new();
    let mut services = BTreeMap::new();

    // Those that serve come first, so that a newcomer which wants the same requests is the one refused.
    let mut in_order: Vec<&ServiceSources> = loaded.services.values().collect();
    in_order.sort_by_key(|sources| !previous.services.contains_key(&sources.name));
    for sources in in_order {
        let name = &sources.name;
        let served = previous.services.get(name);
        if let Some(serving) = served.filter(|serving| serving.hash == sources.hash) {
            let serving = Serving { restored: false, ..serving.clone() };
            services.insert(name.clone(), ServiceStatus::serving(sources, &serving));
            next.insert(name.clone(), serving);
            continue;
        }
        // Files that were refused before, beside services that have not changed, are refused again without a look.
        let known = before
            .services
            .get(name)
            .filter(|status| status.newest == Some(sources.hash) && before.hash == previous.hash);
        let checked = match known {
            Some(status) => Err(status.diagnostics.clone()),
            None => check(sources, others(name, &next, previous)),
        };
        match checked {
            Ok((checked, report)) => {
                if let Err(error) = kept.keep(sources) {
                    tracing::warn!(service = %name, %error, "the state cannot be kept for a restart");
                }
                let serving = serving(sources, checked, false);
                let mut status = ServiceStatus::serving(sources, &serving);
                status.diagnostics = diagnostics_of(&report.diagnostics, &report.sources);
                services.insert(name.clone(), status);
                next.insert(name.clone(), serving);
            }
            Err(diagnostics) => {
                let fallback = served.cloned().or_else(|| restore(name, kept, others(name, &next, previous)));
                services.insert(name.clone(), ServiceStatus::refused(sources, fallback.as_ref(), diagnostics));
                next.extend(fallback.map(|serving| (name.clone(), serving)));
            }
        }
    }

    // Services without a folder.
    let sound = folder.problem.is_none()
        && !loaded.services.is_empty()
        && !loaded.diagnostics.has_errors()
        && !services.values().any(|status| status.state.is_refused());
    for name in previous.services.keys().cloned().chain(kept.names()) {
        if services.contains_key(&name) {
            continue;
        }
        if sound {
            kept.forget(&name);
            continue;
        }
        let serving = previous.services.get(&name).cloned();
        let serving = serving.or_else(|| restore(&name, kept, others(&name, &next, previous)));
        if let Some(serving) = serving {
            services.insert(name.clone(), ServiceStatus::orphan(&serving));
            next.insert(name, serving);
        }
    }
    if next.is_empty() && folder.problem.is_none() && loaded.services.is_empty() {
        folder.problem = Some("the rules folder has no service".to_owned());
    }
    let content = |services: &BTreeMap<String, Serving>| -> Vec<(String, [u8; 32])> {
        services.iter().map(|(name, serving)| (name.clone(), serving.hash)).collect()
    };
    let is_new = content(&next) != content(&previous.services);
    Built { next: is_new.then_some(next), services, folder }
}

/// The services that a service must not collide with.
fn others<'s>(
    name: &'s str,
    next: &'s BTreeMap<String, Serving>,
    previous: &'s Generation,
) -> impl Iterator<Item = &'s CheckedService> {
    let still = previous.services.iter().filter(|(other, _)| !next.contains_key(*other));
    next.iter().chain(still).filter(move |(other, _)| *other != name).map(|(_, serving)| &*serving.checked)
}

/// The whole front end for one service; refused: its diagnostics.
fn check<'s>(
    sources: &ServiceSources,
    others: impl Iterator<Item = &'s CheckedService>,
) -> Result<(CheckedService, Report), super::status::Diagnoses> {
    let mut report = crate::rules::check_service(sources);
    report.refuse_collisions(others);
    match report.checked.take() {
        Some(checked) => Ok((checked, report)),
        None => Err(diagnostics_of(&report.diagnostics, &report.sources)),
    }
}

fn serving(sources: &ServiceSources, checked: CheckedService, restored: bool) -> Serving {
    let plan = Arc::new(ServicePlan::compile(&checked));
    Serving { hash: sources.hash, plan, checked: Arc::new(checked), restored }
}

/// The last good state of a service from before this process.
fn restore<'s>(name: &str, kept: &LastGood, others: impl Iterator<Item = &'s CheckedService>) -> Option<Serving> {
    let sources = kept.recall(name)?;
    let (checked, _) = check(&sources, others).ok()?;
    tracing::warn!(service = %name, hash = hex(&sources.hash), "serving the last good state, kept from before");
    Some(serving(&sources, checked, true))
}
