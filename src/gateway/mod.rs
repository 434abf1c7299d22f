//! Listeners, negotiation, the life of a request, upstreams, bodies, errors, admin.
//!
//! Read in this order: [`listener`] accepts, [`workers`] serve, [`tls`] shakes hands, [`connection`] tells the protocol and
//! keeps time, [`layers`] is the stack
//! on one screen, [`exchange`] the life of a request, [`translate`] what HTTP needs around a translation, [`rescue`] how
//! errors become responses. [`reload`] replaces what [`generation`] holds.

mod connection;
mod frames;
mod framing;
mod listener;
mod tls;
mod wire;
mod workers;

mod aside;
mod layers;
mod panics;
mod record;
mod rescue;
mod target;
mod trouble;

mod asynchronous;
mod body;
mod calls;
mod decide;
mod events;
mod exchange;
mod fallback;
mod grpc;
mod headers;
mod idempotency;
mod location;
mod merge;
mod receive;
mod restate;
mod streaming;
mod translate;
mod tunnel;
mod upgrade;
mod upstream;
mod validators;

mod build;
mod generation;
mod last_good;
mod reload;
mod status;
mod watch;

mod access_log;
mod admin;
mod ledger;
mod metrics;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch as channel};

pub(crate) use access_log::rfc3339;
pub use listener::BindError;

use crate::settings::Settings;
use crate::store::{Keeper, StoreError};
use access_log::AccessLog;
use admin::Admin;
use asynchronous::Asynchronous;
use asynchronous::runner::Runner;
use generation::Current;
use last_good::LastGood;
use layers::DataPlane;
use ledger::Ledger;
use listener::Serving;
use metrics::Metrics;
use reload::Reloader;
use tls::Certificates;
use upstream::Upstreams;
use watch::Hangup;
use workers::{Seat, Workers};

/// What all requests share.
#[derive(Debug)]
struct App {
    settings: Arc<Settings>,
    current: Arc<Current>,
    reloader: Arc<Reloader>,
    /// Connections to services: each worker has its own.
    upstreams: Upstreams,
    certificates: Arc<Certificates>,
    in_flight: Arc<Semaphore>,
    /// What has changed to another protocol and is open.
    tunnels: Arc<Semaphore>,
    /// This process in `Via`.
    via: HeaderValue,
    metrics: Arc<Metrics>,
    access: Arc<AccessLog>,
    ledger: Arc<Ledger>,
    asynchronous: Arc<Asynchronous>,
    draining: Arc<AtomicBool>,
    /// The version header's name, where it is not one that begins as all of ours do.
    own_header: Option<HeaderName>,
}

impl App {
    /// Removes what others say in our name.
    fn forget_own(&self, headers: &mut HeaderMap) {
        if let Some(name) = &self.own_header {
            headers.remove(name);
        }
    }

    /// The same for another worker.
    fn share(&self) -> Self {
        Self {
            settings: self.settings.clone(),
            current: self.current.clone(),
            reloader: self.reloader.clone(),
            upstreams: Upstreams::new(self.settings.timeouts, self.certificates.clone()),
            certificates: self.certificates.clone(),
            in_flight: self.in_flight.clone(),
            tunnels: self.tunnels.clone(),
            via: self.via.clone(),
            metrics: self.metrics.clone(),
            access: self.access.clone(),
            ledger: self.ledger.clone(),
            asynchronous: self.asynchronous.clone(),
            draining: self.draining.clone(),
            own_header: self.own_header.clone(),
        }
    }
}

/// A gateway that listens and has read its rules.
#[derive(Debug)]
pub struct Server {
    app: Arc<App>,
    workers: Workers,
    listeners: Vec<TcpListener>,
    tls_listeners: Vec<TcpListener>,
    admin: TcpListener,
    hangup: Hangup,
}

