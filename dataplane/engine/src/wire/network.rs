//! Networks of both address families, and the prefix by which an address counts as one source.

use core::net::IpAddr;

/// An IP network: an address and how many of its leading bits name the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    bits: u128,
    mask: u128,
}

impl Network {
    /// The network of `prefix` bits that `address` is in, or `None` where the address has fewer bits than that.
    /// Bits of the address beyond the prefix do not count.
    pub fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        let longest = if address.is_ipv4() { 32 } else { 128 };
        (prefix <= longest).then(|| {
            let mask = mask(address, prefix);
            Self { bits: bits(address) & mask, mask }
        })
    }

    /// Whether `address` is in it. An IPv4 network holds no IPv6 address but those that are mapped to IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        bits(address) & self.mask == self.bits
    }
}

/// The source that `address` counts as: the address up to the prefix of its family, `prefixes` being that of IPv4 and
/// that of IPv6, in bits.
pub(crate) fn source(address: IpAddr, (ipv4, ipv6): (u8, u8)) -> u128 {
    bits(address) & mask(address, if address.is_ipv4() { ipv4 } else { ipv6 })
}

/// IPv4 addresses are where IPv6 maps them (RFC 4291, 2.5.5.2), so that no two addresses are the same number.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The first `prefix` bits of an address of the family of `address`.
fn mask(address: IpAddr, prefix: u8) -> u128 {
    let mapped = if address.is_ipv4() { 96 } else { 0 };
    let rest = 128 - (mapped + u32::from(prefix)).min(128);
    u128::MAX.checked_shl(rest).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn network(text: &str, prefix: u8) -> Network {
        Network::new(address(text), prefix).expect("a prefix of that family")
    }

    #[test]
    fn a_network_holds_its_addresses_and_no_others() {
        for (text, prefix, inside, outside) in [
            ("10.0.0.0", 8, "10.255.0.1", "11.0.0.0"),
            ("10.1.2.3", 16, "10.1.0.0", "10.2.2.3"),
            ("192.0.2.7", 32, "192.0.2.7", "192.0.2.6"),
            ("2001:db8::", 32, "2001:db8:ffff::1", "2001:db9::"),
            ("2001:db8::1", 128, "2001:db8::1", "2001:db8::"),
            ("0.0.0.0", 0, "255.255.255.255", "2001:db8::"),
        ] {
            let network = network(text, prefix);
            assert!(network.contains(address(inside)), "{inside} in {text}/{prefix}");
            assert!(!network.contains(address(outside)), "{outside} in {text}/{prefix}");
        }
        assert!(network("::", 0).contains(address("2001:db8::")));
    }

    #[test]
    fn a_prefix_is_no_longer_than_an_address() {
        assert_eq!(Network::new(address("10.0.0.0"), 33), None);
        assert_eq!(Network::new(address("::"), 129), None);
    }

    #[test]
    fn addresses_up_to_the_prefix_of_their_family_are_one_source() {
        let of = |text, prefixes| source(address(text), prefixes);
        assert_ne!(of("192.0.2.1", (32, 64)), of("192.0.2.2", (32, 64)));
        assert_eq!(of("192.0.2.1", (24, 64)), of("192.0.2.2", (24, 64)));
        assert_eq!(of("2001:db8::1", (32, 64)), of("2001:db8::ffff:0:0:2", (32, 64)));
        assert_ne!(of("2001:db8::1", (32, 64)), of("2001:db8:0:1::1", (32, 64)));
        assert_ne!(of("2001:db8::1", (32, 128)), of("2001:db8::2", (32, 128)));
    }
}
