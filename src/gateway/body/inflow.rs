//! A content coding removed from a stream as it comes, within the bounds of whole bodies.

use std::io::{self, Write};

use flate2::Decompress;
use flate2::write::ZlibDecoder;

use super::coding::{Coding, DecodeFault, DecodeLimits};
use super::unbrotli;

/// Removes one coding.
pub(in crate::gateway) struct Inflow {
    decoder: Decoder,
    limits: DecodeLimits,
    has_begun: bool,
}

enum Decoder {
    Gzip(flate2::write::MultiGzDecoder<Sink>),
    Deflate(ZlibDecoder<Sink>),
    Brotli(Box<unbrotli::Decoder<Sink>>),
    Zstd(zstd::stream::write::Decoder<'static, Sink>),
}

/// Takes what is decoded of one piece, as long as there is room.
#[derive(Default)]
pub(super) struct Sink {
    text: Vec<u8>,
    room: usize,
    is_full: bool,
}

impl Sink {
    pub(super) fn of(room: usize) -> Self {
        Self { room, ..Self::default() }
    }

    /// What came of it all.
    pub(super) fn said(&mut self, done: &io::Result<()>) -> Result<Vec<u8>, DecodeFault> {
        match done {
            Ok(()) => Ok(std::mem::take(&mut self.text)),
            Err(_) if self.is_full => Err(DecodeFault::TooLarge),
            Err(_) => Err(DecodeFault::Corrupt),
        }
    }
}

impl Write for Sink {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if data.len() > self.room {
            self.is_full = true;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.room -= data.len();
        self.text.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Inflow {
    /// # Errors
    /// None that memory does not give; the signature of a decoder has them.
    pub(in crate::gateway) fn new(coding: Coding, limits: DecodeLimits) -> io::Result<Self> {
        let sink = Sink::default();
        let decoder = match coding {
            Coding::Gzip => Decoder::Gzip(flate2::write::MultiGzDecoder::new(sink)),
            Coding::Deflate => Decoder::Deflate(ZlibDecoder::new(sink)),
            Coding::Brotli => Decoder::Brotli(Box::new(unbrotli::Decoder::new(sink))),
            Coding::Zstd => {
                let mut decoder = zstd::stream::write::Decoder::new(sink)?;
                decoder.window_log_max(super::coding::ZSTD_WINDOW_LOG)?;
                Decoder::Zstd(decoder)
            }
        };
        Ok(Self { decoder, limits, has_begun: false })
    }

    /// What a piece of the stream says, as far as can be told yet.
    ///
    /// # Errors
    /// [`DecodeFault`].
    pub(in crate::gateway) fn push(&mut self, piece: &[u8]) -> Result<Vec<u8>, DecodeFault> {
        if let (false, Decoder::Deflate(decoder), Some(first)) = (self.has_begun, &mut self.decoder, piece.first()) {
            let state = Decompress::new(super::coding::is_zlib(*first));
            *decoder = ZlibDecoder::new_with_decompress(Sink::default(), state);
        }
        self.has_begun |= !piece.is_empty();
        self.sink().room = self.limits.most(piece.len());
        let decoder: &mut dyn Write = match &mut self.decoder {
            Decoder::Gzip(decoder) => decoder,
            Decoder::Deflate(decoder) => decoder,
            Decoder::Brotli(decoder) => decoder,
            Decoder::Zstd(decoder) => decoder,
        };
        let done = decoder.write_all(piece).and_then(|()| decoder.flush());
        self.sink().said(&done)
    }

    /// What the stream's end adds.
    ///
    /// # Errors
    /// [`DecodeFault`], also where the stream ended too early.
    pub(in crate::gateway) fn finish(&mut self) -> Result<Vec<u8>, DecodeFault> {
        self.sink().room = self.limits.most(0);
        let done = match &mut self.decoder {
            Decoder::Gzip(decoder) => decoder.try_finish(),
            Decoder::Deflate(decoder) => decoder.try_finish(),
            Decoder::Brotli(decoder) => decoder.finish(),
            Decoder::Zstd(decoder) => decoder.do_finish(),
        };
        self.sink().said(&done)
    }

    fn sink(&mut self) -> &mut Sink {
        match &mut self.decoder {
            Decoder::Gzip(decoder) => decoder.get_mut(),
            Decoder::Deflate(decoder) => decoder.get_mut(),
            Decoder::Brotli(decoder) => decoder.get_mut(),
            Decoder::Zstd(decoder) => decoder.get_mut(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::coding::encode;
    use super::*;

    const LIMITS: DecodeLimits = DecodeLimits { size: 1 << 20, ratio: 100 };
    const ALL: [Coding; 4] = [Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Zstd];

    fn read(coding: Coding, encoded: &[u8], piece: usize) -> Result<Vec<u8>, DecodeFault> {
        let mut inflow = Inflow::new(coding, LIMITS).unwrap();
        let mut text = Vec::new();
        for piece in encoded.chunks(piece) {
            text.extend(inflow.push(piece)?);
        }
        text.extend(inflow.finish()?);
        Ok(text)
    }

    #[test]
    fn pieces_of_any_size_say_the_same() {
        let body: Vec<u8> = (0..5_000_u32).flat_map(|n| format!("{n},").into_bytes()).collect();
        for coding in ALL {
            let encoded = encode(body.clone(), &[coding]).unwrap();
            for piece in [1, 7, 1000, encoded.len()] {
                assert_eq!(read(coding, &encoded, piece).as_ref(), Ok(&body), "{coding:?} {piece}");
            }
            assert_eq!(read(coding, b"{\"a\":1}{\"a\":1}", 5), Err(DecodeFault::Corrupt), "{coding:?}");
        }
    }

    #[test]
    fn bare_deflate_is_understood() {
        let mut writer = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(b"{\"a\":1}").unwrap();
        let bare = writer.finish().unwrap();
        for piece in [1, bare.len()] {
            assert_eq!(read(Coding::Deflate, &bare, piece), Ok(b"{\"a\":1}".to_vec()), "{piece}");
        }
    }

    #[test]
    fn bombs_are_refused() {
        for coding in ALL {
            let bomb = encode(vec![b' '; 8 << 20], &[coding]).unwrap();
            assert_eq!(read(coding, &bomb, bomb.len()), Err(DecodeFault::TooLarge), "{coding:?}");
        }
    }

    #[test]
    fn a_stream_that_is_cut_off_is_not_whole() {
        for coding in ALL {
            let encoded = encode(b"{\"a\":1}".repeat(99), &[coding]).unwrap();
            let cut = encoded.get(..encoded.len() - 2).unwrap();
            assert_eq!(read(coding, cut, 9), Err(DecodeFault::Corrupt), "{coding:?}");
        }
    }

    #[test]
    fn a_window_that_brotli_does_not_know_is_refused() {
        // An empty stream with a window of 2^30 bytes: readers that take such windows make room for all of it first.
        assert_eq!(read(Coding::Brotli, &[0x11, 0xde], 2), Err(DecodeFault::Corrupt));
    }
}
