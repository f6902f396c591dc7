//! The thread that takes offloads from the workers and hands them to the back ends.
//!
//! While offloads come, no core makes a system call to wake anybody: the dispatcher polls again after a nap of
//! tens of microseconds. When none came for a while it sleeps, and the next one wakes it ([`DispatcherSleep`]).
//! A nap is dear where timers are (nine microseconds of processor time in a virtual machine), so back ends
//! that have just answered something poll too ([`Submissions::poll_if_due`]), and while they do, the dispatcher naps
//! longer.
//!
//! What is in the cache and what is wrong with a request is answered right here; everything else goes to a
//! back end, and the dispatcher never waits for one. Besides, it frees responses that were sent.
//!
//! [`Submissions::poll_if_due`]: super::submissions::Submissions::poll_if_due

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use engine::sleep::{self, SleepFlag, Waker};
use handlers::config::Database;
use handlers::query::Bound;
use handlers::{JobKind, Offload, RenderedResponse, Response};

use super::cache::Found;
use super::completer::Completer;
use super::compress::{CompressJob, CompressPool};
use super::counters::Counter;
use super::job::Job;
use super::postgres::Postgres;
use super::responder::Requester;
use super::retire_list::{RetireList, RetiredByAge};
use super::sqlite::Sqlite;
use super::submissions::Dispatch;

/// The back ends: whoever runs an offload.
#[derive(Debug)]
pub(crate) struct Backends {
    /// Statements of PostgreSQL.
    pub(crate) postgres: Postgres,
    /// Statements of SQLite.
    pub(crate) sqlite: Sqlite,
    /// Bodies to compress.
    pub(crate) compress: CompressPool,
}

/// Takes offloads from the workers and hands them on.
#[derive(Debug)]
pub(crate) struct Dispatcher {
    /// Where offloads go.
    pub(crate) backends: Arc<Backends>,
    /// Answers what needs no back end.
    pub(crate) completer: Arc<Completer>,
    /// Responses that workers may still be sending.
    pub(crate) retire_list: Arc<RetireList>,
    /// How long a statement may take, from when its request was parked to its completion.
    pub(crate) timeouts: Timeouts,
    /// Set when no worker submits any more.
    pub(crate) stopping: Arc<AtomicBool>,
    /// While it sleeps, a worker that submits ends that.
    pub(crate) sleep: DispatcherSleep,
}

/// How a dispatcher without offloads sleeps, and is woken by the worker that submits one.
#[derive(Debug)]
pub(crate) struct DispatcherSleep {
    flag: SleepFlag,
    /// The dispatcher's own thread, once it works.
    thread: Arc<OnceLock<Thread>>,
}

impl DispatcherSleep {
    /// A sleep, and what ends it.
    pub(crate) fn new() -> (Self, Waker) {
        let thread = Arc::new(OnceLock::<Thread>::new());
        let sleeper = Arc::clone(&thread);
        let (flag, waker) = sleep::pair(move || {
            if let Some(thread) = sleeper.get() {
                thread.unpark();
            }
        });
        (Self { flag, thread }, waker)
    }

    /// This thread is the one that sleeps.
    fn begin(&self) {
        self.thread.set(thread::current()).expect("there is one dispatcher");
    }

    /// Sleeps until somebody wakes it, at most [`SLEEP_MAX`]; not at all if `look` finds something to do,
    /// which is what it returns.
    fn until_woken(&self, look: impl FnOnce() -> bool) -> bool {
        self.flag.set();
        // What was asked before the flag was seen is found here; what comes later ends the sleep.
        let found = look();
        if !found {
            thread::park_timeout(SLEEP_MAX);
        }
        self.flag.clear();
        found
    }
}

/// How long a statement may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// Of PostgreSQL.
    pub(crate) postgres: Duration,
    /// Of SQLite.
    pub(crate) sqlite: Duration,
}

/// What becomes of an offload.
enum Next {
    /// A body is to be made.
    Compress,
    /// Something is wrong with the request.
    Refuse(RenderedResponse),
    /// A statement is to be run with these values and in this time, unless there is a response with this key.
    Run(Bound, Duration, Option<Vec<u8>>),
}

impl Backends {
    /// Counts `job` as waiting in its back end, if as many as allowed are not.
    fn admit(&self, job: &Job) -> bool {
        match job.query().database() {
            Database::Postgres => self.postgres.admit(),
            Database::Sqlite(_) => self.sqlite.admit(),
        }
    }

    fn run(&self, job: Job) {
        match job.query().database() {
            Database::Postgres => self.postgres.run(job),
            Database::Sqlite(_) => self.sqlite.run(job),
        }
    }

    /// Runs a job that was [admitted](Self::admit).
    fn run_admitted(&self, job: Job) {
        match job.query().database() {
            Database::Postgres => self.postgres.run_admitted(job),
            Database::Sqlite(_) => self.sqlite.run_admitted(job),
        }
    }
}

