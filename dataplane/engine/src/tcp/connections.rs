//! The connections of one core: slots made at start, handed out and taken back.

use http1::Service;

use crate::tcp::connection::{Conn, ConnState, Stage};
use crate::wire::ethernet::ReplyHeader;
use crate::wire::segment::Segment;
use crate::{Buffer, CoreStats};

/// The slots of one core. Invariant: a slot is in `free` exactly when its stage is [`Stage::Free`].
pub(crate) struct Conns<S: Service> {
    slots: Vec<Conn<S>>,
    free: Vec<u32>,
    /// Slots in use by [`ConnState`].
    by_state: [u64; ConnState::COUNT],
}

impl<S: Service> Conns<S> {
    /// Takes the memory of `count` connections; `buffers` gives it, `receive` and `transmit` bytes at
    /// a time.
    pub(crate) fn new(
        count: usize,
        (receive, transmit): (usize, usize),
        buffers: &mut dyn FnMut(usize) -> Buffer,
    ) -> Self {
        let slots = (0..count).map(|_| Conn::new(buffers(receive), buffers(transmit))).collect();
        // Taken from the end: the slots used last are the warmest.
        let free = (0..count).rev().filter_map(|slot| u32::try_from(slot).ok()).collect();
        Self { slots, free, by_state: [0; ConnState::COUNT] }
    }

    /// Takes a slot for the connection that `syn` opened; `None` if every one is in use.
    pub(crate) fn try_open(
        &mut self,
        syn: &Segment,
        header: ReplyHeader,
        port: u16,
        micros: u64,
    ) -> Option<u32> {
        let slot = self.free.pop()?;
        let conn = &mut self.slots[slot as usize];
        conn.open(syn, header, port, micros);
        conn.counted = ConnState::HalfOpen;
        self.by_state[ConnState::HalfOpen as usize] += 1;
        Some(slot)
    }

    /// Gives a slot back.
    pub(crate) fn release(&mut self, slot: u32) {
        let conn = &mut self.slots[slot as usize];
        debug_assert_ne!(conn.stage, Stage::Free);
        conn.stage = Stage::Free;
        self.by_state[conn.counted as usize] -= 1;
        // Whatever it held of control's is counted back now, not when the slot is used again.
        conn.http = http1::Conn::new();
        conn.service = None;
        self.free.push(slot);
    }

    /// The connection in `slot`.
    pub(crate) fn conn(&mut self, slot: u32) -> &mut Conn<S> {
        &mut self.slots[slot as usize]
    }

    /// Counts the connection in `slot`, which may have moved on, in the state it is in now.
    pub(crate) fn recount(&mut self, slot: u32) {
        let conn = &mut self.slots[slot as usize];
        let state = conn.state();
        if state != conn.counted {
            self.by_state[conn.counted as usize] -= 1;
            self.by_state[state as usize] += 1;
            conn.counted = state;
        }
    }

    /// Publishes how many connections are in each state; `half_open` have no slot yet.
    pub(crate) fn publish(&self, stats: &CoreStats, half_open: u64) {
        stats.connections_open.set(self.open() as u64 + half_open);
        for (state, level) in [
            (ConnState::Idle, &stats.connections_idle),
            (ConnState::Reading, &stats.connections_reading),
            (ConnState::Waiting, &stats.connections_waiting),
            (ConnState::Sending, &stats.connections_sending),
            (ConnState::Closing, &stats.connections_closing),
        ] {
            level.set(self.by_state[state as usize]);
        }
        stats.connections_half_open.set(self.by_state[ConnState::HalfOpen as usize] + half_open);
    }

    /// Slots in use.
    pub(crate) fn open(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Whether every slot is in use.
    pub(crate) fn is_full(&self) -> bool {
        self.free.is_empty()
    }

    /// Slots in all.
    pub(crate) fn capacity(&self) -> usize {
        self.slots.len()
    }
}
