//! The appliance as it ships, but for its NIC: the sample site through the whole stack.

use std::sync::{Arc, LazyLock};

use handlers::{RequestBufferPool, Site, SiteHandle, sample};
use sim::{ConnId, Phase, Setup, World, for_seeds};
use testkit::Response;

use crate::configs;

const MILLI: u64 = 1_000;
const SECOND: u64 = 1_000 * MILLI;

static SITE: LazyLock<Arc<SiteHandle>> = LazyLock::new(|| {
    let site = Site::build(&configs::arena(), |size| Box::new(vec![0u8; size]));
    let forms = Arc::new(RequestBufferPool::new(1, 4_096));
    Arc::new(SiteHandle::new(Arc::new(site.expect("the sample is sound")), forms))
});

fn world(setup: &Setup) -> World {
    setup.build(&SITE)
}

/// `answer` without what depends on the moment.
fn timeless(mut response: Response) -> Response {
    response.fields.retain(|(name, _)| !name.eq_ignore_ascii_case("date"));
    response
}

/// A message and the statuses of its answers, in order; the last may close the connection.
const MESSAGES: &[(&str, &[u16])] = &[
    ("GET /pipeline HTTP/1.1\r\nHost: a\r\n\r\n", &[200]),
    (
        "GET /baseline11?a=13&b=42 HTTP/1.1\r\nHost: a\r\n\r\nGET /pipeline HTTP/1.1\r\nHost: a\r\n\r\n",
        &[200, 200],
    ),
    ("POST /baseline11?a=13&b=42 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n20", &[200]),
    (
        "POST /baseline11?a=13&b=42 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
         1;ext=\"x\"\r\n2\r\n1\r\n0\r\n0\r\nTrailer: t\r\n\r\nGET /baseline2?a=1&b=1 HTTP/1.1\r\nHost: a\r\n\r\n",
        &[200, 200],
    ),
    ("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789", &[200]),
    (
        "POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
        &[200],
    ),
    ("GET /json/3?m=7 HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip, br\r\n\r\n", &[200]),
    ("GET /static/app.js HTTP/1.1\r\nHost: a\r\nRange: bytes=10-29\r\n\r\n", &[206]),
    ("GET /nothing HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.0\r\n\r\n", &[404, 200]),
    (
        "DELETE /pipeline HTTP/1.1\r\nHost: a\r\n\r\nOPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        &[405, 204],
    ),
    ("\r\n\r\nGET http://a/pipeline HTTP/1.1\r\nHost: b\r\n\r\n", &[200]),
    ("GET /pipeline HTTP/1.1\r\n\r\nGET /pipeline HTTP/1.1\r\nHost: a\r\n\r\n", &[400]),
    (
        "POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
        &[400],
    ),
    ("GET /pipeline HTTP/3.0\r\nHost: a\r\n\r\n", &[505]),
];

/// The answers to `pieces`, sent a millisecond apart on a connection of its own that then half-closes.
fn answers(world: &mut World, pieces: &[&[u8]], statuses: &[u16]) -> Vec<Response> {
    let client = world.client();
    for piece in pieces {
        world.send(client, piece);
        world.run_for(MILLI);
    }
    world.finish(client);
    let answers: Vec<Response> =
        statuses.iter().map(|_| timeless(world.response(client))).collect();
    world.expect_phase(client, Phase::Finished);
    assert!(world.received(client).is_empty(), "nothing follows");
    let got: Vec<u16> = answers.iter().map(|response| response.status).collect();
    assert_eq!(got, statuses);
    answers
}

