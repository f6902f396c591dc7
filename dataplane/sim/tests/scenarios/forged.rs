//! What a forged segment does to a client, and what the appliance says to it: every segment that is made without a
//! socket, field by field, and how many of them there may be.

use std::sync::Arc;

use sim::raw::{Address, Body, Segment, arp_request, echo_request, flag, option_window_scale};
use sim::{APPLIANCE, Bulk, Dialog, HTTP_PORT, RawId, Setup, World};

const MILLI: u64 = 1_000;
const SECOND: u64 = 1_000_000;
const GET: &[u8] = b"GET /down/3 HTTP/1.1\r\nHost: a\r\n\r\n";
const GET_AND_CLOSE: &[u8] = b"GET /down/3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

fn world() -> (World, RawId) {
    Setup::new(1).build_with_raw()
}

/// A connection between requests, and the window that it was offered last.
fn idle(world: &mut World, raw: RawId, options: &[u8]) -> (Dialog, u16) {
    let (mut dialog, _) = Dialog::open_with(world, raw, 4_000, options);
    dialog.data(world, GET);
    let response = dialog.hear(world);
    dialog.say(world, flag::ACK, b"");
    world.run_for(100 * MILLI);
    world.discard_heard(raw);
    (dialog, response.window)
}

fn time_wait(world: &mut World, raw: RawId) -> (Dialog, u16) {
    let (mut dialog, _) = idle(world, raw, &[]);
    dialog.data(world, GET_AND_CLOSE);
    while !dialog.hear(world).has(flag::FIN) {}
    dialog.say(world, flag::ACK | flag::FIN, b"");
    let last = dialog.hear(world);
    world.run_for(100 * MILLI);
    assert_eq!(world.count("time_wait_open"), 1);
    (dialog, last.window)
}

/// Sends `segment` and expects exactly one frame in return, with every field as in `wanted`.
#[track_caller]
fn assert_answer(world: &mut World, raw: RawId, segment: &Segment, wanted: &Segment, name: &str) {
    let from = world.address(raw);
    world.inject(raw, &segment.frame(&from, &APPLIANCE));
    let heard = world.hear(raw);
    assert_eq!((heard.from, heard.to, heard.tag), (APPLIANCE.mac, from.mac, None), "{name}");
    let Body::Tcp { ip, segment } = heard.body else { panic!("{name}: {:?}", heard.body) };
    // Checksums, lengths, time to live and reserved bits were checked when it was read.
    assert_eq!((ip, &segment), ((APPLIANCE.ip, from.ip), wanted), "{name}");
    world.expect_silence(raw, 100 * MILLI);
}

/// The acknowledgement that says where `dialog` is.
fn acknowledgement(dialog: &Dialog, window: u16) -> Segment {
    Segment { seq: dialog.ack, ack: dialog.seq, window, ..Segment::new(HTTP_PORT, dialog.port) }
}

#[test]
fn every_challenge_is_right_in_every_field() {
    type Forge = fn(Segment) -> Segment;
    let forged: [(&str, Forge); 7] = [
        ("SYN", |s| Segment { flags: flag::SYN, seq: s.seq.wrapping_sub(0x1000_0000), ..s }),
        ("SYN in the window", |s| Segment { flags: flag::SYN, seq: s.seq.wrapping_add(9), ..s }),
        ("SYN-ACK", |s| Segment { flags: flag::SYN | flag::ACK, ..s }),
        ("reset", |s| Segment { flags: flag::RST, seq: s.seq.wrapping_add(1), ..s }),
        ("reset with ACK", |s| Segment { flags: 0x14, seq: s.seq.wrapping_add(9_000), ..s }),
        ("unsent", |s| Segment { ack: s.ack.wrapping_add(1), ..s }),
        ("too old", |s| Segment { ack: s.ack.wrapping_sub(0x1000_0000), ..s }),
    ];
    for (receive_buffer, options) in [(16_384, vec![]), (300_000, option_window_scale(2))] {
        for (name, forge) in forged {
            let mut setup = Setup::new(1);
            setup.core.receive_buffer = receive_buffer;
            let (mut world, raw) = setup.build_with_raw();
            let (mut dialog, window) = idle(&mut world, raw, &options);
            assert!(window > 8_000, "{window}");
            let segment = forge(dialog.segment(flag::ACK, b""));
            let wanted = acknowledgement(&dialog, window);
            assert_answer(&mut world, raw, &segment, &wanted, name);
            assert_eq!(world.count("challenge_acks"), 1, "{name}");
            dialog.say(&mut world, flag::RST, b"");
            world.end();
        }
    }
}

