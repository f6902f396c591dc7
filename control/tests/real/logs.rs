//! The log of the real binary: priorities where the journal reads it, and neither passwords nor anything that
//! clients send, at whatever level.

use std::fs;
use std::io::{PipeReader, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use nix::sys::stat::fstat;
use testkit::{Client, Postgres, Rig, RigPlan};

use crate::kit::{ServerPlan, binary, pollux, probe};

/// Standard error is a stream socket, as journald's is; `JOURNAL_STREAM` names it or another.
fn told_journal(arguments: &[&str], is_journal: bool) -> Vec<String> {
    let (mut reader, writer) = UnixStream::pair().expect("sockets");
    let stat = fstat(&writer).expect("a socket");
    let inode = if is_journal { stat.st_ino } else { stat.st_ino + 1 };
    let mut command = Command::new("timeout");
    command.arg("30s").arg(binary()).args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
    command.env("JOURNAL_STREAM", format!("{}:{inode}", stat.st_dev));
    command.stderr(OwnedFd::from(writer));
    let status = command.status().expect("timeout (coreutils) runs");
    drop(command);
    assert!(!status.success() && status.code() != Some(124), "{arguments:?}: {status}");
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("UTF-8");
    assert!(!text.is_empty(), "{arguments:?} says nothing");
    text.lines().map(str::to_owned).collect()
}

/// A log is opened, says something, and an error ends the process. Its pages are its own: nobody has reserved any.
const REFUSED: &[&str] = &[
    "serve",
    "--link",
    "af_packet:nosuch0",
    "--set",
    "metrics.listen=",
    "--set",
    "memory.pages=ordinary",
];

fn refused<'a>(more: &[&'a str]) -> Vec<&'a str> {
    REFUSED.iter().chain(more).copied().collect()
}

#[test]
fn lines_for_the_journal_have_priorities() {
    let lines = told_journal(&refused(&["--set", "admin.name=logs-text"]), true);
    assert!(lines.iter().all(|line| priority(line).is_some()), "{lines:#?}");
    assert!(lines.iter().any(|line| line.starts_with("<6>INFO content is ")), "{lines:#?}");
    assert!(lines.iter().any(|line| line.starts_with("<3>ERROR ")), "{lines:#?}");
}

#[test]
fn json_for_the_journal_is_whole_after_the_priority() {
    let more = ["--set", "admin.name=logs-json", "--set", "log.format=json"];
    for line in told_journal(&refused(&more), true) {
        let (priority, object) = priority(&line).unwrap_or_else(|| panic!("without: {line}"));
        let object: serde_json::Value = serde_json::from_str(object).expect("JSON");
        let level = object["level"].as_str().expect("a level");
        let expected = match level {
            "ERROR" => 3,
            "WARN" => 4,
            "INFO" => 6,
            _ => 7,
        };
        assert_eq!(priority, expected, "{line}");
    }
}

/// What fails before the log is open: several mistakes, and a command line that is none.
#[test]
fn errors_before_the_log_is_open_have_priorities_too() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let file = scratch.path().join("p.toml");
    fs::write(&file, format!("{ROUTE}[limits]\nhaed = 1\nbdoy = 2\n")).expect("writable");
    let lines = told_journal(&["check", "--config", file.to_str().expect("UTF-8")], true);
    assert_eq!(lines.len(), 2, "{lines:#?}");
    let errors = |lines: &[String]| lines.iter().all(|line| line.starts_with("<3>"));
    assert!(errors(&lines), "{lines:#?}");
    assert!(errors(&told_journal(&["serve", "--nonsense"], true)));
}

#[test]
fn another_stream_is_no_journal() {
    for arguments in [&refused(&["--set", "admin.name=logs-other"]), &vec!["serve", "--nonsense"]] {
        let lines = told_journal(arguments, false);
        assert!(lines.iter().all(|line| !line.starts_with('<')), "{lines:#?}");
    }
}

/// Standard error is a file on a full disk, or a pipe that nobody reads any more.
#[test]
fn a_log_that_takes_nothing_ends_nothing() {
    let full = || Stdio::from(fs::File::options().write(true).open("/dev/full").expect("Linux"));
    let closed = || {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        Stdio::from(writer)
    };
    for stderr in [full(), closed()] {
        let mut command = Command::new("timeout");
        command.arg("30s").arg(binary()).args(refused(&["--set", "admin.name=logs-full"]));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        let status = command.status().expect("timeout (coreutils) runs");
        assert_eq!(status.code(), Some(1), "as without a link");
    }
}

