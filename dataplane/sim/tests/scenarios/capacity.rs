//! Nothing leaks and nothing overflows: slots, buffers and records come back, draining and stopping
//! leave nothing.

use std::sync::Arc;

use engine::control_queue::Event;
use sim::raw::{Segment, flag};
use sim::{APPLIANCE, Bulk, Dialog, HTTP_PORT, Phase, RawId, Setup, World};

const MILLI: u64 = 1_000;
const SECOND: u64 = 1_000 * MILLI;
/// Quiet workers look for commands every 64 turns.
const NOTICED: u64 = SECOND;

const GET: &[u8] = b"GET /down/3 HTTP/1.1\r\nHost: a\r\n\r\n";

/// A world with room for `connections`, all of which may be half-open, and rings that take a burst
/// from each.
fn roomy(connections: usize) -> Setup {
    let mut setup = Setup::new(1);
    (setup.core.connections, setup.core.half_open_max) = (connections, connections);
    setup.core.limits.head_len_max = 2_048;
    setup.core.limits.line_len_max = 1_024;
    (setup.core.receive_buffer, setup.core.transmit_buffer) = (2_048, 2_048);
    (setup.nic.receive_ring, setup.nic.receive_pool) = (8_192, 8_192);
    (setup.nic.transmit_ring, setup.nic.transmit_pool) = (8_192, 8_192);
    setup
}

/// Sends one segment of each of `ports`; what each says is up to `segment`.
fn all_say(
    world: &mut World,
    raw: RawId,
    ports: core::ops::Range<u16>,
    segment: impl Fn(u16) -> Segment,
) {
    let from = world.address(raw);
    for port in ports {
        world.inject(raw, &segment(port).frame(&from, &APPLIANCE));
    }
}

/// The appliance's next sequence number on each port, from the SYN-ACKs heard.
fn syn_acks(world: &mut World, raw: RawId, count: usize) -> Vec<u32> {
    let mut numbers = vec![None; count];
    while let Some(heard) = world.overheard(raw) {
        if !matches!(heard.body, sim::raw::Body::Tcp { .. }) {
            continue;
        }
        let segment = heard.segment();
        assert!(segment.has(flag::SYN | flag::ACK), "{segment:?}");
        numbers[usize::from(segment.destination - 1)] = Some(segment.seq.wrapping_add(1));
    }
    numbers.into_iter().map(|number| number.expect("every SYN is answered")).collect()
}

/// 4,096 connections opened and reset, 20 times over; half of them with a request under way.
#[test]
fn connections_that_are_reset_leave_nothing() {
    const CONNECTIONS: u16 = 4_096;
    let mut world = roomy(usize::from(CONNECTIONS)).build(&Arc::new(Bulk::PLAIN));
    let raw = world.raw();
    let ports = 1..CONNECTIONS + 1;
    for round in 0..20u32 {
        let seq = round << 24;
        let base = |port| Segment { seq, ..Segment::new(port, HTTP_PORT) };
        all_say(&mut world, raw, ports.clone(), |port| Segment { flags: flag::SYN, ..base(port) });
        world.run_for(20 * MILLI);
        let acks = syn_acks(&mut world, raw, usize::from(CONNECTIONS));
        let after =
            |port: u16| Segment { seq: seq + 1, ack: acks[usize::from(port - 1)], ..base(port) };
        all_say(&mut world, raw, ports.clone(), |port| {
            let payload = if port % 2 == 0 { GET.to_vec() } else { Vec::new() };
            Segment { payload, ..after(port) }
        });
        world.run_for(20 * MILLI);
        assert_eq!(world.open_connections(), u64::from(CONNECTIONS));
        world.discard_heard(raw);
        all_say(&mut world, raw, ports.clone(), |port| {
            let said = if port % 2 == 0 { GET.len() } else { 0 };
            let seq = seq + 1 + u32::try_from(said).expect("short");
            Segment { seq, flags: flag::RST, ..after(port) }
        });
        world.run_for(20 * MILLI);
        assert_eq!(world.open_connections(), 0, "round {round}");
        assert_eq!(world.wire().away(), (0, 0), "round {round}");
        world.discard_heard(raw);
    }
    assert_eq!(world.count("connections_reset_by_peer"), 20 * u64::from(CONNECTIONS));
    assert_eq!(world.count("requests"), 20 * u64::from(CONNECTIONS) / 2);
    assert!(world.drops().is_empty(), "{:?}", world.drops());
    world.end();
}

