//! A port: probed, then started with a plan, then closed. A `Port<Stopped>` says what it is
//! and started; a `Port<Running>` has handed its queue pairs out and can be counted and stopped.
//!
//! The device closes when the last of port and queue pairs is gone, in whichever order that happens.

mod af_packet;
mod buffers;
mod error;
mod info;
pub(crate) mod open;
mod plan;

use std::{ffi::CString, fs, io, os::unix::net::UnixStream, sync::Arc};

use engine::Capabilities;
use nix::errno::Errno;

pub use self::{
    error::{Call, OpenError, StartError, StopError},
    info::{FlowSteering, LinkStatus, PortInfo, PortStats},
    plan::PortPlan,
};
use self::{
    info::{Offloads, errno_of},
    open::{OpenPort, Phase, owned},
};
use crate::{
    Device, DeviceKind, Eal, Pool, log,
    queue::{Checksums, QueuePair},
    wait::OpenFiles,
    xdp::Attachment,
};

/// A port in one of its states: [`Stopped`] or [`Running`].
#[derive(Debug)]
pub struct Port<S> {
    state: S,
    info: PortInfo,
}

/// Probed; has no queues yet.
#[derive(Debug)]
pub struct Stopped {
    open: OpenPort,
    offloads: Offloads,
}

/// Started; its queue pairs have been handed out.
#[derive(Debug)]
pub struct Running {
    open: Arc<OpenPort>,
    pool: Arc<Pool>,
    large_pool: Option<Arc<Pool>>,
}

impl<S> Port<S> {
    /// What the port is and can do.
    pub fn info(&self) -> &PortInfo {
        &self.info
    }
}

impl Port<Stopped> {
    /// Probes `device` and finds its port, in the calling thread's network namespace. Takes the
    /// interface away from nobody yet, except that a TAP interface is made.
    pub fn open(_eal: &Eal, device: &Device) -> Result<Self, OpenError> {
        let failed = |call, errno| {
            let (device, log) = (device.clone(), log::last_words());
            OpenError::Call { device, call, errno, log }
        };
        let xdp = attachment(device)?;
        remove_stale_socket(device);
        let name = CString::new(device.name())?;
        let argument = CString::new(device.to_string())?;
        let mut owned = owned();
        let files = OpenFiles::now();
        if device.kind() != DeviceKind::Pci {
            // SAFETY: a terminated string, which DPDK copies; it is initialised, as an `Eal` shows,
            // and nobody else is at its list of devices, as `owned` shows.
            errno_of(unsafe { dpdk_sys::rte_dev_probe(argument.as_ptr()) })
                .map_err(|errno| failed(Call::Probe, errno))?;
        }
        let mut id = 0;
        // SAFETY: a terminated string, and a place for the port's number.
        let found = unsafe { dpdk_sys::rte_eth_dev_get_port_by_name(name.as_ptr(), &raw mut id) };
        errno_of(found).map_err(|errno| match errno {
            Errno::ENODEV => {
                OpenError::NotProbed { device: device.clone(), log: log::last_words() }
            }
            _ => failed(Call::Find, errno),
        })?;
        if !owned.insert(id) {
            return Err(OpenError::AlreadyOpen { device: device.clone() });
        }
        let probed = match device.kind() {
            DeviceKind::AfPacket => files.opened_since(DeviceKind::AfPacket),
            // Theirs come with their queues.
            _ => Vec::new(),
        };
        drop(owned); // which closing takes, should anything below fail
        let phase = Phase::Probed;
        let open = OpenPort {
            id,
            device: device.clone(),
            name,
            phase,
            probed,
            pool: None,
            large_pool: None,
            xdp,
        };
        let (info, offloads) =
            info::of_port(id, device.kind()).map_err(|(call, errno)| failed(call, errno))?;
        Ok(Self { state: Stopped { open, offloads }, info })
    }

