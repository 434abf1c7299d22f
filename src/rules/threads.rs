//! Much work of one kind, shared among threads.

use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// As many as the machine runs at once.
pub(crate) fn all() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// What `work` makes of each item, in their order, on up to so many threads. Who panics in one panics here.
pub(crate) fn map<'i, I: Sync, O: Send>(items: &'i [I], most: usize, work: impl Fn(&'i I) -> O + Sync) -> Vec<O> {
    let threads = most.min(items.len());
    if threads <= 1 {
        return items.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let run = || {
        let mut made = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { return made };
            made.push((at, work(item)));
        }
    };
    let mut made: Vec<(usize, O)> = thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(run)).collect();
        let mut made = run();
        for other in others {
            made.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        made
    });
    made.sort_unstable_by_key(|(at, _)| *at);
    made.into_iter().map(|(_, one)| one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_their_items() {
        let items: Vec<usize> = (0..500).collect();
        for most in [0, 1, 2, 7, 1000] {
            let made = map(&items, most, |item| {
                if item % 50 == 0 {
                    thread::yield_now();
                }
                item * 2
            });
            assert_eq!(made, items.iter().map(|item| item * 2).collect::<Vec<_>>(), "{most}");
        }
        assert_eq!(map(&[] as &[u8], 4, |_| ()), []);
    }

    #[test]
    #[should_panic(expected = "this one")]
    fn a_panic_is_not_lost() {
        map(&[1, 2, 3, 4], 2, |item| assert!(*item != 3, "this one"));
    }
}
