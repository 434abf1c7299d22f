//! Asking a service to change to another protocol: on a connection of its own, which is never used for anything else.

use std::sync::Arc;

use axum::body::Body;
use http::{Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use tokio::time::{Instant, timeout_at};

use super::attempt::{Attempts, History};
use super::cluster::Cluster;
use super::endpoint::{Endpoint, Reason};
use super::failure::{Lost, refusal, trouble};
use super::retry::Failed;
use super::{Outgoing, Payload, Sent, Upstreams, clock, http1};
use crate::gateway::body::Guarded;
use crate::gateway::trouble::{Kind, Trouble};

impl Upstreams {
    /// Sends a request that asks for another protocol. With the response comes the connection, where the service agrees.
    ///
    /// # Errors
    /// As of [`Upstreams::send`].
    pub(in crate::gateway) async fn switch(
        &self,
        cluster: &Arc<Cluster>,
        request: Outgoing,
        sent: &mut Sent,
    ) -> Result<(Response<Body>, Option<Upgraded>), Trouble> {
        let Outgoing { method, target, headers, body, silence } = request;
        let _admitted = cluster.admit().map_err(|refused| refusal(refused, cluster))?;
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = target;
        *request.headers_mut() = headers;
        let ends = Instant::now() + cluster.policy.response;
        let attempts = Attempts { pool: &self.pool, http2: &self.http2, cluster, ends };
        let answered = timeout_at(ends, ask(&attempts, request, sent)).await;
        let name = sent.endpoint.as_ref().map_or("", |endpoint| endpoint.name());
        let late = |_| Trouble::new(Kind::UpstreamTimeout).cause(format!("no response head from {name}"));
        let mut response = answered.map_err(late)?.map_err(|lost| trouble(&lost, cluster, name))?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let broken = |error| trouble(&Lost::Exchange(error), cluster, name);
            let upgraded = hyper::upgrade::on(&mut response).await.map_err(broken)?;
            return Ok((response.map(|_| Body::empty()), Some(upgraded)));
        }
        let silence = silence.unwrap_or(cluster.policy.stream);
        Ok((response.map(|body| Body::new(Guarded::new(body, u64::MAX, silence))), None))
    }
}

/// Asks an endpoint; another one only where the first cannot be reached.
async fn ask(
    attempts: &Attempts<'_>,
    mut request: Request<Payload>,
    sent: &mut Sent,
) -> Result<Response<Incoming>, Lost> {
    let cluster = attempts.cluster;
    cluster.ledger.budget.request(clock::now());
    let mut history = History::default();
    let (endpoint, io) = loop {
        let next = history.next.take().or_else(|| cluster.pick(&[], false));
        let endpoint = next.ok_or_else(|| Lost::Refused(cluster.unavailable()))?;
        sent.attempts += 1;
        sent.endpoint = Some(endpoint.clone());
        let waits = cluster.wait().map_err(Lost::Refused)?;
        let connected = attempts.pool.dial(&endpoint, &cluster.policy).await;
        drop(waits);
        match attempts.note(&endpoint, connected) {
            Ok(io) => break (endpoint, io),
            Err(lost) => {
                if !attempts.may_go_on(Failed::Connect, false, &endpoint, &mut history).await {
                    return Err(lost);
                }
            }
        }
    };
    let _slot = endpoint.enter(&cluster.policy).await.ok_or_else(|| Lost::Refused(cluster.overloaded()))?;
    request.headers_mut().insert(header::HOST, endpoint.host.clone());
    let broken = |error| fail(cluster, &endpoint, error);
    let shaking = http1::builder().handshake(io);
    let (mut sender, connection) = shaking.await.map_err(broken)?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection to a service ended");
        }
    });
    sender.send_request(request).await.map_err(broken)
}

fn fail(cluster: &Cluster, endpoint: &Endpoint, error: hyper::Error) -> Lost {
    cluster.failed(endpoint, Reason::Broken);
    Lost::Exchange(error)
}
