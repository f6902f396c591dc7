//! The secrets of one core, each derived for its purpose from the one seed that control draws.
//!
//! The hash is keyed with the seed and one-way: what a peer may learn of one secret says nothing of the seed
//! or of another secret.

use core::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher24};

/// What a secret is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Places in the flow table.
    FlowTable,
    /// Initial sequence numbers.
    InitialSequence,
    /// The worker that a flow is steered to.
    Steering,
    /// How many replies one second allows.
    ReplyLimits,
    /// Places in the table of sources.
    Sources,
    /// Places in the table of the sources of half-open connections.
    HalfOpenSources,
    /// SYN cookies.
    SynCookies,
}

/// The secret for `purpose`: 128 bits of SipHash-2-4 (Aumasson and Bernstein, 2012), keyed with `seed`.
pub(crate) fn derive(seed: [u8; 16], purpose: Purpose) -> [u8; 16] {
    let mut hasher = SipHasher24::new_with_key(&seed);
    let name: &[u8] = match purpose {
        Purpose::FlowTable => b"flow table",
        Purpose::InitialSequence => b"initial sequence",
        Purpose::Steering => b"steering",
        Purpose::ReplyLimits => b"reply limits",
        Purpose::Sources => b"sources",
        Purpose::HalfOpenSources => b"half-open sources",
        Purpose::SynCookies => b"syn cookies",
    };
    hasher.write(name);
    hasher.finish128().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PURPOSES: [Purpose; 7] = [
        Purpose::FlowTable,
        Purpose::InitialSequence,
        Purpose::Steering,
        Purpose::ReplyLimits,
        Purpose::Sources,
        Purpose::HalfOpenSources,
        Purpose::SynCookies,
    ];

    #[test]
    fn every_purpose_has_a_secret_of_its_own_and_none_is_the_seed() {
        let seed = *b"0123456789abcdef";
        let mut all = PURPOSES.map(|purpose| derive(seed, purpose)).to_vec();
        all.push(seed);
        for (at, secret) in all.iter().enumerate() {
            assert!(!all[..at].contains(secret), "{at}");
            // Half of the bits differ, give or take: nothing of the seed shows through.
            let differing: u32 = secret.iter().zip(&seed).map(|(a, b)| (a ^ b).count_ones()).sum();
            assert!(*secret == seed || (32..96).contains(&differing), "{at}: {differing}");
        }
    }

    #[test]
    fn one_bit_of_the_seed_changes_every_secret() {
        for purpose in PURPOSES {
            assert_ne!(derive([0; 16], purpose), derive([1; 16], purpose));
        }
    }
}
