//! What a server says of itself.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::lifecycle::{State, Status};

/// What stays the same as long as a server runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process {
    started: Instant,
}

/// The result of `status`, and of the commands that change the state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServerStatus {
    /// What the server does.
    pub(crate) state: State,
    /// Since when, in seconds since 1970-01-01T00:00:00Z.
    pub(crate) since: u64,
    /// Process id.
    pub(crate) pid: u32,
    /// Seconds since the process started.
    pub(crate) uptime_seconds: u64,
    /// Version of the server.
    pub(crate) version: String,
    /// Version of the DPDK libraries it runs with.
    pub(crate) dpdk: String,
    /// Open connections.
    pub(crate) connections: u64,
}

impl Process {
    /// This process, which started at `started`.
    pub(crate) fn started(started: Instant) -> Self {
        Self { started }
    }

    /// This process in this state.
    pub(super) fn status(self, status: Status) -> ServerStatus {
        let Status { state, since, connections } = status;
        ServerStatus {
            state,
            since,
            pid: std::process::id(),
            uptime_seconds: self.started.elapsed().as_secs(),
            version: VERSION.into(),
            dpdk: dpdk::version(),
            connections,
        }
    }
}

/// The version of this program.
const VERSION: &str = env!("CARGO_PKG_VERSION");
