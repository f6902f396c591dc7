//! Maps a 4-tuple to its owner: open addressing, linear probing, deletion by shifting back.
//!
//! Sized once for twice what it may hold. Invariant: `len <= capacity / 2`, so a probe always ends.

use crate::wire::tuple::{HashKey, Tuple};

/// The owner of a tuple.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A connection, by slot.
    Conn(u32),
    /// A half-open connection, by its place in the SYN cache.
    HalfOpen(u32),
    /// A TIME-WAIT record, by index.
    TimeWait(u32),
}

/// The table of one core.
#[derive(Debug)]
pub(crate) struct FlowTable {
    entries: Vec<Entry>,
    key: HashKey,
    len: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    tuple: Tuple,
    owner: u32,
}

impl FlowTable {
    /// A table for at most `max` tuples.
    pub(crate) fn new(max: usize, key: HashKey) -> Self {
        let capacity = (max.max(1) * 2).next_power_of_two();
        let empty = Entry { tuple: Tuple { addresses: 0, ports: 0 }, owner: EMPTY };
        Self { entries: vec![empty; capacity], key, len: 0 }
    }

    /// The owner of `tuple`.
    pub(crate) fn find(&self, tuple: Tuple) -> Option<Owner> {
        let mut at = self.home(tuple);
        loop {
            let entry = &self.entries[at];
            if entry.owner == EMPTY {
                return None;
            }
            if entry.tuple == tuple {
                return Some(unpack(entry.owner));
            }
            at = self.after(at);
        }
    }

    /// Gives `tuple` to `owner`, in place of any other.
    ///
    /// # Panics
    /// If the table already holds as many tuples as it was made for.
    pub(crate) fn insert(&mut self, tuple: Tuple, owner: Owner) {
        let mut at = self.home(tuple);
        while self.entries[at].owner != EMPTY && self.entries[at].tuple != tuple {
            at = self.after(at);
        }
        if self.entries[at].owner == EMPTY {
            assert!(
                self.len * 2 < self.entries.len(),
                "the flow table is sized for all its owners"
            );
            self.len += 1;
        }
        self.entries[at] = Entry { tuple, owner: pack(owner) };
    }

    /// Forgets `tuple`, if it is there.
    pub(crate) fn remove(&mut self, tuple: Tuple) {
        let mut hole = self.home(tuple);
        loop {
            if self.entries[hole].owner == EMPTY {
                return;
            }
            if self.entries[hole].tuple == tuple {
                break;
            }
            hole = self.after(hole);
        }
        self.len -= 1;
        // Whoever was pushed past the hole moves into it, until the run ends.
        let mut at = self.after(hole);
        while self.entries[at].owner != EMPTY {
            let home = self.home(self.entries[at].tuple);
            let mask = self.entries.len() - 1;
            let from_home = at.wrapping_sub(home) & mask;
            let from_hole = at.wrapping_sub(hole) & mask;
            if from_home >= from_hole {
                self.entries[hole] = self.entries[at];
                hole = at;
            }
            at = self.after(at);
        }
        self.entries[hole].owner = EMPTY;
    }

    /// Tuples held.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    fn home(&self, tuple: Tuple) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "masked to the table's size")]
        let hash = self.key.hash(tuple) as usize;
        hash & (self.entries.len() - 1)
    }

    fn after(&self, at: usize) -> usize {
        (at + 1) & (self.entries.len() - 1)
    }
}

fn pack(owner: Owner) -> u32 {
    match owner {
        Owner::Conn(slot) => slot,
        Owner::HalfOpen(index) => index | HALF_OPEN,
        Owner::TimeWait(index) => index | TIME_WAIT,
    }
}

fn unpack(packed: u32) -> Owner {
    if packed < HALF_OPEN {
        Owner::Conn(packed)
    } else if packed < TIME_WAIT {
        Owner::HalfOpen(packed & !HALF_OPEN)
    } else {
        Owner::TimeWait(packed & !TIME_WAIT)
    }
}

const EMPTY: u32 = u32::MAX;
const TIME_WAIT: u32 = 1 << 31;
const HALF_OPEN: u32 = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;
    use std::collections::HashMap;

    fn tuple(n: u32) -> Tuple {
        let port = u16::try_from(n % 60_000).expect("a port");
        let peer = Ipv4Addr::from_bits(0x0a00_0000 + n / 60_000);
        Tuple::new((peer, port), (Ipv4Addr::new(198, 18, 0, 2), 8080))
    }

    #[test]
    fn agrees_with_a_map_through_random_inserts_and_removes() {
        let mut flows = FlowTable::new(300, HashKey::new([7; 16]));
        let mut map: HashMap<u32, Owner> = HashMap::new();
        let mut random = 12_345u64;
        for step in 0..200_000u32 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let n = u32::try_from(random >> 40).expect("24 bits") % 600;
            if map.contains_key(&n) && random & (1 << 20) != 0 {
                flows.remove(tuple(n));
                map.remove(&n);
            } else if map.len() < 300 {
                let owner = match step % 3 {
                    0 => Owner::TimeWait(step),
                    1 => Owner::HalfOpen(step),
                    _ => Owner::Conn(step),
                };
                flows.insert(tuple(n), owner);
                map.insert(n, owner);
            }
            assert_eq!(flows.len(), map.len());
            let probe = u32::try_from(random >> 13 & 1023).expect("10 bits");
            assert_eq!(flows.find(tuple(probe)), map.get(&probe).copied(), "step {step}");
        }
    }

    #[test]
    #[should_panic(expected = "sized for all its owners")]
    fn refuses_more_than_it_was_made_for() {
        let mut flows = FlowTable::new(2, HashKey::new([7; 16]));
        for n in 0..4 {
            flows.insert(tuple(n), Owner::Conn(n));
        }
    }
}
