//! The limit of open files, seen to before anything is opened: DPDK says of a file that it may not open that there
//! are no hugepages.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::error::LaunchError;

/// Raises the limit of this process to what a server with so many workers opens before its first client, where it is
/// lower; returns the limit before, if it was.
///
/// # Errors
/// It may not be raised so far.
pub(crate) fn provide(workers: usize) -> Result<Option<u64>, LaunchError> {
    let needed = (FILES_BASE + FILES_PER_WORKER * workers) as u64;
    // A kernel that does not tell has no limit that could be seen to.
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return Ok(None) };
    if soft >= needed {
        return Ok(None);
    }
    match setrlimit(Resource::RLIMIT_NOFILE, needed, hard.max(needed)) {
        Ok(()) => Ok(Some(soft)),
        Err(_) => Err(LaunchError::OpenFiles { limit: soft, needed }),
    }
}

/// Standard streams, sockets, eventfds, DPDK's own.
pub(crate) const FILES_BASE: usize = 64;
/// Sockets, maps, memory segments.
pub(crate) const FILES_PER_WORKER: usize = 64;
