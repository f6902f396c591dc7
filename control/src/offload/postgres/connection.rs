//! One connection to the server: the statements it has prepared, and running a job on it.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use handlers::config::Database;
use handlers::query::Query;
use handlers::{RenderedResponse, Site};
use http1::Status;
use tokio::sync::{Notify, OnceCell};
use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, Error, NoTls};

use super::argument::Argument;
use super::cell::Cells;
use super::error_class::{ErrorClass, spell};
use super::pipeline::{InFlight, Pipeline};
use super::prepared::Prepared;
use crate::offload::cache::lock;
use crate::offload::counters::Counters;
use crate::offload::job::{FAILED, Job, RESPONSE_BYTES_MAX};
use crate::offload::statement_log::StatementLog;

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    client: Client,
    made_at: Instant,
    /// Tells whoever moves its bytes to end it.
    ending: Arc<Notify>,
    /// By text.
    statements: Mutex<HashMap<Box<str>, Arc<Known>>>,
    pipeline: Pipeline,
    is_cancelling: AtomicBool,
    /// Jobs that were given to it and are not finished.
    load: AtomicUsize,
    counters: Arc<Counters>,
    log: Arc<StatementLog>,
}

/// What became of a job.
#[derive(Debug)]
pub(super) enum RunResult {
    /// The rows of the database.
    Rows(RenderedResponse),
    /// Something is wrong with the request or the statement.
    Other(RenderedResponse),
    /// The server has no room for it.
    Full,
    /// The connection is gone.
    Lost,
    /// Nothing was done; sent again, it may work.
    Undone,
}

/// A statement of this connection.
#[derive(Debug, Default)]
struct Known {
    /// Jobs that come while it is being prepared wait for that.
    prepared: OnceCell<Arc<Prepared>>,
    /// The server does not take it; it is asked again from then on.
    refused: Mutex<Option<Instant>>,
}

impl Known {
    fn is_refused(&self) -> bool {
        lock(&self.refused).is_some_and(|until| Instant::now() < until)
    }
}

impl Connection {
    /// A connection that was just made.
    pub(super) fn new(
        client: Client,
        ending: &Arc<Notify>,
        counters: &Arc<Counters>,
        log: &Arc<StatementLog>,
    ) -> Self {
        Self {
            client,
            made_at: Instant::now(),
            ending: Arc::clone(ending),
            statements: Mutex::default(),
            pipeline: Pipeline::default(),
            is_cancelling: AtomicBool::new(false),
            load: AtomicUsize::new(0),
            counters: Arc::clone(counters),
            log: Arc::clone(log),
        }
    }

    /// When it was made.
    pub(super) fn made_at(&self) -> Instant {
        self.made_at
    }

    /// Jobs it has.
    pub(super) fn load(&self) -> usize {
        self.load.load(Ordering::Relaxed)
    }

    /// It has one job more.
    pub(super) fn add_job(&self) {
        self.load.fetch_add(1, Ordering::Relaxed);
    }

    /// It has one job less.
    pub(super) fn remove_job(&self) {
        self.load.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether it may be given jobs: it is open, and what it works on is waited for.
    pub(super) fn is_usable(&self) -> bool {
        !self.client.is_closed() && self.pipeline.oldest_overdue().is_none()
    }

    /// Since when what it works on is not waited for any more.
    pub(super) fn overdue_since(&self) -> Option<Instant> {
        self.pipeline.oldest_overdue().map(|overdue| overdue.since)
    }

    /// A job is about to be run.
    pub(super) fn push(&self) -> InFlight<'_> {
        self.pipeline.push(Instant::now())
    }

    /// Whether what runs now takes its time: others would wait behind it.
    pub(super) fn is_slow(&self) -> bool {
        self.pipeline.running_since().is_some_and(|since| since.elapsed() > SLOW)
    }

    /// Ends it, whatever it does.
    pub(super) fn abort(&self) {
        self.ending.notify_one();
    }

    /// Asks the server to stop what runs now, if nobody waits for it any more.
    pub(super) fn cancel_overdue(self: &Arc<Self>) {
        if self.overdue_since().is_none() || self.is_cancelling.swap(true, Ordering::Relaxed) {
            return;
        }
        let connection = Arc::clone(self);
        tokio::spawn(async move {
            while connection.overdue_since().is_some() && !connection.client.is_closed() {
                connection.counters.postgres_cancels.up();
                let token = connection.client.cancel_token();
                let sent = timeout(CANCEL_TIMEOUT, token.cancel_query(NoTls)).await;
                if let Ok(Err(error)) = sent {
                    tracing::debug!("PostgreSQL: a query could not be cancelled: {error}");
                }
                // It comes to nothing where it arrives between two queries.
                sleep(CANCEL_AGAIN).await;
            }
            connection.is_cancelling.store(false, Ordering::Relaxed);
        });
    }

    /// Runs one job to its end, however long that takes.
    pub(super) async fn run(&self, job: &Job) -> RunResult {
        let query = job.query();
        match self.try_run(job, query).await {
            Ok(result) => result,
            Err(error) => self.classify(query, &error),
        }
    }

