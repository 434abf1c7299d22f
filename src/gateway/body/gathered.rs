//! A body that is put together from its pieces.
//!
//! Large ones get memory of their own from the system, and give it back the moment that nobody needs them any more. An
//! allocator would keep it for later: many callers who send large bodies at once, most of which are refused, would leave
//! more behind than a small machine has.

use bytes::{Bytes, BytesMut};
use memmap2::{MmapMut, MmapOptions};

/// Bodies from this size on.
const LARGE: usize = 1 << 20;

/// What has come so far.
pub(super) enum Gathered {
    /// Most bodies come in one piece and are not copied.
    Piece(Bytes),
    Joined(BytesMut),
    Large(Large),
}

/// Memory of its own.
pub(super) struct Large {
    memory: MmapMut,
    filled: usize,
}

impl Gathered {
    pub(super) const fn new() -> Self {
        Self::Piece(Bytes::new())
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Piece(piece) => piece.len(),
            Self::Joined(joined) => joined.len(),
            Self::Large(large) => large.filled,
        }
    }

    /// Adds a piece of a body that has `told` bytes in all, where its sender says so, and else at most `most`.
    pub(super) fn push(&mut self, data: Bytes, told: Option<usize>, most: usize) {
        if self.len() == 0 {
            *self = Self::Piece(data);
            return;
        }
        let length = self.len() + data.len();
        if !matches!(self, Self::Large(_)) && length >= LARGE {
            // What is not written to takes no memory.
            self.enlarge(told.unwrap_or(most).max(length));
        }
        match self {
            Self::Large(large) => {
                if large.push(&data) {
                    return;
                }
            }
            Self::Joined(joined) => return joined.extend_from_slice(&data),
            Self::Piece(_) => {}
        }
        // At once, where it is known: what grows piece by piece is copied, and there twice meanwhile.
        let mut joined = BytesMut::with_capacity(told.unwrap_or_default().min(LARGE).max(length));
        joined.extend_from_slice(self.so_far());
        joined.extend_from_slice(&data);
        *self = Self::Joined(joined);
    }

    /// Moves to memory of its own. The system may have none: then it stays.
    fn enlarge(&mut self, room: usize) {
        let Ok(memory) = MmapOptions::new().len(room).no_reserve_swap().map_anon() else { return };
        let mut large = Large { memory, filled: 0 };
        if large.push(self.so_far()) {
            *self = Self::Large(large);
        }
    }

    fn so_far(&self) -> &[u8] {
        match self {
            Self::Piece(piece) => piece,
            Self::Joined(joined) => joined,
            Self::Large(large) => large.as_ref(),
        }
    }

    pub(super) fn finish(self) -> Bytes {
        match self {
            Self::Piece(piece) => piece,
            Self::Joined(joined) => joined.freeze(),
            Self::Large(large) => Bytes::from_owner(large),
        }
    }
}

impl Large {
    /// Whether there was room for it.
    fn push(&mut self, data: &[u8]) -> bool {
        let end = self.filled + data.len();
        let Some(place) = self.memory.get_mut(self.filled..end) else { return false };
        place.copy_from_slice(data);
        self.filled = end;
        true
    }
}

impl AsRef<[u8]> for Large {
    fn as_ref(&self) -> &[u8] {
        self.memory.get(..self.filled).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_the_sum_of_their_pieces() {
        let piece = |number: usize, length: usize| {
            Bytes::from(vec![if number.is_multiple_of(2) { b'a' } else { b'b' }; length])
        };
        for lengths in
            [vec![], vec![5], vec![0, 5, 0], vec![1000; 3], vec![LARGE], vec![LARGE / 2; 5], vec![1, LARGE, 1]]
        {
            let all: Vec<u8> = lengths.iter().enumerate().flat_map(|(at, length)| piece(at, *length)).collect();
            // What is said of it may be too little.
            for told in [None, Some(0), Some(all.len()), Some(2 * all.len())] {
                let mut gathered = Gathered::new();
                for (at, length) in lengths.iter().enumerate() {
                    gathered.push(piece(at, *length), told, all.len());
                }
                assert_eq!(gathered.len(), all.len());
                assert!(gathered.finish() == all, "{lengths:?} as {told:?}");
            }
        }
    }

    #[test]
    fn large_ones_have_memory_of_their_own() {
        let mut gathered = Gathered::new();
        for _ in 0..LARGE / 1024 {
            gathered.push(Bytes::from(vec![0; 1024]), None, 2 * LARGE);
        }
        assert!(matches!(gathered, Gathered::Large(_)));
    }
}
