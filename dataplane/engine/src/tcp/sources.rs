//! How many connections each source holds: open addressing, linear probing, deletion by shifting back.
//!
//! A source is the network of the peer's address: the address itself where the prefix is 32. Sized once for twice as
//! many sources as there are connections. Invariants: an entry whose count is zero is free, and at most half of them
//! are taken, so a probe always ends.

use core::net::Ipv4Addr;

use crate::SourceLimit;
use crate::wire::tuple::{HashKey, Tuple};

/// Bits of an IPv4 address that name a source: all of them.
pub(crate) const PREFIX: u8 = 32;

/// The sources of one core.
#[derive(Debug)]
pub(crate) struct Sources {
    entries: Vec<Entry>,
    key: HashKey,
    len: usize,
    prefix: u8,
    limit: SourceLimit,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// The leading bits of its addresses. 64 of them, as many as name a source of IPv6.
    source: u64,
    /// Connections held; 0: the entry is free.
    count: u32,
}

impl Sources {
    /// Counts of at most `connections` connections, under `limit`. The addresses of a source share `prefix` bits,
    /// 0 to 32.
    pub(crate) fn new(limit: SourceLimit, connections: usize, prefix: u8, key: HashKey) -> Self {
        let capacity = (connections.max(1) * 2).next_power_of_two();
        let entries = vec![Entry { source: 0, count: 0 }; capacity];
        Self { entries, key, len: 0, prefix, limit }
    }

    /// Whether the source of `peer` holds as many connections as it may.
    pub(crate) fn is_full(&self, peer: Ipv4Addr) -> bool {
        let held = self.entries[self.find(self.source(peer))].count as usize;
        held >= self.limit.connections_max && !self.is_unlimited(peer)
    }

    /// Counts a connection of `peer` that is open from now on.
    ///
    /// # Panics
    /// If the table holds as many sources already as it was made for.
    pub(crate) fn enter(&mut self, peer: Ipv4Addr) {
        if self.is_unlimited(peer) {
            return;
        }
        let source = self.source(peer);
        let at = self.find(source);
        if self.entries[at].count == 0 {
            assert!(self.len * 2 < self.entries.len(), "sized for a source a connection");
            self.len += 1;
            self.entries[at].source = source;
        }
        self.entries[at].count += 1;
    }

    /// Counts a connection of `peer` that is gone. A source that has none left takes no room.
    pub(crate) fn leave(&mut self, peer: Ipv4Addr) {
        if self.is_unlimited(peer) {
            return;
        }
        let at = self.find(self.source(peer));
        self.entries[at].count -= 1;
        if self.entries[at].count == 0 {
            self.len -= 1;
            self.close_gap(at);
        }
    }

    /// Where `source` is, or the free entry where it would be.
    fn find(&self, source: u64) -> usize {
        let mut at = self.home(source);
        while self.entries[at].count != 0 && self.entries[at].source != source {
            at = self.after(at);
        }
        at
    }

    /// Moves whoever was pushed past `hole` into it, until the run ends.
    fn close_gap(&mut self, mut hole: usize) {
        let mask = self.entries.len() - 1;
        let mut at = self.after(hole);
        while self.entries[at].count != 0 {
            let from_home = at.wrapping_sub(self.home(self.entries[at].source)) & mask;
            let from_hole = at.wrapping_sub(hole) & mask;
            if from_home >= from_hole {
                self.entries[hole] = self.entries[at];
                hole = at;
            }
            at = self.after(at);
        }
        self.entries[hole].count = 0;
    }

    fn is_unlimited(&self, peer: Ipv4Addr) -> bool {
        self.limit.unlimited.iter().any(|network| network.contains(peer))
    }

    fn source(&self, peer: Ipv4Addr) -> u64 {
        u64::from(peer.to_bits()) >> (32 - u32::from(self.prefix))
    }