    async fn try_run(&self, job: &Job, query: &Query) -> Result<RunResult, Error> {
        let Some(prepared) = self.prepared(query).await? else {
            self.counters.postgres_errors.up();
            return Ok(RunResult::Other(query.failed(Status::S500, FAILED)));
        };
        let statement = &prepared.statement;
        let arguments = query.arguments(&job.bound);
        let (has, gets) = (statement.params().len(), arguments.len());
        let places = match prepared.compatibility(query.columns()) {
            Ok(places) if has == gets => places,
            Ok(_) => {
                return Ok(
                    self.schema_changed(query, &format!("it has {has} parameters and gets {gets}"))
                );
            }
            Err(problem) => return Ok(self.schema_changed(query, &problem)),
        };
        for (placeholder, (value, ty)) in arguments.iter().zip(statement.params()).enumerate() {
            if let Some(problem) = Argument(value).problem(ty) {
                self.counters.offloads_rejected.up();
                return Ok(RunResult::Other(query.refuse(placeholder, &problem)));
            }
        }
        let arguments = arguments.into_iter().map(Argument);
        let mut found = pin!(self.client.query_raw(statement, arguments).await?);
        let mut rows = query.begin(&job.bound);
        while let Some(row) = found.try_next().await? {
            if let Err(error) = rows.push(&Cells { row: &row, places: &places }) {
                return Ok(self.schema_changed(query, &error.to_string()));
            }
            if rows.bytes() > RESPONSE_BYTES_MAX {
                let problem = format!("its rows are more than {RESPONSE_BYTES_MAX} bytes of JSON");
                return Ok(self.schema_changed(query, &problem));
            }
        }
        Ok(RunResult::Rows(rows.finish(job.accepted())))
    }

    /// The statement of `query`, prepared. `None`: the server has refused it a moment ago.
    ///
    /// # Errors
    /// The server refuses it now, or is gone.
    async fn prepared(&self, query: &Query) -> Result<Option<Arc<Prepared>>, Error> {
        let sql = query.sql();
        let known = {
            let mut statements = lock(&self.statements);
            match statements.get(sql) {
                Some(known) => Arc::clone(known),
                None => Arc::clone(statements.entry(sql.into()).or_default()),
            }
        };
        let prepare = || async {
            if known.is_refused() {
                return Err(None);
            }
            self.counters.postgres_prepared.up();
            let statement = self.client.prepare(sql).await.map_err(Some)?;
            Ok(Arc::new(Prepared::new(statement)))
        };
        match known.prepared.get_or_try_init(prepare).await {
            Ok(prepared) => Ok(Some(Arc::clone(prepared))),
            Err(None) => Ok(None),
            Err(Some(error)) => {
                if ErrorClass::of(&error) == ErrorClass::Statement {
                    *lock(&known.refused) = Some(Instant::now() + REFUSED_FOR);
                }
                Err(error)
            }
        }
    }

    /// Prepares what `site` asks for and forgets every other statement.
    pub(super) async fn renew(&self, site: &Site) {
        let is_kept = |sql: &str| of_postgres(site).any(|query| query.sql() == sql);
        lock(&self.statements).retain(|sql, _| is_kept(sql));
        for query in of_postgres(site) {
            let _in_flight = self.push();
            match self.prepared(query).await {
                Ok(None) => {}
                Ok(Some(prepared)) => {
                    if let Err(problem) = prepared.compatibility(query.columns()) {
                        self.log.schema_changed(query, &problem);
                    }
                }
                Err(error) => match ErrorClass::of(&error) {
                    ErrorClass::Statement => self.log.schema_changed(query, &spell(&error)),
                    ErrorClass::Lost => return,
                    _ => {}
                },
            }
        }
    }

    fn classify(&self, query: &Query, error: &Error) -> RunResult {
        let counters = &self.counters;
        let (status, text) = match ErrorClass::of(error) {
            ErrorClass::Lost => return RunResult::Lost,
            ErrorClass::Undone => return RunResult::Undone,
            ErrorClass::Stale => {
                lock(&self.statements).remove(query.sql());
                return RunResult::Undone;
            }
            ErrorClass::Full => {
                self.log.refused(query, &spell(error), Instant::now());
                return RunResult::Full;
            }
            ErrorClass::Conflict => {
                counters.postgres_conflicts.up();
                (Status::S409, CONFLICT)
            }
            ErrorClass::BadData => {
                counters.postgres_bad_data.up();
                (Status::S422, BAD_DATA)
            }
            ErrorClass::Statement => {
                counters.postgres_errors.up();
                self.log.refused(query, &spell(error), Instant::now());
                (Status::S500, FAILED)
            }
        };
        RunResult::Other(query.failed(status, text))
    }

    fn schema_changed(&self, query: &Query, problem: &str) -> RunResult {
        self.counters.postgres_schema_changed.up();
        self.log.schema_changed(query, problem);
        RunResult::Other(query.failed(Status::S500, FAILED))
    }
}

/// The statements that `site` has for PostgreSQL.
pub(super) fn of_postgres(site: &Site) -> impl Iterator<Item = &Query> {
    let all = site.queries().map(|(_, query)| query);
    all.filter(|query| *query.database() == Database::Postgres)
}

const CONFLICT: &str = "409 Conflict: what is stored already does not allow it";
const BAD_DATA: &str = "422 Unprocessable Content: what is stored cannot take this value";
/// A request to cancel is a connection of its own.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(1);
/// A query that runs for longer is not worth waiting for.
const SLOW: Duration = Duration::from_millis(5);
/// How long the server gets to act on one.
const CANCEL_AGAIN: Duration = Duration::from_millis(10);
/// How long a statement that the server does not take is not sent again.
const REFUSED_FOR: Duration = Duration::from_secs(1);
