//! A queue pair that is two lists in memory. Buffers are recycled: nothing is allocated once warm.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use engine::{Burst, Capabilities, Frame, Nic, NicLosses, RxChecksums, TxOffload};

/// Both directions between the worker and its clients. Clones are the same wire.
#[derive(Clone)]
pub(crate) struct Wire(Rc<RefCell<Queues>>);

struct Queues {
    to_worker: VecDeque<Packet>,
    to_clients: Vec<Packet>,
    free: Vec<Vec<u8>>,
}

/// A buffer of [`BUFFER_LEN`] bytes, of which a frame takes the first `len`.
struct Packet {
    bytes: Vec<u8>,
    len: usize,
}

const BUFFER_LEN: usize = 2_048;
const IP_MTU: usize = 1_500;

impl Wire {
    /// A wire with `buffers` buffers.
    pub(crate) fn new(buffers: usize) -> Self {
        Self(Rc::new(RefCell::new(Queues {
            to_worker: VecDeque::with_capacity(buffers),
            to_clients: Vec::with_capacity(buffers),
            free: (0..buffers).map(|_| vec![0; BUFFER_LEN]).collect(),
        })))
    }

    /// Clients: sends the frame that `write` puts into a buffer; it returns the frame's length.
    ///
    /// # Panics
    /// If all buffers are in use: there are too few for the profile.
    pub(crate) fn send(&self, write: impl FnOnce(&mut [u8]) -> usize) {
        let mut queues = self.0.borrow_mut();
        let mut bytes = queues.free.pop().expect("a buffer for each frame under way");
        let len = write(&mut bytes);
        queues.to_worker.push_back(Packet { bytes, len });
    }

    /// Clients: takes each frame that the worker sent, oldest first.
    pub(crate) fn receive(&self, mut take: impl FnMut(&[u8])) {
        let mut sent = std::mem::take(&mut self.0.borrow_mut().to_clients);
        for packet in sent.drain(..) {
            take(&packet.bytes[..packet.len]);
            self.0.borrow_mut().free.push(packet.bytes);
        }
        self.0.borrow_mut().to_clients = sent;
    }

    /// Whether the worker has taken everything that the clients sent.
    pub(crate) fn is_taken(&self) -> bool {
        self.0.borrow().to_worker.is_empty()
    }
}

/// The worker's end of a [`Wire`].
pub(crate) struct MemoryNic(Wire);

impl MemoryNic {
    pub(crate) fn new(wire: &Wire) -> Self {
        Self(wire.clone())
    }
}

/// A buffer that goes back to its wire when dropped.
pub(crate) struct NicBuffer {
    /// Empty only once it was submitted.
    bytes: Vec<u8>,
    len: usize,
    wire: Wire,
}

impl Drop for NicBuffer {
    fn drop(&mut self) {
        if !self.bytes.is_empty() {
            self.wire.0.borrow_mut().free.push(std::mem::take(&mut self.bytes));
        }
    }
}

impl AsRef<[u8]> for NicBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl AsMut<[u8]> for NicBuffer {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Frame for NicBuffer {
    fn checksums(&self) -> RxChecksums {
        RxChecksums::Good
    }
}

impl Nic for MemoryNic {
    type Frame = NicBuffer;
    type TxBuffer = NicBuffer;

    fn capabilities(&self) -> Capabilities {
        Capabilities { tx_checksum_offload: true, ip_mtu: IP_MTU, tx_segmentation_max: 0 }
    }

    fn receive(&mut self, burst: &mut Burst<NicBuffer>) {
        let mut queues = self.0.0.borrow_mut();
        while !burst.is_full()
            && let Some(Packet { bytes, len }) = queues.to_worker.pop_front()
        {
            burst.push(NicBuffer { bytes, len, wire: self.0.clone() });
        }
    }

    fn ready(&mut self) -> bool {
        !self.0.0.borrow().free.is_empty()
    }

    fn tx_buffer(&mut self) -> Option<NicBuffer> {
        let bytes = self.0.0.borrow_mut().free.pop()?;
        Some(NicBuffer { bytes, len: BUFFER_LEN, wire: self.0.clone() })
    }

    fn submit(&mut self, mut tx_buffer: NicBuffer, len: usize, _: TxOffload) {
        let bytes = std::mem::take(&mut tx_buffer.bytes);
        self.0.0.borrow_mut().to_clients.push(Packet { bytes, len });
    }

    fn flush(&mut self) {}

    fn losses(&self) -> NicLosses {
        NicLosses::default()
    }
}
