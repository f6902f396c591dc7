//! Limits for each source, and one core's share of them.

use std::net::IpAddr;

use engine::{Network, SourceLimits};

use super::super::units::{self, Expected};
use super::super::{ConfigError, Key};
use super::{CONNECTIONS, Reader};

impl Reader<'_> {
    /// What one source may hold on one of `cores`; of `connections` and `parked` requests, the limits of all.
    pub(super) fn sources(
        &self,
        cores: usize,
        connections: usize,
        parked: usize,
    ) -> Result<SourceLimits, ConfigError> {
        let bound = |key, of, limit: usize| {
            let range = 0..=u64::from(u32::MAX);
            let value = self.size(key, units::count, range)?;
            self.at_most(key, value, of, limit).map(|value| share(value, cores))
        };
        let half_open = self.size(Key::LimitsHalfOpen, units::count, CONNECTIONS)?.min(connections);
        Ok(SourceLimits {
            connections: bound(Key::LimitsSourceConnections, Key::LimitsConnections, connections)?,
            half_open: bound(Key::LimitsSourceHalfOpen, Key::LimitsHalfOpen, half_open)?,
            requests: bound(Key::LimitsSourceRequests, Key::LimitsParked, parked)?,
            unlimited: self.with(Key::LimitsSourceUnlimited, networks)?,
        })
    }
}

/// One core's share of what a source may have of `total`; 0 is no limit. The connections of one source are spread over
/// the cores by a hash: the share is the mean and three standard deviations of that (a Poisson distribution), so that
/// a source within its limit is refused on no core, but for one in hundreds.
fn share(total: usize, cores: usize) -> u32 {
    let share = if cores == 1 {
        total
    } else {
        let mean = total.div_ceil(cores);
        let mut deviations = (9 * mean).isqrt();
        deviations += usize::from(deviations * deviations < 9 * mean);
        (mean + deviations).min(total)
    };
    u32::try_from(share).expect("read from a range that ends within u32")
}

/// Networks, separated by commas: none where `text` is empty.
fn networks(text: &str) -> Result<Vec<Network>, Expected> {
    const EXPECTED: Expected =
        Expected("up to 64 networks such as [\"10.0.0.0/8\", \"192.0.2.7\"], or \"\" for none");
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let networks: Option<Vec<_>> = text.split(',').map(|item| network(item.trim())).collect();
    networks.filter(|networks| networks.len() <= NETWORKS_MAX).ok_or(EXPECTED)
}

/// A network, or a single address.
fn network(text: &str) -> Option<Network> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix.parse().ok()?)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let whole = if address.is_ipv4() { 32 } else { 128 };
    Network::new(address, prefix.unwrap_or(whole))
}

/// They are looked through whenever a connection opens.
const NETWORKS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_leaves_room_for_how_a_hash_spreads() {
        for (total, cores, expected) in [
            (0, 1, 0),
            (0, 8, 0),
            (100, 1, 100),
            (1, 4, 1),
            (10, 8, 7),
            (100, 4, 40),
            (1_000, 4, 298),
            (6, 2, 6),
        ] {
            assert_eq!(share(total, cores), expected, "{total} over {cores}");
        }
    }

    #[test]
    fn networks_of_both_families_and_single_addresses_are_read() {
        let read = networks("10.0.0.0/8, 192.0.2.7,2001:db8::/32").expect("three networks");
        let holds = |text: &str| {
            let address = text.parse().expect("an address");
            read.iter().any(|network| network.contains(address))
        };
        assert!(holds("10.9.9.9") && holds("192.0.2.7") && holds("2001:db8::1"));
        assert!(!holds("11.0.0.1") && !holds("192.0.2.8"));
        assert_eq!(networks("").expect("none"), []);
        for wrong in ["10.0.0.0/33", "10.0.0/8", "10.0.0.0/", "a", "10.0.0.0/8,", "10.0.0.0/ 8"] {
            assert!(networks(wrong).is_err(), "{wrong}");
        }
        assert!(networks(&["10.0.0.0/8"; 65].join(",")).is_err());
    }
}
