//! The watchdog of the service manager (`WatchdogSec=`, sd_watchdog_enabled(3)): it is fed only while
//! every core turns, so that a core which stands still has the service restarted.

use std::time::Duration;

use sd_notify::NotifyState;

use super::ServiceManager;
use crate::cores;

/// Feeds the watchdog as long as all counters of turns move.
#[derive(Debug)]
pub(crate) struct Watchdog {
    manager: ServiceManager,
    limit: Duration,
    cores: Turning,
}

impl Watchdog {
    /// The one that `WATCHDOG_USEC` asks for; none if that is not set, or `WATCHDOG_PID` is of another process.
    pub(crate) fn from_environment(manager: &ServiceManager) -> Option<Self> {
        Self::of(manager, sd_notify::watchdog_enabled())
    }

    /// One that bites when it has not been fed for `limit`.
    pub(super) fn of(manager: &ServiceManager, limit: Option<Duration>) -> Option<Self> {
        let limit = limit.filter(|limit| !limit.is_zero() && manager.0.is_some())?;
        Some(Self { manager: manager.clone(), limit, cores: Turning::default() })
    }

    /// How often [`look`](Self::look) is to be called: some looks may come late.
    pub(crate) fn look_every(&self) -> Duration {
        (self.limit / LOOKS).max(Duration::from_millis(1))
    }

    /// Feeds, if every core has turned since it was fed last; `turns` are the cores with their counters. A
    /// core that sleeps because nothing comes turns, too: no sleep is longer than some milliseconds.
    pub(crate) fn look(&mut self, turns: Vec<(usize, u64)>) {
        match self.cores.look(turns) {
            Progress::Turning => {
                self.manager.notify(|socket| socket.send(&[NotifyState::Watchdog]))
            }
            Progress::TurningAgain(stood) => {
                self.manager.notify(|socket| socket.send(&[NotifyState::Watchdog]));
                tracing::info!("cores {}: their workers turn again", cores::list(&stood));
            }
            Progress::Stalled(still) => tracing::error!(
                "cores {}: their workers stand still. The watchdog is not fed: unless they turn again, the \
                 service manager restarts the service {:?} after it was fed last",
                cores::list(&still),
                self.limit
            ),
            Progress::Unchanged => {}
        }
    }
}

/// The counters when all had moved last.
#[derive(Debug, Default)]
struct Turning {
    turns: Vec<(usize, u64)>,
    /// Cores that have been said to stand still.
    still: Vec<usize>,
}

#[derive(Debug, PartialEq, Eq)]
enum Progress {
    /// All have moved.
    Turning,
    /// All have moved, after these had not.
    TurningAgain(Vec<usize>),
    /// These have not; that is news.
    Stalled(Vec<usize>),
    /// There is nothing to compare with, or what stands still is known.
    Unchanged,
}

impl Turning {
    fn look(&mut self, turns: Vec<(usize, u64)>) -> Progress {
        if self.turns.len() != turns.len() {
            self.turns = turns;
            return Progress::Unchanged;
        }
        let pairs = self.turns.iter().zip(&turns);
        let still: Vec<_> =
            pairs.filter(|(before, now)| before == now).map(|(_, (core, _))| *core).collect();
        if still.is_empty() {
            self.turns = turns;
            let stood = std::mem::take(&mut self.still);
            return if stood.is_empty() {
                Progress::Turning
            } else {
                Progress::TurningAgain(stood)
            };
        }
        let known = still.iter().all(|core| self.still.contains(core));
        if known {
            return Progress::Unchanged;
        }
        self.still.clone_from(&still);
        Progress::Stalled(still)
    }
}

/// Looks within the limit.
const LOOKS: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_turns_on_every_core_is_fed() {
        let mut cores = Turning::default();
        assert_eq!(
            cores.look(vec![(1, 5), (2, 5)]),
            Progress::Unchanged,
            "nothing to compare with"
        );
        assert_eq!(cores.look(vec![(1, 6), (2, 6)]), Progress::Turning);
        assert_eq!(cores.look(vec![(1, 7), (2, 6)]), Progress::Stalled(vec![2]));
        assert_eq!(cores.look(vec![(1, 8), (2, 6)]), Progress::Unchanged, "it was said");
        assert_eq!(cores.look(vec![(1, 9), (2, 7)]), Progress::TurningAgain(vec![2]));
        assert_eq!(cores.look(vec![(1, 10), (2, 8)]), Progress::Turning);
    }

    #[test]
    fn another_core_that_stops_is_news() {
        let mut cores = Turning::default();
        cores.look(vec![(1, 5), (2, 5)]);
        assert_eq!(cores.look(vec![(1, 5), (2, 6)]), Progress::Stalled(vec![1]));
        // Since it was fed last, the second has moved: it is no news before that is over.
        assert_eq!(cores.look(vec![(1, 5), (2, 6)]), Progress::Unchanged);
    }
}
