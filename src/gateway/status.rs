//! What a reload came to, per service and file: for the admin interface, the log and the exit of commands.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::access_log::rfc3339;
use super::generation::{Serving, hex};
use crate::diagnostic::{Diagnostics, Finding, Sources, Style, to_text};
use crate::rules::load::ServiceSources;

/// The newest reload.
#[derive(Debug, Clone)]
pub(super) struct Status {
    pub(super) generation: u64,
    pub(super) hash: String,
    /// Since when that generation serves.
    pub(super) since: SystemTime,
    /// When the folder was last read.
    pub(super) at: SystemTime,
    /// Whether that reading began a generation.
    pub(super) changed: bool,
    pub(super) folder: FolderStatus,
    pub(super) services: BTreeMap<String, ServiceStatus>,
    /// A mistake of ours.
    pub(super) failure: Option<String>,
}

impl Default for Status {
    fn default() -> Self {
        Self {
            generation: 0,
            hash: String::new(),
            since: UNIX_EPOCH,
            at: UNIX_EPOCH,
            changed: false,
            folder: FolderStatus::default(),
            services: BTreeMap::new(),
            failure: None,
        }
    }
}

/// What is wrong with the folder itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FolderStatus {
    pub(super) diagnostics: Diagnoses,
    pub(super) problem: Option<String>,
}

/// One service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServiceStatus {
    pub(super) state: ServiceState,
    /// Hash of what serves.
    serving: Option<[u8; 32]>,
    /// Hash of the newest files.
    pub(super) newest: Option<[u8; 32]>,
    files: Vec<String>,
    pub(super) diagnostics: Diagnoses,
}

/// How a service stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ServiceState {
    /// Its newest files serve.
    Accepted,
    /// Its newest files are refused; those before them serve.
    Kept,
    /// Its newest files are refused; those from before this process serve.
    LastGood,
    /// Its newest files are refused, and there are no others.
    Refused,
    /// Its folder is gone, but the rest of the rules is not sound, so it goes on.
    Orphaned,
}

impl ServiceState {
    pub(super) fn is_refused(self) -> bool {
        matches!(self, Self::Kept | Self::LastGood | Self::Refused)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Kept => "kept",
            Self::LastGood => "last_good",
            Self::Refused => "refused",
            Self::Orphaned => "orphaned",
        }
    }
}

/// Diagnostics that no longer need their sources.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Diagnoses {
    /// As `bifocal check` prints them.
    pub(super) text: String,
    findings: Vec<Finding>,
}

/// Takes diagnostics out of their sources.
pub(super) fn diagnostics_of(diagnostics: &Diagnostics, sources: &Sources) -> Diagnoses {
    if diagnostics.is_empty() {
        return Diagnoses::default();
    }
    Diagnoses {
        text: to_text(diagnostics, sources, Style::Plain),
        findings: diagnostics.iter().map(|one| Finding::new(one, sources)).collect(),
    }
}

impl Diagnoses {
    fn errors(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|one| one.severity == "error")
    }

    fn errors_in(&self, file: &str) -> usize {
        self.errors().filter(|one| one.place.file == file).count()
    }
}

impl ServiceStatus {
    pub(super) fn serving(sources: &ServiceSources, serving: &Serving) -> Self {
        Self {
            state: ServiceState::Accepted,
            serving: Some(serving.hash),
            newest: Some(sources.hash),
            files: paths(sources),
            diagnostics: Diagnoses::default(),
        }
    }

    pub(super) fn refused(sources: &ServiceSources, fallback: Option<&Serving>, diagnostics: Diagnoses) -> Self {
        let state = match fallback {
            None => ServiceState::Refused,
            Some(serving) if serving.restored => ServiceState::LastGood,
            Some(_) => ServiceState::Kept,
        };
        Self {
            state,
            serving: fallback.map(|serving| serving.hash),
            newest: Some(sources.hash),
            files: paths(sources),
            diagnostics,
        }
    }

    pub(super) fn orphan(serving: &Serving) -> Self {
        Self {
            state: ServiceState::Orphaned,
            serving: Some(serving.hash),
            newest: None,
            files: Vec::new(),
            diagnostics: Diagnoses::default(),
        }
    }

    fn as_json(&self) -> Value {
        let short = |hash: &[u8; 32]| hex(hash).chars().take(12).collect::<String>();
        let files = self.files.iter().map(|file| {
            let errors = self.diagnostics.errors_in(file);
            json!({ "path": file, "accepted": errors == 0, "errors": errors })
        });
        json!({
            "state": self.state.name(),
            "serving": self.serving.as_ref().map(short),
            "newest": self.newest.as_ref().map(short),
            "files": files.collect::<Value>(),
            "diagnostics": self.diagnostics.findings,
        })
    }
}

fn paths(sources: &ServiceSources) -> Vec<String> {
    sources.sources.iter().map(|(_, source)| source.path.clone()).collect()
}

impl Status {
    /// Whether everything in the folder serves.
    pub(super) fn is_sound(&self) -> bool {
        self.failure.is_none()
            && self.folder.problem.is_none()
            && self.folder.diagnostics.errors().next().is_none()
            && self.services.values().all(|service| service.state == ServiceState::Accepted)
    }

    /// One word.
    pub(super) fn result(&self) -> &'static str {
        match (self.is_sound(), self.changed) {
            _ if self.failure.is_some() => "failed",
            (true, true) => "applied",
            (true, false) => "unchanged",
            (false, true) => "partial",
            (false, false) => "refused",
        }
    }

    /// Names of what is refused, for people.
    pub(super) fn refused(&self) -> String {
        let services = self.services.iter().filter(|(_, service)| service.state.is_refused());
        let names: Vec<&str> = services.map(|(name, _)| name.as_str()).collect();
        if names.is_empty() { String::new() } else { format!("refused: {}", names.join(", ")) }
    }

    /// Whether a folder has been read before, and this is what it came to.
    pub(super) fn read_the_same<'s>(
        &self,
        folder: &FolderStatus,
        sources: impl Iterator<Item = &'s ServiceSources>,
    ) -> bool {
        let newest = self.services.iter().filter_map(|(name, service)| Some((name.as_str(), service.newest?)));
        self.failure.is_none()
            && self.at != UNIX_EPOCH
            && self.folder == *folder
            && newest.eq(sources.map(|sources| (sources.name.as_str(), sources.hash)))
    }

    /// Whether nobody need be told of this one again.
    pub(super) fn says_the_same_as(&self, other: &Self) -> bool {
        self.generation == other.generation
            && self.folder == other.folder
            && self.services == other.services
            && self.failure == other.failure
    }

    /// Every complaint as text, folder first.
    pub(super) fn complaints(&self) -> impl Iterator<Item = &str> {
        let folder = self.folder.problem.as_deref().into_iter().chain([self.folder.diagnostics.text.as_str()]);
        folder
            .chain(self.services.values().map(|service| service.diagnostics.text.as_str()))
            .filter(|text| !text.is_empty())
    }

    /// For the admin interface.
    pub(super) fn as_json(&self) -> Value {
        let time = |time: SystemTime| rfc3339(time.duration_since(UNIX_EPOCH).unwrap_or_default());
        json!({
            "generation": self.generation,
            "hash": self.hash,
            "since": time(self.since),
            "read_at": time(self.at),
            "result": self.result(),
            "problem": self.failure.as_ref().or(self.folder.problem.as_ref()),
            "folder": self.folder.diagnostics.findings,
            "services": self.services.iter().map(|(name, service)| (name.clone(), service.as_json())).collect::<serde_json::Map<_, _>>(),
        })
    }
}
