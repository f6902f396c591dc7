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
use super::fault::{Fault, spell};
use super::flights::{Flights, InFlight};
use super::prepared::Prepared;
use crate::asks::cache::lock;
use crate::asks::office::{ANSWER_BYTES_MAX, FAILED, Job, Office};

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    client: Client,
    made_at: Instant,
    /// Tells whoever moves its bytes to end it.
    ending: Arc<Notify>,
    /// By text.
    statements: Mutex<HashMap<Box<str>, Arc<Known>>>,
    flights: Flights,
    is_cancelling: AtomicBool,
    /// Jobs that were given to it and are not finished.
    load: AtomicUsize,
    office: Arc<Office>,
}

/// What became of a job.
#[derive(Debug)]
pub(super) enum Verdict {
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
    pub(super) fn new(client: Client, ending: &Arc<Notify>, office: &Arc<Office>) -> Self {
        Self {
            client,
            made_at: Instant::now(),
            ending: Arc::clone(ending),
            statements: Mutex::default(),
            flights: Flights::default(),
            is_cancelling: AtomicBool::new(false),
            load: AtomicUsize::new(0),
            office: Arc::clone(office),
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
    pub(super) fn take_on(&self) {
        self.load.fetch_add(1, Ordering::Relaxed);
    }

    /// It has one job less.
    pub(super) fn put_down(&self) {
        self.load.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether it may be given jobs: it is open, and what it works on is waited for.
    pub(super) fn is_fit(&self) -> bool {
        !self.client.is_closed() && self.flights.oldest_overdue().is_none()
    }

    /// Since when what it works on is not waited for any more.
    pub(super) fn overdue_since(&self) -> Option<Instant> {
        self.flights.oldest_overdue().map(|overdue| overdue.since)
    }

    /// A job is about to be run.
    pub(super) fn take_off(&self) -> InFlight<'_> {
        self.flights.take_off(Instant::now())
    }

    /// Whether what runs now takes its time: others would wait behind it.
    pub(super) fn is_slow(&self) -> bool {
        self.flights.running_since().is_some_and(|since| since.elapsed() > SLOW)
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
                connection.office.tallies.postgres_cancels.up();
                let token = connection.client.cancel_token();
                let sent = timeout(CANCEL_PATIENCE, token.cancel_query(NoTls)).await;
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
    pub(super) async fn run(&self, job: &Job) -> Verdict {
        let query = job.query();
        match self.try_run(job, query).await {
            Ok(verdict) => verdict,
            Err(error) => self.judge(query, &error),
        }
    }

    async fn try_run(&self, job: &Job, query: &Query) -> Result<Verdict, Error> {
        let Some(prepared) = self.prepared(query).await? else {
            self.office.tallies.postgres_errors.up();
            return Ok(Verdict::Other(query.failed(Status::S500, FAILED)));
        };
        let statement = &prepared.statement;
        let arguments = query.arguments(&job.bound);
        let (has, gets) = (statement.params().len(), arguments.len());
        let places = match prepared.fit(query.columns()) {
            Ok(places) if has == gets => places,
            Ok(_) => {
                return Ok(self.misfit(query, &format!("it has {has} parameters and gets {gets}")));
            }
            Err(problem) => return Ok(self.misfit(query, &problem)),
        };
        for (placeholder, (value, ty)) in arguments.iter().zip(statement.params()).enumerate() {
            if let Some(problem) = Argument(value).problem(ty) {
                self.office.tallies.offloads_rejected.up();
                return Ok(Verdict::Other(query.refuse(placeholder, &problem)));
            }
        }
        let arguments = arguments.into_iter().map(Argument);
        let mut found = pin!(self.client.query_raw(statement, arguments).await?);
        let mut rows = query.begin(&job.bound);
        while let Some(row) = found.try_next().await? {
            if let Err(error) = rows.push(&Cells { row: &row, places: &places }) {
                return Ok(self.misfit(query, &error.to_string()));
            }
            if rows.bytes() > ANSWER_BYTES_MAX {
                let problem = format!("its rows are more than {ANSWER_BYTES_MAX} bytes of JSON");
                return Ok(self.misfit(query, &problem));
            }
        }
        Ok(Verdict::Rows(rows.finish(job.accepted())))
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
            self.office.tallies.postgres_prepared.up();
            let statement = self.client.prepare(sql).await.map_err(Some)?;
            Ok(Arc::new(Prepared::new(statement)))
        };
        match known.prepared.get_or_try_init(prepare).await {
            Ok(prepared) => Ok(Some(Arc::clone(prepared))),
            Err(None) => Ok(None),
            Err(Some(error)) => {
                if Fault::of(&error) == Fault::Statement {
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
            let _flight = self.take_off();
            match self.prepared(query).await {
                Ok(None) => {}
                Ok(Some(prepared)) => {
                    if let Err(problem) = prepared.fit(query.columns()) {
                        self.tell_misfit(query, &problem);
                    }
                }
                Err(error) => match Fault::of(&error) {
                    Fault::Statement => self.tell_misfit(query, &spell(&error)),
                    Fault::Lost => return,
                    _ => {}
                },
            }
        }
    }

    fn judge(&self, query: &Query, error: &Error) -> Verdict {
        let tallies = &self.office.tallies;
        let (status, text) = match Fault::of(error) {
            Fault::Lost => return Verdict::Lost,
            Fault::Undone => return Verdict::Undone,
            Fault::Stale => {
                lock(&self.statements).remove(query.sql());
                return Verdict::Undone;
            }
            Fault::Full => {
                self.tell_refusal(query, error);
                return Verdict::Full;
            }
            Fault::Conflict => {
                tallies.postgres_conflicts.up();
                (Status::S409, CONFLICT)
            }
            Fault::BadData => {
                tallies.postgres_bad_data.up();
                (Status::S422, BAD_DATA)
            }
            Fault::Statement => {
                tallies.postgres_errors.up();
                self.tell_refusal(query, error);
                (Status::S500, FAILED)
            }
        };
        Verdict::Other(query.failed(status, text))
    }

    fn misfit(&self, query: &Query, problem: &str) -> Verdict {
        self.office.tallies.postgres_schema_changed.up();
        self.tell_misfit(query, problem);
        Verdict::Other(query.failed(Status::S500, FAILED))
    }

    fn tell_misfit(&self, query: &Query, problem: &str) {
        let text = format!("statement \"{}\": {problem}", query.statement());
        if self.office.misfits.is_new(&text) {
            tracing::error!("PostgreSQL: {text}");
        }
    }

    fn tell_refusal(&self, query: &Query, error: &Error) {
        self.office.refusals.tell(Instant::now(), |quiet| {
            let (name, error) = (query.statement(), spell(error));
            tracing::error!("PostgreSQL: statement \"{name}\": {error} ({quiet} faults untold)");
        });
    }
}

/// What `site` asks of PostgreSQL.
pub(super) fn of_postgres(site: &Site) -> impl Iterator<Item = &Query> {
    let all = site.queries().map(|(_, query)| query);
    all.filter(|query| *query.database() == Database::Postgres)
}

const CONFLICT: &str = "409 Conflict: what is stored already does not allow it";
const BAD_DATA: &str = "422 Unprocessable Content: what is stored cannot take this value";
/// A request to cancel is a connection of its own.
const CANCEL_PATIENCE: Duration = Duration::from_secs(1);
/// A query that runs for longer is not worth waiting for.
const SLOW: Duration = Duration::from_millis(5);
/// How long the server gets to act on one.
const CANCEL_AGAIN: Duration = Duration::from_millis(10);
/// How long a statement that the server does not take is not sent again.
const REFUSED_FOR: Duration = Duration::from_secs(1);
