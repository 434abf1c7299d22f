//! Disk -> sources: the only part of the core that reads files.
//!
//! Everything is bounded, in a fixed order, and stays inside the rules folder: links are followed where they lead to a
//! regular file inside it (as Kubernetes mounts do with `..data`), and nowhere else.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::yaml::Limits;
use crate::diagnostic::{Diagnostics, Source, SourceId, Sources, Span, codes};

/// Files read from one rules folder.
const MAX_FILES: usize = 10_000;
/// Folders below a service's folder.
const MAX_LEVELS: usize = 8;
/// Bytes read from one rules folder.
const MAX_BYTES: usize = 128 << 20;

/// The name of a service's main file.
const SERVICE_FILE: &str = "service.yaml";

/// What a rules folder holds.
#[derive(Debug, Clone, Default)]
pub struct LoadedFolder {
    /// The services by name.
    pub services: BTreeMap<String, ServiceSources>,
    /// What is wrong with the folder itself, over [`LoadedFolder::sources`].
    pub diagnostics: Diagnostics,
    /// Names of the files that [`LoadedFolder::diagnostics`] speaks of.
    pub sources: Sources,
}

/// The texts of one service.
#[derive(Debug, Clone)]
pub struct ServiceSources {
    /// The folder's name.
    pub name: String,
    /// All texts, ordered by path; paths begin with the service's name.
    pub sources: Arc<Sources>,
    /// What was wrong while reading; such a service is refused.
    pub diagnostics: Diagnostics,
    /// SHA-256 over the paths and contents.
    pub hash: [u8; 32],
}

impl ServiceSources {
    /// A service from texts, each with its path inside the service's folder.
    pub fn from_texts<'t>(name: &str, texts: impl IntoIterator<Item = (&'t str, &'t str)>) -> Self {
        let ordered: BTreeMap<&str, &str> = texts.into_iter().collect();
        let mut sources = Sources::default();
        for (path, text) in ordered {
            sources.add(format!("{name}/{path}"), text);
        }
        Self::new(name, sources, Diagnostics::default())
    }

    fn new(name: &str, sources: Sources, diagnostics: Diagnostics) -> Self {
        let hash = digest(sources.iter().map(|(_, source)| source));
        Self { name: name.to_owned(), sources: Arc::new(sources), diagnostics, hash }
    }

    /// The text at a path inside the service's folder, such as `openapi/v1.yaml`.
    pub fn find(&self, path: &str) -> Option<SourceId> {
        let path = path.strip_prefix("./").unwrap_or(path);
        self.iter().find(|(_, inside)| *inside == path).map(|(id, _)| id)
    }

    /// The interface files that `openapi:` may name: those in subfolders, and JSON files.
    pub fn interfaces(&self) -> impl Iterator<Item = (SourceId, &str)> {
        self.iter().filter(|(_, path)| path.contains('/') || has_extension(path, &["json"]))
    }

    /// All texts with their paths inside the service's folder.
    pub fn iter(&self) -> impl Iterator<Item = (SourceId, &str)> {
        self.sources.iter().filter_map(|(id, source)| {
            let inside = source.path.strip_prefix(self.name.as_str())?.strip_prefix('/')?;
            Some((id, inside))
        })
    }
}

