//! One connection to the server: the statements it has prepared, and running a job on it.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use handlers::config::{Database, Value};
use handlers::query::Query;
use handlers::{RenderedResponse, Site};
use http1::Status;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, Error, RowStream};

use super::argument::Argument;
use super::cell::{Cells, Place};
use super::connect::{self, Address};
use super::effect::{Effect, effect};
use super::error_class::{ErrorClass, is_outdated, spell};
use super::pipeline::{InFlight, Pipeline};
use super::pooler::Pooler;
use super::prepared::Prepared;
use super::statement_names::Naming;
use super::statements::Statements;
use crate::offload::cache::lock;
use crate::offload::counters::Counters;
use crate::offload::job::{FAILED, Job, RESPONSE_BYTES_MAX};
use crate::offload::statement_log::StatementLog;

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    client: Client,
    endpoint: Endpoint,
    made_at: Instant,
    /// Tells whoever moves its bytes to end it.
    ending: Arc<Notify>,
    statements: Statements,
    pipeline: Arc<Pipeline>,
    is_cancelling: AtomicBool,
    /// When the last request to cancel was over.
    cancelled_at: Mutex<Option<Instant>>,
    /// Jobs that were given to it and are not finished.
    load: AtomicUsize,
    /// What it was given and is not finished, and may take its time.
    unproven: AtomicUsize,
    /// Held behind a pooler while something is under way.
    turn: tokio::sync::Mutex<()>,
    counters: Arc<Counters>,
    log: Arc<StatementLog>,
}

/// Behind a pooler, the right to send: until it ends, nobody else does. Dropped before its end, it ends the connection: what
/// was sent may still be under way.
#[derive(Debug)]
struct Turn<'a> {
    connection: &'a Connection,
    guard: Option<tokio::sync::MutexGuard<'a, ()>>,
}

impl Turn<'_> {
    /// All that was sent is answered.
    fn end(mut self) {
        self.guard = None;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.guard.is_some() {
            self.connection.abort();
        }
    }
}

/// What a connection leads to.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// The server.
    pub(super) server: Config,
    /// Where it was reached.
    pub(super) address: Address,
    /// What statements are called there.
    pub(super) naming: Naming,
    /// What may be in between.
    pub(super) pooler: Arc<Pooler>,
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
    Lost {
        /// The server has said that it has ended the statement, without effect.
        is_undone: bool,
    },
    /// Nothing was done; sent again, it may work.
    Undone,
}

