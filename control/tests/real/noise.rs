//! Whoever talks nonsense gets its 4xx, and nobody else notices.
//!
//! First every kind of noise alone: its status, whether the connection goes on as HTTP allows, how long
//! it takes. Then all of them at once among good requests, beside connections that only ask good
//! ones: those never fail, and the counters account for every single one.

use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use testkit::{Client, Company, Rig, RigPlan, TIMEOUT};

use crate::kit::{Drive, Driven, Exchange, Server, ServerPlan, Stats, Template, raise_file_limit};

/// Deadlines of the server in these tests, and when their end is seen.
const DEADLINES: [&str; 3] =
    ["deadlines.head=500ms", "deadlines.body_grace=500ms", "deadlines.idle=5s"];
const EXPIRED: Range<Duration> = Duration::from_millis(400)..Duration::from_millis(2_500);
const AT_ONCE: Range<Duration> = Duration::ZERO..Duration::from_secs(2);

/// What a request that makes no sense is answered with.
struct Noise {
    name: &'static str,
    request: Vec<u8>,
    status: u16,
    /// Which of the server's counters names it.
    counter: Counter,
    goes_on: bool,
    half_closes: bool,
    within: Range<Duration>,
}

/// What a request is to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counter {
    /// A request that has no such answer.
    Request,
    /// A head that is none.
    BadHead,
    /// A request whose body is none.
    BadBody,
    /// A head that did not come in time.
    SlowHead,
    /// A body that did not come in time.
    SlowBody,
}

impl Noise {
    /// A request that is understood, and refused.
    fn refused(name: &'static str, status: u16, request: impl Into<Vec<u8>>) -> Self {
        let (counter, request) = (Counter::Request, request.into());
        Self { name, request, status, counter, goes_on: true, half_closes: false, within: AT_ONCE }
    }

    /// Something that is no request: the connection ends.
    fn broken(name: &'static str, status: u16, request: impl Into<Vec<u8>>) -> Self {
        let counter = Counter::BadHead;
        Self { counter, goes_on: false, ..Self::refused(name, status, request) }
    }

    fn half_closed(self) -> Self {
        Self { half_closes: true, ..self }
    }

    fn exchange(&self) -> Exchange {
        let exchange = Exchange::new(self.request.clone()).status(self.status..=self.status);
        let exchange = exchange.takes(self.within.clone());
        let exchange = if self.goes_on { exchange } else { exchange.ends() };
        if self.half_closes { exchange.half_closed() } else { exchange }
    }
}

/// The requests that make no sense. The server has the routes of the workload, and no PostgreSQL.
fn noises() -> Vec<Noise> {
    let mut noises = understood();
    noises.extend(no_heads());
    noises.extend(no_bodies());
    noises.extend(unfinished());
    noises
}

/// What is understood, and cannot be answered.
fn understood() -> Vec<Noise> {
    let form = "x".repeat(9 << 10);
    let form_len = format!("Content-Length: {}", form.len());
    vec![
        Noise::refused("unknown path", 404, get("/no/such/path")),
        Noise::refused("unknown file", 404, get("/static/no-such-file.css")),
        Noise::refused("dots in the path", 404, get("/static/%2e%2e/dataset.json")),
        Noise::refused("body for nobody", 404, with("POST /no", "Content-Length: 5", "hello")),
        Noise::refused("wrong method", 405, with("DELETE /json", "Accept: */*", "")),
        Noise::refused("PUT, body", 405, with("PUT /pipeline", "Content-Length: 5", "hello")),
        Noise::refused("count out of bounds", 404, get("/json/51?m=1")),
        Noise::refused("count is no number", 404, get("/json/many?m=1")),
        Noise::refused("m is no number", 400, get("/json/5?m=many")),
        Noise::refused("bound is no number", 400, get("/db?min=ten")),
        Noise::refused("id is no number", 404, get("/crud/items/first")),
        Noise::refused(
            "no JSON",
            400,
            with("POST /crud/items", "Content-Length: 9", "{\"id\": 1,"),
        ),
        Noise::refused("too large a form", 413, with("POST /crud/items", &form_len, &form)),
    ]
}