/// What was received and not yet consumed is no room: the window of a challenge ends where the last one did.
#[test]
fn a_challenge_offers_no_more_room_than_there_is() {
    let (mut world, raw) = world();
    let (mut dialog, syn_ack) = Dialog::open_with(&mut world, raw, 4_000, &[]);
    let end = dialog.seq.wrapping_add(u32::from(syn_ack.window));
    dialog.data(&mut world, b"GET /down/3 HTTP/1.1\r\nHost: ");
    world.run_for(MILLI);
    let syn = dialog.segment(flag::SYN, b"");
    dialog.send(&mut world, &syn);
    let challenge = world.hear(raw).segment();
    assert_eq!(challenge.ack, dialog.seq);
    assert_eq!(challenge.ack.wrapping_add(u32::from(challenge.window)), end);
    dialog.say(&mut world, flag::RST, b"");
    world.end();
}

#[test]
fn every_acknowledgement_of_time_wait_is_right_in_every_field() {
    type Forge = fn(Segment) -> Segment;
    let late: [(&str, Forge); 4] = [
        ("FIN again", |s| Segment { flags: 0x11, seq: s.seq.wrapping_sub(1), ..s }),
        ("old SYN", |s| Segment { flags: flag::SYN, seq: s.seq.wrapping_sub(9), ..s }),
        ("probe", |s| Segment { seq: s.seq.wrapping_sub(1), ..s }),
        ("data", |s| Segment { payload: b"late".to_vec(), ..s }),
    ];
    for (name, forge) in late {
        let (mut world, raw) = world();
        let (dialog, window) = time_wait(&mut world, raw);
        assert!(window > 8_000, "{window}");
        let segment = forge(dialog.segment(flag::ACK, b""));
        assert_answer(&mut world, raw, &segment, &acknowledgement(&dialog, window), name);
        assert_eq!(world.count("time_wait_acked"), 1, "{name}");
        world.end();
    }
}

#[test]
fn every_reset_is_right_in_every_field() {
    for (port, flags, payload) in [
        (HTTP_PORT, flag::ACK, &b""[..]),
        (HTTP_PORT, flag::SYN | flag::ACK, b""),
        (HTTP_PORT, flag::FIN | flag::ACK, b"data"),
        (HTTP_PORT + 1, flag::SYN, b""),
        (HTTP_PORT + 1, flag::SYN, b"data"),
        (HTTP_PORT + 1, 0, b""),
        (HTTP_PORT + 1, flag::FIN | flag::PSH | flag::URG, b"data"),
    ] {
        let (mut world, raw) = world();
        let segment = Segment {
            flags,
            seq: 0xffff_fffe,
            ack: 77,
            payload: payload.to_vec(),
            ..Segment::new(4_000, port)
        };
        let (seq, ack, flags) = if segment.has(flag::ACK) {
            (77, 0, flag::RST)
        } else {
            (0, segment.seq.wrapping_add(segment.len()), flag::RST | flag::ACK)
        };
        let wanted = Segment { seq, ack, flags, window: 0, ..Segment::new(port, 4_000) };
        assert_answer(&mut world, raw, &segment, &wanted, "reset");
        world.end();
    }
}

