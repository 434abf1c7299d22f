//! Connections: TCP or TLS that we make ourselves, and handed to the client.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_compat::Compat;
use async_rs::traits::{Executor, Reactor, RuntimeKit};
use async_rs::util::Task;
use async_rs::{Runtime, Tokio};
use futures_util::{Stream, StreamExt};
use lapin::auth::AuthProvider;
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{AsyncTcpStream, Channel, Connection, ConnectionProperties, ErrorKind, Event};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::super::super::broker::Lost;
use super::super::Tls;
use super::Settings;

/// A connection that is there until it is dropped.
pub(super) struct Link {
    connection: Connection,
    state: Arc<LinkState>,
    /// Who we are to the broker.
    pub(super) username: String,
    /// Bytes of a frame.
    pub(super) frame: u32,
    /// How long the broker may take to answer.
    patience: Duration,
}

#[derive(Debug, Default)]
struct LinkState {
    /// Whether it must not be used for anything new.
    is_bad: AtomicBool,
    /// Why the broker takes nothing at the moment.
    blocked: Mutex<Option<String>>,
}

impl fmt::Debug for Link {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Link")
    }
}

impl Link {
    /// Connects to the first of the nodes that answers.
    pub(super) async fn open(settings: &Settings, name: &str) -> Result<Arc<Self>, Lost> {
        let mut last = Lost("no URL".to_owned());
        for url in &settings.urls {
            match timeout(settings.patience, connect(settings, url, name)).await {
                Ok(Ok((connection, username))) => return Ok(Self::watched(connection, username, settings.patience)),
                Ok(Err(error)) => last = error,
                Err(_) => last = Lost("the broker did not answer in time".to_owned()),
            }
        }
        Err(last)
    }

    fn watched(connection: Connection, username: String, patience: Duration) -> Arc<Self> {
        let events = connection.events_listener();
        let frame = connection.configuration().frame_max();
        let link = Arc::new(Self { connection, state: Arc::default(), username, frame, patience });
        tokio::spawn(watch(events, Arc::downgrade(&link), link.state.clone()));
        link
    }

    /// Whether something new may use it.
    pub(super) fn is_good(&self) -> bool {
        self.connection.status().connected() && !self.state.is_bad.load(Ordering::Relaxed)
    }

    /// Nothing new may use it.
    pub(super) fn spoil(&self) {
        self.state.is_bad.store(true, Ordering::Relaxed);
    }

    /// Why the broker takes nothing at the moment, if that is so.
    pub(super) fn blocked(&self) -> Option<String> {
        let blocked = self.state.blocked.lock().unwrap_or_else(PoisonError::into_inner);
        blocked.as_ref().map(|why| format!("the broker takes nothing at the moment: {why}"))
    }

    /// A new channel. On a connection that is blocked, the broker would answer when it is not any more.
    pub(super) async fn channel(&self) -> Result<Channel, Lost> {
        if let Some(why) = self.blocked() {
            return Err(Lost(why));
        }
        let made = timeout(self.patience, self.connection.create_channel()).await;
        made.map_err(|_| Lost("the broker did not answer in time".to_owned()))?
            .map_err(|error| Lost::when("channel", error))
    }
}

/// Follows what the broker says of a connection. One that is blocked is kept: what it has taken will be stored, and another
/// in its place would store it again.
async fn watch(events: impl Stream<Item = Event>, link: std::sync::Weak<Link>, state: Arc<LinkState>) {
    let mut events = std::pin::pin!(events);
    let mut kept = None;
    while let Some(event) = events.next().await {
        match event {
            Event::ConnectionBlocked(why) => {
                kept = link.upgrade();
                *state.blocked.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
            }
            Event::ConnectionUnblocked => {
                *state.blocked.lock().unwrap_or_else(PoisonError::into_inner) = None;
                kept = None;
            }
            // Channels' errors are told here, too.
            Event::Error(_) => {
                kept = kept.filter(|link: &Arc<Link>| link.connection.status().connected());
            }
            _ => {}
        }
    }
    drop(kept);
}

