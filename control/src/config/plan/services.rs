//! What works beside the dataplane: PostgreSQL, SQLite, and threads that compute.

use std::error::Error as _;
use std::ops::RangeInclusive;
use std::time::Duration;

use tokio_postgres::config::{ChannelBinding, Host, SslMode};

use super::super::units::{self, Expected};
use super::super::{ConfigError, Key, Place};
use super::reader::{DEADLINE, Reader, refuse};

/// The PostgreSQL server and how it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PostgresPlan {
    /// Where it is, and who we are there. None: nobody named one, and what needs it is unavailable.
    pub(crate) server: Option<tokio_postgres::Config>,
    /// Connections to it.
    pub(crate) connections: usize,
    /// Queries under way on one connection.
    pub(crate) pipeline: usize,
    /// From a request to its response.
    pub(crate) timeout: Duration,
    /// Questions that wait for a connection.
    pub(crate) queue: usize,
}

impl PostgresPlan {
    /// The server as people name it: `user@host:port/database`, without the password.
    pub(crate) fn server_name(&self) -> Option<String> {
        let server = self.server.as_ref()?;
        let user = server.get_user().map(|user| format!("{user}@")).unwrap_or_default();
        let named = server.get_hosts().iter().map(|host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        });
        let hosts: Vec<String> = match server.get_hosts() {
            [] => server.get_hostaddrs().iter().map(ToString::to_string).collect(),
            _ => named.collect(),
        };
        let port = server.get_ports().first().copied().unwrap_or(PORT);
        let database = server.get_dbname().or_else(|| server.get_user()).unwrap_or_default();
        Some(format!("{user}{}:{port}/{database}", hosts.join(",")))
    }
}

/// How SQLite files are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SqlitePlan {
    /// Threads, each with a connection to each file.
    pub(crate) threads: usize,
    /// Bytes of a file that each connection caches.
    pub(crate) cache: u64,
    /// From a request to its response.
    pub(crate) timeout: Duration,
    /// Questions that wait for a thread.
    pub(crate) queue: usize,
}

/// What is computed beside the workers: compression of responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ComputePlan {
    /// Threads.
    pub(crate) threads: usize,
    /// Responses that wait for a thread.
    pub(crate) queue: usize,
}

