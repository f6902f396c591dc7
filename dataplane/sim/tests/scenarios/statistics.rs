//! What a worker says of itself: states of connections, latencies, order of segments, and when it is busy.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use engine::control_queue::{self, ControlEnd, Submission, WallClock};
use engine::sleep::Waker;
use engine::{Buffer, ConnId as RequestId, Now, Worker, steering};
use http1::Class;
use sim::raw::{Address, Segment, flag, option_mss};
use sim::{
    APPLIANCE, Bulk, BulkResponse, ConnId, ControlFn, Dialog, HTTP_PORT, NicPlan, Reading, Setup,
    UNIX_START, World,
};

const MILLI: u64 = 1_000;
const SECOND: u64 = 1_000 * MILLI;
const CYCLES_PER_MICRO: u64 = 2_000;

type Offloaded = Rc<RefCell<Vec<RequestId>>>;
type Answers = Rc<RefCell<Vec<RequestId>>>;

/// A world whose offloads are kept until the test says that they are done.
fn world() -> (World, Offloaded, Answers) {
    let (offloaded, done) = (Offloaded::default(), Answers::default());
    let mut control = || -> ControlFn<Bulk> {
        let (offloaded, done) = (Rc::clone(&offloaded), Rc::clone(&done));
        Box::new(move |end: &ControlEnd<Bulk>, _| {
            while let Some(submission) = end.submissions().poll() {
                offloaded.borrow_mut().push(submission.id);
            }
            for id in done.borrow_mut().drain(..) {
                end.completions().push(id, BulkResponse::Download(5)).expect("there is room");
            }
        })
    };
    let world = Setup::new(1).build_with(&Arc::new(Bulk::PLAIN), &mut control);
    (world, offloaded, done)
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// How many connections are in each state, in this order.
const STATES: [&str; 6] = ["half_open", "idle", "reading", "waiting", "sending", "closing"];

#[track_caller]
fn expect_states(world: &mut World, expected: [u64; 6]) {
    world.run_for(20 * MILLI);
    // Levels are published every few turns: this turns until they are.
    world.check_balance();
    let states = STATES.map(|state| world.count(&format!("connections_{state}")));
    assert_eq!(states, expected, "{STATES:?}");
    assert_eq!(world.count("connections_open"), states.iter().sum::<u64>());
}

#[test]
fn connections_are_counted_in_the_state_they_are_in() {
    let (mut world, offloaded, done) = world();
    world.run_for(MILLI);
    let raw = world.raw();
    let mut half_open = Dialog::new(raw, 4_000, 0x1000_0000);
    half_open.half_open(&mut world, &[]);
    let [idle, head, body, offload, slow] = [(); 5].map(|()| world.client());
    expect_states(&mut world, [1, 5, 0, 0, 0, 0]);
    world.send(idle, get("/down/3"));
    world.send(head, "GET /down/1 HT");
    world.send(body, "POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc");
    world.send(offload, get("/offload/1"));
    world.set_reading(slow, Reading::Stopped);
    world.send(slow, get("/down/900000"));
    expect_states(&mut world, [1, 1, 2, 1, 1, 0]);
    half_open.say(&mut world, flag::ACK, b"");
    expect_states(&mut world, [0, 2, 2, 1, 1, 0]);
    done.borrow_mut().append(&mut offloaded.borrow_mut());
    expect_states(&mut world, [0, 3, 2, 0, 1, 0]);
    for client in [idle, head, body, offload, slow] {
        world.reset(client);
    }
    half_open.say(&mut world, flag::RST, b"");
    expect_states(&mut world, [0; 6]);
    world.check_balance();
}

/// The one histogram of a world whose service has one class: its buckets in microseconds.
fn latencies(world: &World, of: fn(&engine::Latencies) -> &engine::Histogram) -> Vec<(u64, u64)> {
    let all = world.latencies().flat_map(|core| of(core).buckets());
    all.map(|(cycles, count)| (cycles / CYCLES_PER_MICRO, count)).collect()
}

fn responses(world: &World) -> Vec<(u64, u64)> {
    latencies(world, |core| core.response(Class(0)))
}

fn offloads(world: &World) -> Vec<(u64, u64)> {
    latencies(world, |core| core.offload(Class(0)))
}

#[test]
fn every_response_is_measured_once_whatever_it_is() {
    let (mut world, ..) = world();
    let client = world.client();
    let requests = [get("/down/3"), get("/nowhere"), get("/down/0"), get("/down/40000")].concat();
    world.send(client, requests);
    for _ in 0..4 {
        world.response(client);
    }
    world.send(client, "HEAD /down/9 HTTP/1.1\r\nHost: a\r\n\r\n");
    world.response_to_head(client);
    // Refused before it is a request of any class.
    world.send(client, "nonsense\r\n\r\n");
    world.response(client);
    world.run_for(10 * MILLI);
    let measured: u64 = responses(&world).iter().map(|(_, count)| count).sum();
    assert_eq!((measured, world.count("requests"), world.count("rejects")), (5, 5, 1));
    assert_eq!(offloads(&world), [], "nothing was offloaded");
}

#[test]
fn a_response_takes_as_long_as_its_offload_and_its_reader() {
    let (mut world, offloaded, done) = world();
    let client = world.client();
    world.send(client, get("/offload/1"));
    assert!(world.run_until(SECOND, |_| !offloaded.borrow().is_empty()), "nothing was offloaded");
    world.run_for(70 * MILLI);
    assert_eq!(responses(&world), [], "it has not ended");
    done.borrow_mut().append(&mut offloaded.borrow_mut());
    world.response(client);
    world.run_for(10 * MILLI);
    for (part, measured) in [("offload", offloads(&world)), ("response", responses(&world))] {
        let [(micros, 1)] = measured[..] else { panic!("{part}: {measured:?}") };
        assert!((70 * MILLI..75 * MILLI).contains(&micros), "{part}: {micros} us");
    }
    let slow = world.client();
    world.set_reading(slow, Reading::Stopped);
    world.send(slow, get("/down/900000"));
    world.run_for(300 * MILLI);
    assert_eq!(responses(&world).len(), 1, "its last byte has found no room yet");
    world.set_reading(slow, Reading::Eager);
    assert_eq!(world.response(slow).body.len(), 900_000);
    world.run_for(10 * MILLI);
    let &[_, (micros, 1)] = &responses(&world)[..] else { panic!("{:?}", responses(&world)) };
    assert!(micros >= 300 * MILLI, "{micros} us");
}

#[test]
fn a_request_whose_connection_ends_is_not_measured_nor_is_the_next_of_its_slot() {
    let (mut world, offloaded, _) = world();
    let client = world.client();
    world.send(client, get("/offload/1"));
    assert!(world.run_until(SECOND, |_| !offloaded.borrow().is_empty()), "nothing was offloaded");
    world.reset(client);
    world.run_for(50 * MILLI);
    let next: ConnId = world.client();
    world.send(next, "nonsense\r\n\r\n");
    world.response(next);
    world.run_for(10 * MILLI);
    assert_eq!((responses(&world), offloads(&world)), (Vec::new(), Vec::new()));
}

#[test]
fn segments_ahead_of_a_gap_are_counted() {
    let (mut world, ..) = world();
    world.run_for(MILLI);
    let raw = world.raw();
    let (mut dialog, _) = Dialog::open_with(&mut world, raw, 4_000, &option_mss(1_000));
    let request = get("/down/3").into_bytes();
    let (first, rest) = request.split_at(10);
    let early = dialog.segment(flag::ACK | flag::PSH, rest);
    let ahead = early.seq.wrapping_add(u32::try_from(first.len()).expect("short"));
    dialog.send(&mut world, &Segment { seq: ahead, ..early });
    world.run_for(MILLI);
    assert_eq!(world.count("rx_out_of_order"), 1);
    dialog.data(&mut world, first);
    assert_eq!(world.count("rx_out_of_order"), 1, "what closes the gap is in order");
    world.run_for(10 * MILLI);
    assert_eq!(world.count("requests"), 1);
}

#[test]
fn bursts_are_counted_by_the_turn() {
    let (mut world, ..) = world();
    let client = world.client();
    for _ in 0..10 {
        world.send(client, get("/down/3"));
        world.response(client);
    }
    let (bursts, frames) = (world.count("turns_receiving"), world.count("rx_frames"));
    assert!(bursts > 0 && bursts <= frames, "{bursts} bursts, {frames} frames");
    assert!(bursts <= world.count("turns_busy"));
}

#[test]
fn a_turn_that_only_steers_is_busy() {
    let setup = Setup { workers: 2, ..Setup::new(1) };
    let mut world = setup.build(&Arc::new(Bulk::PLAIN));
    // The first worker has the queue; a client of the second one is wanted.
    let opened = |world: &World| world.count_each("connections_opened")[1];
    let client = loop {
        let before = opened(&world);
        let client = world.client();
        if opened(&world) > before {
            break client;
        }
    };
    world.run_for(100 * MILLI);
    let (before, delivered) = (world.count_each("turns_busy"), world.count_each("rx_frames"));
    for _ in 0..20 {
        world.send(client, get("/down/3"));
        world.response(client);
    }
    let (after, taken) = (world.count_each("turns_busy"), world.count_each("rx_frames"));
    assert_eq!(delivered[0], taken[0], "the first worker had no frame of its own");
    assert!(after[0] >= before[0] + 20, "{before:?} {after:?}: it steered twenty requests");
}

/// The second worker does not turn: what is steered to it fills its ring, and then is lost by count.
#[test]
fn frames_for_a_worker_that_is_stuck_are_lost_by_count() {
    let plan = NicPlan { receive_ring: 4_096, receive_pool: 4_096, ..NicPlan::default() };
    let (nic, mut wire) = plan.build();
    let wakers = vec![Waker::never(); 2];
    let (steering, _worker_queues) = steering::split(nic, &wakers, 100, [7; 16]);
    let (control, end) = control_queue::pair::<Bulk>(&WallClock::new(UNIX_START), 1);
    let mut buffers = |len| Buffer::Owned(vec![0; len]);
    let now = |micros: u64| Now { cycles: micros * CYCLES_PER_MICRO, micros };
    let core = Setup::new(1).core;
    let mut worker = Worker::new(core, steering, Arc::new(Bulk::PLAIN), end, &mut buffers, now(0));
    let from = Address { mac: [2, 0, 0, 0, 0, 7], ip: [198, 18, 0, 7].into() };
    let frames: u16 = 3_000;
    for at in 0..frames {
        let syn = Segment { flags: flag::SYN, ..Segment::new(10_000 + at, HTTP_PORT) };
        assert!(wire.deliver(&syn.frame(&from, &APPLIANCE)), "the port's own ring has room");
        worker.turn(now(u64::from(at)));
        while wire.collect(|_| ()) {}
    }
    // Levels and losses are published every few turns.
    for turn in 0..100 {
        worker.turn(now(u64::from(frames) + turn));
    }
    let (own, lost) = (control.stats().rx_frames.value(), control.stats().nic_rx_ring_full.value());
    sim::moved::note_readings(control.stats().readings());
    assert!(own > 1_000 && lost > 100, "{own} of its own, {lost} lost");
    assert_eq!(own + lost + steering::FRAMES_MAX as u64, u64::from(frames));
}

#[test]
fn rings_tell_how_many_wait_in_them() {
    type Levels = Rc<RefCell<Vec<(usize, usize)>>>;
    let levels = Levels::default();
    let mut control = || -> ControlFn<Bulk> {
        let levels = Rc::clone(&levels);
        Box::new(move |end: &ControlEnd<Bulk>, _| {
            // What is offloaded stays where it is until two wait; then both are answered.
            levels.borrow_mut().push(end.ring_levels());
            if end.ring_levels().0 == 2 {
                while let Some(Submission { id, .. }) = end.submissions().poll() {
                    end.completions().push(id, BulkResponse::Download(5)).expect("there is room");
                    levels.borrow_mut().push(end.ring_levels());
                }
            }
        })
    };
    let setup = Setup { parked: 4, ..Setup::new(1) };
    let mut world = setup.build_with(&Arc::new(Bulk::PLAIN), &mut control);
    let clients = [world.client(), world.client()];
    for client in clients {
        world.send(client, get("/offload/1"));
        world.run_for(10 * MILLI);
    }
    for client in clients {
        assert_eq!(world.response(client).body.len(), 5);
    }
    let mut seen = levels.borrow().clone();
    seen.dedup();
    assert_eq!(seen, [(0, 0), (1, 0), (2, 0), (1, 1), (0, 2), (0, 0)]);
    let highest = |of: fn(&(usize, usize)) -> usize| seen.iter().map(of).max().unwrap_or(0) as u64;
    sim::moved::note([
        ("submission_ring", highest(|levels| levels.0)),
        ("completion_ring", highest(|levels| levels.1)),
    ]);
}
