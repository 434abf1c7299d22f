//! Asking a service to change to another protocol: on a connection of its own, which is never used for anything else.

use std::error::Error;

use axum::body::Body;
use http::{Request, Response, StatusCode, Uri};
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use tokio::time::timeout;
use tower::{Service, ServiceExt};

use super::http1::LARGEST_HEAD;
use super::{Outgoing, Payload, Unanswered, Upstreams, failure, name_host};
use crate::gateway::body::Guarded;
use crate::gateway::trouble::{Kind, Trouble};

impl Upstreams {
    /// Sends a request that asks for another protocol. With the response comes the connection, where the service agrees.
    ///
    /// # Errors
    /// As of [`Upstreams::send`].
    pub(in crate::gateway) async fn switch(
        &self,
        request: Outgoing,
    ) -> Result<(Response<Body>, Option<Upgraded>), Trouble> {
        let Outgoing { method, uri, mut headers, body, silence } = request;
        name_host(&uri, &mut headers);
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = uri.path_and_query().cloned().map_or_else(Uri::default, Uri::from);
        *request.headers_mut() = headers;
        let answered = timeout(self.timeouts.response, self.ask(&uri, request)).await;
        let late = |_| Trouble::new(Kind::UpstreamTimeout).cause(format!("no response head from {uri}"));
        let mut response = answered.map_err(late)?.map_err(|error| failure(&error, &uri))?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let broken = |error| failure(&Unanswered::Exchange(error), &uri);
            let upgraded = hyper::upgrade::on(&mut response).await.map_err(broken)?;
            return Ok((response.map(|_| Body::empty()), Some(upgraded)));
        }
        Ok((response.map(|body| Body::new(Guarded::new(body, u64::MAX, silence))), None))
    }

    async fn ask(&self, uri: &Uri, request: Request<Payload>) -> Result<Response<hyper::body::Incoming>, Unanswered> {
        let unreached = |error: Box<dyn Error + Send + Sync>| Unanswered::Connect(error);
        let mut connector = self.connector.clone();
        let io = connector.ready().await.map_err(unreached)?.call(uri.clone()).await.map_err(unreached)?;
        let shaking = http1::Builder::new().max_buf_size(LARGEST_HEAD).max_headers(256).handshake(io);
        let (mut sender, connection) = shaking.await.map_err(Unanswered::Exchange)?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "a connection to a service ended");
            }
        });
        sender.send_request(request).await.map_err(Unanswered::Exchange)
    }
}
