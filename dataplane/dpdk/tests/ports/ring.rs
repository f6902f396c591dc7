//! Buffers over a port that loops back (`net_ring`): none lost, none freed twice, order kept, and
//! exhaustion is an answer. No hugepages, no root.

use std::{env, fs, path::PathBuf, process, sync::Arc, thread};

use dpdk::{
    Eal, EalError, EalPlan, FlowSteering, Memory, OpenError, Pool, Port, PortPlan, QueuePair,
    Running, RxFrame, StartError, TxBuffer, adopt_thread,
};
use engine::{Burst, Nic, NicLosses, TxOffload};
use nix::{sched::sched_getaffinity, unistd::Pid};

use crate::frames::{eal, frame, submit};
use crate::process::Parts;

const PARTS: Parts =
    Parts { test: "ring::buffers_are_neither_lost_nor_freed_twice", parts: &[("ports", ports)] };

#[test]
fn buffers_are_neither_lost_nor_freed_twice() {
    PARTS.run(|| PARTS.succeed("ports"));
}

fn ports() {
    let affinity = sched_getaffinity(Pid::from_raw(0));
    let eal = eal(Memory::Ordinary { mib: 128 });
    assert_eq!(sched_getaffinity(Pid::from_raw(0)), affinity, "the caller is not pinned");
    let again = EalPlan {
        main_core: 0,
        devices: vec![],
        memory: Memory::Ordinary { mib: 64 },
        file_prefix: "again".to_owned(),
    };
    assert!(matches!(Eal::init(&again), Err(EalError::AlreadyInitialised)));
    assert!(eal.version().starts_with("DPDK 22.11"), "{}", eal.version());
    refused_plans(&eal);

    let (port, mut queue) = open(&eal, "net_ring0");
    let twice = Port::open(&eal, &"net_ring0".parse().expect("a device"));
    assert!(matches!(twice, Err(OpenError::AlreadyOpen { .. })), "{twice:?}");
    let pool = Arc::clone(port.pool());
    assert_eq!(pool.available(), pool.size());
    order_is_kept(&mut queue);
    frames_go_back_in_any_order(&mut queue, &pool);
    exhaustion_is_an_answer(&mut queue, &pool);
    a_full_ring_keeps_order(&mut queue);
    registered_threads_give_back_too(&mut queue, &pool);

    let waiting = (0..10).all(|number| submit(&mut queue, &frame(number)));
    assert!(waiting, "room for ten");
    queue.flush();
    let held = receive_all(&mut queue);
    let unsent = (10..20).all(|number| submit(&mut queue, &frame(number)));
    assert!(unsent, "room for ten");
    let tx_buffer = queue.tx_buffer();
    drop(queue);
    port.stop().expect("a clean stop");
    // Frames and transmit buffers outlive their port.
    assert_eq!(held[9].as_ref(), frame(9));
    assert_eq!(pool.available(), pool.size() - 11);
    thread::spawn(move || drop((held, tx_buffer))).join().expect("dropped elsewhere");
    assert_eq!(pool.available(), pool.size());

    long_frames_are_dropped_and_counted(&eal);

    // What was opened, and never started or closed by hand, closes by itself.
    let _ = open(&eal, "net_ring1");
    let (_port, _queue) = open(&eal, "net_ring1");
}

fn open(eal: &Eal, device: &str) -> (Port<Running>, QueuePair) {
    let device = device.parse().expect("a device");
    let port = Port::open(eal, &device).unwrap_or_else(|error| panic!("{error}"));
    let (port, mut queues) =
        port.start(&PortPlan::default()).unwrap_or_else(|error| panic!("{error}"));
    (port, queues.remove(0))
}

fn refused_plans(eal: &Eal) {
    let open = || Port::open(eal, &"net_ring7".parse().expect("a device"));
    let port = open().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(port.info().flow_steering, FlowSteering::Nobody);
    let max = port.info().queues_max;
    assert!(max > 1, "a ring port has several queues, and nobody to spread over them");
    let plan = |queues| PortPlan { queues, ..PortPlan::default() };
    let error = port.start(&plan(2)).expect_err("no spread");
    assert!(matches!(error, StartError::NoSteering { asked: 2, .. }), "{error}");
    for queues in [0, max + 1] {
        let error = open().expect("it opens").start(&plan(queues)).expect_err("not as many");
        assert!(matches!(error, StartError::Queues { .. }), "{error}");
    }
    // More than the 64 MiB that there are; the memory is free again afterwards.
    let greedy = PortPlan { frames_held: 100_000, ..PortPlan::default() };
    let error = open().expect("it opens").start(&greedy).expect_err("too much");
    assert!(matches!(error, StartError::Pool { .. }), "{error}");
}

fn receive_all(queue: &mut QueuePair) -> Vec<RxFrame> {
    let mut frames = Vec::new();
    let mut burst = Burst::new();
    loop {
        queue.receive(&mut burst);
        if burst.is_empty() {
            return frames;
        }
        frames.extend(burst.drain(..));
    }
}

fn order_is_kept(queue: &mut QueuePair) {
    for first in [0, 60, 120] {
        for number in first..first + 60 {
            assert!(submit(queue, &frame(number)), "room for a burst");
        }
        queue.flush();
        let frames = receive_all(queue);
        let sent: Vec<_> = (first..first + 60).map(frame).collect();
        assert!(frames.iter().map(AsRef::as_ref).eq(sent.iter().map(Vec::as_slice)));
    }
}

