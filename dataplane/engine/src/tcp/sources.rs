//! Fairness per source: what each peer address holds on one core, and how much it may.
//!
//! A source has a record while it holds something: connections, and requests that occupy a request buffer or wait for
//! control. Records keep their place, so that a connection or an offload names its source by a number; a hash
//! table of those numbers, open addressing with linear probing, finds the record of an address. Touched when a
//! connection opens or ends and when a request begins or ends to occupy something; never for a segment.
//! Invariants: a record is in the table exactly when it holds something; the table is at most half full.

use core::hash::Hasher;
use core::net::IpAddr;

use siphasher::sip::SipHasher13;

use crate::SourceLimits;
use crate::limits::{SOURCE_PREFIX_IPV4, SOURCE_PREFIX_IPV6};
use crate::wire::network;

/// The sources of one core.
#[derive(Debug)]
pub(crate) struct Sources {
    limits: SourceLimits,
    hasher: SipHasher13,
    /// Places in `records`, or [`EMPTY`]: a power of two of them.
    table: Vec<u32>,
    records: Vec<Record>,
    /// Places in `records` without a source.
    free: Vec<u32>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Record {
    source: u128,
    connections: u32,
    requests: u32,
}

/// The record of a source; the default is none: what it holds is not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SourceId(u32);

impl SourceId {
    /// No source: what it holds is not counted.
    pub(crate) const NONE: Self = Self(EMPTY);

    /// Whether what the source holds is counted.
    pub(crate) fn is_counted(self) -> bool {
        self.0 != EMPTY
    }
}

impl Default for SourceId {
    fn default() -> Self {
        Self::NONE
    }
}

/// Why a connection has no record of its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRecord {
    /// The source has as many connections as it may: the connection is refused.
    Limit,
    /// There is no record left: the connection is taken and not counted.
    TableFull,
}

impl Sources {
    /// No source holds anything; `records` may do so at once. `secret` keys the hash, so that no peer can choose
    /// addresses that collide.
    pub(crate) fn new(limits: SourceLimits, records: usize, secret: [u8; 16]) -> Self {
        let is_bounded = limits.connections > 0 || limits.requests > 0;
        let count = if is_bounded { records } else { 0 };
        Self {
            limits,
            hasher: SipHasher13::new_with_key(&secret),
            table: vec![EMPTY; (2 * count).next_power_of_two()],
            records: vec![Record::default(); count],
            free: (0..count).rev().filter_map(|at| u32::try_from(at).ok()).collect(),
        }
    }

    /// Whether anything is counted.
    pub(crate) fn are_bounded(&self) -> bool {
        !self.records.is_empty()
    }

    /// Whether `address` may have one more connection.
    pub(crate) fn has_room(&self, address: IpAddr) -> bool {
        self.records.is_empty() || self.limits.connections == 0 || self.has_room_left(address)
    }

    #[inline(never)]
    fn has_room_left(&self, address: IpAddr) -> bool {
        let source = network::source(address, (SOURCE_PREFIX_IPV4, SOURCE_PREFIX_IPV6));
        let mut at = self.home(source);
        while self.table[at] != EMPTY {
            let record = &self.records[self.table[at] as usize];
            if record.source == source {
                return record.connections < self.limits.connections || self.is_unlimited(address);
            }
            at = self.after(at);
        }
        true
    }

    /// Counts one more connection of `address`.
    ///
    /// # Errors
    /// Why it is not counted.
    #[inline]
    pub(crate) fn enter(&mut self, address: IpAddr) -> Result<SourceId, NoRecord> {
        if self.records.is_empty() { Ok(SourceId::default()) } else { self.count(address) }
    }

