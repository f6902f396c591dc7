//! Requests in pieces: cut at every byte, sent byte by byte, pipelined, half-closed, never ended.

use std::thread;
use std::time::{Duration, Instant};

use testkit::{Client, Response, Rig, RigPlan};

use crate::kit::{SampleSite, ServerPlan};

/// What a client sends on one connection, and the statuses it must get.
struct Message {
    bytes: &'static str,
    statuses: &'static [u16],
    /// Whether the connection goes on.
    persists: bool,
}

const MESSAGES: &[Message] = &[
    Message {
        bytes: "GET /static/reset.css HTTP/1.1\r\nHost: a.example:8080\r\nUser-Agent: test\r\n\
                 Accept-Encoding: gzip;q=0.5, br\r\nRange: bytes=3-40\r\n\r\n",
        statuses: &[206],
        persists: true,
    },
    Message {
        bytes: "\r\nPOST /baseline11?a=13&b=42 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n\
                 1234GET /json/3?m=7 HTTP/1.1\r\nHost: a\r\n\r\n",
        statuses: &[200, 200],
        persists: true,
    },
    Message {
        bytes: "POST /baseline11?a=1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                 3;name=\"va;lue\"\r\n100\r\n0002\r\n00\r\n0\r\nTrailer: field\r\n\r\n\
                 HEAD /static/app.js HTTP/1.1\r\nHost: a\r\n\r\n",
        statuses: &[200, 200],
        persists: true,
    },
    Message {
        bytes: "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\nDELETE /json HTTP/1.1\r\nHost: a\r\n\r\n\
                 OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\nGET http://a/pipeline HTTP/1.1\r\nHost: b\r\n\r\n",
        statuses: &[404, 405, 204, 200],
        persists: true,
    },
    Message { bytes: "GET /pipeline HTTP/1.0\r\n\r\n", statuses: &[200], persists: false },
    Message {
        bytes: "GET /pipeline HTTP/1.1\r\nHost: a\r\n\r\nGET /pipeline HTTP/1.1\r\n\r\n",
        statuses: &[200, 400],
        persists: false,
    },
    Message {
        bytes: "POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                 5\r\nhello\r\n0x5\r\n",
        statuses: &[400],
        persists: false,
    },
];

/// Clients at once.
const LANES: usize = 4;
/// Between two pieces, so that they travel in segments of their own.
const PAUSE: Duration = Duration::from_millis(2);

#[test]
fn pieces_change_nothing() {
    Rig::run(RigPlan::VETH, |rig| {
        let server = ServerPlan::af_xdp().serve(rig);
        let site = SampleSite::write(rig.scratch.path());
        let cuts: usize = MESSAGES.iter().map(every_cut).sum();
        println!("{} messages, {cuts} cuts: the same answers", MESSAGES.len());
        MESSAGES.iter().for_each(byte_by_byte);
        pipelined();
        half_closed(&site);
        let stats = server.stop(rig).stats;
        println!("losses {:?}", stats.losses());
        assert_eq!(stats.total("deadline_head"), 0);
    });
}

/// Sends a message cut in two at every place; returns how many places there are.
fn every_cut(message: &Message) -> usize {
    let whole = exchange(&mut Client::open(), message, &[message.bytes.as_bytes()]);
    let statuses: Vec<_> = whole.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, message.statuses, "{:?}", message.bytes);
    let bytes = message.bytes.as_bytes();
    thread::scope(|scope| {
        for lane in 0..LANES {
            let whole = &whole;
            scope.spawn(move || {
                let mut client = Client::open();
                for cut in (1..bytes.len()).skip(lane).step_by(LANES) {
                    let pieces = [&bytes[..cut], &bytes[cut..]];
                    let answers = exchange(&mut client, message, &pieces);
                    assert_eq!(&answers, whole, "cut at {cut}: {:?}", message.bytes);
                    if !message.persists {
                        client = Client::open();
                    }
                }
            });
        }
    });
    bytes.len() - 1
}

fn byte_by_byte(message: &Message) {
    let whole = exchange(&mut Client::open(), message, &[message.bytes.as_bytes()]);
    let pieces: Vec<&[u8]> = message.bytes.as_bytes().chunks(1).collect();
    let answers = exchange(&mut Client::open(), message, &pieces);
    assert_eq!(answers, whole, "byte by byte: {:?}", message.bytes);
}

