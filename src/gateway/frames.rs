//! A second look at the frames that HTTP/2 callers send, for what h2 lets pass or calls by another name: trailers with
//! fields that only heads may have, such as `:path` (RFC 9113, 8.1; a request with such is malformed, whoever reads it), a
//! connection that does not begin with SETTINGS (3.4), and frames of a size that their kind cannot have (4.2).
//!
//! Names that a trailer takes from what was sent before on the connection (HPACK's dynamic table) are not looked up.

/// Larger trailers are refused.
const LARGEST: usize = 64 << 10;
const PREFACE: usize = 24;
const HEADERS: u8 = 1;
const PRIORITIES: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
/// HPACK's static table begins with the fields that only heads may have (RFC 7541, A).
const PSEUDO: std::ops::RangeInclusive<usize> = 1..=14;

/// Follows the frames of one connection.
#[derive(Debug)]
pub(super) struct Frames {
    state: State,
    /// Whether there was a frame before.
    has_begun: bool,
    /// The newest stream: headers of an older one are trailers.
    newest: u32,
    /// The trailers that are being collected: this frame's, and all of them.
    frame: Vec<u8>,
    block: Vec<u8>,
}

#[derive(Debug)]
enum State {
    /// Before the next frame, so many bytes.
    Skip(usize),
    /// In a frame's header.
    Header { bytes: [u8; 9], count: usize },
    /// In a frame of trailers.
    Trailers { left: usize, kind: u8, flags: u8 },
}

/// What was seen in the bytes of one look.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Good,
    /// A frame that is not acceptable begins so many bytes into them.
    BadFrom(usize, Wrong),
    /// It began before them.
    BadBefore,
}

/// What is wrong with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    /// It may not be there, or not with what is in it.
    Protocol,
    /// Its kind has no such size.
    Size,
}

impl Default for Frames {
    fn default() -> Self {
        Self { state: State::Skip(PREFACE), has_begun: false, newest: 0, frame: Vec::new(), block: Vec::new() }
    }
}

impl Frames {
    /// Takes the next bytes.
    pub(super) fn watch(&mut self, bytes: &[u8]) -> Seen {
        let mut rest = bytes;
        let mut frame_begins = None;
        while !rest.is_empty() {
            match &mut self.state {
                State::Skip(left) => {
                    let (_, after) = rest.split_at(rest.len().min(*left));
                    *left -= rest.len() - after.len();
                    rest = after;
                    if *left == 0 {
                        self.state = State::Header { bytes: [0; 9], count: 0 };
                    }
                }
                State::Header { bytes: header, count } => {
                    if *count == 0 {
                        frame_begins = Some(bytes.len() - rest.len());
                    }
                    let (taken, after) = rest.split_at(rest.len().min(header.len() - *count));
                    for (to, from) in header.iter_mut().skip(*count).zip(taken) {
                        *to = *from;
                    }
                    *count += taken.len();
                    rest = after;
                    if *count == header.len() {
                        let header = *header;
                        if let Some(wrong) = self.wrong(header) {
                            return frame_begins.map_or(Seen::BadBefore, |at| Seen::BadFrom(at, wrong));
                        }
                        self.state = self.begin(header);
                    }
                }
                State::Trailers { left, kind, flags } => {
                    let (taken, after) = rest.split_at(rest.len().min(*left));
                    *left -= taken.len();
                    rest = after;
                    self.frame.extend_from_slice(taken);
                    if *left == 0 {
                        let (kind, flags) = (*kind, *flags);
                        self.state = State::Header { bytes: [0; 9], count: 0 };
                        if self.ends_badly(kind, flags) {
                            let from = |at| Seen::BadFrom(at, Wrong::Protocol);
                            return frame_begins.map_or(Seen::BadBefore, from);
                        }
                    }
                }
            }
        }
        Seen::Good
    }

    /// What is wrong with a frame that begins so, as far as its header tells.
    fn wrong(&mut self, header: [u8; 9]) -> Option<Wrong> {
        let [.., kind, flags, _, _, _, _] = header;
        let (size, is_first) = (size(header), !std::mem::replace(&mut self.has_begun, true));
        if is_first && (kind != SETTINGS || flags & ACK != 0) {
            return Some(Wrong::Protocol);
        }
        let fits = match kind {
            PRIORITIES => size == 5,
            RST_STREAM | WINDOW_UPDATE => size == 4,
            SETTINGS => size.is_multiple_of(6) && (flags & ACK == 0 || size == 0),
            PING => size == 8,
            GOAWAY => size >= 8,
            _ => true,
        };
        (!fits).then_some(Wrong::Size)
    }

