//! Hot reload: configuration and data are read again, made into a site, and every worker serves with
//! it from its next request on. What is under way ends with the site it began with.
//!
//! One task, the [`Reloader`], owns the snapshot that is served and those that were replaced; others
//! hold a [`ReloadHandle`] and ask. Reloads are done one after the other; all that were asked for while
//! one was under way are done by the next. A reload that fails changes nothing.

mod loader_thread;
mod readings;
mod running_config;
mod snapshot;

use std::fmt::{self, Display, Formatter};
use std::io;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use engine::control_queue::{Command, ControlEnd};
use handlers::{RequestBufferPool, SiteHandle};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::{self, JoinHandle};
use tokio::time::{self, MissedTickBehavior};

use crate::cli::options::Options;
use crate::config::{Effective, FileNumbers, spell_time};
use crate::content::{self, Content, ContentError, Sample};
use crate::data::LeftOut;
use crate::failure::Failure;
use crate::offload::OffloadService;
use crate::progress::{LOG_EVERY, Progress};
use crate::service_manager::ServiceManager;
use crate::stats::{RouteLedger, RouteReport};
use running_config::Compatibility;
use snapshot::RetiredSnapshots;

pub(crate) use loader_thread::{LoaderThread, await_end};
pub(crate) use readings::ReloadReadings;
pub(crate) use running_config::RunningConfig;
pub(crate) use snapshot::Snapshot;

/// A reload that was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reloaded {
    /// Where the content comes from.
    pub(crate) source: String,
    /// Routes now.
    pub(crate) routes: usize,
    /// Routes before.
    pub(crate) routes_before: usize,
    /// Bytes of stored responses now.
    pub(crate) bytes: usize,
    /// Bytes of stored responses before.
    pub(crate) bytes_before: usize,
    /// Whether those bytes are in hugepages.
    pub(crate) hugepages: bool,
    /// How long it took, in milliseconds.
    pub(crate) ms: u64,
    /// Keys whose new value takes effect at a restart.
    pub(crate) at_restart: Vec<String>,
    /// Names in directories that were left out (files.unreadable = "skip").
    #[serde(default)]
    pub(crate) skipped: usize,
}

impl Reloaded {
    /// What waits for a restart, as a sentence; `None` if nothing does.
    fn waiting(&self) -> Option<String> {
        let keys = self.at_restart.join(", ");
        (!keys.is_empty()).then(|| format!("takes effect at a restart: {keys}"))
    }

    /// What was left out, as a sentence; `None` if nothing was.
    fn left_out(&self) -> Option<String> {
        let skipped = self.skipped;
        (skipped > 0).then(|| {
            format!("files skipped: {skipped} (files.unreadable = \"skip\"; the log names them)")
        })
    }

    fn headline(&self) -> String {
        let Self { source, routes, routes_before, bytes, bytes_before, hugepages, ms, .. } = self;
        let pages = if *hugepages { "hugepages" } else { "ordinary pages" };
        format!(
            "reloaded in {ms} ms: {routes} routes ({routes_before} before), {bytes} bytes of \
             responses ({bytes_before} before) in {pages}, from {source}"
        )
    }
}

impl Display for Reloaded {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.headline())?;
        let more = self.left_out().into_iter().chain(self.waiting());
        more.into_iter().try_for_each(|line| write!(f, "\n{line}"))
    }
}

