//! The life of a running server, seen from control: signals in, counters out, then the way down.

mod notices;
mod withdrawal;

use std::ffi::c_int;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dpdk::StopError;
use engine::control_queue::WallClock;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{self, MissedTickBehavior};

use crate::config::Plan;
use crate::cores;
use crate::failure::CommandError;
use crate::launch::{self, Appliance};
use crate::lifecycle::{Action, LifecycleError, Request, State, Status};
use crate::link::{LinkLost, LinkWatch};
use crate::offload::OffloadService;
use crate::reload::ReloadHandle;
use crate::service_manager::{ServiceManager, Watchdog};
use crate::stats::{self, Report, ServerFacts, Sources, StatsError, StatsQuery};
use crate::stats_file;
use notices::Notices;
use withdrawal::{Step, Withdrawal};

/// What can go wrong once we serve.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// A worker's thread ended by itself.
    #[error("core {core}: its worker has ended; the log above says why")]
    Lost { core: usize },
    /// Nothing arrives on the link any more.
    #[error(transparent)]
    Link(#[from] LinkLost),
    /// Workers did not stop when they were commanded to.
    #[error(
        "cores {cores:?}: their workers do not stop; the port is released when the process ends"
    )]
    Stuck { cores: Vec<usize> },
    /// The port was not released as it should be.
    #[error("{0}")]
    Release(#[from] StopError),
    /// The kernel gives no signals.
    #[error("signals cannot be received: {0}")]
    Signals(#[from] io::Error),
}

impl CommandError for RunError {}

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
        // A file that may not grow (RLIMIT_FSIZE) is then an error of the write, as a full disk is.
        drop(signal(SignalKind::from_raw(nix::sys::signal::Signal::SIGXFSZ as c_int))?);
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
pub(crate) struct Services {
    /// Completes what the cores offload.
    pub(crate) offload: Arc<OffloadService>,
    /// Where reloads are asked for.
    pub(crate) reload: ReloadHandle,
    /// Keeps what the workers hold.
    pub(crate) reloader: JoinHandle<()>,
    /// Has the admin socket, if there is one.
    pub(crate) admin: Option<JoinHandle<()>>,
    /// What is asked of the supervisor.
    pub(crate) requests: mpsc::Receiver<Request>,
    /// Reports that are asked for.
    pub(crate) queries: mpsc::Receiver<StatsQuery>,
    /// Is notified of the state of the server.
    pub(crate) manager: ServiceManager,
}

/// A server with its plan.
#[derive(Debug)]
pub(crate) struct Supervisor {
    plan: Plan,
    facts: ServerFacts,
    appliance: Appliance,
    services: Services,
    watchdog: Option<Watchdog>,
    state: State,
    /// Since when, as [`unix_now`].
    since: u64,
    /// What is to come before the drain, while it is not over.
    withdrawal: Option<Withdrawal>,
    flows_logged: bool,
    notices: Notices,
    stats_failed: bool,
}

impl Supervisor {
    /// Watches over `appliance` and what is beside it, in a process that began to start at `began`.
    pub(crate) fn new(
        plan: Plan,
        appliance: Appliance,
        services: Services,
        began: Instant,
    ) -> Self {
        let facts = ServerFacts {
            name: plan.admin_name.clone(),
            url: format!("http://{}:{}/", plan.address, plan.port),
            link: appliance.link.clone(),
            began,
            tsc_hz: appliance.tsc.hz(),
        };
        let watchdog = Watchdog::from_environment(&services.manager);
        Self {
            plan,
            facts,
            appliance,
            services,
            watchdog,
            state: State::Serving,
            since: unix_now(),
            withdrawal: None,
            flows_logged: false,
            notices: Notices::default(),
            stats_failed: false,
        }
    }

    /// Serves until a signal, then drains, stops and releases everything.
    ///
    /// # Errors
    /// A worker was lost or does not stop, or the port was not released cleanly. The way down has been
    /// gone all the same.
    pub(crate) async fn run(mut self, signals: &mut Signals) -> Result<(), RunError> {
        self.services.manager.ready(&format!("serving {}", self.facts.url));
        let served = self.serve(signals).await;
        self.services.reload.close();
        let limit =
            if served.is_ok() { self.plan.withdraw + self.plan.drain } else { Duration::ZERO };
        self.services.manager.stopping(limit);
        if served.is_ok() {
            self.drain(signals).await;
        }
        let released = self.release().await;
        served.and(released)
    }

    async fn serve(&mut self, signals: &mut Signals) -> Result<(), RunError> {
        let mut stats = interval(self.plan.stats_every);
        let mut look = interval(LOOK_EVERY);
        let mut feed = self.feeding();
        loop {
            tokio::select! {
                meaning = signals.any() => match meaning {
                    Meaning::Reload => self.services.reload.order(),
                    Meaning::End(name) => {
                        tracing::info!("{name}: draining for at most {:?}", self.plan.drain);
                        return Ok(());
                    }
                },
                Some(request) = self.services.requests.recv() => {
                    self.carry_out(request).await;
                    if self.state == State::Stopping {
                        tracing::info!("stop: draining for at most {:?}", self.plan.drain);
                        return Ok(());
                    }
                }
                _ = stats.tick() => self.write_stats(),
                Some(query) = self.services.queries.recv() => self.report_stats(query),
                _ = look.tick() => self.look()?,
                _ = feed.tick() => self.feed(),
            }
        }
    }

    fn look(&mut self) -> Result<(), RunError> {
        if let Some(core) = self.appliance.workers.lost() {
            return Err(RunError::Lost { core });
        }
        if let Some(lost) = self.appliance.watch.as_ref().and_then(LinkWatch::lost) {
            return Err(lost.into());
        }
        if !self.flows_logged {
            let opened = self.appliance.workers.connections_opened();
            self.flows_logged = log_flows(&opened);
        }
        let on_link = (self.facts.link.as_str(), self.plan.on_link().0);
        self.notices.look(&self.appliance.workers, on_link);
        self.withdraw_further();
        self.look_for_drained();
        if self.state == State::Draining {
            self.notify_state();
        }
        Ok(())
    }

    /// When to look after the watchdog: in a year, if there is none.
    fn feeding(&self) -> time::Interval {
        let every = self.watchdog.as_ref().map(Watchdog::look_every);
        interval(every.unwrap_or(NEVER))
    }

    fn feed(&mut self) {
        if let Some(watchdog) = &mut self.watchdog {
            watchdog.look(self.appliance.workers.turns());
        }
    }

    /// Tells the service manager what the server does.
    fn notify_state(&self) {
        let connections = self.appliance.workers.connections_open();
        self.services.manager.state(self.state, &self.facts.url, connections);
    }

    fn look_for_drained(&mut self) {
        if self.state == State::Draining && self.appliance.workers.poll_drained() {
            self.enter(State::Drained);
        }
    }

    /// Carries out what an operator asks for.
    async fn carry_out(&mut self, request: Request) {
        self.look_for_drained();
        let changed = match (request.action, self.state) {
            (Action::Report, _)
            | (Action::Drain, State::Draining | State::Drained)
            | (Action::Resume, State::Serving)
            | (Action::Stop, State::Stopping) => Ok(()),
            (Action::Drain | Action::Resume, State::Stopping) => Err(LifecycleError::Stopping),
            (Action::Drain, State::Serving) => self.begin_drain(),
            (Action::Resume, State::Draining | State::Drained) => self.resume().await,
            (Action::Stop, _) => {
                self.enter(State::Stopping);
                Ok(())
            }
        };
        self.look_for_drained();
        let Self { state, since, .. } = *self;
        let connections = self.appliance.workers.connections_open();
        request.complete(changed.map(|()| Status { state, since, connections }));
    }

    /// Accepts no more connections, now or after `deadlines.withdraw`, and goes on running.
    fn begin_drain(&mut self) -> Result<(), LifecycleError> {
        if self.plan.withdraw.is_zero() {
            self.appliance.workers.drain().map_err(|cores| LifecycleError::NotTaken { cores })?;
        }
        self.enter(State::Draining);
        Ok(())
    }

    /// Accepts connections again, once all workers do.
    async fn resume(&mut self) -> Result<(), LifecycleError> {
        let sent = self.appliance.workers.resume();
        let deadline = Instant::now() + RESUME_TIMEOUT;
        while !self.appliance.workers.poll_resumed() {
            if Instant::now() > deadline {
                return Err(LifecycleError::NotTaken { cores: self.appliance.workers.resuming() });
            }
            time::sleep(RESUME_LOOK_EVERY).await;
        }
        sent.map_err(|cores| LifecycleError::NotTaken { cores })?;
        self.withdrawal = None;
        self.enter(State::Serving);
        Ok(())
    }

    fn enter(&mut self, state: State) {
        tracing::info!("the server was {} and is {}", self.state.name(), state.name());
        if self.state == State::Serving {
            self.withdrawal = Withdrawal::begin(self.plan.withdraw, Instant::now());
        }
        (self.state, self.since) = (state, unix_now());
        self.notify_state();
    }

    fn withdraw_further(&mut self) {
        let Some(withdrawal) = &mut self.withdrawal else { return };
        let sent = match withdrawal.due(Instant::now()) {
            Some(Step::Retire) => self.appliance.workers.retire(),
            Some(Step::Drain) => {
                self.withdrawal = None;
                self.appliance.workers.drain()
            }
            None => Ok(()),
        };
        if let Err(cores) = sent {
            tracing::warn!("cores {cores:?}: their workers take no commands");
        }
    }

    /// The last drain, after what is left of a withdrawal: what is not over after `deadlines.drain` is reset.
    async fn drain(&mut self, signals: &mut Signals) {
        if self.state != State::Stopping {
            self.enter(State::Stopping);
        }
        let began = self.withdrawal.as_ref().map_or_else(Instant::now, Withdrawal::end);
        if self.withdrawal.is_none()
            && let Err(cores) = self.appliance.workers.drain()
        {
            tracing::warn!("cores {cores:?}: their workers take no commands");
        }
        let mut stats = interval(self.plan.stats_every);
        let mut look = interval(DRAIN_LOOK_EVERY);
        let mut state = interval(LOOK_EVERY);
        let mut feed = self.feeding();
        let overdue = time::sleep_until((began + self.plan.drain).into());
        tokio::pin!(overdue);
        loop {
            tokio::select! {
                _ = look.tick() => {
                    self.withdraw_further();
                    if self.withdrawal.is_none() && self.appliance.workers.poll_drained() {
                        return tracing::info!("drained in {} ms", began.elapsed().as_millis());
                    }
                }
                _ = stats.tick() => self.write_stats(),
                _ = state.tick() => self.notify_state(),
                _ = feed.tick() => self.feed(),
                Some(query) = self.services.queries.recv() => self.report_stats(query),
                Some(request) = self.services.requests.recv() => self.carry_out(request).await,
                () = &mut overdue => {
                    let open = self.appliance.workers.connections_open();
                    return tracing::warn!("time to drain is up: {open} connections are reset");
                }
                _ = signals.interrupt.recv() => {
                    return tracing::warn!("SIGINT again: stopping at once");
                }
            }
        }
    }

    /// The way down: workers, then who answers them, the port, what they held, and last the name.
    async fn release(mut self) -> Result<(), RunError> {
        let stopped = self.appliance.workers.stop();
        self.services.offload.stop();
        self.write_stats();
        tracing::info!("counters: {}", self.report(None).spell_nonzero());
        let released = give_back(self.appliance, stopped);
        for task in [self.services.reloader].into_iter().chain(self.services.admin) {
            task.abort();
            // It ends as cancelled, or has ended.
            let _ = task.await;
        }
        released
    }

    fn write_stats(&mut self) {
        let Some(path) = &self.plan.stats else { return };
        match stats_file::replace(path, &self.report(None)) {
            Ok(()) => self.stats_failed = false,
            Err(error) => {
                if !self.stats_failed {
                    tracing::warn!("{}: counters cannot be written: {error}", path.display());
                }
                self.stats_failed = true;
            }
        }
    }

    fn report_stats(&self, query: StatsQuery) {
        let workers = self.appliance.workers.readings();
        let worker = query.core.map(|core| {
            let found = workers.iter().position(|worker| worker.core == core);
            let workers = cores::list(&self.plan.cores);
            found.ok_or(StatsError::NoSuchCore { core, workers })
        });
        query.complete(worker.transpose().map(|worker| self.report(worker)));
    }

    /// Of all workers, or of the one with this index.
    fn report(&self, worker: Option<usize>) -> Report {
        let mut cores = self.appliance.workers.readings();
        if let Some(worker) = worker {
            cores = vec![cores[worker]];
        }
        Sources {
            server: &self.facts,
            state: self.state,
            cores: &cores,
            routes: self.services.reload.routes(worker),
            nic: stats::nic(&self.appliance.ports),
            offload: &self.services.offload.readings(),
            reload: self.services.reload.readings(),
        }
        .report()
    }
}

/// Gives back the ports of `appliance`, whose workers were commanded to stop, with this outcome.
///
/// # Errors
/// Workers did not stop, or a port was not released as it should be.
pub(crate) fn give_back(
    appliance: Appliance,
    stopped: Result<(), Vec<usize>>,
) -> Result<(), RunError> {
    let Appliance { exception, ports, link, watch, lock, .. } = appliance;
    // What is released is not lost.
    drop(watch);
    // The exception interface goes with it, before the port that it speaks through.
    drop(exception);
    stopped.map_err(|cores| RunError::Stuck { cores })?;
    launch::release(ports)?;
    drop(lock);
    tracing::info!("released {link}");
    Ok(())
}

/// Says, once enough connections were opened to tell, on how many cores they arrived.
fn log_flows(opened: &[(usize, u64)]) -> bool {
    let total: u64 = opened.iter().map(|(_, opened)| opened).sum();
    if opened.len() < 2 || total < FLOWS_TO_LOG * opened.len() as u64 {
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
/// For what does not happen.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3_600);
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A worker looks for commands many times a millisecond.
const RESUME_TIMEOUT: Duration = Duration::from_secs(1);
const RESUME_LOOK_EVERY: Duration = Duration::from_millis(1);
const DRAIN_LOOK_EVERY: Duration = Duration::from_millis(5);
/// Connections a core, on average, before it is said how they are spread.
const FLOWS_TO_LOG: u64 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_are_told_once_there_are_enough() {
        assert!(!log_flows(&[(1, 1_000)]), "one core has nothing to spread");
        assert!(!log_flows(&[(0, 31), (1, 0)]));
        assert!(log_flows(&[(0, 16), (1, 16)]));
        assert!(log_flows(&[(0, 32), (1, 0)]), "that is a warning");
    }

    #[test]
    fn the_clock_is_after_this_was_written() {
        assert!(unix_now() > 1_700_000_000);
    }
}