fn frames_go_back_in_any_order(queue: &mut QueuePair, pool: &Pool) {
    let before = pool.available();
    for order in 0..3 {
        for number in 0..40 {
            assert!(submit(queue, &frame(number)), "room for a burst");
        }
        queue.flush();
        let mut frames = receive_all(queue);
        assert_eq!(frames.len(), 40);
        match order {
            0 => {}
            1 => frames.reverse(),
            _ => drop(frames.drain(..).step_by(2).collect::<Vec<_>>()),
        }
    }
    // The stash may hold up to 32 transmit buffers more or fewer than before.
    assert!(pool.available().abs_diff(before) <= 32, "{} {before}", pool.available());
}

fn exhaustion_is_an_answer(queue: &mut QueuePair, pool: &Pool) {
    let mut tx_buffers: Vec<TxBuffer> = Vec::new();
    while let Some(mut tx_buffer) = queue.tx_buffer() {
        assert!(tx_buffer.as_mut().len() >= 18 + 1500);
        tx_buffers.push(tx_buffer);
    }
    assert_eq!(u32::try_from(tx_buffers.len()), Ok(pool.size()), "each buffer exactly once");
    assert_eq!(pool.available(), 0);
    assert_eq!(queue.losses().tx_pool_empty, 1);
    assert!(!queue.ready());
    assert_eq!(queue.losses().tx_pool_empty, 2);
    let mut addresses: Vec<_> =
        tx_buffers.iter_mut().map(|tx_buffer| tx_buffer.as_mut().as_ptr()).collect();
    addresses.sort();
    assert!(addresses.windows(2).all(|pair| pair[1].addr() - pair[0].addr() >= 2048));

    tx_buffers.pop();
    assert!(queue.ready());
    let tx_buffer = queue.tx_buffer().expect("ready said so");
    queue.submit(tx_buffer, 60, TxOffload::None);
    queue.flush();
    assert_eq!(receive_all(queue).len(), 1);
    drop(tx_buffers);
    assert_eq!(pool.available(), pool.size());
}

fn a_full_ring_keeps_order(queue: &mut QueuePair) {
    assert_eq!(queue.losses().tx_ring_full, 0);
    let mut sent = 0;
    while submit(queue, &frame(sent)) {
        sent += 1;
    }
    assert!(queue.losses().tx_ring_full > 0, "{sent} frames fill ring and queue");
    queue.flush();
    let mut seen = 0;
    while seen < sent {
        let frames = receive_all(queue);
        assert!(!frames.is_empty(), "the ring took more after {seen} of {sent}");
        for got in frames {
            assert!(got.as_ref() == frame(seen), "frame {seen}");
            seen += 1;
        }
        queue.flush();
    }
    assert!(receive_all(queue).is_empty());
}

/// A capture file as a port: the frame in the middle needs two buffers.
fn long_frames_are_dropped_and_counted(eal: &Eal) {
    let capture = tempfile();
    let mut file = pcap_header();
    let long: Vec<u8> = frame(1).into_iter().cycle().take(4000).collect();
    for frame in [&frame(0), &long, &frame(2)] {
        let len = u32::try_from(frame.len()).expect("small");
        file.extend([0; 8].into_iter().chain(len.to_le_bytes()).chain(len.to_le_bytes()));
        file.extend(frame);
    }
    fs::write(&capture.0, file).expect("/tmp takes it");
    let (port, mut queue) = open(eal, &format!("net_pcap0,rx_pcap={}", capture.0.display()));
    let pool = Arc::clone(port.pool());
    let frames = receive_all(&mut queue);
    assert!(frames.iter().map(AsRef::as_ref).eq([frame(0), frame(2)].iter().map(Vec::as_slice)));
    assert_eq!(queue.losses(), NicLosses { rx_multi_segment: 1, ..NicLosses::default() });
    drop((frames, queue));
    port.stop().expect("a clean stop");
    assert_eq!(pool.available(), pool.size());
}

/// The header of a little-endian capture file of Ethernet frames (pcap-savefile(5)).
fn pcap_header() -> Vec<u8> {
    let words: [u32; 6] = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, 1];
    words.into_iter().flat_map(u32::to_le_bytes).collect()
}

struct Capture(PathBuf);

fn tempfile() -> Capture {
    Capture(env::temp_dir().join(format!("dpdk-test-{}.pcap", process::id())))
}

impl Drop for Capture {
    fn drop(&mut self) {
        fs::remove_file(&self.0).expect("it was written");
    }
}

fn registered_threads_give_back_too(queue: &mut QueuePair, pool: &Arc<Pool>) {
    let before = pool.available();
    for number in 0..60 {
        assert!(submit(queue, &frame(number)), "room for a burst");
    }
    queue.flush();
    let frames = receive_all(queue);
    let adopted = thread::spawn(move || {
        let adopted = adopt_thread(0).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(sched_getaffinity(Pid::from_raw(0)).and_then(|cpus| cpus.is_set(0)), Ok(true));
        drop(frames);
        drop(adopted);
    });
    adopted.join().expect("the thread is adopted");
    assert!(pool.available().abs_diff(before) <= 32);
    assert!(adopt_thread(1000).is_err(), "there is no such core");
}
