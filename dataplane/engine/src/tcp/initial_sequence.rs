//! Initial sequence numbers (RFC 6528): a clock plus a keyed hash of the connection's tuple, so that the numbers of one
//! tuple grow and those of another say nothing of them.

use core::hash::Hasher;

use siphasher::sip::SipHasher24;

use crate::wire::segment::is_after;
use crate::wire::tuple::Tuple;

/// Chooses the initial sequence numbers of one core.
#[derive(Debug)]
pub(crate) struct InitialSequence {
    hasher: SipHasher24,
}

impl InitialSequence {
    /// With a secret of 16 bytes.
    pub(crate) fn new(secret: [u8; 16]) -> Self {
        Self { hasher: SipHasher24::new_with_key(&secret) }
    }

    /// The first number of a connection with `tuple`; `previous`: the number after the last one that we used in the
    /// connection whose TIME-WAIT it ends.
    //= RFC 6528 3: ISN = M + F(localip, localport, remoteip, remoteport, secretkey), M being a clock of 4 us.
    pub(crate) fn choose(&self, tuple: Tuple, previous: Option<u32>, micros: u64) -> u32 {
        let mut hasher = self.hasher;
        hasher.write_u64(tuple.addresses);
        hasher.write_u32(tuple.ports);
        let number = low(hasher.finish()).wrapping_add(low(micros / 4));
        match previous {
            //= RFC 1122 4.2.2.13: larger than the largest number of the connection before.
            Some(previous) if !is_after(number, previous) => previous.wrapping_add(BEYOND_WINDOW),
            _ => number,
        }
    }
}

fn low(wide: u64) -> u32 {
    u32::try_from(wide & 0xffff_ffff).unwrap_or(0)
}

/// So far beyond the old connection that its late segments are not in an unscaled window of the new one.
const BEYOND_WINDOW: u32 = 65_537;

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;

    fn tuple(port: u16) -> Tuple {
        let peer = (Ipv4Addr::new(198, 18, 0, 1), port);
        Tuple::new(peer, (Ipv4Addr::new(198, 18, 0, 2), 8_080))
    }

    #[test]
    fn the_numbers_of_a_tuple_follow_the_clock() {
        let numbers = InitialSequence::new([7; 16]);
        let first = numbers.choose(tuple(4_000), None, 1_000);
        assert_eq!(numbers.choose(tuple(4_000), None, 1_000 + 4 * 250), first.wrapping_add(250));
    }

    #[test]
    fn tuples_and_secrets_have_numbers_of_their_own() {
        let numbers = InitialSequence::new([7; 16]);
        let mut steps: Vec<u32> = (4_000..5_000)
            .map(|port| {
                let [a, b] = [port, port + 1].map(|port| numbers.choose(tuple(port), None, 0));
                b.wrapping_sub(a)
            })
            .collect();
        steps.sort_unstable();
        steps.dedup();
        assert_eq!(steps.len(), 1_000, "from one number to the next there is no rule");
        let other = InitialSequence::new([8; 16]);
        assert_ne!(other.choose(tuple(1), None, 0), numbers.choose(tuple(1), None, 0));
    }

    #[test]
    fn a_connection_begins_beyond_the_one_before() {
        let numbers = InitialSequence::new([7; 16]);
        let number = numbers.choose(tuple(4_000), None, 0);
        for ahead in [0u32, 1, 1_000_000, 0x7fff_0000] {
            let previous = number.wrapping_add(ahead);
            let next = numbers.choose(tuple(4_000), Some(previous), 0);
            assert_eq!(next, previous.wrapping_add(65_537));
        }
        assert_eq!(numbers.choose(tuple(4_000), Some(number.wrapping_sub(1)), 0), number);
    }
}
