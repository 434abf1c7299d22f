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

/// Makes connections to services.
#[derive(Debug, Clone)]
pub(in crate::gateway) struct Connector {
    tcp: HttpConnector,
    certificates: Arc<Certificates>,
    /// For all of it: the address, the connection, the handshake.
    patience: Duration,
}

impl Connector {
    pub(in crate::gateway) fn new(certificates: Arc<Certificates>, patience: Duration) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_connect_timeout(Some(patience));
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        Self { tcp, certificates, patience }
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
        let connected = TlsConnector::from(self.certificates.for_services()).connect(name, stream).await?;
        let secured = Secured { certificate: None, http2: false };
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
