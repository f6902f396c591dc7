//! The exception path: frames that are not for our TCP port go to the kernel, and what the kernel sends
//! leaves through the port.
//!
//! Ownership. A frame for the kernel stays the receive buffer it arrived in: the worker hands it over,
//! the kernel's end passes it to a write and hands it back, and the worker drops it, so that a buffer
//! returns to its pool from the core that took it. A frame of the kernel lies in a buffer that the
//! kernel's end allocated; the worker copies it into a transmit buffer and hands the buffer back.
//! Bounds: a worker has at most [`FRAMES_MAX`] frames outstanding, and at most [`BUFFERS`] frames of the kernel
//! wait for it. What does not fit is dropped and counted; neither side waits for the other.

use core::net::Ipv4Addr;
use std::sync::Arc;

use crossbeam::queue::ArrayQueue;
use http1::Service;

use crate::control_queue;
use crate::limits::L2_HEADER_MAX;
use crate::nic::{Frame, Nic, TxOffload};
use crate::sleep::Waker;
use crate::wire::arp;
use crate::wire::drop_reason::DropReason;
use crate::wire::ethernet::{self, EthernetHeader};
use crate::wire::segment::IP_LEN;
use crate::{CorePlan, CoreStats};

/// Received frames of one worker that the kernel's end may hold: the pool must have so many to spare.
pub const FRAMES_MAX: usize = 1024;
/// Frames of the kernel that may wait for a worker.
pub const BUFFERS: usize = 512;
/// Frames of the kernel that one turn sends.
const SENT_PER_TURN: usize = 32;

/// What connects one worker with the kernel's end.
struct Rings<F> {
    /// For the kernel. Written by the worker, read by the kernel's end.
    frames: ArrayQueue<F>,
    /// Done with. Written by the kernel's end, read by the worker.
    returned: ArrayQueue<F>,
    /// From the kernel. Written by the kernel's end, read by the worker.
    outbound: ArrayQueue<Outbound>,
    /// Sent. Written by the worker, read by the kernel's end.
    free: ArrayQueue<Box<[u8]>>,
}

/// A frame of the kernel: the first `len` bytes of `buffer`.
struct Outbound {
    buffer: Box<[u8]>,
    len: usize,
}

/// Makes the two ends of one worker's exception path. The worker has `plan` and `queue`, is woken by
/// `worker`, and wakes the kernel's end by `kernel`; its queue takes IP packets of `ip_mtu` bytes.
pub fn pair<F: Frame + Send + 'static, S: Service>(
    plan: &CorePlan,
    queue: &control_queue::WorkerEnd<S>,
    ip_mtu: usize,
    kernel: Waker,
    worker: Waker,
) -> (KernelEnd<F>, WorkerEnd<F>) {
    let rings = Arc::new(Rings {
        frames: ArrayQueue::new(FRAMES_MAX),
        returned: ArrayQueue::new(FRAMES_MAX),
        outbound: ArrayQueue::new(BUFFERS),
        free: ArrayQueue::new(BUFFERS),
    });
    let frame_len_max = L2_HEADER_MAX + ip_mtu;
    let kernel_end = KernelEnd {
        rings: Arc::clone(&rings),
        stats: Arc::clone(&queue.stats),
        worker,
        frame_len_max,
        buffers_made: 0,
        overflow: vec![0; frame_len_max + 1].into_boxed_slice(),
    };
    let CorePlan { address, link_address, port, mac, .. } = *plan;
    let addresses = [address, link_address];
    (
        kernel_end,
        WorkerEnd { rings, kernel, addresses, port, mac, outstanding: 0, is_kernel_due: false },
    )
}

/// The worker's end.
#[derive(derive_more::Debug)]
#[debug("WorkerEnd {{ outstanding: {outstanding} }}")]
pub struct WorkerEnd<F> {
    rings: Arc<Rings<F>>,
    /// Wakes the kernel's end.
    kernel: Waker,
    /// The address that is served, and the one on the link.
    addresses: [Ipv4Addr; 2],
    port: u16,
    mac: [u8; 6],
    /// Frames handed over and not back yet, at most [`FRAMES_MAX`].
    outstanding: usize,
    /// Whether the kernel's end has to be woken.
    is_kernel_due: bool,
}

