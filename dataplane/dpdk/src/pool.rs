//! A pool of buffers (mbufs), made before its port starts and as large as everything that can hold
//! one of its buffers at a time.
//!
//! A pool whose port was started is never freed: a frame may outlive its port, and knowing whether
//! one does would cost an atomic operation per frame. A pool whose port did not start is freed.

use std::{
    ffi::CString,
    ptr::NonNull,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
};

use nix::errno::Errno;

/// Buffers each registered thread may keep at hand without touching the shared ring.
pub(crate) const CACHE: u32 = 256;

/// Most a cache holds before it flushes: DPDK's 1.5 times its size.
pub(crate) const CACHE_MAX: u32 = CACHE * 3 / 2;

/// Buffers of one port.
#[derive(Debug)]
pub struct Pool {
    raw: NonNull<dpdk_sys::rte_mempool>,
    size: u32,
    /// Set when queues were handed out: from then on frames may point into this memory.
    kept: AtomicBool,
}

/// Why a pool could not be made.
#[derive(Clone, Debug, PartialEq, Eq, displaydoc::Display, thiserror::Error)]
pub enum PoolError {
    /// {mbufs} buffers of {bytes} bytes, {mib} MiB in all, do not fit into what is left of the free hugepages
    Memory {
        /// Buffers asked for.
        mbufs: u32,
        /// Bytes of each.
        bytes: u32,
        /// What that comes to.
        mib: u64,
    },
    /// rte_mempool_create_empty or rte_mempool_populate_default failed: {errno}
    Create {
        /// `rte_errno`.
        errno: Errno,
    },
    /// the pool's memory is in {chunks} pieces, and AF_XDP needs one: free hugepages are fragmented, reserve them anew
    Pieces {
        /// Pieces found.
        chunks: u32,
    },
}

/// What a pool is to be like.
#[derive(Clone, Debug)]
pub(crate) struct PoolPlan {
    pub(crate) mbufs: u32,
    /// Buffers each registered thread may keep at hand; 0: none.
    pub(crate) cache: u32,
    /// Bytes of data in each, without headroom.
    pub(crate) data_len: u32,
    /// NUMA node; `None`: any.
    pub(crate) socket: Option<u32>,
    /// Whether the buffers are packed without gaps and in one piece; not for DMA.
    pub(crate) dense: bool,
}

/// Pools made so far: DPDK wants their names to differ.
static MADE: AtomicU32 = AtomicU32::new(0);

impl Pool {
    pub(crate) fn new(plan: &PoolPlan) -> Result<Self, PoolError> {
        let name = format!("pollux{}", MADE.fetch_add(1, Ordering::Relaxed));
        let name = CString::new(name).unwrap_or_default(); // which has no NUL in it
        let data_room = plan.data_len + dpdk_sys::SHIM_HEADROOM;
        let conf = dpdk_sys::shim_pool_conf {
            name: name.as_ptr(),
            mbufs: plan.mbufs,
            cache: plan.cache,
            data_room,
            socket: plan.socket.and_then(|socket| i32::try_from(socket).ok()).unwrap_or(-1),
            dense: plan.dense.into(),
            reserved: 0,
        };
        let mut chunks = 0;
        // SAFETY: `conf` and the name in it live until the call returns, which copies them; DPDK
        // fails cleanly where the EAL is not initialised.
        let raw = unsafe { dpdk_sys::shim_pool_create(&raw const conf, &raw mut chunks) };
        let Some(raw) = NonNull::new(raw) else {
            // SAFETY: reads a variable of this thread.
            let errno = Errno::from_raw(unsafe { dpdk_sys::shim_errno() });
            if errno != Errno::ENOMEM {
                return Err(PoolError::Create { errno });
            }
            let bytes = data_room + MBUF_OVERHEAD;
            let mib = (u64::from(plan.mbufs) * u64::from(bytes)).div_ceil(1 << 20);
            return Err(PoolError::Memory { mbufs: plan.mbufs, bytes, mib });
        };
        let pool = Self { raw, size: plan.mbufs, kept: AtomicBool::new(false) };
        if plan.dense && chunks != 1 {
            return Err(PoolError::Pieces { chunks });
        }
        Ok(pool)
    }

    /// Buffers in all.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// Buffers that nobody holds: neither a queue of the driver nor a frame nor a transmit buffer. While cores
    /// run, a momentary figure.
    pub fn available(&self) -> u32 {
        // SAFETY: the pool is valid while `self` is; counting is allowed from any thread.
        unsafe { dpdk_sys::rte_mempool_avail_count(self.raw.as_ptr()) }
    }

    pub(crate) fn raw(&self) -> *mut dpdk_sys::rte_mempool {
        self.raw.as_ptr()
    }

    /// From now on frames may point into this pool: it stays for as long as the process.
    pub(crate) fn keep(&self) {
        self.kept.store(true, Ordering::Relaxed);
    }
}

/// What a buffer takes beyond its data room: mempool header, `rte_mbuf`.
pub(crate) const MBUF_OVERHEAD: u32 = 64 + 128;

// SAFETY: DPDK's default pools are multi-producer and multi-consumer, whichever thread made them.
unsafe impl Send for Pool {}

// SAFETY: what `&Pool` offers is counting and, inside this crate, taking and returning buffers,
// which the pool's ring and per-thread caches make safe from any thread.
unsafe impl Sync for Pool {}

impl Drop for Pool {
    fn drop(&mut self) {
        if !*self.kept.get_mut() {
            // SAFETY: no queue was handed out, so no buffer of this pool is in anybody's hands, and
            // the port, which is closed before its pool is dropped, holds none.
            unsafe { dpdk_sys::rte_mempool_free(self.raw.as_ptr()) };
        }
    }
}
