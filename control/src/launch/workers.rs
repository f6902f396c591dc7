//! Starts the workers: gives each its core, NIC queue, site, memory, secret and control queue, and waits
//! until all turn.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

use dpdk::{Backing, DeviceKind, QueuePair, Tsc};
use engine::control_queue::{self, WallClock};
use engine::exception::{self, KernelPort};
use engine::sleep::Waker;
use engine::{CorePlan, Nic, steering};
use handlers::SiteHandle;

use super::error::LaunchError;
use super::hugepage_shortage::HugepageShortage;
use super::idle::{Sleep, Sources};
use super::memory_requirement::{MemoryRequirement, buffers_len};
use super::steering::Steering;
use super::worker::{self, Parts, Report, WorkerError};
use super::worker_set::WorkerSet;
use crate::config::{Idling, Pages, Pause, Plan};
use crate::human;

/// What is known of the port.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PortSetup {
    /// Its address.
    pub(crate) mac: [u8; 6],
    /// How flows get to their workers.
    pub(crate) steering: Steering,
    /// What the plan needs.
    pub(crate) requirement: MemoryRequirement,
    /// Its kind.
    pub(crate) kind: DeviceKind,
}

/// Workers that turn.
pub(crate) struct StartedWorkers {
    /// The workers.
    pub(crate) workers: WorkerSet,
    /// Their clock.
    pub(crate) tsc: Tsc,
    /// The kernel's end of each one's exception path, in their order; empty where there is none.
    pub(crate) kernel_ports: Vec<Box<dyn KernelPort>>,
}

/// Starts a worker on each core of `plan`, with its own of `site_handles`. When this returns, all turn. With
/// `kernel`, which wakes whoever moves frames to the kernel, each has an exception path.
///
/// # Errors
/// One could not be started; the others have been stopped again.
pub(crate) fn spawn(
    plan: &Plan,
    site_handles: &[Arc<SiteHandle>],
    wall: &Arc<WallClock>,
    port_setup: &PortSetup,
    kernel: Option<Waker>,
    queues: Vec<QueuePair>,
) -> Result<StartedWorkers, LaunchError> {
    let (report, reports) = mpsc::channel();
    let mut spawner = Spawner {
        plan,
        wall,
        mac: port_setup.mac,
        kind: port_setup.kind,
        tsc: Tsc::calibrated(),
        pause: sleeps(plan.idling, port_setup.kind).then_some(plan.pause),
        report,
        workers: WorkerSet::default(),
        kernel,
        kernel_ports: Vec::new(),
    };
    let spawned = spawner.spawn_all(port_setup.steering, site_handles, queues);
    let Spawner { report, workers, tsc, kernel_ports, .. } = spawner;
    drop(report);
    let turning = spawned.and_then(|()| await_reports(&workers, &reports));
    let backing = match turning {
        Ok(backing) => backing,
        Err(error) => {
            // A worker that cannot be stopped keeps the port open, and the process ends with the error.
            let _ = workers.stop();
            return Err(error);
        }
    };
    log_memory(plan, port_setup.requirement, backing);
    Ok(StartedWorkers { workers, tsc, kernel_ports })
}

/// Workers being spawned.
struct Spawner<'a> {
    plan: &'a Plan,
    wall: &'a Arc<WallClock>,
    mac: [u8; 6],
    kind: DeviceKind,
    tsc: Tsc,
    pause: Option<Pause>,
    report: Sender<Report>,
    workers: WorkerSet,
    /// Wakes whoever moves frames to the kernel; `None`: there is no exception path.
    kernel: Option<Waker>,
    /// The kernel's end of each worker's path.
    kernel_ports: Vec<Box<dyn KernelPort>>,
}