impl<F: Frame> WorkerEnd<F> {
    /// Whether a frame that the worker has no use for, for reason `reason`, is the kernel's.
    ///
    /// Damaged frames are not, nor unicast frames of other stations, nor what is for our TCP port
    /// whatever is wrong with it: the kernel has no socket there and would reset our connections.
    pub(crate) fn wants(&self, frame: &[u8], reason: DropReason) -> bool {
        let Some(header) = EthernetHeader::parse(frame) else { return false };
        let packet = &frame[header.len()..];
        let is_foreign = match reason {
            DropReason::Vlan
            | DropReason::Ethertype
            | DropReason::IpOptions
            | DropReason::Fragment
            | DropReason::Destination
            | DropReason::Protocol
            | DropReason::Icmp
            | DropReason::ClosedPort
            | DropReason::NoTxBuffer => true,
            DropReason::NotForUsL2 => ethernet::is_group(header.destination),
            // Requests for our link address are answered by the worker, and only by it; those for a service
            // address by nobody, though the kernel, where it has that on any interface, would.
            DropReason::Arp => !arp::Packet::parse(packet).is_some_and(|arp| {
                arp.operation == arp::REQUEST && self.addresses.contains(&arp.target)
            }),
            _ => false,
        };
        let is_sender_sound = !ethernet::is_group(header.source) && header.source != self.mac;
        is_foreign && is_sender_sound && !self.is_for_our_port(&header, packet)
    }

    fn is_for_our_port(&self, header: &EthernetHeader, packet: &[u8]) -> bool {
        let Some(ip) = packet.first_chunk::<IP_LEN>() else { return false };
        let is_first_fragment = ip[6] & 0x1f == 0 && ip[7] == 0;
        let is_tcp = header.ethertype == ethernet::IPV4
            && ip[0] >> 4 == 4
            && ip[9] == PROTOCOL_TCP
            && is_first_fragment;
        if !is_tcp || ip[16..20] != self.addresses[0].octets() {
            return false;
        }
        let tcp = usize::from(ip[0] & 0x0f) * 4;
        // A header too short to say where it goes is nobody's.
        packet.get(tcp + 2..tcp + 4).is_none_or(|port| port == self.port.to_be_bytes())
    }

    /// Hands `frame` over for the kernel, or drops and counts it where the kernel's end has as many as
    /// it may have.
    pub(crate) fn hand_over(&mut self, frame: F, stats: &CoreStats) {
        if self.outstanding == FRAMES_MAX {
            self.reclaim();
        }
        let len = frame.as_ref().len() as u64;
        if self.outstanding == FRAMES_MAX || self.rings.frames.push(frame).is_err() {
            stats.drop_exception_ring_full.add(1);
            return;
        }
        self.outstanding += 1;
        self.is_kernel_due = true;
        stats.exception_rx_frames.add(1);
        stats.exception_rx_bytes.add(len);
    }

    /// Ends a burst: the kernel's end is woken if there is something for it.
    pub(crate) fn end_burst(&mut self) {
        if core::mem::take(&mut self.is_kernel_due) {
            self.kernel.wake();
        }
    }

    /// Drops the frames that the kernel's end is done with.
    pub(crate) fn reclaim(&mut self) {
        while let Some(frame) = self.rings.returned.pop() {
            drop(frame);
            self.outstanding -= 1;
        }
    }

