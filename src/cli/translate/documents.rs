//! Documents out of a stream: one a line, or one over several lines.
//!
//! A line that is a whole document is one. A line that only begins one goes on with the next lines; where what has been
//! gathered can no longer become a document, its first line is reported and the others are looked at anew, so a
//! truncated line of a stream costs itself and nothing else.
//!
//! Where documents can be translated while they are read, one that is large is handed over when it has begun.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};

use crate::json::{Error, MAX_DEPTH, Scanner, check_utf8};

/// Bytes of one document that is held in memory.
pub(super) const LARGEST: usize = 64 << 20;

/// Bytes after which a document that can be translated while it is read is handed over.
const LARGE: usize = 1 << 20;

/// A document that is none, or could not be translated.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bad {
    /// The line where it begins, counted from 1.
    pub(super) line: usize,
    pub(super) reason: String,
}

/// A document, or what is wrong with it.
pub(super) type Found = Result<Document, Bad>;

/// A document that was found.
#[derive(Debug)]
pub(super) struct Document {
    /// The line where it begins, counted from 1.
    pub(super) line: usize,
    pub(super) text: Vec<u8>,
    /// Whether there is more of it: it is [`Documents::piece`]'s to give.
    pub(super) goes_on: bool,
}

/// The documents of a stream.
pub(super) struct Documents<R> {
    input: BufReader<R>,
    /// Lines that have been read.
    count: usize,
    /// Lines that have been read and are looked at again.
    held: VecDeque<Line>,
    /// Inside the rest of a document that was reported: lines that are no documents by themselves belong to it.
    skipping: bool,
    /// Whether large documents are handed over when they have begun.
    hands_over: bool,
}

#[derive(Debug)]
struct Line {
    number: usize,
    text: Vec<u8>,
    /// It did not fit and was thrown away.
    is_too_long: bool,
    /// It is large, and its end has not been read.
    goes_on: bool,
}

impl<R: Read> Documents<R> {
    pub(super) fn new(input: BufReader<R>, hands_over: bool) -> Self {
        Self { input, count: 0, held: VecDeque::new(), skipping: false, hands_over }
    }

    /// The next piece of a document that was handed over; empty at the end of everything.
    pub(super) fn piece(&mut self) -> io::Result<&[u8]> {
        self.input.fill_buf()
    }

    /// Takes bytes of the piece.
    pub(super) fn take(&mut self, bytes: usize) {
        let taken = self.input.buffer().get(..bytes).unwrap_or_default();
        self.count += memchr::memchr_iter(b'\n', taken).count();
        self.input.consume(bytes);
    }

    /// Reads the rest of the line in which a document ended that was handed over; answers whether it held nothing else.
    pub(super) fn end_line(&mut self) -> io::Result<bool> {
        let mut is_blank = true;
        self.count += 1;
        loop {
            let buffer = self.input.fill_buf()?;
            let end = memchr::memchr(b'\n', buffer).map(|at| at + 1);
            let line = buffer.get(..end.unwrap_or(buffer.len())).unwrap_or_default();
            is_blank &= line.trim_ascii().is_empty();
            let (taken, is_end) = (line.len(), end.is_some() || line.is_empty());
            self.input.consume(taken);
            if is_end {
                return Ok(is_blank);
            }
        }
    }

    /// Whether the next document has to be waited for.
    pub(super) fn would_wait(&self) -> bool {
        self.held.is_empty() && self.input.buffer().is_empty()
    }

    /// The next document with the line where it begins, or what is wrong with it.
    pub(super) fn next(&mut self) -> io::Result<Option<Found>> {
        while let Some(mut line) = self.next_line()? {
            if line.goes_on {
                if is_begun(&line.text) {
                    return Ok(Some(Ok(Document { line: line.number, text: line.text, goes_on: true })));
                }
                self.read_on(&mut line)?;
            }
            if line.is_too_long {
                let reason = format!("a document of more than {} MiB", LARGEST >> 20);
                return Ok(Some(Err(Bad { line: line.number, reason })));
            }
            if line.text.trim_ascii().is_empty() {
                continue;
            }
            match parse(&line.text) {
                Ok(()) => {
                    self.skipping = false;
                    return Ok(Some(Ok(Document { line: line.number, text: line.text, goes_on: false })));
                }
                Err(error) if self.skipping => {
                    // A line of its own, at the left edge, was meant as a document; others are the rest of the last.
                    if matches!(line.text.first(), Some(b'{' | b'[')) {
                        return Ok(Some(Err(Bad { line: line.number, reason: error.to_string() })));
                    }
                }
                Err(error) if is_cut_off(&error, &line.text) => return self.gather(line, error).map(Some),
                Err(error) => return Ok(Some(Err(Bad { line: line.number, reason: error.to_string() }))),
            }
        }
        Ok(None)
    }

    /// Reads on where a line begins a document.
    fn gather(&mut self, first: Line, mut error: Error) -> io::Result<Found> {
        let Line { number, mut text, .. } = first;
        let mut nesting = Nesting::default();
        nesting.read(&text);
        let mut lines = Vec::new();
        let mut looked_at = text.len();
        while let Some(mut line) = self.next_line()? {
            if self.hands_over && self.held.is_empty() && text.len() + line.text.len() > LARGE {
                let length = text.len();
                text.extend_from_slice(&line.text);
                if is_begun(&text) {
                    return Ok(Ok(Document { line: number, text, goes_on: true }));
                }
                text.truncate(length);
            }
            if line.goes_on {
                self.read_on(&mut line)?;
            }
            if line.is_too_long || text.len() + line.text.len() > LARGEST {
                lines.push(line);
                break;
            }
            nesting.read(&line.text);
            text.extend_from_slice(&line.text);
            lines.push(line);
            // Looked at where it may be whole, and else whenever it has doubled: the work stays in proportion.
            if nesting.depth > 0 && text.len() < 2 * looked_at {
                continue;
            }
            looked_at = text.len();
            match parse(&text) {
                Ok(()) => return Ok(Ok(Document { line: number, text, goes_on: false })),
                Err(found) if is_cut_off(&found, &text) => {}
                Err(found) => {
                    error = found;
                    break;
                }
            }
        }
        // The document's own mistake, told at its own line and column.
        let reason = match parse(&text) {
            Err(found) if !is_cut_off(&found, &text) => found.to_string(),
            _ => error.to_string(),
        };
        for line in lines.into_iter().rev() {
            self.held.push_front(line);
        }
        self.skipping = true;
        Ok(Err(Bad { line: number, reason }))
    }

