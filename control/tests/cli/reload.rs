//! `pollux reload` and the admin socket as an operator meets them, without a server that serves.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};

use crate::pollux::pollux;

/// Plays the server of a name of its own.
struct Played {
    name: String,
    path: PathBuf,
}

impl Played {
    fn new(test: &str) -> (Self, UnixListener) {
        let name = format!("test-{test}-{}", std::process::id());
        let path = PathBuf::from(format!("/run/pollux/{name}.sock"));
        fs::create_dir_all("/run/pollux").expect("writable");
        let listener = UnixListener::bind(&path).expect("binds");
        (Self { name, path }, listener)
    }
}

impl Drop for Played {
    fn drop(&mut self) {
        fs::remove_file(&self.path).ok();
    }
}

/// Answers one line with `reply`; returns the line.
fn answer(listener: UnixListener, reply: &'static str) -> JoinHandle<String> {
    thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a client");
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).expect("a line");
        (&stream).write_all(reply.as_bytes()).expect("is taken");
        line
    })
}

#[test]
fn what_was_done_is_printed() {
    let (played, listener) = Played::new("done");
    let server = answer(
        listener,
        "{\"v\":1,\"ok\":true,\"result\":{\"source\":\"/srv\",\"routes\":3,\"routes_before\":2,\
         \"bytes\":20,\"bytes_before\":10,\"hugepages\":true,\"ms\":5,\
         \"at_restart\":[\"listen.port\"],\"of_a_later_version\":1}}\n",
    );
    let reloaded = pollux(&["reload", "--name", &played.name]);
    assert_eq!(server.join().expect("no panic"), "{\"v\":1,\"command\":\"reload\"}\n");
    assert_eq!(reloaded.code, 0, "{}", reloaded.stderr);
    assert_eq!(
        reloaded.stdout,
        "reloaded in 5 ms: 3 routes (2 before), 20 bytes of responses (10 before) in hugepages, from \
         /srv\ntakes effect at a restart: listen.port\n"
    );
    assert_eq!(reloaded.stderr, "");
}

#[test]
fn a_refusal_is_exit_code_1() {
    let (played, listener) = Played::new("refused");
    let server =
        answer(listener, "{\"v\":1,\"ok\":false,\"error\":\"the reload was refused: x\"}\n");
    let refused = pollux(&["reload", "--name", &played.name]);
    assert_eq!(refused.code, 1);
    assert_eq!(refused.stderr, "pollux: the reload was refused: x\n");
    assert_eq!(refused.stdout, "");
    server.join().expect("no panic");
}

#[test]
fn nobody_to_reload_is_exit_code_1_and_says_what_to_do() {
    let nobody = pollux(&["reload", "--name", "nobody-of-this-name"]);
    assert_eq!(nobody.code, 1);
    assert!(
        nobody.stderr.starts_with("pollux: /run/pollux/nobody-of-this-name.sock: no server"),
        "{}",
        nobody.stderr
    );
    assert!(nobody.stderr.contains("--name NAME"), "{}", nobody.stderr);
}

#[test]
fn a_name_that_cannot_be_is_misuse() {
    let misused = pollux(&["reload", "--name", "../pollux"]);
    assert_eq!(misused.code, 2);
    assert!(misused.stderr.contains("letters, digits"), "{}", misused.stderr);
}

#[test]
fn a_second_server_of_a_name_ends_before_it_takes_anything() {
    let (played, _listener) = Played::new("second");
    // It would fail at the interface, if it came that far.
    let name = format!("admin.name={}", played.name);
    let second = pollux(&["serve", "--link", "af_packet:no-such-if", "--set", &name]);
    assert_eq!(second.code, 1, "{}", second.stderr);
    let last = second.stderr.lines().last().expect("a last word");
    assert!(last.contains("a server of this name runs already (process "), "{last}");
    assert!(last.contains("--set admin.name=NAME"), "{last}");
    assert!(played.path.exists(), "the first one keeps its socket");
}

#[test]
fn a_server_that_does_not_start_leaves_no_socket() {
    let name = format!("test-gone-{}", std::process::id());
    let setting = format!("admin.name={name}");
    let served = pollux(&[
        "serve",
        "--link",
        "af_packet:no-such-if",
        "--set",
        "memory.pages=ordinary",
        "--set",
        &setting,
    ]);
    assert_eq!(served.code, 1, "{}", served.stderr);
    assert!(!PathBuf::from(format!("/run/pollux/{name}.sock")).exists());
}

#[test]
fn help_says_what_a_reload_changes() {
    let help = pollux(&["reload", "--help"]);
    assert_eq!(help.code, 0);
    for needed in ["--name", "take effect at a restart", "Exit codes:"] {
        assert!(help.stdout.contains(needed), "`reload --help` lacks {needed}:\n{}", help.stdout);
    }
    assert!(pollux(&["serve", "--help"]).stdout.contains("SIGHUP"));
}
