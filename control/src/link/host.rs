//! What this host, in this network namespace, offers a kernel link: a description taken once, so that
//! the choice made from it is a pure function.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

use super::rights::Rights;

/// The facts a choice is made from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HostLinks {
    /// Ethernet interfaces, loopback aside, by name.
    pub(crate) interfaces: BTreeMap<String, Interface>,
    /// Whether the kernel has AF_XDP sockets.
    pub(crate) af_xdp: bool,
    /// Whether the kernel has AF_PACKET sockets.
    pub(crate) af_packet: bool,
    /// Whether `/dev/net/tun` is there.
    pub(crate) tun: bool,
    /// Whether `/dev/vhost-net` is there.
    pub(crate) vhost: bool,
    /// What this process may do.
    pub(crate) rights: Rights,
}

/// One interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Interface {
    /// Administratively up.
    pub(crate) up: bool,
    /// Has an address that is not link-local: the kernel uses it itself.
    pub(crate) addressed: bool,
    /// A TAP interface: somebody else holds, or is to take, its other end.
    pub(crate) tap: bool,
    /// Receive queues.
    pub(crate) queues: u16,
}

impl HostLinks {
    /// Looks at this network namespace. What cannot be read counts as not there.
    pub(crate) fn read() -> Self {
        let protocols = fs::read_to_string("/proc/net/protocols").unwrap_or_default();
        Self {
            interfaces: interfaces(),
            af_xdp: has_protocol(&protocols, "XDP"),
            af_packet: has_protocol(&protocols, "PACKET"),
            tun: Path::new("/dev/net/tun").exists(),
            vhost: Path::new(dpdk::VHOST_NET).exists(),
            rights: Rights::read(),
        }
    }
}

fn interfaces() -> BTreeMap<String, Interface> {
    let mut found: BTreeMap<String, Interface> = BTreeMap::new();
    let mut ethernet = Vec::new();
    for entry in getifaddrs().into_iter().flatten() {
        let interface = found.entry(entry.interface_name.clone()).or_default();
        interface.up |= entry.flags.contains(InterfaceFlags::IFF_UP);
        let Some(address) = entry.address else { continue };
        if let Some(link) = address.as_link_addr() {
            if link.hatype() == ARPHRD_ETHER {
                ethernet.push(entry.interface_name);
            }
        } else if let Some(v6) = address.as_sockaddr_in6() {
            interface.addressed |= !v6.ip().is_unicast_link_local();
        } else {
            interface.addressed = true;
        }
    }
    found.retain(|name, _| ethernet.contains(name));
    for (name, interface) in &mut found {
        let class = Path::new("/sys/class/net").join(name);
        interface.tap = class.join("tun_flags").exists();
        interface.queues = receive_queues(&class.join("queues")).max(1);
    }
    found
}

/// Counts the directories `rx-0`, `rx-1`, ..; 0 where there are none to see.
fn receive_queues(queues: &Path) -> u16 {
    let names = fs::read_dir(queues).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let count = names.filter(|name| name.to_string_lossy().starts_with("rx-")).count();
    u16::try_from(count).unwrap_or(u16::MAX)
}

fn has_protocol(protocols: &str, name: &str) -> bool {
    protocols.lines().any(|line| line.split_whitespace().next() == Some(name))
}

/// `ARPHRD_ETHER` of linux/if_arp.h.
const ARPHRD_ETHER: u16 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_are_found_by_whole_name() {
        let text = "protocol  size sockets\nXDP       1088      0\nPACKETX   1  0\n";
        assert!(has_protocol(text, "XDP"));
        assert!(!has_protocol(text, "PACKET"));
    }

    #[test]
    fn loopback_is_no_link() {
        assert!(!HostLinks::read().interfaces.contains_key("lo"));
    }
}
