//! How connections begin: SYN, SYN-ACK, ACK, and what becomes of those that never finish.

use std::sync::Arc;

use sim::raw::{Segment, flag, option_mss, option_sack_permitted, option_window_scale};
use sim::{Bulk, Dialog, RawId, Setup, World};

const MILLI: u64 = 1_000;
const SECOND: u64 = 1_000 * MILLI;

fn world() -> (World, RawId) {
    Setup::new(1).build_with_raw()
}

const GET: &[u8] = b"GET /down/3000 HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn a_handshake_opens_a_connection() {
    let (mut world, raw) = world();
    let mut dialog = Dialog::new(raw, 4_000, 0xffff_ffff);
    let syn_ack = dialog.half_open(&mut world, &option_mss(1_000));
    assert_eq!((syn_ack.flags, syn_ack.ack), (flag::SYN | flag::ACK, 0));
    assert_eq!(syn_ack.options[..4], [2, 4, 5, 180], "MSS of 1460 for an MTU of 1500");
    assert!(syn_ack.window > 0);
    assert_eq!(world.count("connections_established"), 0);
    dialog.say(&mut world, flag::ACK, b"");
    world.run_for(MILLI);
    let counts = ["connections_opened", "connections_established"].map(|name| world.count(name));
    assert_eq!(counts, [1, 1]);
    dialog.data(&mut world, GET);
    let response = dialog.hear(&mut world);
    assert_eq!(response.payload.len(), 1_000, "segments are as large as the peer takes");
    dialog.say(&mut world, flag::RST, b"");
    world.end();
}

/// The request may ride on the ACK that completes the handshake.
#[test]
fn data_on_the_completing_ack_is_served() {
    let (mut world, raw) = world();
    let mut dialog = Dialog::new(raw, 4_000, 1);
    dialog.half_open(&mut world, &[]);
    dialog.data(&mut world, b"GET /down/3 HTTP/1.1\r\nHost: a\r\n\r\n");
    let response = loop {
        let heard = dialog.hear(&mut world);
        if !heard.payload.is_empty() {
            break heard;
        }
    };
    assert!(response.payload.starts_with(b"HTTP/1.1 200 OK\r\n"));
    dialog.say(&mut world, flag::RST, b"");
    world.end();
}

#[test]
fn options_are_taken_or_left() {
    let (mut world, raw) = world();
    let all = [option_mss(536), option_sack_permitted(), option_window_scale(7), vec![1]].concat();
    let unknown = [vec![253, 6, 1, 2, 3, 4], option_mss(536), vec![30, 4, 0, 0]].concat();
    for (port, options) in [(4_000, all), (4_001, unknown)] {
        let (mut dialog, _) = Dialog::open_with(&mut world, raw, port, &options);
        dialog.data(&mut world, GET);
        let first = dialog.hear(&mut world);
        assert_eq!(first.payload.len(), 536);
        dialog.say(&mut world, flag::RST, b"");
        world.run_for(MILLI);
        world.discard_heard(raw);
    }
    world.end();
}

/// RFC 9293 3.10.7.2: data on a SYN may wait for the connection; not acknowledged, it comes again.
#[test]
fn data_on_a_syn_is_not_lost() {
    let (mut world, raw) = world();
    let mut dialog = Dialog::new(raw, 4_000, 9);
    dialog.send(&mut world, &dialog.segment(flag::SYN, &GET[..5]));
    let syn_ack = world.hear(raw).segment();
    assert!(syn_ack.has(flag::SYN | flag::ACK));
    let taken = usize::try_from(syn_ack.ack - 10).expect("an acknowledgement of what was said");
    assert!(taken == 0 || taken == 5);
    (dialog.seq, dialog.ack) = (syn_ack.ack, syn_ack.seq.wrapping_add(1));
    dialog.data(&mut world, &GET[taken..]);
    assert!(dialog.hear(&mut world).payload.starts_with(b"HTTP/1.1 200"));
    dialog.say(&mut world, flag::RST, b"");
    world.end();
}

/// Segments of no length at all, or of one byte: no loop, no leak, and the others go on.
#[test]
fn absurd_segment_sizes_do_no_harm() {
    for size in [0, 1, 7] {
        let (mut world, raw) = world();
        let dialog = Dialog::new(raw, 4_000, 9);
        let syn = dialog.segment(flag::SYN, b"");
        dialog.send(&mut world, &Segment { options: option_mss(size), ..syn });
        if let Some(heard) = world.hear_within(raw, 100 * MILLI) {
            let syn_ack = heard.segment();
            let ack = syn_ack.seq.wrapping_add(1);
            let request = dialog.segment(flag::ACK, GET);
            dialog.send(&mut world, &Segment { seq: 10, ack, ..request });
            assert!(world.hear(raw).segment().payload.len() <= 536);
        }
        let client = world.client();
        world.send(client, GET);
        assert_eq!(world.response(client).body.len(), 3_000);
        world.finish(client);
        world.run_for(40 * SECOND);
        world.end();
    }
}

