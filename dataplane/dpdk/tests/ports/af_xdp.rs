//! Frames over AF_XDP ports on a veth, against a raw socket on its other end; what a process leaves
//! behind that stops its port, and one that is killed.

use std::collections::HashMap;
use std::net::UdpSocket;
use std::os::unix::process::ExitStatusExt;

use dpdk::{
    Device, Eal, FlowSteering, Memory, Port, PortPlan, QueuePair, Running, StopError, detach_xdp,
};
use engine::{Burst, Nic};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, raise};
use testkit::{Hugepages, Rig, RigPlan, Tool};

use crate::frames::{Raw, can_be_polled, eal, exchange, frame, is_ours, submit, wait_until};
use crate::process::{ALONE, Parts};

const PARTS: Parts = Parts {
    test: "af_xdp::af_xdp_exchanges_frames_and_leaves_nothing",
    parts: &[
        ("killed", killed),
        ("one queue, ordinary pages", one_queue),
        ("two queues, hugepages", two_queues),
    ],
};

#[test]
fn af_xdp_exchanges_frames_and_leaves_nothing() {
    PARTS.run(|| {
        // The kernel sends on the queue of the sender's core: one queue must be all there are.
        Rig::run(ALONE, |_| {
            let before = link();
            let killed = PARTS.command("killed").status().expect("it starts");
            assert_eq!(killed.signal(), Some(9));
            assert!(link().contains("prog/xdp"), "the killed process's program: {}", link());
            assert!(matches!(detach_xdp("pollux0"), Ok(true)));
            assert!(matches!(detach_xdp("pollux0"), Ok(false)));
            assert_eq!(link(), before);
            leaves_nothing("one queue, ordinary pages");
        });
        Rig::run(RigPlan { queues: 2, hugepages: 64, ..ALONE }, |_| {
            let free = Hugepages::free();
            leaves_nothing("two queues, hugepages");
            wait_until("the hugepages", || Hugepages::free() >= free);
        });
    });
}

/// What the kernel shows of the port's interface.
fn link() -> String {
    Tool::new(5, "ip", &["link", "show", "pollux0"]).text()
}

/// A part that ends well, and leaves no program on the interface.
fn leaves_nothing(part: &str) {
    let before = link();
    PARTS.succeed(part);
    assert_eq!(link(), before, "{part}: no program is left");
}

fn open(eal: &Eal, device: &Device) -> (Port<Running>, Vec<QueuePair>) {
    let port = Port::open(eal, device).unwrap_or_else(|error| panic!("{error}"));
    let info = port.info();
    assert_eq!((info.driver.as_str(), info.flow_steering), ("net_af_xdp", FlowSteering::Outside));
    assert_eq!(info.queues_max, 1);
    port.start(&PortPlan::default()).unwrap_or_else(|error| panic!("{error}"))
}

fn killed() {
    let device = Device::af_xdp("pollux0").expect("a name");
    let _port = open(&eal(Memory::Ordinary { mib: 64 }), &device);
    raise(Signal::SIGKILL).expect("a signal to this process");
}

fn one_queue() {
    let device = Device::af_xdp("pollux0").expect("a name");
    let (port, mut queues) = open(&eal(Memory::Ordinary { mib: 64 }), &device);
    exchange(&mut queues[0], &Raw::on("pollux-host"));
    let stats = port.stats().expect("counters");
    assert_eq!((stats.rx_frames, stats.tx_frames), (200, 200));
    can_be_polled(&mut queues[0], &Raw::on("pollux-host"));
    let error = port.stop().expect_err("a queue pair is in use");
    assert!(matches!(error, StopError::InUse { queues: 1, .. }), "{error}");
    assert!(link().contains("prog/xdp"), "it still runs");
    drop(queues);
    assert!(!link().contains("prog/xdp"), "it is closed");
}

/// Mounts the BPF file system where this process alone sees it.
fn mount_bpffs() {
    unshare(CloneFlags::CLONE_NEWNS).expect("unshare takes root");
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>).expect("/ becomes private");
    mount(Some("bpf"), "/sys/fs/bpf", Some("bpf"), MsFlags::empty(), None::<&str>)
        .expect("bpffs can be mounted");
}