impl Reader<'_> {
    /// The section `[postgres]`, and what the environment says of it.
    pub(super) fn postgres(&self) -> Result<PostgresPlan, ConfigError> {
        let connections = self.size(Key::PostgresConnections, units::count, CONNECTIONS)?;
        Ok(PostgresPlan {
            server: self.server()?,
            connections: connections.min(self.connections_max()?),
            pipeline: self.size(Key::PostgresPipeline, units::count, PIPELINE)?,
            timeout: self.timeout(Key::PostgresTimeout)?,
            queue: self.size(Key::PostgresQueue, units::count, QUEUE)?,
        })
    }

    /// The section `[sqlite]`; `beside` is the number of cores that workers leave free.
    pub(super) fn sqlite(&self, beside: usize) -> Result<SqlitePlan, ConfigError> {
        Ok(SqlitePlan {
            threads: self.threads(Key::SqliteThreads, beside)?,
            cache: self.within(Key::SqliteCache, units::bytes, CACHE)?,
            timeout: self.timeout(Key::SqliteTimeout)?,
            queue: self.size(Key::SqliteQueue, units::count, QUEUE)?,
        })
    }

    /// The section `[compute]`.
    pub(super) fn compute(&self, beside: usize) -> Result<ComputePlan, ConfigError> {
        Ok(ComputePlan {
            threads: self.threads(Key::ComputeThreads, beside)?,
            queue: self.size(Key::ComputeQueue, units::count, QUEUE)?,
        })
    }

    fn server(&self) -> Result<Option<tokio_postgres::Config>, ConfigError> {
        let key = Key::PostgresUrl;
        let given = self.0.given(key);
        if given.text.is_empty() {
            return Ok(None);
        }
        let not_understood = |error| {
            let problem = explain(&error);
            self.refuse(key, problem, format!("write {URL_SYNTAX}"))
        };
        let server: tokio_postgres::Config = given.text.parse().map_err(not_understood)?;
        if has_unescaped_at(&given.text) {
            let problem =
                "has more than one `@`, so that where the password ends is anybody's guess";
            return Err(self.refuse(key, problem, format!("write {URL_SYNTAX}; `@` is %40")));
        }
        let nowhere = server.get_hosts().is_empty() && server.get_hostaddrs().is_empty();
        if nowhere {
            return Err(self.refuse(key, "names no host", format!("write {URL_SYNTAX}")));
        }
        if server.get_ssl_mode() == SslMode::Require
            || server.get_channel_binding() == ChannelBinding::Require
        {
            let fix = "write sslmode=disable, and reach the server over a network you trust or a \
                       Unix socket";
            return Err(self.refuse(key, "asks for TLS, which is not spoken here", fix));
        }
        Ok(Some(server))
    }

    fn connections_max(&self) -> Result<usize, ConfigError> {
        let Some(given) = self.0.connections_max() else { return Ok(usize::MAX) };
        match given.text.trim().parse() {
            Ok(0) | Err(_) => Err(refuse(
                Key::PostgresConnections,
                given.clone(),
                "not a positive number",
                "set it to the most connections the server lets us have, or unset it",
            )),
            Ok(most) => Ok(most),
        }
    }

    /// The worker answers 504 at `deadlines.response`, and what the database did is not told: its timeout ends
    /// [`RESPONSE_SLACK`] earlier, or at half of a shorter deadline. A default gives way.
    fn timeout(&self, key: Key) -> Result<Duration, ConfigError> {
        let (timeout, bound) = (self.time(key, DEADLINE)?, Key::DeadlinesResponse);
        let response = self.time(bound, DEADLINE)?;
        let limit = response - RESPONSE_SLACK.min(response / 2);
        if timeout <= limit || self.0.given(key).place == Place::Default {
            return Ok(timeout.min(limit));
        }
        let (at_most, bound_value) = (units::spell(limit), self.spell(bound));
        let problem = format!("more than {at_most}, which {bound_value} leaves a statement");
        let fix = format!("lower {} or raise {}", key.path(), bound.path());
        Err(self.refuse(key, problem, fix).against(bound))
    }

    fn threads(&self, key: Key, beside: usize) -> Result<usize, ConfigError> {
        const EXPECTED: Expected = Expected("auto (one per core without a worker), or 1 to 256");
        self.with(key, |text| match text {
            "auto" => Ok(beside),
            number => number.parse().ok().filter(|n| THREADS.contains(n)).ok_or(EXPECTED),
        })
    }
}

/// What is wrong with a connection string. Only what cannot quote it: it may hold a password.
fn explain(error: &tokio_postgres::Error) -> String {
    let cause = error.source().map(ToString::to_string);
    cause
        .filter(|cause| cause.starts_with(NAMES_ITS_OPTION))
        .unwrap_or_else(|| "not understood".into())
}

/// Whether there is an `@` in the host, port or database of a URL: then it is most likely a password that
/// ends later than the driver takes it to, and the rest of it would be shown as the host.
fn has_unescaped_at(text: &str) -> bool {
    let after = text.split_once("://").and_then(|(_, rest)| rest.split_once('@'));
    after.is_some_and(|(_, place)| place.split('?').next().is_some_and(|p| p.contains('@')))
}

const URL_SYNTAX: &str = "postgres://USER:PASSWORD@HOST:PORT/DATABASE (special characters \
                        percent-encoded) or \"host=HOST user=USER dbname=DATABASE\"";
/// How the driver says that the value of one of its own options is wrong.
const NAMES_ITS_OPTION: &str = "invalid value for option";
/// From the timeout of a statement to the deadline of its response: what it takes to notice the one, and to bring the
/// response to the worker.
const RESPONSE_SLACK: Duration = Duration::from_millis(500);
/// PostgreSQL's own.
const PORT: u16 = 5432;
const CONNECTIONS: RangeInclusive<u64> = 1..=4_096;
const PIPELINE: RangeInclusive<u64> = 1..=1_024;
const QUEUE: RangeInclusive<u64> = 1..=1 << 20;
const THREADS: RangeInclusive<usize> = 1..=256;
const CACHE: RangeInclusive<u64> = 1 << 20..=1 << 40;
