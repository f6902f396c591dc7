//! Buffers in our hands: a received frame, a transmit buffer to fill. Each owns its mbuf; dropping it gives the
//! mbuf back to its pool, exactly once, from whichever thread.

use std::{mem, ptr::NonNull, slice};

use engine::RxChecksums;

/// An mbuf of one segment that nobody else holds.
#[derive(Debug)]
struct Mbuf(NonNull<dpdk_sys::rte_mbuf>);

// SAFETY: an mbuf belongs to whoever holds it, and its pool takes it back from any thread.
unsafe impl Send for Mbuf {}

impl Mbuf {
    /// Gives up ownership.
    fn into_raw(self) -> *mut dpdk_sys::rte_mbuf {
        let raw = self.0.as_ptr();
        mem::forget(self);
        raw
    }
}

impl Drop for Mbuf {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: this value owns the mbuf and is gone after this.
        unsafe { dpdk_sys::shim_free(self.0.as_ptr()) };
    }
}

/// A received Ethernet frame, without FCS.
#[derive(Debug)]
pub struct RxFrame {
    #[expect(dead_code, reason = "held for its drop")]
    mbuf: Mbuf,
    data: NonNull<u8>,
    len: u32,
    checksums: RxChecksums,
}

// SAFETY: `data` points into `mbuf`, which is `Send`, and is used through this value only.
unsafe impl Send for RxFrame {}

impl RxFrame {
    /// # Safety
    ///
    /// `view` was filled by `shim_rx_burst`, and this is its only use.
    #[inline]
    pub(crate) unsafe fn from_view(
        view: &dpdk_sys::shim_rx,
        unfilled_are_good: bool,
    ) -> Option<Self> {
        let checksums = match view.checksums {
            dpdk_sys::SHIM_CHECKSUMS_GOOD => RxChecksums::Good,
            dpdk_sys::SHIM_CHECKSUMS_BAD => RxChecksums::Bad,
            dpdk_sys::SHIM_CHECKSUMS_TCP_GOOD => RxChecksums::TcpGood,
            dpdk_sys::SHIM_CHECKSUMS_TCP_NONE if unfilled_are_good => RxChecksums::TcpGood,
            _ => RxChecksums::Unknown,
        };
        let mbuf = Mbuf(NonNull::new(view.mbuf)?);
        let data = NonNull::new(view.data)?;
        Some(Self { mbuf, data, len: view.len, checksums })
    }
}

impl AsRef<[u8]> for RxFrame {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the driver received `len` bytes at `data`, inside the mbuf that this value owns.
        unsafe { slice::from_raw_parts(self.data.as_ptr(), self.len as usize) }
    }
}

impl engine::Frame for RxFrame {
    #[inline]
    fn checksums(&self) -> RxChecksums {
        self.checksums
    }
}

/// An empty transmit buffer.
#[derive(Debug)]
pub struct TxBuffer {
    mbuf: Mbuf,
    data: NonNull<u8>,
    capacity: u32,
    port: u16,
}

// SAFETY: `data` points into `mbuf`, which is `Send`, and is used through this value only.
unsafe impl Send for TxBuffer {}

impl TxBuffer {
    /// # Safety
    ///
    /// `view` was filled by `shim_alloc_bulk`, and this is its only use.
    #[inline]
    pub(crate) unsafe fn from_view(view: &dpdk_sys::shim_tx_buffer, port: u16) -> Option<Self> {
        let mbuf = Mbuf(NonNull::new(view.mbuf)?);
        let data = NonNull::new(view.data)?;
        Some(Self { mbuf, data, capacity: view.capacity, port })
    }

    /// Bytes it holds.
    #[inline]
    pub(crate) fn capacity(&self) -> usize {
        self.capacity as usize
    }

    /// The port whose pool it is of. Another's may be out of reach of this one's hardware.
    #[inline]
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Gives up the mbuf: to a transmit ring, or to be freed.
    #[inline]
    pub(crate) fn into_raw(self) -> *mut dpdk_sys::rte_mbuf {
        self.mbuf.into_raw()
    }
}

impl AsMut<[u8]> for TxBuffer {
    #[inline]
    fn as_mut(&mut self) -> &mut [u8] {
        // SAFETY: `capacity` bytes at `data` lie in the mbuf that this value owns; pool memory is
        // mapped zeroed, so every byte has been written.
        unsafe { slice::from_raw_parts_mut(self.data.as_ptr(), self.capacity as usize) }
    }
}

const _: () = assert!(
    size_of::<RxFrame>() <= 24,
    "a burst of frames is moved about: keep a frame within three words"
);