/// Why a reload was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReloadError {
    /// Configuration or data is wrong.
    #[error("the reload was refused, what was served before still is:{}", spell(.0))]
    Invalid(#[from] Failure),
    /// Too many snapshots are alive.
    #[error(
        "the reload was refused: {SNAPSHOTS_MAX} snapshots are alive, and there may be no more; \
         connections that take their replies slowly hold the older ones. Try again when they are done \
         (deadlines.stall resets those that take nothing)"
    )]
    TooManySnapshots,
    /// The server is on its way down.
    #[error("the reload was refused: the server is stopping")]
    Draining,
    /// Something hangs, or there is too much of it.
    #[error(
        "the reload was given up after {} (deadlines.reload), what was served before still is: {doing}; mend what \
         hangs there, or raise deadlines.reload",
        spell_time(*.limit)
    )]
    TimedOut { limit: Duration, doing: String },
    /// Reloads that were given up still wait for a file.
    #[error(
        "the reload was refused: {HUNG_MAX} reloads that were given up still hang; mend the file system that they \
         wait for, or restart the server"
    )]
    Hung,
    /// There is no thread to read with.
    #[error("the reload was refused: no thread to read with: {0}")]
    Thread(io::Error),
    /// Too many clients wait for one already.
    #[error(
        "the reload was refused: {WAITING_MAX} clients wait for one already, and what they are told \
         will hold for this one too; SIGHUP asks for one without waiting"
    )]
    TooManyWait,
    /// A panic while the site was made; it is in the log.
    #[error("the reload was cut short by a defect; the log of the server says where")]
    Panicked,
    /// Workers that do not look at their commands.
    #[error(
        "cores {cores:?}: their workers have not taken the new snapshot within {timeout:?}; the \
         others serve it"
    )]
    NotTaken { cores: Vec<usize>, timeout: Duration },
}

/// After a colon: on the same line, or where there are several, below.
fn spell(failure: &Failure) -> String {
    let text = failure.to_string();
    let gap = if text.contains('\n') { '\n' } else { ' ' };
    format!("{gap}{text}")
}

/// Where reloads are asked for. Clones are the same handle.
#[derive(Clone, Debug)]
pub(crate) struct ReloadHandle {
    orders: mpsc::Sender<Order>,
    shared: Arc<Shared>,
    /// A permit for each that may wait for the outcome.
    waiting: Arc<Semaphore>,
}

impl ReloadHandle {
    /// Reads everything again, serves it, and says what came of it. Only [`WAITING_MAX`] callers wait at once:
    /// those of a reload that takes long leave room for whoever asks for something else.
    pub(crate) async fn reload(&self) -> Result<Reloaded, Arc<ReloadError>> {
        let Ok(_permit) = self.waiting.try_acquire() else {
            return Err(Arc::new(ReloadError::TooManyWait));
        };
        let (reply, outcome) = oneshot::channel();
        // The reloader ends after the workers, and takes orders until then.
        let stopping = || Arc::new(ReloadError::Draining);
        self.orders.send(Order { reply: Some(reply) }).await.map_err(|_| stopping())?;
        outcome.await.unwrap_or_else(|_| Err(stopping()))
    }

    /// The same without waiting; the outcome is in the log.
    pub(crate) fn order(&self) {
        // If there is no room, a reload that has not begun is waiting already: it does for this one.
        let _ = self.orders.try_send(Order { reply: None });
    }

    /// Requests by route over all reloads, of all workers or of the one with this index.
    pub(crate) fn routes(&self, worker: Option<usize>) -> Vec<RouteReport> {
        self.shared.routes.reports(worker)
    }

    /// Refuses all reloads from now on, and gives up the one that is being read.
    pub(crate) fn close(&self) {
        self.shared.closed.store(true, Ordering::Relaxed);
        self.shared.reading.lock().unwrap_or_else(PoisonError::into_inner).give_up();
    }

    /// The configuration that holds.
    pub(crate) fn config(&self) -> Effective {
        self.shared.config.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The numbers now.
    pub(crate) fn readings(&self) -> ReloadReadings {
        let Shared { reloads, refused, retired, .. } = &*self.shared;
        let files = self.config().files.unwrap_or_default();
        ReloadReadings {
            reloads: reloads.load(Ordering::Relaxed),
            reloads_refused: refused.load(Ordering::Relaxed),
            sites_retired: retired.load(Ordering::Relaxed),
            files_served: files.served as u64,
            files_skipped: files.skipped as u64,
            links_refused: files.links_refused as u64,
            names_hidden: files.hidden as u64,
        }
    }

    /// A handle whose reloads all end with what `outcome` says.
    #[cfg(test)]
    pub(crate) fn for_tests(outcome: fn() -> Result<Reloaded, ReloadError>) -> Self {
        let (orders, mut taken) = mpsc::channel(ORDERS_MAX);
        task::spawn(async move {
            while let Some(Order { reply }) = taken.recv().await {
                reply.map(|reply| reply.send(outcome().map_err(Arc::new)));
            }
        });
        let host = crate::cores::HostCores::of(vec![0]).expect("not empty");
        let config = RunningConfig::new(crate::config::Config::default(), host).effective();
        Self {
            orders,
            shared: Arc::new(Shared { config: Mutex::new(config), ..Shared::default() }),
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
        }
    }
}

/// A reload that was asked for, and where to say what came of it.
#[derive(Debug)]
struct Order {
    reply: Option<oneshot::Sender<Result<Reloaded, Arc<ReloadError>>>>,
}

/// What the reloader and its handles share. The reloader writes the numbers and the configuration, handles
/// `closed`.
#[derive(Debug, Default)]
struct Shared {
    config: Mutex<Effective>,
    reloads: AtomicU64,
    refused: AtomicU64,
    retired: AtomicU64,
    closed: AtomicBool,
    /// Of the reload that is being read, or was last.
    reading: Mutex<Progress>,
    routes: RouteLedger,
}

impl Shared {
    /// The progress of a reload that begins. Whoever closes the reloads sees it, or is seen by it.
    fn begin_reading(&self) -> Result<Progress, ReloadError> {
        let progress = Progress::default();
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        *reading = progress.clone();
        match self.closed.load(Ordering::Relaxed) {
            true => Err(ReloadError::Draining),
            false => Ok(progress),
        }
    }

