//! Brotli (RFC 7932) removed from what is written, as it comes.

use std::io::{self, Write};

use brotli::enc::StandardAlloc;
use brotli::{BrotliDecompressStream, BrotliResult, BrotliState};

/// Decoded bytes that are handed on at once.
const PIECE: usize = 64 << 10;

/// Writes to `W` what the stream written to it says. Its errors are of a stream that is not brotli, or of `W`.
pub(super) struct Decoder<W> {
    state: BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>,
    piece: Vec<u8>,
    to: W,
    is_done: bool,
}

impl<W: Write> Decoder<W> {
    pub(super) fn new(to: W) -> Self {
        let alloc = StandardAlloc::default;
        // Strict: no windows beyond 16 MiB, which RFC 7932 does not know.
        let state = BrotliState::new_strict(alloc(), alloc(), alloc());
        Self { state, piece: vec![0; PIECE], to, is_done: false }
    }

    /// # Errors
    /// The stream has not ended.
    pub(super) fn finish(&self) -> io::Result<()> {
        if self.is_done { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    pub(super) fn get_mut(&mut self) -> &mut W {
        &mut self.to
    }
}

impl<W: Write> Write for Decoder<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let (mut unread, mut offset, mut total) = (data.len(), 0, 0);
        while !self.is_done {
            let (mut room, mut written) = (self.piece.len(), 0);
            let result = BrotliDecompressStream(
                &mut unread,
                &mut offset,
                data,
                &mut room,
                &mut written,
                &mut self.piece,
                &mut total,
                &mut self.state,
            );
            self.to.write_all(self.piece.get(..written).unwrap_or_default())?;
            match result {
                BrotliResult::ResultSuccess => self.is_done = true,
                BrotliResult::NeedsMoreOutput => {}
                BrotliResult::NeedsMoreInput => break,
                BrotliResult::ResultFailure => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
        // Anything after the stream's end is refused: it has hung and confused other readers.
        if unread > 0 { Err(io::ErrorKind::InvalidData.into()) } else { Ok(data.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
