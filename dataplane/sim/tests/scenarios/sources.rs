//! Fairness per source: what one address may hold, and that others have theirs whatever it does.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use engine::{ConnId as OffloadId, Network, SourceLimits};
use sim::raw::flag;
use sim::{Bulk, BulkResponse, ConnId, Dialog, HostId, Phase, Reading, Setup, World, download};

use crate::allocations::sealed;

const MILLI: u64 = 1_000;
const SECOND: u64 = 1_000 * MILLI;

/// A request that is offloaded, after a body of three bytes.
const OFFLOAD: &str = "POST /offload/7 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";

/// Offloads that the test took and has not completed, and completions to push.
#[derive(Default)]
struct TestState {
    taken: Vec<OffloadId>,
    completions: Vec<OffloadId>,
}

fn setup(connections: u32, requests: u32) -> Setup {
    let mut setup = Setup { seal: sealed, ..Setup::new(1) };
    setup.core.sources = SourceLimits { connections, requests, ..SourceLimits::default() };
    setup
}

fn world(setup: &Setup) -> (World, Rc<RefCell<TestState>>) {
    let shared = Rc::new(RefCell::new(TestState::default()));
    let mut control = || -> sim::ControlFn<Bulk> {
        let shared = Rc::clone(&shared);
        Box::new(move |end, _| {
            let mut state = shared.borrow_mut();
            while let Some(submission) = end.submissions().poll() {
                state.taken.push(submission.id);
            }
            for id in state.completions.drain(..) {
                let pushed = end.completions().push(id, BulkResponse::Download(5));
                pushed.expect("the completion ring has room");
            }
        })
    };
    (setup.build_with(&Arc::new(Bulk::PLAIN), &mut control), shared)
}

/// A connection from `host`, which the appliance takes or refuses.
#[track_caller]
fn connect(world: &mut World, host: HostId) -> ConnId {
    let conn = world.connect(host);
    let decided = |world: &mut World| world.phase(conn) != Phase::Opening;
    assert!(world.run_until(SECOND, decided), "neither taken nor refused");
    conn
}

fn complete_all(shared: &RefCell<TestState>) {
    let mut state = shared.borrow_mut();
    let TestState { taken, completions } = &mut *state;
    completions.append(taken);
}

#[track_caller]
fn expect_status(world: &mut World, conn: ConnId, status: u16) {
    let response = world.response(conn);
    assert_eq!((response.status, response.closes()), (status, false));
}

#[test]
fn a_source_has_as_many_connections_as_it_may() {
    let (mut world, _) = world(&setup(2, 0));
    let (greedy, other) = (world.host(), world.host());
    let conns = [(); 3].map(|()| connect(&mut world, greedy));
    assert_eq!(conns.map(|conn| world.phase(conn)), [Phase::Open, Phase::Open, Phase::Reset]);
    assert_eq!(world.count("drop_source_limit"), 1);
    let elsewhere = connect(&mut world, other);
    assert_eq!(world.phase(elsewhere), Phase::Open);
    world.run_for(100 * MILLI);
    assert_eq!(world.count("sources"), 2);
    // However a connection ends, there is room for another one.
    world.reset(conns[0]);
    world.run_for(10 * MILLI);
    let again = connect(&mut world, greedy);
    assert_eq!(world.phase(again), Phase::Open);
    for conn in [conns[1], again, elsewhere] {
        world.finish(conn);
    }
    world.run_for(SECOND);
    assert_eq!((world.count("sources"), world.open_connections()), (0, 0));
    world.end();
}

#[test]
fn named_networks_and_the_default_have_no_limit() {
    let mut named = setup(1, 1);
    let clients = Network::new([198, 18, 0, 0].into(), 16).expect("a prefix");
    named.core.sources.unlimited = vec![clients];
    for setup in [named, Setup::new(1)] {
        let (mut world, _) = world(&setup);
        let host = world.host();
        let conns: Vec<_> = (0..20).map(|_| connect(&mut world, host)).collect();
        for conn in &conns {
            world.send(*conn, OFFLOAD);
        }
        world.run_for(100 * MILLI);
        for (name, count) in [("sources", 0), ("source_requests_refused", 0), ("parked", 20)] {
            assert_eq!(world.count(name), count, "{name}");
        }
        conns.iter().for_each(|conn| world.reset(*conn));
        world.end();
    }
}

