//! Certificates and keys: the files as they were at one moment, and what they mean.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use der::asn1::{AnyRef, GeneralizedTime, UtcTime};
use der::{Decode, Reader, SliceReader, Tag, Tagged};
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, RootCertStore};
use sha2::{Digest, Sha256};

use crate::settings::Pair;

/// Larger files are no certificates.
const LARGEST: u64 = 4 << 20;

/// The content of files, all read at one moment.
pub(super) struct Material(BTreeMap<PathBuf, Result<Vec<u8>, String>>);

/// A certificate that can be shown.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    pub(super) key: Arc<CertifiedKey>,
    /// Its DNS names, in lower case; `*.` stands for one label.
    names: Vec<String>,
    /// Seconds since 1970.
    begins: u64,
    /// Seconds since 1970.
    pub(super) ends: u64,
}

impl Material {
    pub(super) fn read<'p>(paths: impl Iterator<Item = &'p Path>) -> Self {
        Self(paths.map(|path| (path.to_owned(), read_file(path))).collect())
    }

    /// Tells one state of the files from another.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        for content in self.0.values() {
            let bytes = content.as_deref().unwrap_or_default();
            digest.update([u8::from(content.is_ok())]);
            digest.update((bytes.len() as u64).to_be_bytes());
            digest.update(bytes);
        }
        digest.finalize().into()
    }

    /// The certificate and the key of a pair, if they belong together.
    pub(super) fn shown(&self, pair: &Pair) -> Result<Shown, String> {
        let chain = self.certificates(&pair.chain)?;
        let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", pair.key.display());
        let key = PrivateKeyDer::from_pem_slice(self.bytes(&pair.key)?).map_err(|error| match error {
            pem::Error::NoItemsFound => wrong(&"holds no private key in PEM form"),
            error => wrong(&error),
        })?;
        let key = CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                wrong(&format!("is not the key of the first certificate in {}", pair.chain.display()))
            }
            Error::InvalidCertificate(error) => format!("{}: {error}", pair.chain.display()),
            error => wrong(&error),
        })?;
        let unreadable = || format!("{}: its first certificate cannot be read", pair.chain.display());
        let first = key.cert.first().ok_or_else(unreadable)?;
        let (begins, ends) = validity(first).map_err(|_| unreadable())?;
        let parsed = webpki::EndEntityCert::try_from(first).map_err(|_| unreadable())?;
        let names = parsed.valid_dns_names().map(str::to_ascii_lowercase).collect();
        Ok(Shown { key: Arc::new(key), names, begins, ends })
    }

    /// Those who sign certificates.
    pub(super) fn authorities(&self, path: &Path) -> Result<Arc<RootCertStore>, String> {
        let mut roots = RootCertStore::empty();
        for (index, certificate) in self.certificates(path)?.into_iter().enumerate() {
            let wrong = |error| format!("{}: certificate {}: {error}", path.display(), index + 1);
            roots.add(certificate).map_err(wrong)?;
        }
        Ok(Arc::new(roots))
    }

    fn certificates(&self, path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
        let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(self.bytes(path)?).collect();
        match read {
            Ok(found) if found.is_empty() => Err(wrong(&"holds no certificate in PEM form")),
            Ok(found) => Ok(found),
            Err(error) => Err(wrong(&error)),
        }
    }

    fn bytes(&self, path: &Path) -> Result<&[u8], String> {
        match self.0.get(path) {
            Some(Ok(bytes)) => Ok(bytes),
            Some(Err(error)) => Err(format!("{}: {error}", path.display())),
            None => Err(format!("{}: has not been read", path.display())),
        }
    }
}

impl Shown {
    /// Whether it has this name.
    pub(super) fn covers(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        let below = name.split_once('.').map(|(_, rest)| rest);
        self.names.iter().any(|own| *own == name || (below.is_some() && own.strip_prefix("*.") == below))
    }

    /// What is to be said of its time: it serves all the same, since no certificate at all would serve nobody.
    pub(super) fn complaint(&self) -> Option<&'static str> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        match () {
            () if now > self.ends => Some("the certificate has expired"),
            () if now < self.begins => Some("the certificate is not valid yet"),
            () => None,
        }
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let read = || -> std::io::Result<Vec<u8>> {
        // A pipe would be waited for, a device has no end.
        if !fs::metadata(path)?.is_file() {
            return Err(std::io::Error::other("is not a file"));
        }
        let mut bytes = Vec::new();
        File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > LARGEST {
            return Err(std::io::Error::other("is too large for certificates"));
        }
        Ok(bytes)
    };
    read().map_err(|error| error.to_string())
}

/// From when to when a certificate is valid (RFC 5280, 4.1.2.5), in seconds since 1970.
fn validity(certificate: &[u8]) -> der::Result<(u64, u64)> {
    // After the serial number: the kind of signature, the signer, and the time.
    let mut times = SliceReader::new(after_serial(certificate, 3)?.value())?;
    Ok((seconds(times.decode()?)?, seconds(times.decode()?)?))
}

/// What a certificate's subject is commonly called (RFC 5280, 4.1.2.6).
pub(super) fn common_names(certificate: &[u8]) -> der::Result<Vec<String>> {
    // 2.5.4.3
    const COMMON_NAME: &[u8] = &[0x55, 4, 3];
    let mut names = Vec::new();
    let mut sets = SliceReader::new(after_serial(certificate, 4)?.value())?;
    while !sets.is_finished() {
        let set: AnyRef<'_> = sets.decode()?;
        let mut pairs = SliceReader::new(set.value())?;
        while !pairs.is_finished() {
            let pair: AnyRef<'_> = pairs.decode()?;
            let mut pair = SliceReader::new(pair.value())?;
            let kind: AnyRef<'_> = pair.decode()?;
            let value: AnyRef<'_> = pair.decode()?;
            let is_plain = matches!(value.tag(), Tag::Utf8String | Tag::PrintableString);
            if kind.value() == COMMON_NAME {
                // One that cannot be read must not make another the only one.
                let text = std::str::from_utf8(value.value()).ok().filter(|_| is_plain);
                names.push(text.unwrap_or_default().to_owned());
            }
        }
    }
    Ok(names)
}

/// The field so many fields after a certificate's serial number (RFC 5280, 4.1).
fn after_serial(certificate: &[u8], count: usize) -> der::Result<AnyRef<'_>> {
    let whole = AnyRef::from_der(certificate)?;
    let signed: AnyRef<'_> = SliceReader::new(whole.value())?.decode()?;
    let mut fields = SliceReader::new(signed.value())?;
    let mut field: AnyRef<'_> = fields.decode()?;
    if matches!(field.tag(), Tag::ContextSpecific { .. }) {
        // The version, which the first of them do not have.
        field = fields.decode()?;
    }
    for _ in 0..count {
        field = fields.decode()?;
    }
    Ok(field)
}

fn seconds(time: AnyRef<'_>) -> der::Result<u64> {
    let since = match time.tag() {
        Tag::UtcTime => UtcTime::try_from(time)?.to_unix_duration(),
        _ => GeneralizedTime::try_from(time)?.to_unix_duration(),
    };
    Ok(since.as_secs())
}
