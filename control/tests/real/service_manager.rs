//! What a service manager is told, over a socket of the test's own: ready, reloading, stopping, and that every
//! core turns.

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use testkit::{Client, Rig, RigPlan};

use crate::kit::{Manager, Server, ServerPlan, pollux};

#[test]
fn the_life_of_a_server_is_told() {
    Rig::run(RigPlan::VETH, |rig| {
        let path = rig.scratch.path().join("notify");
        let manager = Manager::listen(UnixDatagram::bind(&path).expect("a socket of ours"));
        let file = configure(rig, "one");
        let server = ServerPlan::new("af_xdp:pollux0", "0,1")
            .with(&["--config", file.to_str().expect("UTF-8")])
            .set(&format!("deadlines.withdraw={}s", WITHDRAW.as_secs()))
            .set(&format!("deadlines.drain={}s", DRAIN.as_secs()))
            .with_env("NOTIFY_SOCKET", path.to_str().expect("UTF-8"))
            .with_env("WATCHDOG_USEC", &LIMIT.as_micros().to_string())
            .with_own("WATCHDOG_PID=$$")
            .launch(rig);
        becomes_ready(&manager);
        reloads_are_announced(rig, &manager, &server);
        states_are_shown(rig, &manager);
        a_core_that_stands_still_starves_the_watchdog(&manager, &server);
        let (ready, pid) = (manager.count(), server.pid());
        server.stop(rig);
        let (stopping, message) = manager.when(ready, "STOPPING", |m| m.says("STOPPING=1"));
        let more = message.value("EXTEND_TIMEOUT_USEC").and_then(|n| n.parse::<u64>().ok());
        let whole = u64::try_from((WITHDRAW + DRAIN + RELEASE).as_micros()).expect("seconds");
        assert_eq!(more, Some(whole), "the time to withdraw, to drain and to release: {message:?}");
        assert!(manager.feedings(stopping) >= 2, "the watchdog starves while routers notice");
        let messages = manager.messages();
        assert!(messages[stopping..].iter().all(|m| !m.says("READY=1")), "{messages:#?}");
        assert!(messages.iter().all(|m| m.sender == pid), "{messages:#?}");
    });
}

/// The first request after READY is answered, and what came before was a request for more time.
fn becomes_ready(manager: &Manager) {
    let (place, message) = manager.when(0, "READY", |m| m.says("READY=1"));
    assert_eq!(ask(&mut Client::open()), "one");
    assert!(message.value("STATUS").is_some_and(|text| text.contains("serving http://")));
    let before = &manager.messages()[..place];
    assert!(before.iter().any(|m| m.value("EXTEND_TIMEOUT_USEC").is_some()), "{before:?}");
    assert!(before.iter().all(|m| !m.says("WATCHDOG=1")), "fed before it was ready: {before:?}");
}

/// By signal, by command, and one that is refused.
fn reloads_are_announced(rig: &Rig, manager: &Manager, server: &Server) {
    let by_signal = || server.signal(Signal::SIGHUP);
    let by_command = || drop(pollux(rig, &["reload"]).output());
    for (word, answer, reload) in [
        ("two", "two", &by_signal as &dyn Fn()),
        ("three", "three", &by_command),
        ("\"broken", "three", &by_command),
    ] {
        configure(rig, word);
        let (seen, before) = (manager.count(), monotonic());
        reload();
        let (begun, message) = manager.when(seen, "RELOADING", |m| m.says("RELOADING=1"));
        let stamp = message.value("MONOTONIC_USEC").and_then(|text| text.parse().ok());
        let stamp: u64 = stamp.unwrap_or_else(|| panic!("without a time: {message:?}"));
        assert!((before..=monotonic()).contains(&stamp), "{before} before, {stamp} said");
        let (_, message) = manager.when(begun + 1, "READY again", |m| m.says("READY=1"));
        assert!(message.value("STATUS").is_some_and(|text| text.contains("serving")));
        assert_eq!(ask(&mut Client::open()), answer, "what it is ready with");
    }
}

fn states_are_shown(rig: &Rig, manager: &Manager) {
    let mut client = Client::open();
    ask(&mut client);
    let shown = |seen: usize, text: &str| {
        manager.when(seen, text, |m| m.value("STATUS").is_some_and(|is| is.starts_with(text)));
    };
    let seen = manager.count();
    pollux(rig, &["drain"]).output();
    shown(seen, "drained");
    let seen = manager.count();
    pollux(rig, &["resume"]).output();
    shown(seen, "serving http://");
    drop(client);
}

/// One worker of two is stopped, and only that; afterwards it goes on.
fn a_core_that_stands_still_starves_the_watchdog(manager: &Manager, server: &Server) {
    let fed = |seen: usize, times: usize| {
        let start = Instant::now();
        while manager.feedings(seen) < times {
            assert!(start.elapsed() < FED_MAX, "not fed {times} times: {:#?}", manager.messages());
            thread::sleep(Duration::from_millis(10));
        }
    };
    fed(0, 3);
    let said = server.log().len();
    let stopped = StoppedThread::of(server, "worker-1");
    let when = Instant::now();
    logged(server, said, "cores 1: their workers stand still");
    let seen = manager.count();
    // Nothing may come in this time: it is what is observed, not what is waited for.
    thread::sleep(LIMIT);
    assert_eq!(manager.feedings(seen), 0, "fed while a core stands still");
    let last = manager.messages().into_iter().rfind(|message| message.says("WATCHDOG=1"));
    let last = last.expect("it was fed before").at.saturating_duration_since(when);
    assert!(last < LIMIT, "fed for {last:?} after a core was stopped");
    let again = manager.count();
    drop(stopped);
    fed(again, 3);
    logged(server, said, "cores 1: their workers turn again");
    assert_eq!(ask(&mut Client::open()), "three");
}