/// Bodies that drip occupy buffers: those of one address no more than it may, whatever its connections.
#[test]
fn dripping_bodies_occupy_no_more_buffers_than_their_source_may() {
    let (mut world, shared) = world(&setup(0, 4));
    let (greedy, other) = (world.host(), world.host());
    let conns: Vec<_> = (0..20).map(|_| connect(&mut world, greedy)).collect();
    let (head, rest) = OFFLOAD.split_at(OFFLOAD.len() - 2);
    for conn in &conns {
        world.send(*conn, head);
        world.run_for(MILLI);
    }
    assert_eq!(world.count("source_requests_refused"), 16);
    let elsewhere = connect(&mut world, other);
    world.send(elsewhere, OFFLOAD);
    world.run_for(10 * MILLI);
    complete_all(&shared);
    expect_status(&mut world, elsewhere, 200);
    // The first four go on to wait for control, for which they are not counted twice; the others are refused.
    for conn in &conns {
        world.send(*conn, rest);
    }
    world.run_for(100 * MILLI);
    assert_eq!((world.count("parked"), world.count("source_requests_refused")), (4, 16));
    conns[4..].iter().for_each(|conn| expect_status(&mut world, *conn, 503));
    complete_all(&shared);
    conns[..4].iter().for_each(|conn| expect_status(&mut world, *conn, 200));
    // What was given back is there again, and a connection that was refused goes on.
    world.send(conns[9], OFFLOAD);
    world.run_for(10 * MILLI);
    complete_all(&shared);
    expect_status(&mut world, conns[9], 200);
    conns.iter().for_each(|conn| world.reset(*conn));
    world.reset(elsewhere);
    world.run_for(100 * MILLI);
    assert_eq!(world.count("sources"), 0);
    world.end();
}

/// A client that leaves has not given its buffers back: they count until control is done with them.
#[test]
fn requests_that_wait_count_until_their_completion_comes() {
    let (mut world, shared) = world(&setup(0, 2));
    let host = world.host();
    for _ in 0..2 {
        let conn = connect(&mut world, host);
        world.send(conn, OFFLOAD);
        world.run_for(10 * MILLI);
        world.reset(conn);
        world.run_for(100 * MILLI);
    }
    assert_eq!((world.count("connections_open"), world.count("sources")), (0, 1));
    let conn = connect(&mut world, host);
    world.send(conn, OFFLOAD);
    expect_status(&mut world, conn, 503);
    assert_eq!(world.count("source_requests_refused"), 1);
    complete_all(&shared);
    world.run_for(10 * MILLI);
    world.send(conn, [OFFLOAD, OFFLOAD].concat());
    for _ in 0..2 {
        world.run_for(10 * MILLI);
        complete_all(&shared);
        expect_status(&mut world, conn, 200);
    }
    world.reset(conn);
    world.run_for(100 * MILLI);
    assert_eq!((world.count("offloads_late"), world.count("sources")), (2, 0));
    world.end();
}

/// A connection that ends while its body comes in gives the buffer back, and one whose body is late does too.
#[test]
fn a_body_that_ends_early_is_not_held() {
    let (mut world, _) = world(&setup(0, 1));
    let host = world.host();
    let (head, _) = OFFLOAD.split_at(OFFLOAD.len() - 2);
    let gone = connect(&mut world, host);
    world.send(gone, head);
    world.run_for(10 * MILLI);
    world.reset(gone);
    world.run_for(10 * MILLI);
    let late = connect(&mut world, host);
    world.send(late, head);
    assert_eq!(world.response(late).status, 408);
    world.finish(late);
    world.run_for(SECOND);
    let next = connect(&mut world, host);
    world.send(next, head);
    world.run_for(10 * MILLI);
    assert_eq!(world.count("source_requests_refused"), 0);
    world.reset(next);
    world.end();
}

