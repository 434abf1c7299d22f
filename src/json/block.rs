//! Many bytes at once.

/// How many bytes of a string are looked at together.
pub(super) const BLOCK: usize = 16;

/// How many bytes of a block come before the first quote, backslash or control character.
#[inline]
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "vector instructions, three times as fast as the words below on short strings")]
pub(super) fn first_stop(block: &[u8; BLOCK]) -> usize {
    use std::arch::x86_64::{__m128i, _mm_cmpeq_epi8, _mm_max_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8};
    // SAFETY: every x86-64 has SSE2, which is all that the intrinsics ask, and any 16 bytes are a valid vector.
    let stops = unsafe {
        let bytes = std::mem::transmute::<[u8; BLOCK], __m128i>(*block);
        let quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x22));
        let slash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x5c));
        let last_control = _mm_set1_epi8(0x1f);
        let control = _mm_cmpeq_epi8(_mm_max_epu8(bytes, last_control), last_control);
        _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quote, slash), control))
    };
    (stops | 1 << BLOCK).trailing_zeros() as usize
}

/// The same in words.
#[inline]
#[cfg(any(test, not(target_arch = "x86_64")))]
fn first_stop_in_words(block: &[u8; BLOCK]) -> usize {
    let word = u128::from_le_bytes(*block);
    let quote = word ^ (ONES * 0x22);
    let slash = word ^ (ONES * 0x5c);
    // The lowest flagged byte is exact; those above it may be flagged by a borrow, and are not asked.
    let stops = ((quote.wrapping_sub(ONES) & !quote)
        | (slash.wrapping_sub(ONES) & !slash)
        | (word.wrapping_sub(ONES * 0x20) & !word))
        & HIGHS;
    (stops.trailing_zeros() / 8) as usize
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) use first_stop_in_words as first_stop;

#[cfg(any(test, not(target_arch = "x86_64")))]
const ONES: u128 = u128::from_ne_bytes([1; 16]);
#[cfg(any(test, not(target_arch = "x86_64")))]
const HIGHS: u128 = ONES << 7;

/// Whether a text has no quote, backslash or control character.
#[inline]
pub(super) fn is_plain(text: &[u8]) -> bool {
    let Some(last) = text.last_chunk::<BLOCK>() else {
        let word = match (text.first_chunk::<8>(), text.last_chunk::<8>()) {
            (Some(first), Some(last)) => {
                let last = u128::from(u64::from_le_bytes(*last)) << ((text.len() - 8) * 8);
                u128::from(u64::from_le_bytes(*first)) | last
            }
            _ => word_of(text).map_or(0, u128::from),
        };
        // What stands behind the text is zero, and so a control character.
        return first_stop(&word.to_le_bytes()) == text.len();
    };
    text.as_chunks().0.iter().chain([last]).all(|block| first_stop(block) == BLOCK)
}

/// How many of the first bytes are digits.
#[inline]
pub(super) fn count_digits(word: [u8; 8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let values = u64::from_le_bytes(word) ^ (ONES * 0x30);
    // A digit is at most 9 now; more sets its byte's highest bit. The lowest flagged byte is exact, as above.
    let others = (values.wrapping_add(ONES * 0x76) | values) & (ONES << 7);
    (others.trailing_zeros() / 8) as usize
}

/// Up to eight bytes as one number, the first byte lowest; nothing if there are more.
#[inline]
pub(crate) fn word_of(bytes: &[u8]) -> Option<u64> {
    let length = bytes.len();
    // Two reads that overlap have fixed lengths, whatever the length of the text.
    match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        (Some(first), Some(last)) if length <= 8 => {
            let last = u64::from(u32::from_le_bytes(*last)) << ((length - 4) * 8);
            Some(u64::from(u32::from_le_bytes(*first)) | last)
        }
        (Some(_), _) => None,
        _ => Some(bytes.iter().rev().fold(0, |word, byte| (word << 8) | u64::from(*byte))),
    }
}

/// Whether the lowest `count` bytes of a number, at most eight, are digits.
#[inline]
pub(crate) fn are_digits(word: u64, count: usize) -> bool {
    count_digits(word.to_le_bytes()) >= count
}

/// The position behind a value, if it is one of the common ones: a string without escapes, a number of up to seven
/// letters without sign and exponent, a literal; nothing for any other, and near the text's end. What it accepts is right
/// in every byte.
#[inline]
pub(crate) fn simple_end(text: &[u8], at: usize) -> Option<usize> {
    match text.get(at)? {
        b'"' => plain_string_end(text, at),
        b'0'..=b'9' => {
            let word = text.get(at..)?.first_chunk::<8>()?;
            let digits = count_digits(*word);
            let leading_zero = digits > 1 && word.first() == Some(&b'0');
            // Eight digits may have more behind them.
            let length = match word.get(digits)? {
                b'.' => fraction_end(*word, digits)?,
                b'e' | b'E' => return None,
                _ => digits,
            };
            (!leading_zero).then_some(at + length)
        }
        b'n' => (text.get(at..)?.first_chunk()? == b"null").then_some(at + 4),
        b't' => (text.get(at..)?.first_chunk()? == b"true").then_some(at + 4),
        b'f' => (text.get(at..)?.first_chunk()? == b"false").then_some(at + 5),
        _ => None,
    }
}

