//! What happens when there is more to do than there is room for: a ladder of measures, each before the next.
//!
//! Pressure is the larger of two shares: bytes of bodies that are held, of those that may be held, and memory of this
//! process, of what it may have. Reading the rung costs a request one load.
//! The operators' own door knows nothing of it.

mod memory;
mod room;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::sleep;

pub(super) use room::{Key, Place, Room};

use crate::settings::{Limits, Memory};

/// How often pressure is looked at where nothing tells of it.
const LOOK: Duration = Duration::from_millis(250);
/// For how many looks pressure must be low before a measure ends.
const CALM: u32 = 2;
/// Of the memory that the process may have, what bodies may take at most.
const BODIES_OF_MEMORY: usize = 4;
/// Of the same, what is left free of bodies whatever they need.
const FREE_OF_MEMORY: usize = 16;
/// Bodies below this are taken without a look at the memory.
const LARGE: usize = 64 << 10;
/// How many bytes of large bodies may come between two looks at the memory.
const UNSEEN: usize = 256 << 10;

/// How far up the ladder it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Rung {
    /// Nothing is done.
    Calm,
    /// Connections on which nothing is asked are closed early.
    ShortIdle,
    /// Connections are closed after the request at hand.
    NoKeepAlive,
    /// New requests are refused.
    Refusing,
    /// New connections are left waiting.
    NotAccepting,
}

impl Rung {
    /// From which pressure on, in thousandths.
    const LADDER: [(usize, Self); 4] =
        [(980, Self::NotAccepting), (950, Self::Refusing), (920, Self::NoKeepAlive), (850, Self::ShortIdle)];

    fn at(pressure: usize) -> Self {
        Self::LADDER.into_iter().find(|(from, _)| pressure >= *from).map_or(Self::Calm, |(_, rung)| rung)
    }

    fn from_number(number: u8) -> Self {
        Self::LADDER.into_iter().map(|(_, rung)| rung).find(|rung| *rung as u8 == number).unwrap_or(Self::Calm)
    }

    /// For logs and the admin interface.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::ShortIdle => "short_idle",
            Self::NoKeepAlive => "no_keep_alive",
            Self::Refusing => "refusing",
            Self::NotAccepting => "not_accepting",
        }
    }
}

/// What there is to do, and what there is room for.
#[derive(Debug)]
pub(super) struct Overload {
    rung: AtomicU8,
    /// Bytes of bodies that are held.
    held: AtomicUsize,
    /// Those that may be.
    budget: usize,
    /// Memory of this process when it was last looked at, and what it may have.
    memory: AtomicUsize,
    /// Bytes of bodies that have come since.
    unseen: AtomicUsize,
    memory_limit: Option<usize>,
    /// Requests in work.
    pub(super) room: Arc<Room>,
}

/// There is no room for a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Overload {
    /// As the settings say.
    pub(super) fn new(limits: &Limits) -> Self {
        let memory_limit = match limits.memory {
            Memory::Cgroup => memory::limit(),
            Memory::Bytes(bytes) => Some(bytes),
            Memory::Unlimited => None,
        };
        let budget = memory_limit.map_or(limits.bodies, |memory| limits.bodies.min(memory / BODIES_OF_MEMORY)).max(1);
        // What nobody can measure drives nothing.
        let memory_limit = memory_limit.filter(|_| memory::resident().is_some());
        Self {
            rung: AtomicU8::new(Rung::Calm as u8),
            held: AtomicUsize::new(0),
            budget,
            memory: AtomicUsize::new(0),
            unseen: AtomicUsize::new(0),
            memory_limit,
            room: Arc::new(Room::new(limits.in_flight, limits.share)),
        }
    }

    /// How far up the ladder it is.
    pub(super) fn rung(&self) -> Rung {
        Rung::from_number(self.rung.load(Ordering::Relaxed))
    }

    /// Looks at the memory now and then, and ends measures that are over. Never ends.
    pub(super) async fn watch(self: Arc<Self>) {
        let mut calm = 0;
        loop {
            sleep(LOOK).await;
            self.look(&mut calm);
        }
    }

    /// `calm`: for how many looks there was less pressure than the rung is for.
    fn look(&self, calm: &mut u32) {
        if self.memory_limit.is_some() {
            self.measure();
        }
        let (now, then) = (Rung::at(self.pressure()), self.rung());
        *calm = if now < then { *calm + 1 } else { 0 };
        if now > then {
            self.climb(now);
        } else if *calm >= CALM {
            *calm = 0;
            self.rung.store(now as u8, Ordering::Relaxed);
            tracing::info!(from = then.name(), to = now.name(), pressure = self.pressure(), "less to do");
        }
    }

    fn measure(&self) {
        if let Some(memory) = memory::resident() {
            self.unseen.store(0, Ordering::Relaxed);
            self.memory.store(memory, Ordering::Relaxed);
        }
    }

    /// Whether memory might not suffice for a body of `size` bytes, of which `more` are about to come, and for what rules
    /// make of it. What an allocator keeps for later is memory, too: bytes that are held say less than the system does.
    fn is_tight(&self, size: usize, more: usize) -> bool {
        let Some(limit) = self.memory_limit.filter(|_| size >= LARGE) else { return false };
        if self.unseen.fetch_add(more, Ordering::Relaxed) >= UNSEEN {
            self.measure();
        }
        let taken = self.memory.load(Ordering::Relaxed).saturating_add(self.unseen.load(Ordering::Relaxed));
        taken.saturating_add(size.saturating_mul(2)) > limit - limit / FREE_OF_MEMORY
    }

    /// Waits until new connections may be taken.
    pub(super) async fn accepting(&self) {
        while self.rung() >= Rung::NotAccepting {
            sleep(LOOK / 5).await;
        }
    }

    /// Nothing is held yet.
    pub(super) fn holding(self: &Arc<Self>) -> Held {
        Held { overload: self.clone(), bytes: 0 }
    }

    /// In thousandths of what there is room for.
    fn pressure(&self) -> usize {
        let bodies = thousandths(self.held.load(Ordering::Relaxed), self.budget);
        let limit = self.memory_limit.unwrap_or(usize::MAX);
        bodies.max(thousandths(self.memory.load(Ordering::Relaxed), limit))
    }

    fn climb(&self, to: Rung) {
        let before = Rung::from_number(self.rung.fetch_max(to as u8, Ordering::Relaxed));
        if before < to {
            tracing::warn!(from = before.name(), to = to.name(), pressure = self.pressure(), "more to do than is good");
        }
    }

    /// For the admin interface.
    pub(super) fn as_json(&self) -> serde_json::Value {
        serde_json::json!({
            "rung": self.rung().name(),
            "pressure": self.pressure(),
            "held_body_bytes": self.held.load(Ordering::Relaxed),
            "body_budget": self.budget,
            "memory_bytes": self.memory.load(Ordering::Relaxed),
            "memory_limit": self.memory_limit,
            "in_flight": self.room.taken(),
            "in_flight_limit": self.room.limit(),
        })
    }

    /// The rung's number, bytes of bodies that are held, and requests in work, for metrics.
    pub(super) fn figures(&self) -> (u8, usize, usize) {
        (self.rung() as u8, self.held.load(Ordering::Relaxed), self.room.taken())
    }
}

