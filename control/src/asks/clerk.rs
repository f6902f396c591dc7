//! The thread that takes asks from the workers and hands them on.
//!
//! While asks come, no core makes a system call to wake anybody: the clerk looks again after a nap of tens of
//! microseconds. When none came for a while it sleeps, and the next one wakes it ([`ClerkSleep`]). A nap is dear where
//! timers are (nine microseconds of processor time in a virtual machine), so everybody who has just
//! answered something looks too ([`Clerk::help`]), and while others do, the clerk naps longer.
//!
//! What is in the cache and what is wrong with a request is answered right here; everything else goes to
//! whoever runs it, and the clerk never waits for that. Besides, it lets go of answers that were sent.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use engine::link::Asks as Line;
use engine::sleep::{self, SleepFlag, Waker};
use handlers::config::Database;
use handlers::query::Bound;
use handlers::{JobKind, Offload, RenderedResponse, Response, SiteHandle};

use super::cache::{Found, Token};
use super::lent::{Lent, Shelves};
use super::office::{Job, Office};
use super::outbox::Asker;
use super::postgres::Postgres;
use super::press::{Presses, Sheet};
use super::readings::Tally;
use super::sqlite::Sqlite;

/// Everybody who runs what is asked.
#[derive(Debug)]
pub(crate) struct Desks {
    /// Statements of PostgreSQL.
    pub(crate) postgres: Postgres,
    /// Statements of SQLite.
    pub(crate) sqlite: Sqlite,
    /// Bodies to compress.
    pub(crate) presses: Presses,
}

/// The clerk.
#[derive(Debug)]
pub(crate) struct Clerk {
    /// By worker.
    pub(crate) lines: Vec<Line<SiteHandle>>,
    /// Who runs what is asked.
    pub(crate) desks: Arc<Desks>,
    /// What all share.
    pub(crate) office: Arc<Office>,
    /// Answers that were lent.
    pub(crate) lent: Arc<Lent>,
    /// How long a statement may take, from here to its answer.
    pub(crate) patience: Patience,
    /// Set when nobody asks any more.
    pub(crate) stopping: Arc<AtomicBool>,
    /// When others looked.
    pub(crate) others: Others,
    /// While it sleeps, a worker that asks ends that.
    pub(crate) sleep: ClerkSleep,
}

/// How a clerk that nobody asks anything sleeps, and is woken by whoever does.
#[derive(Debug)]
pub(crate) struct ClerkSleep {
    flag: SleepFlag,
    /// The clerk's own thread, once it works.
    thread: Arc<OnceLock<Thread>>,
}

impl ClerkSleep {
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
        self.thread.set(thread::current()).expect("there is one clerk");
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

/// When somebody other than the clerk last looked.
#[derive(Debug)]
pub(crate) struct Others {
    began: Instant,
    /// Microseconds after `began`.
    last: AtomicU64,
}

impl Others {
    /// Nobody has looked yet.
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), last: AtomicU64::new(0) }
    }

    /// Whether it is time to look again; if so, somebody does.
    fn take_turn(&self, now: Instant) -> bool {
        let micros = self.micros(now);
        let last = self.last.load(Ordering::Relaxed);
        micros >= last + LOOK_EVERY_MICROS
            && self
                .last
                .compare_exchange(last, micros, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// Whether somebody has looked a moment ago.
    fn look(&self, now: Instant) -> bool {
        self.micros(now) < self.last.load(Ordering::Relaxed) + HELPED_MICROS
    }

    fn micros(&self, now: Instant) -> u64 {
        let micros = now.saturating_duration_since(self.began).as_micros();
        u64::try_from(micros).unwrap_or(u64::MAX)
    }
}

/// How long a statement may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Of PostgreSQL.
    pub(crate) postgres: Duration,
    /// Of SQLite.
    pub(crate) sqlite: Duration,
}

/// What can be said of an ask at once.
enum Next {
    /// A body is to be made.
    Press,
    /// Something is wrong with the request.
    Refuse(RenderedResponse),
    /// It was answered a moment ago.
    Again(Arc<RenderedResponse>),
    /// A statement is to be run.
    Run(Kind, Bound, Option<Token>),
}

#[derive(Clone, Copy)]
enum Kind {
    Postgres,
    Sqlite,
}

impl Clerk {
    /// Works until it is told to stop.
    pub(crate) fn work(&self) {
        // The default slack of 50 us would double a nap. A longer nap is all a refusal costs.
        let _ = nix::sys::prctl::set_timerslack(TIMER_SLACK_NS);
        self.sleep.begin();
        let (mut shelves, mut delayed) = (Shelves::default(), VecDeque::new());
        let mut now = Instant::now();
        let (mut last_ask, mut last_sweep) = (now, now);
        while !self.stopping.load(Ordering::Relaxed) {
            self.office.outbox.retry(&mut delayed, now);
            let taken = self.turn(now);
            if now >= last_sweep + SWEEP_EVERY {
                last_sweep = now;
                shelves.sweep(&self.lent, &self.office.tallies);
            }
            if taken > 0 {
                last_ask = now;
            } else {
                let is_awake = !delayed.is_empty() || now < last_ask + AWAKE_FOR;
                let is_lent = self.office.tallies.responses_lent.value() > 0;
                match (is_awake, is_lent) {
                    (true, _) => thread::sleep(self.nap(now)),
                    (false, true) => thread::sleep(LONG_NAP),
                    (false, false) => {
                        let found = self.sleep.until_woken(|| {
                            self.turn(now) > 0 || self.stopping.load(Ordering::Relaxed)
                        });
                        if found {
                            last_ask = now;
                        }
                    }
                }
            }
            now = Instant::now();
        }
    }

