//! The bridge between this machine's kernel and itself: each impairment by what a plain client and server see.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use super::{Bridge, BridgedClient, Counts, Impairment};
use crate::{APPLIANCE, Company, HOST, Kind, PORT, Rig, RigPlan, Tool};

const PLAN: RigPlan =
    RigPlan { kind: Kind::Veth, queues: 1, hugepages: 0, connections: 0, company: Company::Shared };
const BODY: usize = 1 << 20;

/// The kernel in the appliance's place: a namespace with `pollux0` in it.
struct Server(String);

impl Server {
    fn start(rig: &Rig) -> Self {
        let name = format!("{}-server", rig.name);
        let cidr = format!("{APPLIANCE}/24");
        ip(&["netns", "add", &name]);
        ip(&["link", "set", "pollux0", "netns", &name]);
        ip(&["-netns", &name, "address", "add", &cidr, "dev", "pollux0"]);
        let arp = "net.ipv4.conf.pollux0.arp_ignore=0";
        ip(&["netns", "exec", &name, "sysctl", "-qw", arp]);
        ip(&["-netns", &name, "link", "set", "pollux0", "up"]);
        Self(name)
    }

    fn enter(&self) {
        let namespace = std::fs::File::open(format!("/run/netns/{}", self.0)).expect("is there");
        nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNET).expect("root may");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        Tool::new(5, "ip", &["netns", "del", &self.0]).output();
    }
}

fn ip(arguments: &[&str]) {
    Tool::new(5, "ip", arguments).text();
}

fn with(to_appliance: &str, to_client: &str) -> [Impairment; 2] {
    [to_appliance, to_client].map(|text| text.parse().expect("settings"))
}

/// The counts, once they stay.
fn settled(bridge: &Bridge) -> [Counts; 2] {
    let mut last = bridge.counts();
    loop {
        thread::sleep(Duration::from_millis(50));
        let counts = bridge.counts();
        if counts == last {
            return counts;
        }
        last = counts;
    }
}

/// Sends `count` numbered datagrams from the client, and returns those that arrive, sorted.
fn datagrams(client: &BridgedClient, server: &Server, count: u16) -> Vec<[u8; 4]> {
    thread::scope(|scope| {
        let socket = scope.spawn(|| {
            server.enter();
            UdpSocket::bind((APPLIANCE, PORT)).expect("a free port")
        });
        let socket = socket.join().expect("a socket");
        let sender = scope.spawn(|| {
            client.enter();
            let sender = UdpSocket::bind((HOST, 0)).expect("a free port");
            for number in 0..count {
                let content = (u32::from(number) << 8).to_be_bytes();
                sender.send_to(&content, (APPLIANCE, PORT)).expect("a route");
                // The kernel keeps some 270 for a reader that is not running.
                thread::sleep(Duration::from_micros(50));
            }
        });
        socket.set_read_timeout(Some(Duration::from_millis(300))).expect("a time");
        let mut got = Vec::new();
        let mut content = [0; 4];
        while socket.recv(&mut content).is_ok() {
            got.push(content);
        }
        sender.join().expect("all sent");
        got.sort_unstable();
        got
    })
}

/// The client takes a body over one connection, and how long that takes.
fn download(client: &BridgedClient, server: &Server) -> Duration {
    let body: Vec<u8> = (0..=250).cycle().take(BODY).collect();
    thread::scope(|scope| {
        let listener = scope.spawn(|| {
            server.enter();
            TcpListener::bind((APPLIANCE, PORT)).expect("a free port")
        });
        let listener = listener.join().expect("a listener");
        let body = &body;
        scope.spawn(move || {
            let (mut peer, _) = listener.accept().expect("a client");
            peer.write_all(body).expect("a client that reads");
        });
        let reader = scope.spawn(move || {
            client.enter();
            let start = Instant::now();
            let mut stream = TcpStream::connect((APPLIANCE, PORT)).expect("a server");
            stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time");
            let mut got = Vec::new();
            stream.read_to_end(&mut got).expect("a body");
            assert!(got == *body, "{} bytes arrive", got.len());
            start.elapsed()
        });
        reader.join().expect("the body")
    })
}

