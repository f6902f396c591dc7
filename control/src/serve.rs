//! `pollux serve`: configuration, data, threads, launch, and then watching over it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::control_queue::WallClock;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use tokio::{runtime, task};

use crate::admin::{self, CommandHandler, Process, Socket, SocketError};
use crate::asks::Asks;
use crate::cli::Options;
use crate::config::Plan;
use crate::content::{self, Content, Sample};
use crate::cores::{self, HostCores};
use crate::failure::Failure;
use crate::launch::{self, Appliance, Need};
use crate::lifecycle::Lifecycle;
use crate::logs::{self, LogLevel};
use crate::memory::{HugepagePool, mebibytes};
use crate::metrics;
use crate::reload::{Reloader, Snapshot, Source, Standing, Workshop, await_end};
use crate::service_manager::ServiceManager;
use crate::stats::StatsHandle;
use crate::supervise::{Besides, RunError, Signals, Watch, give_back, keep_time, unix_now};

/// Serves until a signal. Returns when everything is released.
///
/// # Errors
/// With what to do about it.
pub(crate) fn serve(options: Options) -> Result<(), Failure> {
    let host = HostCores::read().map_err(Failure::Cores)?;
    let config = options.config()?;
    let plan = Plan::check(&config, &host)?;
    let log = logs::open(&plan);
    confine(&host.beside(&plan.cores));
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(Failure::Runtime)?;
    let (workshop, reading) = Workshop::open().map_err(Failure::Runtime)?;
    let standing = Standing::new(config, host);
    let source = Source { options, standing, sample: Sample::default() };
    let manager = ServiceManager::from_environment();
    let served = runtime.block_on(run(plan, source, workshop, log, manager.clone()));
    if let Err(failure) = &served {
        manager.failed(failure);
    }
    drop(runtime);
    await_end(&reading, READING_PATIENCE);
    served
}

/// Reads the content that `plan` names, and asks the databases whether they have what it takes. Blocks.
///
/// # Errors
/// Data or databases are not what they should be.
pub(crate) fn load(plan: &Plan, sample: &Sample) -> Result<Content, Failure> {
    let content = Content::load(plan, sample)?;
    for warning in content::vet(plan, &content.site)? {
        tracing::warn!("{warning}");
    }
    Ok(content)
}

async fn run(
    plan: Plan,
    source: Source,
    workshop: Workshop,
    log: LogLevel,
    manager: ServiceManager,
) -> Result<(), Failure> {
    let began = Instant::now();
    // Before anything is taken: from here on a signal lets go of it again.
    let mut signals = Signals::listen().map_err(RunError::Signals)?;
    let socket = take_socket(&plan).await?;
    let (stats, queries) = StatsHandle::channel();
    let started = metrics::start(plan.metrics, stats.clone()).await;
    let extended = manager.loading();
    let loading = workshop.work({
        let (plan, sample) = (plan.clone(), source.sample.clone());
        move || load(&plan, &sample)
    });
    let content = tokio::select! {
        loaded = loading => loaded.map_err(|_| Failure::LaunchPanicked)??,
        name = signals.end() => {
            tracing::info!("{name}: stopped before anything was served");
            manager.stopping(READING_PATIENCE);
            return Ok(());
        }
    };
    drop(extended);
    tell(&content);
    let need = Need::of(&plan, content.bytes, HugepagePool::read());
    let snapshot = Snapshot::new(content, &launch::forms(&plan));
    let (plan, appliance) = launch(plan, &snapshot, need).await?;
    let asks = match Asks::start(&plan, appliance.team.lines(), &snapshot.content.site) {
        Ok(asks) => Arc::new(asks),
        Err(error) => {
            let stopped = appliance.team.stop();
            give_back(appliance, stopped)?;
            return Err(Failure::Asks(error));
        }
    };
    let recipients = appliance.team.recipients();
    let (reload, reloader) = Reloader::start(
        (source, workshop),
        recipients,
        Arc::clone(&asks),
        snapshot,
        manager.clone(),
    );
    let (lifecycle, requests) = Lifecycle::channel();
    let process = Process::started(began);
    let handler = CommandHandler { reload: reload.clone(), lifecycle, stats, log, process };
    let admin = socket.map(|socket| {
        tracing::info!("commands are taken at {}", socket.path().display());
        task::spawn(admin::serve(socket, handler))
    });
    tell_ready(&plan, &appliance, began);
    started.set();
    let besides = Besides { asks, reload, reloader, admin, requests, queries, manager };
    Ok(Watch::new(plan, appliance, besides, began).run(&mut signals).await?)
}

/// The admin socket. A server that cannot have one serves all the same; a second server of its name
/// does not.
async fn take_socket(plan: &Plan) -> Result<Option<Socket>, SocketError> {
    match Socket::take(&plan.admin_directory, &plan.admin_name).await {
        Ok(socket) => Ok(Some(socket)),
        Err(live @ SocketError::Live { .. }) => Err(live),
        Err(error) => {
            tracing::warn!("no commands are taken: {error}");
            Ok(None)
        }
    }
}

async fn launch(plan: Plan, snapshot: &Snapshot, need: Need) -> Result<(Plan, Appliance), Failure> {
    let wall = WallClock::new(unix_now());
    task::spawn(keep_time(Arc::clone(&wall)));
    let editions = snapshot.editions.clone();
    task::spawn_blocking(move || {
        let appliance = launch::launch(&plan, &editions, need, &wall)?;
        Ok((plan, appliance))
    })
    .await
    .map_err(|_| Failure::LaunchPanicked)?
}

fn tell(content: &Content) {
    let Content { source, routes, files, bytes, huge, .. } = content;
    let pages = if *huge { "hugepages" } else { "ordinary pages" };
    let bytes = mebibytes(*bytes as u64);
    tracing::info!(
        "content is {source}: {routes} routes, {files} files, {bytes} of answers in {pages}"
    );
}

/// Says that requests are answered. Others wait for this line.
fn tell_ready(plan: &Plan, appliance: &Appliance, began: Instant) {
    tracing::info!(
        cores = cores::list(&plan.cores),
        connections = plan.connections,
        after_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        "ready: serving http://{}:{}/ on {}",
        plan.address,
        plan.port,
        appliance.link
    );
}

/// Keeps this thread, and all it starts, off the workers' cores. DPDK and the workers choose their own.
fn confine(cores: &[usize]) {
    let mut set = CpuSet::new();
    let chosen = cores.iter().try_for_each(|core| set.set(*core));
    if let Err(error) = chosen.and_then(|()| sched_setaffinity(Pid::from_raw(0), &set)) {
        tracing::warn!("control cannot be kept on cores {}: {error}", cores::list(cores));
    }
}

/// One for the clock and signals, one for whatever blocks it.
const CONTROL_THREADS: usize = 2;
/// For a site that is being made when everything else is released: its files are cleared away after it.
const READING_PATIENCE: Duration = Duration::from_secs(5);
