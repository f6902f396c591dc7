//! Half-open connections: the SYN cache and SYN cookies (RFC 4987). No SYN takes a slot; a valid acknowledgement does.

use core::net::Ipv4Addr;
use std::sync::Arc;

use engine::Network;
use engine::control_queue::Event;
use sim::raw::{Address, Segment, flag, option_mss, option_sack_permitted, option_window_scale};
use sim::{APPLIANCE, Bulk, Dialog, Phase, RawId, Setup, World};

use crate::allocations::sealed;

const MILLI: u64 = 1_000;
const SECOND: u64 = 1_000 * MILLI;
/// Levels are published by then, and no timer is due.
const PUBLISHED: u64 = 80 * MILLI;
const GET: &[u8] = b"GET /down/9000 HTTP/1.1\r\nHost: a\r\n\r\n";

/// A world with room for one half-open connection, which somebody else has: each further SYN is answered with a cookie.
fn full_world(setup: Setup) -> (World, RawId) {
    let mut setup = Setup { seal: sealed, ..setup };
    setup.core.half_open_max = 1;
    let (mut world, raw) = setup.build_with_raw();
    let filler = world.raw();
    world.run_for(MILLI);
    world.discard_heard(filler);
    Dialog::new(filler, 9, 9).half_open(&mut world, &[]);
    (world, raw)
}

/// A SYN from `port` of an address that is not the sender's.
fn forged_syn(world: &mut World, raw: RawId, source: u32, port: u16) {
    let ip = Ipv4Addr::from_bits(0x0a00_0000 + source);
    let from = Address { ip, ..world.address(raw) };
    let syn = Dialog::new(raw, port, source).segment(flag::SYN, b"");
    world.inject(raw, &syn.frame(&from, &APPLIANCE));
}

/// The first segment with data that the dialog hears.
fn first_data(world: &mut World, dialog: &mut Dialog) -> Segment {
    loop {
        let heard = dialog.hear(world);
        if !heard.payload.is_empty() {
            return heard;
        }
    }
}

fn reset(world: &mut World, dialog: &mut Dialog) {
    dialog.say(world, flag::RST, b"");
    world.run_for(MILLI);
    world.discard_heard(dialog.raw);
}

/// Kind and value of an option of `segment`.
fn option(segment: &Segment, kind: u8) -> Option<&[u8]> {
    let mut rest = &segment.options[..];
    loop {
        match *rest {
            [1, ref after @ ..] => rest = after,
            [found, len, ..] if len >= 2 => {
                if found == kind {
                    return Some(&rest[2..usize::from(len)]);
                }
                rest = &rest[usize::from(len)..];
            }
            _ => return None,
        }
    }
}

/// Far more SYNs of forged sources than may be half-open: everybody else is served, and the flood gets no slot.
#[test]
fn a_flood_of_forged_syns_keeps_nobody_out() {
    let mut setup = Setup { seal: sealed, ..Setup::new(1) };
    (setup.core.connections, setup.core.half_open_max) = (48, 8);
    (setup.nic.receive_ring, setup.nic.receive_pool) = (2_048, 2_048);
    let (mut world, flooder) = setup.build_with_raw();
    let mut source = 0;
    let mut clients = Vec::new();
    for _ in 0..40 {
        for _ in 0..200 {
            source += 1;
            forged_syn(&mut world, flooder, source, 4_000);
        }
        let client = world.client();
        world.send(client, GET);
        assert_eq!(world.response(client).body.len(), 9_000);
        clients.push(client);
        world.discard_heard(flooder);
    }
    world.run_for(PUBLISHED);
    assert_eq!(world.count("connections_half_open"), 8);
    assert_eq!(world.count("connections_open"), 8 + 40, "a slot for each client and no other");
    assert_eq!(world.count("drop_connections_full"), 0);
    assert_eq!(world.count("drop_half_open_full"), world.count("syn_cookies_sent"));
    assert_eq!(world.count("syn_cookies_accepted"), 40);
    for client in clients {
        world.finish(client);
        world.expect_phase(client, Phase::Finished);
    }
    world.end();
}

