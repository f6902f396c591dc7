//! Two processes exchange frames over shared memory: every byte, in order, and nothing stays behind.

use std::{
    env,
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    process::{self, Child},
    sync::Arc,
};

use dpdk::{Device, MemifRole, Memory, Port, PortPlan, QueuePair, Running};
use engine::{Burst, Frame, Nic, NicLosses, RxChecksums};
use testkit::{Company, Hugepages, Turn};

use crate::frames::{eal, frame, is_ours, receive, submit, wait_until};
use crate::process::{Parts, is_done};

const FRAMES: u32 = 2000;

const PARTS: Parts = Parts {
    test: "memif::frames_cross_between_two_processes",
    parts: &[("successor", succeed), ("server", echo), ("client", converse)],
};

/// The path of the socket between both ends.
const SOCKET: &str = "POLLUX_TEST_MEMIF_SOCKET";

/// A process for each end: an EAL's pages are free when its process is gone.
#[test]
fn frames_cross_between_two_processes() {
    PARTS.run(|| {
        let turn = Turn::take(Company::Alone);
        let pages = Hugepages::reserve(64, &turn);
        let socket = PathBuf::from(format!("/tmp/pollux-test-memif-{}.sock", process::id()));
        let free = Hugepages::free();
        let start = |part| -> Child {
            PARTS.command(part).env(SOCKET, &socket).spawn().expect("it starts")
        };
        assert!(is_done(start("successor").wait().expect("it runs")));
        let (mut server, mut client) = (start("server"), start("client"));
        let directories = [&client, &server].map(|end| runtime_directory(end.id()));
        let (client, server) = (client.wait().expect("it runs"), server.wait().expect("it runs"));
        assert!(is_done(client) && is_done(server), "client {client}, server {server}");

        assert!(!socket.exists(), "the socket is gone");
        for directory in directories {
            assert!(!directory.exists(), "{} is gone", directory.display());
        }
        wait_until("the hugepages", || Hugepages::free() >= free);
        pages.release().expect("nobody holds any");
    });
}

fn socket() -> PathBuf {
    env::var_os(SOCKET).expect("a part is told").into()
}

/// What DPDK makes for itself when a test's process starts it.
fn runtime_directory(process: u32) -> PathBuf {
    PathBuf::from(format!("/run/dpdk/test-{process}"))
}

fn open(role: MemifRole, socket: &Path) -> (Port<Running>, QueuePair) {
    let eal = eal(Memory::Hugepages { limit_mib: Some(64) });
    let device = Device::memif(role, socket).expect("a path");
    let port = Port::open(&eal, &device).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(port.info().driver, "net_memif");
    assert_eq!(port.info().ip_mtu_max, 1500);
    let (port, mut queues) =
        port.start(&PortPlan::default()).unwrap_or_else(|error| panic!("{error}"));
    wait_until("the peer", || port.link_status().expect("a link").up);
    let queue = queues.pop().expect("one was asked for");
    assert!(queues.is_empty());
    (port, queue)
}

/// Takes over from a server that was killed, whose socket is still there.
fn succeed() {
    let socket = socket();
    drop(UnixListener::bind(&socket).expect("a socket"));
    assert!(socket.exists());
    let device = Device::memif(MemifRole::Server, &socket).expect("a path");
    let eal = eal(Memory::Ordinary { mib: 64 });
    let port = Port::open(&eal, &device).unwrap_or_else(|error| panic!("{error}"));
    let started = port.start(&PortPlan::default());
    let (port, queues) = started.unwrap_or_else(|error| panic!("{error}"));
    UnixListener::bind(&socket).expect_err("the successor listens");
    drop(queues);
    port.stop().expect("a clean stop");
}

/// Sends every frame back, until the last.
fn echo() {
    let (port, mut queue) = open(MemifRole::Server, &socket());
    let mut burst = Burst::new();
    let mut echoed = 0;
    wait_until("the frames to echo", || {
        queue.receive(&mut burst);
        for frame in burst.drain(..).filter(|frame| is_ours(frame.as_ref())) {
            assert_eq!(frame.checksums(), RxChecksums::Unknown, "nobody has looked");
            while !submit(&mut queue, frame.as_ref()) {
                queue.flush();
            }
            echoed += 1;
        }
        queue.flush();
        echoed == FRAMES
    });
    // The client ends the link when it has read everything.
    wait_until("the client to leave", || {
        queue.flush();
        !port.link_status().expect("a link").up
    });
    assert_eq!(queue.losses(), NicLosses::default());
    drop(queue);
    port.stop().expect("a clean stop");
}

fn converse() {
    let socket = socket();
    wait_until("the server's socket", || socket.exists());
    let (port, mut queue) = open(MemifRole::Client, &socket);
    let pool = Arc::clone(port.pool());
    let mut next = 0;
    for batch in 0..FRAMES / 50 {
        while next < (batch + 1) * 50 {
            assert!(submit(&mut queue, &frame(next)), "the ring has room for a batch");
            next += 1;
            if next % 7 == 0 {
                queue.flush();
            }
        }
        queue.flush();
        let back = receive(&mut queue, 50);
        let sent: Vec<_> = (batch * 50..(batch + 1) * 50).map(frame).collect();
        assert!(back == sent, "batch {batch} comes back as it left");
    }
    let stats = port.stats().expect("counters");
    assert_eq!((stats.rx_frames, stats.tx_frames), (FRAMES.into(), FRAMES.into()));
    drop(queue);
    port.stop().expect("a clean stop");
    assert_eq!(pool.available(), pool.size(), "every buffer is back");
}