#[test]
fn initial_sequence_numbers_do_not_repeat() {
    let (mut world, raw) = world();
    let mut numbers: Vec<u32> = (0..32)
        .map(|step| {
            let mut dialog = Dialog::new(raw, 4_000 + step, 1);
            let number = dialog.half_open(&mut world, &[]).seq;
            dialog.say(&mut world, flag::RST, b"");
            world.run_for(MILLI);
            number
        })
        .collect();
    let steps: Vec<u32> = numbers.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    assert!(steps.windows(2).any(|pair| pair[0] != pair[1]), "a constant step: {}", steps[0]);
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 32);
    world.end();
}

/// Two appliances with different secrets say different numbers to the same peer.
#[test]
fn initial_sequence_numbers_depend_on_the_secret() {
    let number = |seed| {
        let (mut world, raw) = Setup { origin: 5_000_000, ..Setup::new(seed) }.build_with_raw();
        Dialog::new(raw, 4_000, 1).half_open(&mut world, &[]).seq
    };
    assert_ne!(number(1), number(2));
}

#[test]
fn a_lost_syn_ack_is_sent_again() {
    let (mut world, raw) = world();
    let mut dialog = Dialog::new(raw, 4_000, 9);
    let first = dialog.half_open(&mut world, &[]);
    let started = world.elapsed();
    let again = dialog.hear(&mut world);
    let waited = (world.elapsed() - started) / MILLI;
    assert_eq!((again.seq, again.ack, again.flags), (first.seq, first.ack, first.flags));
    assert!((150..=400).contains(&waited), "retransmitted after {waited} ms");
    assert!(world.count("retransmits") >= 1);
    dialog.say(&mut world, flag::RST, b"");
    world.end();
}

/// A client whose SYN-ACK was lost sends its SYN again; our own timer brings the same SYN-ACK.
#[test]
fn a_repeated_syn_is_answered_in_time() {
    let (mut world, raw) = world();
    let mut dialog = Dialog::new(raw, 4_000, 9);
    let syn = dialog.segment(flag::SYN, b"");
    let started = world.elapsed();
    let first = dialog.half_open(&mut world, &[]);
    dialog.send(&mut world, &syn);
    let again = world.hear(raw).segment();
    assert!(world.elapsed() - started < 250 * MILLI);
    assert_eq!((again.seq, again.ack, again.flags), (first.seq, first.ack, first.flags));
    assert_eq!(world.count("drop_syn_on_connection"), 1);
    dialog.say(&mut world, flag::RST, b"");
    world.end();
}

/// A SYN with another number on a half-open tuple: its sender has forgotten the first one, and ends it
/// when it is challenged.
#[test]
fn another_syn_on_a_half_open_tuple_is_challenged() {
    let (mut world, raw) = world();
    let mut old = Dialog::new(raw, 4_000, 9);
    old.half_open(&mut world, &[]);
    let mut new = Dialog::new(raw, 4_000, 0x7000_0000);
    new.send(&mut world, &new.segment(flag::SYN, b""));
    let challenge = world.hear(raw).segment();
    assert_eq!((challenge.flags & !flag::SYN, challenge.ack), (flag::ACK, old.seq));
    new.send(&mut world, &Segment { seq: challenge.ack, ..new.segment(flag::RST, b"") });
    world.run_for(MILLI);
    new.half_open(&mut world, &[]);
    new.say(&mut world, flag::RST, b"");
    world.end();
}

/// A SYN that was sent twice opens one connection.
#[test]
fn a_repeated_syn_is_the_same_connection() {
    let (mut world, raw) = world();
    let dialog = Dialog::new(raw, 4_000, 9);
    let syn = dialog.segment(flag::SYN, b"");
    for _ in 0..3 {
        dialog.send(&mut world, &syn);
    }
    let first = world.hear(raw).segment();
    assert!(first.has(flag::SYN | flag::ACK));
    world.run_for(MILLI);
    while let Some(heard) = world.overheard(raw) {
        assert_eq!(heard.segment().ack, 10, "nothing new is said");
    }
    assert_eq!(world.count("connections_opened"), 1);
    dialog.send(&mut world, &Segment { seq: 10, ..dialog.segment(flag::RST, b"") });
    world.end();
}

