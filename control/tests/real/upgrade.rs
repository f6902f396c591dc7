//! `deploy/upgrade.sh`: one server replaces another behind a service's address, and nobody notices.
//!
//! ```text
//! namespace of the clients            namespace of the rig: nftables and conntrack
//!   192.0.2.2 <--- veth ---> 192.0.2.1   203.0.113.10:80 -> 198.18.0.2:8080 (old, pollux0)
//!                                                        -> 198.18.1.2:8080 (new, pollux1)
//! ```

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};
use testkit::{Client, Response, Rig, RigPlan, TIMEOUT, Tool, script};

use crate::kit::{ServerPlan, binary};

const SERVICE: &str = "203.0.113.10:80";
const OLD: &str = "198.18.0.2:8080";
const NEW: &str = "198.18.1.2:8080";
/// Answered in many turns, to whoever reads slowly.
const LARGE_LEN: usize = 4 << 20;
const LOOPERS: u64 = 8;
const WRK_SECONDS: u32 = 10;

/// Clients, the second link, and what the upgraded server is configured with. Dropping it ends the server
/// that the script has started.
struct Stage<'r> {
    rig: &'r Rig,
    clients: String,
    new: String,
}

impl<'r> Stage<'r> {
    fn set(rig: &'r Rig) -> Self {
        let stage =
            Self { rig, clients: format!("{}-c", rig.name), new: format!("{}-new", rig.name) };
        let clients = stage.clients.as_str();
        Tool::new(10, "ip", &["netns", "add", clients]).text();
        let veth = "link add near type veth peer name far netns";
        let ip = |line: &str| Tool::new(10, "ip", &line.split(' ').collect::<Vec<_>>()).text();
        ip(&format!("{veth} {clients}"));
        ip("address add 192.0.2.1/24 dev near");
        ip("link set near up");
        ip(&format!("-n {clients} address add 192.0.2.2/24 dev far"));
        ip(&format!("-n {clients} link set far up"));
        ip(&format!("-n {clients} route add default via 192.0.2.1"));
        Tool::new(10, "sysctl", &["-qw", "net.ipv4.ip_forward=1"]).text();
        link(&["up", "--netns", &rig.name, "--pair", "1"]).text();
        let large: Vec<u8> = (0..=250).cycle().take(LARGE_LEN).collect();
        fs::write(stage.path("large.bin"), large).expect("writable");
        for version in ["v1", "v2"] {
            fs::write(stage.path(version), stage.configuration(version)).expect("writable");
        }
        fs::write(stage.path("broken"), "[limits]\nhaed = 1\n").expect("writable");
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.rig.scratch.path().join(name)
    }

    fn configuration(&self, version: &str) -> String {
        format!(
            "data.directory = {:?}\nlimits.connections = 512\nmemory.pages = \"ordinary\"\n\n\
             [[route]]\nkind = \"fixed\"\npath = \"/version\"\ntype = \"text/plain\"\nbody = \"{version}\"\n\n\
             [[route]]\nkind = \"fixed\"\npath = \"/large\"\nfile = \"large.bin\"\n\
             type = \"application/octet-stream\"\n",
            self.rig.scratch.path()
        )
    }

    fn upgrade(&self, arguments: &[&str]) -> Output {
        let upgrade = script("deploy/upgrade.sh");
        let tool = Tool::new(60, upgrade.to_str().expect("UTF-8"), arguments);
        tool.with("POLLUX_BIN", binary().to_str().expect("UTF-8")).output()
    }

    /// Replaces the old server by one with this configuration.
    fn replace(&self, configuration: &str) -> Output {
        let [binary, link] = [binary(), script("deploy/link.sh")];
        let file = self.path(configuration);
        let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
        let (binary, link, file) = (text(&binary), text(&link), text(&file));
        let name = format!("POLLUX_ADMIN_NAME={}", self.new);
        let options =
            ["--old", &self.rig.name, "--new", &self.new, "--service", SERVICE, "--to", NEW];
        let bounds =
            ["--ready", "http://127.0.0.1:9465/readyz", "--ready-seconds", "30", "--settle", "1"];
        let start = ["--drain-seconds", "20", "--", &link, "exec", "--netns", &self.rig.name, "--"];
        let serve = [
            "env",
            &name,
            "POLLUX_METRICS_LISTEN=127.0.0.1:9465",
            "POLLUX_LISTEN_ADDRESS=198.18.1.2/24",
        ];
        let tail =
            [&*binary, "serve", "--link", "af_xdp:pollux1", "--cores", "1", "--config", &*file];
        self.upgrade(&[&["replace"], &options[..], &bounds, &start, &serve, &tail].concat())
    }