/// What the handshake of a cookie agreed on holds: sizes of segments, scales of windows, selective acknowledgements.
#[test]
fn a_cookie_brings_the_options_of_its_syn_back() {
    for (mss, least, most) in
        [(None, 536, 536), (Some(1_000), 536, 1_000), (Some(1_460), 1_460, 1_460)]
    {
        for scale in [None, Some(0), Some(7), Some(14)] {
            for has_sack in [false, true] {
                let mut setup = Setup::new(1);
                setup.core.receive_buffer = 300_000;
                let (mut world, raw) = full_world(setup);
                let mut options = mss.map(option_mss).unwrap_or_default();
                options.extend(scale.map(option_window_scale).unwrap_or_default());
                options.extend(has_sack.then(option_sack_permitted).unwrap_or_default());
                let mut dialog = Dialog { window: 80, ..Dialog::new(raw, 4_000, 0xffff_ffff) };
                let syn_ack = dialog.half_open(&mut world, &options);
                assert_eq!(world.count("syn_cookies_sent"), 1);
                assert_eq!(option(&syn_ack, 2), Some(&1_460u16.to_be_bytes()[..]));
                assert_eq!(option(&syn_ack, 3), scale.map(|_| &[3u8][..]));
                assert_eq!(option(&syn_ack, 4).is_some(), has_sack);
                dialog.say(&mut world, flag::ACK, b"");
                // Beyond a gap.
                let late = Segment {
                    seq: dialog.seq.wrapping_add(5),
                    ..dialog.segment(flag::ACK, &GET[5..])
                };
                dialog.send(&mut world, &late);
                let ack = dialog.hear(&mut world);
                assert_eq!(option(&ack, 5).is_some(), has_sack, "{ack:?}");
                let shift = scale.map_or(0, |_| 3);
                let expected = if shift == 0 { 65_535 } else { 300_000 >> 3 };
                assert_eq!(u32::from(ack.window), expected);
                dialog.data(&mut world, &GET[..5]);
                dialog.seq = dialog.seq.wrapping_add(late.len());
                let first = first_data(&mut world, &mut dialog);
                // 80 bytes, or shifted by what six bits could say.
                let window = 80usize << scale.map_or(0, |scale| scale.min(10));
                let len = first.payload.len();
                assert!((least.min(window)..=most.min(window)).contains(&len), "{len} of {window}");
                assert_eq!(world.count("syn_cookies_accepted"), 1);
                reset(&mut world, &mut dialog);
                world.end();
            }
        }
    }
}

/// The request may ride on the acknowledgement of a cookie, and a FIN with it.
#[test]
fn data_and_fin_may_complete_a_handshake() {
    for with_cookie in [false, true] {
        for flags in [flag::ACK | flag::PSH, flag::ACK | flag::FIN] {
            let (mut world, raw) = if with_cookie {
                full_world(Setup::new(1))
            } else {
                Setup::new(1).build_with_raw()
            };
            let mut dialog = Dialog::new(raw, 4_000, 1);
            dialog.half_open(&mut world, &option_mss(1_460));
            assert_eq!(world.count("connections_established"), 0);
            dialog.say(&mut world, flags, GET);
            assert!(first_data(&mut world, &mut dialog).payload.starts_with(b"HTTP/1.1 200"));
            assert_eq!(world.count("connections_established"), 1);
            reset(&mut world, &mut dialog);
            world.end();
        }
    }
}

/// An acknowledgement that nobody could know, and one that comes too late, are reset as if no cookie had been sent.
#[test]
fn wrong_and_old_cookies_are_reset() {
    let (mut world, raw) = full_world(Setup::new(1));
    let stray = Dialog { ack: 77, ..Dialog::new(raw, 3_000, 5) };
    stray.send(&mut world, &stray.segment(flag::ACK, b""));
    assert!(world.hear(raw).segment().has(flag::RST));
    assert_eq!(world.count("syn_cookies_refused"), 0, "none was sent that it could be of");
    let mut dialog = Dialog::new(raw, 4_000, 9);
    dialog.half_open(&mut world, &[]);
    let ack = dialog.segment(flag::ACK, b"");
    let wrong = [
        Segment { ack: ack.ack ^ 1, ..ack.clone() },
        Segment { ack: ack.ack ^ 1 << 31, ..ack.clone() },
        Segment { seq: ack.seq.wrapping_add(1), ..ack.clone() },
        Segment { source: 4_001, ..ack.clone() },
    ];
    for (times, wrong) in (1..).zip(&wrong) {
        dialog.send(&mut world, wrong);
        let heard = world.hear(raw).segment();
        assert_eq!((heard.flags, heard.seq), (flag::RST, wrong.ack));
        assert_eq!(world.count("syn_cookies_refused"), times);
        assert_eq!(world.count("drop_no_connection"), 1 + times);
    }
    world.run_for(127 * SECOND);
    world.discard_heard(raw);
    dialog.send(&mut world, &ack);
    assert_eq!(world.hear(raw).segment().flags, flag::RST);
    assert_eq!((world.count("syn_cookies_refused"), world.count("syn_cookies_accepted")), (5, 0));
    world.run_for(2 * SECOND);
    dialog.send(&mut world, &ack);
    assert_eq!(world.hear(raw).segment().flags, flag::RST);
    assert_eq!(world.count("syn_cookies_refused"), 5, "and none is waited for any more");
    world.end();
}

