//! `pollux serve`: configuration, data, threads, launch, and then watching over it.

use std::sync::Arc;
use std::time::Instant;

use engine::link::WallClock;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use tokio::{runtime, task};

use crate::cli::Options;
use crate::config::Plan;
use crate::content::Content;
use crate::cores::{self, HostCores};
use crate::failure::Failure;
use crate::launch::{self, Need};
use crate::logs;
use crate::memory::{HugepagePool, mebibytes};
use crate::supervise::{RunError, Signals, Watch, keep_time, unix_now};

/// Serves until a signal. Returns when everything is released.
///
/// # Errors
/// With what to do about it.
pub(crate) fn serve(options: Options) -> Result<(), Failure> {
    let host = HostCores::read().map_err(Failure::Cores)?;
    let plan = Plan::check(&options.config()?, &host)?;
    logs::open(&plan);
    let content = Content::load(&plan)?;
    let pages = if content.huge { "hugepages" } else { "ordinary pages" };
    tracing::info!(
        "content is {}: {} files, {} of answers in {pages}",
        content.source,
        content.files,
        mebibytes(content.octets as u64)
    );
    confine(&host.beside(&plan.cores));
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(Failure::Runtime)?;
    runtime.block_on(run(plan, content))
}

async fn run(plan: Plan, content: Content) -> Result<(), Failure> {
    let began = Instant::now();
    // Before anything is taken: from here on a signal lets go of it again.
    let mut signals = Signals::listen().map_err(RunError::Signals)?;
    let wall = WallClock::new(unix_now());
    task::spawn(keep_time(Arc::clone(&wall)));
    let need = Need::of(&plan, content.octets, HugepagePool::read());
    let (plan, appliance) = task::spawn_blocking(move || {
        let appliance = launch::launch(&plan, &content.site, need, &wall);
        appliance.map(|appliance| (plan, appliance))
    })
    .await
    .map_err(|_| Failure::LaunchPanicked)??;
    tracing::info!(
        cores = cores::list(&plan.cores),
        connections = plan.connections,
        after_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        "ready: serving http://{}:{}/ on {}",
        plan.address,
        plan.port,
        appliance.link
    );
    Ok(Watch::new(plan, appliance).run(&mut signals).await?)
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
