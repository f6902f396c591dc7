//! TCP between the ends of a connection: retransmission, acknowledgement, windows. What is lost in a flow of segments is in
//! `losses.rs`.

use std::sync::Arc;

use sim::raw::{Segment, flag};
use sim::{Bulk, Dialog, Faults, RawId, Reading, Setup, World, download};

const MILLI: u64 = 1_000;
const SECOND: u64 = 1_000 * MILLI;

const GET: &[u8] = b"GET /down/3 HTTP/1.1\r\nHost: a\r\n\r\n";

fn world() -> (World, RawId) {
    Setup::new(1).build_with_raw()
}

/// smoltcp's smallest timeout is a second of its own time; its clock runs five times as fast as the
/// world's, so that a lost segment costs what it costs on Linux.
#[test]
fn an_answer_that_is_not_acknowledged_is_sent_again_after_200_ms_then_twice_that() {
    let (mut world, raw) = world();
    let mut dialog = Dialog::open(&mut world, raw, 4_000);
    dialog.data(&mut world, GET);
    let first = world.hear(raw).segment();
    let mut last = world.elapsed();
    let mut waits = Vec::new();
    for _ in 0..4 {
        let again = world.hear(raw).segment();
        assert_eq!((again.seq, &again.payload), (first.seq, &first.payload));
        waits.push((world.elapsed() - last) / MILLI);
        last = world.elapsed();
    }
    assert!((190..=320).contains(&waits[0]), "first after {} ms", waits[0]);
    for pair in waits.windows(2) {
        let ratio = pair[1] as f64 / pair[0] as f64;
        assert!((1.8..=2.2).contains(&ratio), "RFC 6298 5.5 doubles the timeout: {waits:?} ms");
    }
    assert_eq!(world.count("retransmits"), 4);
    dialog.say(&mut world, flag::RST, b"");
    world.end();
}

/// RFC 9293 3.8.6.3: one segment's acknowledgement may wait, but not half a second; data that goes
/// out meanwhile carries it. It waits where a whole request waits for control: `acknowledgements.rs`.
#[test]
fn acknowledgements_are_delayed_but_not_for_long() {
    let (mut world, raw) = world();
    let mut dialog = Dialog::open(&mut world, raw, 4_000);
    dialog.data(&mut world, b"GET /offload/1 HTTP/1.1\r\nHost: a\r\n\r\n");
    let started = world.elapsed();
    let ack = dialog.hear(&mut world);
    let waited = (world.elapsed() - started) / MILLI;
    assert_eq!((ack.flags, ack.ack, ack.payload.len()), (flag::ACK, dialog.seq, 0));
    assert!((20..=60).contains(&waited), "acknowledged after {waited} ms");
    dialog.say(&mut world, flag::RST, b"");
    let mut dialog = Dialog::open(&mut world, raw, 4_001);
    dialog.data(&mut world, GET);
    let response = dialog.hear(&mut world);
    assert!(!response.payload.is_empty() && response.ack == dialog.seq, "the response carries it");
    dialog.say(&mut world, flag::RST, b"");
    world.end();
}

