//! Member names: finding a rule's names among a document's, and finding a document's own duplicates.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::json::unescape;

/// A cheap mixing of a name's length, first and last bytes. Not meant to withstand an attacker: everything that uses
/// it compares the names themselves, and falls back to a keyed hash before collisions could cost.
#[inline]
fn fingerprint(name: &[u8]) -> u64 {
    let mixed = if let (Some(first), Some(last)) = (name.first_chunk::<8>(), name.last_chunk::<8>()) {
        u64::from_le_bytes(*first) ^ u64::from_le_bytes(*last).rotate_left(23)
    } else if let (Some(first), Some(last)) = (name.first_chunk::<4>(), name.last_chunk::<4>()) {
        u64::from(u32::from_le_bytes(*first)) | (u64::from(u32::from_le_bytes(*last)) << 32)
    } else {
        let at = |index: usize| u64::from(name.get(index).copied().unwrap_or(0));
        at(0) | (at(1) << 8) | (at(2) << 16)
    };
    (mixed ^ (name.len() as u64).rotate_left(56)).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// A fixed set of names, each with its index.
#[derive(Debug, Default)]
pub(super) struct Keys {
    /// Index of the first entry of each bucket, plus one; the length is a power of two.
    buckets: Vec<u32>,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    fingerprint: u64,
    name: Box<[u8]>,
    /// The bucket's next entry, plus one.
    next: u32,
}

impl Keys {
    pub(super) fn new<'n>(names: impl ExactSizeIterator<Item = &'n str>) -> Self {
        let mut keys = Self { buckets: vec![0; (names.len() * 4).next_power_of_two()], entries: Vec::new() };
        for name in names {
            let fingerprint = fingerprint(name.as_bytes());
            let bucket = keys.bucket(fingerprint);
            let index = u32::try_from(keys.entries.len() + 1).unwrap_or(u32::MAX);
            if let Some(head) = keys.buckets.get_mut(bucket) {
                keys.entries.push(Entry { fingerprint, name: name.as_bytes().into(), next: *head });
                *head = index;
            }
        }
        keys
    }

    #[inline]
    fn bucket(&self, fingerprint: u64) -> usize {
        (fingerprint >> 40) as usize & (self.buckets.len().wrapping_sub(1))
    }

    /// The index of a name.
    pub(super) fn get(&self, name: &[u8]) -> Option<usize> {
        self.find(name, fingerprint(name))
    }

    /// The index of a name whose fingerprint is known.
    #[inline]
    pub(super) fn find(&self, name: &[u8], fingerprint: u64) -> Option<usize> {
        let mut next = *self.buckets.get(self.bucket(fingerprint))?;
        while next != 0 {
            let index = next as usize - 1;
            let entry = self.entries.get(index)?;
            if entry.fingerprint == fingerprint && *entry.name == *name {
                return Some(index);
            }
            next = entry.next;
        }
        None
    }
}

/// A member's name, escapes resolved.
#[derive(Clone, Copy)]
pub(super) struct Name<'n> {
    pub(super) text: &'n [u8],
    pub(super) fingerprint: u64,
    /// Whether it was written with escapes.
    pub(super) escaped: bool,
}

impl<'n> Name<'n> {
    #[inline]
    pub(super) fn new(text: &'n [u8], escaped: bool) -> Self {
        Self { text, fingerprint: fingerprint(text), escaped }
    }
}

/// A name as written between its quotes, escapes resolved.
pub(super) fn plain_name(raw: &[u8], escaped: bool) -> Cow<'_, [u8]> {
    if !escaped {
        return Cow::Borrowed(raw);
    }
    let mut literal = Vec::with_capacity(raw.len() + 2);
    literal.push(b'"');
    literal.extend_from_slice(raw);
    literal.push(b'"');
    unescape(&literal).map_or(Cow::Borrowed(raw), |name| Cow::Owned(name.into_owned().into_bytes()))
}

/// One name that was met: where it is written, between its quotes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Met {
    fingerprint: u64,
    start: u32,
    end: u32,
    escaped: bool,
}

/// Objects larger than this are watched with a keyed hash set, so that chosen names cannot make the search quadratic.
const MANY: usize = 64;

