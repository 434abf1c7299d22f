//! Certificates made for a test, callers that speak TLS, and the settings of a gateway that does.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bifocal::settings::Value;
use figment::value::Dict;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType, date_time_ymd};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::support::*;

/// Signs certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

/// A certificate and its key, in PEM form.
#[derive(Clone)]
pub(crate) struct Issued {
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// For names: URIs have a `:`.
    pub(crate) fn issue(&self, names: &[&str]) -> Issued {
        self.issue_until(names, 2100)
    }

    pub(super) fn issue_until(&self, names: &[&str], year: i32) -> Issued {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let name = |name: &str| {
            let text = name.try_into().unwrap();
            if name.contains(':') { SanType::URI(text) } else { SanType::DnsName(text) }
        };
        params.subject_alt_names = names.iter().map(|&one| name(one)).collect();
        (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(year, 1, 1));
        let key = KeyPair::generate().unwrap();
        Issued { chain: params.signed_by(&key, &self.issuer).unwrap().pem(), key: key.serialize_pem() }
    }

    pub(super) fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
        Arc::new(roots)
    }
}

impl Issued {
    pub(crate) fn write(&self, folder: &Path, name: &str) {
        write(&folder.join(format!("{name}.pem")), &self.chain);
        write(&folder.join(format!("{name}.key")), &self.key);
    }

    pub(super) fn der(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let chain = CertificateDer::from_pem_slice(self.chain.as_bytes()).unwrap();
        (vec![chain], PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap())
    }
}

/// A text setting that names a file of the folder.
pub(super) fn file(folder: &Path, name: &str) -> Value {
    Value::from(folder.join(name).to_str().unwrap())
}

/// Settings with TLS on a free port; `names` are those of pairs in the folder.
pub(super) fn with_tls(folder: &Path, names: &[&str]) -> Vec<(&'static str, Value)> {
    let pair = |name: &&str| {
        Value::from(Dict::from([
            ("chain".to_owned(), file(folder, &format!("{name}.pem"))),
            ("key".to_owned(), file(folder, &format!("{name}.key"))),
        ]))
    };
    vec![
        ("tls.listen", Value::from("127.0.0.1:0")),
        ("tls.certificates", Value::from(names.iter().map(pair).collect::<Vec<_>>())),
    ]
}

/// A caller that speaks TLS.
pub(super) struct Caller {
    pub(super) roots: Arc<RootCertStore>,
    pub(super) alpn: &'static [&'static str],
    pub(super) versions: &'static [&'static SupportedProtocolVersion],
    /// What it shows when it is asked.
    pub(super) own: Option<Issued>,
}

impl Caller {
    pub(super) fn new(trusts: &Authority) -> Self {
        Self { roots: trusts.roots(), alpn: &["http/1.1"], versions: rustls::ALL_VERSIONS, own: None }
    }

    pub(super) fn showing(trusts: &Authority, own: Issued) -> Self {
        Self { own: Some(own), ..Self::new(trusts) }
    }

    pub(super) fn config(&self) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(self.versions)
            .unwrap()
            .with_root_certificates(self.roots.clone());
        let mut config = match &self.own {
            Some(own) => {
                let (chain, key) = own.der();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = self.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }

    pub(super) async fn connect(&self, addr: SocketAddr, name: &str) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(addr).await?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        TlsConnector::from(Arc::new(self.config())).connect(name, stream).await
    }

    /// One request on a connection of its own. An error: the gateway or the caller did not want to.
    pub(super) async fn ask(&self, addr: SocketAddr, name: &str, line: &str, headers: &[&str]) -> io::Result<Answer> {
        let exchange = async {
            let mut stream = self.connect(addr, name).await?;
            let head = [
                &[format!("{line} HTTP/1.1"), format!("Host: {name}"), "Connection: close".to_owned()],
                &*lines(headers),
            ];
            stream.write_all((head.concat().join("\r\n") + "\r\n\r\n").as_bytes()).await?;
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).await?;
            if bytes.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(parse(&bytes, false)) }
        };
        tokio::time::timeout(PATIENCE, exchange).await.expect("no answer")
    }
}

fn lines(headers: &[&str]) -> Vec<String> {
    headers.iter().map(|&header| header.to_owned()).collect()
}
