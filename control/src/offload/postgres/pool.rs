//! The connections of one thread, and the jobs that wait for room on them.
//!
//! A job goes to the least loaded connection; each takes as many as are pipelined. Where all have that
//! many, or what runs on the least loaded takes its time, the pool wants one more, up to its bound: few
//! connections with full pipelines run short queries fastest. [`tend`](Pool::tend) makes what is wanted,
//! one at a time, and makes it again when it is lost. While there is no connection at all, new jobs are answered as
//! unavailable at once; only a first attempt after a loss lets them wait, for [`FIRST_TIMEOUT`]. An attempt that takes longer
//! has not failed: a job that waits by then, or was sent before, waits for its end, for as long as it has time. A job that
//! cannot wait here is handed to a worker where it can, if there is one.
//!
//! A job whose time is up is answered, and the server is asked to stop working on it. It keeps its
//! place on the connection until the server has, and no new job goes behind it. A connection on which
//! that takes longer than [`STUCK_TIMEOUT`] is replaced.
//!
//! A job whose connection is lost is sent again if it is a plain read and has time left; of a write
//! nobody knows whether it was done, so it is answered as unavailable. What the server says it has
//! undone (cancelled in error, a deadlock, a plan that an altered table made invalid) is sent again
//! whatever it is. A job that has failed [`FAILURES_MAX`] times is not; connections that end together, as at a
//! restart of the server, are one failure.
//!
//! All of this runs on one thread: locks are never contended and never held across an await.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use handlers::Site;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{self, sleep, timeout, timeout_at};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Config, Error, NoTls};

use super::connection::{Connection, RunResult};
use super::error_class::spell;
use super::outage::Outage;
use super::workers::Workers;
use crate::offload::cache::lock;
use crate::offload::completer::Completer;
use crate::offload::job::Job;
use crate::offload::statement_log::StatementLog;

/// What a pool may take.
#[derive(Clone, Debug)]
pub(super) struct PoolPlan {
    /// The server.
    pub(super) server: Config,
    /// Connections at most.
    pub(super) connections: usize,
    /// Jobs under way on each.
    pub(super) pipeline: usize,
    /// How long a query may take, for those that no request waits for.
    pub(super) timeout: Duration,
}

/// What all pools share.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    /// What went wrong with statements.
    pub(super) log: Arc<StatementLog>,
    /// Whether the server can be reached.
    pub(super) outage: Arc<Outage>,
    /// Who else runs jobs.
    pub(super) workers: Arc<Workers>,
}

/// The connections of one thread.
#[derive(Debug)]
pub(super) struct Pool {
    plan: PoolPlan,
    completer: Arc<Completer>,
    shared: Shared,
    state: Mutex<State>,
    /// Whether a job has a connection, or an attempt at one to wait for; for other threads.
    is_available: Arc<AtomicBool>,
    /// A connection is wanted.
    more_wanted: Notify,
}

#[derive(Debug)]
struct State {
    connections: Vec<Arc<Connection>>,
    /// Oldest first.
    backlog: VecDeque<Job>,
    /// Connections that should be there.
    wanted: usize,
    /// While there are no connections: whether new jobs wait for the attempt that is under way.
    is_connecting: bool,
    /// The attempt that is under way takes longer than [`FIRST_TIMEOUT`].
    is_late: bool,
    /// Until when the server is not asked for more connections than it gave.
    full_until: Option<Instant>,
    site: Arc<Site>,
    /// What moves the bytes of each connection, and then says that it has ended.
    drivers: JoinSet<()>,
    /// An outage was begun.
    is_down: bool,
    is_closing: bool,
}

impl State {
    /// Whether `job` has a connection, or an attempt at one to wait for.
    fn can_wait(&self, job: &Job) -> bool {
        let was_sent = job.failures > 0;
        !self.connections.is_empty() || self.is_connecting || was_sent && self.is_late
    }

    fn pop_expired(&mut self, now: Instant) -> Option<Job> {
        let expired = self.backlog.front()?.deadline <= now;
        expired.then(|| self.backlog.pop_front()).flatten()
    }
}

