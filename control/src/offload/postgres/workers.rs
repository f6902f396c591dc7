//! How the workers are reached: by the dispatcher, and by a pool that has no connection for a job.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use handlers::Site;
use tokio::sync::mpsc::UnboundedSender;

use crate::offload::job::Job;

/// All workers; none where no server is configured.
#[derive(Debug, Default)]
pub(super) struct Workers {
    handles: OnceLock<Vec<WorkerHandle>>,
    /// Each job goes to the next worker.
    turn: AtomicUsize,
}

/// The way to one worker.
#[derive(Debug)]
pub(super) struct WorkerHandle {
    /// What it is to do.
    pub(super) orders: UnboundedSender<Order>,
    /// Whether a job has a connection there, or an attempt at one to wait for.
    pub(super) is_available: Arc<AtomicBool>,
}

/// What a worker is to do.
#[derive(Debug)]
pub(super) enum Order {
    /// Run a job.
    Run(Job),
    /// Another site is served.
    Renew(Arc<Site>),
    /// End the connections, then the thread.
    Stop,
}

impl Workers {
    /// These are all, from now on.
    pub(super) fn set(&self, handles: Vec<WorkerHandle>) {
        self.handles.set(handles).expect("the workers are started once");
    }

    /// Whether there is nobody to run a job.
    pub(super) fn is_empty(&self) -> bool {
        self.handles().is_empty()
    }

    /// Gives `job` to the next worker that is available, or else to one that answers it as unavailable.
    pub(super) fn run(&self, job: Job) {
        let handle = self.next_available().unwrap_or_else(|| &self.handles()[0]);
        handle.send(Order::Run(job));
    }

    /// Gives `job`, which its worker cannot run, to one that is available. The server may have had room for one of
    /// them only.
    ///
    /// # Errors
    /// No worker is: the job.
    pub(super) fn hand_over(&self, job: Job) -> Result<(), Box<Job>> {
        match self.next_available() {
            Some(handle) => {
                handle.send(Order::Run(job));
                Ok(())
            }
            None => Err(Box::new(job)),
        }
    }

    /// Another site is served.
    pub(super) fn renew(&self, site: &Arc<Site>) {
        self.handles().iter().for_each(|handle| handle.send(Order::Renew(Arc::clone(site))));
    }

    /// Every worker ends its connections, then itself.
    pub(super) fn stop(&self) {
        self.handles().iter().for_each(|handle| handle.send(Order::Stop));
    }

    fn next_available(&self) -> Option<&WorkerHandle> {
        let handles = self.handles();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % handles.len().max(1);
        let (before, after) = handles.split_at(turn);
        after.iter().chain(before).find(|handle| handle.is_available.load(Ordering::Relaxed))
    }

    fn handles(&self) -> &[WorkerHandle] {
        self.handles.get().map_or(&[], Vec::as_slice)
    }
}

impl WorkerHandle {
    fn send(&self, order: Order) {
        // The thread listens until it stops; after that, nobody waits for a response.
        let _ = self.orders.send(order);
    }
}
