//! Admission control: which SYNs may open a connection, and what is kept of them until they have.

use crate::CorePlan;
use crate::limits::CONNECTIONS_MAX;
use crate::secret::{self, Purpose};
use crate::tcp::syn_cache::SynCache;
use crate::tcp::syn_cookies::SynCookies;
use crate::wire::segment::{ACK, SYN, Segment};
use crate::wire::syn_options::{SynOptions, WINDOW_SCALE_MAX};

/// The half-open connections of one core, on its one port.
#[derive(Debug)]
pub(crate) struct Admission {
    port: u16,
    pub(crate) cache: SynCache,
    pub(crate) cookies: SynCookies,
    /// Bytes of a connection's receive buffer.
    receive_buffer: usize,
}

impl Admission {
    /// Admission to the port of `plan`, with none half-open.
    ///
    /// # Panics
    /// If more may be half-open than a core may have connections.
    pub(crate) fn new(plan: &CorePlan) -> Self {
        assert!(plan.half_open_max <= CONNECTIONS_MAX, "half-open connections within limits");
        let secret = |purpose| secret::derive(plan.seed, purpose);
        Self {
            port: plan.port,
            cache: SynCache::new(plan, secret(Purpose::HalfOpenSources)),
            cookies: SynCookies::new(secret(Purpose::SynCookies)),
            receive_buffer: plan.receive_buffer,
        }
    }

    /// The TCP port that is served.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Whether `segment` is for the port that is served.
    pub(crate) fn is_our_port(&self, segment: &Segment) -> bool {
        segment.tuple.ports & 0xffff == u32::from(self.port)
    }

    /// The window of our SYN-ACK, in bytes: it is not scaled (RFC 7323, 2.2).
    pub(crate) fn window(&self) -> u16 {
        u16::try_from(self.receive_buffer).unwrap_or(u16::MAX)
    }

    /// What our SYN-ACK answers to `offer`, segments being of at most `segment_max` bytes: as smoltcp does, which takes
    /// the least scale with which the whole buffer can be said.
    pub(crate) fn reply(&self, offer: SynOptions, segment_max: u16) -> SynOptions {
        let bits = usize::BITS - self.receive_buffer.leading_zeros();
        let scale = u8::try_from(bits.saturating_sub(u16::BITS)).unwrap_or(WINDOW_SCALE_MAX);
        offer.reply(segment_max, scale)
    }
}

/// Whether a segment asks for a new connection: SYN without ACK.
pub(crate) fn opens(segment: &Segment) -> bool {
    segment.has(SYN) && !segment.has(ACK)
}
