//! PostgreSQL: statements run on pipelined connections, rows written as JSON as they come.
//!
//! One [`worker`] is one thread with a tokio runtime and a pool of connections ([`pool`]) of its own:
//! nothing is shared between workers but the count of what waits. Jobs go to the workers in turn, past those that have
//! no connection.

mod argument;
mod backlog;
mod calendar;
mod cell;
mod connect;
mod connection;
mod effect;
mod error_class;
mod outage;
mod pipeline;
mod pool;
mod pooler;
mod prepared;
mod statement_names;
mod statement_stream;
mod statements;
#[cfg(test)]
mod tests;
mod validate;
mod worker;
mod workers;

use std::io;
use std::num::NonZero;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use handlers::Site;
use tokio_postgres::Config;

use crate::config::PostgresPlan;

pub(super) use self::validate::problems;

use self::outage::Outage;
use self::pool::{Pool, PoolPlan, Shared};
use self::pooler::Pooler;
use self::workers::Workers;
use super::completer::Completer;
use super::job::Job;
use super::statement_log::StatementLog;
use super::threads::Threads;

/// All workers; none where no server is configured.
#[derive(Debug)]
pub(crate) struct Postgres {
    shared: Shared,
    threads: Threads,
    queue: u64,
    completer: Arc<Completer>,
}

impl Postgres {
    /// Starts the workers: one for each core of this thread's affinity, as far as there are connections
    /// for them.
    ///
    /// # Errors
    /// The system has no thread or no files to give.
    pub(crate) fn start(
        plan: &PostgresPlan,
        site: &Arc<Site>,
        completer: &Arc<Completer>,
    ) -> io::Result<Self> {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let count = match &plan.server {
            None => 0,
            Some(_) => cores.min(plan.connections / WORKER_CONNECTIONS_MIN).max(1),
        };
        let threads = Threads::default();
        let shared = Shared {
            log: Arc::new(StatementLog::new("PostgreSQL")),
            outage: Arc::new(Outage::new()),
            pooler: Arc::new(Pooler::default()),
            workers: Arc::new(Workers::default()),
        };
        let worker = |(number, server): (usize, Config)| {
            let share = plan.connections / count + usize::from(number < plan.connections % count);
            let plan = PoolPlan {
                server: with_defaults(server),
                connections: share.max(1),
                pipeline: plan.pipeline,
                timeout: plan.timeout,
            };
            worker::start(number, &threads, Pool::new(plan, site, completer, &shared))
        };
        let servers = std::iter::repeat_n(plan.server.clone(), count).flatten();
        let handles = servers.enumerate().map(worker).collect::<io::Result<_>>()?;
        shared.workers.set(handles);
        let queue = u64::try_from(plan.queue).expect("a queue is shorter than 2^64");
        Ok(Self { shared, threads, queue, completer: Arc::clone(completer) })
    }

    /// Runs a job, or answers it at once: without a server as unavailable, with a full queue as busy.
    pub(crate) fn run(&self, job: Job) {
        let counters = &self.completer.counters;
        if self.shared.workers.is_empty() {
            counters.postgres_unavailable.up();
            let response = job.query().unavailable();
            return self.completer.complete_uncached(job, response);
        }
        if !self.admit() {
            counters.postgres_refused.up();
            let response = job.query().busy();
            return self.completer.complete_uncached(job, response);
        }
        self.run_admitted(job);
    }

    /// Counts one job more that waits, if it may.
    pub(crate) fn admit(&self) -> bool {
        let waiting = &self.completer.counters.postgres_waiting;
        if self.shared.workers.is_empty() {
            return false;
        }
        let has_room = waiting.draw() < self.queue;
        if !has_room {
            waiting.down();
        }
        has_room
    }

    /// Runs a job that is counted as waiting.
    pub(crate) fn run_admitted(&self, job: Job) {
        self.shared.workers.run(job);
    }

    /// Another site is served.
    pub(crate) fn renew(&self, site: &Arc<Site>) {
        self.shared.log.renew();
        self.shared.workers.renew(site);
    }

    /// Ends all connections and threads. What is under way is not answered.
    pub(crate) fn stop(&self) {
        self.shared.workers.stop();
        self.threads.join();
    }
}

/// What an operator's URL leaves open.
pub(crate) fn with_defaults(mut server: Config) -> Config {
    if server.get_application_name().is_none() {
        server.application_name("pollux");
    }
    if server.get_connect_timeout().is_none() {
        server.connect_timeout(CONNECT_TIMEOUT);
    }
    if server.get_keepalives_idle() == Config::new().get_keepalives_idle() {
        // Two hours by default: a peer that vanished would be noticed by the first request.
        server.keepalives_idle(KEEPALIVES_IDLE);
    }
    server
}

/// Fewer are not worth a thread.
const WORKER_CONNECTIONS_MIN: usize = 4;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const KEEPALIVES_IDLE: Duration = Duration::from_secs(30);
