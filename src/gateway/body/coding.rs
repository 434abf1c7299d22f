//! Content codings (RFC 9110, 8.4): removing them within bounds, and putting them on again.

use std::io::{self, Read, Write};

use flate2::{Decompress, FlushDecompress, Status};
use http::{HeaderMap, HeaderValue, header};

use super::inflow::Sink;
use super::unbrotli;
use crate::gateway::head::elements;

/// A content coding that bodies can be freed from and given again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) enum Coding {
    /// RFC 1952; also called `x-gzip`.
    Gzip,
    /// RFC 1950 (zlib), and the bare RFC 1951 that some senders mean by it.
    Deflate,
    /// RFC 7932.
    Brotli,
    /// RFC 8878.
    Zstd,
}

/// Why a body could not be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) enum DecodeFault {
    /// More than the limit, or more than the ratio allows.
    TooLarge,
    /// Not what its coding says, or cut off, or followed by something.
    Corrupt,
}

/// Bounds on what decoding gives.
#[derive(Debug, Clone, Copy)]
pub(in crate::gateway) struct DecodeLimits {
    /// Bytes in all.
    pub(in crate::gateway) size: usize,
    /// Bytes per encoded byte, beyond the first [`FREE`].
    pub(in crate::gateway) ratio: usize,
}

impl DecodeLimits {
    /// The most that so many encoded bytes may become.
    pub(super) fn most(self, encoded: usize) -> usize {
        self.size.min(FREE.max(encoded.saturating_mul(self.ratio)))
    }
}

/// Decoded bytes below which the ratio is not looked at: small texts compress well.
const FREE: usize = 64 << 10;
/// More than this many codings on one body is an attack, not an encoding.
const MOST_CODINGS: usize = 2;
/// 8 MiB, what RFC 9659 lets a sender expect; the frame's own wish could be 2 GiB.
pub(super) const ZSTD_WINDOW_LOG: u32 = 23;

const ALL: [(Coding, &str); 4] =
    [(Coding::Gzip, "gzip"), (Coding::Brotli, "br"), (Coding::Zstd, "zstd"), (Coding::Deflate, "deflate")];

impl Coding {
    fn parse(name: &str) -> Option<Self> {
        let name = if name.eq_ignore_ascii_case("x-gzip") { "gzip" } else { name };
        ALL.iter().find(|(_, known)| known.eq_ignore_ascii_case(name)).map(|(coding, _)| *coding)
    }

    fn name(self) -> &'static str {
        ALL.iter().find(|(coding, _)| *coding == self).map_or("identity", |(_, name)| name)
    }
}

/// The codings of a body in the order in which they were put on; `None` if one of them is unknown or they are too many.
pub(in crate::gateway) fn parse_codings(headers: &HeaderMap) -> Option<Vec<Coding>> {
    let mut codings = Vec::new();
    for value in headers.get_all(header::CONTENT_ENCODING) {
        for name in value.to_str().ok()?.split(',').map(str::trim) {
            if name.is_empty() || name.eq_ignore_ascii_case("identity") {
                continue;
            }
            codings.push(Coding::parse(name)?);
        }
    }
    (codings.len() <= MOST_CODINGS).then_some(codings)
}

/// The `Content-Encoding` that says `codings`, unless there are none.
pub(in crate::gateway) fn content_encoding(codings: &[Coding]) -> Option<HeaderValue> {
    let names: Vec<&str> = codings.iter().map(|coding| coding.name()).collect();
    (!names.is_empty()).then(|| HeaderValue::from_str(&names.join(", ")).ok()).flatten()
}

/// What to tell an upstream whose answer must be read: those codings that the caller takes too, else none.
pub(in crate::gateway) fn readable_accept_encoding(headers: &HeaderMap) -> HeaderValue {
    let identity = HeaderValue::from_static("identity");
    let mut kept = Vec::new();
    for value in headers.get_all(header::ACCEPT_ENCODING) {
        if value == "identity" {
            kept.push("identity");
            continue;
        }
        for part in elements(value.to_str().unwrap_or_default()) {
            let name = part.split(';').next().unwrap_or_default().trim();
            if Coding::parse(name).is_some() || name.eq_ignore_ascii_case("identity") {
                kept.push(part);
            }
        }
    }
    if kept == ["identity"] {
        return identity;
    }
    if kept.is_empty() { identity } else { HeaderValue::from_str(&kept.join(", ")).unwrap_or(identity) }
}

/// Whether a caller takes a body with these codings.
pub(in crate::gateway) fn accepts(headers: &HeaderMap, codings: &[Coding]) -> bool {
    let listed = |coding: Coding| {
        headers.get_all(header::ACCEPT_ENCODING).iter().any(|value| {
            value.to_str().unwrap_or_default().split(',').any(|part| {
                let mut pieces = part.split(';').map(str::trim);
                let name = pieces.next().unwrap_or_default();
                let refused = pieces.any(|piece| {
                    let piece = piece.to_ascii_lowercase();
                    piece.strip_prefix("q=").is_some_and(|q| q.trim_matches(['0', '.']).is_empty())
                });
                (name == "*" || Coding::parse(name) == Some(coding)) && !refused
            })
        })
    };
    codings.iter().all(|coding| listed(*coding))
}

