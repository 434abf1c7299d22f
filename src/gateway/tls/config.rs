//! What rustls is told: how callers are met, and how services are.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig,
    SignatureScheme, SupportedProtocolVersion,
};

use super::material::Shown;
use super::names::Names;
use crate::settings::{ClientName, Clients, Tls, TlsVersion};

/// How callers are met. `authorities` sign their certificates, where callers have some.
pub(super) fn for_callers(
    tls: &Tls,
    certificates: Vec<Shown>,
    authorities: Option<Arc<RootCertStore>>,
) -> Result<ServerConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let versions: &[&SupportedProtocolVersion] = match tls.oldest {
        TlsVersion::Tls12 => &[&TLS13, &TLS12],
        TlsVersion::Tls13 => &[&TLS13],
    };
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .map_err(|error| error.to_string())?;
    let asks = tls.clients != Clients::Off;
    let builder = match authorities.filter(|_| asks) {
        None if asks => return Err("nobody is known who signs callers' certificates".to_owned()),
        None => builder.with_no_client_auth(),
        Some(roots) => builder.with_client_cert_verifier(Arc::new(Listed::new(tls, roots, provider)?)),
    };
    let mut config = builder.with_cert_resolver(Arc::new(ByName(certificates)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    if asks {
        // A resumed session would skip what is asked of certificates.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(config)
}

/// How operators are met: HTTP/1.1, by one certificate.
pub(super) fn for_operators(own: &Shown) -> Result<ServerConfig, String> {
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_no_client_auth();
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(own.key.clone())));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// How services are met: HTTP/1.1, by names that `authorities` vouch for.
pub(super) fn for_services(authorities: Arc<RootCertStore>, own: Option<&Shown>) -> Result<ClientConfig, String> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(authorities);
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some(own) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own.key.clone()))),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Picks the certificate that has the name which a caller asks for, and a key that the caller can check.
#[derive(Debug)]
struct ByName(Vec<Shown>);

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let is_usable = |one: &&Shown| one.key.key.choose_scheme(hello.signature_schemes()).is_some();
        let named = |name| self.0.iter().filter(|one| one.covers(name)).find(is_usable);
        let found = hello.server_name().and_then(named).or_else(|| self.0.iter().find(is_usable));
        found.or(self.0.first()).map(|one| one.key.clone())
    }
}

/// Verifies a caller's certificate, and that its owner is one of those who are allowed.
#[derive(Debug)]
struct Listed {
    signed: Arc<dyn ClientCertVerifier>,
    /// None: whoever has a signed one.
    names: Vec<ClientName>,
}

impl Listed {
    fn new(tls: &Tls, roots: Arc<RootCertStore>, provider: Arc<CryptoProvider>) -> Result<Self, String> {
        let mut builder = WebPkiClientVerifier::builder_with_provider(roots, provider);
        if tls.clients == Clients::Optional {
            builder = builder.allow_unauthenticated();
        }
        let signed = builder.build().map_err(|error| error.to_string())?;
        Ok(Self { signed, names: tls.client_names.clone() })
    }
}

impl ClientCertVerifier for Listed {
    fn offer_client_auth(&self) -> bool {
        self.signed.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.signed.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.signed.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.signed.verify_client_cert(end_entity, intermediates, now)?;
        let is_allowed =
            self.names.is_empty() || Names::of(end_entity).is_some_and(|names| names.are_among(&self.names));
        if is_allowed {
            Ok(verified)
        } else {
            Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signed.supported_verify_schemes()
    }
}
