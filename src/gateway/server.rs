//! A gateway from its start to its end: doors open, rules read, workers running; then, told to stop, everything in order
//! the other way round.

use std::fmt;
use std::future::{Ready, ready};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::HeaderValue;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch as channel};
use tokio::task::JoinHandle;

use super::access_log::AccessLog;
use super::admin::Desk;
use super::asynchronous::Asynchronous;
use super::asynchronous::runner::Orders;
use super::audit::Audit;
use super::changes::Changes;
use super::doors::{self, Door, Listening, Sockets, Use};
use super::generation::Current;
use super::handover::{Handover, Predecessor};
use super::last_good::LastGood;
use super::layers::DataPlane;
use super::ledger::Ledger;
use super::levels::Levels;
use super::lines::Lines;
use super::listener::{self, BindError, Serving};
use super::messages::{Brokers, Flows};
use super::metrics::Metrics;
use super::overload::Overload;
use super::reload::Reloader;
use super::succession::{Succession, inherit};
use super::telemetry::Telemetry;
use super::tls::{Certificates, Connector};
use super::upstream::{Clusters, Upstreams};
use super::watch::{self, Signals};
use super::workers::Workers;
use super::{App, chance, headers, manager};
use crate::settings::{AdminListen, Settings};
use crate::store::{Keeper, StoreError};

/// A gateway that listens and has read its rules.
#[derive(Debug)]
pub struct Server {
    app: Arc<App>,
    workers: Workers,
    doors: Vec<Door>,
    signals: Signals,
    predecessor: Option<Predecessor>,
}

/// What a gateway finds when it starts.
#[derive(Debug)]
pub(crate) struct Surroundings {
    /// What is told in messages.
    pub(crate) levels: Levels,
    /// Where messages go; none: that is somebody else's.
    pub(crate) messages: Option<Arc<Lines>>,
    /// What is open already.
    pub(crate) sockets: Sockets,
    /// Who served before, and still does.
    pub(crate) predecessor: Option<Predecessor>,
}

/// Why a gateway ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Somebody said so.
    Told,
    /// Another process has taken its place.
    Replaced,
}

impl From<()> for Stop {
    fn from((): ()) -> Self {
        Self::Told
    }
}

