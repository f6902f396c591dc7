//! Receive packet steering in software: one queue, several workers.
//!
//! Where a link has one queue, or does not hash flows, the [`SteeringQueue`] polls it and steers each frame by
//! its 4-tuple to a [`WorkerQueue`] over a ring; what the workers send comes back over rings and leaves through
//! the one queue. Both are a [`Nic`] to their worker, which does not know the difference.
//!
//! Invariant: of the transmit buffers that a worker queue was given at most one is in its worker's hand, the
//! others lie in the rings: `tx_buffers.len() + filled.len() <= buffers_each` and `large.len() + filled.len() <=
//! LARGE_TX_BUFFERS` when a transmit buffer is given; so `filled`, as long as both and one in hand of each,
//! cannot overflow.

use std::sync::Arc;

use crossbeam::queue::ArrayQueue;

use crate::nic::{Burst, Capabilities, Nic, NicLosses, TxOffload};
use crate::secret::{self, Purpose};
use crate::sleep::Waker;
use crate::wire::ethernet::{self, EthernetHeader};
use crate::wire::segment::{self, IP_LEN};
use crate::wire::tuple::{HashKey, Tuple};

/// Frames that may wait for one worker.
pub const FRAMES_MAX: usize = 1024;
/// Transmit buffers to give to each worker, where the pool is large enough: eight bursts.
pub const TX_BUFFERS: usize = 256;
/// Large transmit buffers to give to each worker, where the queue has them.
pub const LARGE_TX_BUFFERS: usize = 8;

/// The end that owns the queue: receives for all workers and sends for them.
#[derive(derive_more::Debug)]
#[debug("SteeringQueue {{ worker_queues: {} }}", workers.len())]
pub struct SteeringQueue<N: Nic> {
    nic: N,
    workers: Vec<Arc<QueueRings<N>>>,
    key: HashKey,
    /// Transmit buffers that each worker queue has.
    buffers_each: usize,
    rx_ring_full: u64,
    has_steered: bool,
}

/// The end of a core without a queue of its own.
#[derive(derive_more::Debug)]
#[debug("WorkerQueue {{ waiting: {} }}", rings.frames.len())]
pub struct WorkerQueue<N: Nic> {
    rings: Arc<QueueRings<N>>,
    capabilities: Capabilities,
    no_tx_buffer: u64,
    no_large: u64,
    /// Wakes the steering queue's worker.
    steering: Waker,
    /// Whether buffers were filled since the steering queue's worker was woken.
    filled: bool,
}

/// The rings between the steering queue and one worker queue.
struct QueueRings<N: Nic> {
    /// Written by the steering queue, read by the worker queue.
    frames: ArrayQueue<N::Frame>,
    /// Written by the steering queue, read by the worker queue.
    tx_buffers: ArrayQueue<N::TxBuffer>,
    /// Written by the steering queue, read by the worker queue: buffers for packets that the NIC segments.
    large: ArrayQueue<N::TxBuffer>,
    /// Written by the worker queue, read by the steering queue.
    filled: ArrayQueue<Filled<N::TxBuffer>>,
    /// Wakes the worker queue's worker.
    waker: Waker,
}

struct Filled<B> {
    tx_buffer: B,
    len: usize,
    offload: TxOffload,
}

/// Splits one queue among as many workers as there are `wakers`, the steering queue's first. Each worker queue
/// has `buffers_each` transmit buffers; the queue's pool must hold more than that for each, or none is left for
/// the steering queue's own worker. That worker must keep turning, or sleep where what arrives ends the sleep:
/// nothing reaches the others without it.
///
/// # Panics
/// If `wakers` is empty.
pub fn split<N: Nic>(
    nic: N,
    wakers: &[Waker],
    buffers_each: usize,
    seed: [u8; 16],
) -> (SteeringQueue<N>, Vec<WorkerQueue<N>>)
where
    N::Frame: Send,
    N::TxBuffer: Send,
{
    let (steering, others) = wakers.split_first().expect("the steering queue's worker has a waker");
    let capabilities = nic.capabilities();
    let workers: Vec<_> = others
        .iter()
        .map(|waker| {
            Arc::new(QueueRings {
                frames: ArrayQueue::new(FRAMES_MAX),
                tx_buffers: ArrayQueue::new(buffers_each),
                large: ArrayQueue::new(LARGE_TX_BUFFERS),
                filled: ArrayQueue::new(buffers_each + LARGE_TX_BUFFERS + 2),
                waker: waker.clone(),
            })
        })
        .collect();
    let worker_queues = workers
        .iter()
        .map(|rings| WorkerQueue {
            rings: Arc::clone(rings),
            capabilities,
            no_tx_buffer: 0,
            no_large: 0,
            steering: steering.clone(),
            filled: false,
        })
        .collect();
    let key = HashKey::new(secret::derive(seed, Purpose::Steering));
    let mut steering_queue =
        SteeringQueue { nic, workers, key, buffers_each, rx_ring_full: 0, has_steered: false };
    steering_queue.refill();
    (steering_queue, worker_queues)
}

