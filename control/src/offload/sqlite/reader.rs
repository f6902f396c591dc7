//! One thread that queries SQLite.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use crossbeam::channel::Receiver;
use handlers::RenderedResponse;
use handlers::query::Query;
use http1::Status;
use rusqlite::Error;

use super::cells::{Cells, places};
use super::file::{ErrorClass, File, spell};
use super::site_files::{SiteFiles, path_of};
use crate::offload::completer::Completer;
use crate::offload::counters::Counters;
use crate::offload::job::{FAILED, Job, RESPONSE_BYTES_MAX};
use crate::offload::statement_log::StatementLog;

/// A thread's own.
#[derive(Debug)]
pub(super) struct Reader {
    files: Arc<SiteFiles>,
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
    /// A reader of these files.
    pub(super) fn new(
        files: &Arc<SiteFiles>,
        completer: &Arc<Completer>,
        log: &Arc<StatementLog>,
    ) -> Self {
        Self { files: Arc::clone(files), completer: Arc::clone(completer), log: Arc::clone(log) }
    }

    /// Runs jobs until there is nobody left to send any.
    pub(super) fn work(self, jobs: &Receiver<Job>) {
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

    /// Runs the job on the file of its own site, again if that was changed meanwhile.
    fn decide(&self, job: &Job) -> RunResult {
        let query = job.query();
        let path = path_of(query).expect("the dispatcher sends what is for SQLite");
        let (site, cache) = (job.offload.site(), &self.completer.cache);
        for _ in 0..RUNS_MAX {
            let now = Instant::now();
            if job.deadline <= now {
                return self.give_up(query, ErrorClass::Late);
            }
            let pooled = match self.files.check_out(site, path, cache, now) {
                Ok(pooled) => pooled,
                Err(class) => return self.give_up(query, class),
            };
            pooled.file.set_deadline(job.deadline);
            let ran = run_on(&pooled.file, job, &self.completer.counters);
            // Rows, and errors too, may come of half of one version and half of another.
            if !pooled.is_unchanged() {
                continue;
            }
            let result = match ran {
                Ok(result) => self.finish(job, result),
                Err(error) => {
                    let class = ErrorClass::of(&error);
                    match class {
                        ErrorClass::Missing | ErrorClass::Damaged => {
                            self.files.fail(site, path, &error, now);
                            return self.give_up(query, class);
                        }
                        ErrorClass::Busy | ErrorClass::Statement => {
                            self.log.refused(query, &spell(&error), now);
                        }
                        ErrorClass::Late => {}
                    }
                    self.give_up(query, class)
                }
            };
            pooled.keep();
            return result;
        }
        self.give_up(query, ErrorClass::Busy)
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

    fn finish(&self, job: &Job, result: Result<RenderedResponse, String>) -> RunResult {
        match result {
            Ok(response) => RunResult::Rows(response),
            Err(problem) => {
                self.completer.counters.sqlite_schema_changed.up();
                self.log.schema_changed(job.query(), &problem);
                RunResult::Other(job.query().failed(Status::S500, FAILED))
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
            ErrorClass::Busy | ErrorClass::Missing | ErrorClass::Damaged => RunResult::Unavailable,
            ErrorClass::Statement => {
                counters.sqlite_errors.up();
                RunResult::Other(query.failed(Status::S500, FAILED))
            }
        }
    }
}

/// The rows as a response, or why they do not fit the route.
fn run_on(
    file: &File,
    job: &Job,
    counters: &Counters,
) -> Result<Result<RenderedResponse, String>, Error> {
    let query = job.query();
    let mut rows = query.begin(&job.bound);
    let mut found = None;
    let mut problem = None;
    file.run(query, &query.arguments(&job.bound), |row| {
        // Of the rows, not of the statement: where a table was altered, SQLite has prepared it anew.
        let known =
            found.get_or_insert_with(|| places(&row.as_ref().column_names(), query.columns()));
        let pushed = match known {
            Ok(places) => {
                rows.push(&Cells { row, places, counters }).map_err(|error| error.to_string())
            }
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
    Ok(problem.map_or_else(|| Ok(rows.finish(job.accepted())), Err))
}

/// Often enough for a writer that keeps to SQLite's locks: its commits are far apart beside a statement.
const RUNS_MAX: usize = 8;
