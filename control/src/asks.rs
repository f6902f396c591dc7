//! Everything that answers what a dataplane core cannot: PostgreSQL, SQLite, compression per request.
//!
//! ```text
//! worker -> ask ring -> clerk -> cache: hit ------------------------------+
//!                         |----> postgres (lanes: tokio, pipelined) ------|
//!                         |----> sqlite (threads) ------------------------+--> outbox -> answer ring
//!                         +----> press (threads) -------------------------+        \
//!                                                                                   +-> lent
//! ```
//!
//! A core never waits, wakes or frees: the [`clerk`] looks into the rings of asks; whoever has an answer
//! pushes it itself ([`outbox`]), and what was lent is dropped here when it came back ([`lent`]). Every
//! bound has a counter ([`readings`]).
//!
//! For the rest of control, in this order:
//!
//! 1. [`vet`] before a site is served: what its statements ask for is there. It blocks.
//! 2. [`Asks::start`] once the workers' links exist. All threads it makes inherit the affinity of the
//!    caller: call it where control's own cores are set. It needs no runtime.
//! 3. [`Asks::on_edition`] right after a new edition was sent to all workers: the cache is emptied,
//!    statements are prepared, replaced files are opened anew. Asks of the old edition are still answered.
//! 4. [`Asks::readings`] at any time, from any thread.
//! 5. [`Asks::stop`] after the workers have ended. It blocks for as long as a body takes to compress, and
//!    up to 200 ms for good-byes to PostgreSQL.

mod cache;
mod check;
mod clerk;
mod lent;
mod office;
mod outbox;
mod postgres;
mod press;
mod readings;
#[cfg(test)]
mod rehearsal;
mod sqlite;
#[cfg(test)]
mod tests;
mod threads;
mod told;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use engine::link;
use engine::sleep::Waker;
use handlers::{Site, SiteHandle};

use crate::config::{ComputePlan, Plan, PostgresPlan, SqlitePlan};

pub(crate) use self::check::{Fault, REACH_PATIENCE, vet};
pub(crate) use self::readings::AsksReadings;

use self::cache::Cache;
use self::clerk::{Clerk, ClerkSleep, Desks, Others, Patience};
use self::lent::Lent;
use self::office::Office;
use self::outbox::Outbox;
use self::postgres::Postgres;
use self::press::Presses;
use self::readings::Tallies;
use self::sqlite::Sqlite;
use self::threads::Threads;
use self::told::{Often, Once};

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

/// All of it, running.
#[derive(Debug)]
pub(crate) struct Asks {
    desks: Arc<Desks>,
    office: Arc<Office>,
    clerk: Threads,
    /// Ends the clerk's sleep.
    waker: Waker,
    stopping: Arc<AtomicBool>,
}

/// Control's ends of one worker's link: what it asks, and the way of the answers.
pub(crate) type Line = (link::Asks<SiteHandle>, link::Answers<SiteHandle>);

impl Asks {
    /// Starts all threads, for workers with these links that serve `site`.
    ///
    /// # Errors
    /// The system has no thread or no files to give.
    pub(crate) fn start(plan: &Plan, lines: Vec<Line>, site: &Arc<Site>) -> io::Result<Self> {
        Self::start_with(&Parts::of(plan), lines, site)
    }

    fn start_with(plan: &Parts, lines: Vec<Line>, site: &Arc<Site>) -> io::Result<Self> {
        let (tallies, lent) = (Arc::new(Tallies::default()), Arc::new(Lent::default()));
        let (asks, answers): (Vec<_>, Vec<_>) = lines.into_iter().unzip();
        let office = Arc::new(Office {
            outbox: Outbox::new(answers, &lent, &tallies),
            cache: Cache::new(plan.cache_entries, site, &lent, &tallies),
            tallies,
            misfits: Once::default(),
            refusals: Often::new(),
            clerk: OnceLock::new(),
        });
        let desks = Arc::new(Desks {
            postgres: Postgres::start(&plan.postgres, site, &office)?,
            sqlite: Sqlite::start(&plan.sqlite, &office)?,
            presses: Presses::start(&plan.compute, &office)?,
        });
        let stopping = Arc::new(AtomicBool::new(false));
        let (sleep, waker) = ClerkSleep::new();
        asks.iter().for_each(|line| line.wake_with(waker.clone()));
        let clerk = Arc::new(Clerk {
            lines: asks,
            desks: Arc::clone(&desks),
            office: Arc::clone(&office),
            lent,
            patience: Patience { postgres: plan.postgres.timeout, sqlite: plan.sqlite.timeout },
            stopping: Arc::clone(&stopping),
            others: Others::new(),
            sleep,
        });
        office.clerk.set(Arc::downgrade(&clerk)).expect("there is one clerk");
        let threads = Threads::default();
        threads.start("clerk".into(), move || clerk.work())?;
        Ok(Self { desks, office, clerk: threads, waker, stopping })
    }

    /// Another edition was sent to all workers.
    pub(crate) fn on_edition(&self, site: &Arc<Site>) {
        self.office.misfits.forget();
        self.office.cache.renew(site);
        self.desks.sqlite.renew();
        self.desks.postgres.renew(site);
    }

    /// The numbers, for the statistics.
    pub(crate) fn readings(&self) -> AsksReadings {
        self.office.tallies.readings()
    }

    /// Ends all threads. What is under way is not answered: nobody waits for it any more.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.waker.wake();
        self.clerk.join();
        self.desks.postgres.stop();
        self.desks.sqlite.stop();
        self.desks.presses.stop();
    }
}
