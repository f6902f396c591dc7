//! gzip (RFC 1952) and br (RFC 7932): whole bodies in memory, packed, and compared with what they unpack to.
//!
//! A crate of its own because brotli's encoder is generic: whoever calls it compiles all of it.

use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

/// gzip at `level` 1 to 9 (RFC 1952). No name and no time inside: the same bytes every time.
pub fn gzip(bytes: &[u8], level: u32) -> Vec<u8> {
    gzip_unless(bytes, level, &|| false).expect("nothing stops it")
}

/// As [`gzip`], unless `stop`, which is asked every few thousand bytes, says yes: `None`.
pub fn gzip_unless(bytes: &[u8], level: u32, stop: &dyn Fn() -> bool) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
    for piece in bytes.chunks(PIECE) {
        if stop() {
            return None;
        }
        encoder.write_all(piece).expect("a Vec takes everything");
    }
    Some(encoder.finish().expect("a Vec takes everything"))
}

/// br at `quality` 0 to 11 (RFC 7932).
pub fn brotli(bytes: &[u8], quality: i32) -> Vec<u8> {
    brotli_unless(bytes, quality, &|| false).expect("nothing stops it")
}

/// As [`brotli`], unless `stop`, which is asked every few thousand bytes, says yes: `None`.
pub fn brotli_unless(bytes: &[u8], quality: i32, stop: &dyn Fn() -> bool) -> Option<Vec<u8>> {
    let params = brotli::enc::BrotliEncoderParams {
        quality,
        lgwin: window_bits(bytes.len(), quality),
        size_hint: bytes.len(),
        mode: brotli::enc::backward_references::BrotliEncoderMode::BROTLI_MODE_TEXT,
        ..Default::default()
    };
    let mut coded = Vec::new();
    // Nothing else fails: a Vec takes everything.
    brotli::BrotliCompress(&mut Pieces { bytes, stop }, &mut coded, &params).ok()?;
    Some(coded)
}

/// Bytes that fail to be read once `stop` says yes.
struct Pieces<'a> {
    bytes: &'a [u8],
    stop: &'a dyn Fn() -> bool,
}

impl Read for Pieces<'_> {
    fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        if (self.stop)() {
            return Err(io::Error::other("stopped"));
        }
        self.bytes.read(piece)
    }
}

/// The smallest window that spans `len` bytes: less memory to clear than the largest one. Below
/// 17 bits the encoder chooses, from quality 5 on, a hash table that is many times larger (20 times the time
/// for a small body at quality 5).
fn window_bits(len: usize, quality: i32) -> i32 {
    let least = if quality < 5 { 14 } else { 17 };
    (least..=22).find(|bits| len + 16 <= 1 << bits).unwrap_or(22)
}

/// Whether a gzip stream unpacks to exactly `bytes`.
pub fn gzip_matches(coded: &[u8], bytes: &[u8]) -> Result<(), Mismatch> {
    gzip_matches_unless(coded, bytes, &|| false)
}

/// As [`gzip_matches`], unless `stop`, which is asked every few thousand bytes, says yes.
pub fn gzip_matches_unless(
    coded: &[u8],
    bytes: &[u8],
    stop: &dyn Fn() -> bool,
) -> Result<(), Mismatch> {
    matches(GzDecoder::new(coded), bytes, stop)
}

/// Whether a br stream unpacks to exactly `bytes`.
pub fn brotli_matches(coded: &[u8], bytes: &[u8]) -> Result<(), Mismatch> {
    brotli_matches_unless(coded, bytes, &|| false)
}

/// As [`brotli_matches`], unless `stop`, which is asked every few thousand bytes, says yes.
pub fn brotli_matches_unless(
    coded: &[u8],
    bytes: &[u8],
    stop: &dyn Fn() -> bool,
) -> Result<(), Mismatch> {
    matches(brotli::Decompressor::new(coded, PIECE), bytes, stop)
}

/// How a coded stream differs from what it should say.
#[derive(Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// It is no stream of its coding.
    Broken,
    /// The first byte that differs, or where the shorter of the two ends.
    At(usize),
    /// It was not looked at to its end: it was stopped.
    Stopped,
}

/// Compares piece by piece: a stream that unpacks to far more costs no more than the file itself.
fn matches(mut decoder: impl Read, bytes: &[u8], stop: &dyn Fn() -> bool) -> Result<(), Mismatch> {
    let mut piece = [0; PIECE];
    let mut at = 0;
    loop {
        if stop() {
            return Err(Mismatch::Stopped);
        }
        let got = decoder.read(&mut piece).map_err(|_| Mismatch::Broken)?;
        if got == 0 {
            return if at == bytes.len() { Ok(()) } else { Err(Mismatch::At(at)) };
        }
        let same = piece[..got].iter().zip(&bytes[at..]).take_while(|(a, b)| a == b).count();
        at += same;
        if same < got {
            return Err(Mismatch::At(at));
        }
    }
}

const PIECE: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn what_is_coded_says_the_same() {
        for len in [0, 1, 1000, 100_000] {
            let bytes: Vec<u8> = (0..len).map(|i: u64| (i * i % 251).to_le_bytes()[0]).collect();
            let (packed, squeezed) = (gzip(&bytes, 9), brotli(&bytes, 5));
            assert_eq!(gzip_matches(&packed, &bytes), Ok(()));
            assert_eq!(brotli_matches(&squeezed, &bytes), Ok(()));
        }
    }

    #[test]
    fn whoever_stops_it_is_asked_now_and_then() {
        let bytes = b"some words, and some words again; ".repeat(10_000);
        let (packed, squeezed) = (gzip(&bytes, 1), brotli(&bytes, 1));
        let in_the_middle = |work: &dyn Fn(&dyn Fn() -> bool)| {
            let asked = Cell::new(0);
            work(&|| asked.replace(asked.get() + 1) >= 5);
            assert_eq!(asked.get(), 6, "nothing goes on after that");
        };
        in_the_middle(&|stop| assert_eq!(gzip_unless(&bytes, 1, stop), None));
        in_the_middle(&|stop| assert_eq!(brotli_unless(&bytes, 1, stop), None));
        let stopped = Err(Mismatch::Stopped);
        in_the_middle(&|stop| assert_eq!(gzip_matches_unless(&packed, &bytes, stop), stopped));
        in_the_middle(&|stop| assert_eq!(brotli_matches_unless(&squeezed, &bytes, stop), stopped));
    }

    #[test]
    fn another_text_is_found_out() {
        let coded = gzip(b"abcdef", 6);
        assert_eq!(gzip_matches(&coded, b"abcdxf"), Err(Mismatch::At(4)));
        assert_eq!(gzip_matches(&coded, b"abcdef!"), Err(Mismatch::At(6)));
        assert_eq!(gzip_matches(&coded, b"abc"), Err(Mismatch::At(3)));
        assert_eq!(gzip_matches(b"abcdef", b"abcdef"), Err(Mismatch::Broken));
        assert_eq!(brotli_matches(&brotli(b"abcdef", 5), b"abcdefg"), Err(Mismatch::At(6)));
        assert_eq!(brotli_matches(b"\xff\xff\xff\xff", b"abcdef"), Err(Mismatch::Broken));
    }
}
