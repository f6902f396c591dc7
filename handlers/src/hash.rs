//! One 64-bit hash for entity-tags and for the route table. Fixed seed: the same bytes give the same
//! tag on every core, in every process, on every machine.
//!
//! It tells versions of a file apart; it does not resist someone who makes collisions on purpose,
//! and need not: only the operator's own files and paths are its keys.

/// Mixes eight bytes at a time, then the length.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let mut state = SEED;
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        state = mix(state, u64::from_le_bytes(word.try_into().unwrap_or_default()));
    }
    state = mix(state, last_word(bytes, words.remainder()));
    mix(state, bytes.len() as u64)
}

/// The bytes after the last whole word, the first of them lowest, zeros above. Reads that overlap
/// take a tenth of the time of a copy whose length is not known.
fn last_word(bytes: &[u8], rest: &[u8]) -> u64 {
    let missing = 8 * (8 - rest.len());
    if let Some(last) = bytes.last_chunk::<8>() {
        // Those before the rest are shifted out; of no rest all are.
        return u64::from_le_bytes(*last).checked_shr(shift(missing)).unwrap_or(0);
    }
    match (rest.first_chunk::<4>(), rest.last_chunk::<4>()) {
        (Some(low), Some(high)) => {
            let high = u64::from(u32::from_le_bytes(*high)) << (32 - missing);
            u64::from(u32::from_le_bytes(*low)) | high
        }
        _ => rest.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)),
    }
}

fn shift(bits: usize) -> u32 {
    u32::try_from(bits).unwrap_or(u32::MAX)
}

/// Both halves of a 128-bit product, folded: every input bit reaches every output bit.
#[expect(clippy::cast_possible_truncation, reason = "the low half is what is wanted")]
fn mix(state: u64, word: u64) -> u64 {
    let product = u128::from(state ^ word) * u128::from(MULTIPLIER);
    let (high, low) = ((product >> 64) as u64, product as u64);
    (high ^ low).wrapping_add(SEED)
}

/// Digits of pi after the point, in hexadecimal.
const SEED: u64 = 0x243f_6a88_85a3_08d3;
/// The next digits of pi, made odd.
const MULTIPLIER: u64 = 0x1319_8a2e_0370_7345;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{hash, last_word};

    #[test]
    fn the_last_word_is_the_rest_with_zeros_above() {
        let bytes: Vec<u8> = (1..=40).collect();
        for len in 0..bytes.len() {
            let bytes = &bytes[..len];
            let rest = bytes.chunks_exact(8).remainder();
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            assert_eq!(last_word(bytes, rest), u64::from_le_bytes(word), "{len} bytes");
        }
    }

    #[test]
    fn every_byte_and_the_length_count() {
        let base = [7_u8; 37];
        let mut seen = HashSet::from([hash(&base)]);
        for at in 0..base.len() {
            for bit in 0..8 {
                let mut other = base;
                other[at] ^= 1 << bit;
                assert!(seen.insert(hash(&other)), "byte {at}, bit {bit}");
            }
        }
        for len in 0..64 {
            assert!(seen.insert(hash(&vec![0; len])), "{len} zeros");
        }
    }
}