/// Removes `codings` from `encoded`.
///
/// # Errors
/// [`DecodeFault`].
pub(in crate::gateway) fn decode(
    encoded: &[u8],
    codings: &[Coding],
    limits: DecodeLimits,
) -> Result<Vec<u8>, DecodeFault> {
    let most = limits.most(encoded.len());
    let mut body: Option<Vec<u8>> = None;
    for coding in codings.iter().rev() {
        let from = body.as_deref().unwrap_or(encoded);
        body = Some(match coding {
            Coding::Gzip => read_all(flate2::bufread::MultiGzDecoder::new(from), most)?,
            Coding::Deflate => inflate(from, most)?,
            Coding::Brotli => decode_brotli(from, most)?,
            Coding::Zstd => decode_zstd(from, most)?,
        });
    }
    Ok(body.unwrap_or_else(|| encoded.to_vec()))
}

fn read_all(mut reader: impl Read, most: usize) -> Result<Vec<u8>, DecodeFault> {
    let mut out = Vec::new();
    let allowed = u64::try_from(most).unwrap_or(u64::MAX);
    reader.by_ref().take(allowed).read_to_end(&mut out).map_err(|_| DecodeFault::Corrupt)?;
    // One byte more tells a body of exactly the limit from a longer one, and makes the reader check its checksum.
    match reader.read(&mut [0]) {
        Ok(0) => Ok(out),
        Ok(_) => Err(DecodeFault::TooLarge),
        Err(_) => Err(DecodeFault::Corrupt),
    }
}

/// Whether what begins so is a zlib stream (RFC 1950), as it must be, or the bare deflate stream that some send: in such
/// a stream the byte would begin a stored block with a padding that is not zero.
pub(super) fn is_zlib(first: u8) -> bool {
    first & 0x0f == 8
}

fn inflate(from: &[u8], most: usize) -> Result<Vec<u8>, DecodeFault> {
    let mut state = Decompress::new(from.first().is_some_and(|first| is_zlib(*first)));
    let mut out = Vec::with_capacity(from.len().saturating_mul(4).min(most) + 1);
    loop {
        let consumed = usize::try_from(state.total_in()).unwrap_or(usize::MAX);
        let (produced, rest) = (out.len(), from.get(consumed..).unwrap_or_default());
        let status = state.decompress_vec(rest, &mut out, FlushDecompress::None).map_err(|_| DecodeFault::Corrupt)?;
        if out.len() > most {
            return Err(DecodeFault::TooLarge);
        }
        let now = usize::try_from(state.total_in()).unwrap_or(usize::MAX);
        match status {
            Status::StreamEnd if now == from.len() => return Ok(out),
            Status::StreamEnd => return Err(DecodeFault::Corrupt),
            _ if out.len() == out.capacity() => out.reserve(out.len().min(most + 1 - out.len()).max(1)),
            // Room to write and nothing new: the stream is cut off.
            _ if now == consumed && out.len() == produced => return Err(DecodeFault::Corrupt),
            _ => {}
        }
    }
}

fn decode_brotli(from: &[u8], most: usize) -> Result<Vec<u8>, DecodeFault> {
    let mut decoder = unbrotli::Decoder::new(Sink::of(most));
    let done = decoder.write_all(from).and_then(|()| decoder.finish());
    decoder.get_mut().said(&done)
}

fn decode_zstd(from: &[u8], most: usize) -> Result<Vec<u8>, DecodeFault> {
    if from.is_empty() {
        return Err(DecodeFault::Corrupt);
    }
    let mut decoder = zstd::stream::read::Decoder::with_buffer(from).map_err(|_| DecodeFault::Corrupt)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(|_| DecodeFault::Corrupt)?;
    read_all(decoder, most)
}