    /// Configures and starts the port. Its queue pairs are in the order of their numbers.
    ///
    /// Offloads that the driver has are on, unless the plan says otherwise; [`Capabilities`] says which. More than one
    /// queue is started only where something distributes flows over them ([`PortInfo::flow_steering`]).
    pub fn start(self, plan: &PortPlan) -> Result<(Port<Running>, Vec<QueuePair>), StartError> {
        let Self { state: Stopped { mut open, mut offloads }, mut info } = self;
        if !plan.offloads {
            offloads = Offloads { rss: offloads.rss, rx: 0, tx: 0 };
            info.rx_checksum_offload = false;
            info.tx_checksum_offload = false;
            info.tx_segmentation_max = 0;
        }
        if plan.checksums_filled && info::is_virtio(&info.driver) {
            offloads.rx = 0;
            info.rx_checksum_offload = false;
        }
        check(plan, &info, &open.device)?;
        open.configure(plan, offloads).map_err(|(call, errno)| open.failed(call, errno))?;
        let (rx, tx) = open.descriptors(plan).map_err(|(call, errno)| open.failed(call, errno))?;
        let pool = Pool::new(&open.pool_plan(plan, &info, rx, tx))
            .map_err(|cause| StartError::Pool { device: open.device.clone(), cause })?;
        let pool = Arc::new(pool);
        open.pool = Some(Arc::clone(&pool));
        let large_pool = open.large_pool(plan, &info)?;
        let sockets = open
            .queues(&pool, plan.queues, info.socket, rx, tx)
            .map_err(|(call, errno)| open.failed(call, errno))?;
        open.start().map_err(|errno| open.failed(Call::Start, errno))?;
        if plan.multicast {
            open.receive_multicast().map_err(|errno| open.failed(Call::Multicast, errno))?;
        }
        pool.keep();
        large_pool.iter().for_each(|pool| pool.keep());

        let open = Arc::new(open);
        let capabilities = Capabilities {
            tx_checksum_offload: info.tx_checksum_offload,
            ip_mtu: usize::from(plan.ip_mtu),
            tx_segmentation_max: usize::from(info.tx_segmentation_max),
        };
        let checksums = Checksums {
            nic_fills_ipv4: offloads.tx & info::TX_IPV4 != 0,
            unfilled_are_good: info::is_virtio(&info.driver),
        };
        let queue = |(queue, sockets)| {
            let pools = (Arc::clone(&pool), large_pool.clone());
            QueuePair::new(Arc::clone(&open), pools, queue, (capabilities, checksums), sockets)
        };
        let queues = (0..plan.queues).zip(sockets).map(queue).collect();
        Ok((Port { state: Running { open, pool, large_pool }, info }, queues))
    }
}

impl Port<Running> {
    /// What the driver counted.
    pub fn stats(&self) -> Result<PortStats, Errno> {
        info::stats(self.state.open.id)
    }

    /// The state of the link.
    pub fn link_status(&self) -> Result<LinkStatus, Errno> {
        info::link_status(self.state.open.id)
    }

    /// The port's buffers. Outlives the port; see [`Pool::available`].
    pub fn pool(&self) -> &Arc<Pool> {
        &self.state.pool
    }

    /// The buffers of packets that the NIC segments, where it does.
    pub fn large_pool(&self) -> Option<&Arc<Pool>> {
        self.state.large_pool.as_ref()
    }

    /// The kernel interface the port stands on, if it stands on one.
    pub fn interface(&self) -> Option<&str> {
        self.state.open.device.interface()
    }

    /// Stops and closes the port: gives the interface back to the kernel, detaches its XDP program,
    /// removes a TAP interface. Where queue pairs are still in use, it closes when the last of them
    /// is dropped, and this says so.
    pub fn stop(self) -> Result<(), StopError> {
        let open = self.state.open;
        let (device, queues) = (open.device.clone(), Arc::strong_count(&open) - 1);
        match Arc::into_inner(open) {
            Some(mut open) => open.close(),
            None => Err(StopError::InUse { device, queues }),
        }
    }
}

/// Refuses what the port cannot do.
fn check(plan: &PortPlan, info: &PortInfo, device: &Device) -> Result<(), StartError> {
    if plan.queues == 0 || plan.queues > info.queues_max {
        let (asked, max) = (plan.queues, info.queues_max);
        return Err(StartError::Queues { device: device.clone(), asked, max });
    }
    if plan.queues > 1 && info.flow_steering == FlowSteering::Nobody {
        return Err(StartError::NoSteering { device: device.clone(), asked: plan.queues });
    }
    if plan.ip_mtu > info.ip_mtu_max {
        let (asked, max) = (plan.ip_mtu, info.ip_mtu_max);
        return Err(StartError::Mtu { device: device.clone(), asked, max });
    }
    af_packet::check(plan, device)
}

/// For links on a kernel interface: that it exists, and for AF_XDP what is attached to it now.
fn attachment(device: &Device) -> Result<Option<Attachment>, OpenError> {
    let (DeviceKind::AfXdp | DeviceKind::AfPacket, Some(iface)) =
        (device.kind(), device.interface())
    else {
        return Ok(None);
    };
    let Ok(index) = nix::net::if_::if_nametoindex(iface) else {
        let (device, iface) = (device.clone(), iface.to_owned());
        return Err(OpenError::NoInterface { device, iface });
    };
    if device.kind() != DeviceKind::AfXdp {
        return Ok(None);
    }
    match Attachment::before(index) {
        Ok(attachment) => Ok(Some(attachment)),
        Err(cause) => Err(OpenError::Xdp { device: device.clone(), cause }),
    }
}

/// A memif server that was killed leaves its socket, and DPDK would not listen there again. One
/// that nobody listens on is nobody's.
fn remove_stale_socket(device: &Device) {
    let Some(socket) = device.server_socket() else { return };
    let refused = UnixStream::connect(socket)
        .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
    if refused {
        // Where this fails, so will the probe, and say why.
        let _ = fs::remove_file(socket);
    }
}
