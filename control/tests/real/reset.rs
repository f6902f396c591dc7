//! Clients that open and reset thousands of connections leave nothing behind.
//!
//! The server may hold few connections more than the clients open at once, so one that leaked in every
//! round would be missed soon; that it ends with no connection open, and every one it opened accounted
//! for, says that none leaked at all.

use std::net::{SocketAddrV4, TcpStream};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, setsockopt, socket,
    sockopt::ReuseAddr,
};
use testkit::{APPLIANCE, Client, HOST, PORT, Rig, RigPlan, Tool};

use crate::kit::{Server, ServerPlan, raise_file_limit};

const CONNECTIONS: u64 = 4_096;
const ROUNDS: u64 = 20;
/// Requests or resets that leave without waiting for the server to see them: they all fit its ring, should
/// the kernel keep the worker from its core for a while.
const VOLLEY: usize = 512;
/// How many connections say something before a pause: slower than the worker answers.
const BURST: usize = 32;
const PAUSE: Duration = Duration::from_micros(500);

#[test]
fn reset_connections_leave_nothing() {
    raise_file_limit(8_192);
    Rig::run(RigPlan::MANY_CONNECTIONS, |rig| {
        rig.sysctl("net/ipv4/ip_local_port_range", "1024 65535");
        let server = ServerPlan::af_xdp()
            .set("limits.connections=4200")
            .set("limits.half_open=4200")
            // Should a reset be lost after all, this is how soon its connection is found out.
            .set("deadlines.idle=20s")
            .serve(rig);
        let (resident, hugepages) = server.memory();
        let mbufs = server.stats().port("mbufs_free");
        for round in 0..ROUNDS {
            open_and_reset(&server, round);
        }
        let stats = server.stats_when("the end of every connection", |stats| {
            stats.total("connections_open") == 0
        });
        println!(
            "{:?}, losses {:?}, below the worker {:?}",
            stats.nonzero("connections_"),
            stats.losses(),
            stats.nic()
        );
        let count = |name: &str| stats.total(&format!("connections_{name}"));
        assert_eq!(count("opened"), CONNECTIONS * ROUNDS);
        assert_eq!(count("established"), CONNECTIONS * ROUNDS);
        let ended = ["closed", "reset_by_peer", "aborted", "handshake_expired"].map(count);
        assert_eq!(ended.iter().sum::<u64>(), CONNECTIONS * ROUNDS, "all ended, and each once");
        assert!(count("reset_by_peer") > CONNECTIONS * ROUNDS * 99 / 100, "by reset");
        let mbufs_after = stats.port("mbufs_free");
        println!("mbufs free {mbufs} -> {mbufs_after}");
        assert!(mbufs_after + IN_RINGS >= mbufs, "{mbufs} mbufs were free, now {mbufs_after}");
        for name in ["connections_half_open", "nic_tx_pool_empty", "drop_connections_full"] {
            assert_eq!(stats.total(name), 0, "{name}");
        }
        as_many_again(&server);
        let (resident_after, hugepages_after) = server.memory();
        println!(
            "resident {resident} -> {resident_after}, hugepages {hugepages} -> {hugepages_after}"
        );
        assert!(resident_after < resident + GROWTH_MAX, "resident memory stays as it was");
        server.stop(rig);
    });
}

/// Opens all, lets them go as far as `round` says, resets all.
fn open_and_reset(server: &Server, round: u64) {
    let mut clients: Vec<_> = (0..CONNECTIONS).map(|_| Client::open()).collect();
    if !round.is_multiple_of(3) {
        let before = server.stats().responses();
        for (burst, clients) in clients.chunks_mut(BURST).enumerate() {
            clients.iter_mut().for_each(|client| client.send(REQUEST));
            thread::sleep(PAUSE);
            let sent = (burst + 1) * BURST;
            if sent.is_multiple_of(VOLLEY) {
                server.stats_when("that requests arrive", |stats| {
                    stats.responses() >= before + sent as u64
                });
            }
        }
    }
    if round % 3 > 1 {
        clients.iter_mut().for_each(|client| assert_eq!(client.response().body, b"ok"));
    }
    let mut left = clients.len();
    for client in clients {
        client.reset();
        left -= 1;
        if left.is_multiple_of(BURST) {
            thread::sleep(PAUSE);
        }
        if left.is_multiple_of(VOLLEY) {
            // Whoever waited for one that is lost would let all others fall silent meanwhile.
            server.stats_when("that resets arrive", |stats| {
                stats.total("connections_open") <= left as u64 + stats.port("rx_missed")
            });
        }
    }
}

