//! Random numbers, and ids that are written with them.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

thread_local! {
    static RANDOM: (RandomState, Cell<u64>) = (RandomState::new(), Cell::new(0));
}

/// Random enough for ids: the hash of a count, with keys of this thread's own that the system has seeded.
pub(crate) fn random() -> u64 {
    RANDOM.with(|(keys, count)| {
        count.set(count.get().wrapping_add(1));
        keys.hash_one(count.get())
    })
}

/// Random hexadecimal digits, sixteen after each of these.
pub(super) fn digits<const N: usize>(before: [&str; N], after: &str) -> String {
    let mut text = Vec::with_capacity(64);
    for part in before {
        text.extend_from_slice(part.as_bytes());
        let bits = random();
        for half in [bits >> 32, bits & 0xffff_ffff] {
            text.extend_from_slice(&eight_digits(half));
        }
    }
    text.extend_from_slice(after.as_bytes());
    // It is ASCII.
    String::from_utf8(text).unwrap_or_default()
}

/// The hexadecimal digits of a number of 32 bits, all at once.
fn eight_digits(number: u64) -> [u8; 8] {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    // A digit for each byte.
    let pairs = (number << 16 | number) & 0x0000_ffff_0000_ffff;
    let pairs = (pairs << 8 | pairs) & 0x00ff_00ff_00ff_00ff;
    let digits = (pairs << 4 | pairs) & 0x0f0f_0f0f_0f0f_0f0f;
    // Six more than a letter's value passes sixteen.
    let letters = ((digits + ONES * 6) >> 4) & ONES;
    let distance = u64::from(b'a' - b'0' - 10);
    (digits + ONES * u64::from(b'0') + letters * distance).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_of_the_number() {
        for number in [0, 1, 0x0123_4567, 0x89ab_cdef, 0xffff_ffff, 0xa0b9_0f9a] {
            assert_eq!(eight_digits(number).as_slice(), format!("{number:08x}").as_bytes());
        }
    }
}
