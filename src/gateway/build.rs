//! A rules folder and what served until now -> what serves next: check, compile, and decide service by service.
//!
//! A service whose newest files are refused goes on as it was, and the others still change. A service whose folder is
//! gone is removed only where the rest of the folder is sound: a folder that is being rewritten looks like that, too.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::generation::{Generation, Serving, hex};
use super::last_good::LastGood;
use super::status::{Diagnoses, FolderStatus, ServiceStatus, Status, diagnostics_of};
use crate::plan::{ServicePlan, StepPlan};
use crate::rules::checked::CheckedService;
use crate::rules::load::{LoadedFolder, ServiceSources};
use crate::rules::lockstep::Member;
use crate::rules::{Claims, Held, Report, check_again, check_service, threads};

/// What building came to.
pub(super) struct Built {
    /// The services of the next generation; `None`: nothing that serves has changed.
    pub(super) next: Option<BTreeMap<String, Serving>>,
    pub(super) services: BTreeMap<String, ServiceStatus>,
    pub(super) folder: FolderStatus,
    /// Services whose newest files are good: those have to be kept for a restart.
    pub(super) accepted: Vec<ServiceSources>,
}

/// Builds what serves next. Reads nothing but what is kept of services that are refused.
pub(super) fn build(
    loaded: io::Result<LoadedFolder>,
    previous: &Generation,
    before: &Status,
    kept: &LastGood,
    held: &Held,
) -> Built {
    let (loaded, problem) = match loaded {
        Ok(loaded) => (loaded, None),
        Err(error) => (LoadedFolder::default(), Some(format!("the rules folder cannot be read: {error}"))),
    };
    let folder = FolderStatus { diagnostics: diagnostics_of(&loaded.diagnostics, &loaded.sources), problem };
    if before.read_the_same(&folder, loaded.services.values()) {
        return Built { next: None, services: before.services.clone(), folder, accepted: Vec::new() };
    }

    // Nothing is served yet: all there is may work on it. Later, requests come first.
    let most = if previous.number == 0 { threads::all() } else { 1 };
    let all: Vec<&ServiceSources> = loaded.services.values().collect();
    let mut candidates = threads::map(&all, most, |sources| Candidate::new(sources, previous, kept, held));
    // What serves comes first, so that of two services which want the same requests the newcomer is refused.
    candidates.sort_by_key(Candidate::rank);
    let mut next = place(&mut candidates);
    while hold_back(&mut candidates) {
        next = place(&mut candidates);
    }
    let (mut services, mut accepted) = (BTreeMap::new(), Vec::new());
    for candidate in candidates {
        let name = candidate.sources.name.clone();
        accepted.extend(matches!(candidate.verdict, Verdict::Good(..)).then(|| candidate.sources.clone()));
        services.insert(name.clone(), candidate.into_status(next.get(&name)));
    }

    let sound = folder.problem.is_none()
        && !loaded.services.is_empty()
        && !loaded.diagnostics.has_errors()
        && !services.values().any(|status| status.state.is_refused());
    let mut claims = Claims::of(next.values().map(|serving| &*serving.checked));
    for name in previous.services.keys().cloned().chain(kept.names()) {
        if services.contains_key(&name) {
            continue;
        }
        if sound {
            kept.forget(&name);
            continue;
        }
        let serving = previous.services.get(&name).cloned().or_else(|| restore(&name, kept));
        if let Some(serving) = serving.filter(|serving| claims.are_free_for(&serving.checked)) {
            claims.add(&serving.checked);
            services.insert(name.clone(), ServiceStatus::orphan(&serving));
            next.insert(name, serving);
        }
    }
    let content = |services: &BTreeMap<String, Serving>| -> Vec<(String, [u8; 32])> {
        services.iter().map(|(name, serving)| (name.clone(), serving.hash)).collect()
    };
    let is_new = content(&next) != content(&previous.services);
    Built { next: is_new.then_some(next), services, folder, accepted }
}

/// One service of the folder on its way to serving.
struct Candidate<'s> {
    sources: &'s ServiceSources,
    verdict: Verdict,
    /// What serves where the newest files are refused.
    fallback: Option<Serving>,
    is_newcomer: bool,
}

enum Verdict {
    /// These files serve already.
    Unchanged(Serving),
    /// Good in themselves.
    Good(Box<Report>, Serving),
    Refused(Diagnoses),
}

impl<'s> Candidate<'s> {
    fn new(sources: &'s ServiceSources, previous: &Generation, kept: &LastGood, held: &Held) -> Self {
        let served = previous.services.get(&sources.name);
        let is_newcomer = served.is_none();
        if let Some(serving) = served.filter(|serving| serving.hash == sources.hash) {
            let serving = Serving { restored: false, ..serving.clone() };
            return Self { sources, verdict: Verdict::Unchanged(serving), fallback: None, is_newcomer };
        }
        let mut report = check_again(sources, held);
        let verdict = match report.checked.take() {
            Some(checked) => {
                let plans = std::mem::take(&mut report.plans);
                Verdict::Good(Box::new(report), serving(sources, Arc::new(checked), plans, false))
            }
            None => Verdict::Refused(diagnostics_of(&report.diagnostics, &report.sources)),
        };
        let fallback = served.cloned().or_else(|| restore(&sources.name, kept));
        Self { sources, verdict, fallback, is_newcomer }
    }

