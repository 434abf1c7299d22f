//! Where a value ends whose text comes in pieces.

use memchr::memchr2;

/// Follows one value through pieces of text. It looks at quotes and nesting alone: whether the value is right is for the
/// scanner to say, once it is whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    kind: Kind,
    /// Containers that are open.
    depth: usize,
    in_string: bool,
    /// Behind a backslash.
    escaped: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Container,
    String,
    /// A number, a literal, or nothing that could be either.
    Plain,
}

impl Extent {
    /// Of the value that begins with this byte, which [`Self::end`] is shown as well.
    pub(crate) fn new(first: u8) -> Self {
        let kind = match first {
            b'{' | b'[' => Kind::Container,
            b'"' => Kind::String,
            _ => Kind::Plain,
        };
        Self { kind, depth: 0, in_string: false, escaped: false }
    }

    /// How many bytes of the next piece belong to the value; none: all of them, and perhaps more.
    pub(crate) fn end(&mut self, piece: &[u8]) -> Option<usize> {
        if self.kind == Kind::Plain {
            return piece
                .iter()
                .position(|byte| !matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'+' | b'-' | b'.'));
        }
        let mut at = 0;
        while let Some(byte) = piece.get(at) {
            if self.in_string {
                at = self.string_end(piece, at)?;
                if self.kind == Kind::String {
                    return Some(at);
                }
                continue;
            }
            at += 1;
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Some(at);
                    }
                }
                _ => {}
            }
        }
        None
    }

    /// The position behind the closing quote of the string that is open.
    fn string_end(&mut self, piece: &[u8], mut at: usize) -> Option<usize> {
        loop {
            if std::mem::take(&mut self.escaped) {
                at += 1;
            }
            let stop = at + memchr2(b'"', b'\\', piece.get(at..)?)?;
            at = stop + 1;
            if piece.get(stop) == Some(&b'"') {
                self.in_string = false;
                return Some(at);
            }
            self.escaped = true;
            if at >= piece.len() {
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_ends_where_it_ends_however_it_is_cut() {
        for (text, length) in [
            ("1,", 1),
            ("-1.5e+7]", 7),
            ("true}", 4),
            ("nul l", 3),
            (",", 0),
            ("é", 0),
            (r#""","#, 2),
            (r#""a\"b\\","#, 8),
            (r#""\\\\"x"#, 6),
            ("[],", 2),
            (r#"{"a":"]}\"}","b":[{},"x"]} "#, 26),
            ("{]", 2),
        ] {
            for cut in 0..=text.len() {
                let (first, second) = text.as_bytes().split_at(cut);
                let mut extent = Extent::new(text.as_bytes()[0]);
                let end = extent.end(first).or_else(|| extent.end(second).map(|end| cut + end));
                assert_eq!(end, Some(length), "{text} cut at {cut}");
            }
        }
        for text in ["1", "\"", "\"a\\\"", "[{}", "{\"a\":\"}\""] {
            assert_eq!(Extent::new(text.as_bytes()[0]).end(text.as_bytes()), None, "{text}");
        }
    }
}
