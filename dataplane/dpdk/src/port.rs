//! A port: probed, then started with a plan, then closed. A `Port<Stopped>` says what it is
//! and started; a `Port<Running>` has handed its queue pairs out and can be counted and stopped.
//!
//! The device closes when the last of port and queue pairs is gone, in whichever order that happens.

mod buffers;
mod error;
mod info;

use std::{
    collections::BTreeSet,
    ffi::{CStr, CString},
    fs, io,
    os::{fd::OwnedFd, unix::net::UnixStream},
    ptr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use engine::Capabilities;
use nix::errno::Errno;

use self::{
    buffers::L2_LEN_MAX,
    info::{Offloads, errno_of},
};
pub use self::{
    error::{Call, OpenError, StartError, StopError},
    info::{Link, PortInfo, PortStats, Spread},
};
use crate::{
    Device, Eal, LinkKind, Pool, log,
    pool::{CACHE, PoolPlan},
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
    open: Open,
    offloads: Offloads,
}

/// Started; its queue pairs have been handed out.
#[derive(Debug)]
pub struct Running {
    open: Arc<Open>,
    pool: Arc<Pool>,
    large_pool: Option<Arc<Pool>>,
}

/// How a port is to be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortPlan {
    /// Queue pairs, one for each core.
    pub queues: u16,
    /// Descriptors of each receive queue; a power of two. Drivers may round it.
    pub rx_descriptors: u16,
    /// Descriptors of each transmit queue; a power of two. Drivers may round it.
    pub tx_descriptors: u16,
    /// Largest IP packet in bytes.
    pub ip_mtu: u16,
    /// Frames and transmit buffers that cores hold at a time beyond a burst in hand: what is in the rings of
    /// software steering, for one.
    pub frames_held: u32,
    /// Whether frames to any group of stations are received, not only broadcasts. Drivers that cannot
    /// choose receive what they always do.
    pub multicast: bool,
    /// Whether received frames go on to somebody else and must have their checksums filled in, which virtio
    /// leaves to whoever receives from it with the receive checksum offload on (virtio 1.1, 5.1.6.4).
    pub checksums_filled: bool,
    /// Large buffers that cores hold at a time beyond those of their queues.
    pub large_held: u32,
    /// Whether checksums and segmentation are left to a NIC that does them.
    pub offloads: bool,
}

