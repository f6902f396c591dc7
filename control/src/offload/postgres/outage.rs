//! Whether the server can be reached, said once when it changes: the pools of all threads report here.

use std::sync::Mutex;
use std::time::Instant;

use crate::offload::cache::lock;
use crate::offload::log_limits::RateLimitedLog;

/// What is known of the server.
#[derive(Debug)]
pub(super) struct Outage {
    down: Mutex<Down>,
    losses: RateLimitedLog,
}

#[derive(Debug)]
struct Down {
    pools: usize,
    since: Instant,
}

impl Outage {
    /// Nothing is known yet.
    pub(super) fn new() -> Self {
        Self {
            down: Mutex::new(Down { pools: 0, since: Instant::now() }),
            losses: RateLimitedLog::new(),
        }
    }

    /// A pool has no connection and cannot make one.
    pub(super) fn begin(&self, problem: &str) {
        let mut down = lock(&self.down);
        down.pools += 1;
        if down.pools == 1 {
            down.since = Instant::now();
            tracing::warn!(
                "PostgreSQL cannot be reached: {problem}; until it can, routes that query it answer as \
                 unavailable"
            );
        }
    }

    /// A pool that had begun an outage has a connection.
    pub(super) fn end(&self) {
        let mut down = lock(&self.down);
        down.pools -= 1;
        if down.pools == 0 {
            let seconds = down.since.elapsed().as_secs_f64();
            tracing::info!("PostgreSQL is reached again, after {seconds:.1} s");
        }
    }

    /// A connection has ended unexpectedly.
    pub(super) fn lost(&self, problem: &str) {
        self.losses.log(Instant::now(), |suppressed| {
            let more = if suppressed > 0 {
                format!(", and {suppressed} before it")
            } else {
                String::new()
            };
            tracing::warn!("PostgreSQL: a connection was lost{more}: {problem}");
        });
    }
}
