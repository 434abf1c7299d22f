//! Room for a number of things at once, of which nobody may take all.
//!
//! What one key may have is a multiple of what is free, so it shrinks as room gets scarce: with a factor of 4, one alone
//! gets four fifths, two get four ninths each, and something is always free for who comes next. Nothing has to be known of
//! how many there are, and as long as there is room nobody is held back.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Keys are told apart by a hash. Two that fall together share what one may have.
const SLOTS: usize = 4096;

/// Who, or what, takes room.
#[derive(Debug, Clone, Copy, Hash)]
pub(in crate::gateway) enum Key<'k> {
    /// The other end of a connection. Of an IPv6 address the network: its owner has the rest.
    Peer(IpAddr),
    /// The caller whom a trusted proxy names.
    Forwarded(&'k [u8]),
    /// A consumer, as the rules name it.
    Consumer(&'k str),
    /// A version of a service.
    Version(&'k str, &'k str),
}

/// Room for so many at once.
#[derive(Debug)]
pub(in crate::gateway) struct Room {
    limit: usize,
    /// How many times the free room one key may have; 0: there is no bound.
    share: usize,
    taken: AtomicUsize,
    slots: Box<[AtomicUsize]>,
    hashes: RandomState,
}

/// A place that is taken, until it is dropped.
#[derive(Debug)]
pub(in crate::gateway) struct Place {
    room: Arc<Room>,
    slot: usize,
    /// Whether it counts in all, or for its key alone.
    is_whole: bool,
}

impl Room {
    pub(super) fn new(limit: usize, share: usize) -> Self {
        let slots = (0..SLOTS).map(|_| AtomicUsize::new(0)).collect();
        Self { limit, share, taken: AtomicUsize::new(0), slots, hashes: RandomState::new() }
    }

    /// One for connections.
    pub(in crate::gateway) fn of(limit: usize, share: usize) -> Arc<Self> {
        Arc::new(Self::new(limit, share))
    }

    /// Takes a place; `None`: there is none, or none for this key.
    pub(in crate::gateway) fn enter(self: &Arc<Self>, key: Key<'_>) -> Option<Place> {
        let before = self.taken.fetch_add(1, Ordering::Relaxed);
        let place = Place { room: self.clone(), slot: self.slot(key), is_whole: true };
        // Dropped, it gives back what it has not used either.
        let beside = self.count(place.slot).fetch_add(1, Ordering::Relaxed);
        (before < self.limit && self.allows(beside, before)).then_some(place)
    }

    /// Counts what has a place already under one more key; `None`: that has too many.
    pub(in crate::gateway) fn also(self: &Arc<Self>, key: Key<'_>) -> Option<Place> {
        let place = Place { room: self.clone(), slot: self.slot(key), is_whole: false };
        let beside = self.count(place.slot).fetch_add(1, Ordering::Relaxed);
        // It has its own place.
        let others = self.taken().saturating_sub(1);
        self.allows(beside, others).then_some(place)
    }

    /// How many places are taken.
    pub(in crate::gateway) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// How many there are.
    pub(in crate::gateway) fn limit(&self) -> usize {
        self.limit
    }

    fn allows(&self, beside: usize, taken: usize) -> bool {
        self.share == 0 || beside <= self.share.saturating_mul(self.limit.saturating_sub(taken))
    }

    fn slot(&self, key: Key<'_>) -> usize {
        let key = match key {
            Key::Peer(IpAddr::V6(address)) if address.to_ipv4_mapped().is_none() => {
                let network = u128::from(address) & !u128::from(u64::MAX);
                Key::Peer(IpAddr::V6(network.into()))
            }
            key => key,
        };
        usize::try_from(self.hashes.hash_one(key) % SLOTS as u64).unwrap_or_default()
    }

    fn count(&self, slot: usize) -> &AtomicUsize {
        // There is always one: slots are remainders.
        self.slots.get(slot).unwrap_or(&self.taken)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.count(self.slot).fetch_sub(1, Ordering::Relaxed);
        if self.is_whole {
            self.room.taken.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const A: Key<'static> = Key::Consumer("a");
    const B: Key<'static> = Key::Consumer("b");

    /// A room in which these keys do not fall together, though others may.
    fn apart(limit: usize, keys: &[Key<'_>]) -> Arc<Room> {
        let is_apart =
            |room: &Room| keys.iter().map(|key| room.slot(*key)).collect::<BTreeSet<_>>().len() == keys.len();
        std::iter::repeat_with(|| Room::of(limit, 4)).take(100).find(|room| is_apart(room)).unwrap()
    }

    fn fill(room: &Arc<Room>, key: Key<'_>) -> Vec<Place> {
        std::iter::from_fn(|| room.enter(key)).collect()
    }

    #[test]
    fn nobody_takes_all_and_there_is_always_room_for_who_comes_next() {
        let room = apart(1000, &[A, B, Key::Consumer("c")]);
        let first = fill(&room, A);
        assert_eq!(first.len(), 801);
        let second = fill(&room, B);
        // What is left is shared in the same way.
        assert!((155..165).contains(&second.len()), "{}", second.len());
        assert!(room.enter(Key::Consumer("c")).is_some());
        drop(first);
        assert_eq!(room.taken(), second.len());
        // And now the other may have more.
        assert!(fill(&room, B).len() > 600);
        drop(second);
        assert_eq!(room.taken(), 0);
    }

    #[test]
    fn small_rooms_can_be_filled_by_one() {
        for limit in 1..=5 {
            assert_eq!(fill(&Room::of(limit, 4), A).len(), limit);
        }
    }

    #[test]
    fn without_a_share_the_limit_alone_counts() {
        assert_eq!(fill(&Room::of(100, 0), A).len(), 100);
    }

    #[test]
    fn what_has_a_place_counts_under_further_keys() {
        let peers = [1, 2, 3, 4, 5].map(|n| Key::Peer(IpAddr::from([10, 0, 0, n])));
        let version = Key::Version("orders", "v1");
        let room = apart(100, &[&peers[..], &[version]].concat());
        let mut kept = Vec::new();
        let places = peers.iter().cycle().map_while(|peer| {
            kept.push(room.enter(*peer)?);
            room.also(version)
        });
        assert_eq!(places.collect::<Vec<_>>().len(), 81);
        drop(kept);
        assert_eq!(room.taken(), 0);
        assert!(room.slots.iter().all(|slot| slot.load(Ordering::Relaxed) == 0));
    }

    #[test]
    fn an_ipv6_network_is_one_caller() {
        let peer = |text: &str| Key::Peer(text.parse().unwrap());
        let others = ["2001:db8::1", "2001:db8:0:1::1", "::ffff:10.0.0.1", "::ffff:10.0.0.2"];
        let room = apart(1, &others.map(peer));
        let slot = |text: &str| room.slot(peer(text));
        assert_eq!(slot("2001:db8::1"), slot("2001:db8::ffff:2"));
    }
}
