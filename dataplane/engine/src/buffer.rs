//! Memory for socket buffers, taken once when a worker is made.

/// The bytes of one socket buffer.
#[derive(Debug)]
pub enum Buffer {
    /// From an arena that lives as long as the process: hugepages.
    Static(&'static mut [u8]),
    /// From the heap: simulator and tests.
    Owned(Vec<u8>),
}