impl Connection {
    /// A connection that was just made.
    pub(super) fn new(
        client: Client,
        endpoint: Endpoint,
        ending: &Arc<Notify>,
        counters: &Arc<Counters>,
        log: &Arc<StatementLog>,
    ) -> Self {
        Self {
            client,
            endpoint,
            made_at: Instant::now(),
            ending: Arc::clone(ending),
            statements: Statements::default(),
            pipeline: Arc::default(),
            is_cancelling: AtomicBool::new(false),
            cancelled_at: Mutex::default(),
            load: AtomicUsize::new(0),
            unproven: AtomicUsize::new(0),
            turn: tokio::sync::Mutex::default(),
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

    /// Whether it relies on prepared statements, and something in between does not keep them.
    pub(super) fn is_unreliable(&self) -> bool {
        !self.is_pooled() && self.endpoint.pooler.is_found()
    }

    /// Whether a pooler is in between: each query is sent with its text, one at a time.
    fn is_pooled(&self) -> bool {
        self.endpoint.naming == Naming::Unnamed
    }

    /// Since when what it works on is not waited for any more.
    pub(super) fn overdue_since(&self) -> Option<Instant> {
        self.pipeline.oldest_overdue().map(|overdue| overdue.since)
    }

    /// Behind a pooler, waits until nothing else is under way.
    async fn turn(&self) -> Turn<'_> {
        let guard = if self.is_pooled() { Some(self.turn.lock().await) } else { None };
        Turn { connection: self, guard }
    }

    /// A job is about to be run.
    pub(super) fn push(&self) -> InFlight {
        self.pipeline.push(Instant::now())
    }

    /// It is given something that may take its time: until [`remove_unproven`](Self::remove_unproven).
    pub(super) fn add_unproven(&self) {
        self.unproven.fetch_add(1, Ordering::Relaxed);
    }

    /// What may take its time is finished.
    pub(super) fn remove_unproven(&self) {
        self.unproven.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether it has nothing to do.
    pub(super) fn is_idle(&self) -> bool {
        self.load() == 0 && self.pipeline.is_empty()
    }

    /// Whether a read may be sent here: there are no jobs, or fewer than `pipeline`, and neither what runs now takes long nor
    /// did what ran before it.
    pub(super) fn takes_read(&self, pipeline: usize) -> bool {
        let runs_long = || self.pipeline.running_since().is_some_and(|it| it.elapsed() > LONG);
        let is_fast = || self.pipeline.last_ran() <= LONG && !runs_long();
        self.load() == 0 || self.load() < pipeline && is_fast() && !self.is_pooled()
    }

    /// Whether a write may be sent here, where it stays: there is nothing, or fewer jobs than `pipeline`, of statements that
    /// have been fast so far.
    pub(super) fn takes_write(&self, pipeline: usize) -> bool {
        let is_proven = || self.unproven.load(Ordering::Relaxed) == 0;
        self.is_idle() || self.load() > 0 && self.takes_read(pipeline) && is_proven()
    }

    /// Whether the server was asked to stop what runs here, and may have hit what was sent after `since`. A proxy between us
    /// may have said that it was over before it was.
    pub(super) fn may_be_cancelled_since(&self, since: Instant) -> bool {
        self.is_cancelling.load(Ordering::Relaxed)
            || lock(&self.cancelled_at).is_some_and(|cancelled| cancelled + CANCEL_LATE >= since)
    }

    /// Sends a marker, and waits until the server has done all that was sent before it, or the connection is gone.
    pub(super) async fn pass_marker(&self) {
        let turn = self.turn().await;
        let _ = self.client.check_connection().await;
        turn.end();
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
        // A pooler may have given the session to somebody else by the time that the request arrives.
        if self.is_pooled() {
            return;
        }
        if self.overdue_since().is_none() || self.is_cancelling.swap(true, Ordering::Relaxed) {
            return;
        }
        let connection = Arc::clone(self);
        tokio::spawn(async move {
            let mut pause = CANCEL_AGAIN;
            while connection.overdue_since().is_some() && !connection.client.is_closed() {
                connection.counters.postgres_cancels.up();
                let token = connection.client.cancel_token();
                let Endpoint { server, address, .. } = &connection.endpoint;
                let sent = timeout(CANCEL_TIMEOUT, connect::cancel(&token, server, address)).await;
                if let Ok(Err(error)) = sent {
                    tracing::debug!("PostgreSQL: a query could not be cancelled: {error}");
                }
                *lock(&connection.cancelled_at) = Some(Instant::now());
                // It comes to nothing where it arrives between two queries.
                sleep(pause).await;
                pause = (2 * pause).min(CANCEL_AGAIN_MAX);
            }
            connection.is_cancelling.store(false, Ordering::Relaxed);
        });
    }

    /// Runs one job to its end, however long that takes. It is not sent once its time is up.
    pub(super) async fn run(&self, job: &Job, in_flight: &InFlight) -> RunResult {
        let turn = self.turn().await;
        let result = self.run_in_turn(job, in_flight).await;
        turn.end();
        result
    }

    async fn run_in_turn(&self, job: &Job, in_flight: &InFlight) -> RunResult {
        let (site, query) = (job.offload.site(), job.query());
        let mut tries = TRIES;
        loop {
            tries -= 1;
            let prepared = match self.prepared(site, query).await {
                Ok(Some(prepared)) => prepared,
                Ok(None) => {
                    self.counters.postgres_errors.up();
                    return RunResult::Other(query.failed(Status::S500, FAILED));
                }
                Err(error) => return self.classify(query, &error),
            };
            if job.deadline <= Instant::now() {
                return RunResult::Undone;
            }
            in_flight.set_sent(true);
            match self.try_run(job, query, &prepared, tries == 0).await {
                Ok(Some(result)) => return result,
                Ok(None) => {
                    in_flight.set_sent(false);
                    // Tables were altered since it was prepared, as it seems, and nothing was run.
                    self.statements.forget(site, query.sql(), &prepared);
                    self.counters.postgres_retried.up();
                }
                Err(error) => return self.classify(query, &error),
            }
        }
    }

    /// Runs `job` with what was prepared. `None`: it is to be prepared anew; `is_last`: it has been.
    async fn try_run(
        &self,
        job: &Job,
        query: &Query,
        prepared: &Prepared,
        is_last: bool,
    ) -> Result<Option<RunResult>, Error> {
        let may_renew = !is_last && prepared.is_old();
        let arguments = query.arguments(&job.bound);
        let places = match self.check(query, &arguments, prepared) {
            Ok(places) => places,
            Err(_) if may_renew => return Ok(None),
            Err(Mismatch::Statement(problem)) => {
                return Ok(Some(self.schema_changed(query, &problem)));
            }
            Err(Mismatch::Value(placeholder, problem)) => {
                self.counters.offloads_rejected.up();
                return Ok(Some(RunResult::Other(query.refuse(placeholder, &problem))));
            }
        };
        match self.begin(query, &arguments, prepared).await {
            Ok(found) => Ok(Some(self.collect(job, query, prepared, places, found).await?)),
            Err(error) if !is_last && is_outdated(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Compares what was prepared with what `query` wants and gets: where its columns stand.
    fn check(
        &self,
        query: &Query,
        arguments: &[&Value],
        prepared: &Prepared,
    ) -> Result<Arc<[Place]>, Mismatch> {
        let places = prepared.compatibility(query.columns());
        let places = places.map_err(|problem| Mismatch::Statement(problem.to_string()))?;
        let types = prepared.statement.params();
        let (has, gets) = (types.len(), arguments.len());
        if has != gets {
            return Err(Mismatch::Statement(format!("it has {has} parameters and gets {gets}")));
        }
        for (placeholder, (value, ty)) in arguments.iter().zip(types).enumerate() {
            if let Some(problem) = Argument(value).problem(ty) {
                return Err(Mismatch::Value(placeholder, problem));
            }
        }
        Ok(places)
    }

    /// Sends it. An error says that nothing was run.
    async fn begin(
        &self,
        query: &Query,
        arguments: &[&Value],
        prepared: &Prepared,
    ) -> Result<RowStream, Error> {
        let statement = &prepared.statement;
        let arguments = arguments.iter().map(|value| Argument(value));
        if self.is_pooled() {
            let types = statement.params().iter().cloned();
            self.client.query_typed_raw(query.sql(), arguments.zip(types)).await
        } else {
            self.client.query_raw(statement, arguments).await
        }
    }

    async fn collect(
        &self,
        job: &Job,
        query: &Query,
        prepared: &Prepared,
        mut places: Arc<[Place]>,
        found: RowStream,
    ) -> Result<RunResult, Error> {
        let mut found = pin!(found);
        let mut rows = query.begin(&job.bound);
        let (mut problem, mut is_first) = (None, true);
        while let Some(row) = found.try_next().await? {
            if problem.is_some() {
                continue;
            }
            if self.is_pooled() && std::mem::take(&mut is_first) {
                // The server has read the text anew: these are not always the columns it told of before.
                match prepared.compatibility_with(row.columns(), query.columns()) {
                    Ok(found) => places = found,
                    Err(error) => problem = Some(error.to_string()),
                }
            }
            if problem.is_none() {
                let cells = Cells { row: &row, places: &places, counters: &self.counters };
                problem = rows.push(&cells).err().map(|error| error.to_string());
            }
            if rows.bytes() > RESPONSE_BYTES_MAX {
                problem =
                    Some(format!("its rows are more than {RESPONSE_BYTES_MAX} bytes of JSON"));
            }
            // A write is not done before the last row has come, and behind a pooler nothing is sent before that.
            if problem.is_some() && query.is_read() && !self.is_pooled() {
                break;
            }
        }
        Ok(match problem {
            None => RunResult::Rows(rows.finish(job.accepted())),
            Some(problem) => self.schema_changed(query, &problem),
        })
    }

    /// The statement of `query`, prepared for `site`. `None`: the server has refused it a moment ago.
    ///
    /// # Errors
    /// The server refuses it now, or is gone.
    async fn prepared(
        &self,
        site: &Arc<Site>,
        query: &Query,
    ) -> Result<Option<Arc<Prepared>>, Error> {
        let known = self.statements.known(site, query.sql());
        let prepare = || async {
            if known.is_refused() {
                return Err(None);
            }
            self.counters.postgres_prepared.up();
            let statement = self.client.prepare(query.sql()).await.map_err(Some)?;
            Ok(Arc::new(Prepared::new(statement)))
        };
        match known.prepared.get_or_try_init(prepare).await {
            Ok(prepared) => {
                if query.is_unknown() {
                    let parameters = prepared.statement.params().len();
                    let effect = effect(&self.client, query, parameters).await?;
                    if let Some(problem) = effect.problem() {
                        self.log.schema_changed(query, &problem);
                    }
                    query.set_only_reads(effect == Effect::Reads);
                }
                Ok(Some(Arc::clone(prepared)))
            }
            Err(None) => Ok(None),
            Err(Some(error)) => {
                if ErrorClass::of(&error) == ErrorClass::Statement {
                    known.refuse();
                }
                Err(error)
            }
        }
    }

    /// Prepares what `site` asks for and forgets what was prepared for others.
    pub(super) async fn renew(&self, site: &Arc<Site>) {
        self.statements.keep_only(site);
        for query in of_postgres(site) {
            let _in_flight = self.push();
            let turn = self.turn().await;
            let found = self.prepared(site, query).await;
            turn.end();
            match found {
                Ok(None) => {}
                Ok(Some(prepared)) => {
                    if let Err(problem) = prepared.compatibility(query.columns()) {
                        self.log.schema_changed(query, &problem);
                    }
                }
                Err(error) => match ErrorClass::of(&error) {
                    ErrorClass::Statement => self.log.schema_changed(query, &spell(&error)),
                    ErrorClass::Lost => return,
                    ErrorClass::Forgotten => return self.endpoint.pooler.on_found(),
                    _ => {}
                },
            }
        }
    }

    fn classify(&self, query: &Query, error: &Error) -> RunResult {
        let counters = &self.counters;
        let (status, text) = match ErrorClass::of(error) {
            ErrorClass::Lost => {
                let is_undone = error.code() == Some(&SqlState::ADMIN_SHUTDOWN);
                return RunResult::Lost { is_undone };
            }
            ErrorClass::Undone => return RunResult::Undone,
            ErrorClass::Forgotten => {
                self.endpoint.pooler.on_found();
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

/// Why a job cannot be run with what was prepared.
#[derive(Debug)]
enum Mismatch {
    /// The statement is not what its route wants.
    Statement(String),
    /// The value of a placeholder, counted from 0, is not what the statement takes.
    Value(usize, String),
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
/// How long after its end a request to cancel may still arrive.
const CANCEL_LATE: Duration = Duration::from_secs(10);
/// A query that runs for longer is not worth waiting for.
const SLOW: Duration = Duration::from_millis(5);
/// Nothing is sent behind a query that runs for longer, or behind the one after it; reads that were are moved.
pub(super) const LONG: Duration = Duration::from_millis(50);
/// How long the server gets to act on one, before the next; twice as long each time.
const CANCEL_AGAIN: Duration = Duration::from_millis(10);
/// How long at the most.
const CANCEL_AGAIN_MAX: Duration = Duration::from_millis(320);
/// How often one job is run with a statement that was prepared anew each time.
const TRIES: u8 = 3;
