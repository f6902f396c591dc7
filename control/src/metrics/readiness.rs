//! Whether the server is ready for traffic, and in one word why it is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::lifecycle::State;
use crate::stats::{Report, StatsHandle};

/// Whether the start is over. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Started(Arc<AtomicBool>);

impl Started {
    /// The workers serve.
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Why the server is not ready, in one word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NotReady(pub(super) String);

/// A report, if the server has one.
pub(super) async fn report(stats: &StatsHandle, started: &Started) -> Result<Report, NotReady> {
    if !started.is_set() {
        return Err(word("starting"));
    }
    match timeout(REPORT_TIMEOUT, stats.report(None)).await {
        Ok(report) => report.map_err(|_| word("stopping")),
        Err(_) => Err(word("unresponsive")),
    }
}

/// Ready: the state is `serving`, and every worker turns.
pub(super) async fn check(stats: &StatsHandle, started: &Started) -> Result<(), NotReady> {
    let first = report(stats, started).await?;
    let deadline = Instant::now() + TURN_TIMEOUT;
    let mut now = first.clone();
    loop {
        if now.server.state != State::Serving {
            return Err(word(now.server.state.name()));
        }
        if every_core_turned(&first, &now) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(word("stalled"));
        }
        sleep(TURN_POLL).await;
        now = report(stats, started).await?;
    }
}

fn every_core_turned(before: &Report, now: &Report) -> bool {
    let mut pairs = before.cores.iter().zip(&now.cores);
    pairs.all(|(before, now)| before.counters.get(TURNS) != now.counters.get(TURNS))
}

fn word(word: &str) -> NotReady {
    NotReady(word.to_owned())
}

/// The counter that moves as long as a worker runs.
const TURNS: &str = "turns";
/// The supervisor answers within milliseconds, unless it is blocked.
const REPORT_TIMEOUT: Duration = Duration::from_secs(2);
/// A worker that does not finish a turn in this time is stalled; the kernel may have others to run first.
const TURN_TIMEOUT: Duration = Duration::from_secs(1);
/// An idle worker sleeps for at most 10 ms.
const TURN_POLL: Duration = Duration::from_millis(12);

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;
    use crate::stats::{CoreReport, ServerReport, StatsError};

    fn serving(turns: [u64; 2]) -> Report {
        let core = |core, turns| CoreReport {
            core,
            counters: [(TURNS.to_owned(), turns)].into(),
            ..CoreReport::default()
        };
        Report {
            server: ServerReport { state: State::Serving, ..ServerReport::default() },
            cores: vec![core(1, turns[0]), core(2, turns[1])],
            ..Report::default()
        }
    }

    async fn check_when(started: bool, stats: StatsHandle) -> Result<(), NotReady> {
        let flag = Started::default();
        if started {
            flag.set();
        }
        check(&stats, &flag).await
    }

    #[tokio::test]
    async fn a_server_that_serves_and_whose_workers_turn_is_ready() {
        let stats = StatsHandle::answering(|_| {
            static TURNS: AtomicU64 = AtomicU64::new(0);
            let turns = TURNS.fetch_add(1, Ordering::Relaxed);
            // The second worker is slow, but it turns.
            Ok(serving([turns, turns / 4]))
        });
        assert_eq!(check_when(true, stats).await, Ok(()));
    }

    #[tokio::test]
    async fn a_word_says_why_it_is_not() {
        let moving = StatsHandle::answering(|_| Ok(serving([1, 1])));
        assert_eq!(check_when(false, moving).await, Err(word("starting")));
        let draining = StatsHandle::answering(|_| {
            let server = ServerReport { state: State::Draining, ..ServerReport::default() };
            Ok(Report { server, ..serving([1, 1]) })
        });
        assert_eq!(check_when(true, draining).await, Err(word("draining")));
        let stopping = StatsHandle::answering(|_| Err(StatsError::Stopping));
        assert_eq!(check_when(true, stopping).await, Err(word("stopping")));
        let (silent, _queries) = StatsHandle::channel();
        assert_eq!(check_when(true, silent).await, Err(word("unresponsive")));
    }

    #[tokio::test]
    async fn a_worker_that_does_not_turn_is_noticed() {
        let stats = StatsHandle::answering(|_| {
            static TURNS: AtomicU64 = AtomicU64::new(0);
            Ok(serving([TURNS.fetch_add(1, Ordering::Relaxed), 7]))
        });
        assert_eq!(check_when(true, stats).await, Err(word("stalled")));
    }
}
