//! The last good sources of every service, kept on disk: what serves after a restart when the newest files are broken.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use super::generation::hex;
use crate::rules::load::ServiceSources;

/// Files that are open at once.
const AT_ONCE: usize = 100;

/// The folder that keeps them; without one nothing is kept.
#[derive(Debug, Clone)]
pub(super) struct LastGood {
    folder: Option<PathBuf>,
}

/// How names of files begin that are not whole yet; no service's does.
const BEGUN: &str = ".begun-";

/// One service's file.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    service: String,
    /// SHA-256 of the sources, checked when they are read: a torn or edited file is no last good state.
    hash: String,
    /// Path inside the service's folder to text.
    files: BTreeMap<String, String>,
}

impl LastGood {
    /// Throws away what an earlier process had begun to write when it was killed.
    pub(super) fn new(state: Option<&Path>) -> Self {
        let folder = state.map(|state| state.join("last-good"));
        let entries = folder.as_ref().and_then(|folder| fs::read_dir(folder).ok());
        for entry in entries.into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(BEGUN) {
                // Where that cannot be done, it is in nobody's way.
                let _ = fs::remove_file(entry.path());
            }
        }
        Self { folder }
    }

    /// Keeps services' sources, of each all or, if that fails, those that were kept before. What the disk says against it
    /// is told in the log.
    pub(super) fn keep(&self, services: &[ServiceSources]) {
        let Some(folder) = self.folder.as_ref().filter(|_| !services.is_empty()) else { return };
        for services in services.chunks(AT_ONCE) {
            let told = |sources: &ServiceSources, error: io::Error| {
                tracing::warn!(service = %sources.name, %error, "the state cannot be kept for a restart");
            };
            // Many are written before the first one is waited for: the disk then has one wait for all of them.
            let written = services.iter().filter_map(|sources| match write_one(folder, sources) {
                Ok(file) => Some((sources, file?)),
                Err(error) => {
                    told(sources, error);
                    None
                }
            });
            for (sources, file) in written.collect::<Vec<_>>() {
                let kept = file.as_file().sync_all();
                let kept = kept.and_then(|()| Ok(file.persist(path(folder, &sources.name)).map(drop)?));
                kept.unwrap_or_else(|error| told(sources, error));
            }
        }
        // The renames themselves must survive too.
        if let Err(error) = File::open(folder).and_then(|folder| folder.sync_all()) {
            tracing::warn!(%error, "the state may not survive a crash of the machine");
        }
    }

    /// The sources that were kept for a service, if they are whole.
    pub(super) fn recall(&self, service: &str) -> Option<ServiceSources> {
        let folder = self.folder.as_ref()?;
        let path = path(folder, service);
        let text = fs::read(&path).ok()?;
        let whole = serde_json::from_slice::<Kept>(&text).ok().and_then(|kept| {
            let texts = kept.files.iter().map(|(path, text)| (path.as_str(), text.as_str()));
            let sources = ServiceSources::from_texts(service, texts);
            (kept.service == service && kept.hash == hex(&sources.hash)).then_some(sources)
        });
        if whole.is_none() {
            tracing::warn!(path = %path.display(), "the kept state of a service is damaged and not used");
        }
        whole
    }

    /// Forgets a service that was taken away on purpose.
    pub(super) fn forget(&self, service: &str) {
        if let Some(folder) = &self.folder {
            // What is not there is forgotten.
            let _ = fs::remove_file(path(folder, service));
        }
    }

    /// Names of all kept services.
    pub(super) fn names(&self) -> Vec<String> {
        let Some(Ok(entries)) = self.folder.as_ref().map(fs::read_dir) else { return Vec::new() };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<String> = names.filter_map(|name| name.strip_suffix(".json").map(str::to_owned)).collect();
        names.sort();
        names
    }
}

/// Writes what is kept of a service beside its place; nothing where it is there already, as nearly all are after a restart.
fn write_one(folder: &Path, sources: &ServiceSources) -> io::Result<Option<NamedTempFile>> {
    let files = sources.iter().filter_map(|(id, path)| Some((path.to_owned(), sources.sources.get(id)?.text.clone())));
    let kept = Kept { service: sources.name.clone(), hash: hex(&sources.hash), files: files.collect() };
    let text = serde_json::to_vec(&kept)?;
    if fs::read(path(folder, &sources.name)).is_ok_and(|known| known == text) {
        return Ok(None);
    }
    fs::create_dir_all(folder)?;
    let mut file = tempfile::Builder::new().prefix(BEGUN).tempfile_in(folder)?;
    file.write_all(&text)?;
    Ok(Some(file))
}

fn path(folder: &Path, service: &str) -> PathBuf {
    folder.join(format!("{service}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_come_back_whole_or_not_at_all() {
        let state = tempfile::tempdir().unwrap();
        let kept = LastGood::new(Some(state.path()));
        assert!(kept.recall("orders").is_none());
        let sources = ServiceSources::from_texts("orders", [("service.yaml", "a: 1"), ("openapi/v1.yaml", "b: 2")]);
        kept.keep(std::slice::from_ref(&sources));
        assert_eq!(kept.names(), ["orders"]);
        let back = kept.recall("orders").unwrap();
        assert_eq!((back.hash, back.sources), (sources.hash, sources.sources.clone()));

        let file = path(&state.path().join("last-good"), "orders");
        let text = fs::read_to_string(&file).unwrap();
        for damaged in [text.replace("a: 1", "a: 2"), text.chars().take(text.len() / 2).collect(), String::new()] {
            fs::write(&file, damaged).unwrap();
            assert!(kept.recall("orders").is_none());
        }
        kept.forget("orders");
        assert_eq!(kept.names(), Vec::<String>::new());
    }
}
