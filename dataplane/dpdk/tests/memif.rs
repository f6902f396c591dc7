//! Two processes exchange frames over shared memory: every byte, in order, and nothing stays behind.

mod world;

use std::{
    env,
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    process::{self, Child, Command},
    sync::Arc,
};

use dpdk::{Device, MemifRole, Memory, Port, PortPlan, QueuePair, Running};
use engine::{Burst, Frame, Nic, NicLosses, RxChecksums};
use world::{
    Hugepages, eal, frame, hugepages, hugepages_are_back, is_ours, receive, submit, wait_until,
};

const FRAMES: u32 = 2000;
const ROLE: &str = "POLLUX_TEST_MEMIF_ROLE";
const SOCKET: &str = "POLLUX_TEST_MEMIF_SOCKET";

/// Starts this program twice more, once for each end: an EAL's pages are free when its process is gone.
#[test]
fn frames_cross_between_two_processes() {
    if let (Ok(role), Ok(socket)) = (env::var(ROLE), env::var(SOCKET)) {
        match role.as_str() {
            "server" => echo(Path::new(&socket)),
            "successor" => succeed(Path::new(&socket)),
            _ => converse(Path::new(&socket)),
        }
        return;
    }
    let _reserved = Hugepages::reserve(64);
    let socket = PathBuf::from(format!("/tmp/pollux-test-memif-{}.sock", process::id()));
    let free = hugepages("free_hugepages");
    assert!(end("successor", &socket).wait().expect("it runs").success());
    let mut server = end("server", &socket);
    let mut client = end("client", &socket);
    let directories = [&client, &server].map(|end| world::runtime_directory(end.id()));
    let (client, server) = (client.wait().expect("it runs"), server.wait().expect("it runs"));
    assert!(client.success() && server.success(), "client {client}, server {server}");

    assert!(!socket.exists(), "the socket is gone");
    for directory in directories {
        assert!(!directory.exists(), "{} is gone", directory.display());
    }
    hugepages_are_back(free);
}

fn end(role: &str, socket: &Path) -> Child {
    let this = env::current_exe().expect("a test has a path");
    let mut command = Command::new(this);
    command.args(["--exact", "frames_cross_between_two_processes", "--nocapture"]);
    command.env(ROLE, role).env(SOCKET, socket).spawn().expect("it starts")
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
fn succeed(socket: &Path) {
    drop(UnixListener::bind(socket).expect("a socket"));
    assert!(socket.exists());
    let device = Device::memif(MemifRole::Server, socket).expect("a path");
    let eal = eal(Memory::Ordinary { mib: 64 });
    let port = Port::open(&eal, &device).unwrap_or_else(|error| panic!("{error}"));
    let started = port.start(&PortPlan::default());
    let (port, queues) = started.unwrap_or_else(|error| panic!("{error}"));
    UnixListener::bind(socket).expect_err("the successor listens");
    drop(queues);
    port.stop().expect("a clean stop");
}

/// Sends every frame back, until the last.
fn echo(socket: &Path) {
    let (port, mut queue) = open(MemifRole::Server, socket);
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

fn converse(socket: &Path) {
    wait_until("the server's socket", || socket.exists());
    let (port, mut queue) = open(MemifRole::Client, socket);
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
