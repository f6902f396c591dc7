//! The 4-tuple that names a connection, and its keyed hash.

use core::net::Ipv4Addr;

/// Both endpoints of a TCP connection over IPv4, the peer's first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tuple {
    /// The peer's address in the high half, ours in the low half.
    pub(crate) addresses: u64,
    /// The peer's port in the high half, ours in the low half.
    pub(crate) ports: u32,
}

impl Tuple {
    /// A tuple from the fields of a received segment.
    pub(crate) fn new(peer: (Ipv4Addr, u16), local: (Ipv4Addr, u16)) -> Self {
        Self {
            addresses: (u64::from(peer.0.to_bits()) << 32) | u64::from(local.0.to_bits()),
            ports: (u32::from(peer.1) << 16) | u32::from(local.1),
        }
    }

    /// The peer's address.
    pub(crate) fn peer(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(u32::try_from(self.addresses >> 32).unwrap_or(0))
    }
}

/// A secret key for hashing tuples, so that no peer can choose ports that collide.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HashKey([u64; 2]);

impl HashKey {
    /// Makes a key from 16 secret bytes.
    pub(crate) fn new(seed: [u8; 16]) -> Self {
        let whole = u128::from_le_bytes(seed);
        // An even multiplier would lose bits, and zero all of them.
        Self([low_half(whole) | 1, low_half(whole >> 64) | 1])
    }

    /// 64 well-mixed bits: two folded multiplications, the second undoing the linearity of the first.
    pub(crate) fn hash(self, tuple: Tuple) -> u64 {
        let first = fold(tuple.addresses ^ self.0[0], u64::from(tuple.ports) ^ self.0[1]);
        fold(first ^ self.0[1], MIX)
    }
}

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    low_half(product) ^ low_half(product >> 64)
}

fn low_half(wide: u128) -> u64 {
    #[expect(clippy::cast_possible_truncation, reason = "the low half is what is asked for")]
    let half = wide as u64;
    half
}

/// An odd number without pattern: the golden ratio's fraction.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_ports_spread_evenly_over_buckets() {
        let key = HashKey::new(*b"0123456789abcdef");
        let local = (Ipv4Addr::new(198, 18, 0, 2), 8080);
        let mut buckets = [0u32; 64];
        for port in 1024..=u16::MAX {
            let tuple = Tuple::new((Ipv4Addr::new(198, 18, 0, 1), port), local);
            buckets[(key.hash(tuple) & 63) as usize] += 1;
        }
        let (least, most) = (buckets.iter().min(), buckets.iter().max());
        // 64,512 tuples over 64 buckets: 1,008 each, standard deviation 32.
        assert!(least > Some(&850) && most < Some(&1170), "{least:?} to {most:?}");
    }

    #[test]
    fn the_key_changes_the_hash() {
        let tuple = Tuple::new((Ipv4Addr::LOCALHOST, 1), (Ipv4Addr::LOCALHOST, 2));
        let (a, b) = (HashKey::new([1; 16]), HashKey::new([2; 16]));
        assert_ne!(a.hash(tuple), b.hash(tuple));
    }
}