/// Why a gateway cannot start.
#[derive(Debug)]
pub enum StartError {
    /// An address cannot be listened on.
    Bind(BindError),
    /// What is wrong with the files of certificates and keys, one line each.
    Certificates(Vec<String>),
    /// The access log cannot be opened.
    AccessLog(io::Error),
    /// What must survive a restart cannot be kept.
    Store(StoreError),
    /// There is no thread to serve with.
    Thread(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(error) => error.fmt(f),
            Self::Certificates(problems) => write!(f, "the certificates are not valid\n{}", problems.join("\n")),
            Self::AccessLog(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::Thread(error) => write!(f, "cannot start a thread: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

impl From<BindError> for StartError {
    fn from(error: BindError) -> Self {
        Self::Bind(error)
    }
}

impl Server {
    /// Listens on every address and reads the rules once. Rules that are refused do not keep it from starting: what is
    /// kept from before serves, or nothing does and the gateway is not ready.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn bind(settings: Settings) -> Result<Self, StartError> {
        // Listened for from here on: a SIGHUP before anybody listens would end the process.
        let hangup = Hangup::listen();
        let mut listeners = Vec::new();
        for address in &settings.listen {
            listeners.push(listener::bind(*address, "listen").await?);
        }
        let mut tls_listeners = Vec::new();
        for address in &settings.tls.listen {
            tls_listeners.push(listener::bind(*address, "tls.listen").await?);
        }
        let admin = listener::bind(settings.admin, "admin").await?;
        let access = AccessLog::open(&settings.log.access).map_err(StartError::AccessLog)?;
        let current = Arc::new(Current::new());
        let metrics = Arc::new(Metrics::new());
        let certificates = Certificates::load(&settings, metrics.clone()).map_err(StartError::Certificates)?;
        let certificates = Arc::new(certificates);
        let kept = LastGood::new(settings.state.as_deref());
        let reloader = Arc::new(Reloader::new(settings.rules.clone(), kept, current.clone(), metrics.clone()));
        reloader.reload("start").await;
        let asynchronous = Arc::new(Asynchronous::new(Keeper::new(settings.state.clone())));
        let services = current.snapshot();
        if services.services.values().any(|serving| serving.plan.keeps_requests()) {
            asynchronous.keeper.store().map_err(StartError::Store)?;
        }
        let via = HeaderValue::from_str(&format!("1.1 bifocal-{:016x}", headers::random()));
        let app = Arc::new(App {
            current,
            reloader,
            upstreams: Upstreams::new(settings.timeouts, certificates.clone()),
            certificates,
            in_flight: Arc::new(Semaphore::new(settings.limits.in_flight)),
            tunnels: Arc::new(Semaphore::new(settings.limits.tunnels)),
            via: via.unwrap_or(HeaderValue::from_static("1.1 bifocal")),
            metrics,
            access: Arc::new(access),
            ledger: Arc::new(Ledger::new()),
            asynchronous,
            draining: Arc::default(),
            own_header: Some(settings.version_header.clone()).filter(|name| !headers::is_managed(name)),
            settings: Arc::new(settings),
        });
        let workers = Workers::start(&app).map_err(StartError::Thread)?;
        Ok(Self { app, workers, listeners, tls_listeners, admin, hangup })
    }

    /// The first address that callers reach, without TLS where there is one.
    pub fn addr(&self) -> SocketAddr {
        let mut listeners = self.listeners.iter().chain(&self.tls_listeners);
        listeners.next().and_then(|listener| listener.local_addr().ok()).unwrap_or(self.app.settings.admin)
    }

    /// Every address that callers reach without TLS.
    pub fn addrs(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Every address that callers reach with TLS.
    pub fn tls_addrs(&self) -> Vec<SocketAddr> {
        self.tls_listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// The admin address.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin.local_addr().unwrap_or(self.app.settings.admin)
    }

    /// The number of the generation that serves; 0: none, nothing could be loaded.
    pub fn generation(&self) -> u64 {
        self.app.current.snapshot().number
    }

    /// Everything that is wrong with the rules as they were last read, as text.
    pub fn complaints(&self) -> Vec<String> {
        self.app.reloader.status().complaints().map(str::to_owned).collect()
    }

    /// Serves until `shutdown` is over, then finishes what is in flight, for as long as the drain time allows. Says
    /// whether all of it was finished.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> bool {
        let Self { app, workers, listeners, tls_listeners, admin, hangup } = self;
        let (stop, stopped) = channel::channel(false);
        let (stop_admin, admin_stopped) = channel::channel(false);
        let (all_gone, alive) = channel::channel(());
        let serving = Serving {
            certificates: None,
            limits: app.settings.limits,
            timeouts: app.settings.timeouts,
            metrics: app.metrics.clone(),
            stop: stopped.clone(),
            alive,
        };
        let (_, admin_alive) = channel::channel(());
        let admin_serving = Serving {
            stop: admin_stopped,
            alive: admin_alive,
            // The operator's own door must not be blocked by callers, and so has its own numbers.
            metrics: Arc::new(Metrics::new()),
            ..serving.clone()
        };
        let tls_serving = Serving { certificates: Some(app.certificates.clone()), ..serving.clone() };
        let watched = (app.reloader.clone(), app.certificates.clone());
        tokio::spawn(watch::watch(watched, app.settings.reload, hangup, stopped));
        let work = match app.asynchronous.take_waiting() {
            Some(waiting) => {
                let (runner, work) = Runner::new(&app, waiting);
                if let Err(error) = runner.recover().await {
                    tracing::error!(%error, "operations of before cannot be taken up");
                }
                Some((tokio::spawn(runner.run()), work))
            }
            None => None,
        };
        let door = Seat::new(Handle::current(), Admin::new(app.clone()));
        let admin = tokio::spawn(listener::accept(admin, vec![door], admin_serving));
        let plain = listeners.into_iter().map(|listener| (listener, serving.clone()));
        let secured = tls_listeners.into_iter().map(|listener| (listener, tls_serving.clone()));
        let open = |(listener, serving)| {
            let seats = workers.seats(|app| DataPlane(app.clone()));
            tokio::spawn(listener::accept(listener, seats, serving))
        };
        let doors: Vec<_> = plain.chain(secured).map(open).collect();
        drop((serving, tls_serving));

        shutdown.await;
        app.draining.store(true, Ordering::Release);
        tracing::info!("stopping: no new connections, finishing what is in flight");
        let _ = stop.send(true);
        for door in doors {
            // A listener's task ends when told so; a panic there is an end, too.
            let _ = door.await;
        }
        app.asynchronous.end();
        let finished = async {
            all_gone.closed().await;
            if let Some((runner, work)) = work {
                // Nobody asks for anything any more; what has begun comes to its end.
                runner.abort();
                let _ = runner.await;
                work.finished().await;
            }
        };
        let drained = tokio::time::timeout(app.settings.timeouts.drain, finished).await.is_ok();
        if !drained {
            tracing::warn!("the drain time is over; cutting what is left");
        }
        let _ = stop_admin.send(true);
        let _ = admin.await;
        app.access.flush();
        drained
    }
}
