//! The process under test.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use testkit::{Rig, script};

use super::binary::binary;
use super::stats::Stats;

/// How to start it.
#[derive(Clone, Debug)]
pub(crate) struct ServerPlan {
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    before: Vec<String>,
}

impl ServerPlan {
    /// On this link, with workers on these cores.
    pub(crate) fn new(link: &str, cores: &str) -> Self {
        let arguments = ["--link", link, "--cores", cores].map(str::to_owned).into();
        Self { arguments, environment: Vec::new(), before: Vec::new() }
    }

    /// AF_XDP with one worker on core 1, which leaves core 0 to the clients.
    pub(crate) fn af_xdp() -> Self {
        Self::new("af_xdp:pollux0", "1")
    }

    /// With more arguments.
    pub(crate) fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|&argument| argument.to_owned()));
        self
    }

    /// With a key of the configuration.
    pub(crate) fn set(self, assignment: &str) -> Self {
        self.with(&["--set", assignment])
    }

    /// With a variable of the environment. Those that name a database are not passed on from ours.
    pub(crate) fn with_env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// On a machine that, as far as the server can see, has no hugepages. Those that are there stay:
    /// they are not all ours.
    pub(crate) fn without_hugepages(mut self) -> Self {
        let hide = "sed 's/^\\(HugePages_[A-Z][a-z]*:\\).*/\\1 0/' /proc/meminfo >\"$0\" && \
                    mount --bind \"$0\" /proc/meminfo && \
                    mount -t tmpfs none /sys/kernel/mm/hugepages && exec \"$@\"";
        self.before = ["bash", "-c", hide].map(str::to_owned).into();
        self
    }

    /// In a control group, whose processes this file lists.
    pub(crate) fn in_group(mut self, processes: &Path) -> Self {
        let join = format!("echo $$ >{} && exec \"$@\"", processes.display());
        self.before = ["bash", "-c", &join].map(str::to_owned).into();
        self
    }

    /// With a variable that bash works out in the server's own process: `WATCHDOG_PID=$$`.
    pub(crate) fn with_own(mut self, assignment: &str) -> Self {
        let export = format!("export {assignment} && exec \"$@\"");
        self.before = ["bash", "-c", &export].map(str::to_owned).into();
        self
    }

    /// Starts it and waits until it answers.
    #[track_caller]
    pub(crate) fn serve(self, rig: &Rig) -> Server {
        let mut server = self.launch(rig);
        server.wait_ready();
        server
    }

    /// Starts it.
    pub(crate) fn launch(self, rig: &Rig) -> Server {
        let stats = rig.scratch.path().join("stats.json");
        fs::remove_file(&stats).ok();
        // Whatever becomes of the test, its server does not outlive it: setpriv(1).
        let mut command = Command::new("setpriv");
        command.env_remove("DATABASE_URL").env_remove("DATABASE_MAX_CONN").envs(self.environment);
        // What it has there when it is killed goes with the test.
        command.env("TMPDIR", rig.scratch.path());
        command.args(["--pdeathsig", "KILL", "--"]).arg(script("deploy/link.sh"));
        command.args(rig.exec_arguments()).args(&self.before);
        if !self.before.is_empty() {
            command.arg(rig.scratch.path().join("meminfo"));
        }
        command.arg(binary()).arg("serve");
        command.args(["--set", &format!("limits.connections={}", rig.connections)]);
        command.args(&self.arguments);
        command.arg("--stats").arg(&stats);
        command.args(["--set", "stats.every=100ms"]);
        // Its own, beside whatever else runs on the machine.
        command.args(["--set", &format!("admin.name={}", rig.name)]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("setpriv (util-linux) runs");
        let stderr = child.stderr.take().expect("it was asked for");
        let log = Log::default();
        let reader = thread::spawn({
            let log = log.clone();
            move || log.collect(stderr)
        });
        let socket = rig.admin_socket();
        Server { child, log, reader: Some(reader), stats, socket, ended: None }
    }
}

/// A server that was started. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    log: Log,
    reader: Option<JoinHandle<()>>,
    stats: PathBuf,
    /// Where it takes commands.
    socket: PathBuf,
    ended: Option<ExitStatus>,
}

/// How a server ended that was told to.
#[derive(Debug)]
pub(crate) struct Stopped {
    /// From the signal to the exit.
    pub(crate) took: Duration,
    /// Its last counters.
    pub(crate) stats: Stats,
    /// All it said.
    pub(crate) log: String,
}

impl Server {
    /// Process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All it said so far.
    pub(crate) fn log(&self) -> String {
        self.log.text()
    }

    /// Whoever holds it keeps the log from being read, but for one line. Nobody can wait for the server's end meanwhile.
    pub(crate) fn log_gate(&self) -> Arc<Mutex<()>> {
        Arc::clone(&self.log.gate)
    }

