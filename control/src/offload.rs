//! Offload: requests that a dataplane core cannot answer, done by PostgreSQL, SQLite or a compressor.
//!
//! ```text
//! worker -> submission ring -> dispatcher -> cache: hit -----------------------+
//!                                |----> postgres (workers: tokio, pipelined) --|
//!                                |----> sqlite (threads) ----------------------+--> responder -> completion ring
//!                                +----> compress (threads) --------------------+        \
//!                                                                                        +-> retire list
//! ```
//!
//! A core never waits, wakes or frees: the [`dispatcher`] polls the submission rings ([`submissions`]); whoever
//! has a response pushes it itself ([`responder`]), and a response that a worker may still send is freed here
//! once no worker holds it ([`retire_list`]). Every bound has a counter ([`counters`]).
//!
//! For the rest of control, in this order:
//!
//! 1. [`validate`](validate()) before a site is served: whether the databases have what its statements take.
//!    It blocks.
//! 2. [`OffloadService::start`] once the workers' rings exist. All threads it makes inherit the affinity of the
//!    caller: call it where control's own cores are set. It needs no runtime.
//! 3. [`OffloadService::before_new_site`] before any worker has a new site: the files that its paths name now are
//!    opened. It blocks. Offloads of earlier sites go on reading theirs.
//! 4. [`OffloadService::on_new_site`] right after it was sent to all workers: the cache is emptied, statements
//!    are prepared. Offloads of the old site are still answered.
//! 5. [`OffloadService::on_old_sites_gone`] when nobody has anything of some site any more: its files are closed.
//! 6. [`OffloadService::readings`] at any time, from any thread.
//! 7. [`OffloadService::stop`] after the workers have ended. It blocks for as long as a body takes to compress,
//!    and up to 200 ms for closing the connections to PostgreSQL.

mod cache;
mod completer;
mod compress;
mod counters;
mod dispatcher;
mod job;
mod log_limits;
mod postgres;
mod responder;
mod retire_list;
mod sqlite;
mod statement_log;
mod submissions;
#[cfg(test)]
mod testkit;
#[cfg(test)]
mod tests;
mod threads;
mod validate;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dpdk::Tsc;
use engine::control_queue;
use engine::sleep::Waker;
use handlers::{Site, SiteHandle};

use crate::config::{ComputePlan, Plan, PostgresPlan, SqlitePlan};

pub(crate) use self::counters::OffloadReadings;
pub(crate) use self::validate::{REACH_TIMEOUT, StatementError, validate};

use self::cache::Cache;
use self::completer::Completer;
use self::compress::CompressPool;
use self::counters::Counters;
use self::dispatcher::{Backends, Dispatcher, DispatcherSleep, Timeouts};
use self::postgres::Postgres;
use self::responder::Responder;
use self::retire_list::RetireList;
use self::sqlite::Sqlite;
use self::submissions::{Dispatch, Submissions};
use self::threads::Threads;

/// What a plan says about all this.
#[derive(Clone, Debug)]
struct Parts {
    postgres: PostgresPlan,
    sqlite: SqlitePlan,
    compute: ComputePlan,
    cache_entries: usize,
}

impl Parts {
    fn of(plan: &Plan) -> Self {
        Self {
            postgres: plan.postgres.clone(),
            sqlite: plan.sqlite,
            compute: plan.compute,
            cache_entries: plan.cache_entries,
        }
    }
}

/// All back ends and the dispatcher, running.
#[derive(Debug)]
pub(crate) struct OffloadService {
    backends: Arc<Backends>,
    completer: Arc<Completer>,
    dispatcher: Threads,
    /// Ends the dispatcher's sleep.
    waker: Waker,
    stopping: Arc<AtomicBool>,
}

/// Control's ends of one worker's rings: submissions and completions.
pub(crate) type Rings =
    (control_queue::Submissions<SiteHandle>, control_queue::Completions<SiteHandle>);

impl OffloadService {
    /// Starts all threads, for workers with these rings and this clock that serve `site`.
    ///
    /// # Errors
    /// The system has no thread or no files to give.
    pub(crate) fn start(
        plan: &Plan,
        rings: Vec<Rings>,
        tsc: Tsc,
        site: &Arc<Site>,
    ) -> io::Result<Self> {
        Self::start_with(&Parts::of(plan), rings, tsc, site)
    }

    fn start_with(plan: &Parts, rings: Vec<Rings>, tsc: Tsc, site: &Arc<Site>) -> io::Result<Self> {
        let counters = Arc::new(Counters::default());
        let retire_list = Arc::new(RetireList::default());
        let (submissions, completions): (Vec<_>, Vec<_>) = rings.into_iter().unzip();
        let (sleep, waker) = DispatcherSleep::new();
        submissions.iter().for_each(|ring| ring.wake_with(waker.clone()));
        let submissions = Arc::new(Submissions::new(submissions, tsc));
        let completer = Arc::new(Completer {
            responder: Responder::new(completions, &retire_list, &counters),
            cache: Cache::new(plan.cache_entries, site, &retire_list, &counters),
            counters,
            submissions: Arc::clone(&submissions),
        });
        let backends = Arc::new(Backends {
            postgres: Postgres::start(&plan.postgres, site, &completer)?,
            sqlite: Sqlite::start(&plan.sqlite, site, &completer)?,
            compress: CompressPool::start(&plan.compute, &completer)?,
        });
        let stopping = Arc::new(AtomicBool::new(false));
        let dispatcher = Arc::new(Dispatcher {
            backends: Arc::clone(&backends),
            completer: Arc::clone(&completer),
            retire_list,
            timeouts: Timeouts { postgres: plan.postgres.timeout, sqlite: plan.sqlite.timeout },
            stopping: Arc::clone(&stopping),
            sleep,
        });
        let delivers_to: Arc<dyn Dispatch> = Arc::<Dispatcher>::clone(&dispatcher);
        submissions.deliver_to(Arc::downgrade(&delivers_to));
        let threads = Threads::default();
        threads.start("dispatcher".into(), move || dispatcher.work())?;
        Ok(Self { backends, completer, dispatcher: threads, waker, stopping })
    }

    /// Another site will be sent to the workers. It blocks.
    pub(crate) fn before_new_site(&self, site: &Arc<Site>) {
        self.backends.sqlite.open(site);
    }

    /// The site was sent to all workers.
    pub(crate) fn on_new_site(&self, site: &Arc<Site>) {
        self.completer.cache.renew(site);
        self.backends.sqlite.renew();
        self.backends.postgres.renew(site);
    }

    /// Sites were dropped.
    pub(crate) fn on_old_sites_gone(&self) {
        self.backends.sqlite.sweep();
    }

    /// Every counter, for the statistics.
    pub(crate) fn readings(&self) -> OffloadReadings {
        self.completer.counters.readings()
    }

    /// Ends all threads. What is under way is not answered: nobody waits for it any more.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.waker.wake();
        self.dispatcher.join();
        self.backends.postgres.stop();
        self.backends.sqlite.stop();
        self.backends.compress.stop();
    }
}