#[test]
fn a_handshake_that_does_not_complete_expires() {
    let (mut world, raw) = world();
    let began = world.elapsed();
    Dialog::new(raw, 4_000, 9).half_open(&mut world, &[]);
    let expired = |world: &mut World| world.count("connections_handshake_expired") == 1;
    assert!(world.run_until(20 * SECOND, expired));
    let took = (world.elapsed() - began) / MILLI;
    assert!((4_900..=5_500).contains(&took), "expired after {took} ms");
    world.run_for(100 * MILLI);
    assert_eq!(world.count("connections_open"), 0);
    assert_eq!(world.count("connections_half_open"), 0);
    world.end();
}

/// RFC 9293 3.10.7.4: in SYN-RECEIVED an unacceptable acknowledgement is reset.
#[test]
fn a_wrong_acknowledgement_does_not_complete_a_handshake() {
    for off in [u32::MAX, 1, 0x4000_0000] {
        let (mut world, raw) = world();
        let mut dialog = Dialog::new(raw, 4_000, 9);
        let syn_ack = dialog.half_open(&mut world, &[]);
        let ack = dialog.segment(flag::ACK, b"");
        dialog.send(&mut world, &Segment { ack: ack.ack.wrapping_add(off), ..ack });
        let reset = world.hear(raw).segment();
        assert_eq!((reset.flags, reset.seq), (flag::RST, dialog.ack.wrapping_add(off)));
        assert_eq!(world.count("connections_established"), 0);
        // The right one still does.
        dialog.say(&mut world, flag::ACK, b"");
        world.run_for(MILLI);
        assert_eq!(world.count("connections_established"), 1, "after {off:#x}, {syn_ack:?}");
        dialog.say(&mut world, flag::RST, b"");
        world.end();
    }
}

#[test]
fn a_reset_ends_a_half_open_connection_at_once() {
    let (mut world, raw) = world();
    let mut dialog = Dialog::new(raw, 4_000, 9);
    dialog.half_open(&mut world, &[]);
    dialog.say(&mut world, flag::RST, b"");
    world.expect_silence(raw, SECOND);
    assert_eq!(world.count("connections_reset_by_peer"), 1);
    assert_eq!(world.count("connections_half_open"), 0);
    world.end();
}

/// Both arrive in one turn, as from a client that connects and leaves: it was connected all the same.
#[test]
fn a_reset_right_after_the_handshake_leaves_it_counted() {
    let (mut world, raw) = world();
    let mut dialog = Dialog::new(raw, 4_000, 9);
    dialog.half_open(&mut world, &[]);
    dialog.say(&mut world, flag::ACK, b"");
    dialog.say(&mut world, flag::RST, b"");
    world.expect_silence(raw, SECOND);
    let counters = ["connections_opened", "connections_established", "connections_reset_by_peer"];
    assert_eq!(counters.map(|name| world.count(name)), [1; 3]);
    world.end();
}

/// A flood of SYNs takes the half-open share and no more; who is connected stays so, and when the
/// flood is over others come in.
#[test]
fn a_flood_of_syns_leaves_room_for_those_who_are_in() {
    let mut setup = Setup::new(1);
    (setup.core.connections, setup.core.half_open_max) = (32, 8);
    (setup.nic.receive_ring, setup.nic.receive_pool) = (2_048, 2_048);
    let (mut world, raw) = setup.build_with_raw();
    let client = world.client();
    let flooder = world.raw();
    for port in 1..=1_000 {
        let dialog = Dialog::new(flooder, port, 9);
        dialog.send(&mut world, &dialog.segment(flag::SYN, b""));
    }
    world.run_for(100 * MILLI);
    assert_eq!(world.count("connections_half_open"), 8);
    assert_eq!(world.count("drop_half_open_full"), 992);
    world.send(client, GET);
    assert_eq!(world.response(client).body.len(), 3_000);
    world.run_for(6 * SECOND);
    assert_eq!(world.count("connections_half_open"), 0);
    let mut late = Dialog::open(&mut world, raw, 4_000);
    late.say(&mut world, flag::RST, b"");
    world.finish(client);
    world.end();
}

/// Every fault may hit a handshake; in the end each connection is open, once.
#[test]
fn handshakes_survive_a_bad_network() {
    sim::for_seeds(64, |seed| {
        let mut world = Setup::any(seed).build(&Arc::new(Bulk::PLAIN));
        let host = world.host();
        let conns: Vec<_> = (0..16).map(|_| world.connect(host)).collect();
        for conn in &conns {
            world.expect_phase(*conn, sim::Phase::Open);
        }
        for conn in &conns {
            world.finish(*conn);
            world.expect_phase(*conn, sim::Phase::Finished);
        }
        world.end();
    });
}