fn ping(client: &BridgedClient, options: &[&str]) -> String {
    let address = APPLIANCE.to_string();
    let all = [&["-n", "-c", "10", "-i", "0.02", "-W", "1"], options, &[&address]].concat();
    let output = client.tool(10, "ping", &all).output();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Average round trip in milliseconds.
fn average(said: &str) -> f64 {
    let figures = said.split("mdev = ").nth(1).expect(said);
    figures.split('/').nth(1).and_then(|figure| figure.parse().ok()).expect(said)
}

/// One test, since a namespace takes longer to make than all that is seen in it.
#[test]
fn every_impairment_is_what_a_client_and_a_server_of_the_kernel_see() {
    Rig::run(PLAN, |rig| {
        let server = Server::start(rig);
        let client = BridgedClient::start(rig, 1, with("", ""));
        let bridge = &client.bridge;
        let said = ping(&client, &[]);
        assert!(said.contains(" 0% packet loss"), "{said}");

        bridge.set(with("delay=8ms", "delay=4ms,jitter=1ms"));
        let round_trip = average(&ping(&client, &[]));
        assert!((12.0..15.0).contains(&round_trip), "{round_trip} ms of 12 to 13");

        bridge.set(with("duplicate=100%", ""));
        assert!(ping(&client, &[]).contains("DUP!"));

        let before = settled(bridge)[0];
        bridge.set(with("loss=20%,reorder=10%,reorder-by=3ms", ""));
        let got = datagrams(&client, &server, 500);
        let counts = settled(bridge)[0];
        let lost = counts.lost - before.lost;
        assert_eq!(got.len() as u64, 500 - lost);
        assert!((60..=140).contains(&lost) && counts.reordered > 0, "20 % of 500: {counts}");

        bridge.set(with("corrupt-mended=100%", ""));
        let got = datagrams(&client, &server, 100);
        assert_eq!(got.len(), 100, "checksums hold");
        bridge.set(with("corrupt=100%", ""));
        assert!(datagrams(&client, &server, 100).is_empty(), "checksums find every one");
        assert!(settled(bridge)[0].corrupted >= 100);

        bridge.set(with("", "lose-data=1-8"));
        let before = settled(bridge)[1].data_lost;
        let took = download(&client, &server);
        assert_eq!(settled(bridge)[1].data_lost - before, 8, "in {took:?}");

        bridge.set(with("loss=1%,corrupt=1%", "loss=1%,corrupt=1%,duplicate=1%,jitter=1ms"));
        download(&client, &server);

        // A megabyte and its headers, 8.7 Mbit, with a queue that is not overrun for long.
        bridge.set(with("", "rate=50M,queue=64k"));
        let took = download(&client, &server);
        assert!((0.16..1.0).contains(&took.as_secs_f64()), "{took:?} at 50 Mbit/s");

        bridge.set(with("", "mtu=1400,icmp-from=198.18.0.99"));
        download(&client, &server);
        let [_, counts] = settled(bridge);
        assert!(counts.too_big > 0, "{counts}");

        bridge.set(with("mtu=1300,icmp-from=198.18.0.99", ""));
        let said = ping(&client, &["-M", "do", "-s", "1350"]);
        assert!(said.contains("198.18.0.99") && said.contains("mtu = 1300"), "{said}");
        bridge.set(with("mtu=1200", ""));
        assert!(ping(&client, &["-M", "do", "-s", "1250"]).contains("100% packet loss"));
        let said = ping(&client, &["-M", "dont", "-s", "1250"]);
        assert!(said.contains(" 0% packet loss"), "fragments arrive: {said}");
        let [counts, back] = settled(bridge);
        assert!(counts.swallowed > 0 && counts.fragmented > 0, "{counts}");
        assert_eq!((counts.overruns, counts.refused, back.overruns, back.refused), (0, 0, 0, 0));
    });
}