    fn next_line(&mut self) -> io::Result<Option<Line>> {
        if let Some(line) = self.held.pop_front() {
            return Ok(Some(line));
        }
        let mut line = Line { number: self.count + 1, text: Vec::new(), is_too_long: false, goes_on: false };
        if self.hands_over && !self.skipping {
            self.input.by_ref().take(LARGE as u64).read_until(b'\n', &mut line.text)?;
            line.goes_on = line.text.len() == LARGE && line.text.last() != Some(&b'\n');
            if line.goes_on {
                return Ok(Some(line));
            }
        } else {
            self.read_on(&mut line)?;
        }
        if line.text.is_empty() && !line.is_too_long {
            return Ok(None);
        }
        self.count += 1;
        Ok(Some(line))
    }

    /// Reads a line to its end.
    fn read_on(&mut self, line: &mut Line) -> io::Result<()> {
        if std::mem::take(&mut line.goes_on) {
            self.count += 1;
        }
        let room = (LARGEST + 1 - line.text.len()) as u64;
        self.input.by_ref().take(room).read_until(b'\n', &mut line.text)?;
        line.is_too_long = line.text.len() > LARGEST && line.text.last() != Some(&b'\n');
        if line.is_too_long {
            line.text = Vec::new();
            self.skip_line()?;
        }
        Ok(())
    }

    fn skip_line(&mut self) -> io::Result<()> {
        loop {
            let buffer = self.input.fill_buf()?;
            let (skipped, is_end) = match memchr::memchr(b'\n', buffer) {
                Some(at) => (at + 1, true),
                None => (buffer.len(), buffer.is_empty()),
            };
            self.input.consume(skipped);
            if is_end {
                return Ok(());
            }
        }
    }
}

/// Whether it is a document. Members named twice are the rules' business: they may be where no rule looks.
fn parse(text: &[u8]) -> Result<(), Error> {
    check_utf8(text)?;
    let mut scanner = Scanner::new(text, MAX_DEPTH);
    scanner.skip_space();
    scanner.skip_value(0)?;
    Ok(scanner.finish()?)
}

/// Whether a text is the beginning of a document and no more.
fn is_begun(text: &[u8]) -> bool {
    // A character may be cut in two.
    let whole = match std::str::from_utf8(text) {
        Err(error) if error.error_len().is_none() => text.get(..error.valid_up_to()).unwrap_or_default(),
        _ => text,
    };
    parse(whole).is_err_and(|error| is_cut_off(&error, whole))
}

/// Whether more text could mend it.
fn is_cut_off(error: &Error, text: &[u8]) -> bool {
    matches!(error.kind, crate::json::ErrorKind::Syntax(_)) && error.offset >= text.trim_ascii_end().len()
}

/// How deep a text is nested at its end, read once and roughly: [`parse`] decides.
#[derive(Debug, Default)]
struct Nesting {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Nesting {
    fn read(&mut self, text: &[u8]) {
        for byte in text {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of the documents that were found; those of bad ones are negative.
    fn found(text: &str) -> Vec<i64> {
        let mut documents = Documents::new(BufReader::with_capacity(3, text.as_bytes()), true);
        let mut found = Vec::new();
        while let Some(next) = documents.next().unwrap() {
            found.push(match next {
                Ok(document) => {
                    assert!(parse(&document.text).is_ok() && !document.goes_on);
                    i64::try_from(document.line).unwrap()
                }
                Err(bad) => -i64::try_from(bad.line).unwrap(),
            });
        }
        found
    }

    #[test]
    fn documents_are_lines_or_take_several() {
        for (text, expected) in [
            ("", &[][..]),
            ("{}\n\n[1]\n2", &[1, 3, 4]),
            ("{\n  \"a\": [\n    1\n  ]\n}\n", &[1]),
            ("[\n{\"a\": 1},\n{\"a\": 2}\n]\n{}\n", &[1, 5]),
            ("{\"a\": {\n}}\n{\n}\n", &[1, 3]),
        ] {
            assert_eq!(found(text), expected, "{text}");
        }
    }

    #[test]
    fn a_bad_line_costs_itself_alone() {
        for (text, expected) in [
            ("{}\n{\"a\":}\n{}\n", &[1, -2, 3][..]),
            ("{}\n{\"a\": 1\n{\"b\": 1}\n{}\n", &[1, -2, 3, 4]),
            ("{\"a\": 1\n{\"b\": 2\n{}\n{}", &[-1, -2, 3, 4]),
            ("{\n  \"a\": 1\n  \"b\": 2\n}\n{}\n", &[-1, 5]),
            ("{}\n{\"a\"", &[1, -2]),
            ("\"abc\n{}\n", &[-1, 2]),
            ("]\n{}\n", &[-1, 2]),
        ] {
            assert_eq!(found(text), expected, "{text}");
        }
    }
}
