//! An idle server waits for its link in ppoll(2): it costs next to nothing, and whatever comes ends the
//! wait: a request, an answer of control, a reload, a signal.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use testkit::{Client, Company, Kind, Rig, RigPlan};

use crate::kit::{Server, ServerPlan, counting_route};

#[test]
fn af_xdp_costs_nothing_idle() {
    Rig::run(ALONE, |rig| idles("af_xdp:pollux0", "1", rig));
}

#[test]
fn af_packet_costs_nothing_idle() {
    Rig::run(ALONE, |rig| idles("af_packet:pollux0", "1", rig));
}

#[test]
fn tap_costs_nothing_idle() {
    Rig::run(RigPlan { kind: Kind::Tap, ..ALONE }, |rig| {
        idles("tap:pollux-host", "1", rig);
    });
}

/// The worker without a queue is woken by the one that has it, and the other way round.
#[test]
fn two_workers_on_one_queue_cost_nothing_idle() {
    Rig::run(ALONE, |rig| idles("af_xdp:pollux0", "0,1", rig));
}

/// A port for each queue: each worker waits for its own socket.
#[test]
fn two_queues_cost_nothing_idle() {
    Rig::run(RigPlan { queues: 2, ..ALONE }, |rig| idles("af_xdp:pollux0", "0,1", rig));
}

fn idles(link: &str, cores: &str, rig: &Rig) {
    let file = configure(rig.scratch.path(), "old");
    let file = file.to_str().expect("UTF-8");
    let server = ServerPlan::new(link, cores).with(&["--config", file]).serve(rig);
    println!("{link} on {cores}: {:.2} % of a core, idle", share_while_quiet(&server));

    let mut clients: Vec<_> = (0..CLIENTS).map(|_| Client::open()).collect();
    let ask = |client: &mut Client, path: &str| {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let answer = client.response();
        assert_eq!(answer.status, 200, "{path}: {:?}", answer.fields);
        answer.body
    };
    for _ in 0..3 {
        for client in &mut clients {
            thread::sleep(SILENCE);
            let start = Instant::now();
            assert_eq!(ask(client, "/word"), b"old");
            println!("{link} on {cores}: after {SILENCE:?} answered in {:.0?}", start.elapsed());
        }
    }
    thread::sleep(SILENCE);
    // Answered by control, while its worker has nothing else to do.
    for (number, client) in (1..).zip(&mut clients) {
        let body = format!("{{\"n\":{number}}}");
        assert_eq!(ask(client, &format!("/count?to={number}")), body.into_bytes());
    }
    println!("{link} on {cores}: {:.2} % with clients", share_while_quiet(&server));

    configure(rig.scratch.path(), "new");
    let start = Instant::now();
    server.signal(Signal::SIGHUP);
    let workers = cores.split(',').count() as u64;
    server.stats_when("a reload", |stats| stats.total("sites_installed") == workers);
    println!("{link} on {cores}: reloaded within {:.0?}", start.elapsed());
    assert!(start.elapsed() < AT_ONCE, "a reload waits");
    thread::sleep(SILENCE);
    clients.iter_mut().for_each(|client| assert_eq!(ask(client, "/word"), b"new"));
    drop(clients);
    thread::sleep(SILENCE);
    let stopped = server.stop(rig);
    println!("{link} on {cores}: ended in {:.0?}", stopped.took);
    assert!(stopped.took < AT_ONCE, "an end waits");
    assert_eq!(stopped.stats.losses(), [], "nothing is lost by sleeping");
}

/// The share of a core, in per cent, that all workers and the thread that takes what they offload take
/// together while nothing comes. It must be small, and their counters must go on.
fn share_while_quiet(server: &Server) -> f64 {
    // What has just been done is over.
    thread::sleep(Duration::from_millis(300));
    let (turns, busy) = (server.stats().total("turns"), polling_time(server));
    let start = Instant::now();
    thread::sleep(Duration::from_secs(2));
    let busy = polling_time(server) - busy;
    let share = 100.0 * busy.as_secs_f64() / start.elapsed().as_secs_f64();
    assert!(share < SHARE_MAX, "{share:.2} % of a core");
    let turns = server.stats().total("turns") - turns;
    assert!(turns >= 50, "{turns} turns in two seconds: the workers sleep too long");
    share
}

/// The processor time so far of all threads that poll while there is work. The others wait for sockets.
fn polling_time(server: &Server) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{}/task", server.pid())).expect("it runs").flatten();
    let polls = |task: &Path| {
        let name = fs::read_to_string(task.join("comm")).unwrap_or_default();
        name.starts_with("worker-") || name.trim() == "dispatcher"
    };
    // Nanoseconds: a tick of /proc/PID/stat would be half a per cent.
    let nanos = |task: &Path| -> u64 {
        let text = fs::read_to_string(task.join("schedstat")).expect("it runs");
        text.split(' ').next().and_then(|first| first.parse().ok()).expect("nanoseconds")
    };
    let polling: Vec<_> = tasks.map(|task| task.path()).filter(|task| polls(task)).collect();
    assert!(polling.len() >= 2, "there are workers, and the dispatcher");
    Duration::from_nanos(polling.iter().map(|task| nanos(task)).sum())
}

/// Writes a configuration whose route /word answers `word`, and whose route /count is answered by a database.
fn configure(scratch: &Path, word: &str) -> PathBuf {
    let file = scratch.join("pollux.toml");
    let text = format!(
        "[data]\ndirectory = \"{}\"\n{}\
         [[route]]\npath = \"/word\"\nkind = \"fixed\"\ntype = \"text/plain\"\nbody = \"{word}\"\n",
        scratch.display(),
        counting_route(scratch, "n")
    );
    fs::write(&file, text).expect("writable");
    file
}

/// So many that each of two workers has some.
/// The share of a core is measured.
const ALONE: RigPlan = RigPlan { company: Company::Alone, ..RigPlan::VETH };
const CLIENTS: usize = 8;
/// Longer than a worker stays awake.
const SILENCE: Duration = Duration::from_millis(50);
/// Of all workers together, per cent.
const SHARE_MAX: f64 = 3.0;
/// Longer than anything takes that does not wait.
const AT_ONCE: Duration = Duration::from_secs(2);
