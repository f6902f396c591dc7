//! A PostgreSQL server of one test: its own directory, its own socket, its own processes.
//!
//! It is asked over a Unix socket, which reaches across network namespaces. What it writes lies in a
//! temporary directory and outlives a kill, but no power cut. Only processes that were started
//! here are ever ended, by their ids; nothing is left of it when it is dropped.

use std::fs::{self, File};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, User};

use crate::tool::Tool;

/// A server that may be up or down.
#[derive(Debug)]
pub struct Postgres {
    directory: tempfile::TempDir,
    programs: PathBuf,
    child: Option<Child>,
}

impl Postgres {
    /// A new server, up, with nothing in it.
    ///
    /// # Panics
    /// If there is no PostgreSQL, or it does not come up.
    #[track_caller]
    #[must_use]
    pub fn start_new() -> Self {
        let programs = programs();
        let directory = tempfile::tempdir().expect("a temporary directory");
        let user = User::from_name(USER).expect("the users can be read");
        let user = user.unwrap_or_else(|| panic!("no user {USER}: the package makes it"));
        let (uid, gid) = (user.uid.as_raw(), user.gid.as_raw());
        chown(directory.path(), Some(uid), Some(gid)).expect("root may give it away");
        let mut server = Self { directory, programs, child: None };
        let data = server.path("data");
        let initdb = server.program("initdb");
        let arguments = [
            &*initdb,
            "--pgdata",
            &data,
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ];
        let arguments: Vec<&str> = AS_USER.iter().copied().chain(arguments).collect();
        Tool::new(60, "setpriv", &arguments).text();
        let settings = SETTINGS.replace("{directory}", &server.path(""));
        let config = Path::new(&data).join("postgresql.conf");
        fs::write(&config, settings).expect("root may write there");
        server.start();
        server
    }

    /// A new server, up, on which `script` was run.
    ///
    /// # Panics
    /// As [`start_new`](Self::start_new), and if the script fails.
    #[track_caller]
    #[must_use]
    pub fn seeded(script: &Path) -> Self {
        let server = Self::start_new();
        server.run(script);
        server
    }

