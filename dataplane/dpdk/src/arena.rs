//! Hugepage memory for what is laid out once, at start: the response store, socket buffers.
//! Where no hugepage is free, or the control group of the process may have no more of them, ordinary
//! zeroed pages, and it says so.
//!
//! Every hugepage is there when a block is handed out: one that the kernel cannot give at the first touch would
//! end the process with SIGBUS.
//!
//! [`Arena`] is carved up for the life of the process; [`HugeBytes`] is one block with an owner.

use std::{
    alloc::{Layout, LayoutError},
    fs,
    ptr::{self, NonNull},
    slice,
};

use nix::errno::Errno;

/// What memory stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// Hugepages: one TLB entry for each 2 MiB.
    Huge,
    /// Ordinary pages: too few hugepages were to be had.
    Ordinary,
}

/// Why memory could not be had.
#[derive(Clone, Debug, PartialEq, Eq, displaydoc::Display, thiserror::Error)]
pub enum ArenaError {
    /// an arena of {len} bytes is no memory layout: {cause}
    Layout {
        /// Bytes asked for.
        len: usize,
        /// What is wrong with it.
        cause: LayoutError,
    },
    /// {len} bytes are neither in free hugepages nor in ordinary memory
    Exhausted {
        /// Bytes asked for.
        len: usize,
    },
}

/// A zeroed block of memory with an owner; given back when dropped.
#[derive(Debug)]
pub struct HugeBytes {
    start: NonNull<u8>,
    len: usize,
    layout: Layout,
    backing: Backing,
}

// SAFETY: the block belongs to this value alone.
unsafe impl Send for HugeBytes {}

// SAFETY: a shared reference offers reading only.
unsafe impl Sync for HugeBytes {}

impl HugeBytes {
    /// `len` zeroed bytes, on hugepages if enough of them are to be had; of the NUMA node that the
    /// calling thread runs on, as far as that has any.
    pub fn zeroed(len: usize) -> Result<Self, ArenaError> {
        let layout = Layout::from_size_align(len.max(1), ALIGN)
            .map_err(|cause| ArenaError::Layout { len, cause })?;
        if let Some(start) = huge(layout) {
            return Ok(Self { start, len, layout, backing: Backing::Huge });
        }
        let start = ordinary(layout).ok_or(ArenaError::Exhausted { len })?;
        Ok(Self { start, len, layout, backing: Backing::Ordinary })
    }

    /// What the block stands on.
    pub fn backing(&self) -> Backing {
        self.backing
    }
}

impl AsRef<[u8]> for HugeBytes {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: `len` zeroed or since written bytes, owned by this value.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl AsMut<[u8]> for HugeBytes {
    fn as_mut(&mut self) -> &mut [u8] {
        // SAFETY: `len` zeroed or since written bytes, owned by this value, borrowed mutably.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Drop for HugeBytes {
    fn drop(&mut self) {
        match self.backing {
            // SAFETY: allocated there, with this layout.
            Backing::Huge => unsafe { hugepage_rs::dealloc(self.start.as_ptr(), self.layout) },
            // SAFETY: mapped there with this length, and nothing refers to it any more.
            Backing::Ordinary => unsafe {
                libc::munmap(self.start.as_ptr().cast(), self.layout.size());
            },
        }
    }
}

/// A block of memory given out piece by piece, never taken back: for what lives as long as the process.
#[derive(Debug)]
pub struct Arena {
    left: &'static mut [u8],
    len: usize,
    backing: Backing,
}

impl Arena {
    /// Takes `len` zeroed bytes, on hugepages if enough of them are free. They are never given back.
    pub fn reserve(len: usize) -> Result<Self, ArenaError> {
        let bytes = HugeBytes::zeroed(len)?;
        let backing = bytes.backing();
        // Leaked on purpose: the pieces are `'static`.
        let left = Box::leak(Box::new(bytes)).as_mut();
        Ok(Self { left, len, backing })
    }

    /// What the memory stands on.
    pub fn backing(&self) -> Backing {
        self.backing
    }

    /// Bytes in all.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it was reserved with a length of 0.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that have not been carved off, alignment not counted.
    pub fn left(&self) -> usize {
        self.left.len()
    }

