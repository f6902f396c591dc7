//! How long things may take: each deadline passes on time, and says so as it should.

use std::sync::Arc;

use sim::raw::flag;
use sim::{Bulk, ConnId, Dialog, Phase, RawId, Reading, Setup, World, download};

const MILLI: u64 = 1_000;
const SECOND: u64 = 1_000 * MILLI;

const GET: &[u8] = b"GET /down/3 HTTP/1.1\r\nHost: a\r\n\r\n";

/// Deadlines that no two have in common, in milliseconds.
fn setup() -> Setup {
    let mut setup = Setup::new(1);
    let deadlines = &mut setup.core.deadlines;
    (deadlines.head_ms, deadlines.idle_ms) = (3_000, 7_000);
    (deadlines.body_grace_ms, deadlines.body_rate) = (4_000, 1_000);
    (deadlines.stall_ms, deadlines.stall_rate, deadlines.close_ms) = (5_000, 100, 2_000);
    setup
}

fn world() -> (World, RawId) {
    setup().build_with_raw()
}

/// Waits until `counter` is one, and checks that this took `millis` milliseconds, 100 more at most.
#[track_caller]
fn assert_passes(world: &mut World, since: u64, counter: &str, millis: u64) {
    let passed = |world: &mut World| world.count(counter) == 1;
    assert!(world.run_until(60 * SECOND, passed), "{counter} never grew");
    let took = (world.elapsed() - since) / MILLI;
    assert!((millis..=millis + 100).contains(&took), "{counter} grew after {took} ms");
}

/// The appliance has said 408 and closes; the client closes too.
#[track_caller]
fn assert_timed_out(world: &mut World, client: ConnId) {
    let response = world.response(client);
    assert_eq!((response.status, response.closes()), (408, true));
    world.expect_phase(client, Phase::Finished);
    world.finish(client);
}

#[test]
fn a_head_that_comes_too_slowly() {
    let (mut world, _) = world();
    let client = world.client();
    world.run_for(2 * SECOND);
    let began = world.elapsed();
    // A trickle does not buy time: the head as a whole has its deadline.
    for piece in ["GET /", "down", "/3 HT", "TP/1.1\r\n", "Host"] {
        world.send(client, piece);
        world.run_for(500 * MILLI);
    }
    assert_passes(&mut world, began, "deadline_head", 3_000);
    assert_timed_out(&mut world, client);
    world.end();
}

/// The time of a head is counted from its own first byte, not from the request before.
#[test]
fn each_head_has_its_own_time() {
    let (mut world, _) = world();
    let client = world.client();
    for _ in 0..3 {
        world.send(client, &GET[..20]);
        world.run_for(2_500 * MILLI);
        world.send(client, &GET[20..]);
        assert_eq!(world.response(client).status, 200);
        world.run_for(2_500 * MILLI);
    }
    assert_eq!(world.count("deadline_head"), 0);
    // A whole request and the beginning of the next in one go.
    world.send(client, [GET, &GET[..9]].concat());
    let began = world.elapsed();
    assert_eq!(world.response(client).status, 200);
    assert_passes(&mut world, began, "deadline_head", 3_000);
    assert_timed_out(&mut world, client);
    world.end();
}

#[test]
fn a_body_that_does_not_come() {
    let (mut world, _) = world();
    let client = world.client();
    let began = world.elapsed();
    world.send(client, "POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nabc");
    assert_passes(&mut world, began, "deadline_body", 4_000);
    assert_timed_out(&mut world, client);
    world.end();
}

/// After the grace the rate counts: 1,000 bytes a second are enough, 800 are not.
#[test]
fn a_body_that_comes_too_slowly() {
    for (step, enough) in [(100, true), (80, false)] {
        let (mut world, _) = world();
        let client = world.client();
        world.send(client, "POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 10000\r\n\r\n");
        // A lead of one step: the bytes of a second are there before it ends.
        world.send(client, vec![b'x'; step]);
        let mut sent = step;
        while sent < 10_000 && world.phase(client) == Phase::Open {
            world.run_for(95 * MILLI);
            world.send(client, vec![b'x'; step.min(10_000 - sent)]);
            sent += step;
        }
        if enough {
            assert_eq!(world.response(client).status, 200);
            assert_eq!(world.count("deadline_body"), 0);
        } else {
            assert_timed_out(&mut world, client);
            assert_eq!(world.count("deadline_body"), 1);
        }
        world.finish(client);
        world.end();
    }
}

