//! The commands for a running server as an operator meets them, with a server that this file plays.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crate::pollux::{Ended, pollux};

/// Plays a server in a directory of its own.
struct Played {
    directory: tempfile::TempDir,
}

/// A server that answers, until it has played its part.
type Script = JoinHandle<Vec<String>>;

impl Played {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("temporary directory") }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("played.sock")
    }

    /// Answers one line after the other, with the next of `replies`; whoever connects without saying
    /// anything is passed over. Returns the lines. The socket is gone afterwards.
    fn answer(&self, replies: Vec<String>) -> Script {
        let path = self.path();
        let listener = UnixListener::bind(&path).expect("binds");
        thread::spawn(move || {
            let mut lines = Vec::new();
            let mut replies = replies.into_iter().peekable();
            while replies.peek().is_some() {
                let (stream, _) = listener.accept().expect("a client");
                converse(&stream, &mut replies, &mut lines);
            }
            fs::remove_file(path).expect("is there");
            lines
        })
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        let directory = self.directory.path().to_str().expect("UTF-8");
        pollux(&[arguments, &["--name", "played", "--directory", directory]].concat())
    }
}

fn converse(
    stream: &UnixStream,
    replies: &mut impl Iterator<Item = String>,
    lines: &mut Vec<String>,
) {
    let mut read = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if read.read_line(&mut line).expect("a line") == 0 {
            return;
        }
        lines.push(line.trim_end().to_owned());
        let Some(reply) = replies.next() else { return };
        let mut to = stream;
        to.write_all(reply.as_bytes()).expect("is taken");
    }
}

fn result(result: &str) -> String {
    format!("{{\"v\":1,\"ok\":true,\"result\":{result}}}\n")
}

fn status(state: &str, connections: u64) -> String {
    result(&format!(
        "{{\"state\":\"{state}\",\"since\":7,\"pid\":4711,\"uptime_seconds\":7500,\
         \"version\":\"0.0.9\",\"dpdk\":\"DPDK 22.11.1\",\"connections\":{connections}}}"
    ))
}

fn request(command: &str) -> String {
    format!("{{\"v\":1,\"command\":\"{command}\"}}")
}

#[test]
fn a_drain_is_watched_until_nothing_is_left() {
    let played = Played::new();
    let replies = [("draining", 3), ("draining", 2), ("drained", 0)];
    let server = played.answer(replies.map(|(state, left)| status(state, left)).into());
    let start = Instant::now();
    let drained = played.run(&["drain"]);
    assert_eq!(drained.code, 0, "{}", drained.stderr);
    let lines: Vec<_> = drained.stdout.lines().collect();
    assert_eq!(lines.first(), Some(&"draining: 3 connections left"));
    assert!(lines.last().is_some_and(|line| line.starts_with("drained in ")), "{lines:?}");
    let seconds = usize::try_from(start.elapsed().as_secs()).expect("few");
    assert!(lines.len() <= 2 + seconds, "a line a second, where it is no terminal: {lines:?}");
    let said = server.join().expect("no panic");
    assert_eq!(said, [request("drain"), request("status"), request("status")]);
}

#[test]
fn a_drain_that_takes_too_long_is_exit_code_3() {
    let played = Played::new();
    // It ends with the test: how often it is asked depends on the machine.
    drop(played.answer(vec![status("draining", 3); 9]));
    let start = Instant::now();
    let late = played.run(&["drain", "--timeout", "100ms", "--json"]);
    assert_eq!(late.code, 3, "{}", late.stderr);
    assert!(start.elapsed().as_millis() >= 100);
    assert_eq!(late.stdout, "");
    assert!(
        late.stderr.starts_with("pollux: 3 connections are left after 100ms;"),
        "{}",
        late.stderr
    );
    assert!(late.stderr.contains("pollux resume"), "{}", late.stderr);
}

#[test]
fn a_drain_need_not_be_waited_for() {
    let played = Played::new();
    let server = played.answer(vec![status("draining", 3)]);
    let begun = played.run(&["drain", "--no-wait"]);
    assert_eq!((begun.code, &*begun.stdout), (0, "draining: 3 connections left\n"));
    server.join().expect("no panic");
}

#[test]
fn a_drain_that_somebody_takes_back_fails() {
    let played = Played::new();
    let server = played.answer(vec![status("draining", 3), status("serving", 3)]);
    let resumed = played.run(&["drain"]);
    assert_eq!(resumed.code, 1);
    assert!(resumed.stderr.contains("serves again"), "{}", resumed.stderr);
    server.join().expect("no panic");
}

#[test]
fn a_stop_is_over_when_the_socket_is_gone() {
    let played = Played::new();
    let server = played.answer(vec![status("stopping", 3)]);
    let stopped = played.run(&["stop"]);
    assert_eq!(stopped.code, 0, "{}", stopped.stderr);
    assert!(stopped.stdout.starts_with("process 4711 stopped in "), "{}", stopped.stdout);
    assert_eq!(server.join().expect("no panic"), [request("stop")]);
}

#[test]
fn a_stop_that_takes_too_long_is_exit_code_3() {
    let played = Played::new();
    let server = played.answer(vec![status("stopping", 3), status("stopping", 3)]);
    let late = played.run(&["stop", "--timeout", "100ms"]);
    assert_eq!(late.code, 3, "{}", late.stderr);
    assert!(
        late.stderr.contains("process 4711 still has its socket after 100ms"),
        "{}",
        late.stderr
    );
    assert_eq!(played.run(&["resume", "--json"]).code, 0, "the script ends with this");
    assert_eq!(server.join().expect("no panic").len(), 2);
}

