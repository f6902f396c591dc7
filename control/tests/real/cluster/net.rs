//! The network: a client, a router and the links of the servers, each machine a namespace, with bgpd and the scripts
//! of `deploy/cluster` as an operator would run them.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::thread;
use std::time::Instant;

use nix::sched::{CloneFlags, setns};
use testkit::{Rig, Running, TIMEOUT, Tool, script};

/// What both servers answer on: `listen.address` of `deploy/cluster/appliance.toml`.
pub(crate) const SERVICE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
const CLIENT: &str = "203.0.113.5/24";
const ROUTER: &str = "203.0.113.1/24";
const ROUTER_ON_LINK: &str = "10.0.0.1/24";
/// Longer than a test takes; then `timeout` ends what a killed test has left.
const LIFE_SECONDS: u32 = 150;

/// The router and the client, for the servers of `rigs`.
pub(crate) struct Net {
    /// Namespace of the router.
    pub(crate) router: String,
    /// Namespace of the client.
    client: String,
}

impl Net {
    /// Joins the links of `rigs` with a bridge of the router, and gives it a client on a link of 1400 bytes
    /// that the client knows nothing of.
    pub(crate) fn join(rigs: &[&Rig]) -> Self {
        let name = |what| format!("{}-{what}", rigs[0].name);
        let net = Self { router: name("router"), client: name("client") };
        for namespace in [&net.router, &net.client] {
            ip(&["netns", "add", namespace]);
            ip(&["-n", namespace, "link", "set", "lo", "up"]);
        }
        let router = |arguments: &[&str]| ip(&[&["-n", &net.router], arguments].concat());
        router(&["link", "add", "br0", "type", "bridge"]);
        for (number, rig) in rigs.iter().enumerate() {
            let port = format!("server{number}");
            let to_router = ["link", "set", "pollux-host", "netns", &net.router, "name", &port];
            ip(&[&["-n", &rig.name][..], &to_router[..]].concat());
            router(&["link", "set", &port, "master", "br0", "up"]);
        }
        let clients = ["link", "add", "clients", "type", "veth", "peer", "name", "eth0"];
        router(&[&clients[..], &["netns", &net.client]].concat());
        router(&["address", "add", ROUTER_ON_LINK, "dev", "br0"]);
        router(&["address", "add", ROUTER, "dev", "clients"]);
        router(&["link", "set", "br0", "up"]);
        router(&["link", "set", "clients", "mtu", "1400", "up"]);
        ip(&["-n", &net.client, "address", "add", CLIENT, "dev", "eth0"]);
        ip(&["-n", &net.client, "link", "set", "eth0", "up"]);
        ip(&["-n", &net.client, "route", "add", "default", "via", "203.0.113.1"]);
        let sysctls = script("deploy/cluster/router-sysctl.conf");
        net.on_router("sysctl", &["-qp", sysctls.to_str().expect("UTF-8")]);
        net
    }

    /// Runs a program on the router, to its good end.
    #[track_caller]
    pub(crate) fn on_router(&self, program: &str, arguments: &[&str]) -> String {
        let words = [&["netns", "exec", &self.router, program], arguments].concat();
        Tool::new(20, "ip", &words).text()
    }

    /// `deploy/cluster/sticky.sh` on the router.
    #[track_caller]
    pub(crate) fn sticky(&self, arguments: &[&str]) -> String {
        let sticky = script("deploy/cluster/sticky.sh");
        self.on_router(sticky.to_str().expect("UTF-8"), arguments)
    }

    /// Next hops of the router's route to the service address, ascending.
    pub(crate) fn next_hops(&self) -> Vec<String> {
        let service = SERVICE.to_string();
        let shown = ip(&["-n", &self.router, "route", "show", &service, "proto", "bgp"]);
        let mut words = shown.split_whitespace();
        let mut hops = Vec::new();
        while words.any(|word| word == "via") {
            hops.extend(words.next().map(str::to_owned));
        }
        hops.sort();
        hops
    }

    /// Waits until the route has these next hops.
    #[track_caller]
    pub(crate) fn await_next_hops(&self, wanted: &[&str]) {
        let start = Instant::now();
        while self.next_hops() != wanted {
            assert!(start.elapsed() < TIMEOUT, "not {wanted:?}: {:?}", self.next_hops());
            thread::sleep(POLL);
        }
    }

    /// A program on the client, beside the test.
    pub(crate) fn client_tool(&self, program: &str, arguments: &[&str]) -> Running {
        let words = [&["netns", "exec", &self.client, program], arguments].concat();
        Tool::new(LIFE_SECONDS, "ip", &words).start()
    }

    /// Moves the calling thread to the client.
    pub(crate) fn client_namespace(&self) -> impl FnOnce() + Send + use<> {
        let namespace = File::open(format!("/run/netns/{}", self.client)).expect("it is there");
        move || setns(namespace, CloneFlags::CLONE_NEWNET).expect("root may enter it")
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for namespace in [&self.router, &self.client] {
            Tool::new(5, "ip", &["netns", "del", namespace]).output();
        }
    }
}

/// zebra and bgpd of one machine. Dropping it ends them.
pub(crate) struct Frr {
    _bgpd: Running,
    _zebra: Running,
}

impl Frr {
    /// Starts them in `namespace` with a configuration of `deploy/cluster`, in which each `from` is `to`.
    pub(crate) fn start(rig: &Rig, namespace: &str, config: &str, from: &str, to: &str) -> Self {
        let directory = format!("{}/frr-{namespace}", rig.scratch.path().display());
        // They run as their package's user, which must reach its directory.
        Tool::new(5, "chmod", &["711", rig.scratch.path().to_str().expect("UTF-8")]).text();
        Tool::new(5, "install", &["-d", "-o", "frr", "-g", "frr", &directory]).text();
        let text = fs::read_to_string(script(config)).expect("it is in the repository");
        let config = format!("{directory}/frr.conf");
        fs::write(&config, text.replace(from, to)).expect("writable");
        let zserv = format!("{directory}/zserv.api");
        let start = |daemon: &str| {
            let program = format!("/usr/lib/frr/{daemon}");
            let (pid, log) =
                (format!("{directory}/{daemon}.pid"), format!("{directory}/{daemon}.log"));
            let log = format!("file:{log}");
            let files = ["-f", &config, "-z", &zserv, "-i", &pid, "--log", &log];
            let rest = ["--vty_socket", &directory, "-P", "0", "-u", "frr", "-g", "frr"];
            let words = [&["netns", "exec", namespace, &program][..], &files, &rest].concat();
            let running = Tool::new(LIFE_SECONDS, "ip", &words).start();
            await_file(&format!("{directory}/{daemon}.vty"), &log);
            running
        };
        let zebra = start("zebra");
        Self { _bgpd: start("bgpd"), _zebra: zebra }
    }
}

#[track_caller]
fn await_file(path: &str, log: &str) {
    let start = Instant::now();
    while !fs::exists(path).unwrap_or(false) {
        assert!(start.elapsed() < TIMEOUT, "no {path}; is frr installed? its log: {log}");
        thread::sleep(POLL);
    }
}

#[track_caller]
fn ip(arguments: &[&str]) -> String {
    Tool::new(10, "ip", arguments).text()
}

const POLL: std::time::Duration = std::time::Duration::from_millis(50);
