//! The loop does not allocate after start: every turn of every worker here runs under a ban.
//!
//! Clients and network allocate as they like: only the turn is sealed. The allocator that watches is that of
//! the whole binary (`main.rs`), and counts by thread.

use std::sync::Arc;

use assert_no_alloc::{assert_no_alloc, violation_count};
use engine::control_queue::{Command, Submission};
use handlers::{JobKind, RenderedResponse, RequestBufferPool, Response, Site, SiteHandle};
use http1::Status;
use http1::coding::Coding;
use sim::raw::{Segment, arp_request, echo_request, flag};
use sim::{
    APPLIANCE, Bulk, BulkResponse, Dialog, Digest, HTTP_PORT, Phase, Reading, Setup, World,
    chunked, for_seeds,
};

use crate::configs;

const MILLI: u64 = 1_000;
const SECOND: u64 = 1_000 * MILLI;
const SEEDS: u64 = 32;

/// Runs a turn and fails if it allocated or freed.
pub(crate) fn sealed(turn: &mut dyn FnMut() -> bool) -> bool {
    let before = violation_count();
    let busy = assert_no_alloc(turn);
    let violations = violation_count() - before;
    assert_eq!(violations, 0, "a turn called the allocator");
    busy
}

fn build(setup: Setup) -> World {
    Setup { seal: sealed, ..setup }.build(&Arc::new(Bulk::PLAIN))
}

#[test]
#[should_panic(expected = "a turn called the allocator")]
fn the_gate_sees_an_allocation() {
    sealed(&mut || !vec![0u8; std::hint::black_box(1)].is_empty());
}

#[test]
#[should_panic(expected = "a turn called the allocator")]
fn the_gate_sees_a_free() {
    let mut held = Some(Box::new(1));
    sealed(&mut || held.take().is_some());
}

#[test]
fn every_kind_of_exchange_through_faults() {
    for workers in [1, 2] {
        for_seeds(SEEDS, |seed| {
            let mut world = build(Setup { workers, ..Setup::any(seed) });
            let body = vec![b'x'; 40_000];
            let post =
                format!("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
            let chunks = "POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
            let digest = Digest::of(&body).content().into_bytes();
            let client = world.client();
            for wire in [
                [post.as_bytes(), &body].concat(),
                [chunks.as_bytes(), &chunked(&body, 1_999)].concat(),
            ] {
                world.send(client, wire);
                assert_eq!(world.response(client).body, digest);
            }
            world.send(client, "GET /down/100000 HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3));
            for _ in 0..3 {
                assert_eq!(world.response(client).body.len(), 100_000);
            }
            world.finish(client);
            world.expect_phase(client, Phase::Finished);
            world.end();
        });
    }
}

#[test]
fn requests_that_are_refused() {
    let mut world = build(Setup::new(1));
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(9_000));
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(101));
    for wire in [
        "BAD\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        "POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n",
        &long,
        &many,
    ] {
        let client = world.client();
        world.send(client, wire);
        let response = world.response(client);
        assert!(response.status >= 400 && response.closes(), "{} to {wire:.40?}", response.status);
        world.finish(client);
    }
    world.end();
}

#[test]
fn packets_that_are_dropped_answered_or_reset() {
    let mut world = build(Setup::new(1));
    let raw = world.raw();
    let from = world.address(raw);
    let good = Segment { flags: flag::SYN, ..Segment::new(4_000, HTTP_PORT) };
    let mut frames = vec![
        arp_request(&from, APPLIANCE.ip),
        arp_request(&from, from.ip),
        echo_request(&from, &APPLIANCE, 1, 1, b"ping"),
        Segment::new(4_000, 1).frame(&from, &APPLIANCE),
        Segment::new(4_000, HTTP_PORT).frame(&from, &APPLIANCE),
    ];
    let syn = good.frame(&from, &APPLIANCE);
    for bit in 0..syn.len() * 8 {
        let mut frame = syn.clone();
        frame[bit / 8] ^= 1 << (bit % 8);
        frames.push(frame);
    }
    for frame in &frames {
        world.inject(raw, frame);
        world.run_for(MILLI);
    }
    let counts = world.counts();
    assert!(counts["drop_checksum"] > 100, "{:?}", world.drops());
    assert!(counts["arp_replies"] > 0 && counts["echo_replies"] > 0);
    world.end();
}

