//! Two workers: both get flows, whoever spreads them.

use std::thread;
use std::time::Duration;

use testkit::{Client, Kind, Rig, RigPlan};

use crate::kit::{Server, ServerPlan, wrk};

const CONNECTIONS: u64 = 64;
const ROUNDS: u64 = 4;

/// One queue: software steering.
#[test]
fn one_queue_is_spread_by_software() {
    Rig::run(RigPlan::VETH, |rig| {
        let server = ServerPlan::new("af_xdp:pollux0", "0,1").serve(rig);
        both_cores_work(&server);
        println!("{}", server.logged(&["software steering"]));
        server.stop(rig);
    });
}

#[test]
fn af_packet_is_spread_by_software() {
    Rig::run(RigPlan::VETH, |rig| {
        let server = ServerPlan::new("af_packet:pollux0", "0,1").serve(rig);
        both_cores_work(&server);
        println!("{}", server.logged(&["software steering"]));
        server.stop(rig);
    });
}

/// As many queues as workers: the kernel at the other end picks the queue of each flow.
#[test]
fn two_queues_are_spread_by_the_port() {
    Rig::run(RigPlan { queues: 2, ..RigPlan::VETH }, |rig| {
        let server = ServerPlan::new("af_xdp:pollux0", "0,1").serve(rig);
        both_cores_work(&server);
        server.stop(rig);
    });
}

#[test]
fn tap_with_two_queues() {
    Rig::run(RigPlan { kind: Kind::Tap, queues: 2, ..RigPlan::VETH }, |rig| {
        let server = ServerPlan::new("tap:pollux-host", "0,1").serve(rig);
        both_cores_work(&server);
        server.stop(rig);
    });
}

fn both_cores_work(server: &Server) {
    let mut clients: Vec<_> = (0..CONNECTIONS).map(|_| Client::open()).collect();
    for _ in 0..ROUNDS {
        for client in &mut clients {
            client.send("GET /baseline2?a=1&b=1 HTTP/1.1\r\nHost: a\r\n\r\n");
        }
        for client in &mut clients {
            assert_eq!(client.response().body, b"2");
        }
    }
    let stats = server.stats_when("all requests", |stats| {
        stats.total("connections_opened") == CONNECTIONS
            && stats.total("requests") == CONNECTIONS * ROUNDS
    });
    let (opened, requests) = (stats.each("connections_opened"), stats.each("requests"));
    println!("connections {opened:?}, requests {requests:?}");
    assert_eq!(opened.len(), 2);
    // With 64 fair coins, fewer than 8 on a side has a chance below 1 in 10^9.
    assert!(opened.iter().all(|&count| count >= 8), "{opened:?}");
    for (opened, requests) in opened.iter().zip(requests) {
        assert_eq!(requests, opened * ROUNDS, "a connection stays on its core");
    }
    drop(clients);
    let load = wrk(64, 2, "/pipeline");
    println!("wrk, 64 connections: {:.0} requests/s", load.rate);
    assert!(load.faults.is_empty(), "{:?}", load.faults);
    thread::sleep(Duration::from_millis(1_500));
    println!("{}", server.logged(&["flows were seen on 2 of 2 cores"]));
}
