//! One server for each interface. A second AF_XDP server would replace the program that feeds the first, a
//! second AF_PACKET server of the same address would reset its connections; neither driver refuses it.
//!
//! A lock is a listening socket with an abstract name (unix(7)): the kernel keeps those apart by network
//! namespace, as it does interfaces, frees them when a process ends however it ends, and says who has one.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use dpdk::{Device, DeviceKind};
use nix::errno::Errno;
use nix::sys::socket::sockopt::PeerCredentials;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, getsockopt, socket};
use nix::unistd::Uid;

use crate::host::Host;

/// The right to use an interface, for as long as this is kept.
#[derive(Debug, Default)]
pub(crate) struct LinkLock {
    names: Vec<UnixListener>,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    /// Another server has the interface.
    #[error(
        "{interface} is served by {holder} already, which would get nothing from it any more: stop that one \
         (pollux stop), or take another link"
    )]
    Interface { interface: String, holder: String },
    /// Another server has our address there.
    #[error(
        "{address} is served on {interface} by {holder} already, and each would reset the other's \
         connections: stop that one (pollux stop), or choose another address with --address"
    )]
    Address { address: Ipv4Addr, interface: String, holder: String },
    /// The kernel refuses.
    #[error("{interface}: it cannot be found out whether another server has it: {cause}")]
    Socket { interface: String, cause: io::Error },
}

impl LinkLock {
    /// Takes the interface of `device`, where it has one: for this process alone or, of an AF_PACKET device, which
    /// leaves it to others as well, for `addresses`.
    ///
    /// # Errors
    /// Another server of the same user, or of root, has it.
    pub(crate) fn take(device: &Device, addresses: &[Ipv4Addr]) -> Result<Self, LockError> {
        let Some(interface) = device.interface() else { return Ok(Self::default()) };
        let whole = format!("{PREFIX}{interface}");
        let refuse = |holder| LockError::Interface { interface: interface.to_owned(), holder };
        let failed = |cause| LockError::Socket { interface: interface.to_owned(), cause };
        let mut lock = Self::default();
        if device.kind() != DeviceKind::AfPacket {
            lock.bind(&whole).map_err(failed)?.map_or(Ok(()), |holder| Err(refuse(holder)))?;
            // Those of AF_PACKET servers, which have been there before.
            let others = names(&format!("{whole}/")).map_err(failed)?;
            let holder = others.iter().find_map(|name| holder(name));
            return holder.map_or(Ok(lock), |holder| Err(refuse(holder)));
        }
        for &address in addresses {
            let taken = lock.bind(&format!("{whole}/{address}")).map_err(failed)?;
            if let Some(holder) = taken {
                let interface = interface.to_owned();
                return Err(LockError::Address { address, interface, holder });
            }
        }
        holder(&whole).map_or(Ok(lock), |holder| Err(refuse(holder)))
    }

    /// Takes a name, or says who has it.
    fn bind(&mut self, name: &str) -> io::Result<Option<String>> {
        match UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?) {
            Ok(listener) => {
                self.names.push(listener);
                Ok(None)
            }
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                let holder = holder(name);
                if holder.is_none() {
                    tracing::warn!(
                        "the socket @{name} is another user's, who is no server of ours: a second server on \
                         this link would not be noticed"
                    );
                }
                Ok(holder)
            }
            Err(error) => Err(error),
        }
    }
}

/// The process that has this name, unless it is another user's, whom it is not to keep us from serving.
fn holder(name: &str) -> Option<String> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None).ok()?;
    match connect(socket.as_raw_fd(), &UnixAddr::new_abstract(name.as_bytes()).ok()?) {
        Ok(()) => {}
        // Nobody accepts, and so many have asked already that no more can.
        Err(Errno::EAGAIN) => return Some("another server".to_owned()),
        Err(_) => return None,
    }
    let peer = getsockopt(&socket, PeerCredentials).ok()?;
    if ![0, Uid::effective().as_raw()].contains(&peer.uid()) {
        return None;
    }
    Some(match u32::try_from(peer.pid()) {
        Ok(pid) if pid != 0 => Host::here().spell_process(pid),
        _ => "a server in another PID namespace (a container)".to_owned(),
    })
}

/// The abstract names of this network namespace that begin with `prefix`.
fn names(prefix: &str) -> io::Result<Vec<String>> {
    let table = fs::read_to_string("/proc/thread-self/net/unix")?;
    let paths = table.lines().filter_map(|line| line.split_whitespace().nth(7)?.strip_prefix('@'));
    Ok(paths.filter(|path| path.starts_with(prefix)).map(str::to_owned).collect())
}

const PREFIX: &str = "pollux/link/";

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);

    fn take(device: Device, address: Ipv4Addr) -> Result<LinkLock, String> {
        LinkLock::take(&device, &[address]).map_err(|error| error.to_string())
    }

    #[test]
    fn an_interface_has_one_server_and_its_process_is_named() {
        let of = || Device::af_xdp("px-lock-a").expect("a name");
        let first = take(of(), ADDRESS).expect("nobody has it");
        let refused = take(of(), ADDRESS).expect_err("it is taken");
        let us = format!("(process {}) already", std::process::id());
        assert!(
            refused.starts_with("px-lock-a is served by ") && refused.contains(&us),
            "{refused}"
        );
        let packet = Device::af_packet("px-lock-a").expect("a name");
        take(packet, ADDRESS).expect_err("its frames go to the first");
        drop(first);
        take(of(), ADDRESS).expect("it is free again");
    }

    #[test]
    fn af_packet_servers_of_several_addresses_share_an_interface() {
        let of = || Device::af_packet("px-lock-b").expect("a name");
        let _first = take(of(), ADDRESS).expect("nobody has it");
        let _other = take(of(), Ipv4Addr::new(198, 18, 0, 3)).expect("another address");
        let refused = take(of(), ADDRESS).expect_err("the address is taken");
        assert!(refused.starts_with("198.18.0.2 is served on px-lock-b by "), "{refused}");
        let xdp = Device::af_xdp("px-lock-b").expect("a name");
        take(xdp, ADDRESS).expect_err("they would get nothing any more");
    }

    #[test]
    fn what_has_no_interface_needs_no_lock() {
        let of = || Device::pci("01:00.0").expect("an address");
        let _first = take(of(), ADDRESS).expect("VFIO has a lock of its own");
        take(of(), ADDRESS).expect("as above");
    }
}
