//! Peers that say anything: well-formed frames with any numbers, flags, windows and options, on
//! connections in every state. The appliance neither panics nor leaks, and goes on serving others.

use std::sync::Arc;

use fastrand::Rng;
use sim::raw::{
    Body, Segment, flag, option_mss, option_sack_permitted, option_window_scale, tagged,
};
use sim::{APPLIANCE, Bulk, Dialog, HTTP_PORT, RawId, Setup, World, for_seeds};

const SECOND: u64 = 1_000_000;

/// Frames of one world.
const ROUNDS: u32 = 200;

/// Requests that a mad peer may be in the middle of.
const WIRES: &[&[u8]] = &[
    b"GET /down/3 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /down/100000 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n",
    b"POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n",
    b"GET /down/3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"GET /do",
    b"\0\0\0\0\r\n\r\n",
];

/// Mostly a little off, sometimes far off.
fn off(rng: &mut Rng, number: u32) -> u32 {
    let by = match rng.u8(..8) {
        0..=3 => 0,
        4 => 1,
        5 => rng.u32(..3_000),
        6 => rng.u32(..70_000),
        _ => rng.u32(..),
    };
    if rng.bool() { number.wrapping_add(by) } else { number.wrapping_sub(by) }
}

fn options(rng: &mut Rng) -> Vec<u8> {
    let mut options = Vec::new();
    for _ in 0..rng.u8(..4) {
        let size = [0, 1, 40, 536, 1_460, 9_000, 65_535][rng.usize(..7)];
        let next = match rng.u8(..7) {
            0 => option_mss(size),
            1 => option_window_scale(rng.u8(..20)),
            2 => option_sack_permitted(),
            // Timestamps (RFC 7323 3.2) and one SACK block (RFC 2018 3) of anything.
            3 => [&[8, 10][..], &rng.u64(..).to_be_bytes()].concat(),
            4 => [&[5, 10][..], &rng.u64(..).to_be_bytes()].concat(),
            5 => vec![1],
            _ => vec![rng.u8(..), rng.u8(..8), rng.u8(..), rng.u8(..)],
        };
        options.extend(next);
    }
    options.truncate(40);
    options
}

fn flags(rng: &mut Rng) -> u8 {
    match rng.u8(..16) {
        0..=8 => flag::ACK,
        9 => flag::ACK | flag::PSH,
        10 => flag::ACK | flag::FIN,
        11 => flag::SYN,
        12 => flag::SYN | flag::ACK,
        13 if rng.u8(..4) == 0 => flag::RST,
        14 => flag::ACK | flag::URG,
        _ => rng.u8(..64),
    }
}

/// Something that might follow in `dialog`.
fn anything(rng: &mut Rng, dialog: &Dialog) -> Segment {
    let payload = match rng.u8(..6) {
        0 => WIRES[rng.usize(..WIRES.len())].to_vec(),
        1 => vec![b'x'; rng.usize(..1_460)],
        2 => b"0\r\n\r\n".to_vec(),
        _ => Vec::new(),
    };
    let window = [0, 1, 100, 4_000, u16::MAX][rng.usize(..5)];
    Segment {
        seq: off(rng, dialog.seq),
        ack: off(rng, dialog.ack),
        flags: flags(rng),
        window,
        options: if rng.u8(..4) == 0 { options(rng) } else { Vec::new() },
        payload,
        ..Segment::new(dialog.port, HTTP_PORT)
    }
}

/// Takes note of what the appliance says, so that the next madness is near the mark.
fn listen(world: &mut World, raw: RawId, dialogs: &mut [Dialog]) {
    while let Some(heard) = world.overheard(raw) {
        let Body::Tcp { segment, .. } = heard.body else { continue };
        for dialog in dialogs.iter_mut().filter(|dialog| dialog.port == segment.destination) {
            if !segment.has(flag::RST) {
                dialog.ack = segment.seq.wrapping_add(segment.len());
            }
            if segment.has(flag::ACK) && !segment.has(flag::RST) {
                dialog.seq = segment.ack;
            }
        }
    }
}

/// Four connections' worth of madness.
fn rage(mut setup: Setup) {
    let deadlines = &mut setup.core.deadlines;
    (deadlines.idle_ms, deadlines.stall_ms, deadlines.close_ms) = (5_000, 3_000, 2_000);
    (deadlines.head_ms, deadlines.body_grace_ms, deadlines.handshake_ms) = (4_000, 4_000, 2_000);
    let mut world = setup.build(&Arc::new(Bulk::PLAIN));
    let mut rng = Rng::with_seed(setup.seed);
    let raw = world.raw();
    let from = world.address(raw);
    let mut dialogs: Vec<Dialog> =
        (4_000..4_004).map(|port| Dialog::new(raw, port, rng.u32(..))).collect();
    for _ in 0..ROUNDS {
        let dialog = &mut dialogs[rng.usize(..4)];
        let segment = match rng.u8(..8) {
            0 => Segment { options: options(&mut rng), ..dialog.segment(flag::SYN, b"") },
            1 | 2 => dialog.segment(flag::ACK, WIRES[rng.usize(..WIRES.len())]),
            3 => dialog.segment(flag::ACK, b""),
            _ => anything(&mut rng, dialog),
        };
        let frame = segment.frame(&from, &APPLIANCE);
        let frame = if rng.u8(..16) == 0 { tagged(&frame, rng.u16(..)) } else { frame };
        world.inject(raw, &frame);
        let pause = [0, 0, 100, 2_000, 50_000, 700_000][rng.usize(..6)];
        world.run_for(pause);
        listen(&mut world, raw, &mut dialogs);
    }
    // Whoever is sane is served as ever, if there is a slot; what is left of madness goes with its
    // deadlines.
    if setup.core.connections <= 4 {
        world.run_for(20 * SECOND);
    }
    let client = world.client();
    world.send(client, "GET /down/5000 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(world.response(client).body.len(), 5_000);
    world.finish(client);
    world.end();
}

#[test]
fn anything_may_be_said() {
    for_seeds(256, |seed| rage(Setup::new(seed)));
}

#[test]
fn anything_may_be_said_to_two_workers_with_no_room() {
    for_seeds(64, |seed| {
        let mut setup = Setup { workers: 2, ..Setup::any(seed) };
        // What a mad peer hears is checked to the last bit.
        setup.away.corrupt = 0;
        (setup.core.connections, setup.core.half_open_max) = (2, 1);
        (setup.nic.transmit_ring, setup.nic.transmit_pool) = (8, 64);
        rage(setup);
    });
}

#[test]
fn anything_may_be_said_to_large_buffers() {
    for_seeds(64, |seed| {
        let mut setup = Setup::new(seed);
        (setup.core.receive_buffer, setup.core.transmit_buffer) = (300_000, 300_000);
        rage(setup);
    });
}
