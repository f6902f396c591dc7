//! The life of a running server, seen from control: signals in, counters out, then the way down.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dpdk::StopError;
use engine::link::WallClock;
use serde_json::Value;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio::time::{self, MissedTickBehavior};

use crate::asks::Asks;
use crate::config::Plan;
use crate::launch::{self, Appliance};
use crate::memory::MemoryUse;
use crate::reload::ReloadDesk;
use crate::stats_file::{self, NicReadings};

/// What can go wrong once we serve.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// A worker's thread ended by itself.
    #[error("core {core}: its worker has ended; the log above says why")]
    Lost {
        /// The core.
        core: usize,
    },
    /// Workers did not stop when they were told.
    #[error(
        "cores {cores:?}: their workers do not stop; the port is released when the process ends"
    )]
    Stuck {
        /// The cores.
        cores: Vec<usize>,
    },
    /// The port was not released as it should be.
    #[error("{0}")]
    Release(#[from] StopError),
    /// The kernel gives no signals.
    #[error("signals cannot be received: {0}")]
    Signals(#[from] io::Error),
}

/// The signals that a server heeds.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Receives them from now on; none of them kills the process any more.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next one that ends a server, by name.
    pub(crate) async fn end(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// The next one, whatever it means.
    async fn any(&mut self) -> Meaning {
        tokio::select! {
            _ = self.terminate.recv() => Meaning::End("SIGTERM"),
            _ = self.interrupt.recv() => Meaning::End("SIGINT"),
            _ = self.hangup.recv() => Meaning::Reload,
        }
    }
}

/// What a signal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// Drain and stop. The signal's name.
    End(&'static str),
    /// Read everything again.
    Reload,
}

/// Keeps `wall` at the time of day, for ever.
pub(crate) async fn keep_time(wall: Arc<WallClock>) {
    let mut tick = time::interval(WALL_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tick.tick().await;
        wall.set(unix_now());
    }
}

/// Seconds since 1970-01-01T00:00:00Z.
pub(crate) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs())
}

/// What runs beside the workers.
#[derive(Debug)]
pub(crate) struct Besides {
    /// Answers what the cores ask.
    pub(crate) asks: Arc<Asks>,
    /// Where reloads are asked for.
    pub(crate) reload: ReloadDesk,
    /// Keeps what the workers were lent.
    pub(crate) reloader: JoinHandle<()>,
    /// Has the admin socket.
    pub(crate) admin: JoinHandle<()>,
}

/// A server with its plan.
#[derive(Debug)]
pub(crate) struct Watch {
    plan: Plan,
    appliance: Appliance,
    besides: Besides,
    flows_told: bool,
    stats_failed: bool,
}

impl Watch {
    /// Watches over `appliance` and what is beside it.
    pub(crate) fn new(plan: Plan, appliance: Appliance, besides: Besides) -> Self {
        Self { plan, appliance, besides, flows_told: false, stats_failed: false }
    }

    /// Serves until a signal, then drains, stops and releases everything.
    ///
    /// # Errors
    /// A worker was lost or does not stop, or the port was not released cleanly. The way down has been
    /// gone all the same.
    pub(crate) async fn run(mut self, signals: &mut Signals) -> Result<(), RunError> {
        let served = self.serve(signals).await;
        if served.is_ok() {
            self.drain(signals).await;
        }
        let released = self.release().await;
        served.and(released)
    }

    async fn serve(&mut self, signals: &mut Signals) -> Result<(), RunError> {
        let mut stats = interval(self.plan.stats_every);
        let mut look = interval(LOOK_EVERY);
        loop {
            tokio::select! {
                meaning = signals.any() => match meaning {
                    Meaning::Reload => self.besides.reload.order(),
                    Meaning::End(name) => {
                        tracing::info!("{name}: draining for at most {:?}", self.plan.drain);
                        return Ok(());
                    }
                },
                _ = stats.tick() => self.write_stats(),
                _ = look.tick() => self.look()?,
            }
        }
    }

    fn look(&mut self) -> Result<(), RunError> {
        if let Some(core) = self.appliance.team.lost() {
            return Err(RunError::Lost { core });
        }
        if !self.flows_told {
            let opened = self.appliance.team.connections_opened();
            self.flows_told = tell_flows(&opened);
        }
        Ok(())
    }

