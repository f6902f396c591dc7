//! `pollux serve`: configuration, data, threads, launch, and then watching over it.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::control_queue::WallClock;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use tokio::{runtime, task, time};

use crate::admin::{self, CommandHandler, Process, Socket, SocketError};
use crate::cli::options::Options;
use crate::config::Plan;
use crate::content::{self, Content, Sample};
use crate::cores::{self, HostCores};
use crate::failure::{CommandError, Failure};
use crate::human;
use crate::launch::{self, Appliance, MemoryRequirement};
use crate::lifecycle::Lifecycle;
use crate::logs::{self, LogLevel};
use crate::memory::HugepagePool;
use crate::metrics;
use crate::offload::OffloadService;
use crate::progress::{LOG_EVERY, Progress};
use crate::reload::{LoaderThread, Reloader, RunningConfig, Snapshot, Source, await_end};
use crate::service_manager::ServiceManager;
use crate::stats::StatsHandle;
use crate::supervise::{RunError, Services, Signals, Supervisor, give_back, keep_time, unix_now};

/// Why a server did not come to serve, where nothing that it started says so itself.
#[derive(Debug, thiserror::Error)]
enum ServeError {
    /// A panic while starting; it is in the log.
    #[error("the start was cut short by a defect; the log above says where")]
    Panicked,
    /// No threads for databases and compression.
    #[error("the threads that answer for databases could not be made: {0}")]
    Offload(io::Error),
    /// No thread or file descriptor for the log.
    #[error("the log could not be opened: {0}; raise the limit of open files (ulimit -n)")]
    Log(io::Error),
    /// No threads for the control plane.
    #[error("the threads of the control plane could not be made: {0}")]
    Runtime(io::Error),
}

impl CommandError for ServeError {}

/// Serves until a signal. Returns when everything is released.
///
/// # Errors
/// With what to do about it.
pub(crate) fn serve(options: Options) -> Result<(), Failure> {
    let host = HostCores::read().map_err(Failure::cores)?;
    let config = options.config()?;
    let plan = Plan::check(&config, &host)?;
    let files_before = launch::provide_descriptors(plan.cores.len())?;
    let confined = confine(&host.beside(&plan.cores));
    let log = logs::open(plan.log_level, plan.log_format).map_err(ServeError::Log)?;
    if let Some(before) = files_before {
        tracing::info!("raised the limit of open files, which was {before}");
    }
    if let Err(error) = confined {
        let beside = cores::list(&host.beside(&plan.cores));
        tracing::warn!("control cannot be kept on cores {beside}: {error}");
    }
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(ServeError::Runtime)?;
    let (loader, reading) = LoaderThread::open().map_err(ServeError::Runtime)?;
    let running = RunningConfig::new(config, host);
    let sample = Sample::default();
    let source = Source { options, running, sample: sample.clone() };
    let manager = ServiceManager::from_environment();
    let served = runtime.block_on(run(plan, source, loader, log, manager.clone()));
    if let Err(failure) = &served {
        manager.failed(failure);
    }
    drop(runtime);
    if !await_end(&reading, READING_TIMEOUT) {
        tracing::info!("a site was being made: it is given up");
    }
    sample.remove(SAMPLE_TIMEOUT);
    served
}