    /// Apart from its caller, which by default has nothing to count.
    #[inline(never)]
    fn count(&mut self, address: IpAddr) -> Result<SourceId, NoRecord> {
        if self.is_unlimited(address) {
            return Ok(SourceId::default());
        }
        let source = network::source(address, (SOURCE_PREFIX_IPV4, SOURCE_PREFIX_IPV6));
        let mut at = self.home(source);
        while self.table[at] != EMPTY {
            let place = self.table[at];
            let record = &mut self.records[place as usize];
            if record.source == source {
                if self.limits.connections > 0 && record.connections >= self.limits.connections {
                    return Err(NoRecord::Limit);
                }
                record.connections += 1;
                return Ok(SourceId(place));
            }
            at = self.after(at);
        }
        let place = self.free.pop().ok_or(NoRecord::TableFull)?;
        self.records[place as usize] = Record { source, connections: 1, requests: 0 };
        self.table[at] = place;
        Ok(SourceId(place))
    }

    fn is_unlimited(&self, address: IpAddr) -> bool {
        self.limits.unlimited.iter().any(|network| network.contains(address))
    }

    /// Counts one connection less.
    pub(crate) fn leave(&mut self, id: SourceId) {
        if let Some(record) = self.records.get_mut(id.0 as usize) {
            record.connections -= 1;
            self.tidy(id);
        }
    }

    /// Counts one more request that occupies a buffer; `false`: the source has as many as it may.
    pub(crate) fn try_hold(&mut self, id: SourceId) -> bool {
        let Some(record) = self.records.get_mut(id.0 as usize) else { return true };
        let is_allowed = self.limits.requests == 0 || record.requests < self.limits.requests;
        record.requests += u32::from(is_allowed);
        is_allowed
    }

    /// Counts one request less.
    pub(crate) fn release(&mut self, id: SourceId) {
        if let Some(record) = self.records.get_mut(id.0 as usize) {
            record.requests -= 1;
            self.tidy(id);
        }
    }

    /// Sources that hold something.
    pub(crate) fn len(&self) -> usize {
        self.records.len() - self.free.len()
    }

    /// Removes the record of a source that holds nothing any more.
    fn tidy(&mut self, id: SourceId) {
        let record = self.records[id.0 as usize];
        if record.connections > 0 || record.requests > 0 {
            return;
        }
        let mut hole = self.home(record.source);
        while self.table[hole] != id.0 {
            hole = self.after(hole);
        }
        // Whoever was pushed past the hole moves into it, until the run ends.
        let mask = self.table.len() - 1;
        let mut at = self.after(hole);
        while self.table[at] != EMPTY {
            let home = self.home(self.records[self.table[at] as usize].source);
            if at.wrapping_sub(home) & mask >= at.wrapping_sub(hole) & mask {
                self.table[hole] = self.table[at];
                hole = at;
            }
            at = self.after(at);
        }
        self.table[hole] = EMPTY;
        self.free.push(id.0);
    }

    fn home(&self, source: u128) -> usize {
        let mut hasher = self.hasher;
        hasher.write_u128(source);
        #[expect(clippy::cast_possible_truncation, reason = "masked to the table's size")]
        let hash = hasher.finish() as usize;
        hash & (self.table.len() - 1)
    }

    fn after(&self, at: usize) -> usize {
        (at + 1) & (self.table.len() - 1)
    }
}