/// Why a gateway cannot start.
#[derive(Debug)]
pub enum StartError {
    /// An address cannot be listened on.
    Bind(BindError),
    /// What is wrong with the files of certificates and keys, one line each.
    Certificates(Vec<String>),
    /// The access log or the audit log cannot be opened.
    Log(io::Error),
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
            Self::Log(error) => error.fmt(f),
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
        Self::bind_with(settings, Brokers::new()).await
    }

    /// The same with brokers of the caller's own, beside those of the settings and before those of the same name.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn bind_with(settings: Settings, brokers: Brokers) -> Result<Self, StartError> {
        let (levels, sockets) = (Levels::of_others(), Sockets::default());
        let surroundings = Surroundings { levels, messages: None, sockets, predecessor: None };
        Self::bind_in(settings, surroundings, brokers).await
    }

    /// The same, with what is there already.
    pub(crate) async fn bind_in(
        settings: Settings,
        surroundings: Surroundings,
        brokers: Brokers,
    ) -> Result<Self, StartError> {
        let Surroundings { levels, messages, sockets, predecessor } = surroundings;
        // Listened for from here on: a SIGHUP before anybody listens would end the process.
        let signals = Signals::listen();
        let doors = doors::open(&settings, sockets)?;
        let access = AccessLog::open(&settings.log).map_err(StartError::Log)?;
        let audit = Arc::new(Audit::open(settings.log.audit.as_deref()).map_err(StartError::Log)?);
        let current = Arc::new(Current::new());
        let metrics = Arc::new(Metrics::new());
        let certificates = Certificates::load(&settings, metrics.clone()).map_err(StartError::Certificates)?;
        let certificates = Arc::new(certificates);
        let kept = LastGood::new(settings.state.as_deref());
        let settings = Arc::new(settings);
        let connector = Connector::new(certificates.clone(), settings.timeouts.peer);
        let clusters = Arc::new(Clusters::new(settings.clone(), connector.clone()));
        metrics.watch(&clusters);
        let reloader = Reloader::new(settings.rules.clone(), kept, current.clone(), metrics.clone(), clusters.clone());
        let reloader = Arc::new(reloader);
        reloader.reload("start").await;
        let state = settings.state.clone();
        let keeper = if predecessor.is_some() { Keeper::awaiting(state) } else { Keeper::new(state) };
        let asynchronous = Arc::new(Asynchronous::new(Arc::new(keeper)));
        let flows = Arc::new(Flows::new(&settings, brokers, &current, &asynchronous));
        metrics.watch_flows(&flows);
        metrics.kept.watch(&asynchronous);
        let telemetry = Telemetry::start(&settings.telemetry, &metrics).map_err(StartError::Thread)?;
        let via = HeaderValue::from_str(&format!("1.1 bifocal-{:016x}", chance::random()));
        let changes = Changes {
            reloader: reloader.clone(),
            certificates: certificates.clone(),
            current: current.clone(),
            levels: Arc::new(levels),
            audit,
        };
        let app = Arc::new(App {
            current,
            reloader,
            upstreams: Upstreams::new(connector, &clusters),
            clusters,
            certificates,
            overload: Arc::new(Overload::new(&settings.limits)),
            tunnels: Arc::new(Semaphore::new(settings.limits.tunnels)),
            via: via.unwrap_or(HeaderValue::from_static("1.1 bifocal")),
            metrics,
            access: Arc::new(access),
            ledger: Ledger::new(),
            asynchronous,
            flows,
            estate: Arc::default(),
            draining: Arc::default(),
            drained: Arc::default(),
            changes,
            messages,
            telemetry,
            own_header: Some(settings.version_header.clone()).filter(|name| !headers::is_managed(name)),
            settings,
        });
        if app.needs_store() && predecessor.is_none() {
            app.asynchronous.keeper.store().map_err(StartError::Store)?;
        }
        let workers = Workers::start(&app).map_err(StartError::Thread)?;
        Ok(Self { app, workers, doors, signals, predecessor })
    }

    fn addrs_of(&self, of: Use) -> impl Iterator<Item = SocketAddr> {
        self.doors.iter().filter(move |door| door.of == of).filter_map(|door| door.socket.addr())
    }

    /// The first address that callers reach, without TLS where there is one.
    pub fn addr(&self) -> SocketAddr {
        let mut all = self.addrs_of(Use::Plain).chain(self.addrs_of(Use::Tls));
        all.next().unwrap_or_else(|| self.admin_addr())
    }

    /// Every address that callers reach without TLS.
    pub fn addrs(&self) -> Vec<SocketAddr> {
        self.addrs_of(Use::Plain).collect()
    }

    /// Every address that callers reach with TLS.
    pub fn tls_addrs(&self) -> Vec<SocketAddr> {
        self.addrs_of(Use::Tls).collect()
    }

    /// The admin address; that of nobody where it is a UNIX socket.
    pub fn admin_addr(&self) -> SocketAddr {
        self.addrs_of(Use::Admin).next().unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// Where the admin interface is, for people.
    pub fn admin(&self) -> String {
        let scheme = if self.app.settings.admin.tls.is_some() { "https" } else { "http" };
        match (self.addrs_of(Use::Admin).next(), &self.app.settings.admin.listen) {
            (Some(address), _) => format!("{scheme}://{address}"),
            (None, AdminListen::Unix { path, .. }) => format!("unix:{}", path.display()),
            (None, AdminListen::Tcp(_)) => "a UNIX socket of the service manager".to_owned(),
        }
    }

    /// The number of the generation that serves; 0: none, nothing could be loaded.
    pub fn generation(&self) -> u64 {
        self.app.current.snapshot().number
    }

    /// Everything that is wrong with the rules as they were last read, as text.
    pub fn complaints(&self) -> Vec<String> {
        self.app.reloader.status().complaints().map(str::to_owned).collect()
    }

    /// What replaces this process by a newer program.
    ///
    /// # Errors
    /// Its sockets cannot be shared.
    pub(crate) fn succession(&self) -> io::Result<Succession> {
        Ok(Succession::new(Handover::of(&self.doors)?, self.app.clone()))
    }

    /// Serves until `shutdown` is over, then finishes what is in flight, for as long as the drain time allows. Says
    /// whether all of it was finished.
    pub async fn run<S: Into<Stop>>(self, shutdown: impl Future<Output = S>) -> bool {
        let Self { app, workers, doors, signals, predecessor } = self;
        let (shut, shutting) = channel::channel(false);
        let (stop, stopped) = channel::channel(false);
        let (stop_admin, admin_stopped) = channel::channel(false);
        let (all_gone, alive) = channel::channel(());
        let serving = Serving {
            certificates: None,
            limits: app.settings.limits,
            timeouts: app.settings.timeouts,
            metrics: app.metrics.clone(),
            overload: app.overload.clone(),
            shut: shutting.clone(),
            stop: stopped,
            alive,
        };
        let (admin, accepting) = open_doors(&app, &workers, doors, &serving, &admin_stopped);
        drop(serving);
        let settings = app.settings.clone();
        let changes = app.changes.clone();
        let watching = shutting.clone();
        tokio::spawn(async move {
            watch::watch(changes, (settings.reload, &settings.log), signals, watching).await;
        });
        let orders = Orders::begin(&app);
        let is_main = predecessor.is_some();
        let inheriting = take_over(&app, predecessor).await;
        manager::ready(is_main);
        let workers = Arc::new(workers);
        let guarded = tokio::spawn(watchdog(workers.clone()));
        let measured = tokio::spawn(measure(app.clone()));
        let weighed = tokio::spawn(app.overload.clone().watch());

        let why = shutdown.await.into();
        app.draining.store(true, Ordering::Release);
        inheriting.abort();
        app.flows.stop();
        let leaving = tokio::spawn(leave_to_heir(app.clone()));
        if why == Stop::Replaced {
            // Operators have the other process at the same door.
            let _ = stop_admin.send(true);
        }
        if why == Stop::Told {
            // In a succession it is the other process that the service manager looks at.
            manager::stopping();
            tracing::info!("stopping: not ready any more");
            tokio::time::sleep(app.settings.timeouts.leave).await;
        }
        tracing::info!("stopping: no new connections, finishing what is in flight");
        // What is ordered from here on is left to the next process.
        app.asynchronous.end();
        let _ = shut.send(true);
        for one in accepting {
            // A listener's task ends when told so; a panic there is an end, too.
            let _ = one.await;
        }
        if why == Stop::Replaced {
            tokio::time::sleep(app.settings.timeouts.leave).await;
        }
        let _ = stop.send(true);
        let finished = async {
            all_gone.closed().await;
            orders.finished().await;
            app.flows.stopped().await;
        };
        let drained = tokio::time::timeout(app.settings.timeouts.drain, finished).await.is_ok();
        if !drained {
            tracing::warn!("the drain time is over; cutting what is left");
        }
        guarded.abort();
        measured.abort();
        weighed.abort();
        leaving.abort();
        app.asynchronous.keeper.let_go();
        app.estate.hand_over();
        send_rest(&app).await;
        let _ = stop_admin.send(true);
        if let Some(desk) = admin {
            desk.closed().await;
        }
        if let (AdminListen::Unix { path, .. }, Stop::Told) = (&app.settings.admin.listen, why) {
            // A successor would have its socket there. One that is left behind is replaced at the next start.
            let _ = std::fs::remove_file(path);
        }
        app.flush();
        drained
    }
}