#[test]
fn deadlines_resets_time_wait_drain_and_stop() {
    let mut setup = Setup::new(1);
    let deadlines = &mut setup.core.deadlines;
    (deadlines.head_ms, deadlines.body_grace_ms, deadlines.idle_ms) = (300, 300, 300);
    (deadlines.stall_ms, deadlines.close_ms, deadlines.handshake_ms) = (1_000, 300, 300);
    setup.core.connections = 16;
    let mut world = build(setup);
    let raw = world.raw();
    Dialog::new(raw, 5_000, 1)
        .send(&mut world, &Segment { flags: flag::SYN, ..Segment::new(5_000, HTTP_PORT) });
    for wire in ["", "GET", "POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"] {
        let client = world.client();
        world.send(client, wire);
    }
    let stalled = world.client();
    world.set_reading(stalled, Reading::Stopped);
    world.send(stalled, "GET /down/1000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    let reset = world.client();
    world.reset(reset);
    let closing = world.client();
    world.send(closing, "GET /down/1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(world.response(closing).closes());
    world.finish(closing);
    world.run_for(3 * SECOND);
    for name in [
        "deadline_head",
        "deadline_body",
        "deadline_idle",
        "deadline_stall",
        "deadline_close",
        "connections_handshake_expired",
        "connections_reset_by_peer",
        "time_wait_open",
    ] {
        assert!(world.count(name) > 0, "{name} stayed zero");
    }
    world.run_for(12 * SECOND);
    assert_eq!(world.count("time_wait_open"), 0);
    let last = world.client();
    world.drain();
    world.expect_phase(last, Phase::Finished);
    let late = world.host();
    let refused = world.connect(late);
    world.expect_phase(refused, Phase::Reset);
    world.stop();
    world.run_for(SECOND);
    world.end();
}

#[test]
fn offloads_completions_and_installs() {
    let setup = Setup { seal: sealed, ..Setup::new(1) };
    let service = Arc::new(Bulk::PLAIN);
    let mut world = setup.build_with(&service, || {
        let service = Arc::clone(&service);
        Box::new(move |end, _| {
            while let Some(Submission { id, offload: bytes, .. }) = end.submissions().poll() {
                assert!(end.completions().push(id, BulkResponse::Download(bytes)).is_ok());
                assert!(end.send(Command::Install(Arc::clone(&service))).is_ok());
            }
        })
    });
    let client = world.client();
    for round in 0..20 {
        world.send(client, format!("GET /offload/{} HTTP/1.1\r\nHost: a\r\n\r\n", round * 1_000));
        assert_eq!(world.response(client).body.len(), round * 1_000);
    }
    world.run_for(100_000);
    assert_eq!(world.count("sites_installed"), 20);
}

/// Every kind of route, each twice: rendered, stored, asked for, refused, and without a form.
#[test]
fn the_site_with_all_its_kinds_of_routes() {
    let site = Site::build(&configs::arena(), |size| Box::new(vec![0u8; size]));
    let site = Arc::new(site.expect("the sample is sound"));
    let forms = Arc::new(RequestBufferPool::new(1, 512));
    let edition = Arc::new(SiteHandle::new(site, Arc::clone(&forms)));
    let setup = Setup { seal: sealed, ..Setup::new(1) };
    // Control keeps a reference to each reply: a worker never frees one.
    let mut kept = Vec::new();
    let mut answers = Some(move |end: &engine::control_queue::ControlEnd<SiteHandle>| {
        while let Some(Submission { id, offload, .. }) = end.submissions().poll() {
            let rendered = match offload.job_kind() {
                JobKind::Compress(press) => press.run(),
                JobKind::Query(..) => RenderedResponse::new(
                    Status::S200,
                    "text/plain",
                    [],
                    Coding::Identity,
                    vec![b'r'; 9],
                ),
            };
            let rendered = Arc::new(rendered);
            kept.push(Arc::clone(&rendered));
            assert!(end.completions().push(id, Response::rendered(rendered)).is_ok());
        }
    });
    let mut world = setup.build_with(&edition, || {
        let mut response = answers.take().expect("one worker");
        Box::new(move |end, _| response(end))
    });
    let client = world.client();
    let long = "x".repeat(600);
    for (line, more, status) in [
        ("GET /pipeline", "", 200),
        ("GET /caching", "If-None-Match: \"AOK\"\r\n", 304),
        ("GET /baseline11?a=1&b=2", "", 200),
        ("GET /json/7?m=3", "", 200),
        ("GET /json/07?m=3", "Accept-Encoding: gzip\r\n", 200),
        ("GET /json/7?m=3", "Accept-Encoding: gzip\r\n", 200),
        ("GET /json/7?m=99", "Accept-Encoding: br\r\n", 200),
        ("GET /json/7?m=x", "", 400),
        ("GET /json/77", "", 404),
        ("GET /static/app.js", "Range: bytes=5-9\r\n", 206),
        ("GET /db?min=1&max=2", "", 200),
        ("GET /crud/items/0042", "", 200),
        ("GET /crud/items/a%20b", "", 200),
        ("DELETE /crud/items/1", "", 405),
        (&format!("GET /async-db?min={long}"), "", 413),
        ("GET /nothing/at/all", "", 404),
        ("GET /%2e%2e/x", "", 404),
    ] {
        for _ in 0..2 {
            world.send(client, format!("{line} HTTP/1.1\r\nHost: a\r\n{more}\r\n"));
            assert_eq!(world.response(client).status, status, "{line}");
        }
    }
    let post = |len: usize| {
        format!(
            "POST /crud/items HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n{}",
            " ".repeat(len)
        )
    };
    world.send(client, post(40));
    assert_eq!(world.response(client).status, 200);
    world.send(client, post(4_000));
    assert_eq!(world.response(client).status, 413);
    // Somebody holds the only form, with a body that does not come; and goes.
    let slow = world.client();
    world.send(slow, &post(40)[..80]);
    world.run_for(10 * MILLI);
    world.send(client, "GET /db HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((world.response(client).status, forms.refused()), (503, 1));
    world.reset(slow);
    world.run_for(10 * MILLI);
    world.send(client, "GET /db HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((world.response(client).status, forms.free()), (200, 1));
}

#[test]
fn no_room_anywhere() {
    let mut setup = Setup { stalls: true, ..Setup::new(1) };
    (setup.core.connections, setup.core.half_open_max) = (3, 2);
    (setup.nic.transmit_ring, setup.nic.transmit_pool) = (2, 2);
    (setup.nic.receive_ring, setup.nic.receive_pool) = (4, 8);
    let mut world = build(setup);
    let host = world.host();
    let clients: Vec<_> = (0..12).map(|_| world.connect(host)).collect();
    for client in clients {
        world.send(client, "GET /down/9000 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert_eq!(world.response(client).body.len(), 9_000);
        world.finish(client);
    }
    world.end();
}