/// RFC 5961 7: of a thousand forged segments no more are answered than ten in five seconds, and each that is not
/// is counted. The limit is the connection's own: another client in need gets its challenge.
#[test]
fn challenges_are_limited_for_each_connection() {
    let (mut world, raw) = world();
    let (mut victim, _) = idle(&mut world, raw, &[]);
    for _ in 0..1_000 {
        victim.send(&mut world, &victim.segment(flag::SYN, b""));
        world.run_for(5 * MILLI);
    }
    let mut heard = 0;
    while world.overheard(raw).is_some() {
        heard += 1;
    }
    assert!((6..=10).contains(&heard), "{heard} in 5 s");
    assert_eq!(world.count("challenge_acks"), heard);
    assert_eq!(world.count("challenge_acks_limited"), 1_000 - heard);
    let mut other = Dialog::open(&mut world, raw, 4_001);
    other.send(&mut world, &other.segment(flag::SYN, b""));
    assert_eq!(other.hear(&mut world).ack, other.seq);
    victim.data(&mut world, GET);
    assert!(victim.hear(&mut world).payload.starts_with(b"HTTP/1.1 200"));
    for dialog in [&mut victim, &mut other] {
        dialog.say(&mut world, flag::RST, b"");
    }
    world.end();
}

#[test]
fn acknowledgements_of_time_wait_are_limited() {
    let (mut world, raw) = world();
    let (dialog, _) = time_wait(&mut world, raw);
    for _ in 0..1_000 {
        let fin = dialog.segment(flag::ACK | flag::FIN, b"");
        dialog.send(&mut world, &Segment { seq: fin.seq.wrapping_sub(1), ..fin });
        world.run_for(5 * MILLI);
    }
    let acked = world.count("time_wait_acked");
    assert!((6..=10).contains(&acked), "{acked} in 5 s");
    assert_eq!(world.count("time_wait_limited"), 1_000 - acked);
    assert!(world.drops().is_empty());
    world.end();
}

/// As many as the limit allows on average, give or take a half, in one second.
#[test]
fn resets_and_echo_replies_are_limited() {
    let (mut world, raw) = world();
    let from = world.address(raw);
    let ping = echo_request(&from, &APPLIANCE, 1, 1, b"");
    let stray = Segment::new(4_000, HTTP_PORT + 1).frame(&from, &APPLIANCE);
    for (frame, count, per_second) in [(&ping, 3_000, 1_000), (&stray, 20_000, 10_000)] {
        world.run_for(2 * SECOND);
        let started = world.elapsed();
        for _ in 0..count / 50 {
            (0..50).for_each(|_| world.inject(raw, frame));
            world.run_for(200);
        }
        assert!(world.elapsed() - started < SECOND, "{}", world.elapsed() - started);
        world.run_for(MILLI);
        let mut heard = 0u64;
        while world.overheard(raw).is_some() {
            heard += 1;
        }
        assert!((per_second / 2..=per_second * 3 / 2).contains(&heard), "{heard} of {count}");
        let limited = if per_second == 1_000 { "echo_replies_limited" } else { "resets_limited" };
        assert_eq!(world.count(limited), count - heard);
    }
    world.end();
}

/// RFC 6528 3: for one tuple the number follows a clock of 4 us; for another it is another, without a rule.
#[test]
fn initial_sequence_numbers_follow_the_clock_for_one_tuple_only() {
    let (mut world, raw) = world();
    let mut open = |port, pause| {
        world.run_for(pause);
        let mut dialog = Dialog::new(raw, port, 9);
        let started = world.elapsed();
        let number = dialog.half_open(&mut world, &[]).seq;
        dialog.say(&mut world, flag::RST, b"");
        world.run_for(MILLI);
        (started, number)
    };
    let (first_at, first) = open(4_000, 0);
    let (again_at, again) = open(4_000, 800 * MILLI);
    let ticks = u32::try_from((again_at - first_at) / 4).expect("a second");
    assert!(again.wrapping_sub(first).abs_diff(ticks) <= 25, "{first} {again} {ticks}");
    let steps: Vec<u32> = (5_000..5_020)
        .map(|port| open(port, 0).1)
        .collect::<Vec<_>>()
        .windows(2)
        .map(|two| two[1].wrapping_sub(two[0]))
        .collect();
    assert!(steps.iter().any(|step| step.leading_zeros() == 0), "{steps:?}");
    assert!(steps.iter().any(|step| step.leading_zeros() > 0), "{steps:?}");
    world.end();
}

