//! One 64-bit hash for entity-tags and for the route table. Fixed seed: the same bytes give the same
//! tag on every core, in every process, on every machine.
//!
//! It tells versions of a file apart; it does not resist someone who makes collisions on purpose,
//! and need not: only the operator's own files and paths are its keys.

/// Mixes eight octets at a time, then the length.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let mut state = SEED;
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        state = mix(state, u64::from_le_bytes(word.try_into().unwrap_or_default()));
    }
    let mut last = [0; 8];
    let rest = words.remainder();
    last[..rest.len()].copy_from_slice(rest);
    state = mix(state, u64::from_le_bytes(last));
    mix(state, bytes.len() as u64)
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

    use super::hash;

    #[test]
    fn every_octet_and_the_length_count() {
        let base = [7_u8; 37];
        let mut seen = HashSet::from([hash(&base)]);
        for at in 0..base.len() {
            for bit in 0..8 {
                let mut other = base;
                other[at] ^= 1 << bit;
                assert!(seen.insert(hash(&other)), "octet {at}, bit {bit}");
            }
        }
        for len in 0..64 {
            assert!(seen.insert(hash(&vec![0; len])), "{len} zeros");
        }
    }
}
