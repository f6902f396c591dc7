//! SQLite: statements run on threads of their own, over read-only connections to the files of each site.

mod cells;
mod file;
mod handle;
mod pool;
mod reader;
mod site_files;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crossbeam::channel::{self, Sender, TrySendError};
use handlers::Site;

use crate::config::SqlitePlan;

use self::pool::Settings;
use self::reader::Reader;
use self::site_files::SiteFiles;
use super::cache::lock;
use super::completer::Completer;
use super::job::Job;
use super::statement_log::StatementLog;
use super::threads::Threads;

pub(super) use self::file::{File, spell};

/// All threads that query SQLite.
#[derive(Debug)]
pub(crate) struct Sqlite {
    /// `None` once they are stopping.
    jobs: Mutex<Option<Sender<Job>>>,
    threads: Threads,
    files: Arc<SiteFiles>,
    stopping: Arc<AtomicBool>,
    queue: u64,
    completer: Arc<Completer>,
    log: Arc<StatementLog>,
}

impl Sqlite {
    /// Starts the threads, and opens the files of `site`.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub(crate) fn start(
        plan: &SqlitePlan,
        site: &Arc<Site>,
        completer: &Arc<Completer>,
    ) -> io::Result<Self> {
        let (jobs, received) = channel::bounded(plan.queue);
        let (threads, log) = (Threads::default(), Arc::new(StatementLog::new("SQLite")));
        let stopping = Arc::<AtomicBool>::default();
        let settings = Settings {
            threads: plan.threads,
            cache: plan.cache,
            stopping: Arc::clone(&stopping),
            counters: Arc::clone(&completer.counters),
        };
        let files = Arc::new(SiteFiles::new(settings, &log));
        files.add(site, Instant::now());
        for number in 0..plan.threads {
            let reader = Reader::new(&files, completer, &log);
            let received = received.clone();
            threads.start(format!("sqlite-{number}"), move || reader.work(&received))?;
        }
        let jobs = Mutex::new(Some(jobs));
        let queue = u64::try_from(plan.queue).expect("a queue is shorter than 2^64");
        let completer = Arc::clone(completer);
        Ok(Self { jobs, threads, files, stopping, queue, completer, log })
    }

    /// Runs a job, or answers it at once if as many as allowed are waiting.
    pub(crate) fn run(&self, job: Job) {
        if self.admit() {
            self.run_admitted(job);
        } else {
            self.refuse(job);
        }
    }

    /// Counts one job more that waits, if it may.
    pub(crate) fn admit(&self) -> bool {
        let waiting = &self.completer.counters.sqlite_waiting;
        let has_room = waiting.draw() < self.queue;
        if !has_room {
            waiting.down();
        }
        has_room
    }

    /// Runs a job that is counted as waiting.
    pub(crate) fn run_admitted(&self, job: Job) {
        let jobs = lock(&self.jobs);
        let Some(sender) = &*jobs else { return };
        if let Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) = sender.try_send(job)
        {
            drop(jobs);
            self.completer.counters.sqlite_waiting.down();
            self.refuse(job);
        }
    }

    fn refuse(&self, job: Job) {
        self.completer.counters.sqlite_refused.up();
        let response = job.query().busy();
        self.completer.complete_uncached(job, response);
    }

    /// Opens the files of `site`, which is to be served: its requests, and no earlier ones, read what its paths
    /// name now. It blocks.
    pub(crate) fn open(&self, site: &Arc<Site>) {
        self.files.add(site, Instant::now());
    }

    /// Another site is served.
    pub(crate) fn renew(&self) {
        self.log.renew();
    }

    /// Closes the files of sites that nobody has any more.
    pub(crate) fn sweep(&self) {
        self.files.sweep();
    }

    /// Ends all threads; what they run is interrupted.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        drop(lock(&self.jobs).take());
        self.threads.join();
    }
}
