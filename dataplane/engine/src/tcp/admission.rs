//! Admission control: which SYNs may open a connection.

use crate::CorePlan;
use crate::wire::segment::{ACK, SYN, Segment};

/// Bounds the half-open connections of one core, on its one port.
#[derive(Debug)]
pub(crate) struct Admission {
    port: u16,
    half_open: usize,
    half_open_max: usize,
}

impl Admission {
    /// Admission to the port of `plan`, with none half-open.
    pub(crate) fn new(plan: &CorePlan) -> Self {
        Self { port: plan.port, half_open: 0, half_open_max: plan.half_open_max }
    }

    /// The TCP port that is served.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Whether `segment` is for the port that is served.
    pub(crate) fn is_our_port(&self, segment: &Segment) -> bool {
        segment.tuple.ports & 0xffff == u32::from(self.port)
    }

    /// Whether as many connections are half-open as may be.
    pub(crate) fn is_full(&self) -> bool {
        self.half_open >= self.half_open_max
    }

    /// Counts a connection that is half-open from now on.
    pub(crate) fn enter(&mut self) {
        self.half_open += 1;
    }

    /// Counts a connection that is half-open no longer: established, or gone.
    pub(crate) fn leave(&mut self) {
        self.half_open -= 1;
    }
}

/// Whether a segment asks for a new connection: SYN without ACK.
pub(crate) fn opens(segment: &Segment) -> bool {
    segment.has(SYN) && !segment.has(ACK)
}
