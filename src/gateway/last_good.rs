//! The last good sources of every service, kept on disk: what serves after a restart when the newest files are broken.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::generation::hex;
use crate::rules::load::ServiceSources;

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

    /// Keeps a service's sources, all of them or, if that fails, those that were kept before.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) fn keep(&self, sources: &ServiceSources) -> io::Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let files =
            sources.iter().filter_map(|(id, path)| Some((path.to_owned(), sources.sources.get(id)?.text.clone())));
        let kept = Kept { service: sources.name.clone(), hash: hex(&sources.hash), files: files.collect() };
        fs::create_dir_all(folder)?;
        let mut file = tempfile::Builder::new().prefix(BEGUN).tempfile_in(folder)?;
        file.write_all(&serde_json::to_vec(&kept)?)?;
        file.as_file().sync_all()?;
        file.persist(path(folder, &sources.name))?;
        // The rename itself must survive too.
        File::open(folder)?.sync_all()
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
        kept.keep(&sources).unwrap();
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
