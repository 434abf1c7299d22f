//! Time as a number that threads can share.

use std::sync::OnceLock;
use std::time::Instant;

/// Milliseconds since some moment before the first look; never 0, which can stand for never.
pub(super) fn now() -> u64 {
    static BEGUN: OnceLock<Instant> = OnceLock::new();
    let begun = BEGUN.get_or_init(Instant::now);
    u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
}

/// A time as such a number.
pub(super) fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
