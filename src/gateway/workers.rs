//! One thread a core. A connection stays on the thread that it was given to, with connections to services that no other
//! thread uses: nothing on the way of a request waits for, or wakes, another core.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use super::{App, aside};

/// The threads that serve callers. Dropped, they end, and what they still serve is cut.
#[derive(Debug)]
pub(super) struct Workers(Vec<Worker>);

/// One thread.
#[derive(Debug)]
struct Worker {
    runtime: Handle,
    app: Arc<App>,
    /// Never used: that it is gone tells the thread to end.
    _running: oneshot::Sender<()>,
}

/// Where connections can be served, and by what.
#[derive(Debug, Clone)]
pub(super) struct Seat<A> {
    pub(super) runtime: Handle,
    pub(super) answering: A,
    /// Connections that are served there.
    taken: Arc<AtomicUsize>,
}

impl Workers {
    /// Starts a thread for each core that this process may use.
    ///
    /// # Errors
    /// A thread cannot be started, or not wait for sockets.
    pub(super) fn start(app: &App) -> io::Result<Self> {
        let count = thread::available_parallelism().map_or(1, usize::from);
        (0..count).map(|index| Worker::start(index, app)).collect::<io::Result<_>>().map(Self)
    }

    /// A place on each thread, for what is made of its share of the gateway.
    pub(super) fn seats<A>(&self, answering: impl Fn(&Arc<App>) -> A) -> Vec<Seat<A>> {
        self.0.iter().map(|worker| Seat::new(worker.runtime.clone(), answering(&worker.app))).collect()
    }
}

impl Workers {
    /// Whether every thread does something else within this time, so none of them hangs.
    pub(super) async fn are_alive(&self, within: Duration) -> bool {
        let asked: Vec<_> = self.0.iter().map(|worker| worker.runtime.spawn(async {})).collect();
        let all = async {
            for one in asked {
                if one.await.is_err() {
                    return false;
                }
            }
            true
        };
        tokio::time::timeout(within, all).await.unwrap_or(false)
    }
}

impl Worker {
    fn start(index: usize, app: &App) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (running, ended) = oneshot::channel::<()>();
        let handle = runtime.handle().clone();
        let elsewhere = Handle::current();
        let serve = move || {
            aside::send_to(elsewhere);
            // An error is what it waits for: that nobody can tell it anything any more.
            let _ = runtime.block_on(ended);
            runtime.shutdown_background();
        };
        thread::Builder::new().name(format!("worker-{index}")).spawn(serve)?;
        let app = Arc::new(app.share());
        app.upstreams.forget_idle(&handle);
        Ok(Self { runtime: handle, app, _running: running })
    }
}

impl<A> Seat<A> {
    pub(super) fn new(runtime: Handle, answering: A) -> Self {
        Self { runtime, answering, taken: Arc::default() }
    }

    /// Takes the least busy of several, for one connection.
    pub(super) fn take(seats: &[Self]) -> Option<(&Self, Sitting)> {
        let seat = seats.iter().min_by_key(|seat| seat.taken.load(Ordering::Relaxed))?;
        seat.taken.fetch_add(1, Ordering::Relaxed);
        Some((seat, Sitting(seat.taken.clone())))
    }
}

/// Held while a connection is served.
#[derive(Debug)]
pub(super) struct Sitting(Arc<AtomicUsize>);

impl Drop for Sitting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
