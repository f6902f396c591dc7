//! The thread that takes asks from the workers and hands them on.
//!
//! A core makes no system call to wake anybody: the clerk looks. While asks come it looks again after
//! a nap of tens of microseconds; when none came for a while, naps are longer. A nap is dear where
//! timers are (nine microseconds of processor time in a virtual machine), so everybody who has just
//! answered something looks too ([`Clerk::help`]), and while others do, the clerk naps longer.
//!
//! What is in the cache and what is wrong with a request is answered right here; everything else goes to
//! whoever runs it, and the clerk never waits for that. Besides, it lets go of answers that were sent.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use engine::link::Asks as Line;
use handlers::blueprint::Database;
use handlers::query::Bound;
use handlers::{Ask, Edition, Errand, Rendered, Reply};

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
    pub(crate) lines: Vec<Line<Edition>>,
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
    Refuse(Rendered),
    /// It was answered a moment ago.
    Again(Arc<Rendered>),
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
                thread::sleep(if is_awake { self.nap(now) } else { LONG_NAP });
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

    fn take(&self, asker: Asker, ask: Ask, now: Instant) {
        let Self { desks, office, patience, .. } = self;
        match self.judge(&ask, now) {
            Next::Press => desks.presses.run(Sheet { asker, ask }),
            Next::Refuse(answer) => {
                drop(ask);
                office.outbox.answer(asker, answer);
            }
            Next::Again(answer) => {
                drop(ask);
                office.outbox.answer_kept(asker, Reply::rendered(answer));
            }
            Next::Run(kind, bound, token) => {
                let patience = match kind {
                    Kind::Postgres => patience.postgres,
                    Kind::Sqlite => patience.sqlite,
                };
                let deadline = now + patience;
                let job = Job { asker, ask, bound, token, deadline, sent: 0 };
                match kind {
                    Kind::Postgres => desks.postgres.run(job),
                    Kind::Sqlite => desks.sqlite.run(job),
                }
            }
        }
    }

    fn judge(&self, ask: &Ask, now: Instant) -> Next {
        let Office { cache, tallies, .. } = &*self.office;
        let (query, inputs) = match ask.errand() {
            Errand::Query(query, inputs) => (query, inputs),
            Errand::Press(_) => {
                tallies.asks_press.up();
                return Next::Press;
            }
        };
        let kind = match query.database() {
            Database::Postgres => {
                tallies.asks_postgres.up();
                Kind::Postgres
            }
            Database::Sqlite(_) => {
                tallies.asks_sqlite.up();
                Kind::Sqlite
            }
        };
        let bound = match query.bind(&inputs) {
            Ok(bound) => bound,
            Err(answer) => {
                tallies.asks_refused.up();
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
/// Looks of others less than this apart are one.
const LOOK_EVERY_MICROS: u64 = 20;
/// How long the last look of others counts.
const HELPED_MICROS: u64 = 2000;
/// How long naps stay short after the last ask.
const AWAKE_FOR: Duration = Duration::from_millis(100);
const SWEEP_EVERY: Duration = Duration::from_millis(4);
/// As precise as the kernel's timers are.
const TIMER_SLACK_NS: std::ffi::c_ulong = 1;
