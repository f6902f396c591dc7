//! One thread that queries SQLite, with connections of its own.

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
use super::file::{Clock, ErrorClass, File, spell};
use super::files::Files;
use crate::offload::completer::Completer;
use crate::offload::counters::Counters;
use crate::offload::job::{FAILED, Job, RESPONSE_BYTES_MAX};
use crate::offload::statement_log::StatementLog;

/// What all readers share.
#[derive(Debug, Default)]
pub(super) struct Orders {
    /// Grows with each site.
    pub(super) site_handle: AtomicU64,
    /// Everything ends.
    pub(super) stopping: Arc<AtomicBool>,
}

/// A thread's own.
#[derive(Debug)]
pub(super) struct Reader {
    files: Files,
    /// The site the files were looked at in.
    site_handle: u64,
    clock: Arc<Clock>,
    orders: Arc<Orders>,
    completer: Arc<Completer>,
    log: Arc<StatementLog>,
}

/// What became of a job.
enum RunResult {
    Rows(RenderedResponse),
    Other(RenderedResponse),
    Unavailable,
}

impl Reader {
    /// A reader that has nothing open. At most `mmap` bytes of each file will be mapped.
    pub(super) fn new(
        mmap: u64,
        orders: &Arc<Orders>,
        completer: &Arc<Completer>,
        log: &Arc<StatementLog>,
    ) -> Self {
        let clock = Arc::new(Clock::new(Arc::clone(&orders.stopping)));
        Self {
            files: Files::new(mmap, &clock, &completer.counters, log),
            site_handle: orders.site_handle.load(Ordering::Relaxed),
            clock,
            orders: Arc::clone(orders),
            completer: Arc::clone(completer),
            log: Arc::clone(log),
        }
    }

    /// Runs jobs until there is nobody left to send any.
    pub(super) fn work(mut self, jobs: &Receiver<Job>) {
        for job in jobs {
            self.completer.counters.sqlite_waiting.down();
            self.completer.counters.sqlite_under_way.up();
            let result = self.decide(&job);
            // Before the response: who has it finds no thread busy with it any more.
            self.completer.counters.sqlite_under_way.down();
            self.response(job, result);
            self.completer.submissions.poll_if_due();
        }
    }

    fn decide(&mut self, job: &Job) -> RunResult {
        let now = Instant::now();
        if job.deadline <= now {
            return self.give_up(job.query(), ErrorClass::Late);
        }
        self.look_around(job);
        self.run(job, now)
    }

    fn response(&self, job: Job, result: RunResult) {
        match result {
            RunResult::Rows(response) => self.completer.complete_rows(job, response),
            RunResult::Other(response) => self.completer.complete_uncached(job, response),
            RunResult::Unavailable => {
                self.completer.counters.sqlite_unavailable.up();
                let response = job.query().unavailable();
                self.completer.complete_uncached(job, response);
            }
        }
    }

    /// In another site: closes what is not asked for any more and what was replaced.
    fn look_around(&mut self, job: &Job) {
        let site_handle = self.orders.site_handle.load(Ordering::Relaxed);
        if site_handle != self.site_handle {
            self.site_handle = site_handle;
            let site = job.offload.site();
            self.files.renew(|path| site.queries().any(|(_, query)| path_of(query) == Some(path)));
        }
    }

    fn run(&mut self, job: &Job, now: Instant) -> RunResult {
        self.clock.set(job.deadline);
        let query = job.query();
        let path = path_of(query).expect("the dispatcher sends what is for SQLite");
        let ran = match self.files.open(path, now) {
            Ok(file) => run_on(file, job, &self.completer.counters, &self.log),
            Err(class) => return self.give_up(query, class),
        };
        match ran {
            Ok(result) => result,
            Err(error) => {
                let class = ErrorClass::of(&error);
                match class {
                    ErrorClass::Missing | ErrorClass::Damaged => {
                        self.files.shut(path, class, &spell(&error), now);
                    }
                    ErrorClass::Busy | ErrorClass::Statement => {
                        self.log.refused(query, &spell(&error), now);
                    }
                    ErrorClass::Late => {}
                }
                self.give_up(query, class)
            }
        }
    }

    fn give_up(&self, query: &Query, class: ErrorClass) -> RunResult {
        let counters = &self.completer.counters;
        match class {
            ErrorClass::Late => {
                counters.sqlite_timed_out.up();
                RunResult::Unavailable
            }
            ErrorClass::Busy | ErrorClass::Missing => RunResult::Unavailable,
            ErrorClass::Damaged | ErrorClass::Statement => {
                counters.sqlite_errors.up();
                RunResult::Other(query.failed(Status::S500, FAILED))
            }
        }
    }
}

fn run_on(
    file: &File,
    job: &Job,
    counters: &Counters,
    log: &StatementLog,
) -> Result<RunResult, Error> {
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
        if problem.is_none() && rows.bytes() > RESPONSE_BYTES_MAX {
            problem = Some(format!("its rows are more than {RESPONSE_BYTES_MAX} bytes of JSON"));
        }
        if problem.is_some() || rows.is_full() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    Ok(match problem {
        None => RunResult::Rows(rows.finish(job.accepted())),
        Some(problem) => {
            counters.sqlite_schema_changed.up();
            log.schema_changed(query, &problem);
            RunResult::Other(query.failed(Status::S500, FAILED))
        }
    })
}

/// The file that `query` reads; `None` if it is of another database.
fn path_of(query: &Query) -> Option<&Path> {
    match query.database() {
        Database::Sqlite(path) => Some(path),
        Database::Postgres => None,
    }
}
