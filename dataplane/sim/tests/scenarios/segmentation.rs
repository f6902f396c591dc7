//! Large packets that the NIC cuts into segments: the same bytes arrive as without, whatever happens.

use std::sync::Arc;

use engine::{CorePlan, Nic as _};
use sim::raw::{flag, option_mss};
use sim::{Bulk, Dialog, NicPlan, Setup, World, download, for_seeds};
use testkit::Response;

const MILLI: u64 = 1_000;

/// The largest packet that a whole buffer holds.
const WHOLE: usize = 65_262;

fn setup(segmentation_max: usize) -> Setup {
    let plain = Setup::new(1);
    Setup {
        core: CorePlan { transmit_buffer: 65_535, ..plain.core },
        nic: NicPlan { transmit_checksums: true, segmentation_max, ..plain.nic },
        ..plain
    }
}

fn get(len: u64) -> Vec<u8> {
    format!("GET /down/{len} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes()
}

/// Fetches `len` bytes on a fresh connection and closes it.
fn fetch(world: &mut World, len: u64) -> Vec<u8> {
    let conn = world.client();
    world.send(conn, get(len));
    let body = world.response(conn).body;
    world.finish(conn);
    world.expect_phase(conn, sim::Phase::Finished);
    body
}

/// The body of the response in `stream`, once it is whole.
fn body_of(stream: &[u8]) -> Option<Vec<u8>> {
    Response::read(stream, false).map(|(response, _)| response.body)
}

#[test]
fn a_download_leaves_in_large_packets() {
    let (mut world, _) = setup(WHOLE).build_with_raw();
    assert!(fetch(&mut world, 1 << 20) == download(1 << 20));
    let (large, frames) = (world.count("tx_large_packets"), world.count("tx_frames"));
    assert!(large > 15, "{large} large packets");
    assert!(frames < 200, "{frames} frames for 719 full segments");
    assert_eq!((world.count("retransmits"), world.count("nic_tx_large_empty")), (0, 0));
    world.end();
}

/// What fits in one segment goes its usual way.
#[test]
fn small_responses_are_not_large_packets() {
    let (mut world, _) = setup(WHOLE).build_with_raw();
    assert!(fetch(&mut world, 1_000) == download(1_000));
    assert_eq!(world.count("tx_large_packets"), 0);
    world.end();
}

#[test]
fn the_same_bytes_arrive_with_and_without_through_every_fault() {
    for_seeds(64, |seed| {
        for segmentation_max in [0, 5_000, WHOLE] {
            let any = Setup::any(seed);
            let setup = Setup {
                nic: NicPlan { transmit_checksums: true, segmentation_max, ..any.nic.clone() },
                ..any
            };
            let mut world = setup.build(&Arc::new(Bulk::PLAIN));
            for len in [0, 1, 1_460, 2_920, 50_000, 300_000] {
                assert!(fetch(&mut world, len) == download(len), "{len} bytes, {segmentation_max}");
            }
            assert!(segmentation_max > 0 || world.count("tx_large_packets") == 0);
            world.end();
        }
    });
}

/// The peer has the first three segments of a large packet; what it lacks is sent again from there.
#[test]
fn a_part_of_a_large_packet_is_sent_again() {
    let (mut world, raw) = setup(WHOLE).build_with_raw();
    let (mut dialog, _) = Dialog::open_with(&mut world, raw, 4_000, &option_mss(1_000));
    let start = dialog.ack;
    dialog.data(&mut world, &get(20_000));
    let mut stream = vec![None; 21_000];
    let (mut number, mut whole) = (0, Vec::new());
    while body_of(&whole).is_none() {
        let heard = world.hear(raw).segment();
        let at = usize::try_from(heard.seq.wrapping_sub(start)).expect("a small offset");
        number += 1;
        if (8..12).contains(&number) {
            continue; // lost
        }
        for (place, byte) in stream[at..].iter_mut().zip(heard.payload) {
            *place = Some(byte);
        }
        whole = stream.iter().map_while(|place| *place).collect();
        dialog.ack = start.wrapping_add(u32::try_from(whole.len()).expect("short"));
        dialog.say(&mut world, flag::ACK, b"");
    }
    assert!(body_of(&whole) == Some(download(20_000)));
    assert!(world.count("tx_large_packets") > 0 && world.count("retransmits") >= 4);
    dialog.say(&mut world, flag::RST, b"");
    world.end();
}

#[test]
fn segments_are_as_long_as_the_peer_takes() {
    let (mut world, raw) = setup(WHOLE).build_with_raw();
    let (mut dialog, _) = Dialog::open_with(&mut world, raw, 4_000, &option_mss(700));
    dialog.data(&mut world, &get(30_000));
    let mut stream = Vec::new();
    while body_of(&stream).is_none() {
        let heard = dialog.hear(&mut world);
        assert!(heard.payload.len() <= 700, "{} bytes", heard.payload.len());
        stream.extend_from_slice(&heard.payload);
        dialog.say(&mut world, flag::ACK, b"");
    }
    assert!(body_of(&stream) == Some(download(30_000)));
    assert!(world.count("tx_large_packets") > 0);
    dialog.say(&mut world, flag::RST, b"");
    world.end();
}

/// A peer that takes less than every host must gets segments one by one: a large packet would be hundreds.
#[test]
fn tiny_segments_are_not_coalesced() {
    let (mut world, raw) = setup(WHOLE).build_with_raw();
    let (mut dialog, _) = Dialog::open_with(&mut world, raw, 4_000, &option_mss(300));
    dialog.data(&mut world, &get(9_000));
    let mut stream = Vec::new();
    while body_of(&stream).is_none() {
        stream.extend_from_slice(&dialog.hear(&mut world).payload);
        dialog.say(&mut world, flag::ACK, b"");
    }
    assert!(body_of(&stream) == Some(download(9_000)));
    assert_eq!(world.count("tx_large_packets"), 0);
    dialog.say(&mut world, flag::RST, b"");
    world.end();
}

#[test]
fn a_window_smaller_than_a_large_packet_is_kept() {
    let (mut world, raw) = setup(WHOLE).build_with_raw();
    let (mut dialog, _) = Dialog::open_with(&mut world, raw, 4_000, &option_mss(1_000));
    dialog.window = 3_500;
    let mut stream = Vec::new();
    dialog.data(&mut world, &get(40_000));
    while body_of(&stream).is_none() {
        let right = dialog.ack.wrapping_add(3_500);
        let heard = dialog.hear(&mut world);
        let end = heard.seq.wrapping_add(heard.len());
        assert!(right.wrapping_sub(end) < 1 << 31, "beyond the window: {heard:?}");
        stream.extend_from_slice(&heard.payload);
        dialog.say(&mut world, flag::ACK, b"");
    }
    assert!(body_of(&stream) == Some(download(40_000)));
    assert!(world.count("tx_large_packets") > 0);
    dialog.say(&mut world, flag::RST, b"");
    world.end();
}

/// A driver that takes no large packet is asked once; the bytes arrive in ordinary frames.
#[test]
fn a_driver_that_refuses_is_asked_once() {
    let mut setup = setup(WHOLE);
    setup.nic.refuses_segmentation = true;
    let (mut world, _) = setup.build_with_raw();
    assert!(fetch(&mut world, 300_000) == download(300_000));
    assert!((1..=8).contains(&world.count("nic_tx_segmentation_refused")));
    assert_eq!(world.count("nic_tx_segmentation_refused"), world.count("tx_large_packets"));
    world.end();
}

#[test]
fn without_a_large_buffer_frames_of_mtu_size_leave() {
    let mut setup = setup(WHOLE);
    setup.nic.large_pool = 1;
    let (mut world, _) = setup.build_with_raw();
    let conns = [world.client(), world.client(), world.client()];
    world.wire().hold(true);
    for conn in conns {
        world.send(conn, get(60_000));
    }
    world.run_for(20 * MILLI);
    world.wire().hold(false);
    for conn in conns {
        assert!(world.response(conn).body == download(60_000));
        world.finish(conn);
    }
    assert!(world.count("nic_tx_large_empty") > 0 && world.count("tx_large_packets") > 0);
    world.end();
}

#[test]
fn workers_behind_the_spreader_send_large_packets_too() {
    let mut setup = Setup { workers: 3, ..setup(WHOLE) };
    setup.nic.large_pool = 32;
    let mut world = setup.build(&Arc::new(Bulk::PLAIN));
    for _ in 0..12 {
        assert!(fetch(&mut world, 200_000) == download(200_000));
    }
    let large = world.count_each("tx_large_packets");
    assert!(large.iter().all(|&count| count > 0), "of each worker: {large:?}");
    world.end();
}

#[test]
fn a_queue_that_does_not_segment_has_no_large_buffer() {
    let (mut nic, _wire) = NicPlan::default().build();
    assert!(!nic.large_ready() && nic.large_tx_buffer().is_none());
    assert_eq!(nic.losses().tx_large_empty, 0);
}
