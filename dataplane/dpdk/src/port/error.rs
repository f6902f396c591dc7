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
#[expect(missing_docs, reason = "each message says what its fields are")]
pub enum OpenError {
    /// {device}: there is no interface {iface} in this network namespace: `ip link` lists them
    NoInterface { device: Device, iface: String },
    /// {device}: {cause}
    Xdp { device: Device, cause: XdpError },
    /// {device}: {call} failed: {errno}; DPDK's log: {log}
    Call { device: Device, call: Call, errno: Errno, log: String },
    /// {device}: DPDK knows no such port: bind the NIC to vfio-pci, and name it in `EalPlan::devices`; DPDK's log: {log}
    NotProbed { device: Device, log: String },
    /// {device}: this process has it open already
    AlreadyOpen { device: Device },
    /// the device argument has a NUL in it: {0}
    Argument(#[from] NulError),
}

/// Why a port could not be started. The port is closed.
#[derive(Debug, displaydoc::Display, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what its fields are")]
pub enum StartError {
    /// {device}: {asked} queues were asked for, and it has {max}
    Queues { device: Device, asked: u16, max: u16 },
    /// {device}: {asked} queues were asked for, and nobody would spread flows over them: it has no RSS on the TCP 4-tuple; use one queue and software steering
    NoSteering { device: Device, asked: u16 },
    /// {device}: an MTU of {asked} was asked for, and it takes at most {max}
    Mtu { device: Device, asked: u16, max: u16 },
    /// {device}: its pool of buffers: {cause}
    Pool { device: Device, cause: PoolError },
    /// {device}: {call} failed: {errno}; DPDK's log: {log}
    Call { device: Device, call: Call, errno: Errno, log: String },
}

/// Why a port did not stop cleanly.
#[derive(Debug, displaydoc::Display, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what its fields are")]
pub enum StopError {
    /// {device}: {queues} of its queue pairs are in use; it closes when the last of them is dropped
    InUse { device: Device, queues: usize },
    /// {device}: {call} failed: {errno}
    Call { device: Device, call: Call, errno: Errno },
    /// {device}: {cause}
    Xdp { device: Device, cause: XdpError },
}
