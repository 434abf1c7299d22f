//! TLS to brokers: by the system's authorities or a file of them, with a certificate of our own where there is one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::super::broker::Lost;

/// PEM files for TLS to a broker. They are read again for each connection, so that renewed ones are used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// Who signs the broker's certificate; none: whom the system knows.
    pub ca: Option<PathBuf>,
    /// Our own certificate with those that vouch for it, and its private key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl Tls {
    pub(super) async fn config(&self) -> Result<ClientConfig, Lost> {
        let tls = self.clone();
        tokio::task::spawn_blocking(move || tls.read()).await.map_err(|error| Lost::when("TLS", error))?
    }

    fn read(&self) -> Result<ClientConfig, Lost> {
        let mut roots = RootCertStore::empty();
        match &self.ca {
            Some(path) => {
                for certificate in certificates(path)? {
                    roots.add(certificate).map_err(|error| wrong(path, error))?;
                }
            }
            None => {
                // Those that cannot be read vouch for nobody.
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Lost::when("TLS", error))?
            .with_root_certificates(roots);
        let Some((chain, key)) = &self.identity else { return Ok(builder.with_no_client_auth()) };
        let private = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, error))?;
        builder.with_client_auth_cert(certificates(chain)?, private).map_err(|error| wrong(chain, error))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Lost> {
    let found = CertificateDer::pem_file_iter(path).map_err(|error| wrong(path, error))?;
    let found: Vec<_> = found.collect::<Result<_, _>>().map_err(|error| wrong(path, error))?;
    if found.is_empty() { Err(wrong(path, "holds no certificate in PEM form")) } else { Ok(found) }
}

fn wrong(path: &Path, error: impl std::fmt::Display) -> Lost {
    Lost(format!("{}: {error}", path.display()))
}
