//! One receive queue and one transmit queue of a port, owned by one core: the shipped [`Nic`].
//!
//! Frames to send gather in `pending`, in order, and leave at [`flush`](Nic::flush) with one call;
//! transmit buffers come from `stash`, refilled with one call. Nothing here allocates from the heap or makes a
//! system call of its own (what a virtual link's driver does inside a burst is its own affair).

use std::{io, os::fd::OwnedFd, sync::Arc};

use arrayvec::ArrayVec;
use engine::{BURST_MAX, Burst, Capabilities, Nic, NicLosses, TxOffload};

use crate::{
    Pool,
    limits::{PENDING_MAX, STASH_MAX},
    mbuf::{RxFrame, TxBuffer},
    port::open::OpenPort,
};

/// A receive queue and a transmit queue. `Send`, so that it can be handed to its core; neither `Sync`
/// nor `Clone`: DPDK's queues have one user at a time.
#[derive(Debug)]
pub struct QueuePair {
    // Fields drop in this order: what points into the port's memory goes before the port.
    pending: Pending,
    stash: ArrayVec<TxBuffer, STASH_MAX>,
    /// The large buffer that the next packet to be segmented goes into.
    large: Option<TxBuffer>,
    queue: u16,
    port: u16,
    capabilities: Capabilities,
    losses: NicLosses,
    /// How the driver deals with checksums.
    checksums: Checksums,
    pool: Arc<Pool>,
    large_pool: Option<Arc<Pool>>,
    sockets: Vec<OwnedFd>,
    /// Keeps the port started.
    #[expect(dead_code, reason = "held for its drop")]
    open: Arc<OpenPort>,
}

impl QueuePair {
    /// `queue` of a started port; made once for each.
    pub(crate) fn new(
        open: Arc<OpenPort>,
        (pool, large_pool): (Arc<Pool>, Option<Arc<Pool>>),
        queue: u16,
        (capabilities, checksums): (Capabilities, Checksums),
        sockets: Vec<OwnedFd>,
    ) -> Self {
        Self {
            pending: Pending(ArrayVec::new()),
            stash: ArrayVec::new(),
            large: None,
            queue,
            port: open.id(),
            capabilities,
            losses: NicLosses::default(),
            checksums,
            pool,
            large_pool,
            sockets,
            open,
        }
    }

    /// The number of this queue on its port, from 0.
    pub fn queue(&self) -> u16 {
        self.queue
    }

    /// From now on the queue is given no packets to segment.
    pub fn without_segmentation(&mut self) {
        self.capabilities.tx_segmentation_max = 0;
        self.large = None;
        self.large_pool = None;
    }

    /// Descriptors of this queue that poll(2) reports as readable when the queue has received something,
    /// and until it was taken: the driver's AF_XDP or AF_PACKET socket, or its end of the TAP interface.
    /// Empty where the driver has none. They are duplicates, which may be polled and nothing else; what
    /// outlives the queue keeps the socket open.
    ///
    /// # Errors
    /// The process may have no more descriptors.
    pub fn poll_descriptors(&self) -> io::Result<Vec<OwnedFd>> {
        self.sockets.iter().map(OwnedFd::try_clone).collect()
    }

    /// Sends what is pending, as far as the ring takes it. Returns whether all of it went.
    fn send(&mut self) -> bool {
        let frames = &mut self.pending.0;
        #[expect(clippy::cast_possible_truncation, reason = "PENDING_MAX is 64")]
        let count = frames.len() as u16;
        if count == 0 {
            return true;
        }
        let refused = &raw mut self.losses.tx_segmentation_refused;
        // SAFETY: `frames` are `count` mbufs that this queue owns, each at least as long as its `len`
        // (`submit` saw to it); the port is started while `open` lives, and this queue of it has no
        // other user. The first `sent` of them belong to the ring, or were
        // freed, afterwards.
        let sent = unsafe {
            dpdk_sys::shim_tx_burst(self.port, self.queue, frames.as_ptr(), count, refused)
        };
        frames.drain(..usize::from(sent));
        frames.is_empty()
    }

