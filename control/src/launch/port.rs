//! Takes the port: the first of the candidates that opens and starts.

use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use dpdk::{DeviceKind, Eal, Port, PortInfo, PortPlan, QueuePair, Running, StartError, StopError};

use engine::Nic;
use engine::exception::FRAMES_MAX;

use super::error::LaunchError;
use super::memory_requirement::MemoryRequirement;
use super::steering::Steering;
use super::vhost::{self, Handover};
use crate::config::{Offloads, Plan};
use crate::link::{HostLinks, Link, LinkLock, LinkSpec, LinkWatch, WatchPlan, devices_for};

/// A link that runs.
#[derive(Debug)]
pub(crate) struct Taken {
    /// Its name.
    pub(crate) link: String,
    /// Its kind.
    pub(crate) kind: DeviceKind,
    /// What its first port says of itself; others are like it.
    pub(crate) info: PortInfo,
    /// Its ports: several only where each queue of an interface is one.
    pub(crate) ports: Vec<Port<Running>>,
    /// How flows get to their workers.
    pub(crate) steering: Steering,
    /// One queue pair, or one for each worker.
    pub(crate) queues: Vec<QueuePair>,
    /// Keeps other servers off its interface.
    pub(crate) lock: LinkLock,
}

/// Opens and starts the first of `links` that can be.
///
/// # Errors
/// None could; of several, each is said in the log.
pub(crate) fn take(
    eal: &Eal,
    links: &[Link],
    host: &HostLinks,
    plan: &Plan,
    requirement: MemoryRequirement,
) -> Result<Taken, LaunchError> {
    let mut attempts = Vec::new();
    for link in links {
        match start(eal, link, host, plan, requirement) {
            Ok(taken) => return Ok(taken),
            Err(error) if links.len() == 1 => return Err(error),
            // Another link would not find more memory.
            Err(error @ LaunchError::Hugepages { .. }) => return Err(error),
            Err(error) => {
                tracing::warn!("link auto: next one, {error}");
                attempts.push(error.to_string());
            }
        }
    }
    Err(LaunchError::NoneOpened { attempts })
}

fn start(
    eal: &Eal,
    link: &Link,
    host: &HostLinks,
    plan: &Plan,
    requirement: MemoryRequirement,
) -> Result<Taken, LaunchError> {
    if let Some(lacking) = host.rights.lacking(link.device().kind()) {
        return Err(LaunchError::Rights { link: link.to_string(), lacking });
    }
    let lock = LinkLock::take(link.device(), &addresses(plan))
        .map_err(|cause| LaunchError::Locked { link: link.to_string(), cause })?;
    let workers = u16::try_from(plan.cores.len()).unwrap_or(u16::MAX);
    let devices = devices_for(link, host, workers)?;
    let mut opened = Vec::new();
    for device in &devices {
        let port = Port::open(eal, device)
            .map_err(|cause| LaunchError::Open { link: link.to_string(), cause })?;
        opened.push(port);
    }
    let info = opened.first().expect("a link has a device").info().clone();
    let ports = u16::try_from(opened.len()).unwrap_or(u16::MAX);
    let steering = Steering::decide(&info, ports, workers);
    let port_plan = PortPlan {
        queues: steering.queues(),
        frames_held: steering.frames_held() + exception_frames(plan, steering),
        multicast: plan.exception.is_some(),
        checksums_filled: plan.exception.is_some(),
        large_held: steering.large_held(),
        offloads: plan.offloads == Offloads::Auto,
        ..PortPlan::default()
    };
    let mut taken = Taken {
        link: link.to_string(),
        kind: link.device().kind(),
        info,
        ports: Vec::new(),
        steering,
        queues: Vec::new(),
        lock,
    };
    for port in opened {
        let (port, queues) = port.start(&port_plan).map_err(|cause| match cause {
            StartError::Pool { cause, .. } => {
                LaunchError::hugepages(format!("{link}: {cause}"), requirement)
            }
            cause => LaunchError::Start { link: link.to_string(), cause },
        })?;
        // What the plan leaves to the NIC, not what it offers.
        taken.info = port.info().clone();
        taken.ports.push(port);
        taken.queues.extend(queues);
    }
    if taken.kind == DeviceKind::Vhost {
        hand_over(&mut taken, link, plan)?;
    }
    Ok(taken)
}

/// Those that nobody else on the link may have.
fn addresses(plan: &Plan) -> Vec<Ipv4Addr> {
    let mut addresses = vec![plan.address, plan.on_link().0];
    addresses.dedup();
    addresses
}

/// Watches the interface of `taken`, if it has one.
pub(crate) fn watch(taken: &Taken, plan: &Plan) -> Option<LinkWatch> {
    let port = taken.ports.first()?;
    let watch = LinkWatch::start(WatchPlan {
        interface: port.interface()?.to_owned(),
        kind: taken.kind,
        mtu: taken.queues.first()?.capabilities().ip_mtu,
        gone: plan.link_gone,
    });
    watch
        .inspect_err(|error| {
            tracing::warn!(
                "{}: its interface is not watched, and when it goes down nobody says so: {error}",
                taken.link
            );
        })
        .ok()
}

/// Frames of each port's queue that the exception path holds, at most.
fn exception_frames(plan: &Plan, steering: Steering) -> u32 {
    let each = u32::try_from(FRAMES_MAX).unwrap_or(u32::MAX);
    if plan.exception.is_some() { each * steering.workers_of_queue() } else { 0 }
}

/// Finds out what the kernel takes from a vhost link, and does without the rest.
fn hand_over(taken: &mut Taken, link: &Link, plan: &Plan) -> Result<(), LaunchError> {
    let interface = link.device().interface().unwrap_or_default();
    let Some(queue) = taken.queues.first_mut() else { return Ok(()) };
    let reason = match vhost::test(queue, interface, taken.info.mac) {
        Handover::Everything => return Ok(()),
        Handover::Nothing(reason) if plan.link == LinkSpec::Auto => {
            return Err(LaunchError::Vhost { link: link.to_string(), reason });
        }
        Handover::Nothing(reason) => {
            tracing::warn!("{link}: {reason} It serves all the same: the interface may come up");
            reason
        }
        Handover::Frames(reason) => reason,
    };
    if taken.info.tx_segmentation_max > 0 {
        tracing::warn!("{link}: {reason}; goes on without segmentation offload");
        taken.info.tx_segmentation_max = 0;
        taken.queues.iter_mut().for_each(QueuePair::without_segmentation);
    }
    Ok(())
}

/// Stops and closes `ports`, all of them, and tells of the first that did not close as it should.
///
/// # Errors
/// Queue pairs are in use, or the driver fails.
pub(crate) fn release(ports: Vec<Port<Running>>) -> Result<(), StopError> {
    ports.into_iter().map(Port::stop).fold(Ok(()), Result::and)
}

/// Waits until the cable carries, for a while. Without a carrier we serve all the same: it may come.
pub(crate) fn await_carrier(port: &Port<Running>) {
    let deadline = Instant::now() + CARRIER_TIMEOUT;
    while !port.link_status().is_ok_and(|link| link.up) {
        if Instant::now() > deadline {
            tracing::warn!("the link has no carrier: is the cable in, is the other side up?");
            return;
        }
        thread::sleep(CARRIER_LOOK_EVERY);
    }
}

/// Negotiating 10GBASE-T takes about this long.
const CARRIER_TIMEOUT: Duration = Duration::from_secs(5);
const CARRIER_LOOK_EVERY: Duration = Duration::from_millis(50);
