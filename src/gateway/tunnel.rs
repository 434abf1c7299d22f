//! A connection that has changed to another protocol: bytes both ways, untouched, until one side is silent for too long,
//! both have ended, or the gateway stops.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, copy_bidirectional_with_sizes};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{sleep, timeout};

use super::connection::stopped;
use super::record::Recording;

/// Bytes on their way in each direction.
const ON_THE_WAY: usize = 16 << 10;
/// How long a side may take to hear that it is over.
const FAREWELL: Duration = Duration::from_secs(1);
/// In how many parts a silence is measured.
const PARTS: u32 = 8;

/// A service that has agreed to another protocol.
pub(super) struct Switched {
    upstream: Upgraded,
    /// Where the caller's end comes from; none: it is the whole connection.
    stream: Option<OnUpgrade>,
    permit: OwnedSemaphorePermit,
}

impl fmt::Debug for Switched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Switched")
    }
}

impl Switched {
    pub(super) fn new(upstream: Upgraded, stream: Option<OnUpgrade>, permit: OwnedSemaphorePermit) -> Self {
        Self { upstream, stream, permit }
    }
}

/// Both sides of a change of protocols, once the caller has been told of it.
pub(super) struct Tunnel {
    switched: Switched,
    recording: Box<Recording>,
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tunnel")
    }
}

impl Tunnel {
    pub(super) fn new(switched: Switched, recording: Box<Recording>) -> Self {
        Self { switched, recording }
    }

    /// Goes on by itself where the caller's end is a stream of a connection, which goes on, too. Else gives it back, for
    /// whoever has the connection.
    pub(super) fn detach(mut self, stop: &watch::Receiver<bool>) -> Option<Self> {
        let Some(stream) = self.switched.stream.take() else { return Some(self) };
        let stop = stop.clone();
        tokio::spawn(async move {
            // An error is a caller that has gone meanwhile.
            if let Ok(caller) = stream.await {
                self.run(TokioIo::new(caller), stop).await;
            }
        });
        None
    }

    /// Passes bytes until it is over.
    pub(super) async fn run(self, mut caller: impl AsyncRead + AsyncWrite + Unpin, mut stop: watch::Receiver<bool>) {
        let Self { switched: Switched { upstream, permit, .. }, mut recording } = self;
        let times = recording.tunnel_begins();
        let mut service = TokioIo::new(upstream);
        let meters = Meters::default();
        let mut counted = Counted { inner: &mut caller, meters: &meters };
        // A little before the drain time ends, since what is left then is cut off without a word.
        let drained = async {
            stopped(&mut stop).await;
            sleep(times.drain * 9 / 10).await;
        };
        let is_whole = tokio::select! {
            passed = copy_bidirectional_with_sizes(&mut counted, &mut service, ON_THE_WAY, ON_THE_WAY) => passed.is_ok(),
            () = meters.silent(times.tunnel) => false,
            () = drained => false,
        };
        recording.tunnel_ended(meters.up.load(Ordering::Relaxed), meters.down.load(Ordering::Relaxed), is_whole);
        let ends = async { tokio::join!(caller.shutdown(), service.shutdown()) };
        // Who does not listen any more is not waited for.
        let _ = timeout(FAREWELL, ends).await;
        drop((recording, permit));
    }
}

/// Bytes that have passed.
#[derive(Debug, Default)]
struct Meters {
    up: AtomicU64,
    down: AtomicU64,
}

impl Meters {
    /// Waits until nothing has passed for so long.
    async fn silent(&self, patience: Duration) {
        let total = || self.up.load(Ordering::Relaxed) + self.down.load(Ordering::Relaxed);
        let (mut seen, mut quiet) = (total(), 0);
        while quiet < PARTS {
            sleep(patience / PARTS).await;
            let now = total();
            quiet = if now == seen { quiet + 1 } else { 0 };
            seen = now;
        }
    }
}

/// The caller's side, whose bytes are counted.
struct Counted<'c, C> {
    inner: &'c mut C,
    meters: &'c Meters,
}

impl<C: AsyncRead + Unpin> AsyncRead for Counted<'_, C> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let polled = Pin::new(&mut *this.inner).poll_read(cx, buf);
        this.meters.up.fetch_add((buf.filled().len() - before) as u64, Ordering::Relaxed);
        polled
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Counted<'_, C> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut *this.inner).poll_write(cx, buf);
        if let Poll::Ready(Ok(count)) = polled {
            this.meters.down.fetch_add(count as u64, Ordering::Relaxed);
        }
        polled
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().inner).poll_shutdown(cx)
    }
}
