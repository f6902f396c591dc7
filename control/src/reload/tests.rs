//! The reloader between handles that ask and workers that this file plays.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use clap::Parser;
use dpdk::Tsc;
use engine::control_queue::{self, WallClock};
use handlers::Site;
use handlers::config::SiteConfig;
use tempfile::TempDir;

use super::*;
use crate::cli::{Cli, Command as CliCommand};
use crate::config::{Config, Plan};
use crate::cores::HostCores;

/// Content without a route.
fn content() -> Content {
    let site = Site::build(&SiteConfig::default(), |len| Box::new(vec![0; len])).expect("builds");
    let (source, left_out) = ("nowhere".to_owned(), LeftOut::default());
    Content { site: Arc::new(site), source, routes: 0, files: 0, left_out, bytes: 0, huge: false }
}

/// A snapshot of such content.
pub(super) fn snapshot(workers: usize) -> Snapshot {
    let request_buffers: Vec<_> =
        (0..workers).map(|_| Arc::new(RequestBufferPool::new(1, 64))).collect();
    Snapshot::new(content(), &request_buffers)
}

/// A reloader that is not running yet, its handle, and control's ends of its workers.
struct Stage {
    behind: Behind,
    handle: ReloadHandle,
    ends: Vec<Arc<ControlEnd<SiteHandle>>>,
    reloader: Reloader,
}

/// What must be there as long as a test is.
struct Behind {
    directory: TempDir,
    offload: Arc<OffloadService>,
}

impl Behind {
    /// What the configuration file says from now on.
    fn write(&self, text: &str) {
        fs::write(self.directory.path().join("p.toml"), text).expect("writable");
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        self.offload.stop();
    }
}

impl Stage {
    /// With workers that take nothing by themselves, and a configuration of one route.
    fn new(workers: usize) -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        let host = HostCores::of(vec![0]).expect("not empty");
        let config = Config::default();
        let plan = Plan::check(&config, &host).expect("the defaults are a plan");
        let options = options(&directory.path().join("p.toml"));
        let source = Source {
            options,
            running: RunningConfig::new(config, host),
            sample: Sample::default(),
        };
        let wall = WallClock::new(0);
        let end = |_| Arc::new(control_queue::pair(&wall, 1).0);
        let ends: Vec<Arc<ControlEnd<SiteHandle>>> = (0..workers).map(end).collect();
        let serving = snapshot(workers);
        let request_buffers =
            serving.site_handles.iter().map(|site_handle| Arc::clone(site_handle.buffers()));
        let handles = ends.iter().zip(request_buffers).enumerate();
        let handles: Vec<_> = handles
            .map(|(core, (end, request_buffers))| {
                WorkerHandle::new(core, Arc::clone(end), request_buffers)
            })
            .collect();
        let offload =
            OffloadService::start(&plan, Vec::new(), Tsc::calibrated(), &serving.content.site)
                .expect("starts");
        let offload = Arc::new(offload);
        let (loader, _) = LoaderThread::open().expect("a thread");
        let origin = (source, loader);
        let (handle, reloader) = Reloader::new(
            origin,
            handles,
            Arc::clone(&offload),
            serving,
            ServiceManager::default(),
        );
        let behind = Behind { directory, offload };
        behind.write(ROUTE);
        Self { behind, handle, ends, reloader }
    }

    /// Starts the reloader. What is left: what is behind it, and its handle.
    fn run(self) -> (Behind, ReloadHandle) {
        let Self { behind, handle, reloader, .. } = self;
        task::spawn(reloader.run());
        (behind, handle)
    }

    /// Counts as the workers do when they take everything that is ever sent.
    fn take_all(&self) {
        self.ends.iter().for_each(|end| end.stats().sites_installed.add(1_000));
    }

    /// Retires snapshots until no more may be alive; returns what holds them there.
    fn crowd(&mut self) -> Vec<Arc<SiteHandle>> {
        let retired: Vec<_> = (0..SNAPSHOTS_MAX - 1).map(|_| snapshot(1)).collect();
        let held = retired.iter().map(|snapshot| Arc::clone(&snapshot.site_handles[0])).collect();
        retired.into_iter().for_each(|snapshot| self.reloader.retired_snapshots.put(snapshot));
        held
    }
}

const ROUTE: &str = r#"
[[route]]
path = "/"
kind = "fixed"
type = "text/plain"
body = "hello"
"#;

const FILES: &str = r#"
[[route]]
path = "/"
kind = "files"
directory = "static"
"#;

fn options(file: &Path) -> Options {
    let arguments = ["pollux", "serve", "--config", file.to_str().expect("UTF-8")];
    let CliCommand::Serve(options) = Cli::parse_from(arguments).command else {
        panic!("serve is serve");
    };
    options
}

#[tokio::test]
async fn a_reload_serves_what_the_file_says_now() {
    let stage = Stage::new(2);
    stage.take_all();
    let (_behind, handle) = stage.run();
    let reloaded = handle.reload().await.expect("is done");
    assert_eq!((reloaded.routes_before, reloaded.routes), (0, 1));
    assert!(reloaded.bytes > reloaded.bytes_before);
    assert_eq!(reloaded.at_restart, Vec::<String>::new());
    let again = handle.reload().await.expect("is done again");
    assert_eq!((again.routes_before, again.bytes_before), (1, reloaded.bytes));
    assert_eq!(handle.readings().reloads, 2);
}

