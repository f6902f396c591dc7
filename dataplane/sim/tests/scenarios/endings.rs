//! How connections end: FIN both ways, half-close, reset, TIME-WAIT and what still comes after.

use sim::raw::{Segment, flag};
use sim::{Dialog, Phase, RawId, Setup, World};

const MILLI: u64 = 1_000;
const SECOND: u64 = 1_000 * MILLI;

const GET: &[u8] = b"GET /down/3 HTTP/1.1\r\nHost: a\r\n\r\n";
const GET_AND_CLOSE: &[u8] = b"GET /down/3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

fn world() -> (World, RawId) {
    Setup::new(1).build_with_raw()
}

#[test]
fn a_client_that_half_closes_is_answered() {
    let (mut world, _) = world();
    let client = world.client();
    world.send(client, GET);
    world.send(client, b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    world.finish(client);
    assert_eq!(world.response(client).body.len(), 3);
    assert_eq!(world.response(client).status, 200);
    world.expect_phase(client, Phase::Finished);
    // The client may delay its last acknowledgement.
    world.run_for(100 * MILLI);
    assert_eq!(world.count("connections_closed"), 1);
    assert_eq!(world.count("connections_aborted"), 0);
    world.end();
}

#[test]
fn a_half_closed_client_gets_a_long_answer_whole() {
    let (mut world, _) = world();
    let client = world.client();
    world.send(client, b"GET /down/300000 HTTP/1.1\r\nHost: a\r\n\r\n");
    world.finish(client);
    assert_eq!(world.response(client).body.len(), 300_000);
    world.expect_phase(client, Phase::Finished);
    world.end();
}

/// Request and FIN in one segment.
#[test]
fn a_last_request_may_carry_the_fin() {
    let (mut world, raw) = world();
    let mut dialog = Dialog::open(&mut world, raw, 4_000);
    dialog.say(&mut world, flag::ACK | flag::FIN, GET);
    let mut stream = Vec::new();
    loop {
        let heard = dialog.hear(&mut world);
        stream.extend_from_slice(&heard.payload);
        if heard.has(flag::FIN) {
            break;
        }
    }
    assert!(stream.starts_with(b"HTTP/1.1 200"));
    dialog.say(&mut world, flag::ACK, b"");
    world.run_for(100 * MILLI);
    assert_eq!((world.count("connections_closed"), world.count("time_wait_open")), (1, 0));
    world.end();
}

/// RFC 9112 8: what ends in the middle is no request, and gets no 2xx.
#[test]
fn a_request_cut_off_by_fin_is_refused() {
    let (mut world, _) = world();
    for cut in [&GET[..10], b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc"] {
        let client = world.client();
        world.send(client, cut);
        world.finish(client);
        let response = world.response(client);
        assert_eq!((response.status, response.closes()), (400, true));
        world.expect_phase(client, Phase::Finished);
    }
    // The client may delay its last acknowledgement.
    world.run_for(100 * MILLI);
    assert_eq!(world.count("connections_closed"), 2);
    world.end();
}

#[test]
fn a_silent_client_that_closes_is_let_go() {
    let (mut world, _) = world();
    let client = world.client();
    world.finish(client);
    world.expect_phase(client, Phase::Finished);
    assert!(world.received(client).is_empty());
    assert_eq!(world.count("requests"), 0);
    world.end();
}

#[test]
fn connection_close_is_fin_after_the_answer_never_reset() {
    let (mut world, raw) = world();
    let mut dialog = Dialog::open(&mut world, raw, 4_000);
    dialog.data(&mut world, GET_AND_CLOSE);
    let mut last = dialog.hear(&mut world);
    while !last.has(flag::FIN) {
        assert!(!last.has(flag::RST));
        last = dialog.hear(&mut world);
    }
    // Bytes that were under way are acknowledged, not reset.
    dialog.data(&mut world, GET);
    let response = dialog.hear(&mut world);
    assert_eq!((response.flags & flag::RST, response.ack), (0, dialog.seq));
    assert!(response.payload.is_empty(), "nothing is answered after close");
    dialog.say(&mut world, flag::ACK | flag::FIN, b"");
    assert_eq!(dialog.hear(&mut world).ack, dialog.seq);
    world.run_for(100 * MILLI);
    assert_eq!(world.count("time_wait_open"), 1);
    assert_eq!(world.count("requests"), 1);
    world.end();
}

#[test]
fn both_may_close_at_once() {
    let (mut world, raw) = world();
    let mut dialog = Dialog::open(&mut world, raw, 4_000);
    let before = dialog.ack;
    dialog.data(&mut world, GET_AND_CLOSE);
    while !dialog.hear(&mut world).has(flag::FIN) {}
    // Our FIN crosses theirs: it acknowledges nothing of the answer yet.
    let fin = Segment { ack: before, ..dialog.segment(flag::ACK | flag::FIN, b"") };
    dialog.send(&mut world, &fin);
    dialog.seq = dialog.seq.wrapping_add(1);
    while dialog.hear(&mut world).ack != dialog.seq {}
    dialog.say(&mut world, flag::ACK, b"");
    world.run_for(100 * MILLI);
    assert_eq!((world.count("time_wait_open"), world.count("connections_open")), (1, 0));
    world.end();
}

#[test]
fn a_reset_frees_at_once() {
    let (mut world, raw) = world();
    let mut dialog = Dialog::open(&mut world, raw, 4_000);
    dialog.data(&mut world, b"GET /down/100000 HTTP/1.1\r\nHost: a\r\n\r\n");
    world.run_for(10 * MILLI);
    world.discard_heard(raw);
    dialog.say(&mut world, flag::RST, b"");
    world.expect_silence(raw, 5 * SECOND);
    assert_eq!(world.count("connections_reset_by_peer"), 1);
    assert_eq!((world.count("connections_open"), world.count("time_wait_open")), (0, 0));
    assert_eq!(world.open_connections(), 0);
    // The same tuple opens again, with nothing left of what was before.
    let mut again = Dialog::open(&mut world, raw, 4_000);
    again.data(&mut world, GET);
    assert!(again.hear(&mut world).payload.starts_with(b"HTTP/1.1 200"));
    again.say(&mut world, flag::RST, b"");
    world.end();
}

const LONG_GET: &[u8] = b"GET /down/100000 HTTP/1.1\r\nHost: a\r\n\r\n";

/// A state of RFC 9293 3.3.2, and how a dialog gets the appliance there.
struct State {
    name: &'static str,
    enter: fn(&mut World, &mut Dialog),
}

const STATES: &[State] = &[
    State { name: "ESTABLISHED", enter: |_, _| () },
    State {
        name: "ESTABLISHED, requests unread",
        enter: |world, dialog| {
            dialog.window = 0;
            dialog.data(world, LONG_GET);
            for _ in 0..20 {
                dialog.data(world, LONG_GET);
            }
        },
    },
    State {
        name: "ESTABLISHED, a hole before what came last",
        enter: |world, dialog| {
            let late = dialog.segment(flag::ACK, b"later");
            dialog.send(world, &Segment { seq: late.seq.wrapping_add(100), ..late });
        },
    },
    State {
        name: "ESTABLISHED, in the middle of a body",
        enter: |world, dialog| {
            dialog.data(world, b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\nabc");
            dialog.data(world, &[b'x'; 700]);
        },
    },
    State {
        name: "CLOSE-WAIT",
        enter: |world, dialog| {
            dialog.window = 0;
            dialog.say(world, flag::ACK | flag::FIN, LONG_GET);
        },
    },
    State {
        name: "LAST-ACK",
        enter: |world, dialog| dialog.say(world, flag::ACK | flag::FIN, b""),
    },
    State { name: "FIN-WAIT-1", enter: |world, dialog| dialog.data(world, GET_AND_CLOSE) },
    State {
        name: "FIN-WAIT-2",
        enter: |world, dialog| {
            dialog.data(world, GET_AND_CLOSE);
            while !dialog.hear(world).has(flag::FIN) {}
            dialog.say(world, flag::ACK, b"");
        },
    },
    State {
        name: "FIN-WAIT-2, talked over",
        enter: |world, dialog| {
            dialog.data(world, GET_AND_CLOSE);
            while !dialog.hear(world).has(flag::FIN) {}
            dialog.data(world, &[b'x'; 1_000]);
        },
    },
    State {
        name: "CLOSING",
        enter: |world, dialog| {
            let before = dialog.ack;
            dialog.data(world, GET_AND_CLOSE);
            while !dialog.hear(world).has(flag::FIN) {}
            dialog.ack = before;
            dialog.say(world, flag::ACK | flag::FIN, b"");
        },
    },
];

#[test]
fn a_reset_is_taken_in_every_state() {
    for State { name, enter } in STATES {
        let (mut world, raw) = world();
        let mut dialog = Dialog::open(&mut world, raw, 4_000);
        enter(&mut world, &mut dialog);
        world.run_for(10 * MILLI);
        assert_eq!(world.open_connections(), 1, "{name}");
        dialog.say(&mut world, flag::RST, b"");
        world.run_for(MILLI);
        let ended = ["connections_reset_by_peer", "connections_aborted"].map(|c| world.count(c));
        assert_eq!((ended, world.open_connections()), ([1, 0], 0), "{name}: {:?}", world.drops());
        world.end();
    }
}

/// A peer that has closed and then refuses what still comes resets with the number before its FIN, as
/// Linux does.
#[test]
fn a_reset_after_fin_may_carry_the_number_before_it() {
    let (mut world, raw) = world();
    let mut dialog = Dialog::open(&mut world, raw, 4_000);
    dialog.data(&mut world, LONG_GET);
    world.run_for(MILLI);
    let before = dialog.segment(flag::RST, b"");
    dialog.say(&mut world, flag::ACK | flag::FIN, b"");
    world.run_for(MILLI);
    dialog.send(&mut world, &before);
    world.run_for(MILLI);
    assert_eq!((world.count("connections_reset_by_peer"), world.open_connections()), (1, 0));
    world.end();
}

/// RFC 5961 3.2: a reset whose number is not exactly the next one does not end a connection; within
/// the window it is challenged with an ACK, outside it is dropped.
#[test]
fn a_reset_that_guesses_does_not_end_a_connection() {
    let (mut world, raw) = world();
    let mut dialog = Dialog::open(&mut world, raw, 4_000);
    for off in [1, 1_000, 0u32.wrapping_sub(1), 0x7000_0000, 0x9000_0000] {
        let reset = dialog.segment(flag::RST, b"");
        dialog.send(&mut world, &Segment { seq: reset.seq.wrapping_add(off), ..reset });
        world.run_for(2 * SECOND);
        assert_eq!(world.count("connections_reset_by_peer"), 0, "a reset {off:#x} off");
        while let Some(heard) = world.overheard(raw) {
            let challenge = heard.segment();
            assert_eq!((challenge.flags, challenge.ack), (flag::ACK, dialog.seq));
        }
    }
    dialog.data(&mut world, GET);
    assert!(dialog.hear(&mut world).payload.starts_with(b"HTTP/1.1 200"));
    dialog.say(&mut world, flag::RST, b"");
    world.run_for(MILLI);
    assert_eq!(world.count("connections_reset_by_peer"), 1);
    world.end();
}

/// RFC 5961 4.2: a SYN within a connection, whatever its number, is challenged with an ACK and changes
/// nothing.
#[test]
fn a_syn_within_a_connection_is_challenged() {
    let (mut world, raw) = world();
    let mut dialog = Dialog::open(&mut world, raw, 4_000);
    for off in [0, 500, 0x8000_0000] {
        for flags in [flag::SYN, flag::SYN | flag::ACK] {
            let syn = dialog.segment(flags, b"");
            dialog.send(&mut world, &Segment { seq: syn.seq.wrapping_add(off), ..syn });
            let challenge = world.hear(raw).segment();
            let said = (challenge.flags, challenge.seq, challenge.ack);
            assert_eq!(said, (flag::ACK, dialog.ack, dialog.seq), "a SYN {off:#x} off");
        }
    }
    assert_eq!(world.count("connections_opened"), 1);
    dialog.data(&mut world, GET);
    assert!(dialog.hear(&mut world).payload.starts_with(b"HTTP/1.1 200"));
    dialog.say(&mut world, flag::RST, b"");
    world.end();
}

/// A client that crashed and comes back with the same port: the challenge ACK carries the number with which
/// it ends what it no longer knows, and its next SYN opens (RFC 9293 3.5.1, figure 9).
#[test]
fn a_client_that_lost_its_memory_connects_again() {
    for State { name, enter } in STATES {
        let (mut world, raw) = world();
        let mut old = Dialog::open(&mut world, raw, 4_000);
        enter(&mut world, &mut old);
        world.run_for(10 * MILLI);
        world.discard_heard(raw);
        let mut new = Dialog::new(raw, 4_000, old.seq.wrapping_sub(0x2000_0000));
        let syn = new.segment(flag::SYN, b"");
        new.send(&mut world, &syn);
        let challenge = loop {
            let heard = world.hear(raw).segment();
            if heard.is_empty() {
                break heard;
            }
        };
        assert_eq!((challenge.flags, challenge.ack), (flag::ACK, old.seq), "{name}");
        new.send(&mut world, &Segment { seq: challenge.ack, ..new.segment(flag::RST, b"") });
        world.run_for(10 * MILLI);
        world.discard_heard(raw);
        new.half_open(&mut world, &[]);
        new.data(&mut world, GET);
        let response = loop {
            let heard = new.hear(&mut world);
            if !heard.payload.is_empty() {
                break heard;
            }
        };
        assert!(response.payload.starts_with(b"HTTP/1.1 200"), "{name}");
        new.say(&mut world, flag::RST, b"");
        world.end();
    }
}

/// Ends a connection so that the appliance keeps TIME-WAIT, and returns our last FIN.
fn into_time_wait(world: &mut World, raw: RawId) -> (Dialog, Segment) {
    let mut dialog = Dialog::open(world, raw, 4_000);
    dialog.data(world, GET_AND_CLOSE);
    while !dialog.hear(world).has(flag::FIN) {}
    let fin = dialog.segment(flag::ACK | flag::FIN, b"");
    dialog.say(world, flag::ACK | flag::FIN, b"");
    assert_eq!(dialog.hear(world).ack, dialog.seq);
    world.run_for(100 * MILLI);
    assert_eq!(world.count("time_wait_open"), 1);
    assert_eq!(world.count("connections_open"), 0, "a record, not a connection");
    (dialog, fin)
}

#[test]
fn a_retransmitted_fin_is_acknowledged_from_time_wait() {
    let (mut world, raw) = world();
    let (dialog, fin) = into_time_wait(&mut world, raw);
    for times in 1..=3 {
        dialog.send(&mut world, &fin);
        let ack = world.hear(raw).segment();
        let said = (ack.flags, ack.seq, ack.ack);
        assert_eq!(said, (flag::ACK, dialog.ack, dialog.seq));
        assert_eq!(world.count("time_wait_acked"), times);
    }
    assert!(world.drops().is_empty());
    world.end();
}

#[test]
fn time_wait_ends_after_ten_seconds() {
    let (mut world, raw) = world();
    let (dialog, fin) = into_time_wait(&mut world, raw);
    world.run_for(9_500 * MILLI);
    assert_eq!(world.count("time_wait_open"), 1);
    world.run_for(1_000 * MILLI);
    assert_eq!(world.count("time_wait_open"), 0);
    dialog.send(&mut world, &fin);
    assert!(world.hear(raw).segment().has(flag::RST), "nobody remembers");
    world.end();
}

/// RFC 1122 4.2.2.13: a busy client comes back with the same port long before TIME-WAIT ends.
#[test]
fn a_new_syn_on_a_tuple_in_time_wait_is_admitted() {
    let (mut world, raw) = world();
    let (old, _) = into_time_wait(&mut world, raw);
    let mut dialog = Dialog::new(raw, 4_000, old.seq.wrapping_add(100_000));
    dialog.half_open(&mut world, &[]);
    dialog.data(&mut world, GET);
    let response = loop {
        let heard = dialog.hear(&mut world);
        if !heard.payload.is_empty() {
            break heard;
        }
    };
    assert!(response.payload.starts_with(b"HTTP/1.1 200"));
    assert_eq!(world.count("time_wait_reused"), 1);
    world.run_for(100 * MILLI);
    assert_eq!(world.count("time_wait_open"), 0);
    // The old record's end must not take the new connection with it.
    world.run_for(11 * SECOND);
    assert_eq!(world.open_connections(), 1);
    dialog.data(&mut world, GET);
    loop {
        let heard = dialog.hear(&mut world);
        if heard.ack == dialog.seq && !heard.payload.is_empty() {
            break;
        }
    }
    dialog.say(&mut world, flag::RST, b"");
    world.end();
}

/// RFC 1122 4.2.2.13: only a SYN beyond the sequence numbers of the old connection takes its place; any other, which
/// anybody may forge or the network may have kept, is told where the old one ended.
#[test]
fn an_old_syn_does_not_end_time_wait() {
    let (mut world, raw) = world();
    let (dialog, _) = into_time_wait(&mut world, raw);
    for (times, off) in (1..).zip([1u32, 2, 1_000, 0x7fff_ffff]) {
        let syn = dialog.segment(flag::SYN, b"");
        dialog.send(&mut world, &Segment { seq: syn.seq.wrapping_sub(off), ..syn });
        let ack = world.hear(raw).segment();
        let said = (ack.flags, ack.seq, ack.ack);
        assert_eq!(said, (flag::ACK, dialog.ack, dialog.seq), "{off:#x} before");
        let counts = ["time_wait_acked", "time_wait_open", "connections_opened"];
        assert_eq!(counts.map(|name| world.count(name)), [times, 1, 1]);
    }
    assert!(world.drops().is_empty());
    // The first number that was not used opens.
    let mut next = Dialog::new(raw, 4_000, dialog.seq);
    next.half_open(&mut world, &[]);
    assert_eq!(world.count("time_wait_reused"), 1);
    next.say(&mut world, flag::RST, b"");
    world.end();
}

/// A peer that has not understood that all is over asks; so does one whose last FIN was acknowledged in vain.
#[test]
fn what_is_not_acceptable_in_time_wait_is_acknowledged() {
    for (off, flags, payload) in [
        (1, flag::ACK, &b""[..]),
        (1, flag::ACK, b"\0"),
        (500, flag::ACK | flag::PSH, b"once more"),
        (0x1000_0000, flag::ACK, b""),
        (1, flag::ACK | flag::SYN, b""),
    ] {
        let (mut world, raw) = world();
        let (dialog, _) = into_time_wait(&mut world, raw);
        let probe = dialog.segment(flags, payload);
        dialog.send(&mut world, &Segment { seq: probe.seq.wrapping_sub(off), ..probe });
        let ack = world.hear(raw).segment();
        let said = (ack.flags, ack.seq, ack.ack);
        assert_eq!(said, (flag::ACK, dialog.ack, dialog.seq), "{off:#x} before");
        assert_eq!((world.count("time_wait_acked"), world.count("time_wait_open")), (1, 1));
        assert!(world.drops().is_empty());
        world.end();
    }
}

/// One port, again and again, each time within TIME-WAIT of the last.
#[test]
fn one_port_may_be_used_a_hundred_times_a_second() {
    let (mut world, raw) = world();
    for round in 0..100u32 {
        let mut dialog = Dialog::new(raw, 4_000, round << 20);
        dialog.half_open(&mut world, &[]);
        dialog.data(&mut world, GET_AND_CLOSE);
        while !dialog.hear(&mut world).has(flag::FIN) {}
        dialog.say(&mut world, flag::ACK | flag::FIN, b"");
        assert_eq!(dialog.hear(&mut world).ack, dialog.seq);
    }
    assert_eq!((world.count("requests"), world.count("time_wait_reused")), (100, 99));
    assert!(world.elapsed() < SECOND, "no round waited for anything");
    world.end();
}

/// Where the client closes first it keeps TIME-WAIT, and the appliance keeps nothing.
#[test]
fn who_closes_last_keeps_nothing() {
    let (mut world, raw) = world();
    let mut dialog = Dialog::open(&mut world, raw, 4_000);
    dialog.say(&mut world, flag::ACK | flag::FIN, b"");
    while !dialog.hear(&mut world).has(flag::FIN) {}
    dialog.say(&mut world, flag::ACK, b"");
    world.run_for(100 * MILLI);
    assert_eq!((world.count("time_wait_open"), world.count("connections_open")), (0, 0));
    assert_eq!(world.count("connections_closed"), 1);
    world.end();
}

/// The appliance's own FIN gets lost: it is sent again.
#[test]
fn a_lost_fin_is_sent_again() {
    let (mut world, raw) = world();
    let mut dialog = Dialog::open(&mut world, raw, 4_000);
    dialog.data(&mut world, GET_AND_CLOSE);
    let mut fin = dialog.hear(&mut world);
    while !fin.has(flag::FIN) {
        // What came before is acknowledged, the FIN is not.
        dialog.say(&mut world, flag::ACK, b"");
        fin = dialog.hear(&mut world);
    }
    let again = world.hear(raw).segment();
    assert!(again.has(flag::FIN));
    let end = |segment: &Segment| segment.seq.wrapping_add(segment.len());
    assert_eq!(end(&again), end(&fin));
    dialog.say(&mut world, flag::ACK | flag::FIN, b"");
    world.end();
}
