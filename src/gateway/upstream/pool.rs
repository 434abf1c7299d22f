//! Connections to services, kept for the next request.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::Uri;
use http::uri::{Authority, Scheme};
use tower::{Service, ServiceExt};

use super::http1::Http1;
use crate::gateway::tls::Connector;

/// Below the idle time at which common servers close, so that few requests meet a closing connection.
const LONGEST_IDLE: Duration = Duration::from_secs(4);

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
    http: Http1,
    since: Instant,
}

/// A connection for one request.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) http: Http1,
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
        if let Some(http) = self.take(&place) {
            return Ok(Connection { http, is_used: true, place, pool: self.clone() });
        }
        let http = self.connect(uri.clone()).await?;
        Ok(Connection { http, is_used: false, place, pool: self.clone() })
    }

    async fn connect(&self, uri: Uri) -> Result<Http1, ConnectError> {
        let io = self.connector.clone().ready().await?.call(uri).await?;
        Ok(Http1::begin(io).await?)
    }

    /// Whether its other end has closed it meanwhile is seen when it is used: before anything is written.
    fn take(&self, place: &Place) -> Option<Http1> {
        let mut idle = self.idle();
        let waiting = idle.get_mut(place)?;
        // The newest: the others may rest until they are too old.
        let newest = waiting.pop_if(|one| one.since.elapsed() < LONGEST_IDLE)?;
        Some(newest.http)
    }

    fn put(&self, place: Place, mut http: Http1) {
        if http.settle() {
            self.idle().entry(place).or_default().push(Idle { http, since: Instant::now() });
        }
    }

    /// Closes what nobody has used for long.
    pub(super) fn forget_idle(&self) {
        let now = Instant::now();
        self.idle().retain(|_, waiting| {
            waiting.retain_mut(|one| now.duration_since(one.since) < LONGEST_IDLE && one.http.is_open());
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
        let Self { http, place, pool, .. } = self;
        pool.put(place, http);
    }
}