/// The names met so far in one object.
pub(super) struct Seen {
    filter: [u64; 4],
    base: usize,
    large: Option<HashSet<Vec<u8>>>,
}

impl Seen {
    /// `met` is the stack on which this object's names will be pushed.
    pub(super) fn new(met: &[Met]) -> Self {
        Self { filter: [0; 4], base: met.len(), large: None }
    }

    /// How many names were met, as long as they are few.
    pub(super) fn names<'m>(&self, met: &'m [Met]) -> Option<&'m [Met]> {
        met.get(self.base..).filter(|met| met.len() < MANY)
    }

    /// Notes a name, written at `start..end` between its quotes; answers whether it was there before.
    #[inline]
    pub(super) fn note(&mut self, text: &[u8], met: &mut Vec<Met>, name: Name<'_>, start: usize, end: usize) -> bool {
        if met.len() - self.base >= MANY {
            return self.note_among_many(text, met, name.text);
        }
        let bit = name.fingerprint >> 56;
        let mut twice = false;
        if let Some(word) = self.filter.get_mut((bit >> 6) as usize & 3) {
            let mask = 1 << (bit & 63);
            if *word & mask != 0 {
                twice = is_among(text, met.get(self.base..).unwrap_or_default(), name);
            }
            *word |= mask;
        }
        // Documents are at most 4 GiB: the engine refuses longer ones before it starts.
        #[expect(clippy::cast_possible_truncation, reason = "bounded by the engine's input limit")]
        met.push(Met { fingerprint: name.fingerprint, start: start as u32, end: end as u32, escaped: name.escaped });
        twice
    }

    #[cold]
    fn note_among_many(&mut self, text: &[u8], met: &[Met], name: &[u8]) -> bool {
        let before = met.get(self.base..).unwrap_or_default();
        let large = self.large.get_or_insert_with(|| before.iter().map(|one| one.name(text).into_owned()).collect());
        !large.insert(name.to_vec())
    }
}

impl Met {
    /// Its literal with quotes and the colon behind it, if it is written plainly: `"name":`.
    pub(super) fn label<'t>(&self, text: &'t [u8]) -> Option<&'t [u8]> {
        let label = text.get(self.start as usize - 1..self.end as usize + 2)?;
        (!self.escaped && label.last() == Some(&b':')).then_some(label)
    }

    fn name<'t>(&self, text: &'t [u8]) -> Cow<'t, [u8]> {
        plain_name(text.get(self.start as usize..self.end as usize).unwrap_or_default(), self.escaped)
    }
}

#[cold]
fn is_among(text: &[u8], met: &[Met], name: Name<'_>) -> bool {
    met.iter().any(|one| one.fingerprint == name.fingerprint && *one.name(text) == *name.text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_duplicate(names: &[&str]) -> Option<usize> {
        let text = names.concat();
        let mut met = Vec::new();
        let mut seen = Seen::new(&met);
        let mut start = 0;
        names.iter().position(|name| {
            let end = start + name.len();
            let escaped = name.contains('\\');
            let plain = plain_name(name.as_bytes(), escaped);
            let twice = seen.note(text.as_bytes(), &mut met, Name::new(&plain, escaped), start, end);
            start = end;
            twice
        })
    }

    #[test]
    fn finds_duplicates_however_spelled_and_however_many() {
        assert_eq!(first_duplicate(&["a", "b", "c", "aa", ""]), None);
        assert_eq!(first_duplicate(&["role", "x", "\\u0072ole"]), Some(2));
        let mut many: Vec<String> = (0..5000).map(|number| format!("key{number}")).collect();
        many.push("key17".into());
        assert_eq!(first_duplicate(&many.iter().map(String::as_str).collect::<Vec<_>>()), Some(5000));
    }

    #[test]
    fn finds_every_name_and_no_other() {
        let names: Vec<String> = (0..300).map(|number| format!("n{number}")).collect();
        let keys = Keys::new(names.iter().map(String::as_str));
        for (index, name) in names.iter().enumerate() {
            assert_eq!(keys.find(name.as_bytes(), fingerprint(name.as_bytes())), Some(index));
        }
        assert_eq!(keys.find(b"n300", fingerprint(b"n300")), None);
        assert_eq!(Keys::new(std::iter::empty()).find(b"", fingerprint(b"")), None);
    }
}
