//! Reaching a service: TCP, and TLS where its address says https.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::time::timeout;
use tokio_rustls::{TlsConnector, TlsStream};
use tower::{Service, ServiceExt};

use super::Certificates;
use super::stream::{Secured, Stream};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Makes connections to services.
#[derive(Debug, Clone)]
pub(in crate::gateway) struct Connector {
    tcp: HttpConnector,
    certificates: Arc<Certificates>,
}

impl Connector {
    pub(in crate::gateway) fn new(certificates: Arc<Certificates>) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        Self { tcp, certificates }
    }

    /// A connection to where `address` is. With TLS, whoever answers must have a certificate for `host`. All of it (the
    /// address, the connection, the handshake) takes no longer than `patience`.
    ///
    /// # Errors
    /// It is not reached, not in time, or does not prove who it is.
    pub(in crate::gateway) async fn connect(
        &self,
        address: &Uri,
        host: &str,
        patience: Duration,
    ) -> Result<TokioIo<Stream>, BoxError> {
        let connected = timeout(patience, self.reach(address.clone(), host, patience)).await;
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "no connection in time");
        Ok(TokioIo::new(connected.map_err(late)??))
    }

    async fn reach(&self, address: Uri, host: &str, patience: Duration) -> Result<Stream, BoxError> {
        let is_encrypted = address.scheme() == Some(&Scheme::HTTPS);
        let mut tcp = self.tcp.clone();
        // Of several addresses, each has its share of it.
        tcp.set_connect_timeout(Some(patience));
        let stream = tcp.ready().await?.call(address).await?.into_inner();
        if !is_encrypted {
            return Ok(Stream::Plain(stream));
        }
        // The name is the one that the rules or settings say: the service must prove that it is the one we were sent to.
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).map_err(io::Error::other)?;
        let connected = TlsConnector::from(self.certificates.for_services()).connect(name, stream).await?;
        let secured = Secured { certificate: None, http2: false };
        Ok(Stream::Tls(Box::new(TlsStream::Client(connected)), secured))
    }
}
