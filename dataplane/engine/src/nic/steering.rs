//! The software spreader: one queue, many cores.
//!
//! Where a link has one queue, or does not hash flows, the [`Hub`] polls it and deals frames by 4-tuple
//! to the [`Spoke`]s over rings; what spokes send comes back over rings and leaves through the hub's
//! queue. Both are a [`Nic`] to their worker, which does not know the difference.
//!
//! Invariant: of the transmit buffers lent to a spoke at most one is in its hand, the others lie in the rings:
//! `tx_buffers.len() + filled.len() <= lent` and `large.len() + filled.len() <= LARGE_LENT` when a transmit buffer is
//! lent; so `filled`, as long as both and a hand for each, cannot overflow.

use core::fmt;
use std::sync::Arc;

use crossbeam::queue::ArrayQueue;

use crate::nic::{Burst, Capabilities, Nic, NicLosses, TxOffload};
use crate::sleep::Waker;
use crate::wire::ethernet::{self, LinkHeader};
use crate::wire::segment::{self, IP_LEN};
use crate::wire::tuple::{HashKey, Tuple};

/// Frames that may wait for one spoke.
pub const WAITING_MAX: usize = 1024;
/// Transmit buffers to lend to each spoke, where the pool is large enough: eight bursts.
pub const LENT: usize = 256;
/// Large transmit buffers to lend to each spoke, where the queue has them.
pub const LARGE_LENT: usize = 8;

/// The end that owns the queue.
pub struct Hub<N: Nic> {
    nic: N,
    lanes: Vec<Arc<Lane<N>>>,
    key: HashKey,
    lent: usize,
    rx_ring_full: u64,
    has_steered: bool,
}

/// The end of a core without a queue of its own.
pub struct Spoke<N: Nic> {
    lane: Arc<Lane<N>>,
    capabilities: Capabilities,
    no_tx_buffer: u64,
    no_large: u64,
    /// Wakes the hub's worker.
    hub: Waker,
    /// Whether the hub has to be told of filled buffers.
    filled: bool,
}

/// The rings between the hub and one spoke.
struct Lane<N: Nic> {
    /// Written by the hub, read by the spoke.
    frames: ArrayQueue<N::Frame>,
    /// Written by the hub, read by the spoke.
    tx_buffers: ArrayQueue<N::TxBuffer>,
    /// Written by the hub, read by the spoke: buffers for packets that the NIC segments.
    large: ArrayQueue<N::TxBuffer>,
    /// Written by the spoke, read by the hub.
    filled: ArrayQueue<Filled<N::TxBuffer>>,
    /// Wakes the spoke's worker.
    spoke: Waker,
}

struct Filled<B> {
    tx_buffer: B,
    len: usize,
    offload: TxOffload,
}

/// Splits one queue among as many cores as there are `wakers`, the hub's first, lending `lent` transmit
/// buffers to each spoke. The queue's pool must hold more than `lent` for each spoke, or the hub has none
/// for itself. The hub's worker must keep turning, or sleep where what arrives ends the sleep: nothing
/// reaches the others without it.
///
/// # Panics
/// If `wakers` is empty.
pub fn split<N: Nic>(
    nic: N,
    wakers: &[Waker],
    lent: usize,
    seed: [u8; 16],
) -> (Hub<N>, Vec<Spoke<N>>)
where
    N::Frame: Send,
    N::TxBuffer: Send,
{
    let (hub, spokes) = wakers.split_first().expect("the hub has a waker");
    let capabilities = nic.capabilities();
    let lanes: Vec<_> = spokes
        .iter()
        .map(|spoke| {
            Arc::new(Lane {
                frames: ArrayQueue::new(WAITING_MAX),
                tx_buffers: ArrayQueue::new(lent),
                large: ArrayQueue::new(LARGE_LENT),
                filled: ArrayQueue::new(lent + LARGE_LENT + 2),
                spoke: spoke.clone(),
            })
        })
        .collect();
    let ends = lanes
        .iter()
        .map(|lane| Spoke {
            lane: Arc::clone(lane),
            capabilities,
            no_tx_buffer: 0,
            no_large: 0,
            hub: hub.clone(),
            filled: false,
        })
        .collect();
    let mut hub =
        Hub { nic, lanes, key: HashKey::new(seed), lent, rx_ring_full: 0, has_steered: false };
    hub.lend();
    (hub, ends)
}

impl<N: Nic> Hub<N> {
    /// The queue itself, back from a worker that has stopped.
    pub fn into_inner(self) -> N {
        self.nic
    }

    /// Which core a frame belongs to: 0 is the hub's own.
    fn core_of(&self, frame: &[u8]) -> usize {
        let cores = self.lanes.len() as u64 + 1;
        flow_of(frame).map_or(0, |tuple| {
            // The high bits: the low ones find the place in the core's flow table.
            let share = ((self.key.hash(tuple) >> 32) * cores) >> 32;
            usize::try_from(share).unwrap_or(0)
        })
    }

    /// Takes what the spokes have filled. Whether there was any.
    fn collect(&mut self) -> bool {
        let mut any = false;
        for lane in &self.lanes {
            while self.nic.ready() {
                let Some(filled) = lane.filled.pop() else { break };
                self.nic.submit(filled.tx_buffer, filled.len, filled.offload);
                any = true;
            }
        }
        any
    }