/// A source without a record is served, and counted as one that is not bounded: here the records are held by
/// requests of clients that have left.
#[test]
fn a_full_table_bounds_no_newcomer() {
    let mut setup = setup(1, 0);
    setup.core.connections = 1;
    setup.core.half_open_max = 1;
    let (mut world, _) = world(&setup);
    let gone = world.client();
    world.send(gone, OFFLOAD);
    world.run_for(10 * MILLI);
    world.reset(gone);
    world.run_for(10 * MILLI);
    let newcomer = world.client();
    // It is counted when its acknowledgement has come.
    world.run_for(10 * MILLI);
    assert_eq!(world.count("source_table_full"), 1);
    world.send(newcomer, "GET /down/5 HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_status(&mut world, newcomer, 200);
    world.reset(newcomer);
    world.end();
}

/// A client that acknowledges one byte in 20 s, with the deadlines as they are shipped, is ended by its first window.
#[test]
fn a_reader_of_one_byte_in_20_seconds_is_ended() {
    let (mut world, raw) = Setup::new(1).build_with_raw();
    let mut dialog = Dialog::open(&mut world, raw, 4_000);
    dialog.data(&mut world, b"GET /down/100000 HTTP/1.1\r\nHost: a\r\n\r\n");
    let since = world.elapsed();
    while world.count("connections_aborted") == 0 {
        world.run_for(20 * SECOND);
        dialog.ack = dialog.ack.wrapping_add(1);
        dialog.say(&mut world, flag::ACK, b"");
        world.discard_heard(raw);
        assert!(world.elapsed() < since + 200 * SECOND, "a slot is held for days");
    }
    assert!(world.elapsed() - since <= 61 * SECOND, "{} s", (world.elapsed() - since) / SECOND);
    assert_eq!(world.count("deadline_slow") + world.count("deadline_stall"), 1);
    world.end();
}

/// slowhttptest's slow read: a small window, several requests on each connection, 32 bytes read every 5 s. All its
/// connections are free again, and others are served meanwhile.
#[test]
fn slow_readers_free_their_connections() {
    const READERS: usize = 50;
    let mut setup = Setup::new(1);
    setup.core.sources.connections = 50;
    let mut world = setup.build(&Arc::new(Bulk::PLAIN));
    let slow = world.host_with(1_024, 4_096);
    let request = "GET /down/100000 HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3);
    for _ in 0..READERS {
        let conn = connect(&mut world, slow);
        world.set_reading(conn, Reading::Slow { bytes: 32, micros: 5 * SECOND });
        world.send(conn, &request);
    }
    assert_eq!(world.open_connections(), 50);
    let since = world.elapsed();
    let other = world.client();
    let freed = |world: &mut World| world.open_connections() == 1;
    while !freed(&mut world) {
        world.send(other, "GET /down/5 HTTP/1.1\r\nHost: a\r\n\r\n");
        expect_status(&mut world, other, 200);
        world.run_for(5 * SECOND);
        assert!(world.elapsed() - since < 120 * SECOND, "{} left", world.open_connections() - 1);
    }
    let ended = world.count("deadline_slow") + world.count("deadline_stall");
    assert_eq!(ended, READERS as u64);
    world.reset(other);
    world.end();
}

/// A telephone at 50 kbit/s, with pauses of a tunnel's length, gets a megabyte.
#[test]
fn a_slow_phone_is_not_hurt() {
    const LEN: usize = 1_000_000;
    let mut setup = Setup::new(1);
    setup.core.sources = SourceLimits { connections: 2, requests: 1, ..SourceLimits::default() };
    let mut world = setup.build(&Arc::new(Bulk::PLAIN));
    let host = world.host_with(16_384, 4_096);
    let phone = connect(&mut world, host);
    let at_50_kbit = Reading::Slow { bytes: 625, micros: 100 * MILLI };
    world.set_reading(phone, at_50_kbit);
    world.send(phone, format!("GET /down/{LEN} HTTP/1.1\r\nHost: a\r\n\r\n"));
    for _ in 0..3 {
        world.run_for(40 * SECOND);
        world.set_reading(phone, Reading::Stopped);
        world.run_for(20 * SECOND);
        world.set_reading(phone, at_50_kbit);
    }
    let whole = |world: &mut World| world.received(phone).len() >= LEN;
    assert!(world.run_until(200 * SECOND, whole), "it stops at {}", world.received(phone).len());
    assert_eq!(world.response(phone).body, download(LEN as u64));
    assert_eq!((world.count("deadline_slow"), world.count("deadline_stall")), (0, 0));
    world.finish(phone);
    world.end();
}