    async fn drain(&mut self, signals: &mut Signals) {
        let began = Instant::now();
        self.besides.reload.close();
        self.appliance.team.drain();
        let mut stats = interval(self.plan.stats_every);
        let mut look = interval(DRAIN_LOOK_EVERY);
        let overdue = time::sleep(self.plan.drain);
        tokio::pin!(overdue);
        loop {
            tokio::select! {
                _ = look.tick() => if self.appliance.team.poll_drained() {
                    return tracing::info!("drained in {} ms", began.elapsed().as_millis());
                },
                _ = stats.tick() => self.write_stats(),
                () = &mut overdue => {
                    let open = self.appliance.team.connections_open();
                    return tracing::warn!("time to drain is up: {open} connections are reset");
                }
                _ = signals.interrupt.recv() => {
                    return tracing::warn!("SIGINT again: stopping at once");
                }
            }
        }
    }

    /// The way down: workers, then who answers them, the port, what was lent, and last the name.
    async fn release(mut self) -> Result<(), RunError> {
        let stopped = self.appliance.team.stop();
        self.besides.asks.stop();
        self.write_stats();
        let document = self.document();
        tracing::info!("counters: {}", stats_file::spell_nonzero(&document));
        let released = give_back(self.appliance, stopped);
        for task in [self.besides.reloader, self.besides.admin] {
            task.abort();
            // It ends as cancelled, or has ended.
            let _ = task.await;
        }
        released
    }

    fn write_stats(&mut self) {
        let Some(path) = &self.plan.stats else { return };
        match stats_file::replace(path, &self.document()) {
            Ok(()) => self.stats_failed = false,
            Err(error) => {
                if !self.stats_failed {
                    tracing::warn!("{}: counters cannot be written: {error}", path.display());
                }
                self.stats_failed = true;
            }
        }
    }

    fn document(&self) -> Value {
        let mut nic = NicReadings::default();
        self.appliance.ports.iter().for_each(|port| nic.add(port));
        stats_file::document(
            &self.appliance.team.readings(),
            &nic,
            MemoryUse::read(),
            &self.besides.asks.readings(),
            self.besides.reload.readings(),
        )
    }
}

/// Gives back the ports of `appliance`, whose workers were told to stop, with this outcome.
///
/// # Errors
/// Workers did not stop, or a port was not released as it should be.
pub(crate) fn give_back(
    appliance: Appliance,
    stopped: Result<(), Vec<usize>>,
) -> Result<(), RunError> {
    let Appliance { ports, link, .. } = appliance;
    stopped.map_err(|cores| RunError::Stuck { cores })?;
    launch::release(ports)?;
    tracing::info!("released {link}");
    Ok(())
}

/// Says, once enough connections were opened to tell, on how many cores they arrived.
fn tell_flows(opened: &[(usize, u64)]) -> bool {
    let total: u64 = opened.iter().map(|(_, opened)| opened).sum();
    if opened.len() < 2 || total < FLOWS_TO_TELL * opened.len() as u64 {
        return false;
    }
    let seen = opened.iter().filter(|(_, opened)| *opened > 0).count();
    let each: Vec<_> = opened.iter().map(|(core, n)| format!("core {core}: {n}")).collect();
    let message =
        format!("flows were seen on {seen} of {} cores ({})", opened.len(), each.join(", "));
    if seen == opened.len() {
        tracing::info!("{message}");
    } else {
        tracing::warn!("{message}: the others idle, something does not spread them");
    }
    true
}

fn interval(every: Duration) -> time::Interval {
    let mut interval = time::interval(every);
    interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
    interval
}

const WALL_EVERY: Duration = Duration::from_millis(100);
const LOOK_EVERY: Duration = Duration::from_millis(250);
const DRAIN_LOOK_EVERY: Duration = Duration::from_millis(5);
/// Connections a core, on average, before it is said how they are spread.
const FLOWS_TO_TELL: u64 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_are_told_once_there_are_enough() {
        assert!(!tell_flows(&[(1, 1_000)]), "one core has nothing to spread");
        assert!(!tell_flows(&[(0, 31), (1, 0)]));
        assert!(tell_flows(&[(0, 16), (1, 16)]));
        assert!(tell_flows(&[(0, 32), (1, 0)]), "that is a warning");
    }

    #[test]
    fn the_clock_is_after_this_was_written() {
        assert!(unix_now() > 1_700_000_000);
    }
}