    /// The line of its log that has all of `words`. What it says arrives here a little later.
    #[track_caller]
    pub(crate) fn logged(&self, words: &[&str]) -> String {
        let start = Instant::now();
        loop {
            let text = self.log.text();
            if let Some(line) =
                text.lines().find(|line| words.iter().all(|word| line.contains(word)))
            {
                return line.to_owned();
            }
            assert!(start.elapsed() < LOG_MAX, "no line with {words:?} in the log:\n{text}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The counters as they are now, or, of a server that has ended, as it last wrote them. The file of a
    /// running one may show what was before the last thing that a test did.
    #[track_caller]
    pub(crate) fn stats(&self) -> Stats {
        if self.ended.is_some() {
            let text = fs::read_to_string(&self.stats);
            return Stats::parse(&text.unwrap_or_else(|e| panic!("{}: {e}", self.stats.display())));
        }
        let start = Instant::now();
        loop {
            match ask(&self.socket) {
                Ok(mut reply) => {
                    assert_eq!(reply["ok"], true, "{reply}");
                    return Stats::new(reply["result"].take());
                }
                Err(error) if start.elapsed() > SETTLE_MAX => {
                    panic!("{}: {error}\n{}", self.socket.display(), self.log())
                }
                Err(_) => thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// The counters, once they are so; panics with what they were when that takes too long.
    #[track_caller]
    pub(crate) fn stats_when(&self, what: &str, good: impl Fn(&Stats) -> bool) -> Stats {
        let start = Instant::now();
        loop {
            let stats = self.stats();
            if good(&stats) {
                return stats;
            }
            if start.elapsed() > SETTLE_MAX {
                panic!("counters never showed {what}: {:?}", stats.nonzero(""));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Resident memory and hugepages in bytes, as the kernel counts them.
    pub(crate) fn memory(&self) -> (u64, u64) {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let field = |name: &str| -> u64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|rest| rest.trim().strip_suffix("kB")).map(str::trim);
            number.and_then(|text| text.parse().ok()).expect("the kernel says so")
        };
        (field("VmRSS:") * 1024, field("HugetlbPages:") * 1024)
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid().cast_signed()), signal).expect("it runs");
    }

    /// Waits for its exit.
    #[track_caller]
    pub(crate) fn wait(&mut self, limit: Duration) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                self.ended = Some(status);
                self.join_log();
                return status;
            }
            assert!(start.elapsed() < limit, "still there after {limit:?}:\n{}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// SIGTERM: it must exit with 0 within ten seconds and leave no XDP program.
    #[track_caller]
    pub(crate) fn stop(mut self, rig: &Rig) -> Stopped {
        let start = Instant::now();
        self.signal(Signal::SIGTERM);
        let status = self.wait(STOP_MAX);
        let took = start.elapsed();
        assert_eq!(status.code(), Some(0), "{status} after SIGTERM:\n{}", self.log());
        assert_eq!(rig.xdp_program(), None, "an XDP program is left on pollux0");
        Stopped { took, stats: self.stats(), log: self.log() }
    }

    /// Waits for a failure at start; returns the exit code and all it said.
    #[track_caller]
    pub(crate) fn refusal(mut self) -> (i32, String) {
        let status = self.wait(READY_MAX);
        (status.code().unwrap_or(-1), self.log())
    }

    #[track_caller]
    fn wait_ready(&mut self) {
        let start = Instant::now();
        while !self.log.text().lines().any(|line| line.contains(READY)) {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                self.ended = Some(status);
                self.join_log();
                panic!("{status} before it was ready:\n{}", self.log());
            }
            assert!(start.elapsed() < READY_MAX, "not ready in {READY_MAX:?}:\n{}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn join_log(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.join().ok();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.ended.is_none() {
            if let Ok(Some(status)) = self.child.try_wait() {
                eprintln!("--- the server had ended by itself: {status}");
            }
            self.child.kill().ok();
            self.ended = self.child.wait().ok();
            self.join_log();
        }
        if self.ended.is_some_and(|status| status.signal() == Some(Signal::SIGKILL as i32)) {
            // It had no time to.
            fs::remove_file(&self.socket).ok();
        }
        if thread::panicking() {
            eprintln!("--- the server said:\n{}---", self.log());
            if let Ok(text) = fs::read_to_string(&self.stats) {
                eprintln!("--- it counted: {:?}", Stats::parse(&text).nonzero(""));
            }
        }
    }
}

/// Standard error of the server, as far as it has come.
#[derive(Clone, Debug, Default)]
struct Log {
    text: Arc<Mutex<String>>,
    gate: Arc<Mutex<()>>,
}

impl Log {
    fn collect(&self, stderr: ChildStderr) {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let _pass = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
            let mut text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
            text.push_str(&line);
            text.push('\n');
        }
    }

    fn text(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Asks the admin socket for the counters.
fn ask(socket: &Path) -> io::Result<Value> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(SETTLE_MAX))?;
    stream.write_all(b"{\"v\":1,\"command\":\"stats\"}\n")?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}

/// In the line that says that requests are answered.
const READY: &str = " ready: serving http://";
/// From start to `ready`: reading data, taking memory, opening the port, probing the wire.
/// From a line's being written to its being read by another thread.
const LOG_MAX: Duration = Duration::from_secs(5);
const READY_MAX: Duration = Duration::from_secs(60);
/// Issue of a SIGTERM to exit.
const STOP_MAX: Duration = Duration::from_secs(10);
/// How long counters may take to show what has happened.
const SETTLE_MAX: Duration = Duration::from_secs(40);
