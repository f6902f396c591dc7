//! What a port says of itself: capabilities once, counters and link state at any time. DPDK's
//! structures go in, plain ones come out.

use std::{
    ffi::{CStr, c_int},
    mem::MaybeUninit,
};

use nix::errno::Errno;

use crate::{Call, DeviceKind};

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
    /// What distributes flows over several queues.
    pub flow_steering: FlowSteering,
    /// Whether the NIC verifies IPv4 header and TCP checksums.
    pub rx_checksum_offload: bool,
    /// Whether the NIC fills in IPv4 header and TCP checksums.
    pub tx_checksum_offload: bool,
    /// Largest TCP packet over IPv4, in bytes, that the NIC cuts into segments; 0: it does not.
    pub tx_segmentation_max: u16,
    /// Largest IP packet in bytes that the driver can be configured for.
    pub ip_mtu_max: u16,
    /// The NUMA node the device is on, if it is on one.
    pub socket: Option<u32>,
}

/// Who decides to which receive queue a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowSteering {
    /// The NIC, by the hash of the 4-tuple.
    Rss,
    /// The sender's side, unseen from here: the kernel driver below an AF_XDP port, the peer of a
    /// memif. Whether a flow stays on its queue is to be checked.
    Outside,
    /// The kernel's tap below: a new flow by a symmetric hash of its addresses and ports, and from then on
    /// the queue that sent for it last (drivers/net/tun.c: `tun_automq_select_queue`). A worker that
    /// answers on the queue it was asked on keeps its flows.
    Tap,
    /// Nobody: one queue only.
    Nobody,
}

/// What the driver counted. Monotonic totals; which are kept depends on the driver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortStats {
    /// Frames received.
    pub rx_frames: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Frames sent.
    pub tx_frames: u64,
    /// Bytes sent.
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
pub struct LinkStatus {
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

/// Queries the driver of port `id`.
pub(crate) fn of_port(id: u16, kind: DeviceKind) -> Result<(PortInfo, Offloads), (Call, Errno)> {
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
        rss: if kind == DeviceKind::Tap { 0 } else { raw.rss_offloads & RSS_TCP_IPV4 },
        rx: receive_offloads(raw.rx_offloads, is_virtio(&driver)),
        tx: transmit_offloads(raw.tx_offloads, &driver, kind),
    };
    let large = if offloads.tx & TX_SEGMENTATION != 0 { large_len(&driver) } else { 0 };
    let queues_max = raw.rx_queues.min(raw.tx_queues);
    let flow_steering = match kind {
        _ if offloads.rss != 0 => FlowSteering::Rss,
        DeviceKind::Vhost => FlowSteering::Tap,
        DeviceKind::AfXdp | DeviceKind::Memif => FlowSteering::Outside,
        _ => FlowSteering::Nobody,
    };
    let info = PortInfo {
        driver,
        mac: mac.addr_bytes,
        queues_max,
        rss_tcp_ipv4: offloads.rss != 0,
        flow_steering,
        rx_checksum_offload: offloads.rx != 0,
        tx_checksum_offload: offloads.tx & TX_TCP != 0,
        tx_segmentation_max: large,
        ip_mtu_max: ip_mtu_max(raw.mtu_max, raw.frame_max),
        socket: u32::try_from(socket).ok(),
    };
    Ok((info, offloads))
}