impl Dispatcher {
    /// Works until `stopping` is set.
    pub(crate) fn work(&self) {
        // The default slack of 50 us would double a nap. A longer nap is all a refusal costs.
        let _ = nix::sys::prctl::set_timerslack(TIMER_SLACK_NS);
        self.sleep.begin();
        let (mut retired, mut delayed) = (RetiredByAge::default(), VecDeque::new());
        let mut now = Instant::now();
        let (mut last_offload, mut last_sweep) = (now, now);
        while !self.stopping.load(Ordering::Relaxed) {
            self.completer.responder.retry(&mut delayed, now);
            let taken = self.completer.submissions.poll(now);
            if now >= last_sweep + SWEEP_EVERY {
                last_sweep = now;
                retired.sweep(&self.retire_list, &self.completer.counters);
                self.completer.expire_waiters(now);
            }
            if taken > 0 {
                last_offload = now;
            } else {
                let is_awake = !delayed.is_empty() || now < last_offload + AWAKE_FOR;
                let counters = &self.completer.counters;
                let is_looked_after =
                    counters.responses_in_use.value() > 0 || counters.cache_waiting.value() > 0;
                match (is_awake, is_looked_after) {
                    (true, _) => thread::sleep(self.nap(now)),
                    (false, true) => thread::sleep(LONG_NAP),
                    (false, false) => {
                        let found = self.sleep.until_woken(|| {
                            self.completer.submissions.poll(now) > 0
                                || self.stopping.load(Ordering::Relaxed)
                        });
                        if found {
                            last_offload = now;
                        }
                    }
                }
            }
            now = Instant::now();
        }
    }

    /// How long a nap may be: where back ends poll, the more they still have to answer, and so to poll
    /// again, the longer.
    fn nap(&self, now: Instant) -> Duration {
        if !self.completer.submissions.were_polled_recently(now) {
            return NAP;
        }
        let counters = &self.completer.counters;
        let under_way = [
            &counters.postgres_under_way,
            &counters.postgres_waiting,
            &counters.sqlite_under_way,
            &counters.sqlite_waiting,
        ];
        let under_way: u64 = under_way.into_iter().map(Counter::value).sum();
        let nap = NAP_FOR_EACH.saturating_mul(u32::try_from(under_way).unwrap_or(u32::MAX));
        nap.clamp(NAP, LONG_NAP)
    }
}

impl Dispatch for Dispatcher {
    fn dispatch(&self, requester: Requester, offload: Offload, parked: Instant, now: Instant) {
        let Self { backends, completer, .. } = self;
        match self.classify(&offload) {
            Next::Compress => backends.compress.run(CompressJob { requester, offload }),
            Next::Refuse(response) => {
                drop(offload);
                completer.responder.response(requester, response);
            }
            Next::Run(bound, limit, key) => {
                let (token, deadline) = (None, parked + limit);
                let job =
                    Job { requester, offload, bound, token, deadline, failures: 0, lost_at: None };
                self.run(job, key, now);
            }
        }
    }

    fn run_waiter(&self, job: Job) {
        self.backends.run_admitted(job);
    }
}

impl Dispatcher {
    fn classify(&self, offload: &Offload) -> Next {
        let counters = &self.completer.counters;
        let (query, inputs) = match offload.job_kind() {
            JobKind::Query(query, inputs) => (query, inputs),
            JobKind::Compress(_) => {
                counters.offloads_compress.up();
                return Next::Compress;
            }
        };
        let limit = match query.database() {
            Database::Postgres => {
                counters.offloads_postgres.up();
                self.timeouts.postgres
            }
            Database::Sqlite(_) => {
                counters.offloads_sqlite.up();
                self.timeouts.sqlite
            }
        };
        match query.bind(&inputs) {
            Ok(bound) => {
                let is_cached = query.cache().is_some();
                let key = is_cached.then(|| query.cache_key(&bound, inputs.accepted()));
                Next::Run(bound, limit, key)
            }
            Err(response) => {
                counters.offloads_rejected.up();
                Next::Refuse(response)
            }
        }
    }

    /// Answers `job` with what the cache has for `key`, has it wait for that, or runs its statement.
    fn run(&self, job: Job, key: Option<Vec<u8>>, now: Instant) {
        let Self { backends, completer, .. } = self;
        let cache = &completer.cache;
        let place = key.map(|key| cache.place(job.offload.site(), job.offload.route(), key));
        let Some(place) = place else { return backends.run(job) };
        match cache.lookup(place, now, job, |job| backends.admit(job)) {
            Found::Hit(job, response) => {
                let requester = job.requester;
                drop(job);
                completer.responder.respond_shared(requester, Response::rendered(response));
            }
            Found::Waiting => {}
            Found::Miss(mut job, token) => {
                job.token = Some(token);
                backends.run(job);
            }
            Found::Uncached(job) => backends.run(job),
        }
    }
}

const NAP: Duration = Duration::from_micros(50);
/// While back ends poll, for each statement under way: less than it takes to answer one.
const NAP_FOR_EACH: Duration = Duration::from_micros(8);
const LONG_NAP: Duration = Duration::from_micros(500);
/// The longest sleep. Nothing waits for its end: whoever has something to do wakes the dispatcher.
const SLEEP_MAX: Duration = Duration::from_millis(100);
/// How long naps stay short after the last offload.
const AWAKE_FOR: Duration = Duration::from_millis(100);
const SWEEP_EVERY: Duration = Duration::from_millis(4);
/// As precise as the kernel's timers are.
const TIMER_SLACK_NS: std::ffi::c_ulong = 1;