impl Pool {
    /// A pool without connections; [`tend`](Self::tend) makes them.
    pub(super) fn new(
        plan: PoolPlan,
        site: &Arc<Site>,
        completer: &Arc<Completer>,
        shared: &Shared,
    ) -> Arc<Self> {
        completer.counters.postgres_connections_wanted.up();
        let state = State {
            connections: Vec::new(),
            backlog: VecDeque::new(),
            wanted: 1,
            is_connecting: true,
            is_late: false,
            full_until: None,
            site: Arc::clone(site),
            drivers: JoinSet::new(),
            is_down: false,
            is_closing: false,
        };
        Arc::new(Self {
            plan,
            completer: Arc::clone(completer),
            shared: shared.clone(),
            state: Mutex::new(state),
            is_available: Arc::new(AtomicBool::new(true)),
            more_wanted: Notify::new(),
        })
    }

    /// Whether a job has a connection, or an attempt at one to wait for.
    pub(super) fn availability(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_available)
    }

    fn publish_availability(&self, state: &State) {
        let is_available = !state.connections.is_empty() || state.is_connecting;
        self.is_available.store(is_available, Ordering::Relaxed);
    }

    /// Takes a job: it is run, waits, goes to another worker, or is answered as unavailable.
    pub(super) fn place(self: &Arc<Self>, job: Job) {
        let mut state = lock(&self.state);
        if !state.can_wait(&job) {
            drop(state);
            return self.hand_over(job);
        }
        // Before jobs that have not failed yet: it has less time left.
        if job.failures > 0 {
            state.backlog.push_front(job);
        } else {
            state.backlog.push_back(job);
        }
        self.assign(&mut state);
    }

    /// Gives waiting jobs to connections with room.
    fn assign(self: &Arc<Self>, state: &mut State) {
        while let Some(job) = state.backlog.pop_front() {
            let usable = state.connections.iter().filter(|connection| connection.is_usable());
            // Behind a query that takes its time only where there is no other way.
            let least = usable.min_by_key(|it| (it.load() > 0 && it.is_slow(), it.load()));
            let room = least.filter(|connection| connection.load() < self.plan.pipeline);
            let Some(connection) = room.map(Arc::clone) else {
                state.backlog.push_front(job);
                return self.want_more(state);
            };
            if connection.load() > 0 && connection.is_slow() {
                self.want_more(state);
            }
            connection.add_job();
            self.completer.counters.postgres_waiting.down();
            self.completer.counters.postgres_under_way.up();
            tokio::spawn(Arc::clone(self).serve(connection, job));
        }
    }

    /// All connections have enough to do.
    fn want_more(&self, state: &mut State) {
        let is_full = state.full_until.is_some_and(|until| Instant::now() < until);
        let has_all = state.connections.len() == state.wanted;
        if has_all && state.wanted < self.plan.connections && !is_full {
            state.wanted += 1;
            self.completer.counters.postgres_connections_wanted.up();
            self.more_wanted.notify_one();
        }
    }

    async fn serve(self: Arc<Self>, connection: Arc<Connection>, job: Job) {
        let again = self.run(&connection, job).await;
        connection.remove_job();
        self.completer.counters.postgres_under_way.down();
        connection.cancel_overdue();
        match again {
            Some(job) => {
                self.completer.counters.postgres_retried.up();
                self.completer.counters.postgres_waiting.up();
                self.place(job);
            }
            None => self.assign(&mut lock(&self.state)),
        }
        self.completer.submissions.poll_if_due();
    }

    /// Runs a job and answers it. What is returned is to be sent again.
    async fn run(&self, connection: &Arc<Connection>, mut job: Job) -> Option<Job> {
        let result = {
            let in_flight = connection.push();
            let mut work = pin!(connection.run(&job));
            match timeout_at(job.deadline.into(), work.as_mut()).await {
                Ok(result) => result,
                Err(_) => {
                    in_flight.give_up(Instant::now());
                    self.completer.counters.postgres_timed_out.up();
                    self.completer.counters.postgres_unavailable.up();
                    self.completer.complete_early(&job, job.query().unavailable());
                    connection.cancel_overdue();
                    while timeout(STUCK_TIMEOUT, work.as_mut()).await.is_err() {
                        if connection.overdue_since().is_none_or(|at| at.elapsed() < STUCK_TIMEOUT)
                        {
                            // Something older is running, and somebody waits for that.
                            continue;
                        }
                        self.completer.counters.postgres_connections_replaced.up();
                        connection.abort();
                        break;
                    }
                    // What it wrote, it may have written after it was answered.
                    self.completer.invalidate(&job);
                    return None;
                }
            }
        };
        let now = Instant::now();
        let may_repeat = match result {
            RunResult::Rows(response) => {
                self.completer.complete_rows(job, response);
                return None;
            }
            RunResult::Other(response) => {
                self.completer.complete_uncached(job, response);
                return None;
            }
            RunResult::Full => false,
            RunResult::Undone => {
                job.failures += 1;
                true
            }
            RunResult::Lost => {
                // A connection that was there before the last loss may have ended with it, unnoticed so far.
                if job.lost_at.is_none_or(|at| connection.made_at() > at) {
                    job.failures += 1;
                    job.lost_at = Some(now);
                }
                job.query().is_read()
            }
        };
        if may_repeat && job.failures < FAILURES_MAX && now < job.deadline {
            return Some(job);
        }
        self.complete_unavailable(job);
        None
    }

    /// There is no connection for a job here.
    fn hand_over(&self, job: Job) {
        if let Err(job) = self.shared.workers.hand_over(job) {
            self.unavailable(*job);
        }
    }

    /// A job that was never sent is not going to be.
    fn unavailable(&self, job: Job) {
        self.completer.counters.postgres_waiting.down();
        self.complete_unavailable(job);
    }

    fn complete_unavailable(&self, job: Job) {
        self.completer.counters.postgres_unavailable.up();
        let response = job.query().unavailable();
        self.completer.complete_uncached(job, response);
    }

    /// Another site is served: its statements are prepared, those that only the old one had are
    /// forgotten.
    pub(super) fn renew(&self, site: Arc<Site>) {
        let mut state = lock(&self.state);
        state.site = site;
        for connection in &state.connections {
            self.prepare_all(connection, &state.site);
        }
    }

    fn prepare_all(&self, connection: &Arc<Connection>, site: &Arc<Site>) {
        let (connection, site) = (Arc::clone(connection), Arc::clone(site));
        let limit = self.plan.timeout;
        tokio::spawn(async move {
            // What is not prepared in time is prepared when it is first asked for.
            let _ = timeout(limit, connection.renew(&site)).await;
        });
    }

    /// Answers what has waited too long, for ever.
    pub(super) async fn expire(self: Arc<Self>) {
        let mut tick = time::interval(EXPIRE_EVERY);
        tick.set_missed_tick_behavior(time::MissedTickBehavior::Skip);
        loop {
            let now = tick.tick().await.into_std();
            while let Some(job) = lock(&self.state).pop_expired(now) {
                self.completer.counters.postgres_timed_out.up();
                self.unavailable(job);
            }
        }
    }

    /// Makes the connections that are wanted, for ever.
    pub(super) async fn tend(self: Arc<Self>) {
        let mut backoff = BACKOFF_MIN;
        loop {
            while !self.lacks() {
                self.more_wanted.notified().await;
            }
            match self.connect().await {
                Ok(()) => backoff = BACKOFF_MIN,
                Err(error) => {
                    self.on_refused(&error);
                    // Not all pools of all processes at once.
                    let pause = sleep(backoff.mul_f64(0.5 + fastrand::f64() / 2.0));
                    tokio::select! {
                        () = pause => {}
                        // A connection was lost.
                        () = self.more_wanted.notified() => {}
                    }
                    backoff = (2 * backoff).min(BACKOFF_MAX);
                }
            }
        }
    }

    fn lacks(&self) -> bool {
        let state = lock(&self.state);
        state.connections.len() < state.wanted && !state.is_closing
    }

    async fn connect(self: &Arc<Self>) -> Result<(), Refusal> {
        let mut attempt = pin!(timeout(CONNECT_TIMEOUT, self.plan.server.connect(NoTls)));
        let made = match timeout(FIRST_TIMEOUT, attempt.as_mut()).await {
            Ok(made) => made,
            Err(_) => {
                self.on_late();
                let made = attempt.await;
                lock(&self.state).is_late = false;
                made
            }
        };
        let (client, driver) = made.map_err(|_| Refusal::silence())?.map_err(Refusal::of)?;
        let mut state = lock(&self.state);
        if state.is_closing {
            return Ok(());
        }
        let ending = Arc::new(Notify::new());
        let connection =
            Arc::new(Connection::new(client, &ending, &self.completer.counters, &self.shared.log));
        let (pool, gone) = (Arc::clone(self), Arc::downgrade(&connection));
        while state.drivers.try_join_next().is_some() {}
        state.drivers.spawn(async move {
            let problem = tokio::select! {
                ended = driver => ended.err().map(|error| spell(&error)),
                () = ending.notified() => Some("it has stopped answering".to_owned()),
            };
            pool.on_ended(&gone, problem.as_deref());
        });
        self.completer.counters.postgres_connects.up();
        self.completer.counters.postgres_connections_up.up();
        self.prepare_all(&connection, &state.site);
        state.connections.push(connection);
        self.publish_availability(&state);
        if std::mem::take(&mut state.is_down) {
            self.shared.outage.end();
        }
        self.assign(&mut state);
        Ok(())
    }

    fn on_late(&self) {
        let mut state = lock(&self.state);
        state.is_late = true;
        self.begin_outage(&mut state, "it does not answer");
    }

    fn on_refused(&self, Refusal { problem, has_no_room }: &Refusal) {
        let mut state = lock(&self.state);
        let up = state.connections.len();
        if up == 0 {
            drop(state);
            self.fail_waiting(problem);
        } else if *has_no_room {
            self.completer.counters.postgres_connections_wanted.sub((state.wanted - up) as u64);
            state.wanted = up;
            let now = Instant::now();
            if state.full_until.replace(now + FULL_FOR).is_none() {
                tracing::warn!("PostgreSQL has no more connections for us: going on with {up}");
            }
        } else {
            self.shared.outage.lost(problem);
        }
        self.completer.counters.postgres_connect_failures.up();
    }

    /// If there is no connection, new jobs are not taken any more.
    fn begin_outage(&self, state: &mut State, problem: &str) {
        if !state.connections.is_empty() {
            return;
        }
        state.is_connecting = false;
        self.publish_availability(state);
        if !std::mem::replace(&mut state.is_down, true) {
            self.shared.outage.begin(problem);
        }
    }

    /// There is no connection, and an attempt at one has failed: nothing waits here any more.
    fn fail_waiting(&self, problem: &str) {
        let mut state = lock(&self.state);
        self.begin_outage(&mut state, problem);
        let waiting = std::mem::take(&mut state.backlog);
        drop(state);
        waiting.into_iter().for_each(|job| self.hand_over(job));
    }

    fn on_ended(&self, gone: &Weak<Connection>, problem: Option<&str>) {
        let mut state = lock(&self.state);
        if state.is_closing {
            return;
        }
        state
            .connections
            .retain(|connection| !std::ptr::eq(Arc::as_ptr(connection), gone.as_ptr()));
        state.is_connecting = !state.is_late;
        self.publish_availability(&state);
        self.completer.counters.postgres_connections_up.down();
        self.completer.counters.postgres_connections_lost.up();
        let problem = problem.unwrap_or("the server has closed it");
        self.shared.outage.lost(problem);
        if state.is_late {
            self.begin_outage(&mut state, problem);
        }
        drop(state);
        self.more_wanted.notify_one();
    }

    /// Says good-bye on all connections, for at most [`GOODBYE_TIMEOUT`].
    pub(super) async fn close(&self) {
        let mut drivers = {
            let mut state = lock(&self.state);
            state.is_closing = true;
            state.connections.clear();
            state.backlog.clear();
            std::mem::take(&mut state.drivers)
        };
        let ended = async { while drivers.join_next().await.is_some() {} };
        // What is still running is cut off when the runtime ends.
        let _ = timeout(GOODBYE_TIMEOUT, ended).await;
    }
}

/// Why there is no connection.
#[derive(Debug)]
struct Refusal {
    problem: String,
    has_no_room: bool,
}

impl Refusal {
    fn of(error: Error) -> Self {
        let has_no_room = error.code() == Some(&SqlState::TOO_MANY_CONNECTIONS);
        Self { problem: spell(&error), has_no_room }
    }

    fn silence() -> Self {
        Self { problem: "it does not answer".into(), has_no_room: false }
    }
}

/// A job that failed so often is not sent again.
const FAILURES_MAX: u8 = 3;
/// How long the first attempt after a loss may take before new jobs do not wait for it.
const FIRST_TIMEOUT: Duration = Duration::from_millis(100);
/// How long one attempt may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// How long the server may take to stop what it was asked to cancel.
const STUCK_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a server that had no room is not asked for more.
const FULL_FOR: Duration = Duration::from_secs(30);
const EXPIRE_EVERY: Duration = Duration::from_millis(20);
const GOODBYE_TIMEOUT: Duration = Duration::from_millis(200);
