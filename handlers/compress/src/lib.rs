//! gzip (RFC 1952) and br (RFC 7932): whole bodies in memory, packed, and compared with what they unpack to.
//!
//! A crate of its own because brotli's encoder is generic: whoever calls it compiles all of it.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

/// gzip at `level` 1 to 9 (RFC 1952). No name and no time inside: the same bytes every time.
pub fn gzip(bytes: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
    encoder.write_all(bytes).expect("a Vec takes everything");
    encoder.finish().expect("a Vec takes everything")
}

/// br at `quality` 0 to 11 (RFC 7932).
pub fn brotli(bytes: &[u8], quality: i32) -> Vec<u8> {
    let params = brotli::enc::BrotliEncoderParams {
        quality,
        lgwin: window_bits(bytes.len()),
        size_hint: bytes.len(),
        mode: brotli::enc::backward_references::BrotliEncoderMode::BROTLI_MODE_TEXT,
        ..Default::default()
    };
    let mut coded = Vec::new();
    brotli::BrotliCompress(&mut &bytes[..], &mut coded, &params).expect("a Vec takes everything");
    coded
}

/// The smallest window that spans `len` bytes: less memory to clear than the largest one. Below
/// 17 bits the encoder chooses a hash table that is many times larger (20 times the time for a small
/// body at quality 5).
fn window_bits(len: usize) -> i32 {
    (17..=22).find(|bits| len + 16 <= 1 << bits).unwrap_or(22)
}

/// Whether a gzip stream unpacks to exactly `bytes`.
pub fn gzip_matches(coded: &[u8], bytes: &[u8]) -> Result<(), Mismatch> {
    matches(GzDecoder::new(coded), bytes)
}

/// Whether a br stream unpacks to exactly `bytes`.
pub fn brotli_matches(coded: &[u8], bytes: &[u8]) -> Result<(), Mismatch> {
    matches(brotli::Decompressor::new(coded, PIECE), bytes)
}

/// How a coded stream differs from what it should say.
#[derive(Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// It is no stream of its coding.
    Broken,
    /// The first byte that differs, or where the shorter of the two ends.
    At(usize),
}

/// Compares piece by piece: a stream that unpacks to far more costs no more than the file itself.
fn matches(mut decoder: impl Read, bytes: &[u8]) -> Result<(), Mismatch> {
    let mut piece = [0; PIECE];
    let mut at = 0;
    loop {
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