    fn state(&self, name: &str) -> String {
        let asked = Tool::new(
            10,
            binary().to_str().expect("UTF-8"),
            &["version", "--name", name, "--json"],
        );
        let document: serde_json::Value = serde_json::from_str(&asked.text()).expect("is JSON");
        document["server"]["state"].as_str().unwrap_or("none").to_owned()
    }

    /// A number that the server counts.
    fn total(&self, name: &str, counter: &str) -> u64 {
        let asked =
            Tool::new(10, binary().to_str().expect("UTF-8"), &["stats", "--name", name, "--json"]);
        let document: serde_json::Value = serde_json::from_str(&asked.text()).expect("is JSON");
        document["total"][counter].as_u64().expect("there is such a counter")
    }

    fn enter_clients(&self) {
        let namespace = File::open(format!("/run/netns/{}", self.clients)).expect("it is there");
        setns(namespace, CloneFlags::CLONE_NEWNET).expect("root may enter it");
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        let program = binary();
        let stop = ["stop", "--name", &self.new, "--timeout", "10s"];
        Tool::new(15, program.to_str().expect("UTF-8"), &stop).output();
        link(&["down", "--netns", &self.rig.name, "--pair", "1"]).output();
        Tool::new(10, "ip", &["netns", "del", &self.clients]).output();
        fs::remove_file(format!("/run/pollux/upgrade-{}.log", self.new)).ok();
    }
}

fn link(arguments: &[&str]) -> Tool {
    Tool::new(60, script("deploy/link.sh").to_str().expect("UTF-8"), arguments)
}

fn connect() -> Client {
    let service: SocketAddr = SERVICE.parse().expect("an address");
    Client::connect(service).expect("the service is there")
}

/// Asks `/version`, which must be answered.
fn version(client: &mut Client) -> Response {
    client.send("GET /version HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = client.response();
    assert_eq!(answer.status, 200);
    answer
}

/// Asks on one connection after the other until the end, `pause` apart; each may end only where that was
/// said. Returns what was answered, in order and without repetitions.
fn keep_asking(over: &AtomicBool, answers: &AtomicU64, pause: Duration) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    let mut client = connect();
    while !over.load(Ordering::Relaxed) {
        let answer = version(&mut client);
        answers.fetch_add(1, Ordering::Relaxed);
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        let body = if answer.closes() { format!("{body}, close") } else { body };
        if seen.last() != Some(&body) {
            seen.push(body);
        }
        if answer.closes() {
            client.expect_end();
            client = connect();
        }
        thread::sleep(pause);
    }
    seen
}

/// A download that goes on while the old server drains, read as slowly as that takes.
fn download(stage: &Stage<'_>, began: &AtomicBool, over: &AtomicBool) {
    let mut client = connect();
    client.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    began.store(true, Ordering::Relaxed);
    while stage.state(&stage.rig.name) != "draining" {
        assert!(!over.load(Ordering::Relaxed), "the upgrade ended without a drain");
        thread::sleep(Duration::from_millis(50));
    }
    let answer = client.response();
    assert_eq!(answer.status, 200);
    assert!(answer.body == fs::read(stage.path("large.bin")).expect("is there"), "not byte-exact");
}

