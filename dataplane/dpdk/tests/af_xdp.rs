//! Frames over AF_XDP ports on a veth, against a raw socket on its other end; what a process leaves
//! behind that stops its port, and one that is killed.

mod world;

use std::{
    collections::HashMap,
    env,
    net::UdpSocket,
    os::unix::process::ExitStatusExt,
    process::{Command, ExitStatus},
};

use dpdk::{
    Device, Eal, FlowSteering, Memory, Port, PortPlan, QueuePair, Running, StopError, detach_xdp,
};
use engine::{Burst, Nic};
use nix::sys::signal::{Signal, raise};
use world::{
    Hugepages, Netns, Raw, can_be_polled, eal, exchange, frame, hugepages, hugepages_are_back,
    is_ours, run, submit, wait_until,
};

const PART: &str = "POLLUX_TEST_AF_XDP_PART";

/// Runs itself again for each part: an EAL is of a process, and so is what it may leave behind.
#[test]
fn af_xdp_exchanges_frames_and_leaves_nothing() {
    match env::var(PART).as_deref() {
        Ok("killed") => return killed(),
        Ok("one queue, ordinary pages") => return one_queue(),
        Ok(_) => return two_queues(),
        Err(_) => {}
    }
    let netns = Netns::enter("xdp");
    let _reserved = Hugepages::reserve(64);
    let free = hugepages("free_hugepages");
    let show = || run("ip", &["link", "show", "pollux0"]);
    // The kernel sends on the queue of the sender's core: one queue must be all there are.
    netns.veth(1);
    let before = show();

    assert_eq!(part("killed").signal(), Some(9));
    assert!(show().contains("prog/xdp"), "the program of the killed process is there: {}", show());
    assert!(matches!(detach_xdp("pollux0"), Ok(true)));
    assert!(matches!(detach_xdp("pollux0"), Ok(false)));
    assert_eq!(show(), before);

    leaves_nothing("one queue, ordinary pages", show);
    run("ip", &["link", "delete", "pollux0"]);
    netns.veth(2);
    leaves_nothing("two queues, hugepages", show);
    hugepages_are_back(free);
}

/// A part that ends well, and leaves no program on the interface.
fn leaves_nothing(name: &str, show: impl Fn() -> String) {
    let before = show();
    assert!(part(name).success(), "{name}");
    assert_eq!(show(), before, "{name}: no program is left");
}

fn part(name: &str) -> ExitStatus {
    let this = env::current_exe().expect("a test has a path");
    let mut command = Command::new(this);
    command.args(["--exact", "af_xdp_exchanges_frames_and_leaves_nothing", "--nocapture"]);
    command.env(PART, name).status().expect("it starts")
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
    assert!(run("ip", &["link", "show", "pollux0"]).contains("prog/xdp"), "it still runs");
    drop(queues);
    assert!(!run("ip", &["link", "show", "pollux0"]).contains("prog/xdp"), "it is closed");
}

/// The kernel's side picks the queue; a flow is not known here, so order is not looked at.
fn two_queues() {
    world::mount_bpffs();
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
    run("ip", &["addr", "add", "198.18.0.1/24", "dev", "pollux-host"]);
    let neighbour = ["neigh", "add", "198.18.0.2", "lladdr", "02:00:00:00:00:02"];
    run("ip", &[&neighbour[..], &["dev", "pollux-host"]].concat());
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
