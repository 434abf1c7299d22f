//! How many requests may be sent again: a share of those of the last ten seconds, and a few in any case. A service in
//! trouble is not buried under repetitions.

use std::sync::atomic::{AtomicU64, Ordering};

/// Seconds that are looked back on.
const WINDOW: usize = 10;

/// Requests and repetitions, second by second.
#[derive(Debug, Default)]
pub(super) struct Budget {
    requests: Counts,
    retries: Counts,
}

impl Budget {
    /// There is a request. `now` is in milliseconds.
    pub(super) fn request(&self, now: u64) {
        self.requests.add(now / 1000);
    }

    /// Whether one may be sent again; if so, it counts.
    pub(super) fn take(&self, now: u64, share: u32, floor: u32) -> bool {
        let second = now / 1000;
        let allowed = (self.requests.sum(second) * u64::from(share) / 100).max(floor.into());
        let is_allowed = self.retries.sum(second) < allowed;
        if is_allowed {
            self.retries.add(second);
        }
        is_allowed
    }
}

/// For each of the last seconds its number (upper half) and a count (lower half).
#[derive(Debug, Default)]
struct Counts([AtomicU64; WINDOW]);

impl Counts {
    fn add(&self, second: u64) {
        let at = usize::try_from(second).unwrap_or_default() % WINDOW;
        let Some(cell) = self.0.get(at) else { return };
        let more = |cell: u64| if cell >> 32 == second { cell.saturating_add(1) } else { second << 32 | 1 };
        // Always `Some`, so it cannot fail.
        let _ = cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |cell| Some(more(cell)));
    }

    fn sum(&self, second: u64) -> u64 {
        let recent = |cell: &u64| second.saturating_sub(cell >> 32) < WINDOW as u64;
        self.0.iter().map(|cell| cell.load(Ordering::Relaxed)).filter(recent).map(|cell| cell & 0xffff_ffff).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_requests_may_be_repeated() {
        let budget = Budget::default();
        (0..100).for_each(|_| budget.request(5000));
        let taken = (0..100).filter(|_| budget.take(5000, 20, 10)).count();
        assert_eq!(taken, 20);
        // Both leave the window together.
        assert!(!budget.take(14_999, 20, 10));
        assert_eq!((0..100).filter(|_| budget.take(15_000, 20, 10)).count(), 10, "only the floor is left");
        assert!(!Budget::default().take(1, 20, 0));
    }

    #[test]
    fn seconds_come_around() {
        let counts = Counts::default();
        for second in 0..25 {
            counts.add(second);
            counts.add(second);
        }
        assert_eq!(counts.sum(24), 20);
        assert_eq!(counts.sum(33), 2);
        assert_eq!(counts.sum(60), 0);
    }
}
