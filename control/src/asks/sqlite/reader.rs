//! One thread that asks SQLite, with connections of its own.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use crossbeam::channel::Receiver;
use handlers::RenderedResponse;
use handlers::config::Database;
use handlers::query::Query;
use http1::Status;
use rusqlite::Error;

use super::cells::{Cells, places};
use super::file::{Clock, Fault, File, spell};
use super::files::Files;
use crate::asks::office::{ANSWER_BYTES_MAX, FAILED, Job, Office};

/// What all readers are told.
#[derive(Debug, Default)]
pub(super) struct Orders {
    /// Grows with each edition.
    pub(super) edition: AtomicU64,
    /// Everything ends.
    pub(super) stopping: Arc<AtomicBool>,
}

/// A thread's own.
#[derive(Debug)]
pub(super) struct Reader {
    files: Files,
    /// The edition the files were looked at in.
    edition: u64,
    clock: Arc<Clock>,
    orders: Arc<Orders>,
    office: Arc<Office>,
}

/// What became of a job.
enum Verdict {
    Rows(RenderedResponse),
    Other(RenderedResponse),
    Unavailable,
}

impl Reader {
    /// A reader that has nothing open. At most `mmap` bytes of each file will be mapped.
    pub(super) fn new(mmap: u64, orders: &Arc<Orders>, office: &Arc<Office>) -> Self {
        let clock = Arc::new(Clock::new(Arc::clone(&orders.stopping)));
        Self {
            files: Files::new(mmap, &clock, office),
            edition: orders.edition.load(Ordering::Relaxed),
            clock,
            orders: Arc::clone(orders),
            office: Arc::clone(office),
        }
    }

    /// Runs jobs until there is nobody left to send any.
    pub(super) fn work(mut self, jobs: &Receiver<Job>) {
        for job in jobs {
            self.office.tallies.sqlite_waiting.down();
            self.office.tallies.sqlite_under_way.up();
            let verdict = self.decide(&job);
            // Before the answer: who has it finds no thread busy with it any more.
            self.office.tallies.sqlite_under_way.down();
            self.answer(job, verdict);
            self.office.help();
        }
    }

    fn decide(&mut self, job: &Job) -> Verdict {
        let now = Instant::now();
        if job.deadline <= now {
            return self.give_up(job.query(), Fault::Late);
        }
        self.look_around(job);
        self.run(job, now)
    }

    fn answer(&self, job: Job, verdict: Verdict) {
        match verdict {
            Verdict::Rows(answer) => self.office.answer_rows(job, answer),
            Verdict::Other(answer) => self.office.answer_other(job, answer),
            Verdict::Unavailable => {
                self.office.tallies.sqlite_unavailable.up();
                let answer = job.query().unavailable();
                self.office.answer_other(job, answer);
            }
        }
    }

    /// In another edition: closes what is not asked for any more and what was replaced.
    fn look_around(&mut self, job: &Job) {
        let edition = self.orders.edition.load(Ordering::Relaxed);
        if edition != self.edition {
            self.edition = edition;
            let site = job.ask.site();
            self.files.renew(|path| site.queries().any(|(_, query)| path_of(query) == Some(path)));
        }
    }

    fn run(&mut self, job: &Job, now: Instant) -> Verdict {
        self.clock.set(job.deadline);
        let query = job.query();
        let path = path_of(query).expect("the clerk sends what is for SQLite");
        let ran = match self.files.open(path, now) {
            Ok(file) => run_on(file, job, &self.office),
            Err(fault) => return self.give_up(query, fault),
        };
        match ran {
            Ok(verdict) => verdict,
            Err(error) => {
                let fault = Fault::of(&error);
                match fault {
                    Fault::Missing | Fault::Damaged => {
                        self.files.shut(path, fault, &spell(&error), now);
                    }
                    Fault::Busy | Fault::Statement => {
                        tell(&self.office, query, &spell(&error), now)
                    }
                    Fault::Late => {}
                }
                self.give_up(query, fault)
            }
        }
    }

    fn give_up(&self, query: &Query, fault: Fault) -> Verdict {
        let tallies = &self.office.tallies;
        match fault {
            Fault::Late => {
                tallies.sqlite_timed_out.up();
                Verdict::Unavailable
            }
            Fault::Busy | Fault::Missing => Verdict::Unavailable,
            Fault::Damaged | Fault::Statement => {
                tallies.sqlite_errors.up();
                Verdict::Other(query.failed(Status::S500, FAILED))
            }
        }
    }
}

fn run_on(file: &File, job: &Job, office: &Office) -> Result<Verdict, Error> {
    let query = job.query();
    let mut rows = query.begin(&job.bound);
    let mut found = None;
    let mut problem = None;
    file.run(query, &query.arguments(&job.bound), |row| {
        // Of the rows, not of the statement: where a table was altered, SQLite has prepared it anew.
        let known =
            found.get_or_insert_with(|| places(&row.as_ref().column_names(), query.columns()));
        let pushed = match known {
            Ok(places) => rows.push(&Cells { row, places }).map_err(|error| error.to_string()),
            Err(problem) => Err(problem.clone()),
        };
        problem = pushed.err();
        if problem.is_none() && rows.bytes() > ANSWER_BYTES_MAX {
            problem = Some(format!("its rows are more than {ANSWER_BYTES_MAX} bytes of JSON"));
        }
        if problem.is_some() || rows.is_full() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    Ok(match problem {
        None => Verdict::Rows(rows.finish(job.accepted())),
        Some(problem) => {
            office.tallies.sqlite_schema_changed.up();
            let text = format!("statement \"{}\": {problem}", query.statement());
            if office.misfits.is_new(&text) {
                tracing::error!("SQLite: {text}");
            }
            Verdict::Other(query.failed(Status::S500, FAILED))
        }
    })
}

fn tell(office: &Office, query: &Query, problem: &str, now: Instant) {
    office.refusals.tell(now, |quiet| {
        let name = query.statement();
        tracing::error!("SQLite: statement \"{name}\": {problem} ({quiet} faults untold)");
    });
}

/// The file that `query` asks; `None` if it asks something else.
fn path_of(query: &Query) -> Option<&Path> {
    match query.database() {
        Database::Sqlite(path) => Some(path),
        Database::Postgres => None,
    }
}