    /// Makes sure that the stash has a transmit buffer. False: the pool is empty.
    fn restock(&mut self) -> bool {
        if !self.stash.is_empty() {
            return true;
        }
        let mut views = [EMPTY_TX_BUFFER; STASH_MAX];
        let mut taken = 0;
        // The second, smaller request is for a pool that is nearly empty.
        for count in [STASH_MAX, 1] {
            #[expect(clippy::cast_possible_truncation, reason = "STASH_MAX is 32")]
            let count = count as u16;
            // SAFETY: `views` has room for `count` entries, and the pool lives while `open` does.
            taken =
                unsafe { dpdk_sys::shim_alloc_bulk(self.pool.raw(), views.as_mut_ptr(), count) };
            if taken > 0 {
                break;
            }
        }
        for view in &views[..usize::from(taken)] {
            // SAFETY: the call above filled the first `taken` entries; each is looked at once.
            self.stash.extend(unsafe { TxBuffer::from_view(view, self.port) });
        }
        !self.stash.is_empty()
    }
}

impl Nic for QueuePair {
    type Frame = RxFrame;
    type TxBuffer = TxBuffer;

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    #[inline]
    fn receive(&mut self, burst: &mut Burst<RxFrame>) {
        let mut views = [EMPTY_RX; BURST_MAX];
        #[expect(clippy::cast_possible_truncation, reason = "BURST_MAX is 32")]
        let room = burst.remaining_capacity() as u16;
        // SAFETY: `views` has room for `room` entries; the port is started while `open` lives, and
        // this queue of it has no other user.
        let taken = unsafe {
            dpdk_sys::shim_rx_burst(
                self.port,
                self.queue,
                views.as_mut_ptr(),
                room,
                &raw mut self.losses.rx_multi_segment,
            )
        };
        for view in &views[..usize::from(taken)] {
            // SAFETY: the call above filled the first `taken` entries; each is looked at once.
            burst.extend(unsafe { RxFrame::from_view(view, self.checksums.unfilled_are_good) });
        }
    }

    #[inline]
    fn ready(&mut self) -> bool {
        if self.pending.0.is_full() {
            self.send();
            if self.pending.0.is_full() {
                self.losses.tx_ring_full += 1;
                return false;
            }
        }
        let stocked = self.restock();
        self.losses.tx_pool_empty += u64::from(!stocked);
        stocked
    }

    #[inline]
    fn tx_buffer(&mut self) -> Option<TxBuffer> {
        if self.ready() { self.stash.pop() } else { None }
    }

    #[inline]
    fn large_ready(&mut self) -> bool {
        if self.large_pool.is_none() || self.losses.tx_segmentation_refused > 0 {
            return false;
        }
        if self.pending.0.remaining_capacity() < 2 {
            self.send();
            if self.pending.0.remaining_capacity() < 2 {
                self.losses.tx_ring_full += 1;
                return false;
            }
        }
        if let (None, Some(pool)) = (&self.large, &self.large_pool) {
            let mut view = EMPTY_TX_BUFFER;
            // SAFETY: `view` has room for one entry, and the pool lives while `open` does.
            let taken = unsafe { dpdk_sys::shim_alloc_bulk(pool.raw(), &raw mut view, 1) };
            if taken == 1 {
                // SAFETY: the call above filled the entry, which is looked at once.
                self.large = unsafe { TxBuffer::from_view(&view, self.port) };
            }
        }
        self.losses.tx_large_empty += u64::from(self.large.is_none());
        self.large.is_some()
    }

    #[inline]
    fn large_tx_buffer(&mut self) -> Option<TxBuffer> {
        if self.large_ready() { self.large.take() } else { None }
    }