    /// What goes into `DATABASE_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        format!(
            "host={} port={PORT} user=postgres dbname=postgres",
            self.directory.path().display()
        )
    }

    /// The socket that it listens on, for who stands between.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join(format!(".s.PGSQL.{PORT}"))
    }

    /// Where all of it lies.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        self.directory.path().to_owned()
    }

    /// Brings it up, and waits until it answers.
    ///
    /// # Panics
    /// If it is up, or does not come up.
    #[track_caller]
    pub fn start(&mut self) {
        assert!(self.child.is_none(), "PostgreSQL is up");
        let log = File::options().create(true).append(true).open(self.path("log"));
        let log = log.expect("root may write there");
        // Whatever becomes of the test, its server does not outlive it: setpriv(1).
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).args(AS_USER).arg(self.programs.join("postgres"));
        command.args(["-D", &self.path("data")]).current_dir(self.directory.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().expect("setpriv (util-linux) runs"));
        let start = Instant::now();
        while !self.is_ready() {
            if self.child.as_mut().is_some_and(|child| child.try_wait().is_ok_and(|s| s.is_some()))
            {
                self.child = None;
                panic!("PostgreSQL has ended:\n{}", self.log());
            }
            assert!(start.elapsed() < START_MAX, "PostgreSQL does not answer:\n{}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks it to end at once, sessions included, and waits for that.
    ///
    /// # Panics
    /// If it is not up, or does not end.
    #[track_caller]
    pub fn stop(&mut self) {
        let mut child = self.child.take().expect("PostgreSQL is up");
        signal(child.id(), Signal::SIGINT);
        let start = Instant::now();
        while child.try_wait().expect("a child of ours").is_none() {
            if start.elapsed() > STOP_MAX {
                self.child = Some(child);
                panic!("PostgreSQL does not end:\n{}", self.log());
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// SIGKILL to all of its processes, as when a machine goes down.
    ///
    /// # Panics
    /// If it is not up.
    #[track_caller]
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("PostgreSQL is up");
        // Stopped, it starts no process between the reading and the killing.
        signal(child.id(), Signal::SIGSTOP);
        let sessions = children(child.id());
        assert!(!sessions.is_empty(), "PostgreSQL has processes besides the first");
        // Their parent is gone before them; what is left of them then comes to us, and not to a first
        // process that, in a container, may not care.
        prctl::set_child_subreaper(true).expect("Linux has it");
        signal(child.id(), Signal::SIGKILL);
        child.wait().expect("a child of ours");
        for &pid in &sessions {
            signal(pid, Signal::SIGKILL);
        }
        for pid in sessions {
            waitpid(Pid::from_raw(pid.cast_signed()), None).expect("a child of ours by now");
        }
        prctl::set_child_subreaper(false).expect("Linux has it");
        self.forget_memory();
    }

    /// Stops all of its processes where they are: sessions stay, and nothing is answered.
    ///
    /// # Panics
    /// If it is not up.
    pub fn freeze(&self) {
        self.signal_all(Signal::SIGSTOP);
    }

    /// Lets them go on.
    ///
    /// # Panics
    /// If it is not up.
    pub fn thaw(&self) {
        self.signal_all(Signal::SIGCONT);
    }

    fn signal_all(&self, which: Signal) {
        let first = self.child.as_ref().expect("PostgreSQL is up").id();
        for pid in [first].into_iter().chain(children(first)) {
            signal(pid, which);
        }
    }

    /// What one SQL statement says, a line for each row, columns between `|`.
    ///
    /// # Panics
    /// If the statement fails.
    #[track_caller]
    pub fn query(&self, sql: &str) -> String {
        self.psql(&["--tuples-only", "--no-align", "--command", sql])
    }

    /// Runs a script.
    ///
    /// # Panics
    /// If it fails.
    #[track_caller]
    pub fn run(&self, script: &Path) {
        self.psql(&["--file", script.to_str().expect("a path in UTF-8")]);
    }

    fn psql(&self, arguments: &[&str]) -> String {
        let url = self.url();
        let fixed = ["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--dbname", &*url];
        let arguments: Vec<&str> = fixed.into_iter().chain(arguments.iter().copied()).collect();
        Tool::new(60, &self.program("psql"), &arguments).text()
    }

    fn is_ready(&self) -> bool {
        let (host, port) = (self.path(""), PORT.to_string());
        let arguments = ["--quiet", "--host", &*host, "--port", &*port, "--username=postgres"];
        Tool::new(10, &self.program("pg_isready"), &arguments).output().status.success()
    }

    /// A server that was killed leaves the segment of memory by which it told that it was there; its
    /// name stands in the seventh line of the file with its process id.
    fn forget_memory(&self) {
        let text = fs::read_to_string(Path::new(&self.path("data")).join("postmaster.pid"));
        let text = text.unwrap_or_default();
        if let Some(id) = text.lines().nth(6).and_then(|line| line.split_whitespace().nth(1)) {
            Tool::new(5, "ipcrm", &["--shmem-id", id]).output();
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn program(&self, name: &str) -> String {
        self.programs.join(name).to_str().expect("a path in UTF-8").to_owned()
    }

    fn path(&self, name: &str) -> String {
        let path = self.directory.path();
        let path = if name.is_empty() { path.to_owned() } else { path.join(name) };
        path.to_str().expect("a path in UTF-8").to_owned()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if thread::panicking() {
            let log = self.log();
            let last = log.lines().rev().take(20).collect::<Vec<_>>();
            eprintln!("--- PostgreSQL said, last line first:\n{}\n---", last.join("\n"));
        }
        let Some(mut child) = self.child.take() else { return };
        // Nothing that waits for a session: SIGQUIT ends all of them at once, unless they are frozen.
        signal(child.id(), Signal::SIGQUIT);
        for pid in [child.id()].into_iter().chain(children(child.id())) {
            signal(pid, Signal::SIGCONT);
        }
        let start = Instant::now();
        while child.try_wait().is_ok_and(|status| status.is_none()) {
            if start.elapsed() > STOP_MAX {
                signal(child.id(), Signal::SIGKILL);
                child.wait().ok();
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
        self.forget_memory();
    }
}

/// Where the newest server on this machine has its programs.
#[track_caller]
fn programs() -> PathBuf {
    let entries = fs::read_dir(PROGRAMS).into_iter().flatten().flatten();
    let versions = entries.filter_map(|entry| {
        let version: u32 = entry.file_name().to_str()?.parse().ok()?;
        let programs = entry.path().join("bin");
        programs.join("initdb").is_file().then_some((version, programs))
    });
    let newest = versions.max().map(|(_, programs)| programs);
    newest.unwrap_or_else(|| panic!("no PostgreSQL in {PROGRAMS}: deploy/test.sh installs it"))
}

fn signal(pid: u32, signal: Signal) {
    // One that has ended meanwhile is as good as ended.
    kill(Pid::from_raw(pid.cast_signed()), signal).ok();
}

/// Processes whose parent is `parent`.
fn children(parent: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("procfs is mounted").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| parent_of(*pid) == Some(parent)).collect()
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets and may hold anything: `7 (x) S 1 ..`.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

const PROGRAMS: &str = "/usr/lib/postgresql";
/// The server refuses to run as root; this user comes with the package.
pub(crate) const USER: &str = "postgres";
pub(crate) const AS_USER: &[&str] = &["--reuid", USER, "--regid", USER, "--clear-groups", "--"];
/// Part of the name of its socket; nobody listens on TCP.
const PORT: u16 = 5432;
/// Small and quick. Rows come in the order they lie in, from one scan, for one who compares. A
/// segment of shared memory is a file below the directory, which goes with it.
const SETTINGS: &str = "\
listen_addresses = ''
port = 5432
unix_socket_directories = '{directory}'
max_connections = 100
shared_buffers = 64MB
huge_pages = off
dynamic_shared_memory_type = mmap
fsync = off
full_page_writes = off
autovacuum = off
jit = off
synchronize_seqscans = off
max_parallel_workers_per_gather = 0
log_min_messages = warning
timezone = 'UTC'
";
/// How long it may take to come up, recovery included.
const START_MAX: Duration = Duration::from_secs(30);
/// How long it may take to end.
const STOP_MAX: Duration = Duration::from_secs(10);
