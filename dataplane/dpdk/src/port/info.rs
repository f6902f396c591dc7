//! What a port says of itself: capabilities once, counters and link state at any time. DPDK's
//! structures go in, plain ones come out.

use std::{
    ffi::{CStr, c_int},
    mem::MaybeUninit,
};

use nix::errno::Errno;

use crate::{Call, LinkKind};

/// What a port is and can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortInfo {
    /// The driver's name: `net_af_xdp`.
    pub driver: String,
    /// The port's MAC address.
    pub mac: [u8; 6],
    /// Most queue pairs.
    pub queues_max: u16,
    /// Whether the NIC hashes the addresses and ports of TCP over IPv4 to pick a receive queue.
    pub rss_tcp_ipv4: bool,
    /// Who spreads flows over several queues.
    pub spread: Spread,
    /// Whether the NIC verifies IPv4 header and TCP checksums.
    pub rx_checksum_offload: bool,
    /// Whether the NIC fills in IPv4 header and TCP checksums.
    pub tx_checksum_offload: bool,
    /// Largest IP packet in octets that the driver can be configured for.
    pub ip_mtu_max: u16,
    /// The NUMA node the device is on, if it is on one.
    pub socket: Option<u32>,
}

/// Who decides to which receive queue a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// The NIC, by the hash of the 4-tuple.
    Rss,
    /// The sender's side, unseen from here: the kernel driver below an AF_XDP port, the peer of a
    /// memif. Whether a flow stays on its queue is to be checked.
    Outside,
    /// Nobody: one queue only.
    Nobody,
}

/// What the driver counted. Monotonic totals; which are kept depends on the driver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortStats {
    /// Frames received.
    pub rx_frames: u64,
    /// Octets received.
    pub rx_bytes: u64,
    /// Frames sent.
    pub tx_frames: u64,
    /// Octets sent.
    pub tx_bytes: u64,
    /// Frames lost because no receive descriptor was free.
    pub rx_missed: u64,
    /// Frames received damaged.
    pub rx_errors: u64,
    /// Frames that could not be received for want of a buffer.
    pub rx_no_buffer: u64,
    /// Frames that could not be sent.
    pub tx_errors: u64,
}

/// The state of a port's link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Whether frames can pass. On a memif: whether the peer is connected.
    pub up: bool,
    /// Nominal speed in Mbit/s; 0 where it is not known.
    pub mbit_per_second: u32,
}

/// The capabilities that `start` asks for again, in DPDK's bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offloads {
    pub(crate) rss: u64,
    pub(crate) rx: u64,
    pub(crate) tx: u64,
}

/// Asks the driver of port `id`.
pub(crate) fn of_port(id: u16, kind: LinkKind) -> Result<(PortInfo, Offloads), (Call, Errno)> {
    let mut raw = MaybeUninit::<dpdk_sys::shim_port_info>::uninit();
    // SAFETY: a place for one structure.
    errno_of(unsafe { dpdk_sys::shim_port_info(id, raw.as_mut_ptr()) })
        .map_err(|errno| (Call::Info, errno))?;
    // SAFETY: the call succeeded, and so filled the whole structure.
    let raw = unsafe { raw.assume_init() };
    let mut mac = dpdk_sys::rte_ether_addr::default();
    // SAFETY: a place for one address.
    errno_of(unsafe { dpdk_sys::rte_eth_macaddr_get(id, &raw mut mac) })
        .map_err(|errno| (Call::Mac, errno))?;
    // SAFETY: the name is a terminated string of the driver, which stays loaded.
    let driver = unsafe { CStr::from_ptr(raw.driver) }.to_string_lossy().into_owned();
    // SAFETY: reads a field of the port.
    let socket = unsafe { dpdk_sys::rte_eth_dev_socket_id(id) };

    let offloads = Offloads {
        // TAP spreads with eBPF programs that newer kernels refuse.
        rss: if kind == LinkKind::Tap { 0 } else { raw.rss_offloads & RSS_TCP_IPV4 },
        rx: all_or_none(raw.rx_offloads, RX_CHECKSUMS),
        tx: all_or_none(raw.tx_offloads, TX_CHECKSUMS) | (raw.tx_offloads & TX_FAST_FREE),
    };
    let queues_max = raw.rx_queues.min(raw.tx_queues);
    let spread = match kind {
        _ if offloads.rss != 0 => Spread::Rss,
        LinkKind::AfXdp | LinkKind::Memif => Spread::Outside,
        _ => Spread::Nobody,
    };
    let info = PortInfo {
        driver,
        mac: mac.addr_bytes,
        queues_max,
        rss_tcp_ipv4: offloads.rss != 0,
        spread,
        rx_checksum_offload: offloads.rx != 0,
        tx_checksum_offload: offloads.tx & TX_CHECKSUMS != 0,
        ip_mtu_max: ip_mtu_max(raw.mtu_max, raw.frame_max),
        socket: u32::try_from(socket).ok(),
    };
    Ok((info, offloads))
}

/// Drivers that do not tell their MTU tell their longest frame, of which Ethernet's header and FCS
/// are not the IP packet's.
fn ip_mtu_max(mtu_max: u16, frame_max: u32) -> u16 {
    const HEADER_AND_FCS: u32 = 18;
    let of_frame = frame_max.saturating_sub(HEADER_AND_FCS);
    if mtu_max == u16::MAX { u16::try_from(of_frame).unwrap_or(mtu_max) } else { mtu_max }
}

/// What the driver of port `id` counted.
pub(crate) fn stats(id: u16) -> Result<PortStats, Errno> {
    let mut raw = dpdk_sys::rte_eth_stats::default();
    // SAFETY: a place for one structure.
    errno_of(unsafe { dpdk_sys::rte_eth_stats_get(id, &raw mut raw) })?;
    Ok(PortStats {
        rx_frames: raw.ipackets,
        rx_bytes: raw.ibytes,
        tx_frames: raw.opackets,
        tx_bytes: raw.obytes,
        rx_missed: raw.imissed,
        rx_errors: raw.ierrors,
        rx_no_buffer: raw.rx_nombuf,
        tx_errors: raw.oerrors,
    })
}

/// The state of port `id`'s link, without waiting for it to settle.
pub(crate) fn link(id: u16) -> Result<Link, Errno> {
    let mut raw = dpdk_sys::shim_link::default();
    // SAFETY: a place for one structure.
    errno_of(unsafe { dpdk_sys::shim_port_link(id, &raw mut raw) })?;
    Ok(Link { up: raw.up != 0, mbit_per_second: raw.mbit_per_second })
}

/// The result of a DPDK call: 0, or a negative errno. Some drivers answer -1 whatever went wrong,
/// which is not to be shown as "operation not permitted".
pub(crate) fn errno_of(result: c_int) -> Result<(), Errno> {
    match result {
        0.. => Ok(()),
        -1 => Err(Errno::UnknownErrno),
        error => Err(Errno::from_raw(error.saturating_neg())),
    }
}

/// A driver that does one of two checksums leaves the work half done: better none.
fn all_or_none(offered: u64, wanted: u64) -> u64 {
    if offered & wanted == wanted { wanted } else { 0 }
}

const RSS_TCP_IPV4: u64 = dpdk_sys::SHIM_RSS_TCP_IPV4_BIT as u64;
const RX_CHECKSUMS: u64 = dpdk_sys::SHIM_RX_CHECKSUMS_BITS as u64;
const TX_CHECKSUMS: u64 = dpdk_sys::SHIM_TX_CHECKSUMS_BITS as u64;
const TX_FAST_FREE: u64 = dpdk_sys::SHIM_TX_FAST_FREE_BIT as u64;