#[test]
fn a_cookie_is_good_for_a_minute() {
    let (mut world, raw) = full_world(Setup::new(1));
    let mut dialog = Dialog::new(raw, 4_000, 9);
    dialog.half_open(&mut world, &[]);
    world.run_for(60 * SECOND);
    dialog.data(&mut world, GET);
    assert!(first_data(&mut world, &mut dialog).payload.starts_with(b"HTTP/1.1 200"));
    reset(&mut world, &mut dialog);
    world.end();
}

/// No cookie can say a segment below 536 bytes: such a peer tries again.
#[test]
fn what_a_cookie_cannot_say_is_not_answered() {
    let (mut world, raw) = full_world(Setup::new(1));
    let mut dialog = Dialog::new(raw, 4_000, 9);
    let syn = Segment { options: option_mss(200), ..dialog.segment(flag::SYN, b"") };
    dialog.send(&mut world, &syn);
    world.expect_silence(raw, 100 * MILLI);
    assert_eq!((world.count("drop_half_open_full"), world.count("syn_cookies_sent")), (1, 0));
    world.run_for(6 * SECOND);
    dialog.half_open(&mut world, &option_mss(200));
    dialog.data(&mut world, GET);
    assert_eq!(first_data(&mut world, &mut dialog).payload.len(), 200);
    reset(&mut world, &mut dialog);
    world.end();
}

/// A SYN that came again found room in the cache, and then its sender acknowledges the cookie that the first one got.
#[test]
fn a_cookie_is_good_when_its_syn_came_again_and_is_kept() {
    let (mut world, raw) = full_world(Setup::new(1));
    let mut dialog = Dialog::new(raw, 4_000, 9);
    dialog.half_open(&mut world, &[]);
    world.run_for(6 * SECOND);
    let again = Dialog { seq: 9, ..dialog.clone() };
    again.send(&mut world, &again.segment(flag::SYN, b""));
    assert!(world.hear(raw).segment().has(flag::SYN));
    world.run_for(PUBLISHED);
    assert_eq!(world.count("connections_half_open"), 1);
    dialog.data(&mut world, GET);
    assert!(first_data(&mut world, &mut dialog).payload.starts_with(b"HTTP/1.1 200"));
    world.run_for(PUBLISHED);
    assert_eq!(world.count("connections_half_open"), 0);
    reset(&mut world, &mut dialog);
    world.end();
}

