//! Bodies that are compressed for one request: processor time, on threads of their own.

use std::io;
use std::sync::{Arc, Mutex};

use crossbeam::channel::{self, Receiver, Sender, TrySendError};
use handlers::{JobKind, Offload};
use http1::Status;

use crate::config::ComputePlan;

use super::cache::lock;
use super::completer::Completer;
use super::responder::Requester;
use super::threads::Threads;

/// All threads that compress.
#[derive(Debug)]
pub(crate) struct CompressPool {
    /// `None` once it is stopping.
    jobs: Mutex<Option<Sender<CompressJob>>>,
    threads: Threads,
    completer: Arc<Completer>,
}

/// One body to be made.
#[derive(Debug)]
pub(crate) struct CompressJob {
    /// Who waits for it.
    pub(crate) requester: Requester,
    /// The request, for a body to compress.
    pub(crate) offload: Offload,
}

impl CompressPool {
    /// Starts the threads.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub(crate) fn start(plan: &ComputePlan, completer: &Arc<Completer>) -> io::Result<Self> {
        let (jobs, received) = channel::bounded(plan.queue);
        let threads = Threads::default();
        for number in 0..plan.threads {
            let (received, completer) = (received.clone(), Arc::clone(completer));
            threads.start(format!("compute-{number}"), move || work(&received, &completer))?;
        }
        Ok(Self { jobs: Mutex::new(Some(jobs)), threads, completer: Arc::clone(completer) })
    }

    /// Makes a body, or answers 503 at once if as many as allowed are waiting.
    pub(crate) fn run(&self, job: CompressJob) {
        let counters = &self.completer.counters;
        let jobs = lock(&self.jobs);
        let Some(sender) = &*jobs else { return };
        counters.compress_waiting.up();
        if let Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) = sender.try_send(job)
        {
            counters.compress_waiting.down();
            counters.compress_refused.up();
            self.completer
                .responder
                .respond_shared(job.requester, job.offload.refusal(Status::S503));
        }
    }

    /// Ends all threads, once they have made what waits.
    pub(crate) fn stop(&self) {
        drop(lock(&self.jobs).take());
        self.threads.join();
    }
}

fn work(jobs: &Receiver<CompressJob>, completer: &Completer) {
    for CompressJob { requester, offload } in jobs {
        completer.counters.compress_waiting.down();
        let JobKind::Compress(compression) = offload.job_kind() else {
            unreachable!("the dispatcher sends bodies to compress");
        };
        let response = compression.run();
        drop(offload);
        completer.counters.compressed.up();
        completer.responder.response(requester, response);
        completer.submissions.poll_if_due();
    }
}
