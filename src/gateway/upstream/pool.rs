//! Connections to endpoints, kept for the next request.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper_util::rt::TokioIo;

use super::endpoint::{Endpoint, Kept, Open};
use super::line::{Content, Line};
use super::policy::Policy;
use super::registry::Clusters;
use crate::gateway::tls::{Connector, Stream};
use crate::plan::names::Names;

/// How often connections are looked at that nobody uses.
const SWEEP: Duration = Duration::from_secs(4);
/// Between two looks for room.
const ROOM: Duration = Duration::from_millis(5);

/// Why there is no connection.
pub(super) type ConnectError = Box<dyn Error + Send + Sync>;

/// Connections of one thread, by the endpoint that they lead to.
#[derive(Debug)]
pub(super) struct Pool {
    connector: Connector,
    clusters: Arc<Clusters>,
    idle: Mutex<Names<u64, Vec<Idle>>>,
}

#[derive(Debug)]
struct Idle {
    line: Line,
    since: Instant,
    longest: Duration,
    open: Open,
    _kept: Kept,
}

/// A connection for one request.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) line: Line,
    /// Whether it has served before: then its other end may be about to close it.
    pub(super) is_used: bool,
    pub(super) open: Open,
    /// How many may be kept, and how long.
    pub(super) keep: (usize, Duration),
    pub(super) pool: Arc<Pool>,
}

impl Pool {
    pub(super) fn new(connector: Connector, clusters: Arc<Clusters>) -> Self {
        Self { connector, clusters, idle: Mutex::default() }
    }

    /// The connection used last, if it may be used again.
    ///
    /// Whether its other end has closed it meanwhile is seen when it is used: before anything is written.
    pub(super) fn take(self: &Arc<Self>, endpoint: &Endpoint, policy: &Policy) -> Option<Connection> {
        // The others may rest until they are too old.
        let newest = self.idle().get_mut(&endpoint.id)?.pop_if(|one| one.since.elapsed() < one.longest)?;
        let Idle { line, open, .. } = newest;
        Some(Connection { line, is_used: true, open, keep: (policy.idle, policy.idle_time), pool: self.clone() })
    }

    /// A new connection.
    ///
    /// # Errors
    /// None can be made.
    pub(super) async fn connect(
        self: &Arc<Self>,
        endpoint: &Arc<Endpoint>,
        policy: &Policy,
    ) -> Result<Connection, ConnectError> {
        let open = loop {
            if let Some(open) = endpoint.open(policy) {
                break open;
            }
            // Fewer requests are in flight than connections may be open: some thread keeps one for later, or is about to
            // close it.
            if !self.clusters.make_room(endpoint) {
                tokio::time::sleep(ROOM).await;
            }
        };
        let line = Line::new(self.dial(endpoint, policy).await?.into_inner());
        Ok(Connection { line, is_used: false, open, keep: (policy.idle, policy.idle_time), pool: self.clone() })
    }

    /// A connection that is nobody's yet.
    ///
    /// # Errors
    /// None can be made.
    pub(super) async fn dial(&self, endpoint: &Endpoint, policy: &Policy) -> Result<TokioIo<Stream>, ConnectError> {
        self.connector.connect(&endpoint.address, endpoint.place.host.host(), policy.connect).await
    }

    /// Closes a connection that is kept for later. Whether there was one.
    pub(super) fn give_up(&self, endpoint: u64) -> bool {
        self.idle().get_mut(&endpoint).is_some_and(|kept| kept.pop().is_some())
    }

    /// Closes all connections to an endpoint that are kept for later.
    pub(super) fn forget(&self, endpoint: u64) {
        let forgotten = self.idle().remove(&endpoint);
        drop(forgotten);
    }

    fn put(&self, line: Line, open: Open, (most, longest): (usize, Duration)) {
        let endpoint = open.0.clone();
        if let Some(kept) = endpoint.keep(most) {
            let idle = Idle { line, since: Instant::now(), longest, open, _kept: kept };
            self.idle().entry(endpoint.id).or_default().push(idle);
        }
    }

    /// Closes what nobody has used for long.
    pub(super) fn forget_idle(&self) {
        let now = Instant::now();
        self.idle().retain(|_, waiting| {
            waiting.retain_mut(|one| now.duration_since(one.since) < one.longest && one.line.is_open());
            !waiting.is_empty()
        });
    }

    /// How often that is worth doing.
    pub(super) const fn sweep() -> Duration {
        SWEEP
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Names<u64, Vec<Idle>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// Gives it back: this answer has been read to the end.
    pub(super) fn give_back(self, answer: &Content) {
        let Self { mut line, open, keep, pool, .. } = self;
        if line.settle(answer) {
            pool.put(line, open, keep);
        }
    }
}
