//! smoltcp's random numbers, backwards: the seed with which its generator yields a number.
//!
//! smoltcp 0.14.0 (`rand.rs`, pinned with `=`) has PCG's 64-bit state, one multiplication a step, and shows 32 bits of it:
//! a permutation, so any step can be undone. `Interface::new` takes one step for the identification of IPv4
//! fragments, until that is not zero; the next is the initial sequence number of the next connection.

/// The seed of an interface whose next initial sequence number is `number`.
pub(crate) fn seed_for(number: u32) -> u64 {
    // With its highest three bits zero the state shows the bits from 29 on.
    let state = u64::from(number) << 29;
    // The step before must show another identification than zero, or a further step is taken.
    let before = (0..1 << 29)
        .map(|low_bits| step_back(state | low_bits))
        .find(|&before| identification(before) != 0)
        .unwrap_or(0);
    step_back(before)
}

fn step_back(state: u64) -> u64 {
    state.wrapping_sub(INCREMENT).wrapping_mul(INVERSE)
}

fn shown(state: u64) -> u32 {
    u32::try_from((state >> (29 - (state >> 61))) & 0xffff_ffff).unwrap_or(0)
}

fn identification(state: u64) -> u32 {
    let shown = shown(state);
    (shown ^ (shown >> 16)) & 0xffff
}

const MULTIPLIER: u64 = 0xbb2e_fcec_3c39_611d;
const INCREMENT: u64 = 0x7590_ef39;
const INVERSE: u64 = inverse(MULTIPLIER);

/// The inverse of an odd number modulo 2^64, by Newton's iteration: each round doubles the bits that are right.
const fn inverse(odd: u64) -> u64 {
    let mut inverse = odd;
    let mut round = 0;
    while round < 5 {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(inverse)));
        round += 1;
    }
    inverse
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(state: u64) -> u64 {
        state.wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT)
    }

    #[test]
    fn the_second_step_from_the_seed_shows_the_number() {
        for number in [0, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX, 0xdead_beef] {
            let first = step(seed_for(number));
            assert_ne!(identification(first), 0);
            assert_eq!(shown(step(first)), number);
        }
    }
}
