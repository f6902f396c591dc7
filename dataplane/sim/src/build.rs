//! Builds a world from its [`Setup`]: the workers, as they ship, on a simulated network.

use std::sync::Arc;

use engine::control_queue::{self, ControlEnd, WallClock};
use engine::exception::{self, KernelPort};
use engine::sleep::Waker;
use engine::{Buffer, Nic, Now, Worker, steering};
use http1::Service;

use crate::appliance::{UNIX_START, now_at};
use crate::bulk::Bulk;
use crate::control::{Control, ControlFn, TestControl};
use crate::setup::Setup;
use crate::world::{RawId, Turn, World};

impl Setup {
    /// A world in which workers with `service` are the appliance. Their offloads are never completed.
    pub fn build<S: Service + Send + Sync + 'static>(&self, service: &Arc<S>) -> World {
        self.build_with(service, || Box::new(|_, _| ()))
    }

    /// A world with [`Bulk::PLAIN`] and somebody who speaks packets, after the appliance's announcement.
    pub fn build_with_raw(&self) -> (World, RawId) {
        let mut world = self.build(&Arc::new(Bulk::PLAIN));
        let raw = world.raw();
        world.run_for(10_000);
        world.discard_heard(raw);
        (world, raw)
    }

    /// As [`build`](Self::build) with a control of each worker, made by `control`.
    pub fn build_with<S: Service + Send + Sync + 'static>(
        &self,
        service: &Arc<S>,
        mut control: impl FnMut() -> ControlFn<S>,
    ) -> World {
        let (nic, wire) = self.nic.build();
        let wall = WallClock::new(UNIX_START);
        let now = now_at(self.origin);
        let mut workers: Vec<Box<dyn Turn>> = Vec::new();
        let mut controls: Vec<Box<dyn Control>> = Vec::new();
        let mut kernels = Vec::new();
        let mut add = |parts: WorkerParts<S>| {
            workers.push(parts.worker);
            kernels.extend(parts.kernel);
            controls.push(Box::new(TestControl { end: parts.end, control: control() }));
        };
        if self.workers == 1 {
            add(self.worker(nic, service, &wall, now));
        } else {
            let wakers = vec![Waker::never(); self.workers];
            let (steering, worker_queues) =
                steering::split(nic, &wakers, self.buffers_each(), self.core.seed);
            add(self.worker(steering, service, &wall, now));
            for queue in worker_queues {
                add(self.worker(queue, service, &wall, now));
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
    ) -> WorkerParts<S>
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
            None => WorkerParts { worker: Box::new(worker), end, kernel: None },
            Some((kernel, path)) => WorkerParts {
                worker: Box::new(worker.with_exception(path)),
                end,
                kernel: Some(Box::new(kernel)),
            },
        }
    }
}

/// A worker, and the other ends of its queues.
struct WorkerParts<S: Service> {
    worker: Box<dyn Turn>,
    end: ControlEnd<S>,
    kernel: Option<Box<dyn KernelPort>>,
}
