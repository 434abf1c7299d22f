//! What the service manager (systemd) is told, where there is one: `sd_notify(3)`.

use std::time::Duration;

use sd_notify::{NotifyState, notify};

/// Serving. `main`: this process took the place of another.
pub(super) fn ready(main: bool) {
    if main {
        tell(&[NotifyState::MainPid(std::process::id())]);
    }
    tell(&[NotifyState::Ready]);
}

/// Reading everything anew; [`ready`] ends it.
pub(super) fn reloading() {
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        tell(&[NotifyState::Reloading, now]);
    }
}

/// On the way to the end.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Alive.
pub(super) fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// How often it wants to hear that, if it does.
pub(super) fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = notify(states) {
        tracing::debug!(%error, "the service manager cannot be told");
    }
}