fn as_many_again(server: &Server) {
    let mut clients: Vec<_> = (0..CONNECTIONS).map(|_| Client::open()).collect();
    clients.iter_mut().for_each(|client| client.send(REQUEST));
    clients.iter_mut().for_each(|client| assert_eq!(client.response().body, b"ok"));
    server.stats_when("as many connections again", |stats| {
        stats.total("connections_open") == CONNECTIONS
    });
}

/// Clients that are told goodbye for their silence and say RST to it.
#[test]
fn a_reset_answers_our_fin() {
    Rig::run(RigPlan::MANY_CONNECTIONS, |rig| {
        let server = ServerPlan::af_xdp().set("deadlines.idle=500ms").serve(rig);
        let mut clients: Vec<_> = (0..FEW).map(|_| Client::open()).collect();
        clients.iter_mut().for_each(|client| client.send(REQUEST));
        clients.iter_mut().for_each(|client| assert_eq!(client.response().body, b"ok"));
        server.stats_when("silence noticed", |stats| stats.total("deadline_idle") == FEW);
        clients.into_iter().for_each(Client::reset);
        let start = Instant::now();
        let stats = server.stats_when("the end", |stats| stats.total("connections_open") == 0);
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", stats.nonzero("connections_"));
        assert_eq!(stats.total("connections_reset_by_peer"), FEW);
        server.stop(rig);
    });
}

const FEW: u64 = 64;

/// A client whose reset was lost comes back from the same port (RFC 9293 3.5.1, RFC 5961 4.2): the
/// appliance asks whether the old connection is still meant, and opens the new one.
#[test]
fn a_client_that_lost_its_memory_connects_again() {
    Rig::run(RigPlan::MANY_CONNECTIONS, |rig| {
        let server = ServerPlan::af_xdp().serve(rig);
        let mut first = Client::of(connect_from(PORT_OF_CLIENT));
        first.send(REQUEST);
        assert_eq!(first.response().body, b"ok");
        nft(&["add", "table", "inet", "gag"]);
        nft(&["add", "chain", "inet", "gag", "out", "{ type filter hook output priority 0; }"]);
        nft(&["add", "rule", "inet", "gag", "out", "tcp flags & rst == rst drop"]);
        first.reset();
        nft(&["delete", "table", "inet", "gag"]);
        let start = Instant::now();
        let mut second = Client::of(connect_from(PORT_OF_CLIENT));
        println!("connected again after {:.1?}", start.elapsed());
        assert!(start.elapsed() < Duration::from_secs(4), "one SYN more is enough");
        second.send(REQUEST);
        assert_eq!(second.response().body, b"ok");
        server.stop(rig);
    });
}

fn connect_from(port: u16) -> TcpStream {
    let fd = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None);
    let fd = fd.expect("a socket");
    setsockopt(&fd, ReuseAddr, &true).expect("a TCP socket has SO_REUSEADDR");
    let address = |ip, port| SockaddrIn::from(SocketAddrV4::new(ip, port));
    bind(fd.as_raw_fd(), &address(HOST, port)).expect("the port is free");
    // SYNs at 0, 1, 3 and 7 s.
    setsockopt(&fd, nix::sys::socket::sockopt::TcpUserTimeout, &10_000).expect("a TCP socket");
    connect(fd.as_raw_fd(), &address(APPLIANCE, PORT)).expect("the appliance answers");
    fd.into()
}

fn nft(arguments: &[&str]) {
    Tool::new(5, "nft", arguments).text();
}

const PORT_OF_CLIENT: u16 = 50_000;
const REQUEST: &str = "GET /pipeline HTTP/1.1\r\nHost: a\r\n\r\n";
/// Sent frames that the driver takes back only with the next ones.
const IN_RINGS: u64 = 128;
/// Pages that are touched for the first time: stacks, counters, the statistics file.
const GROWTH_MAX: u64 = 16 << 20;
