//! What becomes of the interface under a running server, and who else is on it: a second server, a deleted link, a
//! program taken away, another holder of the address, a sender that leaves work to hardware.

use std::net::UdpSocket;
use std::thread;
use std::time::Duration;

use testkit::{Client, Rig, RigPlan, Tool};

use crate::kit::{Server, ServerPlan};

const AF_PACKET: &str = "af_packet:pollux0";

/// Without hugepages a server is up in a moment.
fn plan(link: &str) -> ServerPlan {
    ServerPlan::new(link, "1").set("memory.pages=ordinary").set("link.gone=1s")
}

const RIG: RigPlan = RigPlan { hugepages: 0, ..RigPlan::VETH };

/// Of iproute2, in the namespace that the test is in.
fn ip(line: &str) {
    Tool::new(10, "ip", &line.split(' ').collect::<Vec<_>>()).text();
}

/// A request that is served.
#[track_caller]
fn get() {
    let mut client = Client::open();
    client.send("GET /pipeline HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().status, 200);
}

/// It ends by itself with exit code 1.
#[track_caller]
fn ends(mut server: Server) -> String {
    let status = server.wait(Duration::from_secs(20));
    assert_eq!(status.code(), Some(1), "{}", server.log());
    server.log()
}

#[test]
fn a_second_server_on_a_link_is_refused_and_the_first_serves_on() {
    Rig::run(RIG, |rig| {
        // Another admin socket, so that it is the link that is refused.
        let second = |link: &str, address: &str| {
            let elsewhere = format!("admin.directory={}", rig.scratch.path().display());
            let plan = plan(link).set(&elsewhere).set("metrics.listen=");
            plan.with(&["--address", address]).launch(rig)
        };
        for (first, others) in [
            ("af_xdp:pollux0", ["af_xdp:pollux0", AF_PACKET]),
            (AF_PACKET, [AF_PACKET, "af_xdp:pollux0"]),
        ] {
            let server = plan(first).serve(rig);
            for other in others {
                let (code, said) = second(other, "198.18.0.2/24").refusal();
                assert_eq!(code, 1, "{said}");
                let holder = format!("(process {}) already", server.pid());
                assert!(said.contains(&holder), "{other} beside {first}: {said}");
                get();
            }
            server.stop(rig);
        }
        ip("link set pollux0 mtu 9000");
        let (code, said) = plan(AF_PACKET).launch(rig).refusal();
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("`ip link set dev pollux0 mtu 1500`"), "{said}");
    });
}

#[test]
fn what_becomes_of_the_interface_is_said_and_without_it_the_server_ends() {
    Rig::run(RIG, |rig| {
        ip("link set pollux-host down");
        let server = plan(AF_PACKET).serve(rig);
        server.logged(&["pollux0 has no carrier"]);
        ip("link set pollux-host up");
        server.logged(&["pollux0 is up again"]);
        ip("link set pollux0 down");
        server.logged(&["WARN", "pollux0 is down (ip link set pollux0 up)"]);
        ip("link set pollux0 up");
        thread::sleep(Duration::from_millis(300));
        get();
        ip("link set pollux0 mtu 9000");
        server.logged(&[
            "the MTU of pollux0 was 1500 and is 9000",
            "ip link set dev pollux0 mtu 1500",
        ]);
        ip("link del pollux0");
        let log = ends(server);
        assert!(log.contains("the interface pollux0 is gone for 1s"), "{log}");
    });
}

#[test]
fn a_server_whose_xdp_program_or_interface_is_taken_ends() {
    Rig::run(RIG, |rig| {
        let server = plan("af_xdp:pollux0").serve(rig);
        ip("link set dev pollux0 xdp off");
        let log = ends(server);
        assert!(log.contains("the XDP program of pollux0 was detached"), "{log}");
        let server = plan("af_xdp:pollux0").serve(rig);
        get();
        ip("link del pollux0");
        let log = ends(server);
        assert!(log.contains("the interface pollux0 is gone for 1s"), "{log}");
    });
}

#[test]
fn a_plain_veth_serves_and_what_it_cannot_carry_is_named() {
    Rig::run(RIG, |rig| {
        // As the kernel makes one.
        let on = ["-K", "pollux-host", "tx", "on", "sg", "on", "tso", "on", "gso", "on"];
        Tool::new(5, "ethtool", &on).text();
        let server = plan("af_xdp:pollux0").serve(rig);
        get();
        server.stop(rig);
        let server = plan(AF_PACKET).serve(rig);
        get();
        let mut upload = Client::open();
        upload.send("POST /baseline11?a=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n");
        upload.send(vec![b'1'; 60_000]);
        server.logged(&["frames longer than the MTU", "ethtool -K IFACE tso off gso off"]);
        assert!(server.stats().total("drop_oversize") > 0);

        // Somebody takes our address, and asks for another one from there.
        ip("address add 198.18.0.2/24 dev pollux-host");
        let rival = UdpSocket::bind("198.18.0.2:0").expect("its address");
        rival.send_to(b"x", "198.18.0.9:9").expect("it is sent when ARP has found the peer");
        server.logged(&["says that it has 198.18.0.2 too"]);
        ip("address del 198.18.0.2/24 dev pollux-host");
        get();
        let stopped = server.stop(rig);
        assert_eq!(stopped.stats.total("arp_defences"), 1);
    });
}