async fn connect(settings: &Settings, url: &str, name: &str) -> Result<(Connection, String), Lost> {
    let mut uri = AMQPUri::from_str(url).map_err(|error| Lost::when("the broker's URL", error))?;
    if let (Some(username), Some(password)) = (&settings.username, &settings.password) {
        uri.authority.userinfo.username.clone_from(username);
        password.reveal().clone_into(&mut uri.authority.userinfo.password);
    }
    let heartbeat = settings.heartbeat.as_secs().clamp(1, u64::from(u16::MAX));
    uri.query.heartbeat = Some(u16::try_from(heartbeat).unwrap_or(u16::MAX));
    let username = uri.authority.userinfo.username.clone();
    let mut properties = ConnectionProperties::default().with_connection_name(name.into());
    if settings.external {
        properties = properties.with_auth_provider(External);
    }
    let tls = settings.tls.clone();
    let open = async move |uri: AMQPUri, _: Runtime<Kit>| -> lapin::Result<AsyncTcpStream<Compat<Boxed>>> {
        let opened = open(&uri, &tls).await.map_err(lapin::Error::from)?;
        Ok(AsyncTcpStream::Plain(Compat::new(opened)))
    };
    let connecting = Connection::connector(uri, Runtime::new(Kit(Tokio::current())), open, properties);
    let connection = connecting.await.map_err(|error| match error.kind() {
        ErrorKind::IOError(error) => Lost::when("the broker cannot be reached", error),
        _ => Lost::when("the broker refuses us", error),
    })?;
    Ok((connection, username))
}

async fn open(uri: &AMQPUri, tls: &Tls) -> io::Result<Boxed> {
    let host = uri.authority.host.trim_matches(['[', ']']);
    let stream = TcpStream::connect((host, uri.authority.port)).await?;
    stream.set_nodelay(true)?;
    match uri.scheme {
        AMQPScheme::AMQP => Ok(Boxed::from(Box::new(stream) as Box<dyn Duplex>)),
        AMQPScheme::AMQPS => {
            let config = tls.config().await.map_err(io::Error::other)?;
            let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
            let secured = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
            Ok(Box::new(secured))
        }
    }
}

/// The certificate has said it.
struct External;

impl AuthProvider for External {}

/// Plain or not.
trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

type Boxed = Box<dyn Duplex>;

/// The runtime that we are in, with streams of our own.
#[derive(Debug, Clone)]
struct Kit(Tokio);

impl RuntimeKit for Kit {}

impl Executor for Kit {
    type Task<T: Send + 'static> = <Tokio as Executor>::Task<T>;

    fn block_on<T, F: Future<Output = T>>(&self, future: F) -> T {
        self.0.block_on(future)
    }

    fn spawn<T: Send + 'static, F: Future<Output = T> + Send + 'static>(&self, future: F) -> Task<Self::Task<T>> {
        self.0.spawn(future)
    }

    fn spawn_blocking<T: Send + 'static, F: FnOnce() -> T + Send + 'static>(&self, work: F) -> Task<Self::Task<T>> {
        self.0.spawn_blocking(work)
    }
}

impl Reactor for Kit {
    type TcpStream = Compat<Boxed>;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: Read + Write + Send + 'static>(
        &self,
        _: H,
    ) -> io::Result<impl futures_util::AsyncRead + futures_util::AsyncWrite + Send + Unpin + 'static> {
        // The client asks for streams by address, and in no other way.
        Err::<Self::TcpStream, _>(io::Error::from(io::ErrorKind::Unsupported))
    }

    fn sleep(&self, time: Duration) -> Self::Sleep {
        self.0.sleep(time)
    }

    fn interval(&self, time: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.0.interval(time)
    }

    #[expect(clippy::manual_async_fn, reason = "it must not borrow the runtime")]
    fn tcp_connect_addr(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        async move {
            let stream: Boxed = Box::new(TcpStream::connect(address).await?);
            Ok(Compat::new(stream))
        }
    }
}
