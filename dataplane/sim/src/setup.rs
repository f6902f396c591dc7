//! What a simulated world is made of, and the one line of it that is the appliance.

use core::net::Ipv4Addr;
use std::sync::Arc;

use engine::control_queue::{self, ControlEnd, WallClock};
use engine::exception::{self, KernelPort};
use engine::sleep::Waker;
use engine::{Buffer, CorePlan, Deadlines, Nic, Now, Worker, steering};
use http1::{HEAD_OUT_MAX, Limits, Service};

use crate::control::{Clerk, Control, Desk};
use crate::network::Faults;
use crate::nic::NicPlan;
use crate::raw::Address;
use crate::world::{Turn, World};

/// Where the appliance is in every simulated world.
pub const APPLIANCE: Address =
    Address { mac: [0x02, 0x50, 0x4c, 0x58, 0, 1], ip: Ipv4Addr::new(198, 18, 0, 2) };

/// The TCP port it answers on.
pub const HTTP_PORT: u16 = 8080;

/// Runs one turn; may put something around it, such as a ban on allocation.
pub type Seal = fn(&mut dyn FnMut() -> bool) -> bool;

/// Everything that decides a world. Change fields, then [`build`](Self::build).
#[derive(Clone, Debug)]
pub struct Setup {
    /// Decides every fault, every delay and the clients' numbers; printed when a test fails.
    pub seed: u64,
    /// The plan of every worker.
    pub core: CorePlan,
    /// The appliance's queue pair.
    pub nic: NicPlan,
    /// What the cable to the appliance does.
    pub toward: Faults,
    /// What the cable from the appliance does.
    pub away: Faults,
    /// Whether the transmit ring stops now and then, and the pool runs low.
    pub stalls: bool,
    /// Workers: with more than one they share the queue through software steering.
    pub workers: usize,
    /// Requests of one worker that may wait for control.
    pub parked: usize,
    /// Whether workers have an exception path; the test is the kernel's end of it.
    pub exception: bool,
    /// Bytes of the socket buffers of clients.
    pub client_buffer: usize,
    /// Put around every turn of a worker.
    pub seal: Seal,
    /// Where virtual time starts, in microseconds.
    pub origin: u64,
}

impl Setup {
    /// A faultless world with one worker and default deadlines and limits.
    pub fn new(seed: u64) -> Self {
        let mut secret = [0; 16];
        fastrand::Rng::with_seed(seed ^ 0x7365_6372_6574).fill(&mut secret);
        Self {
            seed,
            core: CorePlan {
                address: APPLIANCE.ip,
                link_address: APPLIANCE.ip,
                port: HTTP_PORT,
                mac: APPLIANCE.mac,
                seed: secret,
                connections: 64,
                half_open_max: 32,
                receive_buffer: 16 * 1024,
                transmit_buffer: 16 * 1024,
                limits: Limits::DEFAULT,
                deadlines: Deadlines::default(),
            },
            nic: NicPlan::default(),
            toward: Faults::none(),
            away: Faults::none(),
            stalls: false,
            workers: 1,
            parked: 64,
            exception: false,
            client_buffer: 65_535,
            seal: |turn| turn(),
            origin: 1_000_000 + seed * 7_919,
        }
    }

    /// Everything that can differ does, as `seed` decides: faults, delays, checksum and segmentation
    /// offloads, MTU, buffers, rings, stalls.
    pub fn any(seed: u64) -> Self {
        let plain = Self::new(seed);
        let mut rng = fastrand::Rng::with_seed(seed ^ 0x0073_6574_7570);
        let mut size = |least, most| if rng.bool() { most } else { rng.usize(least..=most) };
        let core = CorePlan {
            receive_buffer: size(plain.core.limits.head_len_max, 65_535),
            transmit_buffer: size(HEAD_OUT_MAX, 65_535),
            ..plain.core
        };
        let (ip_mtu, client_buffer) = (size(576, 1_500), size(8_192, 65_535));
        let transmit_checksums = rng.bool();
        let segmentation_max =
            if transmit_checksums && rng.bool() { rng.usize(2_000..=65_389) } else { 0 };
        Self {
            core,
            nic: NicPlan {
                receive_ring: 1 << rng.u32(6..10),
                transmit_ring: 1 << rng.u32(2..10),
                ip_mtu,
                transmit_checksums,
                segmentation_max,
                large_pool: rng.usize(1..=8),
                receive_checksums: rng.bool(),
                ..plain.nic
            },
            toward: Faults::any(rng.u64(..)),
            away: Faults::any(rng.u64(..)),
            stalls: rng.u32(..4) == 0,
            client_buffer,
            ..plain
        }
    }

