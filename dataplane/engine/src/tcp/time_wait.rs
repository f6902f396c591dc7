//! Connections in TIME-WAIT (RFC 9293, 3.3.2): not a socket, a small record that ages out in order.
//!
//! All records live equally long, so the oldest is always the next to go: a ring. Invariant:
//! `first <= next <= first + capacity`; record `n` lies at `n % capacity`.

use crate::tcp::ack_limit::AckLimit;
use crate::wire::segment::ControlSegment;
use crate::wire::tuple::Tuple;

/// What is left of a connection: what its peer is told when it says something again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Remains {
    /// The connection's tuple.
    pub(crate) tuple: Tuple,
    /// Our next sequence number (SND.NXT): all we sent was acknowledged.
    pub(crate) snd_nxt: u32,
    /// The peer's next sequence number (RCV.NXT), after its FIN.
    pub(crate) rcv_nxt: u32,
    /// The window field that it was sent last.
    pub(crate) window: u16,
}

impl Remains {
    /// The acknowledgement that repeats the last one.
    pub(crate) fn acknowledgement(&self) -> ControlSegment {
        ControlSegment::acknowledgement(self.tuple, self.snd_nxt, self.rcv_nxt, self.window)
    }
}

/// The state that is needed to acknowledge a retransmitted FIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// The connection that is over.
    pub(crate) remains: Remains,
    /// How often it is acknowledged.
    pub(crate) acks: AckLimit,
    expires_micros: u64,
    live: bool,
}

/// The records of one core.
#[derive(Debug)]
pub(crate) struct TimeWait {
    ring: Vec<Record>,
    first: u64,
    next: u64,
    live: usize,
    lifetime_micros: u64,
}

impl TimeWait {
    /// Room for `capacity` records that live for `lifetime_micros` microseconds.
    pub(crate) fn new(capacity: usize, lifetime_micros: u64) -> Self {
        let tuple = Tuple { addresses: 0, ports: 0 };
        let remains = Remains { tuple, snd_nxt: 0, rcv_nxt: 0, window: 0 };
        let acks = AckLimit::default();
        let unused = Record { remains, acks, expires_micros: 0, live: false };
        Self { ring: vec![unused; capacity], first: 0, next: 0, live: 0, lifetime_micros }
    }

    /// Whether a further record needs the oldest to go first (see [`evict`](Self::evict)).
    pub(crate) fn is_full(&self) -> bool {
        self.next - self.first == self.ring.len() as u64
    }

    /// Drops the oldest record before its time; its tuple, if it still held one.
    pub(crate) fn evict(&mut self) -> Option<Tuple> {
        (self.first < self.next).then(|| self.pop()).flatten()
    }

    /// Adds a record and returns its index.
    ///
    /// # Panics
    /// If it is full.
    pub(crate) fn push(&mut self, remains: Remains, now_micros: u64) -> u32 {
        assert!(!self.is_full(), "the oldest record is evicted first");
        let index = self.index(self.next);
        self.ring[index] = Record {
            remains,
            acks: AckLimit::default(),
            expires_micros: now_micros + self.lifetime_micros,
            live: true,
        };
        self.next += 1;
        self.live += 1;
        u32::try_from(index).unwrap_or(u32::MAX)
    }

    /// The record at `index`, as [`push`](Self::push) returned it.
    pub(crate) fn record(&mut self, index: u32) -> &mut Record {
        &mut self.ring[index as usize]
    }

    /// The tuple is used again: the record holds nothing any more.
    pub(crate) fn release(&mut self, index: u32) {
        let record = &mut self.ring[index as usize];
        debug_assert!(record.live);
        record.live = false;
        self.live -= 1;
    }

    /// Takes one record that has lived its time; its tuple is to be forgotten. Call until `None`.
    pub(crate) fn poll_expired(&mut self, now_micros: u64) -> Option<Tuple> {
        while self.first < self.next {
            let record = self.ring[self.index(self.first)];
            if record.live && record.expires_micros > now_micros {
                return None;
            }
            if let Some(tuple) = self.pop() {
                return Some(tuple);
            }
        }
        None
    }

    /// Records that hold a tuple.
    pub(crate) fn live(&self) -> usize {
        self.live
    }

    fn pop(&mut self) -> Option<Tuple> {
        let index = self.index(self.first);
        self.first += 1;
        let record = &mut self.ring[index];
        let held = record.live;
        record.live = false;
        self.live -= usize::from(held);
        held.then_some(record.remains.tuple)
    }

    fn index(&self, n: u64) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "less than the ring's length")]
        let index = (n % self.ring.len() as u64) as usize;
        index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuple(n: u32) -> Tuple {
        Tuple { addresses: 1, ports: n }
    }

    fn remains(n: u32) -> Remains {
        Remains { tuple: tuple(n), snd_nxt: 7, rcv_nxt: 8, window: 9 }
    }

    #[test]
    fn records_age_out_in_order() {
        let mut records = TimeWait::new(4, 100);
        records.push(remains(1), 0);
        records.push(remains(2), 50);
        assert_eq!(records.poll_expired(99), None);
        assert_eq!(records.poll_expired(100), Some(tuple(1)));
        assert_eq!(records.poll_expired(100), None);
        assert_eq!(records.poll_expired(150), Some(tuple(2)));
        assert_eq!(records.live(), 0);
    }

    #[test]
    fn a_released_record_is_passed_over() {
        let mut records = TimeWait::new(4, 100);
        let first = records.push(remains(1), 0);
        records.push(remains(2), 0);
        assert_eq!(records.record(first).remains, remains(1));
        records.release(first);
        assert_eq!(records.live(), 1);
        assert_eq!(records.poll_expired(100), Some(tuple(2)));
        assert_eq!(records.poll_expired(100), None);
    }

    #[test]
    fn when_full_the_oldest_makes_room() {
        let mut records = TimeWait::new(2, 100);
        records.push(remains(1), 0);
        records.push(remains(2), 0);
        assert!(records.is_full());
        assert_eq!(records.evict(), Some(tuple(1)));
        records.push(remains(3), 1);
        assert_eq!(records.live(), 2);
        assert_eq!(records.poll_expired(100), Some(tuple(2)));
        assert_eq!(records.poll_expired(101), Some(tuple(3)));
    }
}