/// A body that comes at once but for its last byte has bought two windows more, not an hour of silence.
#[test]
fn a_body_that_comes_at_once_and_then_not_at_all() {
    let (mut world, _) = world();
    let client = world.client();
    let began = world.elapsed();
    world.send(client, "POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 3600001\r\n\r\n");
    world.send(client, vec![b'x'; 3_600_000]);
    let passed = |world: &mut World| world.count("deadline_body") == 1;
    assert!(world.run_until(60 * SECOND, passed), "an hour was bought");
    let took = (world.elapsed() - began) / MILLI;
    assert!((8_000..=12_200).contains(&took), "ended after {took} ms");
    assert_timed_out(&mut world, client);
    world.end();
}

/// A client that was faster than it must be may pause for a window: a tunnel on the way of a train.
#[test]
fn a_body_that_pauses_goes_on() {
    let (mut world, _) = world();
    let client = world.client();
    world.send(client, "POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 48000\r\n\r\n");
    for _ in 0..4 {
        world.send(client, [b'x'; 12_000]);
        world.run_for(6 * SECOND);
    }
    assert_eq!(world.response(client).status, 200);
    assert_eq!(world.count("deadline_body"), 0);
    world.finish(client);
    world.end();
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    for requests in [0, 1, 3] {
        let (mut world, _) = world();
        let client = world.client();
        for _ in 0..requests {
            world.run_for(SECOND);
            world.send(client, GET);
            assert_eq!(world.response(client).status, 200);
        }
        let since = world.elapsed();
        assert_passes(&mut world, since, "deadline_idle", 7_000 - 1);
        world.expect_phase(client, Phase::Finished);
        assert!(world.received(client).is_empty(), "no 408 for a request that nobody made");
        world.finish(client);
        world.end();
    }
}

