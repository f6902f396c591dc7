//! What a decision about a NIC is made from: PCI devices, the links, addresses and routes of every
//! network namespace, SSH sessions and a root file system on the network. Plain values, so that a test
//! may write them down.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A machine at one moment.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Snapshot {
    /// Every PCI device: those that are no NICs matter for IOMMU groups.
    pub(crate) devices: Vec<PciDevice>,
    /// Every network namespace that was found; the first is the one of this process.
    pub(crate) namespaces: Vec<Namespace>,
    /// SSH sessions into this machine.
    pub(crate) sessions: Vec<SshSession>,
    /// The root file system, if it is reached over the network.
    pub(crate) network_root: Option<NetworkRoot>,
    /// PCI addresses with a record of ours.
    pub(crate) recorded: Vec<String>,
}

/// A device on the PCI bus.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct PciDevice {
    /// Domain, bus, device and function: `0000:01:00.0`.
    pub(crate) address: String,
    /// Class code, 24 bits: 0x020000 is an Ethernet controller.
    pub(crate) class: u32,
    /// Vendor id.
    pub(crate) vendor: u16,
    /// Device id.
    pub(crate) model: u16,
    /// The driver it is bound to.
    pub(crate) driver: Option<String>,
    /// The only driver that may take it, if one is set.
    pub(crate) driver_override: Option<String>,
    /// NUMA node, where the machine has more than one.
    pub(crate) numa_node: Option<u32>,
    /// IOMMU group.
    pub(crate) iommu_group: Option<u32>,
    /// Devices below it that interfaces may name as their parent: `virtio0`.
    pub(crate) children: Vec<String>,
}

impl PciDevice {
    /// Whether it is a network controller.
    pub(crate) fn is_nic(&self) -> bool {
        self.class >> 16 == 0x02
    }

    /// Whether it is a bridge between buses: no driver of one stands in the way of a group.
    pub(crate) fn is_bridge(&self) -> bool {
        self.class >> 8 == 0x0604
    }

    /// Whether an interface with this parent is of this device.
    pub(crate) fn is_parent(&self, parent: &str) -> bool {
        self.address == parent || self.children.iter().any(|child| child == parent)
    }
}

/// A network namespace.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Namespace {
    /// For messages: `this namespace`, `namespace /run/netns/blue`, `the namespace of nginx (process 12)`.
    pub(crate) name: String,
    /// Where it is mounted; `None` for the one of this process and for those that only a process holds.
    pub(crate) path: Option<PathBuf>,
    /// Interfaces.
    pub(crate) links: Vec<NetLink>,
    /// Addresses of all interfaces.
    pub(crate) addresses: Vec<NetAddress>,
    /// Routes of every table but those the kernel makes for its own addresses.
    pub(crate) routes: Vec<NetRoute>,
}

/// A network interface.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct NetLink {
    /// Its number in its namespace.
    pub(crate) index: u32,
    /// Its name.
    pub(crate) name: String,
    /// The bus device it belongs to: a PCI address, `virtio0`.
    pub(crate) parent: Option<String>,
    /// What made it, where that is software: `vlan`, `bond`, `bridge`.
    pub(crate) kind: Option<String>,
    /// The interface that has it as a member: a bond, a bridge, `ovs-system`.
    pub(crate) master: Option<u32>,
    /// The interface that it is made on (of a VLAN or a macvlan).
    pub(crate) lower: Option<u32>,
    /// Whether `lower` is a number of another namespace.
    pub(crate) lower_elsewhere: bool,
    /// Names of interfaces above it, by sysfs.
    pub(crate) uppers: Vec<String>,
    /// Administratively up.
    pub(crate) up: bool,
    /// There is a signal on the cable.
    pub(crate) carrier: bool,
    /// Promiscuous mode.
    pub(crate) promiscuous: bool,
    /// Largest packet, in bytes.
    pub(crate) mtu: u32,
    /// Frames that may wait in the kernel.
    pub(crate) tx_queue_len: u32,
    /// Hardware address.
    pub(crate) mac: Vec<u8>,
    /// Mbit/s, where known.
    pub(crate) speed: Option<u32>,
    /// Receive queues.
    pub(crate) rx_queues: u32,
    /// Transmit queues.
    pub(crate) tx_queues: u32,
}

/// An address of an interface.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct NetAddress {
    /// The interface.
    pub(crate) index: u32,
    /// The address.
    pub(crate) address: IpAddr,
    /// The other end of a point-to-point link.
    #[serde(default)]
    pub(crate) peer: Option<IpAddr>,
    /// Length of the prefix, in bits.
    pub(crate) prefix: u8,
    /// RT_SCOPE_*: 0 is the universe, 253 the link.
    #[serde(default)]
    pub(crate) scope: u8,
    /// IFA_F_* flags.
    #[serde(default)]
    pub(crate) flags: u32,
    /// Label (IPv4).
    #[serde(default)]
    pub(crate) label: Option<String>,
    /// Broadcast address (IPv4).
    #[serde(default)]
    pub(crate) broadcast: Option<IpAddr>,
    /// Metric of the route that the kernel makes for it.
    #[serde(default)]
    pub(crate) metric: Option<u32>,
    /// Seconds that it is valid and preferred, unless for ever.
    #[serde(default)]
    pub(crate) lifetimes: Option<(u32, u32)>,
}

impl NetAddress {
    /// Whether the kernel gives such an address to every interface that is up.
    pub(crate) fn is_link_local_v6(&self) -> bool {
        matches!(self.address, IpAddr::V6(address) if address.is_unicast_link_local())
    }
}

/// A route.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct NetRoute {
    /// As `ip route` would show it: `default via 10.0.0.1`.
    pub(crate) text: String,
    /// Whether its destination is everything.
    pub(crate) default: bool,
    /// Interfaces that it leads over; empty where a next-hop object hides them.
    pub(crate) over: Vec<u32>,
    /// The rtnetlink message (RTM_NEWROUTE without its netlink header), in hexadecimal digits.
    #[serde(default)]
    pub(crate) message: String,
}

/// Somebody who is logged in over SSH.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct SshSession {
    /// The address of this machine that was connected to.
    pub(crate) local: IpAddr,
    /// Where from.
    pub(crate) peer: IpAddr,
    /// The interface (of this process's namespace) that leads to the peer.
    #[serde(default)]
    pub(crate) over: Option<u32>,
}

/// A root file system on the network.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct NetworkRoot {
    /// What says so: `nfsroot=10.0.0.1:/srv on the kernel's command line`.
    pub(crate) why: String,
    /// The interface that leads to its server; `None` where the server is not known.
    #[serde(default)]
    pub(crate) over: Option<u32>,
}