/// SHA-256 over paths and contents.
pub(super) fn digest<'s>(sources: impl Iterator<Item = &'s Source>) -> [u8; 32] {
    let mut hash = Sha256::new();
    for source in sources {
        for part in [source.path.as_bytes(), source.text.as_bytes()] {
            // Lengths keep `a` + `bc` and `ab` + `c` apart.
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
    }
    hash.finalize().into()
}

/// Reads a rules folder: each direct subfolder with a `service.yaml` is a service.
///
/// # Errors
/// Where the folder itself cannot be read. Anything wrong inside is a diagnostic of the service concerned.
pub fn load_folder(folder: &Path) -> io::Result<LoadedFolder> {
    let root = folder.canonicalize()?;
    let mut reader = Reader { root: &root, files: 0, bytes: 0 };
    let mut loaded = LoadedFolder::default();
    let mut without_service = Vec::new();
    for (name, path) in entries(&root)? {
        let target = inside(&root, &path);
        if let (Err(problem), true) = (&target, path.is_dir()) {
            let at = nothing_of(&mut loaded.sources, &name);
            loaded
                .diagnostics
                .error(codes::R16, at, format!("the folder `{name}` {problem}"))
                .help("links may lead anywhere inside the rules folder, but not out of it");
        }
        let is_folder = target.is_ok_and(|target| target.is_dir());
        if name == SERVICE_FILE {
            let at = nothing_of(&mut loaded.sources, SERVICE_FILE);
            loaded
                .diagnostics
                .error(codes::R16, at, "`service.yaml` directly in the rules folder")
                .help("each service has a folder of its own: name the folder above this one as the rules folder");
        }
        if !is_folder {
            continue;
        }
        if path.join(SERVICE_FILE).symlink_metadata().is_err() {
            if entries(&path).is_ok_and(|inside| inside.keys().any(|name| is_yaml(name))) {
                without_service.push(name);
            }
            continue;
        }
        let service = reader.service(&name, &path);
        loaded.services.insert(name, service);
    }
    for name in without_service {
        let at = nothing_of(&mut loaded.sources, &name);
        loaded
            .diagnostics
            .error(codes::R16, at, format!("the folder `{name}` has rules but no `service.yaml`"))
            .help("write one that names the versions, or move the folder away");
    }
    if loaded.services.is_empty() && loaded.diagnostics.is_empty() {
        let at = nothing_of(&mut loaded.sources, ".");
        loaded
            .diagnostics
            .error(codes::R16, at, "no service in the rules folder")
            .help("a service is a subfolder with a `service.yaml`");
    }
    Ok(loaded)
}

struct Reader<'r> {
    root: &'r Path,
    files: usize,
    bytes: usize,
}

