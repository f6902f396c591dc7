//! From a plan to workers that serve: link, DPDK, port, address, memory, threads, in this order. Whatever
//! fails undoes what was done before it.

mod descriptors;
mod error;
mod hugepage_shortage;
mod idle;
mod memory_requirement;
mod port;
mod probe;
mod remedy;
mod runtime_directories;
mod steering;
mod vhost;
mod worker;
mod worker_set;
mod workers;

use std::sync::Arc;

use dpdk::{DeviceKind, Eal, EalError, EalPlan, Memory, Port, QueuePair, Running, Tsc};
use engine::Nic;
use engine::control_queue::WallClock;
use handlers::{RequestBufferPool, SiteHandle};

use crate::config::{Pages, Plan};
use crate::exception::{self, ExceptionError, Forwarder, Tap, TapPlan};
use crate::human;
use crate::link::{HostLinks, Link, LinkLock, LinkSpec, LinkWatch, choose};
use hugepage_shortage::HugepageShortage;
use port::Taken;
pub(crate) use worker_set::WorkerSet;
use workers::StartedWorkers;

pub(crate) use descriptors::{FILES_BASE, FILES_PER_WORKER, provide as provide_descriptors};
pub(crate) use error::LaunchError;
pub(crate) use idle::Sleep;
pub(crate) use memory_requirement::MemoryRequirement;
pub(crate) use port::release;

/// A server that serves.
#[derive(Debug)]
pub(crate) struct Appliance {
    /// Its workers.
    pub(crate) workers: WorkerSet,
    /// Moves frames between its workers and the exception interface, if there is one.
    pub(crate) exception: Option<Forwarder>,
    /// Its ports.
    pub(crate) ports: Vec<Port<Running>>,
    /// The name of its link.
    pub(crate) link: String,
    /// Tells what becomes of its interface, if it has one.
    pub(crate) watch: Option<LinkWatch>,
    /// Keeps other servers off its interface; the last to go.
    pub(crate) lock: LinkLock,
    /// TSC cycles per second, the unit of its counters of cycles.
    pub(crate) tsc: Tsc,
}

/// Request buffers for each worker of `plan`, in their order.
pub(crate) fn request_buffers(plan: &Plan) -> Vec<Arc<RequestBufferPool>> {
    let pool =
        |_: &usize| Arc::new(RequestBufferPool::new(workers::parked(plan), plan.request_buffer));
    plan.cores.iter().map(pool).collect()
}

/// Starts everything `plan` asks for; the workers serve with `site_handles`, one each. Blocks for about half a second; call it on a thread that may.
///
/// # Errors
/// With what to do about it. Nothing is left behind.
pub(crate) fn launch(
    plan: &Plan,
    site_handles: &[Arc<SiteHandle>],
    requirement: MemoryRequirement,
    wall: &Arc<WallClock>,
) -> Result<Appliance, LaunchError> {
    let host = HostLinks::read();
    if let Some(name) = &plan.exception {
        exception::preflight(name, plan, &host)?;
    }
    let links = candidates(&plan.link, &host)?;
    runtime_directories::sweep();
    let eal = start_dpdk(plan, &links, requirement)?;
    tracing::info!("{} with {}", eal.version(), spell(plan.pages));
    let mut taken = port::take(&eal, &links, &host, plan, requirement)?;
    tracing::info!(
        driver = taken.info.driver,
        mac = human::mac(&taken.info.mac),
        rx_checksum_offload = taken.info.rx_checksum_offload,
        tx_checksum_offload = taken.info.tx_checksum_offload,
        tx_segmentation_max = taken.info.tx_segmentation_max,
        "took {}: {}",
        taken.link,
        taken.steering.spell(&plan.cores)
    );
    for line in eal.take_log().lines() {
        tracing::debug!("DPDK: {line}");
    }
    let checked = check_wire(plan, &mut taken);
    let watch = port::watch(&taken, plan);
    let Taken { link, kind, info, ports, steering, queues, lock } = taken;
    let port_setup = workers::PortSetup { mac: info.mac, steering, requirement, kind };
    match checked.and_then(|()| start_workers(plan, site_handles, wall, &port_setup, queues)) {
        Ok((workers, exception, tsc)) => {
            Ok(Appliance { workers, exception, ports, link, watch, lock, tsc })
        }
        Err(error) => {
            drop(watch);
            if let Err(error) = release(ports) {
                tracing::warn!("{error}");
            }
            Err(error)
        }
    }
}

