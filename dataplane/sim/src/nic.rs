//! The simulated queue pair: [`Nic`] is the worker's end, [`Wire`] the network's end.
//!
//! Every buffer is allocated when the pair is made and comes home when its frame or transmit buffer is dropped,
//! so a worker on this NIC can be held to "no allocation after start".
//! Invariant: buffers of a pool = free + in rings + in the hands of the worker.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crossbeam::queue::ArrayQueue;
use engine::{BURST_MAX, Burst, Capabilities, NicLosses, RxChecksums, TxOffload};

use crate::checksum;
use crate::segmentation::{self, Cut};

/// Bytes of the largest Ethernet header, with one VLAN tag.
const LINK_HEADER_MAX: usize = 18;

/// What a simulated queue pair is made of.
#[derive(Clone, Debug)]
pub struct NicPlan {
    /// Frames that fit in the receive ring; more are lost and counted by [`Wire::missed`].
    pub receive_ring: usize,
    /// Buffers of the receive pool: those in the ring and those the worker holds.
    pub receive_pool: usize,
    /// Frames that fit in the transmit ring: while so many wait to leave there is no transmit buffer to be had.
    pub transmit_ring: usize,
    /// Buffers of the transmit pool.
    pub transmit_pool: usize,
    /// Largest IP packet, in bytes.
    pub ip_mtu: usize,
    /// Whether the NIC finishes the checksums of what it sends.
    pub transmit_checksums: bool,
    /// Largest IP packet in bytes that the NIC segments; 0: it does not. Needs `transmit_checksums`.
    pub segmentation_max: usize,
    /// Buffers of the pool for packets that the NIC segments.
    pub large_pool: usize,
    /// Whether the driver refuses every packet it is to segment, which the queue then offers no more.
    pub refuses_segmentation: bool,
    /// Whether the NIC verifies the checksums of what it receives. If not, it says `Unknown`.
    pub receive_checksums: bool,
}

impl Default for NicPlan {
    fn default() -> Self {
        Self {
            receive_ring: 512,
            receive_pool: 1024,
            transmit_ring: 512,
            transmit_pool: 1024,
            ip_mtu: 1500,
            transmit_checksums: false,
            segmentation_max: 0,
            large_pool: 8,
            refuses_segmentation: false,
            receive_checksums: false,
        }
    }
}

impl NicPlan {
    /// Makes the two ends.
    ///
    /// # Panics
    /// If a ring or a pool has no room at all.
    pub fn build(&self) -> (Nic, Wire) {
        let len = LINK_HEADER_MAX + self.ip_mtu;
        assert!(self.segmentation_max == 0 || self.transmit_checksums, "segments need checksums");
        let large = if self.segmentation_max == 0 { 0 } else { self.large_pool };
        let shared = Arc::new(Shared {
            plan: self.clone(),
            receive_pool: Pool::new(self.receive_pool, len),
            transmit_pool: Pool::new(self.transmit_pool, len),
            large_pool: Pool::new(large, LINK_HEADER_MAX + self.segmentation_max),
            receive_ring: ArrayQueue::new(self.receive_ring),
            transmit_ring: ArrayQueue::new(self.transmit_ring),
            rx_multi_segment: AtomicU64::new(0),
            squeezed: AtomicUsize::new(0),
        });
        let nic = Nic {
            shared: Arc::clone(&shared),
            staged: VecDeque::with_capacity(self.transmit_pool + large),
            pool_empty: 0,
            ring_full: 0,
            large_empty: 0,
            refused: 0,
        };
        (
            nic,
            Wire {
                shared,
                held: false,
                segments: VecDeque::new(),
                squeezed: Vec::new(),
                missed: 0,
                delivered: 0,
                collected: 0,
            },
        )
    }
}

#[derive(Debug)]
struct Shared {
    plan: NicPlan,
    receive_pool: Arc<Pool>,
    transmit_pool: Arc<Pool>,
    /// Of buffers for packets that the NIC segments.
    large_pool: Arc<Pool>,
    receive_ring: ArrayQueue<Frame>,
    transmit_ring: ArrayQueue<Queued>,
    rx_multi_segment: AtomicU64,
    /// Transmit buffers that the wire took away: out of the pool, but not under way.
    squeezed: AtomicUsize,
}