#[test]
fn a_level_is_told_and_changed() {
    let played = Played::new();
    let server = played.answer(vec![result("{\"level\":\"info\"}")]);
    assert_eq!(played.run(&["log"]).stdout, "info\n");
    assert_eq!(server.join().expect("no panic"), [request("log")]);
    let server = played.answer(vec![result("{\"level\":\"debug\"}")]);
    assert_eq!(played.run(&["log", "debug", "--json"]).stdout, "{\"level\":\"debug\"}\n");
    let said = server.join().expect("no panic");
    assert_eq!(said, ["{\"v\":1,\"command\":\"log\",\"level\":\"debug\"}"]);
    let misused = played.run(&["log", "loud"]);
    assert_eq!(misused.code, 2);
    assert!(misused.stderr.contains("debug"), "it says what there is: {}", misused.stderr);
}

#[test]
fn the_configuration_is_shown_with_its_places() {
    let played = Played::new();
    let reply = result(
        "{\"settings\":[{\"key\":\"listen.port\",\"value\":\"81\",\"source\":\"file\",\
         \"at\":\"p.toml:3\"},{\"key\":\"stats.file\",\"value\":\"\",\"source\":\"default\"}],\
         \"content\":\"/srv/site\",\"routes\":17,\"files\":{\"served\":9,\"skipped\":3,\"links_refused\":2,\
         \"hidden\":1}}",
    );
    let server = played.answer(vec![reply.clone()]);
    let shown = played.run(&["config", "show"]);
    assert_eq!(
        shown.stdout,
        "listen.port = \"81\"  # p.toml:3\nstats.file = \"\"     # default\n# 17 routes, content from \
         /srv/site\n# 9 files; not served: 3 skipped (files.unreadable), 2 of them links that files.links refuses; \
         1 with a dot in front (files.dot_names)\n"
    );
    server.join().expect("no panic");
    let server = played.answer(vec![reply]);
    let shown = played.run(&["config", "show", "--json"]);
    assert!(
        shown.stdout.contains("{\"key\":\"stats.file\",\"value\":\"\",\"source\":\"default\"}")
    );
    server.join().expect("no panic");
}

#[test]
fn the_version_is_ours_and_that_of_the_server() {
    let played = Played::new();
    let nobody = played.run(&["version"]);
    assert_eq!(nobody.code, 0, "{}", nobody.stderr);
    let ours = concat!("pollux ", env!("CARGO_PKG_VERSION"), "\nDPDK ");
    assert!(nobody.stdout.starts_with(ours), "{}", nobody.stdout);
    assert!(nobody.stdout.contains("\nserver played: none runs ("), "{}", nobody.stdout);
    let server = played.answer(vec![status("drained", 0)]);
    let both = played.run(&["version"]);
    let theirs = "server played: version 0.0.9 with DPDK 22.11.1, process 4711, up 2h 05m, drained, \
                  0 connections\n";
    assert!(both.stdout.ends_with(theirs), "{}", both.stdout);
    server.join().expect("no panic");
    let server = played.answer(vec![status("serving", 5)]);
    let json = played.run(&["version", "--json"]).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).expect("is JSON");
    assert_eq!(
        (json["server"]["pid"].as_u64(), json["server"]["connections"].as_u64()),
        (Some(4711), Some(5))
    );
    assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
    server.join().expect("no panic");
}

#[test]
fn nobody_is_exit_code_1_for_every_command() {
    let played = Played::new();
    for command in
        [&["reload"][..], &["drain"], &["resume"], &["stop"], &["log"], &["config", "show"]]
    {
        let nobody = played.run(command);
        assert_eq!(nobody.code, 1, "{command:?}");
        assert!(nobody.stderr.contains("played.sock: no server"), "{command:?}: {}", nobody.stderr);
        assert!(nobody.stderr.contains("--directory DIR"), "{command:?}: {}", nobody.stderr);
    }
}

/// It comes as far as its interface, which is not there.
#[test]
fn a_server_that_can_have_no_socket_warns_and_goes_on() {
    let place = tempfile::tempdir().expect("temporary directory");
    let file = place.path().join("file");
    fs::write(&file, "").expect("writable");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("ours");
    let directory = format!("admin.directory={}/below", file.display());
    let ended = pollux(&[
        "serve",
        "--link",
        "af_packet:no-such-if",
        "--set",
        "memory.pages=ordinary",
        "--set",
        &directory,
    ]);
    assert_eq!(ended.code, 1);
    let warning = ended.stderr.lines().find(|line| line.contains("no commands are taken: "));
    let warning = warning.unwrap_or_else(|| panic!("no warning: {}", ended.stderr));
    assert!(warning.contains("/file/below: the admin socket could not be made"), "{warning}");
    let last = ended.stderr.lines().last().unwrap_or_default();
    assert!(last.contains("no-such-if"), "it went on: {}", ended.stderr);
}

#[test]
fn a_directory_that_is_not_from_the_root_is_refused() {
    let checked = pollux(&["check", "--set", "admin.directory=run"]);
    assert_eq!(checked.code, 2);
    assert!(checked.stderr.contains("admin.directory = \"run\""), "{}", checked.stderr);
}
