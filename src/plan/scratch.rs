//! The working memory of the one pass.

#[cfg(test)]
use super::TypeId;
use super::engine::{Item, Slot};
use super::keys::Met;
use super::lay::{MOST_LAID, Room};
use super::shape::Shape;
use super::stencil::{Copied, Stencils};

/// Reused working memory of translations; one per worker, keeps what messages of usual size need.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(super) side: [Vec<u8>; 2],
    pub(super) items: Vec<Item>,
    pub(super) slots: Vec<Slot>,
    pub(super) met: Vec<Met>,
    /// For the stencils that are laid within one another.
    pub(super) rooms: [Option<Box<Room>>; MOST_LAID],
    pub(super) copied: Vec<Copied>,
    /// What objects looked like, by set of lenses.
    pub(super) memories: Vec<(u64, Memory)>,
    /// Whether to translate every object in full.
    pub(super) in_full: bool,
    /// Members left out of the last translation because their place is taken (see [`super::Unplaced::Drop`]).
    pub(super) dropped: usize,
    /// Bodies that fused steps left to the single ones.
    pub(super) detours: usize,
}

impl Scratch {
    /// One that translates every object in full, whatever it looks like. Slower, with the same results: for tests of one
    /// against the other.
    pub fn in_full() -> Self {
        Self { in_full: true, ..Self::default() }
    }

    /// How many members the last translation left out because a rule writes a member of their name.
    pub fn dropped(&self) -> usize {
        self.dropped
    }

    /// How many bodies went step by step because the fused steps would not take them.
    pub fn detours(&self) -> usize {
        self.detours
    }

    /// Objects of a type since the last that fitted its stencil.
    #[cfg(test)]
    pub(super) fn misses(&self, of: TypeId) -> u32 {
        self.memories.first().map_or(0, |(_, memory)| memory.stencils[of.0].misses)
    }

    pub(super) fn clear(&mut self) {
        self.side.iter_mut().for_each(Vec::clear);
        self.items.clear();
        self.slots.clear();
        self.met.clear();
        self.copied.clear();
        trim(&mut self.copied);
        self.dropped = 0;
        if self.memories.len() > MAX_MEMORIES {
            self.memories.clear();
        }
    }

    /// Gives back what only a large document needs: each of many threads may have had one. `copied` is still
    /// read then: it waits for [`Scratch::clear`].
    pub(super) fn trim(&mut self) {
        self.side.iter_mut().for_each(trim);
        trim(&mut self.items);
        trim(&mut self.slots);
        trim(&mut self.met);
    }
}

fn trim<T>(buffer: &mut Vec<T>) {
    if buffer.capacity() * size_of::<T>() > KEPT {
        *buffer = Vec::new();
    }
}

/// What objects looked like under one set of lenses.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// By node.
    pub(super) shapes: Vec<Shape>,
    /// By lens.
    pub(super) stencils: Vec<Stencils>,
}

/// Sets of lenses whose objects one worker remembers. Beyond it, it begins anew.
const MAX_MEMORIES: usize = 64;

/// Bytes of one buffer that stay for the next document.
const KEPT: usize = 1 << 20;
