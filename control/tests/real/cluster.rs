//! A cluster as `deploy/cluster` describes it: two servers on AF_XDP with one service address, each announced by a bgpd
//! that speaks over the server's own port, behind a router with equal paths. One of them leaves and comes back under
//! load, and no client notices.

mod net;
mod visitors;

use std::fs;
use std::time::Duration;

use net::{Frr, Net, SERVICE};
use nix::sys::signal::Signal;
use testkit::{Client, Rig, RigPlan, Running, Tool, script};
use visitors::{FILLING, Visitors};

use crate::kit::{Server, ServerPlan, pollux, probe};

const ONE: &str = "10.0.0.2";
const TWO: &str = "10.0.0.3";
const CONNECTIONS: usize = 24;

/// One server, as `deploy/cluster` has it: the port, bgpd beside it, and who tells bgpd.
struct Machine<'a> {
    rig: &'a Rig,
    plan: ServerPlan,
    server: Option<Server>,
    _announcer: Running,
    _frr: Frr,
}

impl<'a> Machine<'a> {
    /// `name` is what it answers to GET /who, `address` the one on the link.
    fn start(rig: &'a Rig, name: &str, address: &str) -> Self {
        let text = fs::read_to_string(script("deploy/cluster/appliance.toml")).expect("is there");
        let filling = "x".repeat(FILLING);
        let route = format!(
            "\n[[route]]\nkind = \"fixed\"\npath = \"/who\"\ntype = \"text/plain\"\nbody = \"{name} {filling}\"\n"
        );
        let config = rig.scratch.path().join("appliance.toml");
        fs::write(&config, text.replace(ONE, address) + &route).expect("writable");
        let plan = ServerPlan::af_xdp()
            .with(&["--config", config.to_str().expect("UTF-8")])
            .set("limits.connections=512")
            .set("limits.half_open=256")
            .set("limits.parked=64");
        let server = Some(plan.clone().serve(rig));
        let frr = Frr::start(rig, &rig.name, "deploy/cluster/appliance-frr.conf", ONE, address);
        let announce = script("deploy/cluster/announce.sh");
        let service = format!("{SERVICE}/32");
        let announce = [announce.to_str().expect("UTF-8"), "--service", &service];
        let words = [&["netns", "exec", &rig.name], &announce[..]].concat();
        let announcer = Tool::new(150, "ip", &words).start();
        Self { rig, plan, server, _announcer: announcer, _frr: frr }
    }

    fn server(&self) -> &Server {
        self.server.as_ref().expect("it runs")
    }

    fn stop(&mut self) {
        self.server.take().expect("it runs").stop(self.rig);
    }

    fn start_again(&mut self) {
        self.server = Some(self.plan.clone().serve(self.rig));
    }
}

#[test]
fn a_server_leaves_and_comes_back_and_no_client_notices() {
    let plan = RigPlan { hugepages: 192, ..RigPlan::VETH };
    Rig::run(plan, |rig| {
        let rig_two = rig.beside("two", plan);
        let net = Net::join(&[rig, &rig_two]);
        {
            let router = Frr::start(rig, &net.router, "deploy/cluster/router-frr.conf", "", "");
            net.sticky(&["up", "--service", &SERVICE.to_string(), ONE, TWO]);
            let mut one = Machine::start(rig, "one", ONE);
            let two = Machine::start(&rig_two, "two", TWO);
            net.await_next_hops(&[ONE, TWO]);
            leave_and_come_back(&net, &mut one, &two);
            vanish(&net, &one);
            drop(router);
        }
        let left =
            Tool::new(5, "ip", &["-n", &rig_two.name, "address", "show", "dev", "lo"]).text();
        assert!(!left.contains("192.0.2.10"), "announce.sh ends with a withdrawal: {left}");
        net.sticky(&["down"]);
        let rules = Tool::new(5, "ip", &["-n", &net.router, "rule"]).text();
        assert!(!rules.contains("fwmark"), "sticky.sh has taken its rules back: {rules}");
        drop(net);
        rig_two.down().expect("nothing is left behind");
    });
}

