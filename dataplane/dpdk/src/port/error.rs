//! What can go wrong with a port: one enum per operation. Every message names the device, the call and
//! what it said, and where there is a remedy, the remedy.

use std::ffi::NulError;

use nix::errno::Errno;

use crate::{Device, PoolError, XdpError};

/// A DPDK call on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, displaydoc::Display)]
pub enum Call {
    /// rte_dev_probe
    Probe,
    /// rte_eth_dev_get_port_by_name
    Find,
    /// rte_eth_dev_info_get
    Info,
    /// rte_eth_macaddr_get
    Mac,
    /// rte_eth_dev_configure
    Configure,
    /// rte_eth_dev_adjust_nb_rx_tx_desc
    Descriptors,
    /// rte_eth_rx_queue_setup
    RxQueue,
    /// rte_eth_tx_queue_setup
    TxQueue,
    /// rte_eth_dev_start
    Start,
    /// rte_eth_allmulticast_enable
    Multicast,
    /// rte_eth_dev_stop
    Stop,
    /// rte_eth_dev_close
    Close,
    /// rte_eal_hotplug_remove
    Remove,
}

/// Why a port could not be opened.
#[derive(Debug, displaydoc::Display, thiserror::Error)]
pub enum OpenError {
    /// {device}: there is no interface {iface} in this network namespace: `ip link` lists them
    NoInterface {
        /// The device.
        device: Device,
        /// The interface it names.
        iface: String,
    },
    /// {device}: {cause}
    Xdp {
        /// The device.
        device: Device,
        /// What AF_XDP lacks.
        cause: XdpError,
    },
    /// {device}: {call} failed: {errno}; DPDK's log: {log}
    Call {
        /// The device.
        device: Device,
        /// The call.
        call: Call,
        /// What it said.
        errno: Errno,
        /// The last lines of DPDK's log.
        log: String,
    },
    /// {device}: DPDK knows no such port: a NIC is bound to vfio-pci first, and DPDK has a driver for it; DPDK's log: {log}
    NotProbed {
        /// The device.
        device: Device,
        /// The last lines of DPDK's log.
        log: String,
    },
    /// {device}: this process has it open already
    AlreadyOpen {
        /// The device.
        device: Device,
    },
    /// the device argument has a NUL in it: {0}
    Argument(#[from] NulError),
}

/// Why a port could not be started. The port is closed.
#[derive(Debug, displaydoc::Display, thiserror::Error)]
pub enum StartError {
    /// {device}: {asked} queues were asked for, and it has {max}
    Queues {
        /// The device.
        device: Device,
        /// Queues asked for; 0 is refused too.
        asked: u16,
        /// Queues it has.
        max: u16,
    },
    /// {device}: {asked} queues were asked for, and nobody would spread flows over them: it has no RSS on the TCP 4-tuple; use one queue and software steering
    NoSteering {
        /// The device.
        device: Device,
        /// Queues asked for.
        asked: u16,
    },
    /// {device}: an MTU of {asked} was asked for, and it takes at most {max}
    Mtu {
        /// The device.
        device: Device,
        /// MTU asked for.
        asked: u16,
        /// Most it takes.
        max: u16,
    },
    /// {device}: {iface} has an MTU of {mtu}, and a frame of that size does not fit the buffers of this link, which the driver would write beyond: `ip link set dev {iface} mtu {fix}`
    InterfaceMtu {
        /// The device.
        device: Device,
        /// The interface it stands on.
        iface: String,
        /// The interface's MTU.
        mtu: u32,
        /// One that fits.
        fix: u16,
    },
    /// {device}: frames in a ring of framesz={asked} do not fit the buffers of this link: leave framesz out, or write {min} to {max}
    RingFrame {
        /// The device.
        device: Device,
        /// Bytes of each frame in the ring, as the device argument has it.
        asked: String,
        /// Least that holds a frame of the MTU.
        min: u32,
        /// Most that fits a buffer.
        max: u32,
    },
    /// {device}: asking the kernel about {iface} failed: {errno}
    Interface {
        /// The device.
        device: Device,
        /// The interface it stands on.
        iface: String,
        /// What the kernel said.
        errno: Errno,
    },
    /// {device}: its pool of buffers: {cause}
    Pool {
        /// The device.
        device: Device,
        /// What went wrong.
        cause: PoolError,
    },
    /// {device}: {call} failed: {errno}; DPDK's log: {log}
    Call {
        /// The device.
        device: Device,
        /// The call.
        call: Call,
        /// What it said.
        errno: Errno,
        /// The last lines of DPDK's log.
        log: String,
    },
}

/// Why a port did not stop cleanly.
#[derive(Debug, displaydoc::Display, thiserror::Error)]
pub enum StopError {
    /// {device}: {queues} of its queue pairs are in use; it closes when the last of them is dropped
    InUse {
        /// The device.
        device: Device,
        /// Queue pairs that have not been dropped.
        queues: usize,
    },
    /// {device}: {call} failed: {errno}
    Call {
        /// The device.
        device: Device,
        /// The call.
        call: Call,
        /// What it said.
        errno: Errno,
    },
    /// {device}: {cause}
    Xdp {
        /// The device.
        device: Device,
        /// What could not be undone.
        cause: XdpError,
    },
}
