//! Makes a thread of ours one that DPDK knows: pinned to its core, with a cache of its own in every
//! pool (DPDK programmer's guide, 3.5.2 "Thread-IDs of non-EAL threads").

use std::marker::PhantomData;

use nix::{
    errno::Errno,
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};

/// Why a thread could not be adopted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, displaydoc::Display, thiserror::Error)]
pub enum AdoptError {
    /// core {core}: pinning a thread to it failed: {errno}; the cores this process may use are in /proc/self/status, Cpus_allowed_list
    Pin {
        /// The core asked for.
        core: usize,
        /// What sched_setaffinity(2) said.
        errno: Errno,
    },
    /// core {core}: DPDK knows no more threads ({errno}): it was built for 128, or it has not been started
    Register {
        /// The core asked for.
        core: usize,
        /// What `rte_thread_register` said.
        errno: Errno,
    },
}

/// The calling thread's registration; undone when dropped, on the same thread.
#[derive(Debug)]
pub struct Adopted {
    /// Registration is a property of a thread: neither `Send` nor `Sync`.
    here: PhantomData<*const ()>,
}

/// Pins the calling thread to `core` (the kernel's CPU number) and registers it with DPDK.
///
/// Buffers move between a thread that is not registered and its pool one at a time through the pool's
/// shared ring: correct, and several times slower.
pub fn adopt_thread(core: usize) -> Result<Adopted, AdoptError> {
    let mut cpus = CpuSet::new();
    cpus.set(core).map_err(|errno| AdoptError::Pin { core, errno })?;
    sched_setaffinity(Pid::from_raw(0), &cpus).map_err(|errno| AdoptError::Pin { core, errno })?;
    // SAFETY: the call has no argument; before the EAL is initialised it fails and says so.
    let result = unsafe { dpdk_sys::rte_thread_register() };
    if result != 0 {
        // SAFETY: reads a variable of this thread.
        let errno = Errno::from_raw(unsafe { dpdk_sys::shim_errno() });
        return Err(AdoptError::Register { core, errno });
    }
    Ok(Adopted { here: PhantomData })
}

impl Drop for Adopted {
    fn drop(&mut self) {
        // SAFETY: `Adopted` does not leave the thread that it registered.
        unsafe { dpdk_sys::rte_thread_unregister() };
    }
}