    /// What follows a frame's header (RFC 9113, 4.1).
    fn begin(&mut self, header: [u8; 9]) -> State {
        let (left, [_, _, _, kind, flags, stream @ ..]) = (size(header), header);
        let stream = u32::from_be_bytes(stream) & 0x7fff_ffff;
        let goes_on = kind == CONTINUATION && !self.block.is_empty();
        if kind == HEADERS && stream > self.newest {
            self.newest = stream;
        } else if left > 0 && (kind == HEADERS || goes_on) {
            return State::Trailers { left, kind, flags };
        }
        if left == 0 { State::Header { bytes: [0; 9], count: 0 } } else { State::Skip(left) }
    }

    /// A frame of trailers is complete.
    fn ends_badly(&mut self, kind: u8, flags: u8) -> bool {
        let mut fragment = self.frame.as_slice();
        if kind == HEADERS {
            let mut padding = 0;
            if let (true, Some((&length, after))) = (flags & PADDED != 0, fragment.split_first()) {
                (padding, fragment) = (usize::from(length), after);
            }
            let before = if flags & PRIORITY == 0 { 0 } else { 5 };
            let end = fragment.len().saturating_sub(padding);
            fragment = fragment.get(before..end).unwrap_or_default();
        }
        self.block.extend_from_slice(fragment);
        self.frame.clear();
        if flags & END_HEADERS == 0 {
            return self.block.len() > LARGEST;
        }
        let is_bad = names_pseudo(&self.block);
        self.block.clear();
        is_bad
    }
}

/// Of what follows a frame's header.
fn size([high, middle, low, ..]: [u8; 9]) -> usize {
    usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low)
}

/// Whether a block of fields (RFC 7541, 6) has one that only heads may have. What cannot be read is h2's to refuse.
fn names_pseudo(mut rest: &[u8]) -> bool {
    while let Some(&first) = rest.first() {
        let (bits, has_name) = match first {
            0x80.. => (7, false),
            0x40.. => (6, true),
            // The table's size.
            0x20.. => {
                let Some((_, after)) = integer(rest, 5) else { return false };
                rest = after;
                continue;
            }
            _ => (4, true),
        };
        let Some((index, after)) = integer(rest, bits) else { return false };
        if PSEUDO.contains(&index) {
            return true;
        }
        rest = after;
        if has_name && index == 0 {
            let Some((is_pseudo, after)) = text(rest) else { return false };
            if is_pseudo {
                return true;
            }
            rest = after;
        }
        if has_name {
            let Some((_, after)) = text(rest) else { return false };
            rest = after;
        }
    }
    false
}

/// A number whose first bits share their byte (RFC 7541, 5.1).
fn integer(bytes: &[u8], bits: u32) -> Option<(usize, &[u8])> {
    let (first, mut rest) = bytes.split_first()?;
    let most = (1_usize << bits) - 1;
    let mut value = usize::from(*first) & most;
    if value < most {
        return Some((value, rest));
    }
    for shift in [0, 7, 14, 21] {
        let (byte, after) = rest.split_first()?;
        rest = after;
        value += usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((value, rest));
        }
    }
    None
}