/// Puts `codings` on `body`.
///
/// # Errors
/// None that memory does not give; the writers' signatures have them.
pub(in crate::gateway) fn encode(body: Vec<u8>, codings: &[Coding]) -> io::Result<Vec<u8>> {
    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};
    // Levels for bodies made on the fly: about what the codings' own tools call fast.
    let level = Compression::new(5);
    let mut body = body;
    for coding in codings {
        body = match coding {
            Coding::Gzip => {
                let mut writer = GzEncoder::new(Vec::new(), level);
                writer.write_all(&body)?;
                writer.finish()?
            }
            Coding::Deflate => {
                let mut writer = ZlibEncoder::new(Vec::new(), level);
                writer.write_all(&body)?;
                writer.finish()?
            }
            Coding::Brotli => {
                let mut writer = brotli::CompressorWriter::new(Vec::new(), 4096, 4, 22);
                writer.write_all(&body)?;
                writer.into_inner()
            }
            Coding::Zstd => zstd::stream::encode_all(body.as_slice(), 3)?,
        };
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: DecodeLimits = DecodeLimits { size: 1 << 20, ratio: 100 };

    fn headers(name: &header::HeaderName, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn every_coding_there_and_back() {
        let body: Vec<u8> = (0..50_000_u32).flat_map(|n| format!("{n},").into_bytes()).collect();
        for codings in [
            &[][..],
            &[Coding::Gzip],
            &[Coding::Deflate],
            &[Coding::Brotli],
            &[Coding::Zstd],
            &[Coding::Gzip, Coding::Brotli],
        ] {
            let encoded = encode(body.clone(), codings).unwrap();
            assert_eq!(decode(&encoded, codings, LIMITS).as_ref(), Ok(&body), "{codings:?}");
            if codings.is_empty() {
                continue;
            }
            let cut = encoded.get(..encoded.len() - 3).unwrap();
            assert_eq!(decode(cut, codings, LIMITS), Err(DecodeFault::Corrupt), "{codings:?} cut off");
            let longer = [&encoded[..], b"xxxx"].concat();
            assert_eq!(decode(&longer, codings, LIMITS), Err(DecodeFault::Corrupt), "{codings:?} with a tail");
            assert_eq!(decode(b"{\"a\":1}", codings, LIMITS), Err(DecodeFault::Corrupt), "{codings:?} of plain text");
            assert_eq!(decode(b"", codings, LIMITS), Err(DecodeFault::Corrupt), "{codings:?} of nothing");
        }
    }

    #[test]
    fn bombs_are_refused_by_ratio_and_by_size() {
        for (coding, _) in ALL {
            let bomb = encode(vec![b' '; 8 << 20], &[coding]).unwrap();
            assert_eq!(decode(&bomb, &[coding], LIMITS), Err(DecodeFault::TooLarge), "{coding:?} by size");
            let ratio = DecodeLimits { size: 1 << 30, ratio: 20 };
            assert_eq!(decode(&bomb, &[coding], ratio), Err(DecodeFault::TooLarge), "{coding:?} by ratio");
            let exact = encode(vec![b' '; 1 << 20], &[coding]).unwrap();
            let allowed = DecodeLimits { size: 1 << 20, ratio: 1 << 20 };
            assert_eq!(decode(&exact, &[coding], allowed).map(|body| body.len()), Ok(1 << 20), "{coding:?} exact");
        }
    }

    #[test]
    fn gzip_members_are_joined() {
        let two =
            [encode(b"{\"a\"".to_vec(), &[Coding::Gzip]).unwrap(), encode(b":1}".to_vec(), &[Coding::Gzip]).unwrap()];
        assert_eq!(decode(&two.concat(), &[Coding::Gzip], LIMITS), Ok(b"{\"a\":1}".to_vec()));
    }

    #[test]
    fn bare_deflate_is_understood_and_dictionaries_are_not() {
        let mut writer = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(b"{\"a\":1}").unwrap();
        assert_eq!(decode(&writer.finish().unwrap(), &[Coding::Deflate], LIMITS), Ok(b"{\"a\":1}".to_vec()));
        assert_eq!(decode(b"\x78\xbb\x00\x00\x00\x01\xab", &[Coding::Deflate], LIMITS), Err(DecodeFault::Corrupt));
    }

    #[test]
    fn a_huge_zstd_window_is_refused() {
        // Magic, a frame header that asks for a window of 2 GiB, one empty last block.
        let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00];
        assert_eq!(decode(&frame, &[Coding::Zstd], LIMITS), Err(DecodeFault::Corrupt));
    }

    #[test]
    fn codings_are_read_in_order() {
        let read = |values: &[&str]| parse_codings(&headers(&header::CONTENT_ENCODING, values));
        assert_eq!(read(&[]), Some(vec![]));
        assert_eq!(read(&["GZip"]), Some(vec![Coding::Gzip]));
        assert_eq!(read(&["x-gzip, identity", "br"]), Some(vec![Coding::Gzip, Coding::Brotli]));
        assert_eq!(read(&["compress"]), None);
        assert_eq!(read(&["gzip, gzip, gzip"]), None);
    }

    #[test]
    fn only_what_both_sides_read_is_asked_for() {
        let ask = |values: &[&str]| readable_accept_encoding(&headers(&header::ACCEPT_ENCODING, values));
        assert_eq!(ask(&[]), "identity");
        assert_eq!(ask(&["compress"]), "identity");
        assert_eq!(ask(&["compress, br;q=0.8, gzip", "zstd"]), "br;q=0.8, gzip, zstd");
        let takes = |value: &str, coding| accepts(&headers(&header::ACCEPT_ENCODING, &[value]), &[coding]);
        assert!(takes("gzip;q=0.5", Coding::Gzip));
        assert!(takes("*", Coding::Brotli));
        assert!(!takes("gzip;q=0.0", Coding::Gzip));
        assert!(!takes("br", Coding::Gzip));
    }
}
