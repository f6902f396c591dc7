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
use super::office::{Job, Office};
use super::threads::Threads;

pub(super) use self::file::{Clock, File, spell};

/// All threads that ask SQLite.
#[derive(Debug)]
pub(crate) struct Sqlite {
    /// None: they were told to stop.
    jobs: Mutex<Option<Sender<Job>>>,
    threads: Threads,
    orders: Arc<Orders>,
    office: Arc<Office>,
}

impl Sqlite {
    /// Starts the threads. They open files when they are first asked for them.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub(crate) fn start(plan: &SqlitePlan, office: &Arc<Office>) -> io::Result<Self> {
        let (jobs, received) = channel::bounded(plan.queue);
        let orders = Arc::new(Orders::default());
        let threads = Threads::default();
        for number in 0..plan.threads {
            let reader = Reader::new(plan.mmap, &orders, office);
            let received = received.clone();
            threads.start(format!("sqlite-{number}"), move || reader.work(&received))?;
        }
        let jobs = Mutex::new(Some(jobs));
        Ok(Self { jobs, threads, orders, office: Arc::clone(office) })
    }

    /// Runs a job, or answers it at once if as many as allowed are waiting.
    pub(crate) fn run(&self, job: Job) {
        let tallies = &self.office.tallies;
        let jobs = lock(&self.jobs);
        let Some(sender) = &*jobs else { return };
        tallies.sqlite_waiting.up();
        if let Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) = sender.try_send(job)
        {
            tallies.sqlite_waiting.down();
            tallies.sqlite_refused.up();
            let answer = job.query().busy();
            self.office.answer_other(job, answer);
        }
    }

    /// Another edition is served: files that were replaced are opened anew.
    pub(crate) fn renew(&self) {
        self.orders.edition.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends all threads; what they run is interrupted.
    pub(crate) fn stop(&self) {
        self.orders.stopping.store(true, Ordering::Relaxed);
        drop(lock(&self.jobs).take());
        self.threads.join();
    }
}