impl Reader<'_> {
    fn service(&mut self, name: &str, folder: &Path) -> ServiceSources {
        let mut sources = Sources::default();
        let mut diagnostics = Diagnostics::default();
        let mut found = BTreeSet::new();
        let mut problems = Vec::new();
        let mut seen = HashSet::new();
        self.walk(folder, &mut Vec::new(), &mut seen, &mut found, &mut problems);
        if !name.chars().all(|one| one.is_ascii_alphanumeric() || "._-".contains(one)) || name.len() > 64 {
            problems.push((".".to_owned(), "the folder's name is not a service's name".to_owned()));
        }
        for inner in found {
            let path = format!("{name}/{inner}");
            match self.read(&folder.join(&inner), &inner) {
                Ok(text) => drop(sources.add(path, text)),
                Err(problem) => problems.push((inner, problem)),
            }
        }
        for (inner, problem) in problems {
            let path = if inner == "." { name.to_owned() } else { format!("{name}/{inner}") };
            let at = nothing_of(&mut sources, &path);
            diagnostics
                .error(codes::R16, at, problem)
                .help("rule files are regular UTF-8 files `*.yaml` inside the rules folder");
        }
        ServiceSources::new(name, sources, diagnostics)
    }

    /// Collects the paths of files that may matter, relative to the service's folder.
    fn walk(
        &mut self,
        folder: &Path,
        below: &mut Vec<String>,
        seen: &mut HashSet<PathBuf>,
        found: &mut BTreeSet<String>,
        problems: &mut Vec<(String, String)>,
    ) {
        let here = below.join("/");
        // A link back up would lead here again.
        let target = match inside(self.root, folder) {
            Ok(target) if seen.insert(target.clone()) => target,
            Ok(_) => return,
            Err(problem) => return problems.push((here, problem)),
        };
        let listed = match entries(&target) {
            Ok(listed) => listed,
            Err(error) => return problems.push((here, error.kind().to_string())),
        };
        for (name, path) in listed {
            below.push(name.clone());
            let inner = below.join("/");
            match inside(self.root, &path) {
                Ok(target) if target.is_dir() && !is_text(&name) => {
                    if below.len() > MAX_LEVELS {
                        problems.push((inner, format!("more than {MAX_LEVELS} folders deep")));
                    } else {
                        self.walk(&path, below, seen, found, problems);
                    }
                }
                Err(problem) if path.is_dir() => problems.push((inner, problem)),
                _ if !is_text(&name) => {}
                Ok(_) if below.len() == 1 && has_extension(&name, &["yml"]) => {
                    problems.push((inner, "rule files end in `.yaml`".to_owned()));
                }
                Ok(target) if target.is_file() => {
                    self.files += 1;
                    if self.files <= MAX_FILES {
                        found.insert(inner);
                    } else if self.files == MAX_FILES + 1 {
                        problems.push((inner, format!("more than {MAX_FILES} files in the rules folder")));
                    }
                }
                Ok(_) => problems.push((inner, "not a regular file".to_owned())),
                Err(problem) => problems.push((inner, problem)),
            }
            below.pop();
        }
    }

    fn read(&mut self, path: &Path, inner: &str) -> Result<String, String> {
        let limit =
            if inner.contains('/') || has_extension(inner, &["json"]) { Limits::OPENAPI } else { Limits::RULES };
        let target = inside(self.root, path)?;
        let file = open(&target).map_err(|error| error.kind().to_string())?;
        // Asked of the open file: between the look and the opening another one may have taken its place.
        if !file.metadata().is_ok_and(|found| found.is_file()) {
            return Err("not a regular file".to_owned());
        }
        let mut bytes = Vec::new();
        let most = u64::try_from(limit.bytes).unwrap_or(u64::MAX).saturating_add(1);
        file.take(most).read_to_end(&mut bytes).map_err(|error| error.kind().to_string())?;
        if bytes.len() > limit.bytes {
            return Err(format!("larger than {} bytes", limit.bytes));
        }
        self.bytes += bytes.len();
        if self.bytes > MAX_BYTES {
            return Err(format!("the rules folder holds more than {MAX_BYTES} bytes"));
        }
        String::from_utf8(bytes).map_err(|error| format!("not UTF-8 at byte {}", error.utf8_error().valid_up_to()))
    }
}

/// Opens without waiting for the other end of a FIFO.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::fs::OpenOptionsExt;
        /// `O_NONBLOCK` of <fcntl.h>; no effect on regular files.
        const NONBLOCK: i32 = 0o4000;
        options.custom_flags(NONBLOCK);
    }
    options.open(path)
}

/// Where a path really leads, if that is inside the rules folder.
fn inside(root: &Path, path: &Path) -> Result<PathBuf, String> {
    let target = path.canonicalize().map_err(|error| error.kind().to_string())?;
    if target.starts_with(root) { Ok(target) } else { Err("leads out of the rules folder".to_owned()) }
}

/// A folder's entries by name, without hidden ones (`..data`, `.git`, editors' swap files).
fn entries(folder: &Path) -> io::Result<BTreeMap<String, PathBuf>> {
    let mut named = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            named.insert(name, entry.path());
        }
    }
    Ok(named)
}

fn has_extension(name: &str, extensions: &[&str]) -> bool {
    name.rsplit_once('.').is_some_and(|(_, end)| extensions.contains(&end))
}

/// Whether a name is one of a text that is read.
fn is_text(name: &str) -> bool {
    has_extension(name, &["yaml", "yml", "json"])
}

fn is_yaml(name: &str) -> bool {
    has_extension(name, &["yaml"])
}

/// A place in a file that has no text.
fn nothing_of(sources: &mut Sources, path: &str) -> Span {
    Span { source: sources.add(path, ""), start: 0, end: 0 }
}
