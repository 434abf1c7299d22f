//! A stencil: the text of one object with holes where its values stood, and what to write around them.
//!
//! Documents of one type nearly always differ in their values alone: names, order, white space are those of the one
//! before. So a stencil is cut from an object that was translated in full, and laid on the next one: each stretch between
//! two values is one comparison, which covers names, colons, commas, braces and spaces at once, and only the values are
//! scanned. What to write follows from the stretches alone, so it is worked out once, when the stencil is cut
//! (`plan/cut.rs`): texts that never change, runs of the source, values to convert. Whatever does not fit is translated
//! in full.

use super::lens::Nested;

/// How many values a stencil has at most: a bit each fits a word.
pub(super) const MOST_HOLES: usize = 64;

/// The most text that one op writes: copied whole, then cut, so that the copy has a fixed length.
pub(super) const TEXT: usize = 32;

/// One object's text without its values.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Stencil {
    pub(super) holes: Vec<Hole>,
    /// What stands behind the last value, up to the closing brace.
    pub(super) end: Stretch,
    /// What to write, in order.
    pub(super) ops: Vec<Op>,
    /// How many levels of objects it has.
    pub(super) levels: usize,
    /// Conversions between several places.
    pub(super) preparing: Vec<Preparing>,
    /// How many results they have.
    pub(super) prepared: usize,
}

/// A value, and the text before it.
#[derive(Debug, PartialEq)]
pub(super) struct Hole {
    pub(super) before: Stretch,
    /// How many of the stencil's objects are around it.
    pub(super) level: usize,
    pub(super) nested: Nested,
    /// The op that writes it, if all ops before that one can run before it is read: then it is translated into place.
    pub(super) in_place: Option<usize>,
}

/// A step of writing: a fixed text, then what comes from the source. Longer texts take several steps.
#[derive(Debug, PartialEq)]
pub(super) struct Op {
    pub(super) text: [u8; TEXT],
    /// How much of it to write.
    pub(super) length: u32,
    pub(super) what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// Nothing but the text.
    Text,
    /// The source from the start of one value to the end of another, or of the same.
    Run { first: u32, last: u32 },
    /// A nested document or list.
    Nested { hole: u32 },
    /// A value through the codec of a write.
    Convert { hole: u32, node: u32, write: u32 },
    /// Runs one of the stencil's conversions between several places.
    Prepare { index: u32 },
    /// One of its results.
    Prepared { output: u32 },
}

/// A conversion between several places, by the values that the stencil has.
#[derive(Debug, PartialEq)]
pub(super) struct Preparing {
    /// Index among the lens's.
    pub(super) index: usize,
    /// The value of each place; none where the object does not have it.
    pub(super) inputs: Vec<Option<u32>>,
    /// Where each result goes; none where there was none.
    pub(super) outputs: Vec<Option<u32>>,
}

/// A text to compare with: two words for the common lengths, masked where they are longer than the text.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Stretch {
    head: u128,
    head_mask: u128,
    tail: u128,
    tail_mask: u128,
    text: Box<[u8]>,
}

impl Stretch {
    pub(super) fn new(text: &[u8]) -> Self {
        let word = |text: &[u8]| {
            let (mut word, mut mask) = ([0; 16], [0; 16]);
            for ((word, mask), byte) in word.iter_mut().zip(&mut mask).zip(text) {
                (*word, *mask) = (*byte, u8::MAX);
            }
            (u128::from_le_bytes(word), u128::from_le_bytes(mask))
        };
        let (head, head_mask) = word(text);
        let (tail, tail_mask) = word(text.get(16..).unwrap_or_default());
        Self { head, head_mask, tail, tail_mask, text: text.into() }
    }

    /// If it stands at a position, the position behind it.
    #[inline]
    pub(super) fn behind(&self, text: &[u8], at: usize) -> Option<usize> {
        let length = self.text.len();
        let window = text.get(at..).and_then(|rest| rest.first_chunk::<32>());
        let Some((head, rest)) = window.filter(|_| length <= 32).and_then(|window| window.split_first_chunk()) else {
            return self.behind_slowly(text, at);
        };
        if (u128::from_le_bytes(*head) ^ self.head) & self.head_mask != 0 {
            return None;
        }
        if length > 16 {
            let tail = rest.first_chunk().map(|tail| u128::from_le_bytes(*tail))?;
            if (tail ^ self.tail) & self.tail_mask != 0 {
                return None;
            }
        }
        Some(at + length)
    }

    #[inline(never)]
    fn behind_slowly(&self, text: &[u8], at: usize) -> Option<usize> {
        text.get(at..)?.starts_with(&self.text).then_some(at + self.text.len())
    }

    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }
}

/// What one worker remembers of the objects of one lens.
#[derive(Debug, Default)]
pub(super) struct Stencils {
    pub(super) kept: Option<Box<Stencil>>,
    /// Whether it is laid on an object that is still being read.
    pub(super) lent: bool,
    /// Objects since the last that fitted.
    pub(super) misses: u32,
}

impl Stencils {
    /// Notes an object that did not fit; answers whether a new stencil should be cut from it. Where objects keep changing,
    /// cutting from each would cost more than it saves.
    pub(super) fn is_worth_cutting(&mut self) -> bool {
        if self.lent {
            return false;
        }
        self.misses = self.misses.wrapping_add(1);
        self.misses <= 4 || self.misses.is_multiple_of(32)
    }
}

/// Where the values of one object are.
pub(super) type Ranges = [Range; MOST_HOLES];

/// Where a value is: in the source, or among what was translated before its place came.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Range {
    pub(super) start: u32,
    pub(super) end: u32,
}

/// What the writer copied, of what it wrote for one object: everything else it wrote is the same for every object of
/// the same shape.
#[derive(Debug, Clone, Copy)]
pub(super) struct Copied {
    pub(super) out_start: usize,
    pub(super) out_end: usize,
    pub(super) from: From,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum From {
    /// The source, from this offset on.
    Source(usize),
    /// A slot, as it is.
    Slot(usize),
    /// A slot, converted.
    Converted(usize),
    /// A slot whose value became nothing, which says nothing of the next object's value.
    Vanished,
}