    /// Gives the spokes transmit buffers again.
    fn lend(&mut self) {
        let segments = self.nic.capabilities().tx_segmentation_max > 0;
        for lane in &self.lanes {
            while segments && lane.large.len() + lane.filled.len() < LARGE_LENT {
                let Some(tx_buffer) = self.nic.large_tx_buffer() else { break };
                if lane.large.push(tx_buffer).is_err() {
                    break;
                }
            }
            while lane.tx_buffers.len() + lane.filled.len() < self.lent {
                let Some(tx_buffer) = self.nic.tx_buffer() else { return };
                if lane.tx_buffers.push(tx_buffer).is_err() {
                    break;
                }
            }
        }
    }
}

impl<N: Nic> Nic for Hub<N> {
    type Frame = N::Frame;
    type TxBuffer = N::TxBuffer;

    fn capabilities(&self) -> Capabilities {
        self.nic.capabilities()
    }

    fn receive(&mut self, burst: &mut Burst<N::Frame>) {
        let mut all = Burst::new();
        self.nic.receive(&mut all);
        let mut dealt = false;
        for frame in all {
            match self.core_of(frame.as_ref()) {
                0 => burst.push(frame),
                core => {
                    if self.lanes[core - 1].frames.push(frame).is_err() {
                        self.rx_ring_full += 1;
                    }
                    dealt = true;
                }
            }
        }
        if dealt {
            self.lanes.iter().filter(|lane| !lane.frames.is_empty()).for_each(|l| l.spoke.wake());
        }
        self.has_steered = self.nic.has_steered() | dealt | self.collect();
        self.lend();
    }

    fn has_steered(&self) -> bool {
        self.has_steered
    }

    fn ready(&mut self) -> bool {
        self.nic.ready()
    }

    fn tx_buffer(&mut self) -> Option<N::TxBuffer> {
        self.nic.tx_buffer()
    }

    fn large_ready(&mut self) -> bool {
        self.nic.large_ready()
    }

    fn large_tx_buffer(&mut self) -> Option<N::TxBuffer> {
        self.nic.large_tx_buffer()
    }

    fn submit(&mut self, tx_buffer: N::TxBuffer, len: usize, offload: TxOffload) {
        self.nic.submit(tx_buffer, len, offload);
    }

    fn flush(&mut self) {
        self.nic.flush();
    }

    fn losses(&self) -> NicLosses {
        let losses = self.nic.losses();
        NicLosses { rx_ring_full: losses.rx_ring_full + self.rx_ring_full, ..losses }
    }
}

impl<N: Nic> Nic for Spoke<N> {
    type Frame = N::Frame;
    type TxBuffer = N::TxBuffer;

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn receive(&mut self, burst: &mut Burst<N::Frame>) {
        while !burst.is_full() {
            let Some(frame) = self.lane.frames.pop() else { break };
            burst.push(frame);
        }
    }

    fn ready(&mut self) -> bool {
        let ready = !self.lane.tx_buffers.is_empty();
        self.no_tx_buffer += u64::from(!ready);
        ready
    }

    fn tx_buffer(&mut self) -> Option<N::TxBuffer> {
        let tx_buffer = self.lane.tx_buffers.pop();
        self.no_tx_buffer += u64::from(tx_buffer.is_none());
        tx_buffer
    }

    fn large_ready(&mut self) -> bool {
        let ready = !self.lane.large.is_empty();
        self.no_large += u64::from(!ready && self.capabilities.tx_segmentation_max > 0);
        ready
    }

    fn large_tx_buffer(&mut self) -> Option<N::TxBuffer> {
        self.lane.large.pop()
    }

    fn submit(&mut self, tx_buffer: N::TxBuffer, len: usize, offload: TxOffload) {
        let pushed = self.lane.filled.push(Filled { tx_buffer, len, offload });
        assert!(pushed.is_ok(), "no more is lent than the ring takes back");
        self.filled = true;
    }

    fn flush(&mut self) {
        // The hub collects in its own time, unless it sleeps.
        if std::mem::take(&mut self.filled) {
            self.hub.wake();
        }
    }

    fn losses(&self) -> NicLosses {
        NicLosses {
            tx_ring_full: self.no_tx_buffer,
            tx_large_empty: self.no_large,
            ..NicLosses::default()
        }
    }
}

impl<N: Nic> fmt::Debug for Hub<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("spokes", &self.lanes.len()).finish_non_exhaustive()
    }
}

impl<N: Nic> fmt::Debug for Spoke<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spoke").field("waiting", &self.lane.frames.len()).finish_non_exhaustive()
    }
}

/// The 4-tuple of a TCP frame; the guard judges later whether it is a good one.
fn flow_of(frame: &[u8]) -> Option<Tuple> {
    let header = LinkHeader::parse(frame)?;
    let packet = &frame[header.len()..];
    let ip = packet.first_chunk::<IP_LEN>()?;
    let whole_tcp = ip[0] == 0x45 && ip[9] == PROTOCOL_TCP && ip[6] & 0x3f == 0 && ip[7] == 0;
    if header.ethertype != ethernet::IPV4 || !whole_tcp {
        return None;
    }
    segment::parse(packet).map(|segment| segment.tuple)
}

const PROTOCOL_TCP: u8 = 6;
