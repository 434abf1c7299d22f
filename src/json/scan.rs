//! One pass over a text: checks the grammar of every byte, remembers nothing but where it is.

use super::{Error, ErrorKind, MAX_DEPTH};

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

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

    /// Skips a value whose first byte is next. `depth` is the number of containers around it.
    #[inline]
    pub(crate) fn skip_value(&mut self, depth: usize) -> Scan<()> {
        self.skip_value_from(self.peek(), depth)
    }

    /// The same, where the first byte is already known.
    #[inline]
    pub(crate) fn skip_value_from(&mut self, first: u8, depth: usize) -> Scan<()> {
        match first {
            b'"' => self.skip_string().map(|_| ()),
            b'{' | b'[' => self.skip_container(depth),
            _ => self.skip_plain(first),
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
        let mut next = if self.peek() == b'0' {
            self.at += 1;
            self.peek()
        } else {
            self.skip_digits()?
        };
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
    ///
    /// Looks for the next quote, backslash or control character eight bytes at a time (the classic bit trick: the lowest
    /// flagged byte is exact, and only that one is used).
    #[inline]
    pub(crate) fn skip_string(&mut self) -> Scan<bool> {
        self.at += 1;
        let mut escaped = false;
        while let Some(chunk) =
            self.text.get(self.at..self.at.wrapping_add(8)).and_then(|chunk| chunk.first_chunk::<8>())
        {
            let word = u64::from_le_bytes(*chunk);
            let quote = word ^ (ONES * 0x22);
            let slash = word ^ (ONES * 0x5c);
            let stops = ((quote.wrapping_sub(ONES) & !quote)
                | (slash.wrapping_sub(ONES) & !slash)
                | (word.wrapping_sub(ONES * 0x20) & !word))
                & HIGHS;
            if stops == 0 {
                self.at += 8;
                continue;
            }
            let bit = stops.trailing_zeros();
            self.at += (bit / 8) as usize;
            // The flag is its byte's highest bit.
            if (word >> (bit - 7)) & 0xff == u64::from(b'"') {
                self.at += 1;
                return Ok(escaped);
            }
            self.skip_stop()?;
            escaped = true;
        }
        loop {
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
        let mut first = self.peek();
        loop {
            // A value is next.
            match first {
                b'{' | b'[' => {
                    level += 1;
                    self.check_depth(outer_depth + level)?;
                    let object = first == b'{';
                    kinds.set(level, object);
                    self.at += 1;
                    first = self.next();
                    if first != if object { b'}' } else { b']' } {
                        if object {
                            first = self.skip_key(first)?;
                        }
                        continue;
                    }
                    self.at += 1;
                    level -= 1;
                }
                b'"' => {
                    self.skip_string()?;
                }
                _ => self.skip_plain(first)?,
            }
            // A value is behind.
            loop {
                if level == 0 {
                    return Ok(());
                }
                let object = kinds.get(level);
                match self.next() {
                    b',' => {
                        self.at += 1;
                        first = self.next();
                        if object {
                            first = self.skip_key(first)?;
                        }
                        break;
                    }
                    b'}' if object => {}
                    b']' if !object => {}
                    _ => return self.expected(if object { "`,` or `}`" } else { "`,` or `]`" }),
                }
                self.at += 1;
                level -= 1;
            }
        }
    }

    /// Skips a member's name, the colon and the space around it; answers the value's first byte.
    #[inline]
    fn skip_key(&mut self, first: u8) -> Scan<u8> {
        if first != b'"' {
            return self.expected("a member name in quotes");
        }
        self.skip_string()?;
        if self.next() != b':' {
            return self.expected("`:`");
        }
        self.at += 1;
        Ok(self.next())
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
