//! Tables whose keys are names that rules give, or numbers that nobody outside this process can choose. So they need no
//! seed of their own, and hash fast. Callers choose only what is looked for, and that changes no table.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::json::word_of;

/// A table by such keys.
pub(crate) type Names<K, V> = HashMap<K, V, BuildHasherDefault<Folded>>;

/// A hash of words, each multiplied and folded into one.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Folded(u64);

impl Folded {
    #[inline]
    fn fold(&mut self, word: u64) {
        // An odd number with about as many ones as zeros.
        let product = u128::from(self.0 ^ word ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93;
        #[expect(clippy::cast_possible_truncation, reason = "both halves are wanted")]
        let folded = (product as u64) ^ ((product >> 64) as u64);
        self.0 = folded;
    }
}

impl Hasher for Folded {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks();
        for word in words {
            self.fold(u64::from_le_bytes(*word));
        }
        self.fold(word_of(rest).unwrap_or_default());
        self.0 ^= bytes.len() as u64;
    }

    #[inline]
    fn write_u8(&mut self, byte: u8) {
        self.fold(byte.into());
    }

    #[inline]
    fn write_u64(&mut self, number: u64) {
        self.fold(number);
    }

    #[inline]
    fn write_usize(&mut self, number: usize) {
        self.fold(number as u64);
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::{BuildHasher, BuildHasherDefault};

    use super::*;

    #[test]
    fn names_that_differ_little_are_told_apart_by_every_part_of_the_hash() {
        let folded = BuildHasherDefault::<Folded>::default();
        let names = (0..50_000).flat_map(|number| [format!("v{number}"), format!("GET /orders-{number}/{{id}}")]);
        let hashes: Vec<u64> = names.map(|name| folded.hash_one(name)).collect();
        let parts = |shift: u32| hashes.iter().map(|hash| (hash >> shift) & 0xffff).collect::<HashSet<_>>().len();
        assert_eq!(hashes.iter().collect::<HashSet<_>>().len(), hashes.len());
        // As many as of 100,000 balls in 65,536 urns are expected not to be empty, give or take.
        for shift in [0, 16, 32, 48] {
            assert!((50_500..52_700).contains(&parts(shift)), "{shift}: {}", parts(shift));
        }
    }

    #[test]
    fn where_a_text_ends_matters() {
        let folded = BuildHasherDefault::<Folded>::default();
        let texts = ["", "\0", "\0\0", "a", "a\0", "aaaaaaaa", "aaaaaaaa\0"];
        assert_eq!(texts.map(|text| folded.hash_one(text)).into_iter().collect::<HashSet<_>>().len(), texts.len());
    }
}