#[tokio::test]
async fn names_that_are_not_served_are_counted() {
    let stage = Stage::new(1);
    stage.take_all();
    let directory = stage.behind.directory.path();
    let files = directory.join("static");
    fs::create_dir(&files).expect("writable");
    for name in ["a.txt", "b.txt", ".hidden"] {
        fs::write(files.join(name), name).expect("writable");
    }
    symlink("nothing", files.join("dangles")).expect("links");
    symlink("../p.toml", files.join("out")).expect("links");
    let directory = directory.display();
    stage.behind.write(&format!(
        "[data]\ndirectory = \"{directory}\"\n[files]\nunreadable = \"skip\"\n{FILES}"
    ));
    let (_behind, handle) = stage.run();
    assert_eq!(handle.reload().await.expect("is done").skipped, 2);
    let counted = ReloadReadings {
        reloads: 1,
        files_served: 2,
        files_skipped: 2,
        links_refused: 1,
        names_hidden: 1,
        ..handle.readings()
    };
    assert_eq!(handle.readings(), counted);
    // No server of the other tests leaves any out.
    sim::moved::note([
        ("files_skipped", counted.files_skipped),
        ("links_refused", counted.links_refused),
        ("names_hidden", counted.names_hidden),
    ]);
    let shown = FileNumbers { served: 2, skipped: 2, links_refused: 1, hidden: 1 };
    assert_eq!(handle.config().files, Some(shown));
}

#[tokio::test]
async fn a_file_that_is_wrong_changes_nothing() {
    let stage = Stage::new(1);
    stage.take_all();
    let (behind, handle) = stage.run();
    behind.write("[listen]\nprot = 81\n");
    let error = handle.reload().await.expect_err("is refused").to_string();
    assert!(error.starts_with("the reload was refused, what was served before still is: "));
    assert!(error.contains("p.toml:2: unknown key listen.prot"), "{error}");
    let refused = ReloadReadings { reloads_refused: 1, ..ReloadReadings::default() };
    assert_eq!(handle.readings(), refused);
    behind.write(ROUTE);
    let reloaded = handle.reload().await.expect("is done");
    assert_eq!(reloaded.routes_before, 0, "what was served at first was served until now");
}

#[tokio::test]
async fn reloads_that_were_asked_for_at_once_are_one() {
    let stage = Stage::new(1);
    stage.take_all();
    let (_behind, handle) = stage.run();
    // One thread: the reloader runs when these wait, and all are on the handle by then.
    handle.order();
    let (one, two) = tokio::join!(handle.reload(), handle.reload());
    assert_eq!(one.expect("is done"), two.expect("is done"));
    assert_eq!(handle.readings().reloads, 1);
}

#[tokio::test]
async fn a_server_on_its_way_down_is_not_reloaded() {
    let Stage { behind: _behind, handle, reloader, .. } = Stage::new(1);
    let task = task::spawn(reloader.run());
    handle.close();
    let error = handle.reload().await.expect_err("is refused");
    assert!(matches!(*error, ReloadError::Draining), "{error}");
    task.abort();
    assert!(task.await.expect_err("was aborted").is_cancelled());
    let error = handle.reload().await.expect_err("nobody is there");
    assert!(matches!(*error, ReloadError::Draining), "{error}");
}

#[tokio::test]
async fn a_worker_that_does_not_turn_is_named() {
    let mut stage = Stage::new(2);
    stage.ends[0].stats().sites_installed.add(1);
    stage.reloader.install(content());
    let short = Duration::from_millis(20);
    let error =
        stage.reloader.settle(short).await.expect_err("the ring of one is full").to_string();
    assert!(error.starts_with("cores [1]: "), "{error}");
    // What it will find in its ring stays alive, and so does what it still serves with.
    stage.ends[1].stats().sites_installed.add(1);
    stage.reloader.settle(short).await.expect("it has taken it now");
}

