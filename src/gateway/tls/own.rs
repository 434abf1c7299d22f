//! The certificate of an address that is not the callers'.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;

use super::config::for_operators;
use super::material::Material;
use crate::settings::Pair;

/// A pair of files, looked at whenever it is needed.
#[derive(Debug)]
pub(in crate::gateway) struct OwnCertificate {
    pair: Pair,
    /// Of the files as they were last read.
    seen: Mutex<Option<[u8; 32]>>,
}

impl OwnCertificate {
    pub(in crate::gateway) fn new(pair: Pair) -> Self {
        Self { pair, seen: Mutex::default() }
    }

    /// What to show from now on; none: what was shown before.
    ///
    /// # Errors
    /// What is wrong with the files, once for each state of them.
    pub(in crate::gateway) fn read(&self) -> Result<Option<Arc<ServerConfig>>, String> {
        let material = Material::read([self.pair.chain.as_path(), self.pair.key.as_path()].into_iter());
        let digest = material.digest();
        if self.seen.lock().unwrap_or_else(PoisonError::into_inner).replace(digest) == Some(digest) {
            return Ok(None);
        }
        let shown = material.shown(&self.pair)?;
        for_operators(&shown).map(|config| Some(Arc::new(config)))
    }
}