    /// The configuration that holds from now on, with `content`.
    fn set_config(&self, effective: Effective, content: &Content) {
        let Content { source, routes, files, left_out, .. } = content;
        let &LeftOut { skipped, links: links_refused, hidden } = left_out;
        let files = Some(FileNumbers { served: *files, skipped, links_refused, hidden });
        let config = Effective { content: source.clone(), routes: *routes, files, ..effective };
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = config;
    }
}

/// Where new content comes from.
#[derive(Debug)]
pub(crate) struct Source {
    /// The command line, with the file it names.
    pub(crate) options: Options,
    /// What the process was started with.
    pub(crate) running: RunningConfig,
    /// The built-in sample.
    pub(crate) sample: Sample,
}

impl Source {
    /// Reads everything again. Blocks.
    fn read(&self, progress: &Progress) -> Result<Loaded, Failure> {
        progress.doing("reading the configuration");
        let Compatibility { plan, effective, waiting } =
            self.running.compatibility(&self.options.config()?)?;
        let content = content::load_checked(&plan, &self.sample, progress)?;
        let at_restart = waiting.into_iter().map(|key| key.path().to_owned()).collect();
        Ok(Loaded { content, effective, at_restart })
    }
}

/// A reload that is being read.
type Reading = oneshot::Receiver<Result<Loaded, Failure>>;

/// What a reload has read.
#[derive(Debug)]
struct Loaded {
    content: Content,
    /// The configuration that holds with it.
    effective: Effective,
    /// Keys whose new value takes effect at a restart.
    at_restart: Vec<String>,
}

/// A worker as reloads see it.
#[derive(Debug)]
pub(crate) struct WorkerHandle {
    core: usize,
    end: Arc<ControlEnd<SiteHandle>>,
    request_buffers: Arc<RequestBufferPool>,
    /// What its counter of installed snapshots comes to when it has taken all that was sent.
    due: u64,
    /// Whether its ring had no room for the last one.
    ring_was_full: bool,
}

impl WorkerHandle {
    /// The worker on `core`, reached through `end`, whose request buffers are `request_buffers`.
    pub(crate) fn new(
        core: usize,
        end: Arc<ControlEnd<SiteHandle>>,
        request_buffers: Arc<RequestBufferPool>,
    ) -> Self {
        let due = end.stats().sites_installed.value();
        Self { core, end, request_buffers, due, ring_was_full: false }
    }

    fn hand(&mut self, site_handle: &Arc<SiteHandle>) {
        self.ring_was_full = self.end.send(Command::Install(Arc::clone(site_handle))).is_err();
        self.due += u64::from(!self.ring_was_full);
    }