    /// How long a nap may be: where others look, the more they still have to answer, and so to look
    /// again, the longer.
    fn nap(&self, now: Instant) -> Duration {
        if !self.others.look(now) {
            return NAP;
        }
        let tallies = &self.office.tallies;
        let asked = [
            &tallies.postgres_under_way,
            &tallies.postgres_waiting,
            &tallies.sqlite_under_way,
            &tallies.sqlite_waiting,
        ];
        let asked: u64 = asked.into_iter().map(Tally::value).sum();
        let nap = NAP_FOR_EACH.saturating_mul(u32::try_from(asked).unwrap_or(u32::MAX));
        nap.clamp(NAP, LONG_NAP)
    }

    /// A look by somebody else, unless somebody has just looked.
    pub(crate) fn help(&self, now: Instant) {
        if self.others.take_turn(now) {
            self.turn(now);
        }
    }

    /// One look at every line; how many asks there were.
    fn turn(&self, now: Instant) -> usize {
        let mut taken = 0;
        for (worker, line) in self.lines.iter().enumerate() {
            for (id, ask) in std::iter::from_fn(|| line.poll()).take(ROUND_MAX) {
                self.take(Asker { worker, id }, ask, now);
                taken += 1;
            }
        }
        taken
    }

    fn take(&self, asker: Asker, ask: Offload, now: Instant) {
        let Self { desks, office, patience, .. } = self;
        match self.judge(&ask, now) {
            Next::Press => desks.presses.run(Sheet { asker, ask }),
            Next::Refuse(answer) => {
                drop(ask);
                office.outbox.answer(asker, answer);
            }
            Next::Again(answer) => {
                drop(ask);
                office.outbox.answer_kept(asker, Response::rendered(answer));
            }
            Next::Run(kind, bound, token) => {
                let patience = match kind {
                    Kind::Postgres => patience.postgres,
                    Kind::Sqlite => patience.sqlite,
                };
                let deadline = now + patience;
                let job = Job { asker, ask, bound, token, deadline, failures: 0, lost_at: None };
                match kind {
                    Kind::Postgres => desks.postgres.run(job),
                    Kind::Sqlite => desks.sqlite.run(job),
                }
            }
        }
    }

    fn judge(&self, ask: &Offload, now: Instant) -> Next {
        let Office { cache, tallies, .. } = &*self.office;
        let (query, inputs) = match ask.job_kind() {
            JobKind::Query(query, inputs) => (query, inputs),
            JobKind::Compress(_) => {
                tallies.offloads_compress.up();
                return Next::Press;
            }
        };
        let kind = match query.database() {
            Database::Postgres => {
                tallies.offloads_postgres.up();
                Kind::Postgres
            }
            Database::Sqlite(_) => {
                tallies.offloads_sqlite.up();
                Kind::Sqlite
            }
        };
        let bound = match query.bind(&inputs) {
            Ok(bound) => bound,
            Err(answer) => {
                tallies.offloads_rejected.up();
                return Next::Refuse(answer);
            }
        };
        if query.cache().is_none() {
            return Next::Run(kind, bound, None);
        }
        let key = query.cache_key(&bound, inputs.accepted());
        match cache.lookup(ask.site(), ask.route(), key, now) {
            Found::Hit(answer) => Next::Again(answer),
            Found::Miss(token) => Next::Run(kind, bound, Some(token)),
            Found::Stranger => Next::Run(kind, bound, None),
        }
    }
}

/// Asks of one worker before the next one has its turn.
const ROUND_MAX: usize = 64;
const NAP: Duration = Duration::from_micros(50);
/// Of a helped clerk, for each statement that is asked: less than it takes to answer one.
const NAP_FOR_EACH: Duration = Duration::from_micros(8);
const LONG_NAP: Duration = Duration::from_micros(500);
/// The longest sleep. Nothing waits for its end: whoever has something to do wakes the clerk.
const SLEEP_MAX: Duration = Duration::from_millis(100);
/// Looks of others less than this apart are one.
const LOOK_EVERY_MICROS: u64 = 20;
/// How long the last look of others counts.
const HELPED_MICROS: u64 = 2000;
/// How long naps stay short after the last ask.
const AWAKE_FOR: Duration = Duration::from_millis(100);
const SWEEP_EVERY: Duration = Duration::from_millis(4);
/// As precise as the kernel's timers are.
const TIMER_SLACK_NS: std::ffi::c_ulong = 1;