/// Passes a text (RFC 7541, 5.2). Whether it begins with a colon.
fn text(bytes: &[u8]) -> Option<(bool, &[u8])> {
    let is_huffman = bytes.first()? & 0x80 != 0;
    let (length, rest) = integer(bytes, 7)?;
    let (text, rest) = rest.split_at_checked(length)?;
    // In Huffman's code a colon is seven bits (RFC 7541, B).
    let begins = text.first().is_some_and(|byte| if is_huffman { byte >> 1 == 0x5c } else { *byte == b':' });
    Some((begins, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).unwrap();
        [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
    }

    /// What is seen in a connection's bytes, at once and one by one.
    fn seen(frames: &[Vec<u8>]) -> (Seen, bool) {
        let bytes = [vec![b'P'; PREFACE], frame(SETTINGS, 0, 0, b""), frames.concat()].concat();
        let whole = Frames::default().watch(&bytes);
        let mut single = Frames::default();
        let is_good = bytes.chunks(1).all(|byte| single.watch(byte) == Seen::Good);
        (whole, is_good)
    }

    /// Where the first frame after SETTINGS begins.
    const BEGIN: usize = PREFACE + 9;
    const HEAD: &[u8] = b"\x82\x86\x84";

    #[test]
    fn trailers_may_not_have_what_only_heads_have() {
        let head = frame(HEADERS, END_HEADERS, 1, HEAD);
        let data = frame(0, 0, 1, b"{}");
        let begins = BEGIN + head.len() + data.len();
        for trailers in [
            b"\x84".to_vec(),
            b"\x00\x05:path\x01x".to_vec(),
            b"\x40\x07:status\x01x".to_vec(),
            b"\x00\x82\xb9\x58\x01x".to_vec(),
            b"\x04\x01x".to_vec(),
            b"\x00\x01a\x01b\x10\x05:evil\x01x".to_vec(),
            b"\x3f\x01\x84".to_vec(),
        ] {
            let found = seen(&[head.clone(), data.clone(), frame(HEADERS, 5, 1, &trailers)]);
            assert_eq!(found, (Seen::BadFrom(begins, Wrong::Protocol), false), "{trailers:?}");
        }
        let padded = frame(HEADERS, 5 | PADDED | PRIORITY, 1, b"\x02\0\0\0\0\0\x84\0\0");
        assert_eq!(seen(&[head.clone(), padded]), (Seen::BadFrom(BEGIN + head.len(), Wrong::Protocol), false));
        let (first, second) = (frame(HEADERS, 1, 1, b"\x00\x05:pa"), frame(CONTINUATION, 4, 1, b"th\x01x"));
        let begins = BEGIN + head.len() + first.len();
        assert_eq!(seen(&[head, first, second]), (Seen::BadFrom(begins, Wrong::Protocol), false));
    }

    #[test]
    fn everything_else_passes() {
        let head = frame(HEADERS, END_HEADERS, 1, HEAD);
        let trailers = frame(HEADERS, 5, 1, b"\x00\x05x-sum\x01:\x40\x01a\x01b\xbe");
        let next = frame(HEADERS, 5, 3, HEAD);
        let settings = [frame(SETTINGS, ACK, 0, b""), frame(SETTINGS, 0, 0, b"\0\x03\0\0\0\x01")].concat();
        assert_eq!(seen(&[settings, head, frame(0, 0, 1, HEAD), trailers, next]), (Seen::Good, true));
    }

    #[test]
    fn frames_have_the_sizes_of_their_kinds() {
        for (kind, flags, sizes) in [
            (PRIORITIES, 0, [4, 6]),
            (RST_STREAM, 0, [3, 5]),
            (SETTINGS, 0, [1, 7]),
            (SETTINGS, ACK, [1, 6]),
            (PING, 0, [7, 9]),
            (GOAWAY, 0, [0, 7]),
            (WINDOW_UPDATE, 0, [0, 5]),
        ] {
            for size in sizes {
                let found = seen(&[frame(kind, flags, 1, &vec![0; size])]);
                assert_eq!(found, (Seen::BadFrom(BEGIN, Wrong::Size), false), "{kind} {size}");
            }
        }
        let good =
            [(PRIORITIES, 5), (RST_STREAM, 4), (PING, 8), (GOAWAY, 8), (GOAWAY, 20), (WINDOW_UPDATE, 4), (0xee, 3)];
        let good = good.map(|(kind, size)| frame(kind, 0, 1, &vec![0; size]));
        assert_eq!(seen(&good), (Seen::Good, true));
    }

    #[test]
    fn settings_come_first() {
        for first in [frame(PING, 0, 0, &[0; 8]), frame(SETTINGS, ACK, 0, b""), frame(HEADERS, 5, 1, HEAD)] {
            let bytes = [vec![b'P'; PREFACE], first].concat();
            assert_eq!(Frames::default().watch(&bytes), Seen::BadFrom(PREFACE, Wrong::Protocol));
        }
    }
}