    fn has_taken(&self) -> bool {
        !self.ring_was_full && self.end.stats().sites_installed.value() >= self.due
    }
}

/// Makes snapshots and installs them; keeps those that were replaced for as long as need be.
#[derive(Debug)]
pub(crate) struct Reloader {
    source: Arc<Source>,
    loader: LoaderThread,
    /// Reloads that were given up and have not ended.
    hung: Vec<Reading>,
    /// How long reading may take.
    limit: Duration,
    workers: Vec<WorkerHandle>,
    offload: Arc<OffloadService>,
    serving: Snapshot,
    retired_snapshots: RetiredSnapshots,
    orders: mpsc::Receiver<Order>,
    shared: Arc<Shared>,
    manager: ServiceManager,
}

impl Reloader {
    /// Starts the task. It ends when it is aborted: after the workers, since it keeps what they
    /// hold. `serving` is what they have. New content comes from `source`, and is read in `loader`.
    /// `manager` is notified of every reload.
    pub(crate) fn start(
        (source, loader): (Source, LoaderThread),
        workers: Vec<WorkerHandle>,
        offload: Arc<OffloadService>,
        serving: Snapshot,
        manager: ServiceManager,
    ) -> (ReloadHandle, JoinHandle<()>) {
        let (handle, reloader) = Self::new((source, loader), workers, offload, serving, manager);
        (handle, task::spawn(reloader.run()))
    }

    fn new(
        (source, loader): (Source, LoaderThread),
        workers: Vec<WorkerHandle>,
        offload: Arc<OffloadService>,
        serving: Snapshot,
        manager: ServiceManager,
    ) -> (ReloadHandle, Self) {
        let limit = source.running.reload_limit();
        let (sender, orders) = mpsc::channel(ORDERS_MAX);
        let shared = Arc::new(Shared::default());
        let waiting = Arc::new(Semaphore::new(WAITING_MAX));
        let handle = ReloadHandle { orders: sender, shared: Arc::clone(&shared), waiting };
        shared.set_config(source.running.effective(), &serving.content);
        shared.routes.add(&serving.content.site, serving.traffic());
        let source = Arc::new(source);
        let retired_snapshots = RetiredSnapshots::default();
        (
            handle,
            Self {
                source,
                loader,
                hung: Vec::new(),
                limit,
                workers,
                offload,
                serving,
                retired_snapshots,
                orders,
                shared,
                manager,
            },
        )
    }

    async fn run(mut self) {
        let mut sweep = sweep_ticks();
        loop {
            tokio::select! {
                order = self.orders.recv() => match order {
                    Some(order) => self.carry_out(order).await,
                    None => return,
                },
                _ = sweep.tick() => self.sweep(),
            }
        }
    }

    /// One reload for `first` and all that were asked for since.
    async fn carry_out(&mut self, first: Order) {
        let mut orders = vec![first];
        while let Ok(order) = self.orders.try_recv() {
            orders.push(order);
        }
        let reloading = self.manager.reloading();
        let outcome = self.reload().await.map_err(Arc::new);
        drop(reloading);
        let number = match &outcome {
            Ok(reloaded) => {
                tracing::info!("{}", reloaded.headline());
                for line in reloaded.left_out().into_iter().chain(reloaded.waiting()) {
                    tracing::warn!("{line}");
                }
                &self.shared.reloads
            }
            Err(error) => {
                tracing::error!("{error}");
                &self.shared.refused
            }
        };
        number.fetch_add(1, Ordering::Relaxed);
        for reply in orders.into_iter().filter_map(|order| order.reply) {
            // Whoever has gone away finds the outcome in the log.
            let _ = reply.send(outcome.clone());
        }
    }

    async fn reload(&mut self) -> Result<Reloaded, ReloadError> {
        let began = Instant::now();
        self.sweep();
        // The fresh one and the one that is served are alive too.
        if self.retired_snapshots.len() + 2 > SNAPSHOTS_MAX {
            return Err(ReloadError::TooManySnapshots);
        }
        let Loaded { content, effective, at_restart } = self.read().await?;
        let Content { routes, left_out, bytes, huge, .. } = content;
        let mut reloaded = Reloaded {
            source: content.source.clone(),
            routes,
            routes_before: self.serving.content.routes,
            bytes,
            bytes_before: self.serving.content.bytes,
            hugepages: huge,
            ms: 0,
            at_restart,
            skipped: left_out.skipped,
        };
        self.shared.set_config(effective, &content);
        self.install(content);
        self.settle(INSTALL_TIMEOUT).await?;
        reloaded.ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(reloaded)
    }