/// A SYN that opens again from TIME-WAIT may be answered with a cookie, too.
#[test]
fn a_cookie_opens_again_from_time_wait() {
    let mut setup = Setup::new(1);
    setup.core.half_open_max = 1;
    let (mut world, raw) = setup.build_with_raw();
    let filler = world.raw();
    let mut dialog = Dialog::open(&mut world, raw, 4_000);
    dialog.data(&mut world, b"GET /down/3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    while !dialog.hear(&mut world).has(flag::FIN) {}
    dialog.say(&mut world, flag::ACK | flag::FIN, b"");
    world.run_for(MILLI);
    world.discard_heard(raw);
    world.discard_heard(filler);
    Dialog::new(filler, 9, 9).half_open(&mut world, &[]);
    let mut next = Dialog::new(raw, 4_000, dialog.seq.wrapping_add(100_000));
    next.half_open(&mut world, &[]);
    world.run_for(PUBLISHED);
    assert_eq!((world.count("syn_cookies_sent"), world.count("time_wait_open")), (1, 1));
    next.data(&mut world, GET);
    assert!(first_data(&mut world, &mut next).payload.starts_with(b"HTTP/1.1 200"));
    world.run_for(PUBLISHED);
    assert_eq!((world.count("time_wait_reused"), world.count("time_wait_open")), (1, 0));
    reset(&mut world, &mut next);
    world.end();
}

/// The share of a source: others have their places in the cache, and its own next SYN is answered with a cookie.
#[test]
fn a_source_fills_its_own_share_only() {
    let mut setup = Setup { seal: sealed, ..Setup::new(1) };
    setup.core.sources.half_open = 2;
    let (mut world, raw) = setup.build_with_raw();
    let other = world.raw();
    world.run_for(MILLI);
    world.discard_heard(other);
    for port in 1..=20 {
        let dialog = Dialog::new(raw, port, 9);
        dialog.send(&mut world, &dialog.segment(flag::SYN, b""));
    }
    world.run_for(MILLI);
    let counts = ["drop_source_half_open", "syn_cookies_sent", "drop_half_open_full"];
    assert_eq!(counts.map(|name| world.count(name)), [18, 18, 0]);
    Dialog::new(other, 4_000, 9).half_open(&mut world, &[]);
    world.run_for(PUBLISHED);
    assert_eq!(world.count("connections_half_open"), 3);
    assert_eq!(world.count("syn_cookies_sent"), 18, "others wait in the cache");
    world.run_for(6 * SECOND);
    assert_eq!(world.count("connections_handshake_expired"), 3);
    // What expired is given back, and so is what became a connection.
    world.discard_heard(raw);
    for port in 100..110 {
        let mut dialog = Dialog::open(&mut world, raw, port);
        reset(&mut world, &mut dialog);
    }
    assert_eq!(world.count("drop_source_half_open"), 18);
    world.end();
}

#[test]
fn a_named_network_has_no_share() {
    let mut setup = Setup::new(1);
    setup.core.sources.half_open = 1;
    setup.core.sources.unlimited =
        vec![Network::new([198, 18, 0, 0].into(), 16).expect("a prefix")];
    let (mut world, raw) = setup.build_with_raw();
    for port in 1..=20 {
        let dialog = Dialog::new(raw, port, 9);
        dialog.send(&mut world, &dialog.segment(flag::SYN, b""));
    }
    world.run_for(PUBLISHED);
    assert_eq!(world.count("connections_half_open"), 20);
    world.end();
}

/// Lost again and again: after 200, 400, 800 and 1,600 ms, and at the deadline nothing is left.
#[test]
fn a_syn_ack_is_sent_again_at_doubling_intervals() {
    let mut setup = Setup { seal: sealed, ..Setup::new(1) };
    setup.core.sources.half_open = 5;
    let (mut world, raw) = setup.build_with_raw();
    let mut dialog = Dialog::new(raw, 4_000, 9);
    let options = [option_mss(1_000), option_window_scale(2), option_sack_permitted()].concat();
    let first = dialog.half_open(&mut world, &options);
    let mut last = world.elapsed();
    for expected in [200, 400, 800, 1_600] {
        assert_eq!(dialog.hear(&mut world), first);
        let waited = (world.elapsed() - last) / MILLI;
        assert!((expected..expected + 10).contains(&waited), "{waited} ms for {expected}");
        last = world.elapsed();
    }
    assert_eq!(world.count("retransmits"), 4);
    world.expect_silence(raw, 3 * SECOND);
    assert_eq!(world.count("connections_handshake_expired"), 1);
    dialog.say(&mut world, flag::ACK, b"");
    assert!(world.hear(raw).segment().has(flag::RST), "nobody remembers");
    world.end();
}

/// A client that says its SYN again gets the SYN-ACK again, but not once for each: anybody may send them.
#[test]
fn a_repeated_syn_brings_the_syn_ack_ten_times_a_second_at_most() {
    let (mut world, raw) = Setup::new(1).build_with_raw();
    let mut dialog = Dialog::new(raw, 4_000, 9);
    let syn = dialog.segment(flag::SYN, b"");
    dialog.half_open(&mut world, &[]);
    world.run_for(150 * MILLI);
    dialog.send(&mut world, &syn);
    assert!(world.hear_within(raw, 5 * MILLI).is_some(), "at once");
    for _ in 0..1_000 {
        dialog.send(&mut world, &syn);
        world.run_for(MILLI);
    }
    let mut heard = 0;
    while world.overheard(raw).is_some() {
        heard += 1;
    }
    assert!((2..=11).contains(&heard), "{heard} in a second");
    assert_eq!(world.count("drop_syn_on_connection"), 1_001);
    reset(&mut world, &mut dialog);
    world.end();
}

/// RFC 5961 3.2: one number resets; any other in the window is challenged, as often as that is allowed.
#[test]
fn only_the_exact_reset_ends_a_half_open_connection() {
    let (mut world, raw) = Setup::new(1).build_with_raw();
    let mut dialog = Dialog::new(raw, 4_000, 9);
    let syn_ack = dialog.half_open(&mut world, &[]);
    let guess =
        |off: u32| Segment { seq: dialog.seq.wrapping_add(off), ..dialog.segment(flag::RST, b"") };
    for off in [u32::MAX, u32::from(syn_ack.window) + 1, 0x8000_0000] {
        dialog.send(&mut world, &guess(off));
        world.expect_silence(raw, MILLI);
    }
    for off in [1, u32::from(syn_ack.window)] {
        dialog.send(&mut world, &guess(off));
        let challenge = world.hear(raw).segment();
        let said = (challenge.flags, challenge.seq, challenge.ack);
        assert_eq!(said, (flag::ACK, dialog.ack, dialog.seq));
    }
    (0..20).for_each(|_| dialog.send(&mut world, &guess(1)));
    world.run_for(PUBLISHED);
    assert_eq!((world.count("challenge_acks"), world.count("challenge_acks_limited")), (6, 16));
    assert_eq!((world.count("drop_reset_guess"), world.count("connections_half_open")), (25, 1));
    dialog.say(&mut world, flag::RST, b"");
    world.run_for(PUBLISHED);
    assert_eq!(world.count("connections_half_open"), 0);
    assert_eq!(world.count("connections_reset_by_peer"), 1);
    world.end();
}

/// A SYN and what a forger guesses after it, in one burst: whatever that is, the handshake goes on.
#[test]
fn forged_segments_in_the_burst_of_the_syn_do_no_harm() {
    for flags in [flag::ACK, flag::ACK | flag::FIN, flag::RST, flag::SYN, flag::SYN | flag::ACK] {
        let (mut world, raw) = Setup { seal: sealed, ..Setup::new(1) }.build_with_raw();
        let mut dialog = Dialog::new(raw, 4_000, 9);
        let syn = dialog.segment(flag::SYN, b"");
        let forged = Segment { seq: 1_000_000, ack: 0x1234_5678, ..dialog.segment(flags, b"") };
        dialog.send(&mut world, &syn);
        dialog.send(&mut world, &forged);
        let syn_ack = world.hear(raw).segment();
        assert_eq!((syn_ack.flags, syn_ack.ack), (flag::SYN | flag::ACK, 10));
        world.run_for(MILLI);
        world.discard_heard(raw);
        (dialog.seq, dialog.ack) = (10, syn_ack.seq.wrapping_add(1));
        dialog.data(&mut world, GET);
        assert!(first_data(&mut world, &mut dialog).payload.starts_with(b"HTTP/1.1 200"));
        reset(&mut world, &mut dialog);
        world.end();
    }
}

/// What lies outside the window completes nothing and is acknowledged; what lies inside completes the handshake though
/// something before it was lost.
#[test]
fn the_window_of_the_syn_ack_holds() {
    let mut setup = Setup::new(1);
    setup.core.receive_buffer = 300_000;
    let (mut world, raw) = setup.build_with_raw();
    let mut dialog = Dialog::new(raw, 4_000, 9);
    let syn_ack = dialog.half_open(&mut world, &option_window_scale(2));
    let at =
        |off: u32| Segment { seq: dialog.seq.wrapping_add(off), ..dialog.segment(flag::ACK, b"x") };
    dialog.send(&mut world, &at(65_536));
    let ack = world.hear(raw).segment();
    assert_eq!((ack.flags, ack.ack, ack.window), (flag::ACK, dialog.seq, syn_ack.window >> 3));
    dialog.send(&mut world, &Segment { payload: b"xx".to_vec(), ..at(65_534) });
    world.expect_silence(raw, MILLI);
    assert_eq!(world.count("drop_beyond_window"), 1);
    assert_eq!(world.count("connections_established"), 0);
    dialog.send(&mut world, &at(65_534));
    world.run_for(MILLI);
    assert_eq!(world.count("connections_established"), 1);
    reset(&mut world, &mut dialog);
    world.end();
}

/// Slots may run out between a SYN and its acknowledgement, which then waits.
#[test]
fn an_acknowledgement_waits_for_a_slot() {
    for half_open_max in [1, 2] {
        let mut setup = Setup::new(1);
        (setup.core.connections, setup.core.half_open_max) = (1, half_open_max);
        let (mut world, raw) = setup.build_with_raw();
        let [mut first, mut second] = [4_000, 4_001].map(|port| Dialog::new(raw, port, 9));
        first.half_open(&mut world, &[]);
        second.half_open(&mut world, &[]);
        first.say(&mut world, flag::ACK, b"");
        let request = second.segment(flag::ACK | flag::PSH, GET);
        second.send(&mut world, &request);
        world.run_for(MILLI);
        assert_eq!(world.count("drop_connections_full"), 1);
        reset(&mut world, &mut first);
        second.data(&mut world, GET);
        assert!(first_data(&mut world, &mut second).payload.starts_with(b"HTTP/1.1 200"));
        reset(&mut world, &mut second);
        world.end();
    }
}

/// A source whose connections are all taken meanwhile is told so at its acknowledgement.
#[test]
fn the_limit_of_a_source_holds_at_the_acknowledgement() {
    let mut setup = Setup::new(1);
    setup.core.sources.connections = 1;
    let (mut world, raw) = setup.build_with_raw();
    let [mut first, mut second] = [4_000, 4_001].map(|port| Dialog::new(raw, port, 9));
    first.half_open(&mut world, &[]);
    second.half_open(&mut world, &[]);
    first.say(&mut world, flag::ACK, b"");
    second.say(&mut world, flag::ACK, b"");
    let heard = second.hear(&mut world);
    assert_eq!((heard.flags, heard.seq), (flag::RST, second.ack));
    assert_eq!(world.count("drop_source_limit"), 1);
    assert_eq!((world.count("connections_aborted"), world.open_connections()), (1, 1));
    reset(&mut world, &mut first);
    world.end();
}

/// A drain waits for handshakes, and an acknowledgement of a cookie is served while it lasts and reset after it.
#[test]
fn a_drain_waits_for_half_open_connections() {
    let (mut world, raw) = full_world(Setup::new(1));
    let [mut early, late] = [4_000, 4_001].map(|port| {
        let mut dialog = Dialog::new(raw, port, 9);
        dialog.half_open(&mut world, &[]);
        dialog
    });
    world.drain();
    world.run_for(100 * MILLI);
    assert_eq!(world.events(), [], "one is half-open");
    early.say(&mut world, flag::ACK, b"");
    assert!(early.hear(&mut world).has(flag::FIN), "an idle connection is closed");
    early.say(&mut world, flag::ACK | flag::FIN, b"");
    world.run_for(6 * SECOND);
    assert_eq!(world.events(), [Event::Drained]);
    world.discard_heard(raw);
    late.send(&mut world, &late.segment(flag::ACK, b""));
    assert_eq!(world.hear(raw).segment().flags, flag::RST);
    world.end();
}

/// A stop resets who waits in the cache.
#[test]
fn a_stop_resets_half_open_connections() {
    let mut world = Setup::new(1).build(&Arc::new(Bulk::PLAIN));
    let raw = world.raw();
    world.hear(raw);
    let mut dialog = Dialog::new(raw, 4_000, 9);
    dialog.half_open(&mut world, &[]);
    world.stop();
    world.run_for(10 * MILLI);
    let heard = dialog.hear(&mut world);
    assert_eq!((heard.flags, heard.seq), (flag::RST, dialog.ack));
    assert_eq!(world.count("connections_aborted"), 1);
    world.end();
}
