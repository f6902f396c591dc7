//! `pollux top` in a terminal, on a server under load.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testkit::{APPLIANCE, PORT, Rig, RigPlan, Running, Tool};

use crate::kit::{ServerPlan, Tmux, binary};

#[test]
fn a_server_under_load_is_shown_and_keys_do_what_they_say() {
    Rig::run(RigPlan::VETH, |rig| {
        let server = ServerPlan::af_xdp().serve(rig);
        let load = [load("/pipeline"), load("/json/25?m=4"), load("/nowhere")];
        let tmux = Tmux::start(rig, 80, 24);
        let before = settings(&tmux, rig, "before");
        start(&tmux, rig, "");
        tmux.wait_for(&[&rig.name, "serving", "up "]);
        shows_the_load(&tmux);

        tmux.resize(200, 50);
        tmux.wait_for(&["pid", "version", "af_xdp:pollux0"]);
        shows_the_load(&tmux);
        tmux.wait_for(&["GET /pipeline", "fixed"]);
        tmux.resize(50, 10);
        tmux.wait_for(&["50x10 is too small"]);
        tmux.resize(80, 24);
        shows_the_load(&tmux);

        tmux.keys(&["?"]);
        tmux.wait_for(&["q  Esc  Ctrl-C", "quit"]);
        tmux.keys(&["Escape"]);
        tmux.wait_until("screen without help", |screen| {
            !screen.iter().any(|line| line.contains("Ctrl-C"))
        });
        tmux.keys(&["p"]);
        let held = tmux.wait_for(&["PAUSED"]);
        thread::sleep(Duration::from_secs(1));
        assert_eq!(tmux.screen(), held, "numbers stand still");
        tmux.keys(&["Space"]);
        tmux.wait_until("numbers that go on", |screen| {
            !screen.iter().any(|line| line.contains("PAUSED")) && screen != held
        });
        tmux.keys(&["Tab"]);
        tmux.wait_for(&[">  1 ", " %"]);
        tmux.wait_for(&["connections, core 1"]);
        shows_the_load(&tmux);
        tmux.keys(&["Left"]);
        tmux.wait_for(&["connections, all cores"]);
        for sort in ["name", "total", "rate"] {
            tmux.keys(&["s"]);
            tmux.wait_for(&[&format!("routes by {sort}")]);
        }
        tmux.keys(&["+"]);
        tmux.wait_for(&["+/- 500ms"]);
        tmux.keys(&["-"]);
        tmux.wait_for(&["+/- 200ms"]);

        drop(load);
        server.signal(Signal::SIGKILL);
        tmux.wait_for(&["no server"]);
        tmux.wait_for(&["trying again every 200ms"]);
        drop(server);
        let server = ServerPlan::af_xdp().serve(rig);
        tmux.wait_for(&[&format!("pid {}", server.pid())]);
        tmux.wait_for(&["requests 0/s"]);
        tmux.keys(&["q"]);
        tmux.wait_for(&["ended 0"]);
        is_as_before(&tmux, rig, &before);
        drop(tmux);
        server.stop(rig);
    });
}

#[test]
fn signals_give_the_terminal_back_and_the_server_never_notices() {
    Rig::run(RigPlan::VETH, |rig| {
        let server = ServerPlan::af_xdp().serve(rig);
        let tmux = Tmux::start(rig, 80, 24);
        let before = settings(&tmux, rig, "before");
        for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT] {
            start(&tmux, rig, "NO_COLOR=1");
            tmux.wait_for(&["serving"]);
            assert_eq!(tmux.modes(), (true, false), "the screen is taken");
            let colours = tmux.colours();
            assert!(!coloured(&colours), "NO_COLOR is set, and there are colours:\n{colours}");
            kill(top(rig), signal).expect("it runs");
            tmux.wait_for(&["ended 0"]);
            is_as_before(&tmux, rig, &before);
            tmux.command("clear");
            tmux.wait_until("empty screen", |screen| {
                !screen.iter().any(|line| line.contains("ended"))
            });
        }
        start(&tmux, rig, "");
        tmux.wait_for(&["serving"]);
        let colours = tmux.colours();
        assert!(coloured(&colours), "there are no colours:\n{colours}");
        kill(top(rig), Signal::SIGKILL).expect("it runs");
        drop(tmux);
        drop(load("/pipeline"));
        assert_eq!(server.stop(rig).stats.total("responses_5xx"), 0);
    });
}