    /// Reads everything again, within the limit.
    async fn read(&mut self) -> Result<Loaded, ReloadError> {
        self.hung.retain_mut(|reading| matches!(reading.try_recv(), Err(TryRecvError::Empty)));
        if self.hung.len() >= HUNG_MAX {
            return Err(ReloadError::Hung);
        }
        let (source, offload) = (Arc::clone(&self.source), Arc::clone(&self.offload));
        let progress = self.shared.begin_reading()?;
        let watched = progress.clone();
        let mut read: Reading = self.loader.work(move || {
            let loaded = source.read(&watched)?;
            if watched.is_given_up() {
                return Err(ContentError::GivenUp.into());
            }
            offload.before_new_site(&loaded.content.site);
            Ok(loaded)
        });
        let mut sweep = sweep_ticks();
        let mut ticks = time::interval_at(time::Instant::now() + LOG_EVERY, LOG_EVERY);
        let deadline = time::Instant::now() + self.limit;
        loop {
            tokio::select! {
                biased;
                read = &mut read => return match read.map_err(|_| ReloadError::Panicked)? {
                    Err(_) if progress.is_given_up() => Err(ReloadError::Draining),
                    read => Ok(read?),
                },
                () = time::sleep_until(deadline) => {
                    progress.give_up();
                    self.hung.push(read);
                    // The next reload has another thread; this one ends with what it does.
                    (self.loader, _) = LoaderThread::open().map_err(ReloadError::Thread)?;
                    return Err(ReloadError::TimedOut { limit: self.limit, doing: progress.now() });
                }
                _ = sweep.tick() => self.sweep(),
                _ = ticks.tick() => tracing::info!("reloading: {}", progress.line()),
            }
        }
    }

    /// Installs `content` on every worker.
    fn install(&mut self, content: Content) {
        let request_buffers: Vec<_> =
            self.workers.iter().map(|worker| Arc::clone(&worker.request_buffers)).collect();
        let fresh = Snapshot::new(content, &request_buffers);
        self.shared.routes.add(&fresh.content.site, fresh.traffic());
        for (worker, site_handle) in self.workers.iter_mut().zip(&fresh.site_handles) {
            worker.hand(site_handle);
        }
        self.offload.on_new_site(&fresh.content.site);
        self.retired_snapshots.put(mem::replace(&mut self.serving, fresh));
    }

    /// Waits until every worker has taken what it was handed last.
    async fn settle(&mut self, timeout: Duration) -> Result<(), ReloadError> {
        let deadline = Instant::now() + timeout;
        loop {
            let late = self.workers.iter().filter(|worker| !worker.has_taken());
            let cores: Vec<_> = late.map(|worker| worker.core).collect();
            if cores.is_empty() {
                self.sweep();
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(ReloadError::NotTaken { cores, timeout });
            }
            time::sleep(INSTALL_LOOK_EVERY).await;
        }
    }

    fn sweep(&mut self) {
        let gone = self.retired_snapshots.sweep();
        if !gone.is_empty() {
            // Giving back pages takes a while.
            let offload = Arc::clone(&self.offload);
            task::spawn_blocking(move || {
                drop(gone);
                offload.on_old_sites_gone();
            });
        }
        self.shared.retired.store(self.retired_snapshots.len() as u64, Ordering::Relaxed);
    }
}

fn sweep_ticks() -> time::Interval {
    let mut ticks = time::interval(SWEEP_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Snapshots that may be alive at once: each takes the memory of a whole site.
const SNAPSHOTS_MAX: usize = 8;
/// Threads of given-up reloads that may hang at once: each keeps what it has read.
const HUNG_MAX: usize = 4;
/// Reloads that may be asked for before the one under way is done.
const ORDERS_MAX: usize = 64;
/// Callers that may wait for an outcome at once: clients of the admin socket, which takes more than that.
pub(crate) const WAITING_MAX: usize = 64;
const _: () = assert!(WAITING_MAX <= ORDERS_MAX, "whoever may wait finds room for the order");
const SWEEP_EVERY: Duration = Duration::from_millis(200);
/// A worker looks for commands many times a millisecond.
const INSTALL_TIMEOUT: Duration = Duration::from_secs(5);
const INSTALL_LOOK_EVERY: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests;