/// TCP may cut a message anywhere: the answers are the same.
#[test]
fn every_message_cut_at_every_byte_gives_the_same_answers() {
    let mut world = world(&Setup::new(1));
    for (message, statuses) in MESSAGES {
        let wire = message.as_bytes();
        let whole = answers(&mut world, &[wire], statuses);
        for cut in 1..wire.len() {
            let (head, tail) = wire.split_at(cut);
            let cut_answers = answers(&mut world, &[head, tail], statuses);
            assert_eq!(cut_answers, whole, "{message:?} cut at {cut}");
        }
        let bytes: Vec<&[u8]> = wire.chunks(1).collect();
        assert_eq!(answers(&mut world, &bytes, statuses), whole, "{message:?} byte by byte");
    }
    world.end();
}

#[test]
fn an_expectation_is_met_before_the_body_is_sent() {
    let mut world = world(&Setup::new(1));
    let client = world.client();
    for _ in 0..3 {
        world.send(
            client,
            "POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n",
        );
        assert_eq!(world.response(client).status, 100);
        world.send(client, "abcd");
        let response = world.response(client);
        assert_eq!((response.status, &response.body[..]), (200, &b"4"[..]));
    }
    world.finish(client);
    world.end();
}

#[test]
fn head_has_the_fields_of_get_and_no_content() {
    let mut world = world(&Setup::new(1));
    let client = world.client();
    for path in ["/", "/pipeline", "/json", "/static/app.js", "/nothing"] {
        world.send(client, format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let full = timeless(world.response(client));
        world.send(client, format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let head = timeless(world.response_to_head(client));
        assert_eq!((head.status, &head.fields), (full.status, &full.fields));
    }
    world.finish(client);
    world.end();
}

/// `Date` follows the wall clock that control keeps, to the second.
#[test]
fn dates_follow_the_wall_clock() {
    let mut world = world(&Setup::new(1));
    let client = world.client();
    let mut dates = Vec::new();
    for _ in 0..4 {
        world.send(client, "GET /pipeline HTTP/1.1\r\nHost: a\r\n\r\n");
        let response = world.response(client);
        let date = response.field("date").expect("a Date").to_owned();
        let unix = http1::parse_http_date(date.as_bytes()).expect("an IMF-fixdate");
        assert_eq!(unix, sim::UNIX_START + world.elapsed() / SECOND, "{}", date);
        dates.push(date);
        world.run_for(SECOND);
    }
    assert_eq!(dates[0], "Thu, 01 Jan 2026 00:00:00 GMT");
    assert_eq!(dates[3], "Thu, 01 Jan 2026 00:00:03 GMT");
    world.finish(client);
    world.end();
}

/// Heads of every length at every place of the receive ring: some wrap round its end.
#[test]
fn heads_that_wrap_round_the_ring_are_parsed() {
    let mut world = world(&Setup::new(1));
    let client = world.client();
    let mut wire = Vec::new();
    for n in 0..1_500 {
        let pad = "x".repeat(n % 97);
        let request =
            format!("GET /baseline2?a={n}&b=1 HTTP/1.1\r\nHost: a\r\nX-Pad: {pad}\r\n\r\n");
        wire.extend_from_slice(request.as_bytes());
    }
    assert!(wire.len() > 5 * Setup::new(1).core.receive_buffer, "several times round");
    world.send(client, &wire);
    for n in 0..1_500 {
        assert_eq!(world.response(client).body, (n + 1).to_string().as_bytes());
    }
    assert_eq!(world.count("requests"), 1_500);
    world.finish(client);
    world.end();
}

/// One third each of GET, POST with length and chunked POST, ten to a connection, then RST.
fn limited(n: usize) -> (String, String) {
    let (a, b) = (n * 7, n * 13);
    match n % 3 {
        0 => {
            let wire = format!("GET /baseline11?a={a}&b={b} HTTP/1.1\r\nHost: a\r\n\r\n");
            (wire, (a + b).to_string())
        }
        1 => {
            let wire = format!(
                "POST /baseline11?a={a}&b={b} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n20"
            );
            (wire, (a + b + 20).to_string())
        }
        _ => {
            let wire = format!(
                "POST /baseline11?a={a}&b={b} HTTP/1.1\r\nHost: a\r\n\
                 Transfer-Encoding: chunked\r\n\r\n2\r\n20\r\n0\r\n\r\n"
            );
            (wire, (a + b + 20).to_string())
        }
    }
}

/// Many clients at once, each resetting its connection after ten requests and opening the next: every
/// request is answered rightly and counted once, on one worker and on two.
#[test]
fn clients_that_reset_after_ten_requests() {
    const CLIENTS: usize = 40;
    const ROUNDS: usize = 3;
    for_seeds(16, |seed| {
        for workers in [1, 2] {
            let mut world = world(&Setup { workers, ..Setup::any(seed) });
            let host = world.host();
            for round in 0..ROUNDS {
                let clients: Vec<ConnId> = (0..CLIENTS).map(|_| world.connect(host)).collect();
                for n in 0..10 {
                    for (number, client) in clients.iter().enumerate() {
                        world.send(*client, limited(round + n * number).0);
                    }
                    for (number, client) in clients.iter().enumerate() {
                        let response = world.response(*client);
                        assert_eq!(response.body, limited(round + n * number).1.as_bytes());
                    }
                }
                for client in &clients {
                    world.reset(*client);
                }
            }
            let expected = (CLIENTS * ROUNDS * 10) as u64;
            assert_eq!(world.count("requests"), expected);
            assert_eq!(world.count("responses_2xx"), expected);
            // A reset that is lost leaves a connection that only its deadline ends.
            world.run_for(70 * SECOND);
            world.end();
        }
    });
}

/// Two good requests among noise: an unknown path, a length without a body, 256 random bytes.
#[test]
fn noise_does_not_disturb_the_good() {
    for_seeds(16, |seed| {
        let mut world = world(&Setup::any(seed));
        let mut rng = fastrand::Rng::with_seed(seed);
        for _ in 0..20 {
            let good = world.client();
            world.send(good, "GET /baseline2?a=1&b=1 HTTP/1.1\r\nHost: a\r\n\r\n");
            let noisy = world.client();
            match rng.u8(..3) {
                0 => {
                    world.send(noisy, "GET /no/such/thing HTTP/1.1\r\nHost: a\r\n\r\n");
                    assert_eq!(world.response(noisy).status, 404);
                }
                1 => {
                    let wire = "POST /baseline11 HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n";
                    world.send(noisy, wire);
                    world.finish(noisy);
                    assert_eq!(world.response(noisy).status, 400);
                }
                _ => {
                    let bytes: Vec<u8> = (0..256).map(|_| rng.u8(..)).collect();
                    world.send(noisy, bytes);
                    world.finish(noisy);
                    assert!(world.response(noisy).status >= 400);
                }
            }
            assert_eq!(world.response(good).body, b"2");
            world.send(good, "GET /pipeline HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            assert_eq!(world.response(good).body, b"ok");
            world.finish(good);
            world.reset(noisy);
        }
        world.run_for(70 * SECOND);
        world.end();
    });
}

/// Every static file arrives whole through faults, in whichever coding was asked for.
#[test]
fn files_arrive_whole_in_every_coding() {
    let files = sample::files();
    for_seeds(8, |seed| {
        let mut world = world(&Setup::any(seed));
        let client = world.client();
        for file in &files {
            let codings = [
                ("identity", Some(&file.bytes)),
                ("br", file.brotli.as_ref()),
                ("gzip", file.gzip.as_ref()),
            ];
            for (coding, content) in codings {
                let Some(content) = content else { continue };
                let path = &file.name;
                world.send(
                    client,
                    format!("GET /static/{path} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {coding}\r\n\r\n"),
                );
                let response = world.response(client);
                let said = response.field("content-encoding").unwrap_or("identity");
                let smaller = said == coding && response.body == *content;
                let plain = said == "identity" && response.body == file.bytes;
                assert!(response.status == 200 && (smaller || plain), "{path} as {coding}");
            }
        }
        world.finish(client);
        world.end();
    });
}
