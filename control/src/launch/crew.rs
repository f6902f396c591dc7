//! Hires the workers: gives each its core, queue, edition, memory, secret and link to control, and waits
//! until all turn.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

use dpdk::{Arena, Backing, LinkKind, QueuePair, Tsc};
use engine::exception::{self, KernelPort};
use engine::link::{self, WallClock};
use engine::sleep::Waker;
use engine::{CorePlan, Nic, spread};
use handlers::SiteHandle;

use super::error::LaunchError;
use super::idle::{Sleep, Sources};
use super::need::{Need, buffers_len};
use super::spreading::Spreading;
use super::worker::{self, Parts, Report};
use super::{parked, sleeps};
use crate::config::{Pages, Pause, Plan};
use crate::memory::mebibytes;
use crate::team::Team;

/// What is known of the port.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Post {
    /// Its address.
    pub(crate) mac: [u8; 6],
    /// How flows get to their workers.
    pub(crate) spreading: Spreading,
    /// What the plan needs.
    pub(crate) need: Need,
    /// Its kind.
    pub(crate) kind: LinkKind,
}

/// Workers that turn.
pub(crate) struct Staff {
    /// The workers.
    pub(crate) team: Team,
    /// Their clock.
    pub(crate) tsc: Tsc,
    /// The kernel's end of each one's exception path, in their order; empty where there is none.
    pub(crate) kernel_ports: Vec<Box<dyn KernelPort>>,
}

/// Starts a worker on each core of `plan`, with its own of `editions`. When this returns, all turn. With
/// `kernel`, which wakes whoever moves frames to the kernel, each has an exception path.
///
/// # Errors
/// One could not be started; the others have been stopped again.
pub(crate) fn staff(
    plan: &Plan,
    editions: &[Arc<SiteHandle>],
    wall: &Arc<WallClock>,
    post: &Post,
    kernel: Option<Waker>,
    queues: Vec<QueuePair>,
) -> Result<Staff, LaunchError> {
    let (report, reports) = mpsc::channel();
    let mut crew = Crew {
        plan,
        wall,
        mac: post.mac,
        tsc: Tsc::calibrated(),
        pause: sleeps(plan.idling, post.kind).then_some(plan.pause),
        report,
        team: Team::default(),
        backing: Backing::Huge,
        kernel,
        kernel_ports: Vec::new(),
    };
    let hired = crew.hire_all(post.spreading, editions, queues);
    let Crew { report, team, backing, tsc, kernel_ports, .. } = crew;
    drop(report);
    let turning = hired.and_then(|()| await_reports(&team, &reports));
    if let Err(error) = turning {
        // A worker that cannot be stopped keeps the port open, and the process ends with the error.
        let _ = team.stop();
        return Err(error);
    }
    tell_memory(plan, &post.need, backing);
    Ok(Staff { team, tsc, kernel_ports })
}

/// Workers being hired.
struct Crew<'a> {
    plan: &'a Plan,
    wall: &'a Arc<WallClock>,
    mac: [u8; 6],
    tsc: Tsc,
    pause: Option<Pause>,
    report: Sender<Report>,
    team: Team,
    /// Of the worst-placed worker's buffers.
    backing: Backing,
    /// Wakes whoever moves frames to the kernel; `None`: there is no exception path.
    kernel: Option<Waker>,
    /// The kernel's end of each worker's path.
    kernel_ports: Vec<Box<dyn KernelPort>>,
}

