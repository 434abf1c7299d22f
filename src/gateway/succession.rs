//! What becomes of a gateway's estate when a newer program takes its place: the sockets at once, the store and the flows of
//! messages, which one process at a time may have, once the old process has done with them.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::sleep;

use super::App;
use super::asynchronous::runner;
use super::audit::{Change, Who};
use super::handover::{Handover, Heir};

/// How long a new process may take until it serves.
const SUCCESSION: Duration = Duration::from_secs(60);
/// Between two attempts to open a store that the process before is about to close.
const SOON: Duration = Duration::from_millis(20);
/// Attempts between two words about it.
const PATIENT: u32 = 500;

/// Who comes next, once it serves.
#[derive(Debug, Default)]
pub(super) struct Estate(Mutex<Option<Heir>>);

impl Estate {
    /// Lets the next process have everything.
    pub(super) fn hand_over(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn is_for(&self, heir: Heir) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(heir);
    }
}

/// Takes the store over, then what is to be done with it. `before` ends when the process before has let go of both; none:
/// there was no other.
pub(super) async fn inherit(app: &App, before: Option<impl Future<Output = ()>>) {
    let keeper = &app.asynchronous.keeper;
    if let Some(before) = before {
        before.await;
        let mut attempts = 0_u32;
        while app.needs_store()
            && let Err(error) = keeper.inherit()
        {
            if attempts.is_multiple_of(PATIENT) {
                tracing::warn!(%error, "the store cannot be taken over yet");
            }
            attempts = attempts.saturating_add(1);
            sleep(SOON).await;
        }
        tracing::info!("the process before has let go of the store and of its flows");
    }
    runner::recover(app).await;
    keeper.free();
    app.flows.begin();
}

/// What replaces this process by a newer program.
#[derive(Debug)]
pub(crate) struct Succession {
    /// None once this process is on the way to its end.
    handover: Mutex<Option<Arc<Handover>>>,
    app: Arc<App>,
}

impl Succession {
    pub(super) fn new(handover: Handover, app: Arc<App>) -> Self {
        Self { handover: Mutex::new(Some(Arc::new(handover))), app }
    }

    /// Nobody follows any more: the copies of the doors are closed, so that no caller waits at one that nobody opens.
    pub(crate) fn end(&self) {
        *self.handover.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Starts the program anew. True: the new process serves, and this one may go.
    pub(crate) async fn replace(&self) -> bool {
        let (result, detail) = match self.start().await {
            Ok(pid) => ("replaced", format!("process {pid} serves")),
            Err(error) => ("failed", error.to_string()),
        };
        if result == "failed" {
            tracing::error!(reason = detail, "the new process does not serve; this one goes on");
        }
        self.app.metrics.operating.replaced(result);
        let change = Change { action: "upgrade", result, generations: None, detail };
        self.app.changes.audit.tell(&Who::Signal("SIGUSR2"), &change);
        result == "replaced"
    }

    async fn start(&self) -> io::Result<u32> {
        if !self.app.flows.have_begun() {
            return Err(io::Error::other("the process before has not let go of everything yet; try again"));
        }
        let handover = self.handover.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let handover = handover.ok_or_else(|| io::Error::other("this process is on the way to its end"))?;
        tracing::info!("starting the program anew, to take over");
        let started = tokio::task::spawn_blocking(move || handover.start(SUCCESSION)).await;
        let (pid, heir) = started.map_err(io::Error::other).and_then(|started| started)?;
        self.app.estate.is_for(heir);
        Ok(pid)
    }

    /// Writes what is waiting to be written, before the process ends at once.
    pub(crate) fn flush(&self) {
        self.app.flush();
    }
}