/// More connections closed within TIME-WAIT than there are records: the oldest make room.
#[test]
fn time_wait_records_make_room_for_one_another() {
    const AT_ONCE: u16 = 4_096;
    let records = u64::try_from(engine::limits::TIME_WAIT_MAX).expect("fits");
    let mut world = roomy(usize::from(AT_ONCE)).build(&Arc::new(Bulk::PLAIN));
    let rounds = records / u64::from(AT_ONCE) + 2;
    for _ in 0..rounds {
        // A machine of its own each round, so that no tuple comes twice.
        let raw = world.raw();
        let ports = 1..AT_ONCE + 1;
        let base = |port| Segment::new(port, HTTP_PORT);
        all_say(&mut world, raw, ports.clone(), |port| Segment { flags: flag::SYN, ..base(port) });
        world.run_for(20 * MILLI);
        let acks = syn_acks(&mut world, raw, usize::from(AT_ONCE));
        let request = b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_vec();
        let len = u32::try_from(request.len()).expect("short");
        all_say(&mut world, raw, ports.clone(), |port| {
            let ack = acks[usize::from(port - 1)];
            Segment { seq: 1, ack, payload: request.clone(), ..base(port) }
        });
        world.run_for(20 * MILLI);
        let mut ends = vec![0; usize::from(AT_ONCE)];
        while let Some(heard) = world.overheard(raw) {
            let segment = heard.segment();
            let end = segment.seq.wrapping_add(segment.len());
            ends[usize::from(segment.destination - 1)] = end;
        }
        all_say(&mut world, raw, ports, |port| {
            let ack = ends[usize::from(port - 1)];
            Segment { seq: 1 + len, ack, flags: flag::FIN | flag::ACK, ..base(port) }
        });
        world.run_for(20 * MILLI);
    }
    assert!(world.elapsed() < 10 * SECOND, "none has lived its time");
    assert_eq!(world.count("connections_closed"), rounds * u64::from(AT_ONCE));
    assert_eq!(world.count("time_wait_open"), records);
    assert_eq!(world.count("time_wait_evicted"), rounds * u64::from(AT_ONCE) - records);
    world.run_for(11 * SECOND);
    assert_eq!(world.count("time_wait_open"), 0);
    world.end();
}

/// When every slot is in use the next client waits, and comes in as soon as somebody leaves.
#[test]
fn a_full_house_lets_the_next_one_in_when_there_is_room() {
    let mut setup = Setup::new(1);
    setup.core.connections = 4;
    let mut world = setup.build(&Arc::new(Bulk::PLAIN));
    let inside: Vec<_> = (0..4).map(|_| world.client()).collect();
    let host = world.host();
    let waiting = world.connect(host);
    world.send(waiting, GET);
    world.run_for(SECOND);
    assert_eq!(world.phase(waiting), Phase::Opening);
    assert!(world.count("drop_connections_full") > 0);
    for client in &inside {
        world.send(*client, GET);
        assert_eq!(world.response(*client).status, 200, "those inside are served");
    }
    world.reset(inside[0]);
    assert_eq!(world.response(waiting).status, 200);
    for client in inside[1..].iter().chain([&waiting]) {
        world.finish(*client);
    }
    world.end();
}

/// The transmit ring is tiny and stops now and then; the pool is nearly empty. Nothing is lost.
#[test]
fn a_starved_transmit_side_delays_and_loses_nothing() {
    sim::for_seeds(32, |seed| {
        let mut setup = Setup { stalls: true, ..Setup::new(seed) };
        (setup.nic.transmit_ring, setup.nic.transmit_pool) = (2, 3);
        let mut world = setup.build(&Arc::new(Bulk::PLAIN));
        let host = world.host();
        let clients: Vec<_> = (0..8).map(|_| world.connect(host)).collect();
        for client in &clients {
            world.send(*client, b"GET /down/30000 HTTP/1.1\r\nHost: a\r\n\r\n");
        }
        for client in &clients {
            assert_eq!(world.response(*client).body.len(), 30_000);
            world.finish(*client);
        }
        assert!(world.count("nic_tx_ring_full") + world.count("nic_tx_pool_empty") > 0);
        world.end();
    });
}