    /// Queues what the kernel has to send, oldest first, at most [`SENT_PER_TURN`] frames. What finds no
    /// transmit buffer waits. Whether anything was queued.
    pub(crate) fn send<N: Nic>(&mut self, nic: &mut N, stats: &CoreStats) -> bool {
        let mut sent = 0;
        while sent < SENT_PER_TURN && !self.rings.outbound.is_empty() {
            let Some(mut tx_buffer) = nic.tx_buffer() else {
                stats.exception_tx_waits.add(1);
                break;
            };
            let Some(Outbound { buffer, len }) = self.rings.outbound.pop() else { break };
            tx_buffer.as_mut()[..len].copy_from_slice(&buffer[..len]);
            nic.submit(tx_buffer, len, TxOffload::None);
            let returned = self.rings.free.push(buffer);
            debug_assert!(returned.is_ok(), "no more buffers are made than the ring takes");
            stats.exception_tx_frames.add(1);
            stats.exception_tx_bytes.add(len as u64);
            stats.tx_frames.add(1);
            stats.tx_bytes.add(len as u64);
            sent += 1;
        }
        sent > 0
    }
}

/// The kernel's end of one worker's exception path, whatever its frames are.
pub trait KernelPort: Send {
    /// Passes the oldest frame for the kernel to `write`, which says whether the kernel took it; a frame
    /// that it did not take is counted. `false`: there was none.
    fn take(&mut self, write: &mut dyn FnMut(&[u8]) -> bool) -> bool;

    /// Has `read` fill a buffer with a frame of the kernel, and hands that to the worker. `read` returns
    /// the bytes of the frame, as many as it could store of a longer one, or `None` where there is none. A
    /// frame for which the ring has no room, and one longer than the port's MTU, is dropped and counted.
    /// `false`: there was none.
    fn give(&mut self, read: &mut dyn FnMut(&mut [u8]) -> Option<usize>) -> bool;

    /// Whether there is no frame for the kernel now.
    fn is_empty(&self) -> bool;
}

/// The kernel's end for frames of type `F`.
#[derive(derive_more::Debug)]
#[debug("KernelEnd {{ waiting: {} }}", rings.frames.len())]
pub struct KernelEnd<F> {
    rings: Arc<Rings<F>>,
    /// The worker's block. This end is the only writer of the counters it adds to.
    stats: Arc<CoreStats>,
    /// Wakes the worker.
    worker: Waker,
    frame_len_max: usize,
    /// Buffers made so far, at most [`BUFFERS`]: as many as have been in use at once.
    buffers_made: usize,
    /// Where a frame goes that is dropped.
    overflow: Box<[u8]>,
}

impl<F: Frame + Send> KernelPort for KernelEnd<F> {
    fn take(&mut self, write: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        let Some(frame) = self.rings.frames.pop() else { return false };
        if !write(frame.as_ref()) {
            self.stats.exception_write_failed.add(1);
        }
        let returned = self.rings.returned.push(frame);
        debug_assert!(returned.is_ok(), "no more frames are outstanding than the ring takes back");
        true
    }

    fn give(&mut self, read: &mut dyn FnMut(&mut [u8]) -> Option<usize>) -> bool {
        let Some(mut buffer) = self.buffer() else {
            let dropped = read(&mut self.overflow).is_some();
            self.stats.exception_tx_ring_full.add(u64::from(dropped));
            return dropped;
        };
        let read = read(&mut buffer);
        match read {
            Some(len) if len <= self.frame_len_max => {
                let queued = self.rings.outbound.push(Outbound { buffer, len });
                debug_assert!(queued.is_ok(), "no more buffers are made than the ring takes");
                self.worker.wake();
            }
            too_long => {
                self.stats.exception_tx_too_long.add(u64::from(too_long.is_some()));
                let kept = self.rings.free.push(buffer);
                debug_assert!(kept.is_ok(), "no more buffers are made than the ring takes");
            }
        }
        read.is_some()
    }

    fn is_empty(&self) -> bool {
        self.rings.frames.is_empty()
    }
}

impl<F> KernelEnd<F> {
    /// A free buffer, one byte longer than the longest frame; a new one while there may be more.
    fn buffer(&mut self) -> Option<Box<[u8]>> {
        self.rings.free.pop().or_else(|| {
            let may_make = self.buffers_made < BUFFERS;
            self.buffers_made += usize::from(may_make);
            may_make.then(|| vec![0; self.frame_len_max + 1].into_boxed_slice())
        })
    }
}

const PROTOCOL_TCP: u8 = 6;
