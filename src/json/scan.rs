//! One pass over a text: checks the grammar of every byte, remembers nothing but where it is.

use super::block::{BLOCK, count_digits, first_stop, plain_string_end, simple_end};
use super::{Error, ErrorKind, MAX_DEPTH};

/// What scanning answers. The error is boxed so that the answer of every step fits a register.
pub(crate) type Scan<T> = Result<T, Box<Error>>;

/// A position in a text that is known to be UTF-8.
#[derive(Debug, Clone)]
pub(crate) struct Scanner<'a> {
    text: &'a [u8],
    /// The next byte to read.
    pub(crate) at: usize,
    /// How deep values may nest, counted from the document's root.
    depth_limit: usize,
}

impl<'a> Scanner<'a> {
    /// Starts at the first byte. The text must have passed [`super::check_utf8`].
    pub(crate) fn new(text: &'a [u8], depth_limit: usize) -> Self {
        Self { text, at: 0, depth_limit: depth_limit.min(MAX_DEPTH) }
    }

    /// The next byte, 0 at the end (a NUL is nowhere valid in JSON's grammar, so the two need not be told apart).
    #[inline]
    pub(crate) fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    /// Whether everything was read.
    pub(crate) fn at_end(&self) -> bool {
        self.at >= self.text.len()
    }

    #[inline]
    pub(crate) fn skip_space(&mut self) {
        // Compact documents have none: one comparison settles it.
        if self.peek() <= b' ' {
            self.skip_some_space();
        }
    }

    /// Skips white space; answers the byte behind it.
    #[inline]
    pub(crate) fn next(&mut self) -> u8 {
        let byte = self.peek();
        if byte > b' ' {
            return byte;
        }
        self.skip_some_space();
        self.peek()
    }

    fn skip_some_space(&mut self) {
        while matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
    }

    #[cold]
    pub(crate) fn expected<T>(&self, what: &'static str) -> Scan<T> {
        self.fail(ErrorKind::Syntax(what), self.at)
    }

    #[cold]
    #[expect(clippy::unused_self, reason = "reads as the scanner's own failure at its call sites")]
    pub(crate) fn fail<T>(&self, kind: ErrorKind, offset: usize) -> Scan<T> {
        Err(Box::new(Error { kind, offset }))
    }

    /// Refuses a container at this depth (the root is at depth 1).
    #[inline]
    pub(crate) fn check_depth(&self, depth: usize) -> Scan<()> {
        if depth > self.depth_limit { self.fail(ErrorKind::Depth, self.at) } else { Ok(()) }
    }

    /// Whether containers may nest this deep.
    #[inline]
    pub(crate) fn allows(&self, depth: usize) -> bool {
        depth <= self.depth_limit
    }

    /// Skips a value whose first byte is next. `depth` is the number of containers around it.
    #[inline]
    pub(crate) fn skip_value(&mut self, depth: usize) -> Scan<()> {
        if let Some(end) = simple_end(self.text, self.at) {
            self.at = end;
            return Ok(());
        }
        self.skip_any_value(depth)
    }

    /// The same for every value.
    #[inline(never)]
    pub(crate) fn skip_any_value(&mut self, depth: usize) -> Scan<()> {
        match self.peek() {
            b'"' => self.skip_any_string().map(|_| ()),
            b'{' | b'[' => self.skip_container(depth),
            first => self.skip_plain(first),
        }
    }

    /// Skips a number or a literal.
    fn skip_plain(&mut self, first: u8) -> Scan<()> {
        match first {
            b'-' | b'0'..=b'9' => self.skip_number(),
            b't' => self.skip_literal(b"true"),
            b'f' => self.skip_literal(b"false"),
            b'n' => self.skip_literal(b"null"),
            _ => self.expected("a value"),
        }
    }

    #[inline]
    fn skip_literal(&mut self, literal: &'static [u8]) -> Scan<()> {
        let end = self.at + literal.len();
        if self.text.get(self.at..end) == Some(literal) {
            self.at = end;
            Ok(())
        } else {
            self.expected("a value")
        }
    }

    /// Skips digits, at least one; answers the byte behind them.
    #[inline]
    fn skip_digits(&mut self) -> Scan<u8> {
        let start = self.at;
        while let Some(word) = self.text.get(self.at..).and_then(|rest| rest.first_chunk()) {
            let digits = count_digits(*word);
            self.at += digits;
            if digits < word.len() {
                break;
            }
        }
        loop {
            let byte = self.peek();
            if !byte.is_ascii_digit() {
                return if self.at == start { self.expected("a digit") } else { Ok(byte) };
            }
            self.at += 1;
        }
    }

    #[inline]
    fn skip_number(&mut self) -> Scan<()> {
        if self.peek() == b'-' {
            self.at += 1;
        }
        let next = if self.peek() == b'0' {
            self.at += 1;
            self.peek()
        } else {
            self.skip_digits()?
        };
        if matches!(next, b'.' | b'e' | b'E') { self.skip_fraction(next) } else { Ok(()) }
    }

    /// Skips a fraction and an exponent, one of which is next.
    fn skip_fraction(&mut self, mut next: u8) -> Scan<()> {
        if next == b'.' {
            self.at += 1;
            next = self.skip_digits()?;
        }
        if matches!(next, b'e' | b'E') {
            self.at += 1;
            if matches!(self.peek(), b'+' | b'-') {
                self.at += 1;
            }
            self.skip_digits()?;
        }
        Ok(())
    }

