//! A probed device in each step of its life: configured, started, closed again.

use std::{
    collections::BTreeSet,
    ffi::{CStr, CString},
    os::fd::OwnedFd,
    ptr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use nix::errno::Errno;

use super::{
    error::{Call, StartError, StopError},
    info::{Offloads, PortInfo, errno_of},
    plan::PortPlan,
};
use crate::{
    Device, DeviceKind, Pool,
    limits::{L2_LEN_MAX, LARGE_PER_QUEUE},
    log,
    pool::{CACHE, PoolPlan},
    wait::OpenFiles,
    xdp::Attachment,
};

/// A probed device: its owner, which closes it.
#[derive(Debug)]
pub(crate) struct OpenPort {
    pub(super) id: u16,
    pub(super) device: Device,
    /// The device's name, for DPDK.
    pub(super) name: CString,
    pub(super) phase: Phase,
    /// What the driver opened when probed that can be polled.
    pub(super) probed: Vec<OwnedFd>,
    /// A share, so that the pool outlives the queues that take from it.
    pub(super) pool: Option<Arc<Pool>>,
    /// The pool of large buffers, where the NIC segments.
    pub(super) large_pool: Option<Arc<Pool>>,
    pub(super) xdp: Option<Attachment>,
}

/// What is to be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Probed,
    Started,
    Closed,
}

impl OpenPort {
    /// DPDK's number of the port.
    pub(crate) fn id(&self) -> u16 {
        self.id
    }

    pub(super) fn failed(&self, call: Call, errno: Errno) -> StartError {
        StartError::Call { device: self.device.clone(), call, errno, log: log::last_words() }
    }

    pub(super) fn configure(
        &self,
        plan: &PortPlan,
        offloads: Offloads,
    ) -> Result<(), (Call, Errno)> {
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
    pub(super) fn descriptors(&self, plan: &PortPlan) -> Result<(u16, u16), (Call, Errno)> {
        let (mut rx, mut tx) = (plan.rx_descriptors, plan.tx_descriptors);
        // SAFETY: the port is configured; two places for a number each.
        let result = unsafe {
            dpdk_sys::rte_eth_dev_adjust_nb_rx_tx_desc(self.id, &raw mut rx, &raw mut tx)
        };
        errno_of(result).map_err(|errno| (Call::Descriptors, errno))?;
        Ok((rx, tx))
    }

    pub(super) fn pool_plan(&self, plan: &PortPlan, info: &PortInfo, rx: u16, tx: u16) -> PoolPlan {
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
    pub(super) fn large_pool(
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
    pub(super) fn queues(
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
            // `OpenPort` owns a share of; no queue configuration means the driver's own.
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

    pub(super) fn start(&mut self) -> Result<(), Errno> {
        // SAFETY: the port is configured and all its queues are set up.
        errno_of(unsafe { dpdk_sys::rte_eth_dev_start(self.id) })?;
        self.phase = Phase::Started;
        self.xdp.iter_mut().for_each(Attachment::attached);
        Ok(())
    }

    /// Receives what is sent to any group of stations.
    pub(super) fn receive_multicast(&self) -> Result<(), Errno> {
        // SAFETY: the port is started; the call has no other argument.
        match errno_of(unsafe { dpdk_sys::rte_eth_allmulticast_enable(self.id) }) {
            // A driver without such a filter.
            Err(Errno::ENOTSUP) => Ok(()),
            result => result,
        }
    }

    /// Undoes everything, as far as it goes, and reports the first failure.
    pub(super) fn close(&mut self) -> Result<(), StopError> {
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
        if self.device.kind() != DeviceKind::Pci {
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

impl Drop for OpenPort {
    fn drop(&mut self) {
        // Whoever wants to know calls `Port::stop`.
        let _ = self.close();
    }
}

/// The numbers of the ports that have an owner: DPDK would hand a device's port out twice. Whoever
/// holds this may change DPDK's list of devices, which has no lock of its own.
pub(super) fn owned() -> MutexGuard<'static, BTreeSet<u16>> {
    static OWNED: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    OWNED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// DPDK's `SOCKET_ID_ANY`, -1.
const SOCKET_ANY: u32 = u32::MAX;

/// The bus that virtual devices are on.
const VDEV_BUS: &CStr = c"vdev";