/// The kernel's side picks the queue; a flow is not known here, so order is not looked at.
fn two_queues() {
    mount_bpffs();
    let eal = eal(Memory::Hugepages { limit_mib: None });
    let open = |queue| {
        let device = Device::af_xdp_queue("pollux0", queue).expect("a name");
        let (port, mut queues) = open(&eal, &device);
        (port, queues.remove(0))
    };
    let (ports, mut queues): (Vec<_>, Vec<_>) = (0..2).map(open).unzip();
    let kernel = Raw::on("pollux-host");
    let mut burst = Burst::new();
    for batch in 0..10 {
        let mut frames: Vec<_> = (batch * 20..(batch + 1) * 20).map(frame).collect();
        frames.sort();
        let mut arrived = Vec::new();
        frames.iter().for_each(|frame| kernel.send(frame));
        wait_until("frames on either queue", || {
            for queue in &mut queues {
                queue.receive(&mut burst);
                let ours = burst.drain(..).filter(|frame| is_ours(frame.as_ref()));
                arrived.extend(ours.map(|frame| frame.as_ref().to_vec()));
            }
            arrived.len() >= frames.len()
        });
        arrived.sort();
        assert!(arrived == frames, "batch {batch} arrives");

        for (at, frame) in frames.iter().enumerate() {
            assert!(submit(&mut queues[at % 2], frame), "there is room for a batch");
        }
        arrived.clear();
        wait_until("frames from both queues", || {
            queues.iter_mut().for_each(Nic::flush);
            arrived.extend(kernel.receive());
            arrived.len() >= frames.len()
        });
        arrived.sort();
        assert!(arrived == frames, "batch {batch} leaves");
    }
    flows_keep_their_queue(&mut queues);
    for port in &ports {
        let stats = port.stats().expect("counters");
        assert_eq!(stats.tx_frames, 100);
    }
    drop(queues);
    for port in ports {
        port.stop().expect("a clean stop");
    }
}

/// The kernel's side hashes a socket's flow to a queue of the veth, and leaves it there.
fn flows_keep_their_queue(queues: &mut [QueuePair]) {
    const FLOWS: usize = 64;
    let neighbour = ["neigh", "add", "198.18.0.2", "lladdr", "02:00:00:00:00:02"];
    Tool::new(5, "ip", &[&neighbour[..], &["dev", "pollux-host"]].concat()).text();
    let socket = || {
        let socket = UdpSocket::bind("198.18.0.1:0").expect("an address of ours");
        socket.connect("198.18.0.2:9").expect("a route");
        socket
    };
    let sockets: Vec<_> = std::iter::repeat_with(socket).take(FLOWS).collect();
    let mut seen: HashMap<u16, Vec<usize>> = HashMap::new();
    let mut burst = Burst::new();
    for round in 1..=5 {
        sockets.iter().for_each(|socket| assert_eq!(socket.send(b"x").ok(), Some(1)));
        wait_until("a frame of each flow", || {
            for (at, queue) in queues.iter_mut().enumerate() {
                queue.receive(&mut burst);
                for frame in burst.drain(..) {
                    if let Some(port) = udp_source(frame.as_ref()) {
                        seen.entry(port).or_default().push(at);
                    }
                }
            }
            seen.values().map(Vec::len).sum::<usize>() >= FLOWS * round
        });
    }
    assert_eq!(seen.len(), FLOWS);
    assert!(seen.values().all(|at| at.iter().all(|queue| *queue == at[0])), "{seen:?}");
    let first = seen.values().filter(|at| at[0] == 0).count();
    assert!((1..FLOWS).contains(&first), "{first} of {FLOWS} flows on the first of two queues");
}

/// The source port of a UDP datagram in IPv4.
fn udp_source(frame: &[u8]) -> Option<u16> {
    let port = frame.get(34..36)?.try_into().ok()?;
    (frame[12..14] == [8, 0] && frame[23] == 17).then(|| u16::from_be_bytes(port))
}