    /// A world in which workers with `service` are the appliance. Nobody answers what they ask.
    pub fn build<S: Service + Send + Sync + 'static>(&self, service: &Arc<S>) -> World {
        self.build_with(service, || Box::new(|_, _| ()))
    }

    /// The same with somebody at control's end of each worker, made by `clerk`.
    pub fn build_with<S: Service + Send + Sync + 'static>(
        &self,
        service: &Arc<S>,
        mut clerk: impl FnMut() -> Clerk<S>,
    ) -> World {
        let (nic, wire) = self.nic.build();
        let wall = WallClock::new(UNIX_START);
        let now = now_at(self.origin);
        let mut workers: Vec<Box<dyn Turn>> = Vec::new();
        let mut controls: Vec<Box<dyn Control>> = Vec::new();
        let mut kernels = Vec::new();
        let mut hire = |hired: Hired<S>| {
            workers.push(hired.worker);
            kernels.extend(hired.kernel);
            controls.push(Box::new(Desk { end: hired.end, clerk: clerk() }));
        };
        if self.workers == 1 {
            hire(self.worker(nic, service, &wall, now));
        } else {
            let wakers = vec![Waker::never(); self.workers];
            let (steering, worker_queues) =
                steering::split(nic, &wakers, self.buffers_each(), self.core.seed);
            hire(self.worker(steering, service, &wall, now));
            for queue in worker_queues {
                hire(self.worker(queue, service, &wall, now));
            }
        }
        let mut world = World::new(self, wire, workers, controls, wall);
        world.kernels = kernels;
        world
    }

    /// Transmit buffers of each worker queue: half of the pool stays with the steering queue.
    fn buffers_each(&self) -> usize {
        steering::TX_BUFFERS.min(self.nic.transmit_pool / 2 / (self.workers - 1))
    }

    fn worker<N: Nic + 'static, S: Service + Send + Sync + 'static>(
        &self,
        nic: N,
        service: &Arc<S>,
        wall: &Arc<WallClock>,
        now: Now,
    ) -> Hired<S>
    where
        N::Frame: Send,
    {
        let (end, worker_end) = control_queue::pair(wall, self.parked);
        let mut buffers = |len| Buffer::Owned(vec![0; len]);
        let core = self.core.clone();
        let path = self.exception.then(|| {
            let (kernel, worker) = (Waker::never(), Waker::never());
            exception::pair(&core, &worker_end, self.nic.ip_mtu, kernel, worker)
        });
        let worker = Worker::new(core, nic, Arc::clone(service), worker_end, &mut buffers, now);
        match path {
            None => Hired { worker: Box::new(worker), end, kernel: None },
            Some((kernel, path)) => Hired {
                worker: Box::new(worker.with_exception(path)),
                end,
                kernel: Some(Box::new(kernel)),
            },
        }
    }
}

/// A worker with what belongs to it.
struct Hired<S: Service> {
    worker: Box<dyn Turn>,
    end: ControlEnd<S>,
    kernel: Option<Box<dyn KernelPort>>,
}

/// Seconds since 1970 when a world starts: 2026-01-01T00:00:00Z.
pub const UNIX_START: u64 = 1_767_225_600;

/// The simulated processor's clock rate.
const CYCLES_PER_MICRO: u64 = 2_000;

/// What a worker is told at virtual time `micros`.
pub(crate) fn now_at(micros: u64) -> Now {
    Now { cycles: micros * CYCLES_PER_MICRO, micros }
}
