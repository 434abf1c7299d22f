//! The operator's own door: a thread of its own, so that callers cannot keep an operator waiting, over TCP, TLS or a UNIX
//! socket. HTTP/1.1 is spoken.

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::Builder;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use crate::gateway::App;
use crate::gateway::audit::Who;
use crate::gateway::connection::{long_stopped, stopped};
use crate::gateway::doors::Listening;
use crate::gateway::tls::OwnCertificate;
use crate::settings::Timeouts;

/// Connections of operators at once. Few call, and each may keep its connection.
const MOST: usize = 256;

/// What the admin address shows, read again when its files have changed.
#[derive(Debug)]
struct Shown {
    files: OwnCertificate,
    now: Mutex<Arc<ServerConfig>>,
}

impl Shown {
    /// The newest good state.
    fn config(&self) -> Arc<ServerConfig> {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        match self.files.read() {
            Ok(Some(newer)) => *now = newer,
            Ok(None) => {}
            Err(problem) => tracing::warn!("the admin address's certificate: {problem}; what served before goes on"),
        }
        now.clone()
    }
}

/// The thread that serves operators.
#[derive(Debug)]
pub(in crate::gateway) struct Desk {
    ended: oneshot::Receiver<()>,
}

impl Desk {
    /// Begins to serve, until told to stop.
    ///
    /// # Errors
    /// There is no thread, the socket cannot be waited for, or the certificate is not valid.
    pub(in crate::gateway) fn open(app: Arc<App>, door: Listening, stop: watch::Receiver<bool>) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let shown = match &app.settings.admin.tls {
            None => None,
            Some(pair) => {
                let files = OwnCertificate::new(pair.clone());
                let first = files.read().map_err(io::Error::other)?;
                first.map(|now| Arc::new(Shown { files, now: Mutex::new(now) }))
            }
        };
        let timeouts = app.settings.timeouts;
        let router = super::router(app);
        let (end, ended) = oneshot::channel();
        thread::Builder::new().name("admin".to_owned()).spawn(move || {
            let served = runtime.block_on(async {
                match door {
                    Listening::Tcp(listener) => serve_tcp(listener, router, shown, timeouts, stop).await,
                    Listening::Unix(listener) => serve_unix(listener, router, timeouts, stop).await,
                }
            });
            if let Err(error) = served {
                tracing::error!(%error, "the admin address is not served");
            }
            runtime.shutdown_background();
            // Nobody may be waiting any more.
            let _ = end.send(());
        })?;
        Ok(Self { ended })
    }

    /// Waits until it has stopped.
    pub(in crate::gateway) async fn closed(self) {
        // A thread that panicked has stopped, too.
        let _ = self.ended.await;
    }
}

async fn serve_tcp(
    listener: std::net::TcpListener,
    router: Router,
    shown: Option<Arc<Shown>>,
    timeouts: Timeouts,
    stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let serving = stop.clone();
    accept(
        async || listener.accept().await,
        stop,
        move |(stream, peer), permit| {
            // Answers are small and complete.
            let _ = stream.set_nodelay(true);
            let who = Who::Admin { peer: Some(peer), local: None, token: None };
            let (router, shown, stop) = (router.clone(), shown.clone(), serving.clone());
            tokio::spawn(async move {
                match shown {
                    None => serve(stream, who, router, timeouts, stop, permit).await,
                    Some(shown) => {
                        let shaking = TlsAcceptor::from(shown.config()).accept(stream);
                        if let Ok(Ok(stream)) = tokio::time::timeout(timeouts.handshake, shaking).await {
                            serve(stream, who, router, timeouts, stop, permit).await;
                        }
                    }
                }
            });
        },
    )
    .await
}

async fn serve_unix(
    listener: std::os::unix::net::UnixListener,
    router: Router,
    timeouts: Timeouts,
    stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let listener = UnixListener::from_std(listener)?;
    let serving = stop.clone();
    accept(
        async || listener.accept().await,
        stop,
        move |(stream, _), permit| {
            let local = stream.peer_cred().ok().map(|peer| (peer.uid(), peer.pid().unwrap_or_default()));
            let who = Who::Admin { peer: None, local, token: None };
            tokio::spawn(serve(stream, who, router.clone(), timeouts, serving.clone(), permit));
        },
    )
    .await
}

/// Hands over what `next` accepts, as long as there is room for it, until told to stop.
async fn accept<T>(
    next: impl AsyncFn() -> io::Result<T>,
    mut stop: watch::Receiver<bool>,
    begin: impl Fn(T, OwnedSemaphorePermit),
) -> io::Result<()> {
    let room = Arc::new(Semaphore::new(MOST));
    loop {
        let permit = room.clone().acquire_owned().await.map_err(io::Error::other)?;
        let accepted = tokio::select! {
            accepted = next() => accepted,
            () = stopped(&mut stop) => return Ok(()),
        };
        match accepted {
            Ok(taken) => begin(taken, permit),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection of an operator");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    who: Who,
    router: Router,
    timeouts: Timeouts,
    mut stop: watch::Receiver<bool>,
    _room: OwnedSemaphorePermit,
) {
    let service = service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(who.clone());
        let router = router.clone();
        async move {
            let Ok(response) = router.oneshot(request.map(Body::new)).await;
            Ok::<_, Infallible>(response)
        }
    });
    let http = http1::Builder::new()
        .timer(TokioTimer::new())
        // Counts a connection on which nothing is asked, too.
        .header_read_timeout(timeouts.header.max(timeouts.idle))
        .serve_connection(TokioIo::new(stream), service);
    let mut http = std::pin::pin!(http);
    tokio::select! {
        _ = http.as_mut() => {}
        // Who has just connected is heard: in a succession there is another process at this door, and it will not be asked.
        () = long_stopped(&mut stop) => {
            http.as_mut().graceful_shutdown();
            // The last answers are on their way; nobody waits for those who do not read them.
            let _ = tokio::time::timeout(Duration::from_secs(1), http).await;
        }
    }
}