/// A pipe that is full, and whoever could read it.
fn full_pipe() -> (PipeReader, Stdio) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    fill(&format!("/proc/self/fd/{}", writer.as_raw_fd()));
    (reader, writer.into())
}

/// Fills the pipe at `path` with lines.
fn fill(path: &str) {
    let mut pipe = fs::File::options();
    let pipe = pipe.write(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path);
    let mut pipe = pipe.expect("a pipe");
    while pipe.write(&[b'\n'; 4096]).is_ok() {}
}

/// What nobody reads keeps no server from failing as it should.
#[test]
fn a_log_that_nobody_reads_delays_no_end() {
    let (_reader, stderr) = full_pipe();
    let mut command = Command::new("timeout");
    command.arg("30s").arg(binary()).args(refused(&["--set", "admin.name=logs-unread"]));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
    let status = command.status().expect("timeout (coreutils) runs");
    assert_eq!(status.code(), Some(1), "as without a link");
}

/// Nor a server from what it does and from ending when it is told to.
#[test]
fn a_log_that_nobody_reads_stops_neither_a_reload_nor_sigterm() {
    Rig::run(RigPlan::VETH, |rig| {
        let mut server = ServerPlan::af_xdp().serve(rig);
        let gate = server.log_gate();
        let held = gate.lock().expect("nobody panicked");
        fill(&format!("/proc/{}/fd/2", server.pid()));
        let reload = pollux(rig, &["reload"]).output();
        assert!(reload.status.success(), "{}", String::from_utf8_lossy(&reload.stderr));
        assert_eq!(probe("/readyz").0, 200);
        server.signal(Signal::SIGTERM);
        let start = Instant::now();
        while state(server.pid()) != 'Z' {
            assert!(start.elapsed() < END_MAX, "it waits for who reads its log");
            thread::sleep(Duration::from_millis(5));
        }
        drop(held);
        assert_eq!(server.wait(END_MAX).code(), Some(0));
    });
}

/// Of a process: proc_pid_stat(5).
fn state(pid: u32) -> char {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a child of ours");
    let (_, fields) = stat.rsplit_once(") ").expect("a name in parentheses");
    fields.chars().next().expect("a state")
}

/// From SIGTERM to the end, with nothing under way.
const END_MAX: Duration = Duration::from_secs(10);

/// The priority in front of a line, and the rest.
fn priority(line: &str) -> Option<(u8, &str)> {
    let (number, rest) = line.strip_prefix('<')?.split_once('>')?;
    Some((number.parse().ok()?, rest))
}

#[test]
fn passwords_and_what_clients_send_are_in_no_output() {
    Rig::run(RigPlan::VETH, |rig| {
        let mut postgres = Postgres::start_new();
        let file = configure(rig, "");
        let url = format!("{} password={PASSWORD}", postgres.url());
        let server = ServerPlan::af_xdp()
            .with(&["--config", &file])
            .set("log.level=trace")
            .with_env("DATABASE_URL", &url)
            .with_own("JOURNAL_STREAM=$(stat --dereference --format %d:%i /proc/self/fd/2)")
            .serve(rig);
        assert_eq!(echo(200), format!("{{\"text\":\"{SENT}\"}}"), "the database has it");
        let mut said = Vec::new();
        for arguments in [
            &["reload"][..],
            &["config", "show"],
            &["config", "show", "--json"],
            &["stats"],
            &["stats", "--json"],
            &["log", "debug"],
            &["log", "trace"],
        ] {
            said.push(text(&pollux(rig, arguments).output()));
        }
        said.push(probe("/metrics").1);
        assert!(said[1].contains("postgres.url"), "{}", said[1]);
        // Errors of reloads are in the answer and in the log.
        for wrong in WRONG {
            configure(rig, &format!("[postgres]\nurl = \"{wrong}\"\n"));
            said.push(text(&pollux(rig, &["reload"]).output()));
            assert!(said.last().is_some_and(|text| text.contains("refused")), "{said:?}");
        }
        postgres.stop();
        echo(503);
        let log = server.stop(rig).log;
        assert!(log.contains("postgres.url = \"(not shown)\""), "reloads were refused:\n{log}");
        let lines: Vec<_> = log.lines().collect();
        let bare = lines.iter().find(|line| priority(line).is_none());
        assert_eq!(bare, None, "without its priority, of {}", lines.len());
        said.push(log);
        none_tells(&said);
    });
}

