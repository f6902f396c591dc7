//! Addresses of ours: one that a single host may have, with the length of its prefix.

use std::net::Ipv4Addr;

use super::super::{ConfigError, Key};
use super::Reader;

impl Reader<'_> {
    /// An address that one host may have, and its prefix length: `198.18.0.2/24`.
    pub(super) fn address(&self, key: Key) -> Result<(Ipv4Addr, u8), ConfigError> {
        let text = self.0.given(key).text;
        let refuse = |problem: &str| Err(self.refuse(key, problem, format!("write {EXPECTED}")));
        let (address, prefix) = match parse(&text) {
            Ok(parsed) => parsed,
            Err(problem) => return refuse(problem),
        };
        why_not(address, prefix).map_or(Ok((address, prefix)), refuse)
    }
}

/// The error is what is wrong with the form of `text`.
fn parse(text: &str) -> Result<(Ipv4Addr, u8), &'static str> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address = address.parse().map_err(|_| match address.parse::<std::net::Ipv6Addr>() {
        Ok(_) => "an IPv6 address, and Pollux speaks IPv4",
        Err(_) => "no IPv4 address",
    })?;
    let prefix = prefix.ok_or("without the length of its prefix")?;
    let prefix = prefix.parse().ok().filter(|prefix| (1..=32).contains(prefix));
    Ok((address, prefix.ok_or("the length of its prefix is none of 1 to 32")?))
}

/// Why no single host may have this address (RFC 1122, 3.2.1.3; RFC 3021 for prefixes of 31 bits).
fn why_not(address: Ipv4Addr, prefix: u8) -> Option<&'static str> {
    let host_bits = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
    let host = address.to_bits() & host_bits;
    match address.octets()[0] {
        0 => Some("an address of \"this network\" (0.0.0.0/8)"),
        127 => Some("a loopback address, which no link carries"),
        224..=239 => Some("a multicast address, which is a group of hosts"),
        _ if address.is_broadcast() => Some("the broadcast address"),
        240.. => Some("a reserved address (240.0.0.0/4)"),
        // With 31 bits both addresses are hosts, with 32 the only one is.
        _ if prefix >= 31 => None,
        _ if host == 0 => Some("the address of the network itself"),
        _ if host == host_bits => Some("the broadcast address of its network"),
        _ => None,
    }
}

const EXPECTED: &str = "the address of one host with its prefix length such as \"198.18.0.2/24\"";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_an_address_is_said() {
        let problem = |text| match parse(text) {
            Ok((address, prefix)) => why_not(address, prefix).unwrap_or_default(),
            Err(problem) => problem,
        };
        for (text, said) in [
            ("198.18.0.2/24", ""),
            ("198.18.0.0/31", ""),
            ("198.18.0.0/32", ""),
            ("10.0.0.1/1", ""),
            ("198.18.0.0/24", "the address of the network itself"),
            ("198.18.0.255/24", "the broadcast address of its network"),
            ("127.0.0.1/8", "a loopback address, which no link carries"),
            ("127.0.0.1/32", "a loopback address, which no link carries"),
            ("224.0.0.1/24", "a multicast address, which is a group of hosts"),
            ("255.255.255.255/32", "the broadcast address"),
            ("240.0.0.1/24", "a reserved address (240.0.0.0/4)"),
            ("0.0.0.0/0", "the length of its prefix is none of 1 to 32"),
            ("0.1.2.3/8", "an address of \"this network\" (0.0.0.0/8)"),
            ("198.18.0.2", "without the length of its prefix"),
            ("198.18.0.2/33", "the length of its prefix is none of 1 to 32"),
            ("fd00::1/64", "an IPv6 address, and Pollux speaks IPv4"),
            ("localhost/8", "no IPv4 address"),
        ] {
            assert_eq!(problem(text), said, "{text}");
        }
    }
}