impl Shared {
    /// Transmit buffers in the hands of the worker or in the ring.
    fn under_way(&self) -> usize {
        let ordinary = self.transmit_pool.taken() - self.squeezed.load(Ordering::Relaxed);
        ordinary + self.large_pool.taken()
    }
}

#[derive(Debug)]
struct Queued {
    tx_buffer: TxBuffer,
    len: usize,
    offload: TxOffload,
}

/// A queue pair of the simulated network: what the worker owns.
#[derive(Debug)]
pub struct Nic {
    shared: Arc<Shared>,
    /// Submitted and not yet taken by the ring, in order. Room for the whole pool: it never grows.
    staged: VecDeque<Queued>,
    pool_empty: u64,
    ring_full: u64,
    large_empty: u64,
    refused: u64,
}

impl Nic {
    /// Whether a transmit buffer can be had now; if not, the reason is counted.
    fn room(&mut self) -> bool {
        let queued = self.staged.len() + self.shared.transmit_ring.len();
        if queued >= self.shared.plan.transmit_ring {
            self.ring_full += 1;
            return false;
        }
        if self.shared.transmit_pool.free.is_empty() {
            self.pool_empty += 1;
            return false;
        }
        true
    }
}

impl engine::Nic for Nic {
    type Frame = Frame;
    type TxBuffer = TxBuffer;

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            tx_checksum_offload: self.shared.plan.transmit_checksums,
            ip_mtu: self.shared.plan.ip_mtu,
            tx_segmentation_max: self.shared.plan.segmentation_max,
        }
    }

    fn receive(&mut self, burst: &mut Burst<Frame>) {
        assert!(burst.is_empty(), "the burst is handed over empty");
        while burst.len() < BURST_MAX {
            let Some(frame) = self.shared.receive_ring.pop() else { break };
            burst.push(frame);
        }
    }

    fn ready(&mut self) -> bool {
        self.room()
    }

    fn tx_buffer(&mut self) -> Option<TxBuffer> {
        if !self.room() {
            return None;
        }
        self.shared.transmit_pool.take().map(TxBuffer)
    }

    fn large_ready(&mut self) -> bool {
        let plan = &self.shared.plan;
        if plan.segmentation_max == 0 || self.refused > 0 {
            return false;
        }
        let queued = self.staged.len() + self.shared.transmit_ring.len();
        if queued + 1 >= plan.transmit_ring {
            self.ring_full += 1;
            return false;
        }
        let ready = !self.shared.large_pool.free.is_empty();
        self.large_empty += u64::from(!ready);
        ready
    }

    fn large_tx_buffer(&mut self) -> Option<TxBuffer> {
        if self.large_ready() { self.shared.large_pool.take().map(TxBuffer) } else { None }
    }

    fn submit(&mut self, tx_buffer: TxBuffer, len: usize, offload: TxOffload) {
        assert!(len <= tx_buffer.0.bytes().len(), "a frame is no longer than its buffer");
        assert!(
            offload == TxOffload::None || self.shared.plan.transmit_checksums,
            "checksums were left to a NIC that does not do them"
        );
        let segments = matches!(offload, TxOffload::Segmentation { .. });
        assert!(!segments || self.shared.plan.segmentation_max > 0, "a NIC that does not segment");
        let most = LINK_HEADER_MAX + self.shared.plan.ip_mtu;
        assert!(segments || len <= most, "a frame is no longer than the MTU");
        assert!(
            self.staged.len() < self.staged.capacity(),
            "more transmit buffers than the pool has"
        );
        self.staged.push_back(Queued { tx_buffer, len, offload });
    }

    fn flush(&mut self) {
        while let Some(queued) = self.staged.pop_front() {
            let segments = matches!(queued.offload, TxOffload::Segmentation { .. });
            if segments && self.shared.plan.refuses_segmentation {
                self.refused += 1;
                continue;
            }
            if let Err(queued) = self.shared.transmit_ring.push(queued) {
                self.staged.push_front(queued);
                return;
            }
        }
    }

    fn losses(&self) -> NicLosses {
        NicLosses {
            rx_multi_segment: self.shared.rx_multi_segment.load(Ordering::Relaxed),
            rx_ring_full: 0,
            tx_pool_empty: self.pool_empty,
            tx_ring_full: self.ring_full,
            tx_large_empty: self.large_empty,
            tx_segmentation_refused: self.refused,
        }
    }
}