async fn run(
    plan: Plan,
    source: Source,
    loader: LoaderThread,
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
    let Some(content) = load(&plan, &source, &loader, &mut signals).await? else {
        manager.stopping(READING_TIMEOUT + SAMPLE_TIMEOUT);
        return Ok(());
    };
    drop(extended);
    log_content(&content);
    let requirement = MemoryRequirement::of(&plan, content.bytes, HugepagePool::read());
    let snapshot = Snapshot::new(content, &launch::request_buffers(&plan));
    let (plan, appliance) = launch(plan, &snapshot, requirement).await?;
    let offload = match OffloadService::start(
        &plan,
        appliance.workers.lines(),
        appliance.tsc,
        &snapshot.content.site,
    ) {
        Ok(offload) => Arc::new(offload),
        Err(error) => {
            let stopped = appliance.workers.stop();
            give_back(appliance, stopped)?;
            return Err(ServeError::Offload(error).into());
        }
    };
    let handles = appliance.workers.handles();
    let (reload, reloader) =
        Reloader::start((source, loader), handles, Arc::clone(&offload), snapshot, manager.clone());
    let (lifecycle, requests) = Lifecycle::channel();
    let process = Process::started(began);
    let handler = CommandHandler { reload: reload.clone(), lifecycle, stats, log, process };
    let admin = socket.map(|socket| {
        tracing::info!("commands are taken at {}", socket.path().display());
        task::spawn(admin::serve(socket, handler))
    });
    log_ready(&plan, &appliance, began);
    started.set();
    let services = Services { offload, reload, reloader, admin, requests, queries, manager };
    Ok(Supervisor::new(plan, appliance, services, began).run(&mut signals).await?)
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

async fn launch(
    plan: Plan,
    snapshot: &Snapshot,
    requirement: MemoryRequirement,
) -> Result<(Plan, Appliance), Failure> {
    let wall = WallClock::new(unix_now());
    task::spawn(keep_time(Arc::clone(&wall)));
    let site_handles = snapshot.site_handles.clone();
    task::spawn_blocking(move || {
        let appliance = launch::launch(&plan, &site_handles, requirement, &wall)?;
        Ok((plan, appliance))
    })
    .await
    .map_err(|_| ServeError::Panicked)?
}

/// Reads what is served, and logs how far it is. `None`: a signal came first.
async fn load(
    plan: &Plan,
    source: &Source,
    loader: &LoaderThread,
    signals: &mut Signals,
) -> Result<Option<Content>, Failure> {
    let progress = Progress::default();
    let mut loading = loader.work({
        let (plan, sample, progress) = (plan.clone(), source.sample.clone(), progress.clone());
        let host = source.running.host().clone();
        move || on_all_cores(&host, &plan, || content::load_checked(&plan, &sample, &progress))
    });
    let mut ticks = time::interval_at(time::Instant::now() + LOG_EVERY, LOG_EVERY);
    loop {
        tokio::select! {
            loaded = &mut loading => {
                return Ok(Some(loaded.map_err(|_| ServeError::Panicked)??));
            }
            name = signals.end() => {
                progress.give_up();
                tracing::info!("{name}: stopped before anything was served");
                return Ok(None);
            }
            _ = ticks.tick() => tracing::info!("loading: {}", progress.line()),
        }
    }
}

fn log_content(content: &Content) {
    let Content { source, routes, files, left_out, bytes, huge, .. } = content;
    let pages = if *huge { "hugepages" } else { "ordinary pages" };
    let bytes = human::bytes(*bytes as u64);
    tracing::info!(
        skipped = left_out.skipped,
        "content is {source}: {routes} routes, {files} files, {bytes} of responses in {pages}"
    );
}

/// Says that requests are answered. Others wait for this line.
fn log_ready(plan: &Plan, appliance: &Appliance, began: Instant) {
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

/// Does `work` on this thread and those that it starts, on the workers' cores too: no worker is there yet.
fn on_all_cores<T>(host: &HostCores, plan: &Plan, work: impl FnOnce() -> T) -> T {
    // Where the cores cannot be changed, `serve` has said so already, and it takes longer.
    let _ = confine(&host.beside(&[]));
    let done = work();
    let _ = confine(&host.beside(&plan.cores));
    done
}

/// Keeps this thread, and all it starts, off the workers' cores. DPDK and the workers choose their own.
fn confine(cores: &[usize]) -> nix::Result<()> {
    let mut set = CpuSet::new();
    cores.iter().try_for_each(|core| set.set(*core))?;
    sched_setaffinity(Pid::from_raw(0), &set)
}

/// One for the clock and signals, one for whatever blocks it.
const CONTROL_THREADS: usize = 2;
/// For a site that is being made when everything else is released. It has nothing but memory, which goes with the
/// process, and the sample.
const READING_TIMEOUT: Duration = Duration::from_millis(100);
/// For the sample, if it is being written then: milliseconds, or what a slow disk makes of them.
const SAMPLE_TIMEOUT: Duration = Duration::from_secs(5);