/// What has no head that could be understood.
fn no_heads() -> Vec<Noise> {
    let long = "x".repeat(9 << 10);
    let many: String = (0..110).map(|n| format!("\r\nX-{n}: {n}")).collect();
    let wide = format!("{0}\r\nB: {0}\r\nC: {0}", "y".repeat(7 << 10));
    let (once, twice) = ("Content-Length: 1", "Content-Length: 1\r\nContent-Length: 2");
    let both = "Content-Length: 5\r\nTransfer-Encoding: chunked";
    vec![
        Noise::broken("unknown method", 501, with("BREW /pipeline", "Accept: */*", "")),
        Noise::broken("no host", 400, "GET /pipeline HTTP/1.1\r\n\r\n"),
        Noise::broken("other version", 505, "GET /pipeline HTTP/2.0\r\nHost: a\r\n\r\n"),
        Noise::broken("LF alone", 400, "GET /pipeline HTTP/1.1\nHost: a\n\n"),
        Noise::broken("long target", 414, get(&format!("/{long}"))),
        Noise::broken("long field", 431, with("GET /", &format!("A: {long}"), "")),
        Noise::broken("many fields", 431, with("GET /", &format!("A: a{many}"), "")),
        Noise::broken("long head", 431, with("GET /", &format!("A: {wide}"), "")),
        Noise::broken("bad length", 400, with("POST /upload", &once.replace('1', "-1"), "")),
        Noise::broken("two lengths", 400, with("POST /upload", twice, "")),
        Noise::broken("length, chunks", 400, with("POST /upload", both, "0\r\n\r\n")),
        Noise::broken("coding", 501, with("POST /upload", "Transfer-Encoding: zip, chunked", "")),
        Noise::broken("endless", 413, with("POST /upload", "Content-Length: 99999999999", "")),
        Noise::broken("half a head, FIN", 400, "GET /pipeline HTTP/1.1\r\nHo").half_closed(),
    ]
}

/// What has a head, and then no body that could be understood.
fn no_bodies() -> Vec<Noise> {
    let cut = with("POST /upload", "Content-Length: 20", "half of it");
    let noises = vec![
        Noise::broken("chunk of no size", 400, chunked("x\r\nhello\r\n0\r\n\r\n")),
        Noise::broken("long chunk", 400, chunked("3\r\nhello\r\n0\r\n\r\n")),
        Noise::broken("LF after a chunk", 400, chunked("5\nhello\n0\n\n")),
        Noise::broken("half a body, FIN", 400, cut).half_closed(),
    ];
    let in_the_body = |noise| Noise { counter: Counter::BadBody, ..noise };
    noises.into_iter().map(in_the_body).collect()
}

