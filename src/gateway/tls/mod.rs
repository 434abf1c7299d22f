//! TLS on both sides: the certificates that serve now, and how they are read again.
//!
//! [`material`] reads files, [`config`] makes of them what rustls is told, [`accept`] meets callers, [`connect`] reaches
//! services, [`stream`] is a connection of either kind.

mod accept;
mod config;
mod connect;
mod material;
mod names;
mod own;
mod stream;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::TcpStream;

pub(super) use accept::Refused;
pub(super) use connect::{Connector, Offer};
pub(super) use own::OwnCertificate;
pub(super) use stream::{Secured, Stream};

use super::metrics::Metrics;
use crate::settings::{Pair, Settings, Tls, UpstreamTls};
use material::{Material, Shown};

/// The certificates of both sides.
#[derive(Debug)]
pub(super) struct Certificates {
    tls: Tls,
    upstream: UpstreamTls,
    /// Those whom the platform trusts, where no file says whom to trust. Read once.
    platform: Arc<RootCertStore>,
    metrics: Arc<Metrics>,
    current: RwLock<Current>,
    /// One reading at a time.
    turn: Mutex<()>,
}

/// What serves, and of what it was made.
#[derive(Debug, Clone)]
struct Current {
    /// None: no caller speaks TLS.
    callers: Option<Arc<ServerConfig>>,
    services: Arc<ClientConfig>,
    parts: Parts,
    /// Of the files as they were last read, good or not.
    digest: [u8; 32],
    problems: Arc<Vec<String>>,
}

/// The newest good state of each file or pair of files: one that is bad keeps back none of the others.
#[derive(Debug, Clone, Default)]
struct Parts {
    /// In the order of the settings.
    shown: Vec<Option<Shown>>,
    client_ca: Option<Arc<RootCertStore>>,
    service_ca: Option<Arc<RootCertStore>>,
    own: Option<Shown>,
}

impl Certificates {
    /// Reads all files for the first time.
    ///
    /// # Errors
    /// Everything that is wrong with any of them.
    pub(super) fn load(settings: &Settings, metrics: Arc<Metrics>) -> Result<Self, Vec<String>> {
        let (tls, upstream) = (settings.tls.clone(), settings.upstream_tls.clone());
        let platform = if upstream.ca.is_none() { trusted_by_platform() } else { Arc::new(RootCertStore::empty()) };
        let material = Material::read(files(&tls, &upstream));
        let current = read(&tls, &upstream, &platform, &material, &Parts::default())?;
        let certificates =
            Self { tls, upstream, platform, metrics, current: RwLock::new(current), turn: Mutex::default() };
        certificates.tell();
        Ok(certificates)
    }

    /// What is wrong with the files as they were last read.
    pub(super) fn problems(&self) -> Arc<Vec<String>> {
        self.with(|current| current.problems.clone())
    }

    /// The folders whose changes matter.
    pub(super) fn folders(&self) -> Vec<PathBuf> {
        let folder = |path: &Path| match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        let mut folders: Vec<PathBuf> = files(&self.tls, &self.upstream).map(folder).collect();
        folders.sort();
        folders.dedup();
        folders
    }