/// Databases that cannot be reached or are not named as they should be, in the environment, in options, in
/// files: neither what reads nor what serves quotes them.
#[test]
fn a_wrong_database_is_refused_without_being_quoted() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let file = scratch.path().join("p.toml");
    let unreachable = format!("postgres://joe:{PASSWORD}@127.0.0.1:1/db");
    let mut said = Vec::new();
    for url in WRONG.iter().copied().map(str::to_owned).chain([unreachable]) {
        fs::write(&file, format!("{ROUTE}[postgres]\nurl = '{url}'\n[log]\nlevel = \"trace\"\n"))
            .expect("writable");
        let file = file.to_str().expect("UTF-8");
        let config = ["--config", file];
        let option = [config[0], config[1], "--set", &format!("postgres.url={url}")];
        for (command, more) in [("check", &config[..]), ("doctor", &config), ("check", &option)] {
            said.push(run(&[&[command], more].concat(), ""));
        }
        said.push(run(&refused(&["--config", file, "--set", "admin.name=logs-wrong"]), ""));
        fs::write(file, ROUTE).expect("writable");
        said.push(run(&["check", "--config", file], &url));
        said.push(run(&["check", "--set", &format!("postgres.url:{url}")], ""));
        said.push(run(&["check", "--set", &format!("postgres.ulr={url}")], ""));
        said.push(run(&["check", "--set", &format!("link.device={url}")], ""));
        fs::write(file, format!("{ROUTE}[postgres]\nurl = {url}\n")).expect("writable");
        said.push(run(&["check", "--config", file], ""));
        fs::write(file, format!("{ROUTE}url = \"{url}\"\n")).expect("writable");
        said.push(run(&["check", "--config", file], ""));
    }
    assert!(said.iter().all(|text| !text.is_empty()), "each says something");
    assert!(said.iter().any(|text| text.contains("joe@127.0.0.1:1/db")), "the server is named");
    none_tells(&said);
}

fn none_tells(said: &[String]) {
    for text in said {
        let line = text.lines().find(|line| line.contains(PASSWORD) || line.contains(SENT));
        assert_eq!(line, None);
    }
}

/// `pollux` with these arguments, however it ends: all it says.
fn run(arguments: &[&str], database_url: &str) -> String {
    let mut command = Command::new("timeout");
    command.arg("30s").arg(binary()).args(arguments).env("DATABASE_URL", database_url);
    let output = command.stdin(Stdio::null()).output().expect("timeout (coreutils) runs");
    assert_ne!(output.status.code(), Some(124), "{arguments:?} took too long");
    text(&output)
}

fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|said| String::from_utf8_lossy(said)).concat()
}

/// Asks the database for what the request says: the answer, which must have this status.
fn echo(status: u16) -> String {
    let mut client = Client::open();
    client.send(format!("GET /echo?text={SENT} HTTP/1.1\r\nHost: a\r\n\r\n"));
    let answer = client.response();
    assert_eq!(answer.status, status, "{:?}", answer.fields);
    String::from_utf8(answer.body).expect("JSON")
}

/// Writes a configuration that asks a database, with `more` in it.
fn configure(rig: &Rig, more: &str) -> String {
    let file: PathBuf = rig.scratch.path().join("pollux.toml");
    fs::write(&file, format!("{ROUTE}{more}")).expect("writable");
    file.to_str().expect("UTF-8").to_owned()
}

const ROUTE: &str = "\
[statements]
echo = \"SELECT $1::text AS text\"
[[route]]
path = \"/echo\"
kind = \"postgres\"
statement = \"echo\"
arguments = [\"text\"]
row = '{\"text\": text}'
[route.parameters]
text = { from = \"query\", type = \"text\" }
";
const PASSWORD: &str = "correcthorsebattery";
/// What a client sends, and the database gets.
const SENT: &str = "sentbyaclient";
/// Each has the password where somebody might quote it.
const WRONG: &[&str] = &[
    "postgres://joe:correcthorsebattery@h:port/db",
    "postgres://joe:at@correcthorsebattery@h/db",
    "postgres://joe@h/db?pasword=correcthorsebattery",
    "postgres://joe:correcthorsebattery@h/db?sslmode=require",
    "host=h user=joe password=correct password2=correcthorsebattery",
    "postgres://joe:correcthorsebattery@",
];
