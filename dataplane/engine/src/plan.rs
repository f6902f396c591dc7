//! The plan of one core: values that control has checked, and that never change while it runs.

use core::net::Ipv4Addr;

use http1::Limits;

use crate::Network;

/// Everything one worker needs to know about itself.
#[derive(Clone, Debug)]
pub struct CorePlan {
    /// The address it serves on.
    pub address: Ipv4Addr,
    /// The address that it has on the link, for ARP and ping: `address`, unless that is a service address, which
    /// routers send here and no ARP request is for.
    pub link_address: Ipv4Addr,
    /// The TCP port it answers on.
    pub port: u16,
    /// The port's own MAC address.
    pub mac: [u8; 6],
    /// The VLAN whose frames are taken, 1 to 4094 (IEEE 802.1Q); `None`: untagged frames, and those whose tag names
    /// no VLAN but a priority.
    pub vlan: Option<u16>,
    /// Whether a TCP checksum that holds just the sum of the pseudo-header is taken: on a link within this
    /// machine the sender left it to hardware (Linux: `CHECKSUM_PARTIAL`), and there is none on the way.
    pub unfilled_checksums: bool,
    /// Secret randomness from the operating system, from which a secret is derived for each purpose: places in the
    /// flow table and the table of sources, initial sequence numbers, SYN cookies,
    /// limits on replies.
    pub seed: [u8; 16],
    /// Connections this core may hold at once.
    pub connections: usize,
    /// Half-open connections (SYN received, not yet acknowledged) that are kept; beyond them a SYN is answered with a
    /// cookie (RFC 4987).
    pub half_open_max: usize,
    /// Bytes of one connection's receive buffer; at least `limits.head_len_max`.
    pub receive_buffer: usize,
    /// Bytes of one connection's transmit buffer; at least `http1::HEAD_OUT_MAX`.
    pub transmit_buffer: usize,
    /// What HTTP requests may be.
    pub limits: Limits,
    /// How long things may take.
    pub deadlines: Deadlines,
    /// What one source may hold.
    pub sources: SourceLimits,
}

/// What one source may hold on one core: an IPv4 address, or all IPv6 addresses with the same first 64 bits. The
/// default bounds none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceLimits {
    /// Connections, then new ones are reset; 0: as many as there are.
    pub connections: u32,
    /// Half-open connections, then SYNs are answered with a cookie; 0: as many as there are.
    pub half_open: u32,
    /// Requests that occupy a request buffer while their body comes in, or wait for a completion, then others are
    /// answered 503; 0: as many as there are. They count until their completion has come, though the connection
    /// may be gone.
    pub requests: u32,
    /// Networks whose addresses are not bounded.
    pub unlimited: Vec<Network>,
}

/// How long the peer may take, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// From SYN to the acknowledgement of our SYN (then the connection is dropped).
    pub handshake_ms: u64,
    /// From the first byte of a request head to its last (then 408).
    pub head_ms: u64,
    /// A body may take this long whatever its rate; then it is the window of the rate below.
    pub body_grace_ms: u64,
    /// Bytes per second that a body must advance in each such window (else 408). What one brings beyond that
    /// counts for the next one and no further.
    pub body_rate: u64,
    /// A keep-alive connection may idle this long between requests (then it is closed).
    pub idle_ms: u64,
    /// Control may take this long to complete an offload (then 504).
    pub response_ms: u64,
    /// A response must make progress at least this often (else the connection is reset).
    pub stall_ms: u64,
    /// Bytes per second that the peer must take of a response in each `stall_ms` (else the connection is
    /// reset); 0: as slowly as it likes. What is taken beyond that counts for the next window and no further.
    pub stall_rate: u64,
    /// From the last byte that the peer acknowledged, when we have closed, to the end of the connection (else
    /// it is reset).
    pub close_ms: u64,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            handshake_ms: 5_000,
            head_ms: 10_000,
            body_grace_ms: 10_000,
            body_rate: 1_024,
            idle_ms: 60_000,
            response_ms: 10_000,
            stall_ms: 30_000,
            stall_rate: 128,
            close_ms: 10_000,
        }
    }
}