/// No place in `records`, of which there are fewer.
const EMPTY: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use core::net::{Ipv4Addr, Ipv6Addr};
    use std::collections::HashMap;

    use super::*;
    use crate::Network;

    fn sources(connections: u32, requests: u32, records: usize) -> Sources {
        let limits = SourceLimits { connections, requests, ..SourceLimits::default() };
        Sources::new(limits, records, [7; 16])
    }

    fn address(n: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + n))
    }

    #[test]
    fn a_source_has_as_many_connections_as_it_may_and_others_have_theirs() {
        let mut sources = sources(2, 0, 8);
        let [one, two] = [(); 2].map(|()| {
            assert!(sources.has_room(address(1)));
            sources.enter(address(1)).expect("two are allowed")
        });
        assert!(!sources.has_room(address(1)) && sources.has_room(address(2)));
        assert_eq!(sources.enter(address(1)), Err(NoRecord::Limit));
        assert!(sources.enter(address(2)).is_ok());
        sources.leave(one);
        assert!(sources.enter(address(1)).is_ok());
        sources.leave(two);
        assert_eq!(sources.len(), 2);
    }

    #[test]
    fn a_request_outlives_its_connection() {
        let mut sources = sources(0, 1, 8);
        let id = sources.enter(address(1)).expect("no bound");
        assert!(sources.try_hold(id));
        sources.leave(id);
        assert_eq!(sources.len(), 1, "the request is still there");
        let again = sources.enter(address(1)).expect("no bound");
        assert_eq!(again, id);
        assert!(!sources.try_hold(again));
        sources.release(id);
        assert!(sources.try_hold(again));
        sources.release(again);
        sources.leave(again);
        assert_eq!(sources.len(), 0);
    }

    #[test]
    fn all_addresses_of_an_ipv6_network_of_64_bits_are_one_source() {
        let mut sources = sources(1, 0, 8);
        let at = |bits: u128| IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db8 << 96) + bits));
        assert!(sources.enter(at(1)).is_ok());
        assert_eq!(sources.enter(at(u64::MAX.into())), Err(NoRecord::Limit));
        assert!(sources.enter(at(1 << 64)).is_ok());
    }

    #[test]
    fn named_networks_and_a_core_without_bounds_are_not_counted() {
        let unlimited = vec![Network::new(address(0), 8).expect("a prefix")];
        let limits =
            SourceLimits { connections: 1, requests: 1, unlimited, ..SourceLimits::default() };
        for mut sources in [Sources::new(limits, 8, [7; 16]), sources(0, 0, 8)] {
            for _ in 0..20 {
                let id = sources.enter(address(1)).expect("not bounded");
                assert!(!id.is_counted());
                assert!(sources.try_hold(id));
                sources.release(id);
                sources.leave(id);
            }
            assert_eq!(sources.len(), 0);
        }
    }

    #[test]
    fn without_a_record_left_a_new_source_is_not_counted() {
        let mut sources = sources(1, 0, 1);
        let first = sources.enter(address(1)).expect("there is a record");
        assert_eq!(sources.enter(address(2)), Err(NoRecord::TableFull));
        assert_eq!(sources.enter(address(1)), Err(NoRecord::Limit));
        sources.leave(first);
        assert!(sources.enter(address(2)).is_ok());
    }

    #[test]
    fn agrees_with_a_map_through_random_opens_and_closes() {
        let mut sources = sources(5, 3, 128);
        let mut map: HashMap<u32, (u32, u32, SourceId)> = HashMap::new();
        let mut random = 12_345u64;
        for step in 0..200_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let n = u32::try_from(random >> 40).expect("24 bits") % 160;
            let held = map.get(&n).copied();
            match (random >> 20 & 3, held) {
                (0, None) if map.len() == 128 => {
                    assert_eq!(sources.enter(address(n)), Err(NoRecord::TableFull));
                }
                (0, Some((5, ..))) => {
                    assert_eq!(sources.enter(address(n)), Err(NoRecord::Limit));
                }
                (0, _) => {
                    let id = sources.enter(address(n)).expect("there is room");
                    let (connections, requests, known) = held.unwrap_or((0, 0, id));
                    assert_eq!(known, id, "step {step}");
                    map.insert(n, (connections + 1, requests, id));
                }
                (1, Some((connections @ 1.., requests, id))) => {
                    sources.leave(id);
                    map.insert(n, (connections - 1, requests, id));
                }
                (2, Some((connections, requests, id))) => {
                    let is_held = sources.try_hold(id);
                    assert_eq!(is_held, requests < 3, "step {step}");
                    map.insert(n, (connections, requests + u32::from(is_held), id));
                }
                (3, Some((connections, requests @ 1.., id))) => {
                    sources.release(id);
                    map.insert(n, (connections, requests - 1, id));
                }
                _ => {}
            }
            map.retain(|_, (connections, requests, _)| *connections + *requests > 0);
            assert_eq!(sources.len(), map.len(), "step {step}");
        }
    }
}
