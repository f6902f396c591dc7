//! Ends and beginnings: SIGTERM under load gives everything back, and a start that cannot work says
//! what to do.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use testkit::{APPLIANCE, Hugepages, Kind, PORT, Rig, RigPlan, Tool};

use crate::kit::ServerPlan;

#[test]
fn sigterm_under_load_gives_everything_back() {
    for (kind, link) in [(Kind::Veth, "af_xdp:pollux0"), (Kind::Tap, "tap:pollux-host")] {
        Rig::run(RigPlan { kind, ..RigPlan::VETH }, |rig| {
            let server = ServerPlan::new(link, "1").serve(rig);
            assert!(server.memory().1 > 0, "the server uses hugepages");
            if kind == Kind::Veth {
                assert!(rig.xdp_program().is_some(), "AF_XDP has a program on the interface");
            }
            let url = format!("http://{APPLIANCE}:{PORT}/pipeline");
            let load = Tool::new(20, "wrk", &["-t1", "-c64", "-d6s", &url]).start();
            thread::sleep(Duration::from_secs(2));
            let stopped = server.stop(rig);
            println!("{link}: exit 0 {:?} after SIGTERM", stopped.took);
            assert!(stopped.stats.total("requests") > 0, "there was load");
            assert_eq!(stopped.stats.total("connections_open"), 0, "every connection has ended");
            expect_no_leak();
            let said = Tool::new(10, "arping", &["-c", "1", "-I", HOST_INTERFACE, &address()]);
            assert!(!said.output().status.success(), "nobody answers for the address any more");
            drop(load);
        });
    }
}

#[test]
fn sigint_ends_it_too() {
    Rig::run(RigPlan::VETH, |rig| {
        let mut server = ServerPlan::af_xdp().serve(rig);
        server.signal(Signal::SIGINT);
        assert_eq!(server.wait(Duration::from_secs(10)).code(), Some(0));
        assert_eq!(rig.xdp_program(), None);
    });
}

#[test]
fn auto_says_which_link_and_why() {
    Rig::run(RigPlan::VETH, |rig| {
        let server = ServerPlan::new("auto", "1").serve(rig);
        for candidate in ["AF_XDP: ", "AF_PACKET: ", "TAP: "] {
            println!("{}", server.logged(&["link auto", candidate]));
        }
        server.logged(&["AF_XDP: ", "af_xdp:pollux0"]);
        server.logged(&[" ready: ", " on af_xdp:pollux0"]);
        assert!(rig.xdp_program().is_some());
        server.stop(rig);
    });
}

/// What is wrong, the exit code, and words that the last line must have.
struct Refusal<'a> {
    plan: ServerPlan,
    code: i32,
    words: &'a [&'a str],
}

#[test]
fn a_start_that_cannot_work_says_what_to_do() {
    Rig::run(RigPlan::VETH, |rig| {
        let config = rig.scratch.path().join("pollux.toml");
        fs::write(&config, "[listen]\nport = 8080\n\n[limits]\nconections = 5\n")
            .expect("writable");
        let config = config.to_str().expect("a path in UTF-8");
        let empty = rig.scratch.path().join("empty");
        fs::create_dir(&empty).expect("writable");
        let empty = empty.to_str().expect("a path in UTF-8");
        let refusals = [
            Refusal {
                plan: ServerPlan::new("af_xdp:nosuch0", "1"),
                code: 1,
                words: &["nosuch0", "link.sh up"],
            },
            Refusal {
                plan: ServerPlan::new("af_packet:nosuch0", "1"),
                code: 1,
                words: &["nosuch0", "link.sh up"],
            },
            Refusal {
                plan: ServerPlan::af_xdp().with(&["--config", config]),
                code: 2,
                words: &[config, "5", "conections", "limits.connections"],
            },
            Refusal {
                plan: ServerPlan::af_xdp().with(&["--data", "/nonexistent/data"]),
                code: 2,
                words: &["/nonexistent/data/benchmark.db", "pollux sample"],
            },
            Refusal {
                plan: ServerPlan::af_xdp().with(&["--data", empty]),
                code: 2,
                words: &["benchmark.db", "pollux sample"],
            },
            Refusal { plan: ServerPlan::new("af_xdp:pollux0", "999"), code: 2, words: &["999"] },
            Refusal {
                plan: ServerPlan::af_xdp().without_hugepages(),
                code: 1,
                words: &["hugepages", "hugepages.sh reserve"],
            },
        ];
        for refusal in refusals {
            refusal.expect(rig);
        }
        assert_eq!(rig.xdp_program(), None, "a start that failed leaves nothing");
    });
}

#[test]
fn an_address_that_somebody_has_is_not_taken() {
    Rig::run(RigPlan::VETH, |rig| {
        let cidr = format!("{APPLIANCE}/24");
        Tool::new(5, "ip", &["address", "add", &cidr, "dev", HOST_INTERFACE]).text();
        let shown = Tool::new(5, "ip", &["-brief", "link", "show", "dev", HOST_INTERFACE]).text();
        let mac = shown.split_whitespace().nth(2).expect("an interface has a MAC").to_owned();
        let plan = ServerPlan::af_xdp();
        let words = [&*address(), &*mac, "in use", "--address"];
        Refusal { plan, code: 1, words: &words }.expect(rig);
        assert_eq!(rig.xdp_program(), None, "a start that failed leaves nothing");
    });
}

impl Refusal<'_> {
    #[track_caller]
    fn expect(self, rig: &Rig) {
        let start = Instant::now();
        let (code, log) = self.plan.launch(rig).refusal();
        let last = log.lines().last().unwrap_or_default();
        println!("exit {code} in {:?}: {last}", start.elapsed());
        assert_eq!(code, self.code, "{log}");
        for word in self.words {
            assert!(last.contains(word), "no {word:?} in the last line of:\n{log}");
        }
    }
}

/// Waits until the kernel has freed every hugepage that nobody holds any more.
fn expect_no_leak() {
    let start = Instant::now();
    while Hugepages::leaked() > 0 {
        let leaked = Hugepages::leaked();
        assert!(start.elapsed() < Duration::from_secs(5), "{leaked} hugepages that nobody holds");
        thread::sleep(Duration::from_millis(50));
    }
}

fn address() -> String {
    APPLIANCE.to_string()
}

const HOST_INTERFACE: &str = "pollux-host";
