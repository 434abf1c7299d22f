//! The services behind: which endpoint is asked, over connections that are kept, bounded in time and number.
//!
//! [`registry`] has the cluster of every version, [`cluster`] picks an [`endpoint`] of it by [`balance`] as its [`policy`]
//! says, [`attempt`] sends, and sends again where [`retry`] and [`budget`] allow it, over a [`mod@line`] of a [`pool`], or
//! over [`http2`];
//! [`health`] and [`resolve`] look after endpoints meanwhile, [`report`] tells of them.
//!
//! A service sees its own authority as `Host` (it may serve several names); the caller's is in `X-Forwarded-Host`.

mod asking;
mod attempt;
mod balance;
mod budget;
mod clock;
mod cluster;
mod deadline;
mod direct;
mod endpoint;
mod failure;
mod health;
mod http1;
mod http2;
mod line;
mod payload;
mod policy;
mod pool;
mod registry;
mod replay;
mod report;
mod resolve;
mod retry;
mod switch;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Response, StatusCode, Uri};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

pub(super) use cluster::Cluster;
pub(super) use endpoint::Endpoint;
pub(super) use payload::Payload;
pub(super) use registry::Clusters;
pub(super) use report::Counts;

use super::body::Guarded;
use super::tls::Connector;
use super::trouble::{Kind, Trouble};
use attempt::Attempts;
use deadline::Until;
use endpoint::Reason;
use failure::{refusal, trouble};
use http2::Multiplexer;
use pool::Pool;

/// Connections to all services, of one thread.
#[derive(Debug)]
pub(super) struct Upstreams {
    pool: Arc<Pool>,
    http2: Arc<Multiplexer>,
    /// How long a response may take instead of what policies say.
    patience: Option<Duration>,
}

/// A request to a service.
pub(super) struct Outgoing {
    pub(super) method: Method,
    /// Path and query.
    pub(super) target: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Payload,
    /// How long the response's body may be silent; none: as long as those of the service may.
    pub(super) silence: Option<Duration>,
}

/// What became of a request on its way to a service.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// The last one that was to have it.
    pub(super) endpoint: Option<Arc<Endpoint>>,
    /// How many times it was tried.
    pub(super) attempts: usize,
    /// Whether an endpoint has been asked and not answered yet.
    is_asked: bool,
    /// Whether an attempt that is over may have reached a service.
    is_taken: bool,
}

impl Upstreams {
    pub(super) fn new(connector: Connector, clusters: &Arc<Clusters>) -> Self {
        let http2 = Arc::new(Multiplexer::new(connector.clone()));
        let pool = Arc::new(Pool::new(connector, clusters.clone()));
        clusters.add_pool(&pool);
        Self { pool, http2, patience: None }
    }

    /// The same, for requests whose answers take as long as somebody else says.
    pub(super) fn patient(connector: Connector, clusters: &Arc<Clusters>, patience: Duration) -> Self {
        Self { patience: Some(patience), ..Self::new(connector, clusters) }
    }

    /// Closes connections that nobody uses, as long as there are any to be had.
    pub(super) fn forget_idle(&self, runtime: &Handle) {
        let (pool, http2) = (Arc::downgrade(&self.pool), Arc::downgrade(&self.http2));
        runtime.spawn(async move {
            loop {
                sleep(Pool::sweep()).await;
                let (Some(pool), Some(http2)) = (pool.upgrade(), http2.upgrade()) else { return };
                pool.forget_idle();
                http2.forget_idle();
            }
        });
    }

    /// Sends a request and waits for the response's head. Its body streams, but never in silence for too long.
    ///
    /// # Errors
    /// No endpoint can be reached or may be asked, none answers in time, or it answers what is not HTTP.
    pub(super) async fn send(
        &self,
        cluster: &Arc<Cluster>,
        request: Outgoing,
        sent: &mut Sent,
    ) -> Result<Response<Body>, Trouble> {
        let admitted = cluster.admit().map_err(|refused| refusal(refused, cluster).unsent(true))?;
        let policy = &cluster.policy;
        let silence = request.silence.unwrap_or(policy.stream);
        let begun = Instant::now();
        let ends = begun + self.patience.unwrap_or(policy.response);
        let answered = {
            let attempts = Attempts { pool: &self.pool, http2: &self.http2, cluster, ends };
            let mut answered = pin!(attempts.send(request, admitted, sent));
            let mut alarm = pin!(tokio::time::sleep_until(ends));
            let answered = poll_fn(|cx| match answered.as_mut().poll(cx) {
                Poll::Ready(answered) => Poll::Ready(Some(answered)),
                Poll::Pending => alarm.as_mut().poll(cx).map(|()| None),
            });
            answered.await
        };
        let name = sent.endpoint.as_ref().map_or("", |endpoint| endpoint.name());
        let response = match answered {
            None => {
                if let Some(endpoint) = sent.endpoint.as_ref().filter(|_| sent.is_asked) {
                    cluster.failed(endpoint, Reason::Timeout);
                }
                let late = Trouble::new(Kind::UpstreamTimeout).cause(format!("no response head from {name}"));
                return Err(late.unsent(!sent.is_asked && !sent.is_taken));
            }
            Some(Err(lost)) => return Err(trouble(&lost, cluster, name).unsent(!sent.is_taken)),
            Some(Ok(response)) => response,
        };
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Trouble::new(Kind::UpstreamContract).cause("101 though no upgrade was asked for"));
        }
        Ok(response.map(|body| {
            let guarded = Guarded::new(body, u64::MAX, silence);
            match policy.total {
                Some(total) => Body::new(Until::new(guarded, begun + total)),
                None => Body::new(guarded),
            }
        }))
    }
}

/// What is asked for on a service: its base path, a request's path and its query, which may well be those of `asked`.
pub(super) fn target(prefix: &str, asked: &Uri, path: &str, query: Option<&str>) -> Result<Uri, Trouble> {
    let same = asked.path_and_query().filter(|asked| prefix.is_empty() && asked.as_str().starts_with('/'));
    if let Some(same) = same.filter(|asked| asked.path() == path && asked.query() == query) {
        // An empty path before a fragment is told as `/`, but not written so.
        let is_root = path == "/" && query.is_none();
        return Ok(Uri::from(if is_root { PathAndQuery::from_static("/") } else { same.clone() }));
    }
    let mut whole = String::with_capacity(prefix.len() + path.len() + query.map_or(0, |query| query.len() + 1));
    whole.extend([prefix, path]);
    if let Some(query) = query {
        whole.extend(["?", query]);
    }
    let target = PathAndQuery::try_from(whole).map(Uri::from);
    target.map_err(|error| Trouble::new(Kind::Value).detail("the request's address cannot be written").cause(error))
}