    /// Reads the files again, and puts into service what is new and good.
    /// None: nothing has changed.
    pub(super) async fn reload(self: &Arc<Self>, why: &'static str) -> Option<&'static str> {
        let this = self.clone();
        let read = tokio::task::spawn_blocking(move || this.reload_now(why)).await;
        read.unwrap_or_else(|error| {
            tracing::error!(%error, "reading certificates failed; what serves goes on");
            Some("failed")
        })
    }

    fn reload_now(&self, why: &'static str) -> Option<&'static str> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let material = Material::read(files(&self.tls, &self.upstream));
        if self.with(|current| current.digest == material.digest()) {
            return None;
        }
        let before = self.with(Clone::clone);
        let next = read(&self.tls, &self.upstream, &self.platform, &material, &before.parts)
            .unwrap_or_else(|problems| Current { digest: material.digest(), problems: Arc::new(problems), ..before });
        let result = if next.problems.is_empty() { "replaced" } else { "refused" };
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = next;
        self.metrics.certificates_read(result);
        tracing::info!(why, result, "certificates read");
        self.tell();
        Some(result)
    }

    /// Says what there is to be said of what serves.
    fn tell(&self) {
        let (parts, problems) = self.with(|current| (current.parts.clone(), current.problems.clone()));
        for problem in problems.iter() {
            tracing::error!("{problem}; what served before goes on");
        }
        self.metrics.refused_certificates.set(i64::try_from(problems.len()).unwrap_or(i64::MAX));
        let pairs = self.tls.certificates.iter().zip(&parts.shown);
        let pairs = pairs.filter_map(|(pair, shown)| Some((pair, shown.as_ref()?)));
        for (pair, shown) in pairs.chain(self.upstream.certificate.as_ref().zip(parts.own.as_ref())) {
            let file = pair.chain.display().to_string();
            if let Some(complaint) = shown.complaint() {
                tracing::warn!(file, "{complaint}");
            }
            self.metrics.certificate_ends(file, i64::try_from(shown.ends).unwrap_or(i64::MAX));
        }
    }

    /// Shakes hands with a caller.
    pub(super) async fn accept(&self, stream: TcpStream, patience: Duration) -> Result<Stream, Refused> {
        let Some(config) = self.with(|current| current.callers.clone()) else { return Err(Refused::Plain) };
        let accepted = accept::accept(stream, config, self.tls.client_header, patience).await;
        self.metrics.shook_hands(accepted.as_ref().err().map_or("ok", Refused::word));
        accepted
    }

    /// How services are met now.
    fn for_services(&self) -> Arc<ClientConfig> {
        self.with(|current| current.services.clone())
    }

    fn with<T>(&self, look: impl FnOnce(&Current) -> T) -> T {
        look(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Every file that the settings name.
fn files<'s>(tls: &'s Tls, upstream: &'s UpstreamTls) -> impl Iterator<Item = &'s Path> {
    let pairs = tls.certificates.iter().chain(&upstream.certificate);
    let both = |pair: &'s Pair| [pair.chain.as_path(), pair.key.as_path()];
    pairs.flat_map(both).chain(tls.client_ca.as_deref()).chain(upstream.ca.as_deref())
}

/// Makes of the files what serves. What is bad is as it was `before`, and is told in the problems; an error where there
/// was nothing before.
fn read(
    tls: &Tls,
    upstream: &UpstreamTls,
    platform: &Arc<RootCertStore>,
    material: &Material,
    before: &Parts,
) -> Result<Current, Vec<String>> {
    let mut problems = Vec::new();
    let shown = tls.certificates.iter().enumerate().map(|(index, pair)| {
        let before = before.shown.get(index).and_then(Option::as_ref);
        newest(Some(material.shown(pair)), before, &mut problems)
    });
    let parts = Parts {
        shown: shown.collect(),
        client_ca: newest(
            tls.client_ca.as_deref().map(|path| material.authorities(path)),
            before.client_ca.as_ref(),
            &mut problems,
        ),
        service_ca: newest(
            upstream.ca.as_deref().map(|path| material.authorities(path)),
            before.service_ca.as_ref(),
            &mut problems,
        ),
        own: newest(upstream.certificate.as_ref().map(|pair| material.shown(pair)), before.own.as_ref(), &mut problems),
    };
    let certificates: Vec<Shown> = parts.shown.iter().flatten().cloned().collect();
    let has_all = certificates.len() == tls.certificates.len()
        && parts.client_ca.is_some() == tls.client_ca.is_some()
        && parts.service_ca.is_some() == upstream.ca.is_some()
        && parts.own.is_some() == upstream.certificate.is_some();
    if !has_all {
        return Err(problems);
    }
    let wanted = !tls.listen.is_empty();
    let callers = wanted.then(|| config::for_callers(tls, certificates, parts.client_ca.clone())).transpose();
    let authorities = parts.service_ca.clone().unwrap_or_else(|| platform.clone());
    let services = config::for_services(authorities, parts.own.as_ref());
    match (callers, services) {
        (Ok(callers), Ok(services)) => Ok(Current {
            callers: callers.map(Arc::new),
            services: Arc::new(services),
            parts,
            digest: material.digest(),
            problems: Arc::new(problems),
        }),
        (callers, services) => {
            problems.extend(callers.err().into_iter().chain(services.err()));
            Err(problems)
        }
    }
}

/// What was read if it is good, else what there was before. None: nothing was to be read.
fn newest<T: Clone>(read: Option<Result<T, String>>, before: Option<&T>, problems: &mut Vec<String>) -> Option<T> {
    match read? {
        Ok(good) => Some(good),
        Err(problem) => {
            problems.push(problem);
            before.cloned()
        }
    }
}

fn trusted_by_platform() -> Arc<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!(%error, "a certificate of the platform cannot be read");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    Arc::new(roots)
}
