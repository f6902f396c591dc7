//! Commands for a server that serves: many clients at once, rude ones and killed ones; drain, resume,
//! stop; the log level and the configuration.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::{APPLIANCE, Client, PORT, Rig, RigPlan, TIMEOUT};

use crate::kit::{Server, ServerPlan, binary, pollux, wrk};

/// How a command of the command line ended.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs `pollux` for the server of `rig`.
fn command(rig: &Rig, arguments: &[&str]) -> Ended {
    let output = pollux(rig, arguments).output();
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The same; it must end well. Returns what it said.
#[track_caller]
fn pollux_well(rig: &Rig, arguments: &[&str]) -> String {
    let ended = command(rig, arguments);
    assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
    ended.stdout
}

/// What the server says of itself.
#[track_caller]
fn status(rig: &Rig) -> Value {
    let text = pollux_well(rig, &["version", "--json"]);
    let document: Value = serde_json::from_str(&text).expect("is JSON");
    assert!(document["server"].is_object(), "no server answers: {text}");
    document["server"].clone()
}

/// A connection to the admin socket.
fn operator(path: &Path) -> UnixStream {
    let stream = UnixStream::connect(path).expect("somebody listens");
    stream.set_read_timeout(Some(TIMEOUT)).expect("not zero");
    stream.set_write_timeout(Some(TIMEOUT)).expect("not zero");
    stream
}

/// Sends lines one by one and takes the reply to each, which must be a result.
fn converse(path: &Path, lines: &[&str]) {
    let mut read = BufReader::new(operator(path));
    for line in lines {
        read.get_mut().write_all(format!("{line}\n").as_bytes()).expect("is taken");
        let mut reply = String::new();
        read.read_line(&mut reply).expect("a reply");
        let reply: Value = serde_json::from_str(&reply).expect("is JSON");
        assert_eq!(reply["ok"], true, "{line}: {reply}");
    }
}

fn get(client: &mut Client) -> u16 {
    client.send("GET /pipeline HTTP/1.1\r\nHost: a\r\n\r\n");
    client.response().status
}

#[test]
fn fifty_clients_are_answered_while_others_misbehave() {
    const CLIENTS: usize = 50;
    Rig::run(RigPlan::VETH, |rig| {
        let server = ServerPlan::af_xdp().serve(rig);
        let path = &rig.admin_socket();
        let load = thread::scope(|scope| {
            let load = scope.spawn(|| wrk(32, 5, "/pipeline"));
            let rude: Vec<_> =
                (0..4).map(|number| scope.spawn(move || misbehave(path, number))).collect();
            let good: Vec<_> = (0..CLIENTS)
                .map(|_| {
                    scope.spawn(|| {
                        let lines = [STATUS, CONFIG, LOG, STATUS];
                        (0..10).for_each(|_| converse(path, &lines));
                    })
                })
                .collect();
            good.into_iter().for_each(|client| client.join().expect("every line is answered"));
            rude.into_iter().for_each(|client| client.join().expect("is let go"));
            load.join().expect("wrk runs")
        });
        assert!(load.done > 0 && load.faults.is_empty(), "{:?}\n{}", load.faults, load.text);
        assert_eq!(status(rig)["state"], "serving");
        server.stop(rig);
    });
}

/// Says what nobody should say, in the way of `number`.
fn misbehave(path: &Path, number: usize) {
    for round in 0..20u64 {
        let mut stream = operator(path);
        match number {
            // Garbage, a few lines of it.
            0 => {
                let mut random = fastrand::Rng::with_seed(round);
                let garbage: Vec<u8> = (0..4_096).map(|_| random.u8(..)).collect();
                stream.write_all(&garbage).ok();
            }
            // Half a line, then gone.
            1 => stream.write_all(&STATUS.as_bytes()[..9]).expect("is taken"),
            // A line without an end, which is one too many: refused.
            2 => {
                // It stops reading when that is plain.
                stream.write_all(&vec![b'['; 80 << 10]).ok();
                stream.shutdown(Shutdown::Write).ok();
                let mut reply = String::new();
                let read = stream.read_to_string(&mut reply);
                assert!(read.is_err() || reply.contains("65536 bytes"), "{reply}");
            }
            // Asks much and reads nothing.
            _ => {
                stream.set_write_timeout(Some(Duration::from_millis(100))).expect("not zero");
                let many = format!("{CONFIG}\n").repeat(200);
                stream.write_all(many.as_bytes()).ok();
            }
        }
    }
}

#[test]
fn silent_clients_keep_no_reload_out() {
    Rig::run(RigPlan::VETH, |rig| {
        let server = ServerPlan::af_xdp().serve(rig);
        let silent: Vec<_> = (0..SILENT).map(|_| operator(&rig.admin_socket())).collect();
        let start = Instant::now();
        let text = pollux_well(rig, &["reload"]);
        println!("{SILENT} silent clients, {:?}: {text}", start.elapsed());
        assert!(text.contains("reloaded in"), "{text}");
        drop(silent);
        server.stop(rig);
    });
}

#[test]
fn a_drain_finishes_what_is_under_way_and_is_taken_back() {
    Rig::run(RigPlan::VETH, |rig| {
        let server = ServerPlan::af_xdp().serve(rig);
        let [mut idle, mut slow] = [Client::open(), Client::open()];
        assert_eq!(get(&mut idle), 200);
        slow.send("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc");
        server.stats_when("two connections", |stats| stats.total("connections_open") == 2);
        let said = pollux_well(rig, &["drain", "--no-wait"]);
        assert!(said.starts_with("draining: "), "{said}");
        idle.expect_end();
        drop(idle);
        assert!(Client::connect((APPLIANCE, PORT)).is_err(), "no connection is accepted");
        let late = command(rig, &["drain", "--timeout", "300ms"]);
        assert_eq!(late.code, Some(3), "{late:?}");
        assert!(late.stderr.contains("1 connections are left"), "{late:?}");
        let draining = status(rig);
        assert_eq!((&draining["state"], &draining["connections"]), (&"draining".into(), &1.into()));
        slow.send("def");
        let answer = slow.response();
        assert_eq!((answer.status, answer.closes()), (200, true));
        drop(slow);
        let said = pollux_well(rig, &["drain"]);
        assert!(said.contains("drained in "), "{said}");
        assert_eq!(status(rig)["state"], "drained");
        assert!(
            Client::connect((APPLIANCE, PORT)).is_err(),
            "a drained server accepts no connection"
        );
        pollux_well(rig, &["reload"]);
        assert!(pollux_well(rig, &["resume"]).starts_with("serving: "));
        let mut fresh = Client::open();
        assert_eq!((get(&mut fresh), get(&mut fresh)), (200, 200), "and it stays open");
        drop(fresh);
        pollux_well(rig, &["drain"]);
        pollux_well(rig, &["resume"]);
        assert_eq!(get(&mut Client::open()), 200, "as often as one likes");
        server.stop(rig);
    });
}

#[test]
fn a_drained_server_stops_on_command() {
    Rig::run(RigPlan::VETH, |rig| {
        for drained in [false, true] {
            let mut server = ServerPlan::af_xdp().serve(rig);
            assert_eq!(get(&mut Client::open()), 200);
            if drained {
                pollux_well(rig, &["drain"]);
            }
            let said = pollux_well(rig, &["stop"]);
            assert!(said.contains(" stopped in "), "{said}");
            assert!(!rig.admin_socket().exists(), "the command ends when the socket is gone");
            assert_eq!(server.wait(Duration::from_secs(10)).code(), Some(0), "{}", server.log());
            assert_eq!(rig.xdp_program(), None);
        }
    });
}

#[test]
fn the_log_level_changes_at_run_time() {
    Rig::run(RigPlan::VETH, |rig| {
        let server = ServerPlan::af_xdp().serve(rig);
        assert_eq!(pollux_well(rig, &["log"]), "info\n");
        assert_eq!(pollux_well(rig, &["log", "error"]), "error\n");
        pollux_well(rig, &["drain"]);
        pollux_well(rig, &["resume"]);
        assert_eq!(pollux_well(rig, &["log", "info"]), "info\n");
        let log = server.log();
        assert!(!log.contains("the server was serving"), "nothing is said below error:\n{log}");
        server.logged(&["the level of the log is info"]);
        pollux_well(rig, &["drain"]);
        server.logged(&["the server was draining and is drained"]);
        server.stop(rig);
    });
}

#[test]
fn the_configuration_hides_the_password() {
    Rig::run(RigPlan::VETH, |rig| {
        let file = rig.scratch.path().join("pollux.toml");
        let text = "[limits]\nbody = \"1MiB\"\n\n[[route]]\npath = \"/pipeline\"\nkind = \"fixed\"\n\
                    type = \"text/plain\"\nbody = \"ok\"\n";
        fs::write(&file, text).expect("writable");
        let file = file.to_str().expect("UTF-8");
        let server = ServerPlan::af_xdp()
            .with(&["--config", file])
            .with_env("DATABASE_URL", "postgres://me:s3cret@db.example/shop")
            .serve(rig);
        let json = pollux_well(rig, &["config", "show", "--json"]);
        let shown = pollux_well(rig, &["config", "show"]);
        assert!(!json.contains("s3cret") && !shown.contains("s3cret"), "{shown}");
        let line = |key: &str| {
            let line = shown.lines().find(|line| line.starts_with(key));
            line.unwrap_or_else(|| panic!("no {key} in {shown}")).to_owned()
        };
        let url = line("postgres.url");
        assert!(url.contains("\"postgres://me@db.example:5432/shop\""), "{url}");
        assert!(url.ends_with("# DATABASE_URL"), "{url}");
        assert!(line("limits.body").ends_with(&format!("# {file}:2")), "{shown}");
        assert!(line("cores.workers").ends_with("# --cores"), "{shown}");
        assert!(line("listen.port").ends_with("# default"), "{shown}");
        let document: Value = serde_json::from_str(&json).expect("is JSON");
        assert_eq!(document["routes"], 1);
        server.stop(rig);
    });
}

/// `kill -9` of the client in any state of any command.
#[test]
fn clients_that_are_killed_leave_nothing_behind() {
    Rig::run(RigPlan::VETH, |rig| {
        let server = ServerPlan::af_xdp().serve(rig);
        let commands: [&[&str]; 8] = [
            &["reload"],
            &["stats"],
            &["stats", "--watch", "0.1"],
            &["drain"],
            &["version"],
            &["config", "show"],
            &["log", "info"],
            &["resume"],
        ];
        assert_eq!(status(rig)["state"], "serving");
        let before = descriptors(&server);
        let mut random = fastrand::Rng::with_seed(7);
        for command in (0..25).flat_map(|_| commands) {
            let mut child = Command::new(binary())
                .args(command)
                .args(["--name", &rig.name])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("the binary runs");
            thread::sleep(Duration::from_micros(random.u64(0..20_000)));
            child.kill().expect("a child of ours");
            child.wait().expect("a child of ours");
        }
        pollux_well(rig, &["resume"]);
        assert_eq!(get(&mut Client::open()), 200, "the server goes on");
        pollux_well(rig, &["reload"]);
        let start = Instant::now();
        while descriptors(&server) > before {
            assert!(start.elapsed() < TIMEOUT, "{} -> {}", before, descriptors(&server));
            thread::sleep(Duration::from_millis(50));
        }
        server.stop(rig);
    });
}

/// Sockets that the server has open.
fn descriptors(server: &Server) -> usize {
    let entries = fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("it runs");
    let socket = |entry: io::Result<fs::DirEntry>| {
        let target = fs::read_link(entry.ok()?.path()).ok()?;
        target.to_str()?.starts_with("socket:").then_some(())
    };
    entries.filter_map(socket).count()
}

const STATUS: &str = "{\"v\":1,\"command\":\"status\"}";
const CONFIG: &str = "{\"v\":1,\"command\":\"config\"}";
const LOG: &str = "{\"v\":1,\"command\":\"log\",\"level\":\"info\"}";
/// More than there are places for.
const SILENT: usize = 300;