/// A load on `path` for as long as it is held, at most two minutes.
fn load(path: &str) -> Running {
    let url = format!("http://{APPLIANCE}:{PORT}{path}");
    Tool::new(130, "wrk", &["-t1", "-c4", "-d120s", &url]).start()
}

/// Starts `pollux top` from the shell, and notes its process id.
fn start(tmux: &Tmux, rig: &Rig, environment: &str) {
    let pid = rig.scratch.path().join("pid");
    fs::remove_file(&pid).ok();
    let (pid, binary) = (pid.display(), binary());
    let top = format!("exec {} top --name {} --interval 200ms", binary.display(), rig.name);
    // In quotes of two halves, so that only the outcome reads "ended".
    tmux.command(&format!("{environment} bash -c 'echo $$ >{pid}; {top}'; echo 'en''ded' $?"));
}

fn top(rig: &Rig) -> Pid {
    let path = rig.scratch.path().join("pid");
    let text = fs::read_to_string(path).expect("it was started");
    Pid::from_raw(text.trim().parse().expect("a number"))
}

/// Bars, a rate, responses, quantiles and routes: all of the load, none of them nothing.
#[track_caller]
fn shows_the_load(tmux: &Tmux) {
    tmux.wait_until("load", |screen| {
        let line = |words: &[&str]| {
            screen.iter().find(|line| words.iter().all(|word| line.contains(word)))
        };
        let is_not =
            |words: &[&str], nothing: &str| line(words).is_some_and(|line| !line.contains(nothing));
        let fixed = screen.iter().find(|line| line.starts_with(" fixed "));
        let has_history = screen.iter().any(|line| line.chars().any(|c| ('▁'..='▇').contains(&c)));
        is_not(&["  1 ", "█", "%"], " 0/s")
            && is_not(&["requests ", "/s"], "requests 0/s")
            && is_not(&["2xx "], "2xx       0/s")
            && is_not(&["4xx "], "4xx       0/s")
            && is_not(&["out ", "bit/s"], " 0 bit/s")
            && line(&["p50", "p90", "p99", "p99.9", "max"]).is_some()
            && fixed
                .is_some_and(|line| line.matches(" us").count() + line.matches(" ms").count() >= 5)
            && is_not(&["GET /pipeline"], " 0/s")
            && is_not(&["GET /json/{count}"], " 0/s")
            && is_not(&["(no route)"], " 0/s")
            && line(&["drops"]).is_some()
            && has_history
    });
}

/// The shell has its screen, its cursor and its settings.
#[track_caller]
fn is_as_before(tmux: &Tmux, rig: &Rig, before: &str) {
    assert_eq!(tmux.modes(), (false, true), "the shell's screen with its cursor");
    assert_eq!(settings(tmux, rig, "after"), before);
    let screen = tmux.screen();
    assert!(!screen.iter().any(|line| line.contains("serving")), "{}", screen.join("\n"));
}

/// What `stty -a` says in the terminal.
#[track_caller]
fn settings(tmux: &Tmux, rig: &Rig, name: &str) -> String {
    let path = rig.scratch.path().join(name);
    fs::remove_file(&path).ok();
    let shown = path.display();
    tmux.command(&format!("stty -a >{shown}.new; mv {shown}.new {shown}"));
    let start = Instant::now();
    loop {
        if let Ok(text) = fs::read_to_string(&path) {
            return text;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "the shell does not run stty");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Whether an escape sequence of `text` sets a colour: 30 to 38, 40 to 48 or 90 to 97.
fn coloured(text: &str) -> bool {
    let sequences = text.split("\x1b[").skip(1).filter_map(|rest| rest.split_once('m'));
    let mut codes = sequences.flat_map(|(codes, _)| codes.split(';'));
    codes.any(|code| code.parse().is_ok_and(|code| matches!(code, 30..=38 | 40..=48 | 90..=97)))
}