impl<N: Nic> SteeringQueue<N> {
    /// The queue itself, back from a worker that has stopped.
    pub fn into_inner(self) -> N {
        self.nic
    }

    /// Which worker a frame belongs to: 0 is the steering queue's own.
    fn worker_of(&self, frame: &[u8]) -> usize {
        let count = self.workers.len() as u64 + 1;
        flow_of(frame).map_or(0, |tuple| {
            // The high bits: the low ones find the place in the core's flow table.
            let share = ((self.key.hash(tuple) >> 32) * count) >> 32;
            usize::try_from(share).unwrap_or(0)
        })
    }

    /// Sends what the other workers have filled. Whether there was any.
    fn collect(&mut self) -> bool {
        let mut any = false;
        for rings in &self.workers {
            while self.nic.ready() {
                let Some(filled) = rings.filled.pop() else { break };
                self.nic.submit(filled.tx_buffer, filled.len, filled.offload);
                any = true;
            }
        }
        any
    }

    /// Gives the worker queues transmit buffers in place of those they have used.
    fn refill(&mut self) {
        let segments = self.nic.capabilities().tx_segmentation_max > 0;
        for rings in &self.workers {
            while segments && rings.large.len() + rings.filled.len() < LARGE_TX_BUFFERS {
                let Some(tx_buffer) = self.nic.large_tx_buffer() else { break };
                if rings.large.push(tx_buffer).is_err() {
                    break;
                }
            }
            while rings.tx_buffers.len() + rings.filled.len() < self.buffers_each {
                let Some(tx_buffer) = self.nic.tx_buffer() else { return };
                if rings.tx_buffers.push(tx_buffer).is_err() {
                    break;
                }
            }
        }
    }
}

impl<N: Nic> Nic for SteeringQueue<N> {
    type Frame = N::Frame;
    type TxBuffer = N::TxBuffer;

    fn capabilities(&self) -> Capabilities {
        self.nic.capabilities()
    }

    fn receive(&mut self, burst: &mut Burst<N::Frame>) {
        let mut all = Burst::new();
        self.nic.receive(&mut all);
        let mut steered = false;
        for frame in all {
            match self.worker_of(frame.as_ref()) {
                0 => burst.push(frame),
                worker => {
                    if self.workers[worker - 1].frames.push(frame).is_err() {
                        self.rx_ring_full += 1;
                    }
                    steered = true;
                }
            }
        }
        if steered {
            self.workers
                .iter()
                .filter(|rings| !rings.frames.is_empty())
                .for_each(|r| r.waker.wake());
        }
        self.has_steered = self.nic.has_steered() | steered | self.collect();
        self.refill();
    }

    fn has_steered(&self) -> bool {
        self.has_steered
    }

    fn is_relied_on(&self) -> bool {
        self.workers.iter().any(|rings| !rings.waker.is_asleep())
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

impl<N: Nic> Nic for WorkerQueue<N> {
    type Frame = N::Frame;
    type TxBuffer = N::TxBuffer;

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn receive(&mut self, burst: &mut Burst<N::Frame>) {
        while !burst.is_full() {
            let Some(frame) = self.rings.frames.pop() else { break };
            burst.push(frame);
        }
    }

    fn ready(&mut self) -> bool {
        let ready = !self.rings.tx_buffers.is_empty();
        self.no_tx_buffer += u64::from(!ready);
        ready
    }

    fn tx_buffer(&mut self) -> Option<N::TxBuffer> {
        let tx_buffer = self.rings.tx_buffers.pop();
        self.no_tx_buffer += u64::from(tx_buffer.is_none());
        tx_buffer
    }

    fn large_ready(&mut self) -> bool {
        let ready = !self.rings.large.is_empty();
        self.no_large += u64::from(!ready && self.capabilities.tx_segmentation_max > 0);
        ready
    }

    fn large_tx_buffer(&mut self) -> Option<N::TxBuffer> {
        self.rings.large.pop()
    }

    fn submit(&mut self, tx_buffer: N::TxBuffer, len: usize, offload: TxOffload) {
        let pushed = self.rings.filled.push(Filled { tx_buffer, len, offload });
        assert!(pushed.is_ok(), "no more buffers are given than the ring takes back");
        self.filled = true;
    }

    fn flush(&mut self) {
        // The steering queue's worker collects in its own time, unless it sleeps.
        if std::mem::take(&mut self.filled) {
            self.steering.wake();
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

/// The 4-tuple of a TCP frame, which the filter has yet to check.
fn flow_of(frame: &[u8]) -> Option<Tuple> {
    let header = EthernetHeader::parse(frame)?;
    let packet = &frame[header.len()..];
    let ip = packet.first_chunk::<IP_LEN>()?;
    let whole_tcp = ip[0] == 0x45 && ip[9] == PROTOCOL_TCP && ip[6] & 0x3f == 0 && ip[7] == 0;
    if header.ethertype != ethernet::IPV4 || !whole_tcp {
        return None;
    }
    segment::parse(packet).map(|segment| segment.tuple)
}

const PROTOCOL_TCP: u8 = 6;