impl Crew<'_> {
    fn hire_all(
        &mut self,
        spreading: Spreading,
        editions: &[Arc<SiteHandle>],
        queues: Vec<QueuePair>,
    ) -> Result<(), LaunchError> {
        assert_eq!(editions.len(), self.plan.cores.len(), "each worker has an edition");
        let mut seats = self.plan.cores.iter().copied().zip(editions);
        for queue in queues {
            let Some(seat) = seats.next() else { break };
            let descriptors = queue.poll_descriptors().map_err(LaunchError::Descriptor)?;
            // Without any, what the link receives would not end a wait.
            let descriptors = Some(descriptors).filter(|some| !some.is_empty());
            let sleep = Sleep::new().map_err(LaunchError::Descriptor)?;
            if let Spreading::Software { spokes } = spreading {
                let sleeps = (0..spokes).map(|_| Sleep::new()).collect::<Result<Vec<_>, _>>();
                let sleeps = sleeps.map_err(LaunchError::Descriptor)?;
                let wakers: Vec<_> =
                    [&sleep].into_iter().chain(&sleeps).map(|s| s.waker.clone()).collect();
                let (hub, spokes) = spread::split(queue, &wakers, spread::LENT, secret()?);
                self.hire(seat, hub, sleep, descriptors)?;
                for (seat, (spoke, sleep)) in seats.by_ref().zip(spokes.into_iter().zip(sleeps)) {
                    // All it gets comes from others, who wake it.
                    self.hire(seat, spoke, sleep, Some(Vec::new()))?;
                }
            } else {
                self.hire(seat, queue, sleep, descriptors)?;
            }
        }
        Ok(())
    }

    fn hire<N: Nic + Send + 'static>(
        &mut self,
        (core, edition): (usize, &Arc<SiteHandle>),
        nic: N,
        Sleep { flag, waker, event }: Sleep,
        descriptors: Option<Vec<OwnedFd>>,
    ) -> Result<(), LaunchError>
    where
        N::Frame: Send,
    {
        let arena = Arena::reserve(buffers_len(&self.plan.tally)).map_err(LaunchError::Buffers)?;
        if arena.backing() == Backing::Ordinary {
            self.backing = Backing::Ordinary;
        }
        let plan = self.core_plan()?;
        let woken = (flag, waker.clone());
        let (control, link) = link::pair_with_sleep(self.wall, parked(self.plan), woken);
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
            edition: Arc::clone(edition),
            link,
            arena,
            tsc: self.tsc,
            pause: self.pause,
            sources: descriptors.map(|descriptors| Sources { descriptors, event }),
        };
        let thread = worker::spawn(parts, nic, self.report.clone())
            .map_err(|cause| LaunchError::Thread { core, cause })?;
        self.team.add(core, control, Arc::clone(edition.buffers()), thread);
        Ok(())
    }

    fn core_plan(&self) -> Result<CorePlan, LaunchError> {
        let Plan { address, port, tally, limits, deadlines, .. } = self.plan;
        Ok(CorePlan {
            address: *address,
            link_address: self.plan.on_link().0,
            port: *port,
            mac: self.mac,
            seed: secret()?,
            connections: tally.connections,
            half_open_max: tally.half_open,
            receive_buffer: tally.receive_buffer,
            transmit_buffer: tally.transmit_buffer,
            limits: limits.clone(),
            deadlines: *deadlines,
        })
    }
}

/// Sixteen bytes that nobody else knows.
fn secret() -> Result<[u8; 16], LaunchError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(LaunchError::Randomness)?;
    Ok(bytes)
}

fn await_reports(team: &Team, reports: &mpsc::Receiver<Report>) -> Result<(), LaunchError> {
    for _ in 0..team.len() {
        match reports.recv_timeout(WORKER_PATIENCE) {
            Ok((_, Ok(()))) => {}
            Ok((_, Err(error))) => return Err(LaunchError::Adopt(error)),
            Err(_) => return Err(LaunchError::Lost { core: team.lost().unwrap_or_default() }),
        }
    }
    Ok(())
}

fn tell_memory(plan: &Plan, need: &Need, backing: Backing) {
    let buffers = mebibytes(need.buffers);
    match (backing, plan.pages) {
        (Backing::Huge, _) => tracing::info!("{buffers} of socket buffers in hugepages"),
        (Backing::Ordinary, Pages::Ordinary) => {
            tracing::info!("{buffers} of socket buffers in ordinary pages");
        }
        (Backing::Ordinary, Pages::Huge) => {
            tracing::warn!(
                "{buffers} of socket buffers in ordinary pages, which is slower. {need}"
            );
        }
    }
}

/// A million connections are laid out in a few seconds.
const WORKER_PATIENCE: Duration = Duration::from_secs(60);