    /// The next `len` zeroed bytes at a multiple of `align`, for the life of the process. `None`:
    /// there are not as many left, or `align` is not a power of two.
    pub fn carve(&mut self, len: usize, align: usize) -> Option<&'static mut [u8]> {
        if !align.is_power_of_two() {
            return None;
        }
        let address = self.left.as_ptr().addr();
        let skip = address.checked_next_multiple_of(align)? - address;
        let end = skip.checked_add(len)?;
        if end > self.left.len() {
            return None;
        }
        let (carved, left) = std::mem::take(&mut self.left).split_at_mut(end);
        self.left = left;
        Some(&mut carved[skip..])
    }
}

/// A cache line: what shares a block does not share a line with what is beside it.
const ALIGN: usize = 64;

/// Hugepages for `layout`, zeroed by the kernel and all there.
fn huge(layout: Layout) -> Option<NonNull<u8>> {
    // hugepage-rs panics where the kernel does not report the size of its hugepages.
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let mut lines = meminfo.lines();
    let size = lines.find_map(|line| line.strip_prefix("Hugepagesize:"))?;
    let kib = size.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()?;
    if kib == 0 || layout.size().checked_next_multiple_of(kib * 1024).is_none() {
        return None;
    }
    // SAFETY: the layout is not empty.
    let start = NonNull::new(unsafe { hugepage_rs::alloc(layout) })?;
    if populate(start, layout.size().next_multiple_of(kib * 1024)) {
        return Some(start);
    }
    // SAFETY: allocated just above, with this layout, and nothing refers to it.
    unsafe { hugepage_rs::dealloc(start.as_ptr(), layout) };
    None
}

/// Has the kernel find every page of a new mapping now, as a write to it would. `false`: it cannot, and a
/// write would be answered with SIGBUS. A kernel that knows no such request (before 5.14) is taken to
/// be able to.
fn populate(start: NonNull<u8>, len: usize) -> bool {
    loop {
        // SAFETY: the mapping is the caller's, `len` bytes long; its content stays as it is.
        let result =
            unsafe { libc::madvise(start.as_ptr().cast(), len, libc::MADV_POPULATE_WRITE) };
        match Errno::result(result) {
            Err(Errno::EINTR) => {}
            Ok(_) | Err(Errno::EINVAL) => return true,
            Err(_) => return false,
        }
    }
}

/// Ordinary pages for `layout`: zeroed by the kernel, and taken only as they are touched.
fn ordinary(layout: Layout) -> Option<NonNull<u8>> {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new private mapping anywhere changes nothing that exists.
    let start = unsafe { libc::mmap(ptr::null_mut(), layout.size(), access, kind, -1, 0) };
    if start == libc::MAP_FAILED { None } else { NonNull::new(start.cast()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_zeroed_aligned_and_apart() {
        let mut arena = Arena::reserve(4096).expect("4 KiB");
        let first = arena.carve(100, 1).expect("room");
        let second = arena.carve(100, 64).expect("room");
        assert_eq!(second.as_ptr().addr() % 64, 0);
        first.fill(0xff);
        assert!(second.iter().all(|byte| *byte == 0));
        assert_eq!(arena.left(), 4096 - 228);
        assert!(arena.carve(4096 - 227, 1).is_none());
        assert!(arena.carve(1, 3).is_none());
        assert!(arena.carve(usize::MAX, 1).is_none());
        assert_eq!(arena.carve(4096 - 228, 1).map(|piece| piece.len()), Some(4096 - 228));
        assert_eq!(arena.left(), 0);
        assert!(arena.carve(0, 1).is_some());
    }

    #[test]
    fn blocks_can_be_written_shared_and_given_back() {
        let mut block = HugeBytes::zeroed(3 << 20).expect("3 MiB");
        assert!(block.as_ref().iter().all(|byte| *byte == 0));
        block.as_mut()[3_000_000] = 7;
        let block = std::sync::Arc::new(block);
        let other = std::sync::Arc::clone(&block);
        let seen = std::thread::spawn(move || (*other).as_ref()[3_000_000]).join();
        assert_eq!(seen.ok(), Some(7));
    }

    #[test]
    fn what_cannot_be_had_is_an_error() {
        assert!(matches!(HugeBytes::zeroed(usize::MAX), Err(ArenaError::Layout { .. })));
        assert!(matches!(HugeBytes::zeroed(1 << 60), Err(ArenaError::Exhausted { .. })));
        assert!(HugeBytes::zeroed(0).is_ok_and(|block| block.as_ref().is_empty()));
    }
}