#[test]
fn draining_finishes_what_is_under_way_and_says_so() {
    let mut world = Setup::new(1).build(&Arc::new(Bulk::PLAIN));
    let [idle, busy, posting] = [(); 3].map(|()| world.client());
    world.send(busy, b"GET /down/3000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    world.send(posting, b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc");
    world.run_for(2 * MILLI);
    world.drain();
    world.expect_phase(idle, Phase::Finished);
    world.finish(idle);
    assert!(world.events().is_empty(), "two are still under way");
    assert_eq!(world.response(busy).body.len(), 3_000_000);
    world.expect_phase(busy, Phase::Finished);
    world.finish(busy);
    world.run_for(SECOND);
    world.send(posting, b"def");
    let response = world.response(posting);
    assert_eq!((response.status, response.closes()), (200, true));
    world.finish(posting);
    let drained = |world: &mut World| world.count("connections_open") == 0;
    assert!(world.run_until(10 * SECOND, drained));
    world.run_for(SECOND);
    assert_eq!(world.events(), [Event::Drained], "said once");
    world.end();
}

/// A client whose request crosses our close loses nothing: it is answered with `Connection: close`. One
/// that has long been idle is closed at once.
#[test]
fn draining_answers_requests_that_are_on_their_way() {
    let mut world = Setup::new(1).build(&Arc::new(Bulk::PLAIN));
    let [idle, active, pausing] = [(); 3].map(|()| world.client());
    for client in [idle, active, pausing] {
        world.send(client, GET);
        assert_eq!(world.response(client).status, 200);
    }
    world.run_for(3 * SECOND);
    for client in [active, pausing] {
        world.send(client, GET);
        assert_eq!(world.response(client).status, 200);
    }
    world.drain();
    let closing = (0..1_000).any(|_| {
        world.send(active, GET);
        let response = world.response(active);
        assert_eq!(response.status, 200);
        response.closes()
    });
    assert!(closing, "the worker looks for commands");
    world.expect_phase(idle, Phase::Finished);
    assert_eq!(world.phase(pausing), Phase::Open);
    world.run_for(100 * MILLI);
    world.send(pausing, GET);
    let response = world.response(pausing);
    assert_eq!((response.status, response.closes()), (200, true));
    for client in [idle, active, pausing] {
        world.expect_phase(client, Phase::Finished);
        world.finish(client);
    }
    world.run_for(NOTICED);
    assert_eq!(world.events(), [Event::Drained]);
    world.end();
}

