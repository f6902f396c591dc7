//! The exception path, seen from control: a TAP interface with the port's link address and our IPv4
//! address, through which the kernel sees and sends what is not for our TCP port.
//!
//! [`preflight`] says before anything is taken what would not work; [`Tap`] is the interface; [`Forwarder`]
//! is the thread that moves frames between it and the workers.

mod forward;
mod preflight;
mod tap;

use std::io;
use std::net::Ipv4Addr;

use dpdk::DeviceKind;

pub(crate) use forward::Forwarder;
pub(crate) use preflight::{is_interface_name, preflight, unreserved};
pub(crate) use tap::{Tap, TapPlan};

/// Whether the kernel gets the frames of a link of this kind besides us. With our address it would then
/// reset our connections.
pub(crate) fn is_shared(kind: DeviceKind) -> bool {
    matches!(kind, DeviceKind::AfPacket | DeviceKind::Tap | DeviceKind::Vhost)
}

/// What is wrong with such a link.
pub(crate) const SHARED: &str =
    "leaves its interface to the kernel, which with our address would reset HTTP connections";

/// Why there is no exception interface.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExceptionError {
    /// An interface of that name exists.
    #[error(
        "link.exception = {name:?}: there is an interface {name} already; choose another name, or remove \
         it: ip link del {name}"
    )]
    Taken { name: String },
    /// The kernel has our address on another interface.
    #[error(
        "link.exception = {name:?}: the server's {address} is this kernel's own, on {interface}, and \
         would be there twice: ip address del {address}/{prefix} dev {interface}"
    )]
    AddressElsewhere {
        /// Name of the exception interface.
        name: String,
        /// Our address.
        address: Ipv4Addr,
        /// Bits that name its network, there.
        prefix: u32,
        /// Who has it.
        interface: String,
    },
    /// The link leaves its interface to the kernel as well.
    #[error("link.exception = {name:?}: {link} {SHARED}; use af_xdp:IFACE or pci:ADDRESS")]
    Shared { name: String, link: String },
    /// There is no `/dev/net/tun`.
    #[error(
        "link.exception = {name:?}: there is no /dev/net/tun: modprobe tun (in a container: --device \
         /dev/net/tun)"
    )]
    NoTun { name: String },
    /// The process may not make interfaces.
    #[error("link.exception = {name:?}: {lacking}")]
    Rights { name: String, lacking: String },
    /// The kernel refuses.
    #[error(
        "link.exception = {name:?}: the interface cannot be made: {cause}; it takes CAP_NET_ADMIN and \
         /dev/net/tun"
    )]
    Make { name: String, cause: io::Error },
    /// No thread, or no descriptor for it.
    #[error("link.exception = {name:?}: no thread that moves its frames: {cause}")]
    Thread { name: String, cause: io::Error },
}