/// Starts the workers and, where the plan has one, their exception path.
fn start_workers(
    plan: &Plan,
    site_handles: &[Arc<SiteHandle>],
    wall: &Arc<WallClock>,
    port_setup: &workers::PortSetup,
    queues: Vec<QueuePair>,
) -> Result<(WorkerSet, Option<Forwarder>, Tsc), LaunchError> {
    let mtu = queues.first().map_or(0, |queue| queue.capabilities().ip_mtu);
    let path = plan.exception.as_deref().map(|name| {
        let (address, prefix) = plan.on_link();
        if exception::is_shared(port_setup.kind) {
            let (name, link) = (name.to_owned(), plan.link.to_string());
            return Err(ExceptionError::Shared { name, link }.into());
        }
        let tap = Tap::make(&TapPlan { name, mac: port_setup.mac, mtu, address, prefix })?;
        tracing::info!(
            "made {name}, {address}/{prefix}: what is not for port {} is the kernel's",
            plan.port
        );
        Ok::<_, LaunchError>((tap, Sleep::new().map_err(LaunchError::Descriptor)?))
    });
    let path = path.transpose()?;
    let waker = path.as_ref().map(|(_, sleep)| sleep.waker.clone());
    let StartedWorkers { workers, tsc, kernel_ports } =
        workers::spawn(plan, site_handles, wall, port_setup, waker, queues)?;
    let forwarder = path.map(|(tap, sleep)| Forwarder::start(tap, kernel_ports, sleep));
    match forwarder.transpose() {
        Ok(forwarder) => Ok((workers, forwarder, tsc)),
        Err(error) => {
            // A worker that cannot be stopped keeps the port open, and the process ends with the error.
            let _ = workers.stop();
            Err(error.into())
        }
    }
}

/// The links to try, best first.
fn candidates(spec: &LinkSpec, host: &HostLinks) -> Result<Vec<Link>, LaunchError> {
    match spec {
        LinkSpec::Named(link) => Ok(vec![link.clone()]),
        LinkSpec::Auto => {
            let choice = choose(host)?;
            for assessment in choice.assessments {
                tracing::info!("link auto: {assessment}");
            }
            Ok(choice.links)
        }
    }
}

fn start_dpdk(
    plan: &Plan,
    links: &[Link],
    requirement: MemoryRequirement,
) -> Result<Eal, LaunchError> {
    let memory = match plan.pages {
        Pages::Huge => Memory::Hugepages { limit_mib: None },
        Pages::Ordinary => Memory::Ordinary {
            mib: u32::try_from(requirement.frames >> 20)
                .unwrap_or(u32::MAX)
                .saturating_add(DPDK_MIB),
        },
    };
    let eal = EalPlan {
        main_core: plan.cores.first().copied().unwrap_or(0),
        devices: links.iter().map(|link| link.device().clone()).collect(),
        memory,
        file_prefix: runtime_directories::file_prefix(),
    };
    Eal::init(&eal).map_err(|error| match error {
        EalError::NoHugepages => LaunchError::hugepages("no hugepage is free", requirement),
        error @ EalError::Init { .. } if plan.pages == Pages::Huge => {
            let shortage = HugepageShortage::find(requirement);
            match shortage.is_of_group() {
                true => {
                    let shortage = Box::new(shortage);
                    LaunchError::Hugepages { cause: error.to_string(), shortage }
                }
                false => LaunchError::Eal(error),
            }
        }
        error => LaunchError::Eal(error),
    })
}

/// That frames can pass, and that our address is ours.
fn check_wire(plan: &Plan, taken: &mut Taken) -> Result<(), LaunchError> {
    if taken.kind == DeviceKind::Pci {
        taken.ports.iter().for_each(port::await_carrier);
    }
    if !plan.probe {
        return Ok(());
    }
    let (address, _) = plan.on_link();
    match probe::owner_of(address, (taken.info.mac, plan.vlan), &mut taken.queues) {
        None => Ok(()),
        Some(mac) => Err(LaunchError::AddressInUse { address, mac }),
    }
}

fn spell(pages: Pages) -> &'static str {
    match pages {
        Pages::Huge => "frames in hugepages",
        Pages::Ordinary => "frames in ordinary pages",
    }
}

/// What DPDK itself wants beside frames.
const DPDK_MIB: u32 = 64;
