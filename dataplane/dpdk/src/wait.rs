//! The descriptors that become readable when a queue has received something. DPDK's drivers for links of
//! this kernel have one for each queue and hand none out, so they are found: what a driver's call has
//! added to the process's descriptors, of the kind that the driver opens. Each is duplicated at once; a
//! duplicate says the same as long as it lives, and says nothing wrong if the driver closes its own.

use std::{
    collections::BTreeSet,
    ffi::{c_int, c_void},
    fs,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    path::PathBuf,
};

use crate::DeviceKind;

/// The process's descriptors at one time.
#[derive(Debug)]
pub(crate) struct OpenFiles(BTreeSet<(RawFd, PathBuf)>);

impl OpenFiles {
    /// Those open now, with what each is open on. None where /proc is not mounted.
    pub(crate) fn now() -> Self {
        Self(list().unwrap_or_default())
    }

    /// Duplicates of those opened since that can be polled for what a link of `kind` receives. Empty for
    /// other kinds.
    pub(crate) fn opened_since(&self, kind: DeviceKind) -> Vec<OwnedFd> {
        let wanted: fn(&OwnedFd, &PathBuf) -> bool = match kind {
            DeviceKind::AfXdp => |fd, _| domain(fd) == Some(libc::AF_XDP),
            DeviceKind::AfPacket => |fd, _| domain(fd) == Some(libc::AF_PACKET),
            DeviceKind::Tap => |_, path| path.as_os_str() == TUN,
            // vhost-net reads the tap itself; the driver polls its ring in shared memory.
            DeviceKind::Pci | DeviceKind::Vhost | DeviceKind::Memif | DeviceKind::Other => {
                return Vec::new();
            }
        };
        let opened = Self::now().0.into_iter().filter(|file| !self.0.contains(file));
        opened.filter_map(|(fd, path)| duplicate(fd).filter(|fd| wanted(fd, &path))).collect()
    }
}

fn list() -> Option<BTreeSet<(RawFd, PathBuf)>> {
    let entry = |entry: fs::DirEntry| {
        let fd = entry.file_name().to_str()?.parse().ok()?;
        // What is gone again, such as the descriptor of this listing, has no path.
        Some((fd, fs::read_link(entry.path()).ok()?))
    };
    Some(fs::read_dir("/proc/self/fd").ok()?.flatten().filter_map(entry).collect())
}

/// A descriptor of our own for what `fd` is open on; `None` if it is closed meanwhile.
fn duplicate(fd: RawFd) -> Option<OwnedFd> {
    // SAFETY: takes any number; one that is not open is an error.
    let duplicate = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 0) };
    // SAFETY: a descriptor that the call above has made, and nobody else knows of.
    (duplicate >= 0).then(|| unsafe { OwnedFd::from_raw_fd(duplicate) })
}

/// The domain of a socket; `None` if `fd` is none.
fn domain(fd: &OwnedFd) -> Option<c_int> {
    let mut domain: c_int = 0;
    #[expect(clippy::cast_possible_truncation, reason = "four")]
    let mut len = size_of::<c_int>() as libc::socklen_t;
    let place: *mut c_void = (&raw mut domain).cast();
    // SAFETY: an open descriptor; a place for `len` bytes, and one for how many were written.
    let result = unsafe {
        libc::getsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_DOMAIN, place, &raw mut len)
    };
    (result == 0).then_some(domain)
}

/// What the queues of a TAP interface are open on.
const TUN: &str = "/dev/net/tun";

#[cfg(test)]
mod tests {
    use std::{fs::File, net::UdpSocket};

    use super::*;

    #[test]
    fn descriptors_of_the_right_kind_are_found_and_duplicated() {
        let before = OpenFiles::now();
        let file = File::open("/proc/self/stat").expect("there is one");
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
        let found = OpenFiles::now().0;
        let number = socket.as_raw_fd();
        assert!(found.iter().any(|(fd, _)| *fd == number));
        for kind in [DeviceKind::AfXdp, DeviceKind::AfPacket, DeviceKind::Tap, DeviceKind::Pci] {
            assert!(before.opened_since(kind).is_empty(), "{kind:?}: neither is one");
        }
        let duplicate = duplicate(number).expect("it is open");
        assert_ne!(duplicate.as_raw_fd(), number);
        drop(socket);
        assert_eq!(domain(&duplicate), Some(libc::AF_INET), "a duplicate outlives the original");
        assert_eq!(domain(&file.into()), None);
    }
}