#[test]
fn an_upgrade_fails_no_request() {
    Rig::run(RigPlan { hugepages: 16, ..RigPlan::VETH }, |rig| {
        let stage = Stage::set(rig);
        let file = stage.path("v1");
        let mut old =
            ServerPlan::af_xdp().with(&["--config", file.to_str().expect("UTF-8")]).serve(rig);
        let routed = stage.upgrade(&["route", "--service", SERVICE, "--to", OLD]);
        assert!(routed.status.success(), "{}", String::from_utf8_lossy(&routed.stderr));
        broken_is_refused(&stage);
        let (over, began, answers) =
            (AtomicBool::new(false), AtomicBool::new(false), AtomicU64::new(0));
        let (loopers, load, upgraded) = thread::scope(|scope| {
            let loopers: Vec<_> = (0..LOOPERS)
                .map(|number| {
                    let (stage, over, answers) = (&stage, &over, &answers);
                    scope.spawn(move || {
                        stage.enter_clients();
                        keep_asking(over, answers, Duration::from_millis(25 * number))
                    })
                })
                .collect();
            let (stage, began, over) = (&stage, &began, &over);
            let slow = scope.spawn(move || {
                stage.enter_clients();
                download(stage, began, over);
            });
            let seconds = format!("-d{WRK_SECONDS}s");
            let url = format!("http://{SERVICE}/version");
            let wrk = ["netns", "exec", &stage.clients, "wrk", "-t1", "-c16", &seconds, &url];
            let crowd = Tool::new(WRK_SECONDS + 20, "ip", &wrk).start();
            let start = Instant::now();
            while !began.load(Ordering::Relaxed) || answers.load(Ordering::Relaxed) < 100 {
                assert!(start.elapsed() < TIMEOUT, "nobody is answered");
                thread::sleep(Duration::from_millis(10));
            }
            let upgraded = stage.replace("v2");
            over.store(true, Ordering::Relaxed);
            slow.join().expect("the download is whole");
            let loopers: Vec<_> = loopers
                .into_iter()
                .map(|looper| looper.join().expect("no request fails"))
                .collect();
            (loopers, crowd.join(), upgraded)
        });
        let said = String::from_utf8_lossy(&upgraded.stdout).into_owned();
        let errors = String::from_utf8_lossy(&upgraded.stderr);
        assert_eq!(upgraded.status.code(), Some(0), "{said}{errors}");
        for seen in &loopers {
            assert_eq!(seen.first().map(String::as_str), Some("v1"), "{seen:?}");
            let closes = seen.iter().filter(|body| *body == "v1, close").count();
            assert_eq!(closes, 1, "the old one says that it closes: {seen:?}");
        }
        assert!(load.contains(" requests in ") && !load.contains("Socket errors"), "{load}");
        assert!(!load.contains("Non-2xx"), "{load}");
        println!("{said}{load}");
        assert_eq!(old.wait(TIMEOUT).code(), Some(0), "{}", old.log());
        assert!(stage.total(&stage.new, "connections_opened") > 0, "the new one has connections");
        stage.after_upgrade();
    });
}

impl Stage<'_> {
    /// The new server answers, and a reload finds that nothing of its environment has changed.
    fn after_upgrade(&self) {
        thread::scope(|scope| {
            let asked = scope.spawn(|| {
                self.enter_clients();
                version(&mut connect()).body
            });
            assert_eq!(asked.join().expect("an answer"), b"v2");
        });
        let program = binary();
        let program = program.to_str().expect("UTF-8");
        let reloaded = Tool::new(20, program, &["reload", "--name", &self.new]).text();
        assert!(reloaded.contains("reloaded in") && !reloaded.contains("restart"), "{reloaded}");
        let shown = Tool::new(20, program, &["config", "show", "--name", &self.new]).text();
        assert!(shown.contains("# POLLUX_LISTEN_ADDRESS"), "{shown}");
    }
}

/// A new server that cannot start changes nothing.
fn broken_is_refused(stage: &Stage<'_>) {
    let refused = stage.replace("broken");
    let errors = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{errors}");
    for words in ["goes on serving", "unknown key limits.haed", "not replaced"] {
        assert!(errors.contains(words), "lacks {words}: {errors}");
    }
    assert_eq!(stage.state(&stage.rig.name), "serving");
    thread::scope(|scope| {
        let asked = scope.spawn(|| {
            stage.enter_clients();
            version(&mut connect()).body
        });
        assert_eq!(asked.join().expect("an answer"), b"v1");
    });
}