/// A received frame; its buffer goes home when it is dropped.
#[derive(Debug)]
pub struct Frame {
    buffer: Buffer,
    len: usize,
    checksums: RxChecksums,
}

impl AsRef<[u8]> for Frame {
    fn as_ref(&self) -> &[u8] {
        &self.buffer.bytes()[..self.len]
    }
}

impl engine::Frame for Frame {
    fn checksums(&self) -> RxChecksums {
        self.checksums
    }
}

/// An empty transmit buffer; it goes home when it is dropped.
#[derive(Debug)]
pub struct TxBuffer(Buffer);

impl AsMut<[u8]> for TxBuffer {
    fn as_mut(&mut self) -> &mut [u8] {
        self.0.bytes_mut()
    }
}

/// The network's end of a queue pair.
#[derive(Debug)]
pub struct Wire {
    shared: Arc<Shared>,
    held: bool,
    /// What is left of the last packet that was cut.
    segments: VecDeque<Vec<u8>>,
    squeezed: Vec<Buffer>,
    missed: u64,
    delivered: u64,
    collected: u64,
}

impl Wire {
    /// Puts `frame` (Ethernet, without FCS) in the receive ring. `false`: the frame is lost, since there
    /// is no room or no buffer ([`missed`](Self::missed)), or since it is longer than a buffer, in which
    /// case the adapter drops and counts it.
    pub fn deliver(&mut self, frame: &[u8]) -> bool {
        if frame.len() > LINK_HEADER_MAX + self.shared.plan.ip_mtu {
            self.shared.rx_multi_segment.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        let taken =
            if self.shared.receive_ring.is_full() { None } else { self.shared.receive_pool.take() };
        let Some(mut buffer) = taken else {
            self.missed += 1;
            return false;
        };
        buffer.bytes_mut()[..frame.len()].copy_from_slice(frame);
        let checksums = if self.shared.plan.receive_checksums {
            checksum::hardware_result(frame)
        } else {
            RxChecksums::Unknown
        };
        let frame = Frame { buffer, len: frame.len(), checksums };
        assert!(self.shared.receive_ring.push(frame).is_ok(), "room was seen a moment ago");
        self.delivered += 1;
        true
    }

    /// Takes the oldest frame that left, checksums finished and segments cut, and hands it to `take`. `false`: there was
    /// none, or the ring is [held](Self::hold).
    pub fn collect(&mut self, take: impl FnOnce(&[u8])) -> bool {
        if self.held {
            return false;
        }
        if let Some(segment) = self.segments.pop_front() {
            take(&segment);
            return true;
        }
        let Some(mut queued) = self.shared.transmit_ring.pop() else { return false };
        let frame = &mut queued.tx_buffer.0.bytes_mut()[..queued.len];
        self.collected += 1;
        match queued.offload {
            TxOffload::None => take(frame),
            TxOffload::Checksums { l2_len, l3_len } => {
                checksum::finish(frame, usize::from(l2_len), usize::from(l3_len));
                take(frame);
            }
            TxOffload::Segmentation { l2_len, l3_len, l4_len, segment_size } => {
                let [l2_len, l3_len, l4_len] = [l2_len, l3_len, l4_len].map(usize::from);
                let cut = Cut { l2_len, l3_len, l4_len, segment_size: usize::from(segment_size) };
                segmentation::split(frame, cut, |segment| {
                    self.segments.push_back(segment.to_vec())
                });
                let first = self.segments.pop_front();
                take(&first.expect("a packet that is cut has payload"));
            }
        }
        true
    }

    /// Whether the ring stops draining (`true`) or drains again: the transmit ring fills up.
    pub fn hold(&mut self, held: bool) {
        self.held = held;
    }

    /// Takes transmit buffers away until only `left` are free, or gives back what it had taken.
    pub fn squeeze(&mut self, left: usize) {
        self.squeezed.clear();
        self.shared.squeezed.store(0, Ordering::Relaxed);
        let pool = &self.shared.transmit_pool;
        while pool.free.len() > left {
            let Some(buffer) = pool.take() else { break };
            self.squeezed.push(buffer);
        }
        self.shared.squeezed.store(self.squeezed.len(), Ordering::Relaxed);
    }

    /// Frames put in the receive ring so far.
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Frames that left so far, a packet that was cut being one.
    pub fn collected(&self) -> u64 {
        self.collected
    }

    /// Frames lost because the receive ring or its pool was full.
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// Buffers that are not home: (receive, transmit).
    pub fn away(&self) -> (usize, usize) {
        (self.shared.receive_pool.taken(), self.shared.under_way())
    }
}

/// Buffers of one length.
#[derive(Debug)]
struct Pool {
    free: ArrayQueue<Box<[u8]>>,
    size: usize,
}

impl Pool {
    fn new(size: usize, len: usize) -> Arc<Self> {
        let free = ArrayQueue::new(size.max(1));
        for _ in 0..size {
            assert!(free.push(vec![0; len].into_boxed_slice()).is_ok(), "the pool holds its size");
        }
        Arc::new(Self { free, size })
    }

