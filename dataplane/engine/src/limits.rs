//! Every number the engine is built on, and the inequalities between them.

/// One kibibyte, in bytes.
pub const KIB: usize = 1024;

/// Bytes of the Ethernet header with one VLAN tag (IEEE 802.1Q).
pub const L2_HEADER_MAX: usize = 18;

/// Connections one core may hold: slots are `u32` and share their top bits with TIME-WAIT records and
/// half-open connections.
pub const CONNECTIONS_MAX: usize = 1 << 20;

/// TIME-WAIT records one core keeps; when full the oldest makes room and is counted.
pub const TIME_WAIT_MAX: usize = 1 << 15;

/// How long a TIME-WAIT record lives, in microseconds. RFC 9293 3.4.1 says 2 MSL; like smoltcp we
/// take 10 s, since the record only has to outlive the peer's retransmitted FIN.
pub const TIME_WAIT_MICROS: u64 = 10_000_000;

/// Segments one connection may send in one turn before the next one has its go.
pub const TX_BUDGET: usize = 16;

/// The same where they leave in large packets: as many as fit into one of 64 KiB.
pub const TX_BUDGET_LARGE: usize = 44;

/// Smallest segment, in bytes of payload, that the NIC may cut a packet into: what every host takes
/// (RFC 9293, 3.7.1). Smaller ones leave one by one: a large packet must not be a thousand frames.
pub const SEGMENTATION_MIN: u32 = 536;

/// Turns between two looks at what is not urgent: commands, published statistics.
pub const HOUSEKEEPING_TURNS: u64 = 64;

/// Delayed acknowledgement, in real microseconds (RFC 9293 3.8.6.3 allows up to half a second): for a
/// request that waits for its response, which then carries it. A part of a request is acknowledged at once.
pub const ACK_DELAY_MICROS: u64 = 40_000;

/// Acknowledgements that one connection may send at once for segments that change nothing: challenges and
/// those of TIME-WAIT.
pub const ACK_LIMIT_BURST: u64 = 6;

/// One more is allowed each time so many microseconds have passed: with the burst no more than 10 in any 5 s
/// (RFC 5961, 7).
pub const ACK_LIMIT_INTERVAL_MICROS: u64 = 1_250_000;

/// Resets a second that a core sends where there is no connection, on average: many, because a client whose
/// server was restarted waits for its timer without one.
pub const RESETS_PER_SECOND: u32 = 10_000;

/// Echo replies a second that a core sends, on average.
pub const ECHO_REPLIES_PER_SECOND: u32 = 1_000;

/// Bits of an IPv4 address by which it counts as one source.
pub const SOURCE_PREFIX_IPV4: u8 = 32;

/// Bits of an IPv6 address by which it counts as one source: a host has all addresses of such a network (RFC 4291, 2.5.1).
pub const SOURCE_PREFIX_IPV6: u8 = 64;

/// A head that straddles the ring is parsed from a copy; the response may be laid out in one too.
pub const SCRATCH_LEN: usize = 64 * KIB;

const _: () = assert!(CONNECTIONS_MAX < 1 << 30, "the flow table keeps the top bits of an owner");
const _: () = assert!(TIME_WAIT_MAX < 1 << 31, "the flow table keeps the top bit of an owner");
const _: () = assert!(HOUSEKEEPING_TURNS.is_power_of_two(), "it is used as a mask");