/// Before a drain: the next answer of each connection is its last, new ones are taken, and nobody who is
/// silent is cut off.
#[test]
fn retiring_says_close_and_waits_for_the_next_request() {
    let mut world = Setup::new(1).build(&Arc::new(Bulk::PLAIN));
    let [idle, early] = [(); 2].map(|()| world.client());
    world.send(early, b"GET /down/5 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(!world.response(early).closes());
    world.retire();
    world.run_for(SECOND);
    let late = world.client();
    for client in [early, late] {
        world.send(client, b"GET /down/5 HTTP/1.1\r\nHost: a\r\n\r\n");
        let response = world.response(client);
        assert_eq!((response.status, response.closes()), (200, true));
        world.expect_phase(client, Phase::Finished);
        world.finish(client);
    }
    world.run_for(SECOND);
    assert_eq!(world.count("connections_open"), 1, "nobody has asked on the idle one");
    world.drain();
    world.expect_phase(idle, Phase::Finished);
    world.finish(idle);
    world.run_for(SECOND);
    assert_eq!(world.events(), [Event::Drained]);
    world.end();
}

/// Draining while handshakes are under way: they may complete, and are let go.
#[test]
fn draining_lets_go_of_handshakes() {
    let mut world = Setup::new(1).build(&Arc::new(Bulk::PLAIN));
    let [raw, other] = [(); 2].map(|()| world.raw());
    world.hear(raw);
    world.hear(other);
    let mut early = Dialog::new(raw, 4_000, 1);
    early.half_open(&mut world, &[]);
    Dialog::new(other, 4_001, 1).half_open(&mut world, &[]);
    world.drain();
    world.run_for(100 * MILLI);
    early.say(&mut world, flag::ACK, b"");
    assert!(early.hear(&mut world).has(flag::FIN), "an idle connection is closed");
    early.say(&mut world, flag::ACK | flag::FIN, b"");
    world.run_for(10 * SECOND);
    assert_eq!(world.count("connections_handshake_expired"), 1);
    assert_eq!(world.events(), [Event::Drained]);
    world.end();
}

/// A drain that is taken back: a SYN is reset while it lasts and served after it; a connection that was
/// draining closes all the same.
#[test]
fn resuming_takes_new_connections_and_closes_the_old() {
    let mut world = Setup::new(1).build(&Arc::new(Bulk::PLAIN));
    let host = world.host();
    let posting = world.client();
    world.send(posting, b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc");
    world.run_for(2 * MILLI);
    world.drain();
    world.run_for(NOTICED);
    let early = world.connect(host);
    world.expect_phase(early, Phase::Reset);
    world.resume();
    world.run_for(NOTICED);
    assert_eq!(world.count("drop_draining"), 1);
    assert_eq!(world.events(), [Event::Resumed], "the drain never ended");
    let late = world.connect(host);
    world.send(late, GET);
    assert_eq!(world.response(late).status, 200, "served again");
    world.send(posting, b"def");
    let response = world.response(posting);
    assert_eq!((response.status, response.closes()), (200, true), "what was draining closes");
    world.finish(posting);
    world.send(late, GET);
    assert_eq!(world.response(late).status, 200, "what came later stays open");
    world.finish(late);
    world.end();
}

/// Every drain that ends says so, however often it is taken back.
#[test]
fn a_drained_worker_resumes_each_time() {
    let mut world = Setup::new(1).build(&Arc::new(Bulk::PLAIN));
    let host = world.host();
    for _ in 0..3 {
        let client = world.connect(host);
        world.send(client, GET);
        assert_eq!(world.response(client).status, 200);
        world.drain();
        world.expect_phase(client, Phase::Finished);
        world.finish(client);
        world.run_for(NOTICED);
        assert_eq!(world.events(), [Event::Drained]);
        let early = world.connect(host);
        world.expect_phase(early, Phase::Reset);
        world.resume();
        world.run_for(NOTICED);
        assert_eq!(world.events(), [Event::Resumed]);
    }
    world.resume();
    world.run_for(NOTICED);
    assert_eq!(world.events(), [Event::Resumed], "said even where there was no drain");
    world.end();
}

#[test]
fn stopping_resets_what_is_left() {
    let mut world = Setup::new(1).build(&Arc::new(Bulk::PLAIN));
    let [idle, busy] = [(); 2].map(|()| world.client());
    world.send(busy, b"GET /down/3000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    world.run_for(2 * MILLI);
    world.stop();
    world.expect_phase(idle, Phase::Reset);
    world.expect_phase(busy, Phase::Reset);
    assert_eq!(world.count("connections_aborted"), 2);
    world.end();
}

/// Two workers behind one queue: both take their share, and both drain.
#[test]
fn two_workers_share_the_connections() {
    let mut world = Setup { workers: 2, ..Setup::new(1) }.build(&Arc::new(Bulk::PLAIN));
    let host = world.host();
    let clients: Vec<_> = (0..40).map(|_| world.connect(host)).collect();
    for client in &clients {
        world.send(*client, GET);
        assert_eq!(world.response(*client).status, 200);
    }
    let shares = world.count_each("requests");
    assert!(shares.iter().all(|share| (8..=32).contains(share)), "{shares:?}");
    assert_eq!(shares.iter().sum::<u64>(), 40);
    world.drain();
    for client in &clients {
        world.expect_phase(*client, Phase::Finished);
        world.finish(*client);
    }
    world.run_for(SECOND);
    assert_eq!(world.events(), [Event::Drained, Event::Drained]);
    world.end();
}

/// What the adapter loses below the worker reaches the counters.
#[test]
fn losses_below_the_worker_are_published() {
    let mut world = Setup::new(1).build(&Arc::new(Bulk::PLAIN));
    assert!(!world.wire().deliver(&[0; 1_519]));
    assert!(!world.wire().deliver(&[0; 9_000]));
    world.run_for(SECOND);
    assert_eq!(world.count("nic_rx_multi_segment"), 2);
    world.end();
}