    fn take(self: &Arc<Self>) -> Option<Buffer> {
        let bytes = self.free.pop()?;
        Some(Buffer { bytes: Some(bytes), pool: Arc::clone(self) })
    }

    fn taken(&self) -> usize {
        self.size - self.free.len()
    }
}

/// A buffer away from home.
#[derive(Debug)]
struct Buffer {
    /// `None` only while it is being dropped.
    bytes: Option<Box<[u8]>>,
    pool: Arc<Pool>,
}

impl Buffer {
    fn bytes(&self) -> &[u8] {
        self.bytes.as_deref().unwrap_or_default()
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        self.bytes.as_deref_mut().unwrap_or_default()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(bytes) = self.bytes.take() {
            assert!(self.pool.free.push(bytes).is_ok(), "a buffer came home twice");
        }
    }
}

#[cfg(test)]
mod tests {
    use engine::Nic as _;

    use super::*;

    #[test]
    fn order_is_kept_and_buffers_come_home() {
        let (mut nic, mut wire) = NicPlan { transmit_ring: 2, ..NicPlan::default() }.build();
        for byte in [1, 2] {
            let mut tx_buffer = nic.tx_buffer().expect("room for two");
            tx_buffer.as_mut()[0] = byte;
            nic.submit(tx_buffer, 1, TxOffload::None);
        }
        assert!(!nic.ready());
        assert!(nic.tx_buffer().is_none());
        assert!(!wire.collect(|_| ()), "nothing leaves before the doorbell");
        nic.flush();
        let mut seen = Vec::new();
        while wire.collect(|frame| seen.push(frame[0])) {}
        assert_eq!(seen, [1, 2]);
        assert_eq!(wire.away(), (0, 0));
        assert_eq!(nic.losses().tx_ring_full, 2);
    }

    #[test]
    fn a_full_receive_ring_loses_the_newest() {
        let (mut nic, mut wire) = NicPlan { receive_ring: 2, ..NicPlan::default() }.build();
        assert!(wire.deliver(&[1]));
        assert!(wire.deliver(&[2]));
        assert!(!wire.deliver(&[3]));
        let mut burst = Burst::new();
        nic.receive(&mut burst);
        let seen: Vec<u8> = burst.iter().map(|frame| frame.as_ref()[0]).collect();
        assert_eq!((seen, wire.missed()), (vec![1, 2], 1));
        assert_eq!(wire.away(), (2, 0));
        drop(burst);
        assert_eq!(wire.away(), (0, 0));
    }

    #[test]
    fn a_squeezed_pool_is_seen_and_given_back() {
        let (mut nic, mut wire) = NicPlan::default().build();
        wire.squeeze(1);
        let tx_buffer = nic.tx_buffer();
        assert!(tx_buffer.is_some());
        assert!(!nic.ready());
        assert_eq!((nic.losses().tx_pool_empty, nic.losses().tx_ring_full), (1, 0));
        wire.squeeze(usize::MAX);
        assert!(nic.ready());
        drop(tx_buffer);
        assert_eq!(wire.away(), (0, 0));
    }
}