/// A client that stops reading: its window closes and nothing of the reply moves.
#[test]
fn a_reply_that_nobody_takes() {
    let (mut world, _) = world();
    let client = world.client();
    world.set_reading(client, Reading::Stopped);
    world.send(client, b"GET /down/1000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    world.run_for(SECOND);
    let mut since = world.elapsed();
    let mut moved = world.count("tx_frames");
    while world.count("deadline_stall") == 0 {
        world.run_for(MILLI);
        if world.count("response_bytes") != moved {
            (moved, since) = (world.count("response_bytes"), world.elapsed());
        }
        assert!(world.elapsed() < 60 * SECOND, "the reply stalls for ever");
    }
    let took = (world.elapsed() - since) / MILLI;
    assert!((3_900..=5_100).contains(&took), "reset {took} ms after the last byte moved");
    world.set_reading(client, Reading::Eager);
    world.expect_phase(client, Phase::Reset);
    assert_eq!(world.count("connections_aborted"), 1);
    world.end();
}

/// Slow is not stalled: as long as something moves, the reply goes on.
#[test]
fn a_reply_that_is_taken_slowly_arrives() {
    let (mut world, _) = world();
    let host = world.host_with(4_096, 4_096);
    let client = world.connect(host);
    world.set_reading(client, Reading::Slow { bytes: 4_096, micros: 4 * SECOND });
    world.send(client, b"GET /down/60000 HTTP/1.1\r\nHost: a\r\n\r\n");
    let whole = |world: &mut World| world.received(client).len() >= 60_000;
    assert!(world.run_until(120 * SECOND, whole), "it stops at {}", world.received(client).len());
    assert_eq!(world.response(client).body.len(), 60_000);
    assert_eq!(world.count("deadline_stall"), 0);
    world.set_reading(client, Reading::Eager);
    world.finish(client);
    world.end();
}

/// A byte now and then is progress, but too little: the floor on the rate ends it.
#[test]
fn a_reply_that_is_taken_byte_by_byte() {
    let (mut world, raw) = world();
    let mut dialog = Dialog::open(&mut world, raw, 4_000);
    dialog.data(&mut world, b"GET /down/100000 HTTP/1.1\r\nHost: a\r\n\r\n");
    let since = world.elapsed();
    while world.count("deadline_slow") == 0 {
        world.run_for(SECOND);
        dialog.ack = dialog.ack.wrapping_add(1);
        dialog.say(&mut world, flag::ACK, b"");
        world.discard_heard(raw);
        assert!(world.elapsed() < since + 60 * SECOND, "a slot is held for days");
    }
    let took = (world.elapsed() - since) / MILLI;
    assert!((5_000..=6_100).contains(&took), "reset after {took} ms");
    assert_eq!((world.count("deadline_stall"), world.count("connections_aborted")), (0, 1));
    world.end();
}

/// The same of the last bytes, when we have closed already.
#[test]
fn a_last_reply_that_is_taken_byte_by_byte() {
    let (mut world, raw) = world();
    let mut dialog = Dialog::open(&mut world, raw, 4_000);
    dialog.data(&mut world, b"GET /down/9000 HTTP/1.0\r\n\r\n");
    let since = world.elapsed();
    while world.count("connections_aborted") == 0 {
        world.run_for(SECOND);
        dialog.ack = dialog.ack.wrapping_add(1);
        dialog.say(&mut world, flag::ACK, b"");
        world.discard_heard(raw);
        assert!(world.elapsed() < since + 60 * SECOND, "a slot is held for days");
    }
    assert_eq!((world.count("deadline_close"), world.count("deadline_slow")), (0, 1));
    world.end();
}

/// RFC 9112 9.6: a client that pauses longer than it has to close gets all of a last response, then FIN.
#[test]
fn a_closing_reply_waits_for_a_reader_that_pauses() {
    const LEN: usize = 200_000;
    let mut world = Setup::new(1).build(&Arc::new(Bulk::PLAIN));
    let host = world.host_with(2_048, 4_096);
    let client = world.connect(host);
    world.send(client, format!("GET /down/{LEN} HTTP/1.0\r\n\r\n"));
    let nearly = |world: &mut World| world.received(client).len() >= LEN - 12_000;
    assert!(world.run_until(60 * SECOND, nearly), "it stops at {}", world.received(client).len());
    world.set_reading(client, Reading::Stopped);
    world.run_for(12 * SECOND);
    assert!(world.received(client).len() < LEN - 8_000, "nothing is left to be read");
    world.set_reading(client, Reading::Eager);
    assert_eq!(world.response(client).body, download(LEN as u64));
    world.expect_phase(client, Phase::Finished);
    world.finish(client);
    world.run_for(SECOND);
    assert_eq!((world.count("connections_closed"), world.count("connections_aborted")), (1, 0));
    world.end();
}

/// A last response of which nothing is taken any more: it has stalled, as any other.
#[test]
fn a_closing_reply_that_nobody_takes() {
    let (mut world, raw) = world();
    let mut dialog = Dialog::open(&mut world, raw, 4_000);
    dialog.data(&mut world, b"GET /down/9000 HTTP/1.0\r\n\r\n");
    let since = world.elapsed();
    assert_passes(&mut world, since, "deadline_stall", 5_000);
    assert_eq!(world.count("deadline_close"), 0);
    world.end();
}

/// A peer that vanishes in the middle of a reply: retransmissions go on, then the stall ends it.
#[test]
fn a_peer_that_vanishes() {
    let (mut world, raw) = world();
    let mut dialog = Dialog::open(&mut world, raw, 4_000);
    dialog.data(&mut world, b"GET /down/100000 HTTP/1.1\r\nHost: a\r\n\r\n");
    let since = world.elapsed();
    assert_passes(&mut world, since, "deadline_stall", 5_000);
    world.run_for(MILLI);
    let mut last = None;
    while let Some(heard) = world.overheard(raw) {
        last = Some(heard.segment());
    }
    assert!(last.is_some_and(|segment| segment.has(flag::RST)), "the last word is a reset");
    assert!(world.count("retransmits") >= 3);
    assert_eq!(world.count("connections_aborted"), 1);
    world.end();
}

/// A peer that says old acknowledgements over and over takes nothing of the reply: that is no progress.
#[test]
fn old_acknowledgements_are_no_progress() {
    let (mut world, raw) = world();
    let mut dialog = Dialog::open(&mut world, raw, 4_000);
    let old = dialog.ack;
    dialog.data(&mut world, b"GET /down/100000 HTTP/1.1\r\nHost: a\r\n\r\n");
    dialog.hear(&mut world);
    dialog.say(&mut world, flag::ACK, b"");
    let (newer, since) = (dialog.ack, world.elapsed());
    while world.count("deadline_stall") == 0 {
        for ack in [old, newer, old.wrapping_sub(9)] {
            dialog.ack = ack;
            dialog.say(&mut world, flag::ACK, b"");
            world.run_for(30 * MILLI);
        }
        assert!(world.elapsed() < since + 20 * SECOND, "it stays open for as long as that is said");
    }
    let took = (world.elapsed() - since) / MILLI;
    assert!((4_900..=5_300).contains(&took), "reset after {took} ms");
    world.end();
}

/// The appliance has closed; the peer acknowledges that but never closes its own direction.
#[test]
fn a_close_that_does_not_complete() {
    let (mut world, raw) = world();
    let mut dialog = Dialog::open(&mut world, raw, 4_000);
    dialog.data(&mut world, b"GET /down/3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    while !dialog.hear(&mut world).has(flag::FIN) {}
    let since = world.elapsed();
    dialog.say(&mut world, flag::ACK, b"");
    assert_passes(&mut world, since - 10 * MILLI, "deadline_close", 2_000);
    assert!(dialog.hear(&mut world).has(flag::RST));
    assert_eq!(world.count("connections_aborted"), 1);
    world.end();
}

/// Bytes that come after we have closed do not keep the connection: the deadline is the deadline.
#[test]
fn a_close_that_is_talked_over() {
    let (mut world, raw) = world();
    let mut dialog = Dialog::open(&mut world, raw, 4_000);
    dialog.data(&mut world, b"BAD\r\n\r\n");
    while !dialog.hear(&mut world).has(flag::FIN) {}
    let since = world.elapsed();
    let mut said = 0;
    while world.count("deadline_close") == 0 {
        dialog.data(&mut world, &[b'x'; 1_000]);
        said += 1_000;
        world.run_for(50 * MILLI);
        assert!(world.elapsed() < since + 10 * SECOND, "it never ends");
    }
    let took = (world.elapsed() - since) / MILLI;
    assert!((1_900..=2_200).contains(&took), "ended after {took} ms");
    assert!(said > 30_000, "more than a window was taken in and thrown away");
    dialog.say(&mut world, flag::RST, b"");
    world.end();
}

/// The answer to a request that times out is itself subject to a deadline.
#[test]
fn a_peer_that_vanishes_in_the_middle_of_a_head() {
    let (mut world, raw) = world();
    let mut dialog = Dialog::open(&mut world, raw, 4_000);
    dialog.data(&mut world, &GET[..9]);
    let gone = |world: &mut World| world.open_connections() == 0;
    assert!(world.run_until(30 * SECOND, gone), "it is never let go");
    assert_eq!((world.count("deadline_head"), world.count("connections_aborted")), (1, 1));
    world.end();
}

/// Many deadlines at once, on connections opened a little apart, each on its own time.
#[test]
fn every_connection_has_its_own_clock() {
    let (mut world, raw) = world();
    let mut opened = Vec::new();
    for port in 4_000..4_050 {
        Dialog::open(&mut world, raw, port);
        opened.push(world.elapsed());
        world.run_for(37 * MILLI);
    }
    let mut closed = Vec::new();
    while closed.len() < opened.len() {
        let heard = world.hear(raw).segment();
        if heard.has(flag::FIN) && usize::from(heard.destination) == 4_000 + closed.len() {
            closed.push(world.elapsed());
        }
    }
    for (number, (from, to)) in opened.iter().zip(&closed).enumerate() {
        let took = (to - from) / MILLI;
        assert!((6_990..=7_100).contains(&took), "connection {number} closed after {took} ms");
    }
    assert_eq!(world.count("deadline_idle"), 50);
    world.end();
}

/// A machine that has been up for a year keeps time as well as one that has just started, and so does
/// one that was paused for a day.
#[test]
fn long_uptimes_and_pauses_are_survived() {
    const YEAR: u64 = 365 * 24 * 3_600 * SECOND;
    for origin in [0, 1, YEAR, 100 * YEAR] {
        let mut world = Setup { origin, ..setup() }.build(&Arc::new(Bulk::PLAIN));
        let [idle, busy] = [(); 2].map(|()| world.client());
        world.send(busy, b"GET /down/3000000 HTTP/1.1\r\nHost: a\r\n\r\n");
        world.run_for(5 * MILLI);
        world.pause(24 * 3_600 * SECOND);
        world.run_for(100 * MILLI);
        assert_eq!(world.count("deadline_idle"), 1, "{origin}");
        world.expect_phase(idle, Phase::Finished);
        world.finish(idle);
        world.reset(busy);
        let late = world.client();
        let since = world.elapsed();
        assert!(world.run_until(20 * SECOND, |world| world.count("deadline_idle") == 2));
        let took = (world.elapsed() - since) / MILLI;
        assert!((6_990..=7_100).contains(&took), "closed after {took} ms, up since {origin}");
        world.finish(late);
        world.end();
    }
}
