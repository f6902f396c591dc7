//! The connections of one thread, and the jobs that wait for room on them.
//!
//! A read goes to the least loaded connection; each takes as many as are pipelined, unless what runs there takes long. A
//! write could not be taken back, so it goes behind statements only that have been fast so far, or waits until a
//! connection has nothing to do; some take no reads meanwhile.
//! Where there is no such connection, the pool wants one more, up to its bound: few connections with full pipelines run
//! short queries fastest. [`tend`](Pool::tend) makes what is wanted,
//! one at a time, and makes it again when it is lost. While there is no connection at all, new jobs are answered as
//! unavailable at once; only a first attempt after a loss lets them wait, for [`FIRST_TIMEOUT`]. An attempt that takes longer
//! has not failed: a job that waits by then, or was sent before, waits for its end, for as long as it has time. A job that
//! cannot wait here is handed to a worker where it can, if there is one.
//!
//! A read that waits behind a statement that has shown to take its time is sent on another connection, if there is
//! room ([`attempt`]). It keeps its first place too until the server has passed it, and what it returns there is ignored.
//!
//! A job whose time is up is answered, and the server is asked to stop working on it. It keeps its
//! place on the connection until the server has, and no new job goes behind it. A connection on which
//! that takes longer than [`STUCK_TIMEOUT`] is replaced.
//!
//! A job whose connection is lost is sent again if it has time left and its statement was not sent yet or is known to
//! read only; of a write that was sent nobody knows whether it was done, so it is answered as unavailable, and what it
//! can change is not cached for a while. What the server says it has
//! undone (cancelled in error, a deadlock, a plan that an altered table made invalid) is sent again
//! whatever it is. A job that has failed [`FAILURES_MAX`] times is not; connections that end together, as at a
//! restart of the server, are one failure.
//!
//! All of this runs on one thread: locks are never contended and never held across an await.

mod attempt;

use std::collections::HashSet;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use handlers::Site;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{self, sleep, timeout};
use tokio_postgres::Config;