#[tokio::test]
async fn a_reload_that_hangs_is_given_up_and_the_next_one_works() {
    let mut stage = Stage::new(1);
    stage.take_all();
    let mut gates = Vec::new();
    stage.reloader.limit = Duration::from_millis(50);
    for _ in 0..HUNG_MAX {
        // The thread waits as for a file system that hangs.
        let (gate, closed) = std::sync::mpsc::channel::<()>();
        drop(stage.reloader.loader.work(move || closed.recv()));
        gates.push(gate);
        let error = stage.reloader.reload().await.expect_err("it hangs");
        assert!(matches!(error, ReloadError::TimedOut { .. }), "{error}");
        assert!(error.to_string().contains("given up after 50ms (deadlines.reload)"), "{error}");
    }
    stage.reloader.limit = Duration::from_secs(60);
    let error = stage.reloader.reload().await.expect_err("too many hang");
    assert!(matches!(error, ReloadError::Hung), "{error}");
    gates.pop();
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        match stage.reloader.reload().await {
            Ok(_) => return,
            Err(ReloadError::Hung) if Instant::now() < until => {
                time::sleep(Duration::from_millis(5)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// A directory whose files take seconds to compile, and the text of a configuration that serves it.
fn slow_site(behind: &Behind) -> String {
    let files = behind.directory.path().join("static");
    fs::create_dir(&files).expect("writable");
    let mut random = fastrand::Rng::with_seed(1);
    // Half of each byte is noise: it is coded, and not quickly.
    let text: Vec<u8> = std::iter::repeat_with(|| b'a' + random.u8(..16)).take(64 << 10).collect();
    let first = files.join("0.txt");
    fs::write(&first, text).expect("writable");
    for at in 1..SLOW_FILES {
        fs::hard_link(&first, files.join(format!("{at}.txt"))).expect("links");
    }
    let directory = behind.directory.path().display();
    format!("[data]\ndirectory = \"{directory}\"\n{FILES}compress = \"precomputed\"\n")
}

/// Waits until files of the reload that is being read are compiled; returns its progress.
async fn compiled_a_few(shared: &Shared) -> Progress {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let progress = shared.reading.lock().expect("no panic").clone();
        if progress.compiled().is_some_and(|compiled| compiled.files > 0) {
            return progress;
        }
        assert!(Instant::now() < until, "{}", progress.line());
        time::sleep(Duration::from_millis(5)).await;
    }
}

fn assert_cut_short(progress: &Progress) {
    let compiled = progress.compiled().expect("nothing comes after it");
    assert_eq!(compiled.files_total, SLOW_FILES as u64);
    assert!(compiled.files < compiled.files_total, "{compiled:?}");
}

#[tokio::test]
async fn a_compile_ends_with_its_time_limit() {
    let mut stage = Stage::new(1);
    stage.take_all();
    stage.behind.write(&slow_site(&stage.behind));
    stage.reloader.limit = Duration::from_secs(1);
    let error = stage.reloader.reload().await.expect_err("it takes longer");
    assert!(error.to_string().contains("compiling the site: "), "{error}");
    let progress = stage.handle.shared.reading.lock().expect("no panic").clone();
    let ended = stage.reloader.hung.pop().expect("it is remembered until it has ended");
    ended.await.expect("no panic").expect_err("nobody waits for it");
    assert_cut_short(&progress);
}

#[tokio::test]
async fn a_compile_ends_with_the_server() {
    let stage = Stage::new(1);
    stage.take_all();
    stage.behind.write(&slow_site(&stage.behind));
    let (_behind, handle) = stage.run();
    let closing = async {
        let progress = compiled_a_few(&handle.shared).await;
        handle.close();
        progress
    };
    let (reloaded, progress) = tokio::join!(handle.reload(), closing);
    let error = reloaded.expect_err("the server is stopping");
    assert!(matches!(*error, ReloadError::Draining), "{error}");
    assert_cut_short(&progress);
}

const SLOW_FILES: usize = 1_500;

#[tokio::test]
async fn a_full_ring_is_a_worker_that_does_not_turn() {
    let mut stage = Stage::new(1);
    while stage.ends[0].send(Command::Drain).is_ok() {}
    stage.take_all();
    stage.reloader.install(content());
    let short = Duration::from_millis(20);
    let error = stage.reloader.settle(short).await.expect_err("there was no room").to_string();
    assert!(error.starts_with("cores [0]: "), "{error}");
}

#[tokio::test]
async fn there_is_an_end_to_what_may_be_alive() {
    let mut stage = Stage::new(1);
    stage.take_all();
    let mut held = stage.crowd();
    let error = stage.reloader.reload().await.expect_err("is refused");
    assert!(matches!(error, ReloadError::TooManySnapshots), "{error}");
    assert_eq!(stage.handle.readings().sites_retired, 7);
    held.pop();
    let reloaded = stage.reloader.reload().await.expect("there is room for one again");
    assert_eq!(reloaded.routes, 1);
}

#[test]
fn what_was_done_is_told_in_words() {
    let mut reloaded = Reloaded {
        source: "/srv".into(),
        routes: 3,
        routes_before: 2,
        bytes: 20,
        bytes_before: 10,
        hugepages: true,
        ms: 5,
        at_restart: Vec::new(),
        skipped: 0,
    };
    let headline = "reloaded in 5 ms: 3 routes (2 before), 20 bytes of responses (10 before) in \
                    hugepages, from /srv";
    assert_eq!(reloaded.to_string(), headline);
    reloaded.at_restart = vec!["listen.port".into(), "limits.head".into()];
    let waiting = "\ntakes effect at a restart: listen.port, limits.head";
    assert_eq!(reloaded.to_string(), format!("{headline}{waiting}"));
    reloaded.skipped = 2;
    let skipped = "\nfiles skipped: 2 (files.unreadable = \"skip\"; the log names them)";
    assert_eq!(reloaded.to_string(), format!("{headline}{skipped}{waiting}"));
}
