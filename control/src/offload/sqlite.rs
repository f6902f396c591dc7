//! SQLite: statements run on threads of their own, each with its own read-only connection to each file.

mod cells;
mod file;
mod files;
mod reader;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use crossbeam::channel::{self, Sender, TrySendError};

use crate::config::SqlitePlan;

use self::reader::{Orders, Reader};
use super::cache::lock;
use super::completer::Completer;
use super::job::Job;
use super::statement_log::StatementLog;
use super::threads::Threads;

pub(super) use self::file::{Clock, File, spell};

/// All threads that query SQLite.
#[derive(Debug)]
pub(crate) struct Sqlite {
    /// `None` once they are stopping.
    jobs: Mutex<Option<Sender<Job>>>,
    threads: Threads,
    orders: Arc<Orders>,
    completer: Arc<Completer>,
    log: Arc<StatementLog>,
}

impl Sqlite {
    /// Starts the threads. They open files when they are first asked for them.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub(crate) fn start(plan: &SqlitePlan, completer: &Arc<Completer>) -> io::Result<Self> {
        let (jobs, received) = channel::bounded(plan.queue);
        let orders = Arc::new(Orders::default());
        let (threads, log) = (Threads::default(), Arc::new(StatementLog::new("SQLite")));
        for number in 0..plan.threads {
            let reader = Reader::new(plan.mmap, &orders, completer, &log);
            let received = received.clone();
            threads.start(format!("sqlite-{number}"), move || reader.work(&received))?;
        }
        let jobs = Mutex::new(Some(jobs));
        Ok(Self { jobs, threads, orders, completer: Arc::clone(completer), log })
    }

    /// Runs a job, or answers it at once if as many as allowed are waiting.
    pub(crate) fn run(&self, job: Job) {
        let counters = &self.completer.counters;
        let jobs = lock(&self.jobs);
        let Some(sender) = &*jobs else { return };
        counters.sqlite_waiting.up();
        if let Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) = sender.try_send(job)
        {
            counters.sqlite_waiting.down();
            counters.sqlite_refused.up();
            let response = job.query().busy();
            self.completer.complete_uncached(job, response);
        }
    }

    /// Another site is served: files that were replaced are opened anew.
    pub(crate) fn renew(&self) {
        self.orders.site_handle.fetch_add(1, Ordering::Relaxed);
        self.log.renew();
    }

    /// Ends all threads; what they run is interrupted.
    pub(crate) fn stop(&self) {
        self.orders.stopping.store(true, Ordering::Relaxed);
        drop(lock(&self.jobs).take());
        self.threads.join();
    }
}