/// Sends the pieces with pauses and takes the answers, without what goes with the time of day.
fn exchange(client: &mut Client, message: &Message, pieces: &[&[u8]]) -> Vec<Response> {
    for (at, piece) in pieces.iter().enumerate() {
        if at > 0 {
            thread::sleep(PAUSE);
        }
        // A connection that is refused early may be closed before the last piece.
        let sent = client.try_send(piece);
        assert!(sent.is_ok() || !message.persists, "piece {at} of {:?}", message.bytes);
    }
    let methods = message.bytes.split("HTTP/1").map(|text| text.trim_end().contains("HEAD "));
    let answers: Vec<_> = methods
        .zip(message.statuses)
        .map(|(to_head, _)| {
            let answer = client.try_response(to_head);
            let mut answer = answer.unwrap_or_else(|e| panic!("{:?}: {e}", message.bytes));
            answer.fields.retain(|(name, _)| name != "Date");
            answer
        })
        .collect();
    if !message.persists {
        client.expect_end();
    }
    answers
}

/// Sixteen requests in one segment are answered in their order.
fn pipelined() {
    let mut client = Client::open();
    for round in 0..8 {
        let request =
            |n: u32| format!("GET /baseline2?a={n}&b={round} HTTP/1.1\r\nHost: a\r\n\r\n");
        client.send((0..16).map(request).collect::<String>());
        for n in 0..16 {
            let answer = client.response();
            assert_eq!(String::from_utf8_lossy(&answer.body), (n + round).to_string());
        }
    }
}

/// A client that says FIN after its request gets everything it asked for, then FIN.
fn half_closed(site: &SampleSite) {
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut client = Client::open();
    client.send(get("/pipeline"));
    client.finish();
    assert_eq!(client.response().body, b"ok");
    client.expect_end();

    let mut client = Client::open();
    client.send([get("/pipeline"), get("/static/vendor.js"), get("/baseline2?a=4")].concat());
    client.finish();
    assert_eq!(client.response().body, b"ok");
    assert!(client.response().body == site.files["vendor.js"], "the whole file comes");
    assert_eq!(client.response().body, b"4");
    client.expect_end();

    let mut client = Client::open();
    client.send("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345");
    client.finish();
    let answer = client.response();
    assert_eq!(answer.status, 400, "a body that ends early is no body");
    client.expect_end();

    let mut client = Client::open();
    client.finish();
    client.expect_end();
}

#[test]
fn who_is_too_slow_is_told() {
    Rig::run(RigPlan::VETH, |rig| {
        let server = ServerPlan::af_xdp()
            .set("deadlines.head=500ms")
            .set("deadlines.body_grace=500ms")
            .set("deadlines.idle=700ms")
            .serve(rig);
        let timed = |name: &str, bytes: &str, status: Option<u16>| {
            let mut client = Client::open();
            let start = Instant::now();
            client.send(bytes);
            if let Some(status) = status {
                let answer = client.response();
                assert_eq!(answer.status, status, "{name}");
                assert!(answer.closes(), "{name} ends with close");
            }
            client.expect_end();
            let took = start.elapsed();
            println!("{name}: over after {took:?}");
            assert!((MIN..MAX).contains(&took), "{name} took {took:?}");
        };
        timed("half a head", "GET /pipeline HTTP/1.1\r\nHost:", Some(408));
        let body = "POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345";
        timed("half a body", body, Some(408));
        timed("silence", "", None);
        let mut client = Client::open();
        client.send("GET /pipeline HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response().body, b"ok");
        client.expect_end();
        let stats = server.stop(rig).stats;
        let deadlines = ["deadline_head", "deadline_body", "deadline_idle"];
        assert_eq!(deadlines.map(|name| stats.total(name)), [1, 1, 2], "{:?}", stats.nonzero(""));
    });
}

/// Bounds for deadlines of 500 to 700 ms.
const MIN: Duration = Duration::from_millis(400);
const MAX: Duration = Duration::from_millis(2_500);
