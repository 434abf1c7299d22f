//! What objects looked like the last time: their members in order.
//!
//! Documents of one type nearly always name the same members in the same order. Comparing the text with the name that
//! came next last time costs a few instructions; scanning, hashing and looking it up costs many. Names matched in
//! this order are distinct, so there is no duplicate to look for either. Whatever does not match is read in full.

use super::lens::Read;

/// The members of the last object read at one node.
#[derive(Debug, Default)]
pub(super) struct Shape {
    known: Vec<Known>,
    /// Objects since the last that matched.
    misses: u32,
}

/// One member's name, from its first quote to the colon.
#[derive(Debug)]
pub(super) struct Known {
    head: u64,
    mask: u64,
    tail: u64,
    literal: Box<[u8]>,
    /// Index of the node's action, if it has one.
    pub(super) action: u32,
    pub(super) read: Read,
}

/// How many members a shape has at most.
pub(super) const MOST: usize = 64;

/// How many members may be missing between two that are there.
const AHEAD: usize = 3;

impl Known {
    pub(super) fn new(literal: &[u8], action: u32, read: Read) -> Self {
        let mut first = [0; 8];
        for (to, from) in first.iter_mut().zip(literal) {
            *to = *from;
        }
        let mask = if literal.len() >= 8 { u64::MAX } else { (1 << (literal.len() * 8)) - 1 };
        let tail = literal.last_chunk::<8>().map_or(0, |chunk| u64::from_le_bytes(*chunk));
        Self { head: u64::from_le_bytes(first), mask, tail, literal: literal.into(), action, read }
    }

    /// How many bytes it takes, colon included.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.literal.len()
    }

    /// The name between its quotes.
    pub(super) fn name(&self) -> &[u8] {
        self.literal.get(1..self.literal.len().saturating_sub(2)).unwrap_or_default()
    }

    pub(super) fn literal(&self) -> &[u8] {
        &self.literal
    }

    /// Whether the text has it at a position. May answer `false` near the text's end.
    #[inline]
    pub(super) fn stands_at(&self, text: &[u8], at: usize) -> bool {
        let word = |at: usize| text.get(at..at + 8).and_then(|word| word.first_chunk::<8>());
        let Some(first) = word(at) else { return false };
        if u64::from_le_bytes(*first) & self.mask != self.head {
            return false;
        }
        match self.literal.len() {
            0..=8 => true,
            length @ 9..=16 => word(at + length - 8).is_some_and(|last| u64::from_le_bytes(*last) == self.tail),
            length => text.get(at..at + length) == Some(&self.literal),
        }
    }
}

/// The index of the known member that stands at a position, `from` or shortly behind it: others may be missing.
#[cold]
pub(super) fn next_known(known: &[Known], from: usize, text: &[u8], at: usize) -> Option<usize> {
    let mut candidates = known.get(from..)?.iter().take(AHEAD);
    candidates.position(|known| known.stands_at(text, at)).map(|ahead| from + ahead)
}

impl Shape {
    /// Lends the members while an object is read. A document of the same type nested in that object finds none, and is
    /// read in full.
    #[inline]
    pub(super) fn lend(&mut self) -> Vec<Known> {
        std::mem::take(&mut self.known)
    }

    /// Takes back the members, of an object that matched throughout.
    #[inline]
    pub(super) fn hit(&mut self, known: Vec<Known>) {
        self.known = known;
        self.misses = 0;
    }

    /// Notes an object that did not match; answers whether its own members are worth learning. Where shapes keep
    /// changing, learning each would cost more than it saves.
    pub(super) fn is_worth_learning(&mut self) -> bool {
        self.misses = self.misses.wrapping_add(1);
        self.misses <= 4 || self.misses.is_multiple_of(32)
    }

    /// Takes members back, or other ones in their stead.
    pub(super) fn keep(&mut self, known: Vec<Known>) {
        self.known = known;
    }
}