/// The position behind a fraction whose point is at a position, if it ends in the same word.
fn fraction_end(word: [u8; 8], point: usize) -> Option<usize> {
    let behind = point + 1;
    let fraction = u64::from_le_bytes(word).checked_shr(u32::try_from(behind * 8).ok()?)?;
    let digits = count_digits(fraction.to_le_bytes());
    // What was shifted in is not a digit, so an end that is not in the word is seen here.
    let next = word.get(behind + digits)?;
    (digits > 0 && !matches!(next, b'e' | b'E')).then_some(behind + digits)
}

/// The position behind a string whose opening quote is at a position, if it has no escapes and is right in every byte.
#[inline]
pub(crate) fn plain_string_end(text: &[u8], at: usize) -> Option<usize> {
    // Most strings are short: one block shows where they end.
    let at = at + 1;
    let block = text.get(at..)?.first_chunk::<BLOCK>()?;
    let length = first_stop(block);
    match block.get(length) {
        Some(b'"') => Some(at + length + 1),
        Some(_) => None,
        None => long_string_end(text, at + BLOCK),
    }
}

#[inline(never)]
fn long_string_end(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let block = text.get(at..)?.first_chunk::<BLOCK>()?;
        let length = first_stop(block);
        at += length;
        if let Some(stop) = block.get(length) {
            return (*stop == b'"').then_some(at + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_at_every_place() {
        for byte in 0..=u8::MAX {
            for place in 0..BLOCK {
                for filler in [b'a', b'0', 0x20, 0x21, 0x23, 0x5b, 0x5d, 0x7f, 0x80, 0xff] {
                    let mut block = [filler; BLOCK];
                    // Behind the first stop, anything may stand.
                    block.iter_mut().skip(place).for_each(|later| *later = byte);
                    let stops = matches!(byte, b'"' | b'\\' | 0..0x20);
                    let expected = if stops { place } else { BLOCK };
                    assert_eq!(
                        (first_stop(&block), first_stop_in_words(&block)),
                        (expected, expected),
                        "{byte} {place}"
                    );
                }
            }
            for place in 0..8 {
                for filler in b'0'..=b'9' {
                    let mut word = [filler; 8];
                    word.iter_mut().skip(place).for_each(|later| *later = byte);
                    assert_eq!(count_digits(word), if byte.is_ascii_digit() { 8 } else { place }, "{byte} {place}");
                }
            }
        }
    }

    #[test]
    fn words_hold_the_bytes_in_order() {
        let bytes = [1, 2, 3, 4, 5, 6, 7, 8, 9];
        for length in 0..=8 {
            let mut word = [0; 8];
            word.iter_mut().zip(&bytes[..length]).for_each(|(to, from)| *to = *from);
            assert_eq!(word_of(&bytes[..length]), Some(u64::from_le_bytes(word)), "{length}");
        }
        assert_eq!(word_of(&bytes), None);
    }

    #[test]
    fn simple_values_are_right_and_whole() {
        let plain = ["\"\"", "\"a\"", "\"fifteen bytes ..\"", "\"a string that takes more than two blocks of bytes\""];
        let numbers = ["0", "7", "42", "1234567", "1.5", "0.0", "12345.6", "1.25000"];
        let literals = ["true", "false", "null"];
        let simple = plain.into_iter().chain(numbers).chain(literals);
        let others = ["-1", "1e2", "1.5e2", "1.5E2", "12345678", "123456.7", "1.123456", "\"a\\n\"", "[]", "{}"];
        let wrong = [
            "01",
            "00",
            "0123456",
            "1.",
            "00.5",
            "1.e2",
            "1..2",
            "1234567.",
            "123456.",
            "tru_",
            "nul",
            "\"\n\"",
            "\"a line\nin a string that takes two blocks\"",
            "\"",
            "",
        ];
        for (texts, accepted) in [(simple.collect(), true), (others.to_vec(), false), (wrong.to_vec(), false)] {
            for text in texts {
                for behind in [",", "}", "]", " ", ":", "\n"] {
                    let longer = format!("{text}{behind}{}", " ".repeat(16));
                    let expected = accepted.then_some(text.len());
                    assert_eq!(simple_end(longer.as_bytes(), 0), expected, "{longer:?}");
                    // Near the end of the text, the answer may be none, but not a wrong one.
                    let short = format!("{text}{behind}");
                    assert!(simple_end(short.as_bytes(), 0).is_none_or(|end| Some(end) == expected), "{short:?}");
                }
            }
        }
    }
}
