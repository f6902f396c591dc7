//! Maps a 4-tuple to its connection, half-open or not, or its TIME-WAIT record, and keeps the records.
//!
//! Invariant: the flow table has one entry for each connection, each entry of the SYN cache and each live record, and no other.

use crate::limits::{TIME_WAIT_MAX, TIME_WAIT_MICROS};
use crate::tcp::flow::{FlowTable, Owner};
use crate::tcp::time_wait::{Record, Remains, TimeWait};
use crate::wire::tuple::{HashKey, Tuple};

/// The flow table of one core and its TIME-WAIT records.
#[derive(Debug)]
pub(crate) struct FlowTables {
    flows: FlowTable,
    time_wait: TimeWait,
}

impl FlowTables {
    /// Tables for at most `connections` connections, half-open ones included.
    pub(crate) fn new(connections: usize, key: HashKey) -> Self {
        Self {
            flows: FlowTable::new(connections + TIME_WAIT_MAX, key),
            time_wait: TimeWait::new(TIME_WAIT_MAX, TIME_WAIT_MICROS),
        }
    }

    /// The owner of `tuple`.
    pub(crate) fn find(&self, tuple: Tuple) -> Option<Owner> {
        self.flows.find(tuple)
    }

    /// The TIME-WAIT record at `index`.
    pub(crate) fn record(&mut self, index: u32) -> &mut Record {
        self.time_wait.record(index)
    }

    /// Gives `tuple` to `owner`. Whether a record, as `previous` says, ended for it.
    pub(crate) fn open(&mut self, tuple: Tuple, owner: Owner, previous: Option<Owner>) -> bool {
        self.flows.insert(tuple, owner);
        let Some(Owner::TimeWait(index)) = previous else { return false };
        self.time_wait.release(index);
        true
    }

    /// Forgets the connection with `tuple`.
    pub(crate) fn close(&mut self, tuple: Tuple) {
        self.flows.remove(tuple);
    }

    /// Keeps a TIME-WAIT record of a connection that was [closed](Self::close). Whether the oldest record was
    /// evicted for it.
    pub(crate) fn enter_time_wait(&mut self, remains: Remains, micros: u64) -> bool {
        let evicted = if self.time_wait.is_full() { self.time_wait.evict() } else { None };
        if let Some(oldest) = evicted {
            self.flows.remove(oldest);
        }
        let index = self.time_wait.push(remains, micros);
        self.flows.insert(remains.tuple, Owner::TimeWait(index));
        evicted.is_some()
    }

    /// Forgets the records whose time is over.
    pub(crate) fn expire(&mut self, micros: u64) {
        while let Some(tuple) = self.time_wait.poll_expired(micros) {
            self.flows.remove(tuple);
        }
    }

    /// How many TIME-WAIT records there are.
    pub(crate) fn time_wait_open(&self) -> usize {
        self.time_wait.live()
    }
}
