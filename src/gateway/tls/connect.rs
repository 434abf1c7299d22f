//! Reaching a service: TCP, and TLS where its address says https.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::time::timeout;
use tokio_rustls::{TlsConnector, TlsStream};
use tower::Service;

use super::Certificates;
use super::stream::{Secured, Stream};

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
    /// For all of it: the address, the connection, the handshake.
    patience: Duration,
}

impl Connector {
    pub(in crate::gateway) fn new(certificates: Arc<Certificates>, patience: Duration) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_connect_timeout(Some(patience));
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        Self { tcp, certificates, offer: Offer::Http1, patience }
    }

    /// The same, for another protocol.
    pub(in crate::gateway) fn offering(&self, offer: Offer) -> Self {
        Self { offer, ..self.clone() }
    }

    async fn connect(mut self, uri: Uri) -> Result<Stream, BoxError> {
        let is_encrypted = uri.scheme() == Some(&Scheme::HTTPS);
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let stream = self.tcp.call(uri).await?.into_inner();
        if !is_encrypted {
            return Ok(Stream::Plain(stream));
        }
        // The name is the address's own: what the service must prove is that it is the one we were sent to.
        let name = ServerName::try_from(host).map_err(io::Error::other)?;
        let mut config = self.certificates.for_services();
        if self.offer != Offer::Http1 {
            // What it shares with others, such as its certificates, is not copied.
            Arc::make_mut(&mut config).alpn_protocols = self.offer.names();
        }
        let connected = TlsConnector::from(config).connect(name, stream).await?;
        let http2 = connected.get_ref().1.alpn_protocol() == Some(b"h2");
        let secured = Secured { certificate: None, http2 };
        Ok(Stream::Tls(Box::new(TlsStream::Client(connected)), secured))
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let patience = self.patience;
        let connecting = self.clone().connect(uri);
        Box::pin(async move {
            let connected = timeout(patience, connecting).await;
            let late = |_| io::Error::new(io::ErrorKind::TimedOut, "no connection in time");
            Ok(TokioIo::new(connected.map_err(late)??))
        })
    }
}