    /// Skips a string whose opening quote is next; answers whether it holds escapes.
    #[inline]
    pub(crate) fn skip_string(&mut self) -> Scan<bool> {
        if let Some(end) = plain_string_end(self.text, self.at) {
            self.at = end;
            return Ok(false);
        }
        self.skip_any_string()
    }

    /// The same for every string.
    fn skip_any_string(&mut self) -> Scan<bool> {
        self.at += 1;
        let mut escaped = false;
        loop {
            if let Some(block) = self.text.get(self.at..).and_then(|rest| rest.first_chunk()) {
                let length = first_stop(block);
                self.at += length;
                if length == BLOCK {
                    continue;
                }
            }
            match self.peek() {
                b'"' => {
                    self.at += 1;
                    return Ok(escaped);
                }
                b'\\' | 0..0x20 => {
                    self.skip_stop()?;
                    escaped = true;
                }
                _ => self.at += 1,
            }
        }
    }

    /// Skips an escape, and refuses what must not stand in a string.
    #[cold]
    fn skip_stop(&mut self) -> Scan<()> {
        if self.peek() == b'\\' {
            return self.skip_escape();
        }
        self.expected(if self.at_end() { "a closing quote" } else { "no control character in a string" })
    }

    /// Skips one escape (a surrogate pair counts as one).
    fn skip_escape(&mut self) -> Scan<()> {
        let start = self.at;
        self.at += 1;
        match self.peek() {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {
                self.at += 1;
                Ok(())
            }
            b'u' => {
                self.at += 1;
                match self.read_hex()? {
                    0xDC00..=0xDFFF => self.fail(ErrorKind::LoneSurrogate, start),
                    0xD800..=0xDBFF => {
                        if self.text.get(self.at..self.at + 2) != Some(br"\u") {
                            return self.fail(ErrorKind::LoneSurrogate, start);
                        }
                        self.at += 2;
                        match self.read_hex()? {
                            0xDC00..=0xDFFF => Ok(()),
                            _ => self.fail(ErrorKind::LoneSurrogate, start),
                        }
                    }
                    _ => Ok(()),
                }
            }
            _ => self.expected("an escape"),
        }
    }

    fn read_hex(&mut self) -> Scan<u32> {
        let mut value = 0;
        for _ in 0..4 {
            let Some(digit) = char::from(self.peek()).to_digit(16) else {
                return self.expected("four hexadecimal digits");
            };
            value = value * 16 + digit;
            self.at += 1;
        }
        Ok(value)
    }

    /// Skips an object or array without recursion: one bit a level tells which of the two it is in.
    fn skip_container(&mut self, outer_depth: usize) -> Scan<()> {
        let mut kinds = Kinds::default();
        let mut level = 0_usize;
        let mut object = false;
        loop {
            if object {
                self.skip_key()?;
            }
            // A value is next.
            match self.next() {
                b'"' => {
                    self.skip_string()?;
                }
                first @ (b'{' | b'[') => {
                    level += 1;
                    self.check_depth(outer_depth + level)?;
                    object = first == b'{';
                    kinds.set(level, object);
                    self.at += 1;
                    if self.next() != if object { b'}' } else { b']' } {
                        continue;
                    }
                    self.at += 1;
                    level -= 1;
                    object = kinds.get(level);
                }
                first => match simple_end(self.text, self.at) {
                    Some(end) => self.at = end,
                    None => self.skip_plain(first)?,
                },
            }
            // A value is behind.
            loop {
                if level == 0 {
                    return Ok(());
                }
                match self.next() {
                    b',' => {
                        self.at += 1;
                        break;
                    }
                    b'}' if object => {}
                    b']' if !object => {}
                    _ => return self.expected(if object { "`,` or `}`" } else { "`,` or `]`" }),
                }
                self.at += 1;
                level -= 1;
                object = kinds.get(level);
            }
        }
    }

    /// Skips a member's name and the colon behind it.
    #[inline]
    fn skip_key(&mut self) -> Scan<()> {
        if self.next() != b'"' {
            return self.expected("a member name in quotes");
        }
        self.skip_string()?;
        if self.next() != b':' {
            return self.expected("`:`");
        }
        self.at += 1;
        Ok(())
    }

    /// Skips the colon behind a member's name and the space around it.
    #[inline]
    pub(crate) fn skip_colon(&mut self) -> Scan<()> {
        self.skip_space();
        if self.peek() != b':' {
            return self.expected("`:`");
        }
        self.at += 1;
        self.skip_space();
        Ok(())
    }

    /// After the document's value: nothing but white space may follow.
    pub(crate) fn finish(&mut self) -> Scan<()> {
        self.skip_space();
        if self.at_end() { Ok(()) } else { self.expected("nothing after the document") }
    }
}

/// Which of the open containers are objects.
#[derive(Default)]
struct Kinds([u64; MAX_DEPTH / 64 + 1]);

impl Kinds {
    #[inline]
    fn set(&mut self, level: usize, object: bool) {
        if let Some(word) = self.0.get_mut(level / 64) {
            let bit = 1 << (level % 64);
            if object { *word |= bit } else { *word &= !bit }
        }
    }

    #[inline]
    fn get(&self, level: usize) -> bool {
        self.0.get(level / 64).is_some_and(|word| word & (1 << (level % 64)) != 0)
    }
}
