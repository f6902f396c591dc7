//! The interface to a NIC. `dpdk::QueuePair` and `sim::Nic` implement it, [steering]
//! wraps one; the worker loop is generic over it, so what is tested is what ships.
//!
//! Frames and transmit buffers are owned values: a receive buffer goes back when its frame is dropped, a
//! transmit buffer is owned by exactly one of the pool, the worker and the ring.

pub mod steering;

use arrayvec::ArrayVec;

/// Most frames taken from a queue in one go.
pub const BURST_MAX: usize = 32;

/// One burst of received frames, oldest first.
pub type Burst<F> = ArrayVec<F, BURST_MAX>;

/// A received Ethernet frame, without FCS. Dropping it returns its buffer.
pub trait Frame: AsRef<[u8]> {
    /// What the hardware knows of the checksums in this frame.
    fn checksums(&self) -> RxChecksums;
}

/// What is known of a received frame's IPv4 header and TCP checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RxChecksums {
    /// Verified by hardware, or by shared memory that cannot corrupt them.
    Good,
    /// Hardware found one of them wrong.
    Bad,
    /// The TCP checksum was verified, or was never filled in because the frame has not left the machine;
    /// nobody looked at the IPv4 header: verify that one in software.
    TcpGood,
    /// Nobody looked: verify in software.
    Unknown,
}

/// What the NIC is to do to a frame before it leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TxOffload {
    /// Nothing: checksums are filled in, or the frame has none.
    None,
    /// The NIC fills in the IPv4 header checksum and the TCP checksum. The IPv4 header checksum field
    /// is zero, the TCP field holds the pseudo-header sum (DPDK programmer's guide, 5.6.4
    /// "Meta Information": `RTE_MBUF_F_TX_TCP_CKSUM`).
    Checksums {
        /// Bytes of the Ethernet header, VLAN tag included.
        l2_len: u8,
        /// Bytes of the IPv4 header.
        l3_len: u8,
    },
    /// The NIC cuts a TCP packet over IPv4 into segments of `segment_size` bytes of payload, the last one
    /// shorter: each gets the headers of the packet with its own lengths, identification, sequence number
    /// and checksums; FIN and PSH go into the last (DPDK programmer's guide, 5.6.4 "Meta Information":
    /// `RTE_MBUF_F_TX_TCP_SEG`). The IPv4 header checksum field is zero, the TCP field holds the sum of a
    /// pseudo-header whose length is zero.
    Segmentation {
        /// Bytes of the Ethernet header, VLAN tag included.
        l2_len: u8,
        /// Bytes of the IPv4 header.
        l3_len: u8,
        /// Bytes of the TCP header.
        l4_len: u8,
        /// Bytes of payload in each segment; at least 1.
        segment_size: u16,
    },
}

/// What a queue can do; fixed while the port runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Whether [`TxOffload::Checksums`] may be asked for.
    pub tx_checksum_offload: bool,
    /// Largest IP packet in bytes (the MTU, without Ethernet header).
    pub ip_mtu: usize,
    /// Largest IP packet in bytes for which [`TxOffload::Segmentation`] may be asked for; 0: none. At most
    /// 65,535. Not 0 only with `tx_checksum_offload`.
    pub tx_segmentation_max: usize,
}

/// A receive queue and a transmit queue of one port, owned by one core.
pub trait Nic {
    /// A received frame.
    type Frame: Frame;
    /// An owned, empty transmit buffer of at least `18 + ip_mtu` bytes. Dropping it returns it.
    type TxBuffer: AsMut<[u8]>;

    /// What this queue can do.
    fn capabilities(&self) -> Capabilities;

    /// Appends received frames to `burst` (which is empty), oldest first, as many as fit.
    fn receive(&mut self, burst: &mut Burst<Self::Frame>);

    /// Whether the last [`receive`](Self::receive) moved frames that are not this core's own: then its
    /// turn was not an idle one.
    fn has_steered(&self) -> bool {
        false
    }

    /// Whether other cores that are awake receive and send through this queue alone: what naps meanwhile keeps
    /// them waiting.
    fn is_relied_on(&self) -> bool {
        false
    }

    /// Whether the next [`tx_buffer`](Self::tx_buffer) is sure to succeed.
    fn ready(&mut self) -> bool;

    /// Takes a transmit buffer. `None` when the ring or the pool has no room: try next turn.
    fn tx_buffer(&mut self) -> Option<Self::TxBuffer>;

    /// Whether the next [`large_tx_buffer`](Self::large_tx_buffer) is sure to succeed, and a
    /// [`tx_buffer`](Self::tx_buffer) beside it finds room in the ring. Where it is not, packets of MTU size still leave.
    fn large_ready(&mut self) -> bool {
        false
    }

    /// Takes a transmit buffer of at least `18 + tx_segmentation_max` bytes. `None` where the queue does not
    /// segment, and while there is no such buffer or no room in the ring.
    fn large_tx_buffer(&mut self) -> Option<Self::TxBuffer> {
        None
    }

    /// Queues the first `len` bytes of `tx_buffer` as one frame, after all queued before it.
    fn submit(&mut self, tx_buffer: Self::TxBuffer, len: usize, offload: TxOffload);

    /// Rings the doorbell: everything queued leaves now, as far as the ring takes it; the rest stays
    /// queued in order and goes out with a later flush.
    fn flush(&mut self);

    /// Frames this queue lost so far, monotonic.
    fn losses(&self) -> NicLosses;
}

/// Frames lost below the worker, by reason. Monotonic totals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NicLosses {
    /// Received frames in more than one buffer (a jumbo or coalesced frame): dropped.
    pub rx_multi_segment: u64,
    /// Received frames for which the ring to their core was full (software steering): dropped.
    pub rx_ring_full: u64,
    /// Times that `tx_buffer` or `ready` found the pool empty.
    pub tx_pool_empty: u64,
    /// Times that `tx_buffer` or `ready` found the transmit ring full.
    pub tx_ring_full: u64,
    /// Times that `large_ready` found no large buffer: packets of MTU size were sent instead.
    pub tx_large_empty: u64,
    /// Large packets that the driver refused to segment: dropped. The queue offers segmentation no more.
    pub tx_segmentation_refused: u64,
}