/// A thread of a server that the kernel does not run until this is dropped: ptrace(2).
struct StoppedThread(Pid);

impl StoppedThread {
    fn of(server: &Server, name: &str) -> Self {
        let tasks =
            fs::read_dir(format!("/proc/{}/task", server.pid())).expect("it runs").flatten();
        let is_it = |task: &PathBuf| {
            fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim() == name)
        };
        let task = tasks.map(|task| task.path()).find(is_it);
        let task = task.unwrap_or_else(|| panic!("no thread {name}"));
        let id = task.file_name().and_then(|id| id.to_str()).and_then(|id| id.parse().ok());
        let thread = Pid::from_raw(id.expect("a number"));
        ptrace::seize(thread, ptrace::Options::empty()).expect("root may");
        ptrace::interrupt(thread).expect("it runs");
        waitpid(thread, Some(WaitPidFlag::__WALL)).expect("it stops");
        Self(thread)
    }
}

impl Drop for StoppedThread {
    fn drop(&mut self) {
        ptrace::detach(self.0, None).expect("it is stopped");
    }
}

#[test]
fn what_is_not_asked_for_is_not_done() {
    Rig::run(RigPlan::VETH, |rig| {
        // An abstract socket: it belongs to the namespace that this thread is in.
        let address = SocketAddr::from_abstract_name(&rig.name).expect("a short name");
        let manager = Manager::listen(UnixDatagram::bind_addr(&address).expect("a name of ours"));
        let file = configure(rig, "one");
        let plan = ServerPlan::af_xdp()
            .with(&["--config", file.to_str().expect("UTF-8")])
            .with_env("NOTIFY_SOCKET", &format!("@{}", rig.name));
        // The watchdog of another process.
        let brief = Duration::from_millis(100);
        let server = plan
            .clone()
            .with_env("WATCHDOG_USEC", &brief.as_micros().to_string())
            .with_env("WATCHDOG_PID", "1")
            .launch(rig);
        manager.when(0, "READY", |m| m.says("READY=1"));
        thread::sleep(5 * brief);
        server.stop(rig);
        manager.when(0, "STOPPING", |m| m.says("STOPPING=1"));
        assert_eq!(manager.feedings(0), 0, "the watchdog of another process was fed");

        let seen = manager.count();
        fs::remove_file(rig.scratch.path().join("page.txt")).expect("it was written");
        let (code, log) = plan.launch(rig).refusal();
        assert_eq!(code, 2, "{log}");
        let status = |m: &crate::kit::Message| m.value("STATUS").map(str::to_owned);
        let failed =
            |m: &crate::kit::Message| status(m).is_some_and(|text| text.starts_with("failed: "));
        let (_, message) = manager.when(seen, "why it failed", failed);
        assert!(status(&message).is_some_and(|text| text.contains("page.txt")), "{message:?}");
        let messages = manager.messages();
        assert!(messages[seen..].iter().all(|m| !m.says("READY=1")), "{messages:#?}");

        let log = ServerPlan::af_xdp().with_env("NOTIFY_SOCKET", "notify").serve(rig).stop(rig).log;
        let line = log.lines().find(|line| line.contains("NOTIFY_SOCKET=notify"));
        assert!(line.is_some_and(|line| line.contains("WARN")), "{log}");
    });
}

/// Writes a configuration whose route /word answers `word`, from a file beside it.
fn configure(rig: &Rig, word: &str) -> PathBuf {
    let scratch = rig.scratch.path();
    fs::write(scratch.join("page.txt"), word).expect("writable");
    // A word with a quote in it makes this no TOML.
    let text = format!(
        "[data]\ndirectory = \"{}\"\n\
         [[route]]\npath = \"/word\"\nkind = \"fixed\"\ntype = \"text/plain\"\nfile = \"page.txt\"\n\
         [[route]]\npath = \"/other\"\nkind = \"fixed\"\ntype = \"text/plain\"\nbody = \"{word}\"\n",
        scratch.display()
    );
    let (fresh, file) = (scratch.join("pollux.toml.new"), scratch.join("pollux.toml"));
    fs::write(&fresh, text).expect("writable");
    fs::rename(fresh, &file).expect("the same directory");
    file
}

fn ask(client: &mut Client) -> String {
    client.send("GET /word HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = client.response();
    assert_eq!(answer.status, 200, "{:?}", answer.fields);
    String::from_utf8(answer.body).expect("a word")
}

/// Waits until the log has `text`, after its first `said` bytes.
fn logged(server: &Server, said: usize, text: &str) {
    let start = Instant::now();
    while !server.log()[said..].contains(text) {
        assert!(start.elapsed() < FED_MAX, "never logged: {text}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Microseconds of CLOCK_MONOTONIC.
fn monotonic() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("every kernel has it");
    u64::try_from(Duration::from(now).as_micros()).expect("fits for ages")
}

/// `WATCHDOG_USEC`.
/// Longer than the watchdog waits.
const WITHDRAW: Duration = Duration::from_secs(4);
const DRAIN: Duration = Duration::from_secs(6);
/// What the server adds for the end of the process.
const RELEASE: Duration = Duration::from_secs(30);
const LIMIT: Duration = Duration::from_secs(1);
/// How long feeding may take to show, on a machine with others on it.
const FED_MAX: Duration = Duration::from_secs(30);