use super::backlog::Backlog;
use super::connect::{ConnectError, Connected, connect};
use super::connection::{Connection, Endpoint, LONG};
use super::error_class::spell;
use super::outage::Outage;
use super::pooler::Pooler;
use super::statement_names::Naming;
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
    /// Whether prepared statements are kept.
    pub(super) pooler: Arc<Pooler>,
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
    backlog: Backlog,
    /// The texts of statements that were fast when they ran last.
    fast: HashSet<Box<str>>,
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

    /// The connection that takes a read: the least loaded of those that are not kept for writes; behind a query that takes
    /// its time only where there is no other way.
    fn for_read(&self, pipeline: usize) -> Option<&Arc<Connection>> {
        let cost = |it: &&Arc<Connection>| (it.load() > 0 && it.is_slow(), it.load());
        let usable = || self.connections.iter().filter(|it| it.is_usable());
        if self.backlog.first_write().is_none() {
            return usable().filter(|it| it.takes_read(pipeline)).min_by_key(cost);
        }
        let mut by_cost: Vec<_> = usable().collect();
        by_cost.sort_by_key(cost);
        let kept = self.backlog.kept_for_writes(by_cost.len());
        by_cost.into_iter().skip(kept).find(|it| it.takes_read(pipeline))
    }

    /// The connection that takes a write: the least loaded of those where it cannot wait for long.
    fn for_write(&self, pipeline: usize) -> Option<&Arc<Connection>> {
        let usable = self.connections.iter().filter(|it| it.is_usable());
        usable
            .filter(|it| it.takes_write(pipeline))
            .min_by_key(|it| (it.load() > 0 && it.is_slow(), it.load()))
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
            backlog: Backlog::default(),
            fast: HashSet::new(),
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
        let was_sent = job.failures > 0;
        self.enqueue(job, was_sent);
    }

    /// As [`place`](Self::place), before all others of its kind if it `is_first`.
    fn enqueue(self: &Arc<Self>, job: Job, is_first: bool) {
        let mut state = lock(&self.state);
        if !state.can_wait(&job) {
            drop(state);
            return self.hand_over(job);
        }
        if is_first {
            state.backlog.push_first(job);
        } else {
            state.backlog.push_last(job);
        }
        self.assign(&mut state);
    }

    /// Gives waiting jobs to connections with room.
    fn assign(self: &Arc<Self>, state: &mut State) {
        self.drop_unreliable(state);
        let now = Instant::now();
        while let Some(job) = state.backlog.pop_expired(now) {
            self.time_out(job);
        }
        // The older of the two first; where it finds no connection, the other may.
        while let Some(writes_first) = state.backlog.is_write_first() {
            let is_given =
                self.give_next(state, writes_first) || self.give_next(state, !writes_first);
            if !is_given {
                return self.want_more(state);
            }
        }
    }

    /// Gives the first waiting write, or else read, to a connection. Whether there were both.
    fn give_next(self: &Arc<Self>, state: &mut State, is_write: bool) -> bool {
        let pipeline = self.plan.pipeline;
        let found = if is_write { state.for_write(pipeline) } else { state.for_read(pipeline) };
        let Some(connection) = found.map(Arc::clone) else { return false };
        let backlog = &mut state.backlog;
        let job = if is_write { backlog.pop_write() } else { backlog.pop_read() };
        let Some(job) = job else { return false };
        if connection.load() > 0 && connection.is_slow() {
            self.want_more(state);
        }
        let is_proven = state.fast.contains(job.query().sql());
        connection.add_job();
        if !is_proven {
            connection.add_unproven();
        }
        self.completer.counters.postgres_waiting.down();
        self.completer.counters.postgres_under_way.up();
        tokio::spawn(Arc::clone(self).serve(connection, job, is_proven));
        true
    }

    /// A statement of this text ran for `ran`.
    fn note(&self, sql: &str, ran: Duration) {
        let mut state = lock(&self.state);
        if ran > LONG {
            state.fast.remove(sql);
        } else if !state.fast.contains(sql) {
            state.fast.insert(sql.into());
        }
    }

    /// Connections whose prepared statements may be gone get no more jobs; others are made instead. They end
    /// with the jobs they have.
    fn drop_unreliable(&self, state: &mut State) {
        let before = state.connections.len();
        state.connections.retain(|connection| !connection.is_unreliable());
        if state.connections.len() < before {
            state.is_connecting = true;
            self.publish_availability(state);
            self.more_wanted.notify_one();
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

    /// There is no connection for a job here.
    fn hand_over(&self, job: Job) {
        if let Err(job) = self.shared.workers.hand_over(job) {
            self.unavailable(*job);
        }
    }

    /// A job has waited for as long as it may take.
    fn time_out(&self, job: Job) {
        self.completer.counters.postgres_timed_out.up();
        self.unavailable(job);
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
    pub(super) fn renew(self: &Arc<Self>, site: Arc<Site>) {
        let mut state = lock(&self.state);
        state.site = site;
        // Texts of earlier sites are not kept.
        state.fast.clear();
        for connection in &state.connections {
            self.prepare_all(connection, &state.site);
        }
    }

    fn prepare_all(self: &Arc<Self>, connection: &Arc<Connection>, site: &Arc<Site>) {
        let (connection, site) = (Arc::clone(connection), Arc::clone(site));
        let pool = Arc::clone(self);
        connection.add_unproven();
        tokio::spawn(async move {
            // What is not prepared in time is prepared when it is first asked for.
            let _ = timeout(pool.plan.timeout, connection.renew(&site)).await;
            connection.remove_unproven();
            pool.assign(&mut lock(&pool.state));
        });
    }

    /// Answers what has waited too long, for ever.
    pub(super) async fn expire(self: Arc<Self>) {
        let mut tick = time::interval(EXPIRE_EVERY);
        tick.set_missed_tick_behavior(time::MissedTickBehavior::Skip);
        loop {
            let now = tick.tick().await.into_std();
            while let Some(job) = lock(&self.state).backlog.pop_expired(now) {
                self.time_out(job);
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
        let (server, pooler) = (&self.plan.server, &self.shared.pooler);
        let mut attempt = pin!(timeout(CONNECT_TIMEOUT, connect_as_found(server, pooler)));
        let made = match timeout(FIRST_TIMEOUT, attempt.as_mut()).await {
            Ok(made) => made,
            Err(_) => {
                self.on_late();
                let made = attempt.await;
                lock(&self.state).is_late = false;
                made
            }
        };
        let made = made.map_err(|_| Refusal::silence())?;
        let (connected, naming) = made.map_err(Refusal::of)?;
        let Connected { client, driver, address, .. } = connected;
        let pooler = Arc::clone(&self.shared.pooler);
        let endpoint = Endpoint { server: server.clone(), address, naming, pooler };
        let mut state = lock(&self.state);
        if state.is_closing {
            return Ok(());
        }
        let ending = Arc::new(Notify::new());
        let (counters, log) = (&self.completer.counters, &self.shared.log);
        let connection = Arc::new(Connection::new(client, endpoint, &ending, counters, log));
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
        let waiting = state.backlog.take();
        drop(state);
        waiting.for_each(|job| self.hand_over(job));
    }

    fn on_ended(&self, gone: &Weak<Connection>, problem: Option<&str>) {
        let mut state = lock(&self.state);
        if state.is_closing {
            return;
        }
        self.completer.counters.postgres_connections_up.down();
        let before = state.connections.len();
        state
            .connections
            .retain(|connection| !std::ptr::eq(Arc::as_ptr(connection), gone.as_ptr()));
        if state.connections.len() == before {
            // It was dropped before.
            return;
        }
        state.is_connecting = !state.is_late;
        self.publish_availability(&state);
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
            state.backlog = Backlog::default();
            std::mem::take(&mut state.drivers)
        };
        let ended = async { while drivers.join_next().await.is_some() {} };
        // What is still running is cut off when the runtime ends.
        let _ = timeout(GOODBYE_TIMEOUT, ended).await;
    }
}

/// Connects, and once more if that shows that a pooler is in between.
async fn connect_as_found(
    server: &Config,
    pooler: &Pooler,
) -> Result<(Connected, Naming), ConnectError> {
    loop {
        let naming = pooler.naming();
        let connected = connect(server, &naming).await?;
        if !connected.is_pooled || naming == Naming::Unnamed {
            return Ok((connected, naming));
        }
        pooler.on_found();
    }
}

/// Why there is no connection.
#[derive(Debug)]
struct Refusal {
    problem: String,
    has_no_room: bool,
}

impl Refusal {
    fn of(error: ConnectError) -> Self {
        Self { problem: error.to_string(), has_no_room: error.has_no_room() }
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
