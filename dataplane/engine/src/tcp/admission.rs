//! Admission control: which SYNs may open a connection.

use core::net::Ipv4Addr;

use crate::CorePlan;
use crate::secret::{self, Purpose};
use crate::tcp::sources::{self, Sources};
use crate::wire::segment::{ACK, SYN, Segment};
use crate::wire::tuple::HashKey;

/// Bounds the half-open connections of one core, on its one port, and the connections of each source.
#[derive(Debug)]
pub(crate) struct Admission {
    port: u16,
    half_open: usize,
    half_open_max: usize,
    /// `None`: a source may hold every connection.
    sources: Option<Sources>,
}

impl Admission {
    /// Admission to the port of `plan`, with none open.
    pub(crate) fn new(plan: &CorePlan) -> Self {
        let sources = (plan.source_limit.connections_max > 0).then(|| {
            let key = HashKey::new(secret::derive(plan.seed, Purpose::Sources));
            let limit = plan.source_limit.clone();
            Sources::new(limit, plan.connections, sources::PREFIX, key)
        });
        Self { port: plan.port, half_open: 0, half_open_max: plan.half_open_max, sources }
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

    /// Whether the source of `peer` holds as many connections as it may.
    pub(crate) fn is_source_full(&self, peer: Ipv4Addr) -> bool {
        self.sources.as_ref().is_some_and(|sources| sources.is_full(peer))
    }

    /// Counts a connection of `peer` that is open, and half-open, from now on.
    pub(crate) fn enter(&mut self, peer: Ipv4Addr) {
        self.half_open += 1;
        if let Some(sources) = &mut self.sources {
            sources.enter(peer);
        }
    }

    /// Counts a connection that is half-open no longer: established, or gone.
    pub(crate) fn leave(&mut self) {
        self.half_open -= 1;
    }

    /// Counts a connection of `peer` whose slot is free again.
    pub(crate) fn release(&mut self, peer: Ipv4Addr) {
        if let Some(sources) = &mut self.sources {
            sources.leave(peer);
        }
    }
}

/// Whether a segment asks for a new connection: SYN without ACK.
pub(crate) fn opens(segment: &Segment) -> bool {
    segment.has(SYN) && !segment.has(ACK)
}
