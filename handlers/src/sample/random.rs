//! Repeatable randomness for the sample (SplitMix64). Not for anything that must not be guessed.

use crate::hash::hash;

#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    /// The stream that belongs to `name`.
    pub(super) fn named(name: &str) -> Self {
        Self(hash(name.as_bytes()))
    }

    /// The next 64 bits.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number of `from..=to`.
    pub(super) fn within(&mut self, from: u32, to: u32) -> u32 {
        let beyond = self.next() % (u64::from(to) - u64::from(from) + 1);
        from + u32::try_from(beyond).unwrap_or_default()
    }

    /// One of `choices`.
    pub(super) fn one<'c>(&mut self, choices: &[&'c str]) -> &'c str {
        let at = self.next() % choices.len() as u64;
        choices[usize::try_from(at).unwrap_or_default()]
    }
}
