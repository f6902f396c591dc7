//! Content codings made when a site is built (RFC 9110 8.4.1).

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

/// gzip at `level` 1 to 9 (RFC 1952). No name and no time inside: the same octets every time.
pub(crate) fn gzip(octets: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
    encoder.write_all(octets).expect("a Vec takes everything");
    encoder.finish().expect("a Vec takes everything")
}

/// br at `quality` 0 to 11 (RFC 7932).
pub(crate) fn brotli(octets: &[u8], quality: i32) -> Vec<u8> {
    let params = brotli::enc::BrotliEncoderParams {
        quality,
        lgwin: window_bits(octets.len()),
        size_hint: octets.len(),
        mode: brotli::enc::backward_references::BrotliEncoderMode::BROTLI_MODE_TEXT,
        ..Default::default()
    };
    let mut coded = Vec::new();
    brotli::BrotliCompress(&mut &octets[..], &mut coded, &params).expect("a Vec takes everything");
    coded
}

/// The smallest window that spans `len` octets: less memory to clear than the largest one. Below
/// 17 bits the encoder chooses a hash table that is many times larger (20 times the time for a small
/// body at quality 5).
fn window_bits(len: usize) -> i32 {
    (17..=22).find(|bits| len + 16 <= 1 << bits).unwrap_or(22)
}

/// Whether a gzip stream unpacks to exactly `octets`.
pub(crate) fn gzip_says(coded: &[u8], octets: &[u8]) -> Result<(), Differs> {
    says(GzDecoder::new(coded), octets)
}

/// Whether a br stream unpacks to exactly `octets`.
pub(crate) fn brotli_says(coded: &[u8], octets: &[u8]) -> Result<(), Differs> {
    says(brotli::Decompressor::new(coded, PIECE), octets)
}

/// How a coded stream differs from what it should say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Differs {
    /// It is no stream of its coding.
    Broken,
    /// The first octet that differs, or where the shorter of the two ends.
    At(usize),
}

/// Compares piece by piece: a stream that unpacks to far more costs no more than the file itself.
fn says(mut decoder: impl Read, octets: &[u8]) -> Result<(), Differs> {
    let mut piece = [0; PIECE];
    let mut at = 0;
    loop {
        let got = decoder.read(&mut piece).map_err(|_| Differs::Broken)?;
        if got == 0 {
            return if at == octets.len() { Ok(()) } else { Err(Differs::At(at)) };
        }
        let same = piece[..got].iter().zip(&octets[at..]).take_while(|(a, b)| a == b).count();
        at += same;
        if same < got {
            return Err(Differs::At(at));
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
            let octets: Vec<u8> = (0..len).map(|i: u64| (i * i % 251).to_le_bytes()[0]).collect();
            let (packed, squeezed) = (gzip(&octets, 9), brotli(&octets, 5));
            assert_eq!(gzip_says(&packed, &octets), Ok(()));
            assert_eq!(brotli_says(&squeezed, &octets), Ok(()));
        }
    }

    #[test]
    fn another_text_is_found_out() {
        let coded = gzip(b"abcdef", 6);
        assert_eq!(gzip_says(&coded, b"abcdxf"), Err(Differs::At(4)));
        assert_eq!(gzip_says(&coded, b"abcdef!"), Err(Differs::At(6)));
        assert_eq!(gzip_says(&coded, b"abc"), Err(Differs::At(3)));
        assert_eq!(gzip_says(b"abcdef", b"abcdef"), Err(Differs::Broken));
        assert_eq!(brotli_says(&brotli(b"abcdef", 5), b"abcdefg"), Err(Differs::At(6)));
        assert_eq!(brotli_says(b"\xff\xff\xff\xff", b"abcdef"), Err(Differs::Broken));
    }
}
