//! `--watch`: again whenever a file of the rules changes.

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};

/// Editors write in several steps: a change is over when nothing has changed for so long.
const QUIET: Duration = Duration::from_millis(150);
/// A folder that changes all the time is looked at after so many quiet times anyway.
const PATIENCE: u32 = 20;

/// Tells of changes in a folder.
pub(super) struct Changes {
    told: Receiver<()>,
    /// Watches as long as it is there.
    _watcher: RecommendedWatcher,
}

impl Changes {
    /// # Errors
    /// The folder cannot be watched.
    pub(super) fn of(folder: &Path) -> notify::Result<Self> {
        let (tell, told) = sync_channel(1);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading is no change; and a full channel already says all there is to say.
            if event.is_ok_and(|event| !event.kind.is_access()) {
                let _ = tell.try_send(());
            }
        })?;
        let real = folder.canonicalize()?;
        watcher.watch(&real, RecursiveMode::Recursive)?;
        // Where the folder is a link, changing it is seen in the folder that holds it.
        if folder.is_symlink()
            && let Some(holder) = folder.parent()
        {
            let holder = if holder.as_os_str().is_empty() { Path::new(".") } else { holder };
            watcher.watch(holder, RecursiveMode::NonRecursive)?;
        }
        Ok(Self { told, _watcher: watcher })
    }

    /// Waits for the next change and until it is over; answers whether there can be another.
    pub(super) fn wait(&self) -> bool {
        if self.told.recv().is_err() {
            return false;
        }
        for _ in 0..PATIENCE {
            match self.told.recv_timeout(QUIET) {
                Ok(()) => {}
                Err(RecvTimeoutError::Timeout) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
        true
    }
}

/// The time of day, UTC.
pub(super) fn now() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    format!("{:02}:{:02}:{:02}Z", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
}