/// The attack that smoltcp's generator allowed: three SYN-ACKs and the clock, then a POST from a forged address, blind.
/// Neither what the clock, a step nor a change of steps foretells is the number; who knows it posts.
#[test]
fn three_numbers_and_the_clock_do_not_let_a_blind_forger_post() {
    let (mut world, raw) = world();
    let victim = world.raw();
    world.run_for(MILLI);
    world.discard_heard(victim);
    let [first, second, third] = [5_000, 5_001, 5_002].map(|port| {
        let mut dialog = Dialog::new(raw, port, 9);
        let number = dialog.half_open(&mut world, &[]).seq;
        dialog.say(&mut world, flag::RST, b"");
        world.run_for(MILLI);
        number
    });
    let forger = Dialog { seq: 10, ..Dialog::new(victim, 5_003, 9) };
    let syn = forger.segment(flag::SYN, b"");
    forger.send(&mut world, &Segment { seq: 9, ..syn });
    let body = b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    let post = forger.segment(flag::ACK | flag::PSH, body);
    let step = third.wrapping_sub(second);
    let curved = step.wrapping_mul(2).wrapping_sub(second.wrapping_sub(first));
    // A clock of 4 us has gone on by a quarter of a millisecond or a little more.
    for center in [third, third.wrapping_add(step), third.wrapping_add(curved), first, second] {
        for guess in 0..1_000u32 {
            let ack = center.wrapping_sub(100).wrapping_add(guess);
            forger.send(&mut world, &Segment { ack, ..post.clone() });
            if guess % 20 == 19 {
                world.run_for(200);
            }
        }
    }
    world.run_for(10 * MILLI);
    assert_eq!(["connections_established", "requests"].map(|name| world.count(name)), [0, 0]);
    let number = loop {
        let heard = world.hear(victim).segment();
        if heard.has(flag::SYN) {
            break heard.seq;
        }
    };
    forger.send(&mut world, &Segment { ack: number.wrapping_add(1), ..post });
    world.run_for(10 * MILLI);
    assert_eq!(["connections_established", "requests"].map(|name| world.count(name)), [1, 1]);
    let after = u32::try_from(body.len()).expect("a short request") + 10;
    forger.send(&mut world, &Segment { seq: after, ..forger.segment(flag::RST, b"") });
    world.end();
}

/// RFC 1122 4.2.2.13: what opens again from TIME-WAIT begins beyond what we sent in the connection before, here far more
/// than the clock has advanced.
#[test]
fn a_connection_begins_beyond_the_one_in_time_wait() {
    let (mut world, raw) = world();
    let mut dialog = Dialog::open(&mut world, raw, 4_000);
    let get = b"GET /down/2000000 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    dialog.data(&mut world, get);
    while !dialog.hear(&mut world).has(flag::FIN) {
        dialog.say(&mut world, flag::ACK, b"");
    }
    dialog.say(&mut world, flag::ACK | flag::FIN, b"");
    world.run_for(100 * MILLI);
    assert_eq!(world.count("time_wait_open"), 1);
    world.discard_heard(raw);
    let mut next = Dialog::new(raw, 4_000, dialog.seq.wrapping_add(1));
    let number = next.half_open(&mut world, &[]).seq;
    assert!((1..0x8000_0000).contains(&number.wrapping_sub(dialog.ack)), "{number}");
    next.say(&mut world, flag::RST, b"");
    world.end();
}