/// Has everybody served who comes to one of the doors.
fn open_doors(
    app: &Arc<App>,
    workers: &Workers,
    doors: Vec<Door>,
    serving: &Serving,
    admin_stopped: &channel::Receiver<bool>,
) -> (Option<Desk>, Vec<JoinHandle<()>>) {
    let mut admin = None;
    let mut accepting = Vec::new();
    for door in doors {
        if door.of == Use::Admin {
            admin = open_desk(app, door.socket, admin_stopped.clone());
            continue;
        }
        let Some(listener) = open_door(door.of, door.socket) else { continue };
        let certificates = (door.of == Use::Tls).then(|| app.certificates.clone());
        let seats = workers.seats(|app| DataPlane(app.clone()));
        let serving = Serving { certificates, ..serving.clone() };
        accepting.push(tokio::spawn(listener::accept(listener, seats, serving)));
    }
    (admin, accepting)
}

/// Without operators the gateway serves its callers all the same.
fn open_desk(app: &Arc<App>, socket: Listening, stop: channel::Receiver<bool>) -> Option<Desk> {
    let opened = Desk::open(app.clone(), socket, stop);
    opened.inspect_err(|error| tracing::error!(%error, "the admin address is not served")).ok()
}

/// What callers come through.
fn open_door(of: Use, socket: Listening) -> Option<TcpListener> {
    let listener = match socket {
        Listening::Tcp(listener) => TcpListener::from_std(listener),
        Listening::Unix(_) => Err(io::Error::other("callers cannot be served on a UNIX socket")),
    };
    listener.inspect_err(|error| tracing::error!(%error, setting = of.setting(), "a socket cannot be used")).ok()
}

/// Sends what a collector has not got yet.
async fn send_rest(app: &App) {
    let Some(telemetry) = &app.telemetry else { return };
    if app.settings.telemetry.metrics_every.is_some() {
        telemetry.metrics(&app.metrics_text());
    }
    telemetry.flush().await;
}

/// Sends metrics now and then.
async fn measure(app: Arc<App>) {
    let (Some(telemetry), Some(every)) = (&app.telemetry, app.settings.telemetry.metrics_every) else { return };
    loop {
        tokio::time::sleep(every).await;
        telemetry.metrics(&app.metrics_text());
    }
}

/// Tells the service manager that every thread still moves, for as long as each does.
async fn watchdog(workers: Arc<Workers>) {
    let Some(every) = manager::watchdog() else { return };
    let half = every / 2;
    loop {
        tokio::time::sleep(half).await;
        if workers.are_alive(half / 2).await {
            manager::alive();
        } else {
            tracing::error!("a thread does not move; the service manager is not told that all is well");
        }
    }
}

/// Takes up what is left of before: here and now, or, where another process has it, when that one lets go of it.
async fn take_over(app: &Arc<App>, predecessor: Option<Predecessor>) -> JoinHandle<()> {
    let Some(predecessor) = predecessor else {
        inherit(app, None::<Ready<()>>).await;
        return tokio::spawn(ready(()));
    };
    let relieved = predecessor.relieve();
    let app = app.clone();
    tokio::spawn(async move {
        let before = async {
            match relieved {
                Ok(before) => before.await,
                Err(error) => tracing::debug!(%error, "the process before is gone already"),
            }
        };
        inherit(&app, Some(before)).await;
    })
}

/// Where the store has nothing but what flows remember, a successor need not wait for callers.
async fn leave_to_heir(app: Arc<App>) {
    app.flows.stopped().await;
    if !app.keeps_requests() {
        app.asynchronous.keeper.let_go();
        app.estate.hand_over();
    }
}