    fn home(&self, source: u64) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "masked to the table's size")]
        let hash = self.key.hash(Tuple { addresses: source, ports: 0 }) as usize;
        hash & (self.entries.len() - 1)
    }

    fn after(&self, at: usize) -> usize {
        (at + 1) & (self.entries.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::Network;

    fn sources(connections_max: usize, connections: usize, prefix: u8) -> Sources {
        let unlimited = vec![Network { address: Ipv4Addr::new(10, 0, 0, 0), prefix: 8 }];
        let limit = SourceLimit { connections_max, unlimited };
        Sources::new(limit, connections, prefix, HashKey::new(*b"0123456789abcdef"))
    }

    fn held(sources: &Sources, peer: Ipv4Addr) -> u32 {
        sources.entries[sources.find(sources.source(peer))].count
    }

    #[test]
    fn a_source_is_full_at_its_limit_and_has_room_when_one_is_gone() {
        let mut sources = sources(2, 8, PREFIX);
        let (peer, other) = (Ipv4Addr::new(198, 18, 0, 1), Ipv4Addr::new(198, 18, 0, 2));
        for _ in 0..2 {
            assert!(!sources.is_full(peer));
            sources.enter(peer);
        }
        assert!(sources.is_full(peer) && !sources.is_full(other));
        sources.leave(peer);
        assert!(!sources.is_full(peer));
        sources.leave(peer);
        assert_eq!((sources.len, held(&sources, peer)), (0, 0));
    }

    #[test]
    fn an_unlimited_network_is_not_counted() {
        let mut sources = sources(1, 2, PREFIX);
        let peer = Ipv4Addr::new(10, 1, 2, 3);
        for _ in 0..100 {
            sources.enter(peer);
            assert!(!sources.is_full(peer));
        }
        assert_eq!(sources.len, 0);
        (0..100).for_each(|_| sources.leave(peer));
    }

    #[test]
    fn the_addresses_of_a_shorter_prefix_are_one_source() {
        let mut sources = sources(1, 8, 24);
        sources.enter(Ipv4Addr::new(198, 18, 0, 1));
        assert!(sources.is_full(Ipv4Addr::new(198, 18, 0, 2)));
        assert!(!sources.is_full(Ipv4Addr::new(198, 18, 1, 1)));
    }

    /// As many sources as there are connections, coming and going: the table says what a map says, and is empty at
    /// the end.
    #[test]
    fn many_sources_come_and_go_and_leave_nothing() {
        const CONNECTIONS: usize = 500;
        let mut sources = sources(3, CONNECTIONS, PREFIX);
        let mut state = 1u32;
        // Numerical Recipes' generator; its high bits are the better ones.
        let mut below = |bound: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as usize % bound
        };
        let (mut open, mut counts) = (Vec::new(), HashMap::<_, u32>::new());
        for _ in 0..50_000 {
            // Fills up, and empties again, several times.
            if open.len() < CONNECTIONS && (open.is_empty() || below(100) < 55) {
                let last = u16::try_from(below(2_000)).expect("is below 2,000");
                let peer = Ipv4Addr::from_bits(0xc612_0000 + u32::from(last));
                let count = counts.entry(peer).or_default();
                assert_eq!(sources.is_full(peer), *count >= 3);
                sources.enter(peer);
                *count += 1;
                open.push(peer);
            } else {
                let peer = open.swap_remove(below(open.len()));
                sources.leave(peer);
                *counts.get_mut(&peer).expect("was entered") -= 1;
                assert_eq!(held(&sources, peer), counts[&peer]);
            }
            assert!(sources.len <= open.len());
        }
        for (peer, count) in &counts {
            assert_eq!(held(&sources, *peer), *count);
        }
        open.iter().for_each(|peer| sources.leave(*peer));
        assert_eq!(sources.len, 0);
        assert!(sources.entries.iter().all(|entry| entry.count == 0));
    }

    #[test]
    fn a_full_table_holds_a_source_a_connection() {
        let mut sources = sources(1, 64, PREFIX);
        let peers = || (0..64).map(|last| Ipv4Addr::new(198, 18, 0, last));
        peers().for_each(|peer| sources.enter(peer));
        assert_eq!(sources.len, 64);
        assert!(peers().all(|peer| sources.is_full(peer)));
        assert!(!sources.is_full(Ipv4Addr::new(198, 18, 0, 64)));
    }
}
