//! Clients that open and reset thousands of connections leave nothing behind.
//!
//! The server may hold few connections more than the clients open at once, so one that leaked in every
//! round would be missed soon; that it ends with no connection open, and every one it opened accounted
//! for, says that none leaked at all.
#![forbid(unsafe_code)]

mod real;

use std::thread;
use std::time::Duration;

use real::{Client, Rig, RigPlan, ServerPlan, raise_file_limit};

const CONNECTIONS: usize = 4_096;
const ROUNDS: usize = 20;
/// Resets that leave at once: fewer than any ring on their way has room for.
const VOLLEY: usize = 256;

#[test]
fn reset_connections_leave_nothing() {
    raise_file_limit(8_192);
    Rig::run(RigPlan::VETH, |rig| {
        rig.sysctl("net/ipv4/ip_local_port_range", "1024 65535");
        let server = ServerPlan::af_xdp()
            .set("limits.connections=4200")
            .set("limits.half_open=4200")
            .serve(rig);
        let (resident, hugepages) = server.memory();
        for round in 0..ROUNDS {
            open_and_reset(round);
        }
        let stats = server.stats_when("the end of every connection", |stats| {
            stats.total("connections_open") == 0
        });
        let count = |name: &str| stats.total(&format!("connections_{name}"));
        println!(
            "{} opened, {} reset by the client; losses {:?}, the port's own {:?}",
            count("opened"),
            count("reset_by_peer"),
            stats.losses(),
            stats.nic()
        );
        assert_eq!(count("opened"), (CONNECTIONS * ROUNDS) as u64);
        assert_eq!(count("established"), (CONNECTIONS * ROUNDS) as u64);
        assert_eq!(count("reset_by_peer"), (CONNECTIONS * ROUNDS) as u64);
        for level in ["connections_half_open", "time_wait_open", "nic_tx_pool_empty"] {
            assert_eq!(stats.total(level), 0, "{level}");
        }
        assert_eq!(stats.total("drop_connections_full"), 0);

        let mut clients = open();
        for client in &mut clients {
            client.send(REQUEST);
        }
        for client in &mut clients {
            assert_eq!(client.answer().body, b"ok");
        }
        let open = |stats: &real::Stats| stats.total("connections_open") == CONNECTIONS as u64;
        server.stats_when("as many connections again", open);
        drop(clients);
        let (resident_after, hugepages_after) = server.memory();
        println!(
            "resident {resident} -> {resident_after}, hugepages {hugepages} -> {hugepages_after}"
        );
        assert_eq!(hugepages_after, hugepages, "hugepages stay as they were at start");
        assert!(resident_after < resident + GROWTH_MAX, "resident memory stays as it was");
        server.stop(rig);
    });
}

/// Opens all, lets them go as far as `round` says, resets all.
fn open_and_reset(round: usize) {
    let mut clients = open();
    if round % 3 > 0 {
        for client in &mut clients {
            client.send(REQUEST);
        }
    }
    if round % 3 > 1 {
        for client in &mut clients {
            assert_eq!(client.answer().body, b"ok");
        }
    }
    for (at, client) in clients.into_iter().enumerate() {
        client.reset();
        if at % VOLLEY == VOLLEY - 1 {
            thread::sleep(Duration::from_millis(2));
        }
    }
}

fn open() -> Vec<Client> {
    (0..CONNECTIONS).map(|_| Client::open()).collect()
}

const REQUEST: &str = "GET /pipeline HTTP/1.1\r\nHost: a\r\n\r\n";
/// Pages that are touched for the first time: stacks, counters, the statistics file.
const GROWTH_MAX: u64 = 16 << 20;
