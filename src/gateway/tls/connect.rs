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
use crate::gateway::presence::Asking;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What is offered to speak where there is TLS (RFC 7301).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) enum Offer {
    Http1,
    Http2,
    /// HTTP/2 if the service can.
    Both,
}

impl Offer {
    fn names(self) -> Vec<Vec<u8>> {
        let names: &[&[u8]] = match self {
            Self::Http1 => &[b"http/1.1"],
            Self::Http2 => &[b"h2"],
            Self::Both => &[b"h2", b"http/1.1"],
        };
        names.iter().map(|name| name.to_vec()).collect()
    }
}

/// Makes connections to services.
#[derive(Debug, Clone)]
pub(in crate::gateway) struct Connector {
    tcp: HttpConnector,
    certificates: Arc<Certificates>,
    offer: Offer,
    /// When services that are silent are asked whether they are there.
    pub(in crate::gateway) asking: Asking,
}

impl Connector {
    /// `peer`: the time in which it is noticed that a service has vanished.
    pub(in crate::gateway) fn new(certificates: Arc<Certificates>, peer: Duration) -> Self {
        let asking = Asking::within(peer);
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        asking.services_of(&mut tcp);
        tcp.enforce_http(false);
        Self { tcp, certificates, offer: Offer::Http1, asking }
    }

    /// The same, for another protocol.
    pub(in crate::gateway) fn offering(&self, offer: Offer) -> Self {
        Self { offer, ..self.clone() }
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
        let mut config = self.certificates.for_services();
        if self.offer != Offer::Http1 {
            // What it shares with others, such as its certificates, is not copied.
            Arc::make_mut(&mut config).alpn_protocols = self.offer.names();
        }
        let connected = TlsConnector::from(config).connect(name, stream).await?;
        let http2 = connected.get_ref().1.alpn_protocol() == Some(b"h2");
        let secured = Secured { certificate: None, certified: None, http2 };
        Ok(Stream::Tls(Box::new(TlsStream::Client(connected)), secured))
    }
}
