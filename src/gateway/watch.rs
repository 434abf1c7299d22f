//! What makes rules and certificates be read again: changes of files, SIGHUP, and the clock for what no event tells. And
//! SIGUSR1, which has more told in messages.

use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

use super::audit::Who;
use super::changes::Changes;
use super::connection::stopped;
use crate::settings::{Log, Reload};

/// A folder that changes all the time is read after this many quiet times anyway.
const PATIENCE: u32 = 20;

/// Reloads when something has changed, until told to stop.
pub(super) async fn watch(
    changes: Changes,
    (settings, log): (Reload, &Log),
    mut signals: Signals,
    mut stop: watch::Receiver<bool>,
) {
    let (tell, mut told) = mpsc::channel(1);
    let mut watched = Watched::default();
    let mut others: Vec<(PathBuf, Watched)> =
        changes.certificates.folders().into_iter().map(|folder| (folder, Watched::default())).collect();
    loop {
        if settings.watch {
            watched.follow(changes.reloader.rules(), RecursiveMode::Recursive, &tell);
            for (folder, watched) in &mut others {
                watched.follow(folder, RecursiveMode::NonRecursive, &tell);
            }
        }
        let why = tokio::select! {
            () = stopped(&mut stop) => return,
            () = received(&mut signals.hangup) => "SIGHUP",
            () = received(&mut signals.louder) => {
                louder(&changes, log);
                continue;
            }
            _ = told.recv(), if settings.watch => {
                settle(&mut told, settings.settle).await;
                "change"
            }
            () = sleep(settings.poll), if settings.watch => "poll",
        };
        let who = if why == "SIGHUP" { Who::Signal(why) } else { Who::Files };
        changes.reload(&who, why).await;
    }
}

/// Once more, once less.
fn louder(changes: &Changes, log: &Log) {
    let who = Who::Signal("SIGUSR1");
    if changes.levels.is_changed() {
        changes.level_back(&who);
    } else if let Err(reason) = changes.level(&who, None, &log.raised, log.raised_for) {
        tracing::warn!("the level of messages cannot be raised: {reason}");
    }
}

/// Waits until nothing has changed for a while: editors and mounts write in several steps.
async fn settle(changes: &mut mpsc::Receiver<()>, quiet: Duration) {
    let latest = Instant::now() + quiet * PATIENCE;
    while let Ok(Some(())) = timeout(quiet, changes.recv()).await {
        if Instant::now() > latest {
            return;
        }
    }
}

/// The watcher and the real folder that it watches.
#[derive(Default)]
struct Watched {
    watcher: Option<(RecommendedWatcher, PathBuf)>,
}

impl Watched {
    /// Watches the folder that `path` leads to now, and the one that holds `path` itself: where `path` is a link,
    /// changing it is seen there.
    fn follow(&mut self, path: &Path, depth: RecursiveMode, changed: &mpsc::Sender<()>) {
        let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if self.watcher.as_ref().is_some_and(|(_, followed)| *followed == real) {
            return;
        }
        let changed = changed.clone();
        let told = move |event: notify::Result<notify::Event>| {
            // Reading is no change; and a full channel already says all there is to say.
            if event.is_ok_and(|event| !event.kind.is_access()) {
                let _ = changed.try_send(());
            }
        };
        let watcher = notify::recommended_watcher(told).and_then(|mut watcher| {
            watcher.watch(&real, depth)?;
            for holder in [path.parent(), real.parent()].into_iter().flatten() {
                let holder = if holder.as_os_str().is_empty() { Path::new(".") } else { holder };
                // The folder itself is watched, so this is the smaller loss.
                let _ = watcher.watch(holder, RecursiveMode::NonRecursive);
            }
            Ok(watcher)
        });
        match watcher {
            Ok(watcher) => self.watcher = Some((watcher, real)),
            Err(error) => {
                self.watcher = None;
                tracing::debug!(%error, folder = %path.display(), "cannot watch; the folder is read at intervals");
            }
        }
    }
}

/// Signals that do not end the process. Listened for from the start on: before anybody listens they would.
#[derive(Debug)]
pub(super) struct Signals {
    hangup: Option<Signal>,
    louder: Option<Signal>,
}

impl Signals {
    pub(super) fn listen() -> Self {
        Self { hangup: signal(SignalKind::hangup()).ok(), louder: signal(SignalKind::user_defined1()).ok() }
    }
}

/// Over when it comes; never, where it cannot be heard.
async fn received(signal: &mut Option<Signal>) {
    let told = match signal {
        Some(signal) => signal.recv().await,
        None => None,
    };
    if told.is_none() {
        std::future::pending::<()>().await;
    }
}