impl Spawner<'_> {
    fn spawn_all(
        &mut self,
        steering: Steering,
        site_handles: &[Arc<SiteHandle>],
        queues: Vec<QueuePair>,
    ) -> Result<(), LaunchError> {
        assert_eq!(site_handles.len(), self.plan.cores.len(), "each worker has a site handle");
        let mut assignments = self.plan.cores.iter().copied().zip(site_handles);
        for queue in queues {
            let Some(assignment) = assignments.next() else { break };
            let descriptors = queue.poll_descriptors().map_err(LaunchError::Descriptor)?;
            // Without any, what the link receives would not end a wait.
            let descriptors = Some(descriptors).filter(|some| !some.is_empty());
            let sleep = Sleep::new().map_err(LaunchError::Descriptor)?;
            if let Steering::Software { worker_queues } = steering {
                let sleeps =
                    (0..worker_queues).map(|_| Sleep::new()).collect::<Result<Vec<_>, _>>();
                let sleeps = sleeps.map_err(LaunchError::Descriptor)?;
                let wakers: Vec<_> =
                    [&sleep].into_iter().chain(&sleeps).map(|s| s.waker.clone()).collect();
                let (steering_queue, worker_queues) =
                    steering::split(queue, &wakers, steering::TX_BUFFERS, secret()?);
                self.spawn(assignment, steering_queue, sleep, descriptors)?;
                for (assignment, (worker_queue, sleep)) in
                    assignments.by_ref().zip(worker_queues.into_iter().zip(sleeps))
                {
                    // All it gets comes from others, who wake it.
                    self.spawn(assignment, worker_queue, sleep, Some(Vec::new()))?;
                }
            } else {
                self.spawn(assignment, queue, sleep, descriptors)?;
            }
        }
        Ok(())
    }

    fn spawn<N: Nic + Send + 'static>(
        &mut self,
        (core, site_handle): (usize, &Arc<SiteHandle>),
        nic: N,
        Sleep { flag, waker, event }: Sleep,
        descriptors: Option<Vec<OwnedFd>>,
    ) -> Result<(), LaunchError>
    where
        N::Frame: Send,
    {
        let plan = self.core_plan()?;
        let woken = (flag, waker.clone());
        let (control, link) = control_queue::pair_with_sleep(self.wall, parked(self.plan), woken);
        let exception = self.kernel.clone().map(|kernel| {
            let ip_mtu = nic.capabilities().ip_mtu;
            let (port, end) = exception::pair(&plan, &link, ip_mtu, kernel, waker);
            self.kernel_ports.push(Box::new(port));
            end
        });
        let parts = Parts {
            core,
            plan,
            exception,
            site_handle: Arc::clone(site_handle),
            link,
            buffers_len: buffers_len(&self.plan.tally),
            tsc: self.tsc,
            pause: self.pause,
            sources: descriptors.map(|descriptors| Sources { descriptors, event }),
        };
        let thread = worker::spawn(parts, nic, self.report.clone())
            .map_err(|cause| LaunchError::Thread { core, cause })?;
        self.workers.add(core, control, Arc::clone(site_handle.buffers()), thread);
        Ok(())
    }

    fn core_plan(&self) -> Result<CorePlan, LaunchError> {
        let Plan { address, port, tally, limits, deadlines, .. } = self.plan;
        Ok(CorePlan {
            address: *address,
            link_address: self.plan.on_link().0,
            port: *port,
            mac: self.mac,
            vlan: self.plan.vlan,
            unfilled_checksums: is_within_machine(self.kind),
            seed: secret()?,
            connections: tally.connections,
            half_open_max: tally.half_open,
            receive_buffer: tally.receive_buffer,
            transmit_buffer: tally.transmit_buffer,
            limits: limits.clone(),
            deadlines: *deadlines,
            sources: self.plan.sources.clone(),
        })
    }
}

/// Sixteen bytes that nobody else knows.
fn secret() -> Result<[u8; 16], LaunchError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(LaunchError::Randomness)?;
    Ok(bytes)
}

/// What the worst-placed worker's buffers stand on.
fn await_reports(
    workers: &WorkerSet,
    reports: &mpsc::Receiver<Report>,
) -> Result<Backing, LaunchError> {
    let mut worst = Backing::Huge;
    for _ in 0..workers.len() {
        match reports.recv_timeout(WORKER_TIMEOUT) {
            Ok((_, Ok(Backing::Huge))) => {}
            Ok((_, Ok(Backing::Ordinary))) => worst = Backing::Ordinary,
            Ok((_, Err(WorkerError::Adopt(error)))) => return Err(LaunchError::Adopt(error)),
            Ok((_, Err(WorkerError::Buffers(error)))) => return Err(LaunchError::Buffers(error)),
            Err(_) => return Err(LaunchError::Lost { core: workers.lost().unwrap_or_default() }),
        }
    }
    Ok(worst)
}

fn log_memory(plan: &Plan, requirement: MemoryRequirement, backing: Backing) {
    let buffers = human::bytes(requirement.buffers);
    match (backing, plan.pages) {
        (Backing::Huge, _) => tracing::info!("{buffers} of socket buffers in hugepages"),
        (Backing::Ordinary, Pages::Ordinary) => {
            tracing::info!("{buffers} of socket buffers in ordinary pages");
        }
        (Backing::Ordinary, Pages::Huge) => {
            let shortage = HugepageShortage::find(requirement);
            tracing::warn!(
                "{buffers} of socket buffers in ordinary pages, which is slower. {shortage}"
            );
        }
    }
}

/// A million connections are laid out in a few seconds.
const WORKER_TIMEOUT: Duration = Duration::from_secs(60);

/// Requests of one worker that may wait for a completion: each has a request buffer.
pub(super) fn parked(plan: &Plan) -> usize {
    (plan.parked / plan.cores.len()).max(1)
}

/// Whether a link of this kind may carry frames that have not left the machine, and whose sender left the checksum
/// to hardware. On an interface of real hardware such a frame is no worse than any other: the sum says nothing against
/// whoever makes it on purpose.
fn is_within_machine(kind: DeviceKind) -> bool {
    match kind {
        DeviceKind::AfXdp | DeviceKind::AfPacket | DeviceKind::Tap | DeviceKind::Vhost => true,
        DeviceKind::Pci | DeviceKind::Memif | DeviceKind::Other => false,
    }
}

/// Whether workers nap and wait: as configured, or by the kind of link.
fn sleeps(idling: Idling, kind: DeviceKind) -> bool {
    match idling {
        Idling::Auto => kind != DeviceKind::Pci,
        Idling::Poll => false,
        Idling::Adaptive => true,
    }
}