/// What never comes to its end.
fn unfinished() -> Vec<Noise> {
    let slow = |name, counter, request| Noise {
        counter,
        within: EXPIRED,
        ..Noise::broken(name, 408, request)
    };
    let sized = |rest| with("POST /upload", "Content-Length: 20", rest);
    vec![
        slow("half a head", Counter::SlowHead, get("/pipeline").replace("a\r\n\r\n", "a\r\nAcc")),
        slow("no body", Counter::SlowBody, sized("")),
        slow("half a body", Counter::SlowBody, sized("half of it")),
        slow("half a chunk", Counter::SlowBody, chunked("5\r\nhe")),
    ]
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// A request line without its version, one more field, and what follows the head.
fn with(line: &str, field: &str, rest: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n{rest}")
}

fn chunked(bytes: &str) -> String {
    with("POST /upload", "Transfer-Encoding: chunked", bytes)
}

/// 256 random bytes each, none of which begins a request.
fn garbage() -> Vec<Vec<u8>> {
    let mut random = fastrand::Rng::with_seed(3);
    let bytes = |random: &mut fastrand::Rng| -> Vec<u8> {
        // Visible bytes alone would be the beginning of a method; CR and LF may stand before one.
        let first = random.u8(0x80..);
        std::iter::once(first).chain((1..256).map(|_| random.u8(..))).collect()
    };
    (0..64).map(|_| bytes(&mut random)).collect()
}

fn plan() -> ServerPlan {
    DEADLINES.iter().fold(ServerPlan::af_xdp(), |plan, deadline| plan.set(deadline))
}

#[test]
fn every_noise_gets_its_refusal() {
    Rig::run(RigPlan::MANY_CONNECTIONS, |rig| {
        let server = plan().serve(rig);
        for noise in noises() {
            alone(&server, &noise);
        }
        for bytes in garbage() {
            alone(&server, &Noise::broken("256 random bytes", 400, bytes));
        }
        silence(&server);
        server.stop(rig);
    });
}

/// Asks well, then makes the noise, then asks well again where the connection goes on.
fn alone(server: &Server, noise: &Noise) {
    let name = noise.name;
    let before = server.stats();
    let mut client = Client::open();
    ask_well(&mut client, name);
    let start = Instant::now();
    client.send(&noise.request);
    if noise.half_closes {
        client.finish();
    }
    let answer = client.response();
    let took = start.elapsed();
    assert_eq!(answer.status, noise.status, "{name}: {answer:?}");
    assert!(noise.within.contains(&took), "{name} was answered after {took:?}");
    assert_eq!(answer.status == 405, answer.field("allow").is_some(), "{name}: {answer:?}");
    if noise.goes_on {
        assert!(!answer.closes(), "{name}: {answer:?}");
        ask_well(&mut client, name);
        client.finish();
    } else {
        assert!(answer.closes() || noise.half_closes, "{name}: {answer:?}");
    }
    client.expect_end();
    let after = server.stats_when(&format!("the refusal of {name}"), |stats| {
        grown(stats, &before, &format!("responses_{}xx", noise.status / 100)) == 1
    });
    let rejected = noise.counter != Counter::Request;
    assert_eq!(grown(&after, &before, "rejects"), u64::from(rejected), "rejects of {name}");
    for (counter, total) in
        [(Counter::SlowHead, "deadline_head"), (Counter::SlowBody, "deadline_body")]
    {
        assert_eq!(
            grown(&after, &before, total),
            u64::from(noise.counter == counter),
            "{total} of {name}"
        );
    }
    assert_eq!(grown(&after, &before, "connections_opened"), 1, "connections of {name}");
}

fn ask_well(client: &mut Client, name: &str) {
    client.send("GET /pipeline HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = client.response();
    assert_eq!((answer.status, &answer.body[..]), (200, &b"ok"[..]), "beside {name}");
}

/// Who says nothing at all gets no answer, only the end.
fn silence(server: &Server) {
    let before = server.stats().total("deadline_idle");
    let mut client = Client::open();
    client.expect_end();
    server.stats_when("silence", |stats| stats.total("deadline_idle") == before + 1);
}

const NOISY_SECONDS: u64 = 8;

#[test]
fn noise_does_not_disturb_the_others() {
    raise_file_limit(4_096);
    // It asks for answers in time.
    let alone = RigPlan { company: Company::Alone, ..RigPlan::MANY_CONNECTIONS };
    Rig::run(alone, |rig| {
        let server = plan().serve(rig);
        let before = server.stats();
        let (noisy, good) = thread::scope(|scope| {
            let good =
                scope.spawn(|| Drive::new(good(), 32, Duration::from_secs(NOISY_SECONDS)).run());
            let noisy =
                Drive::new(noisy(), 256, Duration::from_secs(NOISY_SECONDS)).repeats(2).run();
            (noisy, good.join().expect("a driver"))
        });
        print!("noisy: {}good: {}", noisy.table(), good.table());
        good.expect_no_fault();
        noisy.expect_no_fault();
        let slowest = good.tallies.iter().map(|tally| tally.slowest).max();
        assert!(slowest < Some(AT_ONCE.end), "a good request took {slowest:?}");
        let ended = |stats: &Stats| stats.total("connections_open") == 0;
        let after = server.stats_when("the end of every connection", ended);
        account(&noisy, &good, &before, &after);
        server.stop(rig);
    });
}

/// A driver that sees no fault must be one that would have seen it.
#[test]
fn the_driver_sees_every_fault() {
    Rig::run(RigPlan::MANY_CONNECTIONS, |rig| {
        let server = plan().serve(rig);
        let ok = || Exchange::new(get("/pipeline"));
        let wrong = [
            ("other content", ok().body("no")),
            ("wrong content", ok().passes(|_| Err("on purpose".to_owned()))),
            ("status 200", ok().status(404..=404)),
            ("no Content-Encoding: br", ok().has("Content-Encoding", "br")),
            ("does not say close", ok().ends()),
            ("says close", Exchange::new("GET / HTTP/1.1\r\n\r\n").status(400..=400)),
            ("at the wrong time", ok().takes(TIMEOUT..TIMEOUT * 2)),
            ("no answer in time", Exchange::new(chunked("5\r\nhe"))),
            ("connection ended early", Exchange::new("\r\n").half_closed()),
            ("more than was asked for", Exchange::new(get("/pipeline").repeat(2))),
        ];
        for (kind, exchange) in wrong {
            let template = Template::new("wrong", vec![exchange]);
            let drive = Drive::new(vec![template], 2, Duration::from_millis(300));
            let driven = drive.timeout(Duration::from_millis(300)).run();
            let faults = driven.faults();
            let all = faults.iter().all(|(what, _)| *what == format!("wrong: {kind}"));
            assert!(!faults.is_empty() && all, "{kind}: {faults:?}");
        }
        server.stop(rig);
    });
}

/// Requests that are as they should be.
fn good() -> Vec<Template> {
    let sum =
        |n: u32| Exchange::get(&format!("/baseline11?a={n}&b=42"), "").body((n + 42).to_string());
    let posted = |n: u32| {
        Exchange::post(&format!("/baseline11?a={n}&b=42"), b"20").body((n + 62).to_string())
    };
    vec![
        Template::new("good GET", (0..32).map(sum).collect()),
        Template::new("good POST", (0..32).map(posted).collect()),
    ]
}

/// All of the noise, and two good ones among it.
fn noisy() -> Vec<Template> {
    let mut templates = good();
    let noises = noises();
    templates.extend(noises.iter().map(|noise| Template::new(noise.name, vec![noise.exchange()])));
    let garbage = garbage().into_iter();
    let garbage = garbage.map(|bytes| Exchange::new(bytes).status(400..=400).ends());
    templates.push(Template::new("256 random bytes", garbage.collect()));
    templates
}

/// What the drivers saw is what the server counted.
fn account(noisy: &Driven, good: &Driven, before: &Stats, after: &Stats) {
    let mut kinds: Vec<_> =
        noises().iter().map(|noise| (noise.name, noise.status, noise.counter)).collect();
    kinds.push(("256 random bytes", 400, Counter::BadHead));
    let answers = |chosen: &dyn Fn(u16, Counter) -> bool| -> u64 {
        let chosen = kinds.iter().filter(|(_, status, counter)| chosen(*status, *counter));
        chosen.map(|(name, ..)| noisy.tally(name).answers).sum()
    };
    let well = good.answers() + noisy.tally("good GET").answers + noisy.tally("good POST").answers;
    let whole =
        |counter| matches!(counter, Counter::Request | Counter::BadBody | Counter::SlowBody);
    let expected = [
        ("requests", well + answers(&|_, counter| whole(counter))),
        ("responses_2xx", well),
        ("responses_4xx", answers(&|status, _| status / 100 == 4)),
        ("responses_5xx", answers(&|status, _| status / 100 == 5)),
        ("rejects", answers(&|_, counter| counter != Counter::Request)),
        ("deadline_head", answers(&|_, counter| counter == Counter::SlowHead)),
        ("deadline_body", answers(&|_, counter| counter == Counter::SlowBody)),
        ("connections_opened", noisy.connections + good.connections),
        ("connections_established", noisy.connections + good.connections),
    ];
    for (name, count) in expected {
        assert_eq!(grown(after, before, name), count, "{name}: {:?}", after.nonzero(""));
    }
}

fn grown(after: &Stats, before: &Stats, name: &str) -> u64 {
    after.total(name) - before.total(name)
}