/// RFC 9293 3.8.6.3: with full-sized segments at least every second one is acknowledged at once.
#[test]
fn every_second_full_segment_is_acknowledged_at_once() {
    let (mut world, raw) = world();
    let mut dialog = Dialog::open(&mut world, raw, 4_000);
    dialog.data(&mut world, b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 90000\r\n\r\n");
    world.run_for(100 * MILLI);
    world.discard_heard(raw);
    let started = world.elapsed();
    dialog.data(&mut world, &[b'x'; 1_460]);
    dialog.data(&mut world, &[b'x'; 1_460]);
    while dialog.hear(&mut world).ack != dialog.seq {}
    let waited = world.elapsed() - started;
    assert!(waited < 5 * MILLI, "acknowledged after {waited} microseconds");
    dialog.say(&mut world, flag::RST, b"");
    world.end();
}

/// Segments arrive in any order, twice, and overlapping: the bytes are those of the stream.
#[test]
fn bytes_are_put_in_order_whatever_the_order_of_segments() {
    let (mut world, raw) = world();
    let dialog = Dialog::open(&mut world, raw, 4_000);
    let body = download(2_000);
    let head = format!("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
    let stream = [head.as_bytes(), &body].concat();
    for (from, to) in
        [(1_500, 2_000), (500, 1_100), (900, 1_600), (500, 700), (0, 600), (1_900, stream.len())]
    {
        let segment = dialog.segment(flag::ACK, &stream[from..to]);
        let ahead = u32::try_from(from).expect("short");
        dialog.send(&mut world, &Segment { seq: segment.seq.wrapping_add(ahead), ..segment });
        world.run_for(MILLI);
    }
    let response = loop {
        let heard = world.hear(raw).segment();
        if !heard.payload.is_empty() {
            break heard;
        }
    };
    let digest = sim::Digest::of(&body).content();
    assert!(response.payload.ends_with(digest.as_bytes()), "{:?}", response.payload.escape_ascii());
    let end = dialog.seq.wrapping_add(u32::try_from(stream.len()).expect("short"));
    assert_eq!(response.ack, end);
    dialog.send(&mut world, &Segment { seq: end, ..dialog.segment(flag::RST, b"") });
    world.end();
}

/// Sequence numbers wrap round in the middle of a request and of its body.
#[test]
fn sequence_numbers_wrap_round() {
    let body = download(4_000);
    let head = format!("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
    let stream = [head.as_bytes(), &body].concat();
    for before in [1, 10, 100, 1_000, 3_000] {
        let (mut world, raw) = world();
        let mut dialog = Dialog::new(raw, 4_000, 0u32.wrapping_sub(before));
        dialog.half_open(&mut world, &[]);
        dialog.say(&mut world, flag::ACK, b"");
        for piece in stream.chunks(700) {
            dialog.data(&mut world, piece);
        }
        let response = loop {
            let heard = dialog.hear(&mut world);
            if !heard.payload.is_empty() {
                break heard;
            }
        };
        let digest = sim::Digest::of(&body).content();
        assert!(response.payload.ends_with(digest.as_bytes()), "wrapped after {before} bytes");
        dialog.say(&mut world, flag::ACK | flag::FIN, b"");
        while !dialog.hear(&mut world).has(flag::FIN) {}
        dialog.say(&mut world, flag::ACK, b"");
        assert!(world.drops().is_empty());
        world.end();
    }
}

/// Data beyond the window is clipped, not taken: the window is a promise about memory.
#[test]
fn data_beyond_the_window_is_not_taken() {
    let (mut world, raw) = world();
    let (mut dialog, syn_ack) = Dialog::open_with(&mut world, raw, 4_000, &[]);
    let window = u32::from(syn_ack.window);
    let beyond = dialog.segment(flag::ACK, &[b'x'; 1_000]);
    dialog.send(&mut world, &Segment { seq: beyond.seq.wrapping_add(window), ..beyond });
    world.run_for(100 * MILLI);
    while let Some(heard) = world.overheard(raw) {
        assert_eq!(heard.segment().ack, dialog.seq, "nothing of it is acknowledged");
    }
    dialog.data(&mut world, GET);
    assert!(dialog.hear(&mut world).payload.starts_with(b"HTTP/1.1 200"));
    dialog.say(&mut world, flag::RST, b"");
    world.end();
}

/// A reader that stops closes its window; the appliance stops, probes, and goes on when it opens.
#[test]
fn a_closed_window_is_probed_and_the_reply_goes_on() {
    let (mut world, raw) = world();
    let mut dialog = Dialog::open(&mut world, raw, 4_000);
    dialog.window = 4_000;
    dialog.data(&mut world, b"GET /down/12000 HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut stream = Vec::new();
    while dialog.window > 0 {
        let payload = dialog.hear(&mut world).payload;
        let taken = u16::try_from(payload.len()).expect("a segment is short");
        dialog.window = dialog.window.checked_sub(taken).expect("no more than the window takes");
        stream.extend_from_slice(&payload);
        dialog.say(&mut world, flag::ACK, b"");
    }
    // RFC 9293 3.8.6.1: probes carry a byte beyond the window, and back off.
    let mut probes = 0;
    let closed = world.elapsed();
    while world.elapsed() < closed + 5 * SECOND {
        let Some(heard) = world.hear_within(raw, SECOND) else { continue };
        let probe = heard.segment();
        assert!(probe.payload.len() <= 1, "{} bytes into a closed window", probe.payload.len());
        probes += 1;
        dialog.say(&mut world, flag::ACK, b"");
    }
    assert!((2..=30).contains(&probes), "{probes} probes in 5 s");
    dialog.window = u16::MAX;
    dialog.say(&mut world, flag::ACK, b"");
    while !stream.ends_with(&download(12_000)[11_000..]) {
        let expected = dialog.ack;
        let heard = dialog.hear(&mut world);
        if heard.seq == expected {
            stream.extend_from_slice(&heard.payload);
        }
        dialog.say(&mut world, flag::ACK, b"");
    }
    assert!(stream.ends_with(&download(12_000)));
    dialog.say(&mut world, flag::RST, b"");
    world.end();
}

/// A sender that never waits for a reply, and a reader that stops: input waits with TCP, in order.
#[test]
fn pipelined_requests_wait_while_nobody_reads() {
    let (mut world, _) = world();
    let client = world.client();
    world.set_reading(client, Reading::Stopped);
    let requests: String =
        (0..2_000).map(|n| format!("GET /down/{} HTTP/1.1\r\nHost: a\r\n\r\n", n % 700)).collect();
    world.send(client, &requests);
    world.run_for(2 * SECOND);
    assert!(world.acknowledged(client) < requests.len(), "backpressure reaches the sender");
    world.set_reading(client, Reading::Eager);
    for n in 0..2_000 {
        assert_eq!(world.response(client).body, download(n % 700), "response {n}");
    }
    world.finish(client);
    world.end();
}

/// A client that reads a few bytes at a time makes small windows; no byte is lost or repeated.
#[test]
fn a_slow_reader_gets_every_byte() {
    let (mut world, _) = world();
    for (bytes, micros) in [(1, 500), (700, 5 * MILLI), (2_000, 100 * MILLI)] {
        let host = world.host_with(2_048, 2_048);
        let client = world.connect(host);
        world.set_reading(client, Reading::Slow { bytes, micros });
        world.send(client, b"GET /down/20000 HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(world.response(client).body, download(20_000));
        world.finish(client);
    }
    world.end();
}

/// The service reads as fast as it comes, but the receive buffer is all there is: an upload many times
/// as large passes through it.
#[test]
fn an_upload_is_larger_than_any_buffer() {
    let mut setup = Setup::new(1);
    setup.core.limits.head_len_max = 2_048;
    setup.core.limits.line_len_max = 1_024;
    (setup.core.receive_buffer, setup.core.transmit_buffer) = (2_048, 1_024);
    let mut world = setup.build(&Arc::new(Bulk::PLAIN));
    let client = world.client();
    let body = download(500_000);
    let head = format!("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
    world.send(client, head);
    world.send(client, &body);
    assert_eq!(world.response(client).body, sim::Digest::of(&body).content().as_bytes());
    world.send(client, b"GET /down/300000 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(world.response(client).body, download(300_000));
    world.finish(client);
    world.end();
}

/// Half of all frames lost, both ways: it takes long, but it arrives.
#[test]
fn a_terrible_link_delivers_in_the_end() {
    sim::for_seeds(16, |seed| {
        let terrible = Faults { loss: 300_000, corrupt: 100_000, ..Faults::none() };
        let mut setup = Setup::new(seed);
        setup.core.deadlines.stall_ms = 600_000;
        (setup.toward, setup.away) = (terrible.clone(), terrible);
        let mut world = setup.build(&Arc::new(Bulk::PLAIN));
        let client = world.client();
        world.send(client, b"GET /down/20000 HTTP/1.1\r\nHost: a\r\n\r\n");
        let whole = |world: &mut World| world.received(client).len() > 20_000;
        if !world.run_until(1_200 * SECOND, whole) {
            world.fail("it does not arrive");
        }
        assert_eq!(world.response(client).body, download(20_000));
        world.network().set_faults(Faults::none(), Faults::none());
        world.finish(client);
        world.end();
    });
}