    /// # Panics
    ///
    /// Where `len` is more than the transmit buffer holds, or the transmit buffer is another port's.
    #[inline]
    fn submit(&mut self, mut tx_buffer: TxBuffer, len: usize, offload: TxOffload) {
        assert!(len <= tx_buffer.capacity(), "a frame is no longer than its buffer");
        assert!(tx_buffer.port() == self.port, "a transmit buffer goes back to the port it is of");
        if self.pending.0.is_full() {
            self.send();
            if self.pending.0.is_full() {
                // Only where more transmit buffers than PENDING_MAX were taken before one was submitted.
                self.losses.tx_ring_full += 1;
                return;
            }
        }
        let (l2_len, l3_len, l4_len, segment_size) = match offload {
            TxOffload::None => (0, 0, 0, 0),
            TxOffload::Checksums { l2_len, l3_len } => (l2_len, l3_len, 0, 0),
            TxOffload::Segmentation { l2_len, l3_len, l4_len, segment_size } => {
                (l2_len, l3_len, l4_len, segment_size)
            }
        };
        debug_assert!(l3_len == 0 || self.capabilities.tx_checksum_offload);
        debug_assert!(segment_size == 0 || self.large_pool.is_some());
        let ip_checksum = self.checksums.nic_fills_ipv4;
        if l3_len != 0 && !ip_checksum {
            fill_ipv4_checksum(tx_buffer.as_mut(), usize::from(l2_len), usize::from(l3_len));
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a transmit buffer's capacity is below 64 KiB"
        )]
        let len = len as u16;
        let mbuf = tx_buffer.into_raw();
        self.pending.0.push(dpdk_sys::shim_tx {
            mbuf,
            len,
            l2_len,
            l3_len,
            segment_size,
            l4_len,
            ip_checksum: ip_checksum.into(),
        });
    }

    #[inline]
    fn flush(&mut self) {
        self.send();
    }

    fn losses(&self) -> NicLosses {
        self.losses
    }
}

/// How a driver deals with checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Checksums {
    /// Whether it fills in IPv4 header checksums where it fills in TCP checksums. virtio's does not.
    pub(crate) nic_fills_ipv4: bool,
    /// Whether a received TCP checksum that is not filled in belongs to a frame that never was on a wire
    /// (virtio 1.1, 5.1.6.4.1: `VIRTIO_NET_HDR_F_NEEDS_CSUM`).
    pub(crate) unfilled_are_good: bool,
}

/// Fills in the checksum of the IPv4 header of `l3_len` bytes at `l2_len` in `frame`, where it is zero.
fn fill_ipv4_checksum(frame: &mut [u8], l2_len: usize, l3_len: usize) {
    let Some(header) = frame.get_mut(l2_len..l2_len + l3_len) else { return };
    let mut sum: u32 = 0;
    for pair in header.as_chunks::<2>().0 {
        sum += u32::from(u16::from_be_bytes(*pair));
    }
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    let [high, low] = (!u16::try_from(sum).unwrap_or(0)).to_be_bytes();
    if let Some(field) = header.get_mut(10..12) {
        field.copy_from_slice(&[high, low]);
    }
}

/// Frames that the ring has not taken yet, oldest first; each entry owns its mbuf.
#[derive(Debug)]
struct Pending(ArrayVec<dpdk_sys::shim_tx, PENDING_MAX>);

// SAFETY: an mbuf belongs to whoever holds it, and its pool takes it back from any thread.
unsafe impl Send for Pending {}

impl Drop for Pending {
    fn drop(&mut self) {
        for frame in self.0.drain(..) {
            // SAFETY: the entry owned its mbuf and is gone after this.
            unsafe { dpdk_sys::shim_free(frame.mbuf) };
        }
    }
}

const EMPTY_RX: dpdk_sys::shim_rx = dpdk_sys::shim_rx {
    mbuf: std::ptr::null_mut(),
    data: std::ptr::null_mut(),
    len: 0,
    checksums: dpdk_sys::SHIM_CHECKSUMS_UNKNOWN,
};

const EMPTY_TX_BUFFER: dpdk_sys::shim_tx_buffer = dpdk_sys::shim_tx_buffer {
    mbuf: std::ptr::null_mut(),
    data: std::ptr::null_mut(),
    capacity: 0,
    reserved: 0,
};