fn leave_and_come_back(net: &Net, one: &mut Machine<'_>, two: &Machine<'_>) {
    let rig = one.rig;
    let visitors = Visitors::start(net, CONNECTIONS);
    let before = visitors.when("connections to both servers", |census| {
        census.open("one") + census.open("two") == CONNECTIONS
    });
    assert!(before.open("one") > 0 && before.open("two") > 0, "{before:?}");
    let url = format!("http://{SERVICE}/who");
    let load = net.client_tool("wrk", &["-t1", "-c16", "-d100s", "--timeout", "5s", &url]);
    for (machine, name) in [(&*one, "one"), (two, "two")] {
        let visiting = before.open(name) as u64;
        machine.server().stats_when("wrk's", |stats| stats.total("connections_open") > visiting);
    }

    // The route goes first, and nothing ends by that.
    assert_eq!(probe("/readyz").0, 200);
    pollux(rig, &["drain", "--no-wait"]).text();
    net.await_next_hops(&[TWO]);
    let withdrawn = visitors.census();
    assert_eq!(withdrawn.open("one"), before.open("one"), "{withdrawn:?}");
    assert_eq!((withdrawn.closed("one"), withdrawn.failures.len()), (0, 0), "{withdrawn:?}");
    // Then its connections end, each with an answer that says so, and nobody has been refused.
    pollux(rig, &["drain", "--timeout", "30s"]).text();
    let drained = visitors.when("all with the other", |census| census.open("two") == CONNECTIONS);
    assert_eq!((drained.open("one"), drained.closed("two")), (0, 0), "{drained:?}");
    assert_eq!(drained.closed("one"), before.open("one"), "{drained:?}");
    let stats = one.server().stats_when("the end of all", |s| s.total("connections_open") == 0);
    assert_eq!(stats.total("drop_draining"), 0, "a SYN came after the route had gone");
    one.stop();

    // It comes back, and takes new connections; those with the other stay there.
    one.start_again();
    net.await_next_hops(&[ONE, TWO]);
    visitors.add(CONNECTIONS);
    let back = visitors.when("new connections to the one that came back", |census| {
        census.open("one") > 0 && census.open("one") + census.open("two") == 2 * CONNECTIONS
    });
    assert_eq!((back.closed("two"), back.closed("one")), (0, before.open("one")), "{back:?}");
    let answered = back.answered;
    let end = visitors.when("another round", |census| census.answered > answered + 100);
    println!("{end:?}");
    let said = load.interrupt();
    println!("{said}");
    assert!(said.contains("requests in"), "wrk ends: {said}");
    assert!(!said.contains("Socket errors") && !said.contains("Non-2xx"), "{said}");
}

/// A server that is gone without a word: BGP's hold timer notices.
fn vanish(net: &Net, one: &Machine<'_>) {
    one.server().signal(Signal::SIGKILL);
    net.await_next_hops(&[TWO]);
    let visitors = Visitors::start(net, CONNECTIONS);
    visitors.when("all with the other", |census| census.open("two") == CONNECTIONS);
}

/// A server that ends of itself, by SIGTERM, waits for its withdrawal as one that is drained does; in a hurry it
/// does not.
#[test]
fn a_server_that_ends_is_not_ready_first() {
    let plan = RigPlan { hugepages: 192, ..RigPlan::VETH };
    Rig::run(plan, |rig| {
        let plan = ServerPlan::af_xdp().set("limits.connections=512").set("limits.half_open=256");
        let server = plan.set("limits.parked=64").set("deadlines.withdraw=2s").serve(rig);
        let began = std::time::Instant::now();
        server.signal(Signal::SIGTERM);
        let mut status = probe("/readyz");
        while status.0 == 200 {
            assert!(began.elapsed() < Duration::from_secs(1), "still ready");
            status = probe("/readyz");
        }
        assert_eq!((status.0, status.1.trim()), (503, "stopping"));
        let mut late = Client::open();
        late.send("GET /pipeline HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(late.response().status, 200, "connections are still taken");
        drop(late);
        let stopped = server.stop(rig);
        assert!(began.elapsed() >= Duration::from_secs(2), "{:?}", stopped.took);
        assert_eq!(stopped.stats.total("drop_draining"), 0);
    });
}
