//! What fuzzing looks at and nobody else needs: parts that are private, by their bytes alone.

use super::body::coding::{Coding, DecodeLimits, decode};
use super::body::inflow::Inflow;
use super::framing::Framing;

/// The verdicts on the request heads in `bytes`, which come in pieces of this size: whether each is accepted.
pub fn framing(bytes: &[u8], piece: usize) -> Vec<bool> {
    let (mut verdicts, mut framing) = (Vec::new(), Framing::default());
    for piece in bytes.chunks(piece.max(1)) {
        framing.watch(piece, |verdict| verdicts.push(verdict.is_ok()));
    }
    verdicts
}

/// A body without its content coding, read at once and in pieces; `None`: it is refused.
pub fn decoded(coding: u8, bytes: &[u8], (size, ratio): (usize, usize), piece: usize) -> [Option<Vec<u8>>; 2] {
    let coding = match coding % 4 {
        0 => Coding::Gzip,
        1 => Coding::Deflate,
        2 => Coding::Brotli,
        _ => Coding::Zstd,
    };
    let limits = DecodeLimits { size, ratio };
    let in_pieces = || {
        let mut inflow = Inflow::new(coding, limits).ok()?;
        let mut text = Vec::new();
        for piece in bytes.chunks(piece.max(1)) {
            text.extend(inflow.push(piece).ok()?);
        }
        text.extend(inflow.finish().ok()?);
        Some(text)
    };
    [decode(bytes, &[coding], limits).ok(), in_pieces()]
}