fn thousandths(of: usize, whole: usize) -> usize {
    if whole > usize::MAX / 2000 { of / (whole / 1000) } else { of.saturating_mul(1000) / whole.max(1) }
}

/// Bytes of bodies that one request holds.
#[derive(Debug)]
pub(super) struct Held {
    overload: Arc<Overload>,
    bytes: usize,
}

impl Held {
    /// # Errors
    /// [`Full`]: then nothing was added.
    pub(super) fn add(&mut self, bytes: usize) -> Result<(), Full> {
        let overload = &*self.overload;
        let now = overload.held.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if now > overload.budget || overload.is_tight(self.bytes.saturating_add(bytes), bytes) {
            overload.held.fetch_sub(bytes, Ordering::Relaxed);
            return Err(Full);
        }
        self.bytes += bytes;
        match Rung::at(thousandths(now, overload.budget)) {
            Rung::Calm => {}
            rung => overload.climb(rung),
        }
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.overload.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Settings, Sources};

    fn overload(bodies: usize, memory: Memory) -> Arc<Overload> {
        let limits = Settings::load(Sources::default()).unwrap().limits;
        Arc::new(Overload::new(&Limits { bodies, memory, ..limits }))
    }

    #[test]
    fn the_ladder_is_climbed_by_what_is_held() {
        let overload = overload(1000, Memory::Unlimited);
        let mut held = overload.holding();
        for (bytes, rung) in [
            (849, Rung::Calm),
            (1, Rung::ShortIdle),
            (70, Rung::NoKeepAlive),
            (30, Rung::Refusing),
            (30, Rung::NotAccepting),
            (20, Rung::NotAccepting),
        ] {
            assert_eq!((held.add(bytes), overload.rung()), (Ok(()), rung));
        }
        assert_eq!(held.add(1), Err(Full));
        drop(held);
        assert_eq!(overload.pressure(), 0);
    }

    #[test]
    fn measures_end_after_a_while_and_memory_counts() {
        let overload = overload(1000, Memory::Unlimited);
        let mut held = overload.holding();
        held.add(1000).unwrap();
        drop(held);
        let mut calm = 0;
        overload.look(&mut calm);
        assert_eq!(overload.rung(), Rung::NotAccepting, "a moment is no calm");
        overload.look(&mut calm);
        assert_eq!(overload.rung(), Rung::Calm);

        // This process has more than a byte.
        let overload = self::overload(1000, Memory::Bytes(1));
        overload.look(&mut calm);
        assert_eq!(overload.rung(), if cfg!(target_os = "linux") { Rung::NotAccepting } else { Rung::Calm });
    }

    #[test]
    fn large_bodies_are_taken_as_long_as_there_is_memory() {
        let Some(used) = memory::resident() else { return };
        // This process needs some more while it runs.
        let overload = overload(usize::MAX, Memory::Bytes(used + (256 << 20)));
        let mut held = overload.holding();
        held.add(16 << 20).unwrap();
        assert_eq!(held.add(512 << 20), Err(Full), "and as much again for what comes of it");
        assert_eq!(held.add(LARGE), Ok(()));
        let tight = self::overload(usize::MAX, Memory::Bytes(used / 2));
        tight.measure();
        let mut held = tight.holding();
        assert_eq!((held.add(LARGE - 1), held.add(1)), (Ok(()), Err(Full)), "small ones are what the ladder is for");
    }

    #[test]
    fn bodies_are_a_part_of_memory() {
        assert_eq!(overload(1000, Memory::Bytes(400)).budget, 100);
        assert_eq!(overload(1000, Memory::Bytes(1 << 30)).budget, 1000);
        assert_eq!(overload(usize::MAX, Memory::Unlimited).pressure(), 0);
    }
}