    fn rank(&self) -> u8 {
        match self.verdict {
            Verdict::Unchanged(_) => 0,
            Verdict::Refused(_) => 1,
            Verdict::Good(..) if !self.is_newcomer => 2,
            Verdict::Good(..) => 3,
        }
    }

    /// What the others of its group see of it. What a refused file says is not known, so it is of the group that it was of.
    fn member(&self) -> Option<Member> {
        match &self.verdict {
            Verdict::Unchanged(serving) | Verdict::Good(_, serving) => serving.checked.member(),
            Verdict::Refused(_) => {
                self.fallback.as_ref()?.checked.member().map(|member| Member { is_good: false, ..member })
            }
        }
    }

    /// What would serve, as far as this service is concerned.
    fn serving(&self) -> Option<Serving> {
        match &self.verdict {
            Verdict::Unchanged(serving) | Verdict::Good(_, serving) => Some(serving.clone()),
            Verdict::Refused(_) => self.fallback.clone(),
        }
    }

    /// How it came out, where `serving` is what now serves under its name.
    fn into_status(self, serving: Option<&Serving>) -> ServiceStatus {
        let report = match self.verdict {
            Verdict::Refused(diagnostics) => return ServiceStatus::refused(self.sources, serving, diagnostics),
            Verdict::Unchanged(serving) => return ServiceStatus::serving(self.sources, &serving),
            Verdict::Good(report, _) => report,
        };
        let mut status = serving.map_or_else(
            || ServiceStatus::refused(self.sources, None, Diagnoses::default()),
            |serving| ServiceStatus::serving(self.sources, serving),
        );
        status.diagnostics = diagnostics_of(&report.diagnostics, &report.sources);
        status
    }
}

/// Lets services in by rank. One that wants another's requests is refused and goes on as it was; since that may stand in
/// the way of those let in before it, all are placed again. Every round refuses one more, so it ends.
fn place(candidates: &mut [Candidate<'_>]) -> BTreeMap<String, Serving> {
    loop {
        candidates.sort_by_key(Candidate::rank);
        let (mut placed, mut claims) = (BTreeMap::new(), Claims::default());
        let mut refused_one = false;
        for candidate in candidates.iter_mut() {
            let Some(serving) = candidate.serving() else { continue };
            if claims.are_free_for(&serving.checked) {
                claims.add(&serving.checked);
                placed.insert(candidate.sources.name.clone(), serving);
            } else if let Verdict::Good(report, serving) = &mut candidate.verdict {
                report.checked = Some((*serving.checked).clone());
                report.refuse_collisions(&claims);
                candidate.verdict = Verdict::Refused(diagnostics_of(&report.diagnostics, &report.sources));
                refused_one = true;
                break;
            }
        }
        if !refused_one {
            return placed;
        }
    }
}

/// Keeps services from changing whose group cannot change as a whole. Says whether there were any: those that were let in
/// beside them have to be placed again. Every round refuses one more, so it ends.
fn hold_back(candidates: &mut [Candidate<'_>]) -> bool {
    let members: Vec<Member> = candidates.iter().filter_map(Candidate::member).collect();
    let mut held_one = false;
    for candidate in candidates.iter_mut() {
        if let Verdict::Good(report, serving) = &mut candidate.verdict
            && serving.checked.lockstep.is_some()
        {
            report.checked = Some((*serving.checked).clone());
            report.refuse_out_of_step(&members);
            if report.checked.take().is_none() {
                candidate.verdict = Verdict::Refused(diagnostics_of(&report.diagnostics, &report.sources));
                held_one = true;
            }
        }
    }
    held_one
}

fn serving(
    sources: &ServiceSources,
    checked: Arc<CheckedService>,
    steps: Vec<Option<Arc<StepPlan>>>,
    restored: bool,
) -> Serving {
    let steps = steps.into_iter().map(|step| step.and_then(Arc::into_inner)).collect();
    let plan = Arc::new(ServicePlan::compile_rest(&checked, steps));
    let rules = hex(sources.hash.get(..4).unwrap_or_default()).into();
    Serving { hash: sources.hash, rules, plan, checked, restored }
}

/// The last good state of a service from before this process.
fn restore(name: &str, kept: &LastGood) -> Option<Serving> {
    let sources = kept.recall(name)?;
    let mut report = check_service(&sources);
    let checked = report.checked.take()?;
    tracing::warn!(service = %name, hash = hex(&sources.hash), "the last good state, kept from before, is at hand");
    Some(serving(&sources, Arc::new(checked), report.plans, true))
}
