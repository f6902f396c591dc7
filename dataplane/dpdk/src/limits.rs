//! How many buffers a queue holds at a time, and how large the largest are.

use engine::BURST_MAX;

/// Frames that wait for a flush, at most.
pub(crate) const PENDING_MAX: usize = dpdk_sys::SHIM_TX_BURST as usize;

/// Transmit buffers taken from the pool at once.
pub(crate) const STASH_MAX: usize = 32;

/// Large buffers of each queue: 4 MiB of 64 KiB each, in the ring, in hand and waiting for a flush.
pub(crate) const LARGE_PER_QUEUE: u32 = 64;

/// Ethernet header and one VLAN tag.
pub(crate) const L2_LEN_MAX: u32 = 18;

const _: () = assert!(BURST_MAX <= dpdk_sys::SHIM_RX_BURST as usize, "one call fills a burst");
const _: () = assert!(STASH_MAX <= dpdk_sys::SHIM_TX_BURST as usize, "one call fills the stash");