/// RFC 9293 3.10.7.4: a segment whose acknowledgement is old is taken for its text. The window in it is as old.
#[test]
fn a_request_that_an_acknowledgement_overtook_is_answered() {
    let (mut world, raw) = world();
    let mut dialog = Dialog::open(&mut world, raw, 4_000);
    dialog.data(&mut world, GET);
    let old = dialog.segment(flag::ACK | flag::PSH, b"GET /down/5000 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(dialog.hear(&mut world).payload.starts_with(b"HTTP/1.1 200"));
    dialog.say(&mut world, flag::ACK, b"");
    dialog.send(&mut world, &Segment { window: 1, ..old.clone() });
    dialog.seq = dialog.seq.wrapping_add(old.len());
    let head = dialog.hear(&mut world);
    assert!(head.payload.starts_with(b"HTTP/1.1 200"), "{head:?}");
    assert!(head.payload.len() > 100, "the window is the last one: {head:?}");
    assert_eq!(world.count("rx_old_ack"), 1);
    assert!(world.drops().is_empty());
    dialog.say(&mut world, flag::RST, b"");
    world.end();
}

/// A client that has asked and does not acknowledge the answer, and somebody else on the link.
fn unanswered() -> (World, RawId, RawId, Dialog) {
    let (mut world, raw) = world();
    let other = world.raw();
    let mut dialog = Dialog::open(&mut world, raw, 4_000);
    dialog.data(&mut world, GET);
    assert!(dialog.hear(&mut world).payload.starts_with(b"HTTP/1.1 200"));
    world.discard_heard(other);
    (world, raw, other, dialog)
}

/// Who forges a client's address on the link, and knows its ports but not its numbers, draws nothing to himself:
/// neither what the client is sent, nor an acknowledgement that says the numbers.
#[test]
fn only_an_acceptable_segment_moves_the_reply() {
    for off in [1u32, 1_000, 0x4000_0000, 0x8000_0000, 0u32.wrapping_sub(1), 0xffff_0000] {
        let (mut world, raw, other, mut dialog) = unanswered();
        let thief = Address { mac: world.address(other).mac, ..world.address(raw) };
        // What is in the window is acceptable: a guess at 16,384 of 2^32 numbers, and at the acknowledgement.
        let off = if off == 1 || off == 1_000 { off + 16_384 } else { off };
        for flags in [flag::ACK, flag::ACK | flag::PSH, flag::SYN, flag::RST] {
            let ack = dialog.segment(flags, b"");
            let forged = Segment { seq: ack.seq.wrapping_add(off), window: 0, ..ack };
            world.inject(other, &forged.frame(&thief, &APPLIANCE));
        }
        let data = dialog.segment(flag::ACK, b"forged");
        let forged = Segment { seq: data.seq.wrapping_add(off), ack: 12_345, ..data };
        world.inject(other, &forged.frame(&thief, &APPLIANCE));
        world.expect_silence(other, 10 * MILLI);
        let again = loop {
            let heard = dialog.hear(&mut world);
            if !heard.payload.is_empty() {
                break heard;
            }
        };
        assert!(again.payload.starts_with(b"HTTP/1.1 200"), "{off:#x}: sent again to the client");
        world.expect_silence(other, MILLI);
        assert_eq!(world.count("peers_followed"), 0);
        dialog.say(&mut world, flag::RST, b"");
        world.end();
    }
}

/// The client's address goes to another MAC, and is announced: the next retransmission goes there.
#[test]
fn a_peer_that_is_announced_elsewhere_is_followed_by_the_next_retransmission() {
    let (mut world, raw, other, dialog) = unanswered();
    world.inject(raw, &arp_request(&world.address(raw), APPLIANCE.ip));
    world.run_for(MILLI);
    world.discard_heard(raw);
    let moved = Address { mac: world.address(other).mac, ..world.address(raw) };
    let announced = world.elapsed();
    world.inject(other, &arp_request(&moved, moved.ip));
    let again = world.hear(other);
    assert_eq!(again.to, moved.mac);
    assert!(again.segment().payload.starts_with(b"HTTP/1.1 200"));
    assert!(world.elapsed() - announced < 250 * MILLI);
    assert_eq!(world.count("peers_followed"), 1);
    let reset = dialog.segment(flag::RST, b"");
    world.inject(other, &reset.frame(&moved, &APPLIANCE));
    world.run_for(MILLI);
    world.end();
}

/// The same for a router, and a client of another network behind it.
#[test]
fn a_router_that_is_announced_elsewhere_is_followed_by_the_next_retransmission() {
    let (mut world, raw) = world();
    let other = world.raw();
    let router = world.address(raw);
    world.inject(raw, &arp_request(&router, APPLIANCE.ip));
    world.hear(raw);
    let client = Address { ip: [203, 0, 113, 5].into(), ..router };
    let mut dialog = Dialog::new(raw, 4_000, 1);
    world.inject(raw, &dialog.segment(flag::SYN, b"").frame(&client, &APPLIANCE));
    let syn_ack = world.hear(raw).segment();
    (dialog.seq, dialog.ack) = (2, syn_ack.seq.wrapping_add(1));
    world.inject(raw, &dialog.segment(flag::ACK, GET).frame(&client, &APPLIANCE));
    assert!(world.hear(raw).segment().payload.starts_with(b"HTTP/1.1 200"));
    world.discard_heard(other);
    let mac = world.address(other).mac;
    world.inject(other, &arp_request(&Address { mac, ..router }, router.ip));
    let again = world.hear(other);
    assert_eq!(again.to, mac);
    assert!(again.segment().payload.starts_with(b"HTTP/1.1 200"));
    let reset = Segment {
        seq: 2 + u32::try_from(GET.len()).expect("short"),
        ..dialog.segment(flag::RST, b"")
    };
    world.inject(other, &reset.frame(&Address { mac, ..client }, &APPLIANCE));
    world.run_for(MILLI);
    world.end();
}

/// Nobody announces anything, but the client asks again from elsewhere, because it got no answer.
#[test]
fn a_request_sent_again_from_elsewhere_moves_the_reply() {
    let (mut world, raw, other, dialog) = unanswered();
    let moved = Address { mac: world.address(other).mac, ..world.address(raw) };
    let len = u32::try_from(GET.len()).expect("short");
    let request = dialog.segment(flag::ACK | flag::PSH, GET);
    let again = Segment { seq: request.seq.wrapping_sub(len), ..request };
    world.inject(other, &again.frame(&moved, &APPLIANCE));
    let response = loop {
        let heard = world.hear(other).segment();
        if !heard.payload.is_empty() {
            break heard;
        }
    };
    assert!(response.payload.starts_with(b"HTTP/1.1 200"));
    let reset = dialog.segment(flag::RST, b"");
    world.inject(other, &reset.frame(&moved, &APPLIANCE));
    world.run_for(MILLI);
    world.end();
}

/// The trial: five forged segments a second beside a client that uploads. It takes as long as without.
#[test]
fn forged_segments_do_not_delay_a_client() {
    let upload = |forge: Option<fn(Segment) -> Segment>| {
        let mut world = Setup::new(1).build(&Arc::new(Bulk::PLAIN));
        let (host, raw) = (world.host(), world.raw());
        let client = world.connect(host);
        world.run_for(10 * MILLI);
        let victim = world.machine(host).address();
        let port = world.machine(host).local_ports().next().expect("a connection");
        let body = vec![b'x'; 1_000];
        world.send(client, "POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n");
        let mut late = 0;
        for round in 1..=20u64 {
            if let Some(forge) = forge {
                let segment = forge(Segment::new(port, HTTP_PORT));
                // Whoever is on the link has an address of his own there.
                let from = Address { mac: world.address(raw).mac, ..victim };
                world.inject(raw, &segment.frame(&from, &APPLIANCE));
                world.run_for(MILLI);
            }
            let sent = world.elapsed();
            world.send(client, &body);
            let done = move |world: &mut World| world.count("request_bytes") >= round * 1_000;
            assert!(world.run_until(SECOND, done));
            late = late.max(world.elapsed() - sent);
            world.run_for(200 * MILLI);
        }
        assert_eq!(world.response(client).status, 200);
        let challenged = world.count("challenge_acks");
        world.discard_heard(raw);
        world.finish(client);
        world.end();
        (late, challenged)
    };
    let (alone, _) = upload(None);
    let (beside, challenged) = upload(Some(|s| Segment { flags: flag::SYN, seq: 12_345, ..s }));
    assert!(challenged >= 6, "{challenged}");
    assert!(beside <= alone + MILLI, "{beside} us where it was {alone} us");
}