/// Drivers that do not report their MTU report their longest frame, of which Ethernet's header and FCS
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
pub(crate) fn link_status(id: u16) -> Result<LinkStatus, Errno> {
    let mut raw = dpdk_sys::shim_link::default();
    // SAFETY: a place for one structure.
    errno_of(unsafe { dpdk_sys::shim_port_link(id, &raw mut raw) })?;
    Ok(LinkStatus { up: raw.up != 0, mbit_per_second: raw.mbit_per_second })
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

/// Whether a driver speaks virtio-net, whose header says nothing of IPv4 header checksums.
pub(crate) fn is_virtio(driver: &str) -> bool {
    matches!(driver, "net_virtio" | "net_virtio_user")
}

/// A driver that verifies one of two checksums leaves the work half done: better none. With virtio the
/// frames of the same machine come with the TCP checksum unfilled, which saves both sides the work.
fn receive_offloads(offered: u64, is_virtio: bool) -> u64 {
    let wanted = if is_virtio { RX_TCP } else { RX_IPV4 | RX_TCP };
    if offered & wanted == wanted { wanted } else { 0 }
}

/// What is asked for of what is offered. The TCP checksum is the expensive one: a driver that leaves the IPv4
/// header's to us (virtio, vmxnet3) is asked for it all the same. Segmentation comes with a second pool of
/// buffers, and "fast free" is for queues of one pool. TAP's segmentation is DPDK's own in software, a system
/// call for each segment.
fn transmit_offloads(offered: u64, driver: &str, kind: DeviceKind) -> u64 {
    if offered & TX_TCP == 0 {
        return offered & TX_FAST_FREE;
    }
    let checksums = offered & (TX_IPV4 | TX_TCP);
    let may_segment =
        kind != DeviceKind::Tap && (checksums & TX_IPV4 != 0 || segments_fill_ipv4(driver));
    match offered & TX_SEGMENTATION {
        TX_SEGMENTATION if may_segment => checksums | TX_SEGMENTATION,
        _ => checksums | (offered & TX_FAST_FREE),
    }
}

/// Whether the device fills in the IPv4 header checksum of each segment it makes without being asked.
fn segments_fill_ipv4(driver: &str) -> bool {
    is_virtio(driver) || driver == "net_vmxnet3"
}

/// Largest IP packet in bytes given to a driver to be segmented: a link header more is what its buffers and
/// its descriptors hold. virtio and mlx5 take a whole buffer; a descriptor of vmxnet3 or i40e holds 16 KiB.
fn large_len(driver: &str) -> u16 {
    match driver {
        "net_virtio" | "net_virtio_user" | "mlx5_pci" => LARGE_WHOLE,
        _ => LARGE_16_KIB,
    }
}

/// A TCP packet's link and IPv4 header fit with it into an mbuf, whose lengths are `u16`.
const LARGE_WHOLE: u16 = 65_280 - 18;
const LARGE_16_KIB: u16 = 16_320 - 18;

const RSS_TCP_IPV4: u64 = dpdk_sys::SHIM_RSS_TCP_IPV4_BIT as u64;
const RX_IPV4: u64 = dpdk_sys::SHIM_RX_IPV4_CHECKSUM_BIT as u64;
const RX_TCP: u64 = dpdk_sys::SHIM_RX_TCP_CHECKSUM_BIT as u64;
pub(crate) const TX_IPV4: u64 = dpdk_sys::SHIM_TX_IPV4_CHECKSUM_BIT as u64;
const TX_TCP: u64 = dpdk_sys::SHIM_TX_TCP_CHECKSUM_BIT as u64;
const TX_SEGMENTATION: u64 = dpdk_sys::SHIM_TX_TCP_SEGMENTATION_BIT as u64;
const TX_FAST_FREE: u64 = dpdk_sys::SHIM_TX_FAST_FREE_BIT as u64;

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: u64 = TX_IPV4 | TX_TCP | TX_SEGMENTATION | TX_FAST_FREE;

    #[test]
    fn what_a_driver_offers_is_asked_for() {
        let asked = |offered, driver| transmit_offloads(offered, driver, DeviceKind::Pci);
        assert_eq!(asked(ALL, "net_i40e"), ALL & !TX_FAST_FREE);
        assert_eq!(asked(ALL & !TX_SEGMENTATION, "net_e1000_em"), ALL & !TX_SEGMENTATION);
        assert_eq!(asked(ALL & !TX_TCP, "net_x"), TX_FAST_FREE);
        for driver in ["net_virtio", "net_vmxnet3"] {
            assert_eq!(asked(TX_TCP | TX_SEGMENTATION, driver), TX_TCP | TX_SEGMENTATION);
        }
        // Nobody would fill in the IPv4 checksums of the segments.
        assert_eq!(asked(TX_TCP | TX_SEGMENTATION, "net_x"), TX_TCP);
        let tap = transmit_offloads(ALL, "net_tap", DeviceKind::Tap);
        assert_eq!(tap, ALL & !TX_SEGMENTATION);
    }

    #[test]
    fn half_of_the_received_checksums_is_none_but_with_virtio() {
        assert_eq!(receive_offloads(RX_IPV4 | RX_TCP, false), RX_IPV4 | RX_TCP);
        assert_eq!(receive_offloads(RX_TCP, false), 0);
        assert_eq!(receive_offloads(RX_TCP, true), RX_TCP);
    }
}