impl Default for PortPlan {
    /// One queue, Ethernet's MTU.
    fn default() -> Self {
        Self {
            queues: 1,
            rx_descriptors: 4096,
            tx_descriptors: 1024,
            ip_mtu: 1500,
            frames_held: 0,
            multicast: false,
            checksums_filled: false,
            large_held: 0,
            offloads: true,
        }
    }
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
        if device.kind() != LinkKind::Pci {
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
            LinkKind::AfPacket => files.opened_since(LinkKind::AfPacket),
            // Theirs come with their queues.
            _ => Vec::new(),
        };
        drop(owned); // which closing takes, should anything below fail
        let phase = Phase::Probed;
        let open = Open {
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
    /// queue is started only where something distributes flows over them ([`PortInfo::spread`]).
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
    pub fn link(&self) -> Result<Link, Errno> {
        info::link(self.state.open.id)
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

/// A probed device: the owner that closes it.
#[derive(Debug)]
pub(crate) struct Open {
    id: u16,
    device: Device,
    /// The device's name, for DPDK.
    name: CString,
    phase: Phase,
    /// What the driver opened when probed that can be polled.
    probed: Vec<OwnedFd>,
    /// A share, so that the pool outlives the queues that take from it.
    pool: Option<Arc<Pool>>,
    /// As well, where the NIC segments.
    large_pool: Option<Arc<Pool>>,
    xdp: Option<Attachment>,
}

/// What is to be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Probed,
    Started,
    Closed,
}

impl Open {
    /// DPDK's number of the port.
    pub(crate) fn id(&self) -> u16 {
        self.id
    }

    fn failed(&self, call: Call, errno: Errno) -> StartError {
        StartError::Call { device: self.device.clone(), call, errno, log: log::last_words() }
    }

    fn configure(&self, plan: &PortPlan, offloads: Offloads) -> Result<(), (Call, Errno)> {
        let conf = dpdk_sys::shim_port_conf {
            rss: if plan.queues > 1 { offloads.rss } else { 0 },
            rx_offloads: offloads.rx,
            tx_offloads: offloads.tx,
            queues: plan.queues,
            mtu: plan.ip_mtu,
            reserved: 0,
        };
        // SAFETY: the port is probed and not started; the structure is read during the call.
        errno_of(unsafe { dpdk_sys::shim_port_configure(self.id, &raw const conf) })
            .map_err(|errno| (Call::Configure, errno))
    }

    /// The plan's descriptors, rounded to what the driver takes.
    fn descriptors(&self, plan: &PortPlan) -> Result<(u16, u16), (Call, Errno)> {
        let (mut rx, mut tx) = (plan.rx_descriptors, plan.tx_descriptors);
        // SAFETY: the port is configured; two places for a number each.
        let result = unsafe {
            dpdk_sys::rte_eth_dev_adjust_nb_rx_tx_desc(self.id, &raw mut rx, &raw mut tx)
        };
        errno_of(result).map_err(|errno| (Call::Descriptors, errno))?;
        Ok((rx, tx))
    }

    fn pool_plan(&self, plan: &PortPlan, info: &PortInfo, rx: u16, tx: u16) -> PoolPlan {
        let kind = self.device.kind();
        // vmxnet3 fills both rings of a receive queue, the one for a frame's first buffer and the one for
        // further buffers, and does not start unless both are full.
        let rings = if info.driver == "net_vmxnet3" { 2 } else { 1 };
        let taken = PortPlan { rx_descriptors: rings * rx, tx_descriptors: tx, ..*plan };
        PoolPlan {
            mbufs: taken.buffers(kind),
            cache: CACHE,
            data_len: taken.data_len(kind),
            socket: info.socket,
            dense: !kind.may_do_dma(),
        }
    }

    /// Makes the pool of large buffers of a NIC that segments. Too little memory for it is an
    /// error, like too little for the other pool.
    fn large_pool(
        &mut self,
        plan: &PortPlan,
        info: &PortInfo,
    ) -> Result<Option<Arc<Pool>>, StartError> {
        if info.tx_segmentation_max == 0 {
            return Ok(None);
        }
        let pool = Pool::new(&PoolPlan {
            mbufs: u32::from(plan.queues) * LARGE_PER_QUEUE + plan.large_held,
            cache: 0,
            data_len: L2_LEN_MAX + u32::from(info.tx_segmentation_max),
            socket: info.socket,
            dense: false,
        })
        .map_err(|cause| StartError::Pool { device: self.device.clone(), cause })?;
        let pool = Arc::new(pool);
        self.large_pool = Some(Arc::clone(&pool));
        Ok(Some(pool))
    }

    /// Sets the queues up. What can be polled for each; empty where the driver has nothing of the kind.
    fn queues(
        &mut self,
        pool: &Pool,
        queues: u16,
        socket: Option<u32>,
        rx: u16,
        tx: u16,
    ) -> Result<Vec<Vec<OwnedFd>>, (Call, Errno)> {
        let socket = socket.unwrap_or(SOCKET_ANY);
        let mut sockets = Vec::new();
        for queue in 0..queues {
            let files = OpenFiles::now();
            // SAFETY: the port is configured with this queue; the pool outlives the port, which
            // `Open` owns a share of; no queue configuration means the driver's own.
            let result = unsafe {
                dpdk_sys::rte_eth_tx_queue_setup(self.id, queue, tx, socket, ptr::null())
            };
            errno_of(result).map_err(|errno| (Call::TxQueue, errno))?;
            // SAFETY: as above.
            let result = unsafe {
                dpdk_sys::rte_eth_rx_queue_setup(
                    self.id,
                    queue,
                    rx,
                    socket,
                    ptr::null(),
                    pool.raw(),
                )
            };
            errno_of(result).map_err(|errno| (Call::RxQueue, errno))?;
            sockets.push(files.opened_since(self.device.kind()));
        }
        if let [alone] = &mut sockets[..] {
            alone.append(&mut self.probed);
        }
        // Of several queues it is not known which has which.
        self.probed.clear();
        Ok(sockets)
    }

    fn start(&mut self) -> Result<(), Errno> {
        // SAFETY: the port is configured and all its queues are set up.
        errno_of(unsafe { dpdk_sys::rte_eth_dev_start(self.id) })?;
        self.phase = Phase::Started;
        Ok(())
    }

    /// Receives what is sent to any group of stations.
    fn receive_multicast(&self) -> Result<(), Errno> {
        // SAFETY: the port is started; the call has no other argument.
        match errno_of(unsafe { dpdk_sys::rte_eth_allmulticast_enable(self.id) }) {
            // A driver without such a filter.
            Err(Errno::ENOTSUP) => Ok(()),
            result => result,
        }
    }

    /// Undoes everything, as far as it goes, and reports the first failure.
    fn close(&mut self) -> Result<(), StopError> {
        if self.phase == Phase::Closed {
            return Ok(());
        }
        let mut owned = owned();
        let mut first = Ok(());
        let mut step = |call, result| {
            if let (Ok(()), Err(errno)) = (&first, errno_of(result)) {
                first = Err(StopError::Call { device: self.device.clone(), call, errno });
            }
        };
        if self.phase == Phase::Started {
            // SAFETY: no queue pair exists any more: each holds a share of this value.
            step(Call::Stop, unsafe { dpdk_sys::rte_eth_dev_stop(self.id) });
        }
        // SAFETY: the port is stopped and nobody else has its number.
        step(Call::Close, unsafe { dpdk_sys::rte_eth_dev_close(self.id) });
        if self.device.kind() != LinkKind::Pci {
            // SAFETY: two terminated strings; the device's port is closed.
            let result =
                unsafe { dpdk_sys::rte_eal_hotplug_remove(VDEV_BUS.as_ptr(), self.name.as_ptr()) };
            step(Call::Remove, result);
        }
        self.phase = Phase::Closed;
        owned.remove(&self.id);
        if let Some(Err(cause)) = self.xdp.as_ref().map(Attachment::restore) {
            first = first.and_then(|()| Err(StopError::Xdp { device: self.device.clone(), cause }));
        }
        first
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // Whoever wants to know calls `Port::stop`.
        let _ = self.close();
    }
}

/// The numbers of the ports that have an owner: DPDK would hand a device's port out twice. Whoever
/// holds this may change DPDK's list of devices, which has no lock of its own.
fn owned() -> MutexGuard<'static, BTreeSet<u16>> {
    static OWNED: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    OWNED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Refuses what the port cannot do.
fn check(plan: &PortPlan, info: &PortInfo, device: &Device) -> Result<(), StartError> {
    if plan.queues == 0 || plan.queues > info.queues_max {
        let (asked, max) = (plan.queues, info.queues_max);
        return Err(StartError::Queues { device: device.clone(), asked, max });
    }
    if plan.queues > 1 && info.spread == Spread::Nobody {
        return Err(StartError::NoSpread { device: device.clone(), asked: plan.queues });
    }
    if plan.ip_mtu > info.ip_mtu_max {
        let (asked, max) = (plan.ip_mtu, info.ip_mtu_max);
        return Err(StartError::Mtu { device: device.clone(), asked, max });
    }
    Ok(())
}

/// For links on a kernel interface: that it exists, and for AF_XDP what is attached to it now.
fn attachment(device: &Device) -> Result<Option<Attachment>, OpenError> {
    let (LinkKind::AfXdp | LinkKind::AfPacket, Some(iface)) = (device.kind(), device.interface())
    else {
        return Ok(None);
    };
    let Ok(index) = nix::net::if_::if_nametoindex(iface) else {
        let (device, iface) = (device.clone(), iface.to_owned());
        return Err(OpenError::NoInterface { device, iface });
    };
    if device.kind() != LinkKind::AfXdp {
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

/// Large buffers of each queue: 4 MiB of 64 KiB each, in the ring, in hand and waiting for a flush.
pub(crate) const LARGE_PER_QUEUE: u32 = 64;

/// DPDK's `SOCKET_ID_ANY`, -1.
const SOCKET_ANY: u32 = u32::MAX;

/// The bus that virtual devices are on.
const VDEV_BUS: &CStr = c"vdev";
