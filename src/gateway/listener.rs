//! Accepting connections, as many as allowed, until told to stop.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use super::connection::{self, Answering};
use super::metrics::Metrics;
use super::overload::{Key, Overload, Room};
use super::tls::{Certificates, Refused, Stream};
use super::workers::Seat;
use crate::settings::{Limits, Timeouts};

/// An address that cannot be listened on.
#[derive(Debug)]
pub struct BindError {
    place: String,
    /// None: it is no address of TCP.
    port: Option<u16>,
    setting: &'static str,
    error: io::Error,
}

impl BindError {
    /// An address of TCP.
    pub(super) fn at(address: SocketAddr, setting: &'static str, error: io::Error) -> Self {
        Self { place: address.to_string(), port: Some(address.port()), setting, error }
    }

    /// Some other place.
    pub(super) fn new(place: impl Into<String>, setting: &'static str, error: io::Error) -> Self {
        Self { place: place.into(), port: None, setting, error }
    }

    /// The setting that named the address.
    pub fn setting(&self) -> &'static str {
        self.setting
    }

    /// What is wrong, for people who choose an address with `option`.
    pub fn told(&self, option: &str) -> String {
        let Self { place, port, error, .. } = self;
        match (error.kind(), port) {
            (io::ErrorKind::AddrInUse, Some(port)) => format!(
                "port {port} is taken: something else listens on {place}; stop it, or choose another with {option} \
                 (port 0 picks a free one)"
            ),
            (io::ErrorKind::PermissionDenied, Some(port)) => {
                format!("port {port} may not be opened by this user; choose another with {option}")
            }
            _ => format!("cannot listen on {place} ({option}): {error}"),
        }
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told(&format!("the setting `{}`", self.setting)))
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// What a listener's connections are served with.
#[derive(Clone)]
pub(super) struct Serving {
    /// None: without TLS.
    pub(super) certificates: Option<Arc<Certificates>>,
    pub(super) limits: Limits,
    pub(super) timeouts: Timeouts,
    pub(super) metrics: Arc<Metrics>,
    pub(super) overload: Arc<Overload>,
    /// Told once: accept no more.
    pub(super) shut: watch::Receiver<bool>,
    /// Told once: finish and close.
    pub(super) stop: watch::Receiver<bool>,
    /// Every connection holds one, so its end can be waited for.
    pub(super) alive: watch::Receiver<()>,
}

/// Accepts connections until told to stop, and has each served where the fewest are.
pub(super) async fn accept<A: Answering>(listener: TcpListener, seats: Vec<Seat<A>>, serving: Serving) {
    let room = Arc::new(Semaphore::new(serving.limits.connections));
    let shares = Room::of(serving.limits.connections, serving.limits.share);
    let mut shut = serving.shut.clone();
    loop {
        let accepted = tokio::select! {
            accepted = next(&listener, &room, &serving.overload) => accepted,
            () = connection::stopped(&mut shut) => return,
        };
        let Some((stream, peer, permit)) = accepted else { continue };
        let born = Instant::now();
        // Nobody may take the room of all others, not even with connections on which nothing is asked.
        let Some(share) = shares.enter(Key::Peer(peer.ip())) else { continue };
        // Whoever serves it must hear of its bytes, so it is taken from this thread's ear.
        let Ok(stream) = stream.into_std() else { continue };
        let Some((seat, sitting)) = Seat::take(&seats) else { continue };
        let answering = seat.answering.clone();
        let Serving { certificates, limits, timeouts, metrics, overload, mut stop, alive, .. } = serving.clone();
        seat.runtime.spawn(async move {
            metrics.connections.inc();
            let secured = async {
                let stream = TcpStream::from_std(stream).map_err(Refused::Failed)?;
                match certificates {
                    Some(certificates) => certificates.accept(stream, timeouts.handshake).await,
                    None => Ok(Stream::Plain(stream)),
                }
            };
            let secured = tokio::select! {
                secured = secured => Some(secured),
                () = connection::long_stopped(&mut stop) => None,
            };
            match secured {
                Some(Ok(stream)) => {
                    connection::serve(stream, (peer, born), answering, &(limits, timeouts), overload, stop).await;
                }
                Some(Err(reason)) => tracing::debug!(%peer, %reason, "not served"),
                None => {}
            }
            metrics.connections.dec();
            drop((permit, share, alive, sitting));
        });
    }
}

/// The next connection, once there is room for one.
async fn next(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
    overload: &Overload,
) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let permit = room.clone().acquire_owned().await.ok()?;
    overload.accepting().await;
    match listener.accept().await {
        Ok((stream, peer)) => {
            // There may have come to be too much while nobody came.
            overload.accepting().await;
            Some((stream, peer, permit))
        }
        Err(error) => {
            // Out of descriptors, mostly: trying again at once would only spin.
            tracing::warn!(%error, "cannot accept a connection");
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}
