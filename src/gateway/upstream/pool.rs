//! Connections to services, kept for the next request.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::Uri;
use http::uri::{Authority, Scheme};
use hyper::client::conn::http1::{self, SendRequest};
use tower::{Service, ServiceExt};

use super::payload::Payload;
use crate::gateway::tls::Connector;

/// Below the idle time at which common servers close, so that few requests meet a closing connection.
const LONGEST_IDLE: Duration = Duration::from_secs(4);
/// Response heads larger than this are a service's mistake.
pub(super) const LARGEST_HEAD: usize = 256 << 10;

/// Why there is no connection.
pub(super) type ConnectError = Box<dyn Error + Send + Sync>;

/// What a connection leads to.
type Place = (Option<Scheme>, Authority);

/// Connections by where they lead to.
#[derive(Debug)]
pub(super) struct Pool {
    connector: Connector,
    idle: Mutex<HashMap<Place, Vec<Idle>>>,
}

#[derive(Debug)]
struct Idle {
    sender: SendRequest<Payload>,
    since: Instant,
}

/// A connection for one request.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) sender: SendRequest<Payload>,
    /// Whether it has served before: then its other end may be about to close it.
    pub(super) is_used: bool,
    place: Place,
    pool: Arc<Pool>,
}

impl Pool {
    pub(super) fn new(connector: Connector) -> Self {
        Self { connector, idle: Mutex::default() }
    }

    /// A connection to where `uri` is: the one used last, or a new one.
    ///
    /// # Errors
    /// There is none, and a new one cannot be made.
    pub(super) async fn connection(self: &Arc<Self>, uri: &Uri) -> Result<Connection, ConnectError> {
        let authority = uri.authority().cloned().ok_or("the address names no host")?;
        let place = (uri.scheme().cloned(), authority);
        if let Some(sender) = self.take(&place) {
            return Ok(Connection { sender, is_used: true, place, pool: self.clone() });
        }
        let sender = self.connect(uri.clone()).await?;
        Ok(Connection { sender, is_used: false, place, pool: self.clone() })
    }

    async fn connect(&self, uri: Uri) -> Result<SendRequest<Payload>, ConnectError> {
        let io = self.connector.clone().ready().await?.call(uri).await?;
        let (mut sender, connection) =
            http1::Builder::new().max_buf_size(LARGEST_HEAD).max_headers(256).handshake(io).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to a service ended");
            }
        });
        sender.ready().await?;
        Ok(sender)
    }

    fn take(&self, place: &Place) -> Option<SendRequest<Payload>> {
        let mut idle = self.idle();
        let waiting = idle.get_mut(place)?;
        // The newest first: the others may rest until they are too old.
        let newest_first = (0..waiting.len()).rev();
        let free = newest_first.into_iter().find(|at| waiting.get(*at).is_some_and(|one| one.sender.is_ready()))?;
        let one = waiting.remove(free);
        (one.since.elapsed() < LONGEST_IDLE).then_some(one.sender)
    }

    fn put(&self, place: Place, sender: SendRequest<Payload>) {
        if !sender.is_closed() {
            self.idle().entry(place).or_default().push(Idle { sender, since: Instant::now() });
        }
    }

    /// Closes what nobody has used for long.
    pub(super) fn forget_idle(&self) {
        let now = Instant::now();
        self.idle().retain(|_, waiting| {
            waiting.retain(|one| !one.sender.is_closed() && now.duration_since(one.since) < LONGEST_IDLE);
            !waiting.is_empty()
        });
    }

    /// How often that is worth doing.
    pub(super) const fn sweep() -> Duration {
        LONGEST_IDLE
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, HashMap<Place, Vec<Idle>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// Gives it back: its answer has been read to the end.
    pub(super) fn give_back(self) {
        let Self { sender, place, pool, .. } = self;
        pool.put(place, sender);
    }
}
