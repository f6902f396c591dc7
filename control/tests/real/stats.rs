//! `pollux stats` against the client's own count: requests, connections, bytes, routes, latencies.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::{APPLIANCE, Client, PORT, Rig, RigPlan, TIMEOUT, Tool};

use crate::kit::{SampleSite, ServerPlan, binary, pollux};

/// What one connection asks for, in this order: request line, body, the status it is answered with.
const REQUESTS: &[(&str, &str, u16)] = &[
    ("GET /pipeline", "", 200),
    ("POST /baseline11?a=13&b=42", "20", 200),
    ("GET /json/3?m=2", "", 200),
    ("GET /nowhere", "", 404),
    ("GET /static/app.js", "", 200),
    ("GET /db?min=10&max=50", "", 200),
    ("DELETE /pipeline", "", 405),
    ("GET /pipeline", "", 200),
];
const CONNECTIONS: u64 = 40;

/// Bytes of the client: sent, and received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Traffic {
    sent: u64,
    received: u64,
}

/// A connection whose bytes are counted.
struct Counted {
    stream: TcpStream,
    traffic: Traffic,
}

impl Read for Counted {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.read(room)?;
        self.traffic.received += read as u64;
        Ok(read)
    }
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.stream.write(bytes)?;
        self.traffic.sent += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// Sends [`REQUESTS`] on one connection, pipelined, and reads until the server closes it.
fn converse() -> Traffic {
    let stream = TcpStream::connect_timeout(&SocketAddr::from((APPLIANCE, PORT)), TIMEOUT)
        .expect("connects");
    stream.set_read_timeout(Some(TIMEOUT)).expect("not zero");
    let mut request = String::new();
    for (at, (line, body, _)) in REQUESTS.iter().enumerate() {
        let close = if at + 1 == REQUESTS.len() { "Connection: close\r\n" } else { "" };
        let length = if body.is_empty() {
            String::new()
        } else {
            format!("Content-Length: {}\r\n", body.len())
        };
        request += &format!("{line} HTTP/1.1\r\nHost: a\r\n{close}{length}\r\n{body}");
    }
    let mut counted = Counted { stream, traffic: Traffic::default() };
    let mut client = Client::over(&mut counted);
    client.send(request);
    for (line, _, status) in REQUESTS {
        assert_eq!(client.response().status, *status, "{line}");
    }
    client.expect_end();
    counted.traffic
}

/// The report, once all is over that was begun.
fn report(rig: &Rig) -> Value {
    let start = Instant::now();
    loop {
        let text = pollux(rig, &["stats", "--json"]).text();
        let report: Value = serde_json::from_str(&text).expect("is JSON");
        // Levels are published every few turns; TIME-WAIT is the client's.
        if report["total"]["connections_open"] == 0 || start.elapsed() > TIMEOUT {
            return report;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn sum(values: &Value, name: &str) -> u64 {
    let values = values.as_array().expect("a list");
    values.iter().map(|value| value[name].as_u64().expect("a number")).sum()
}

#[test]
fn a_statistics_file_that_cannot_be_written_ends_nothing() {
    Rig::run(RigPlan::VETH, |rig| {
        let server = ServerPlan::af_xdp().serve(rig);
        let (pid, file) = (server.pid().to_string(), rig.scratch.path().join("stats.json"));
        let limit = |bytes: &str| {
            let bytes = format!("--fsize={bytes}");
            Tool::new(5, "prlimit", &["--pid", &pid, &bytes]).text();
        };
        // A write beyond the limit is answered with SIGXFSZ, which kills whoever does not expect it.
        limit("0:unlimited");
        server.logged(&["stats.json", "counters cannot be written"]);
        let mut client = Client::open();
        client.send("GET /pipeline HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response().status, 200);
        let old = fs::read_to_string(&file).expect("the old one stays");
        assert!(!old.is_empty());
        // The server has it neither open nor mapped: what others do to it is mended by the next one.
        File::options().write(true).truncate(true).open(&file).expect("is there");
        assert!(pollux(rig, &["stats", "--json"]).text().contains("responses_2xx"));
        limit("unlimited:unlimited");
        let stats = server.stop(rig).stats;
        assert_eq!(stats.total("responses_2xx"), 1);
    });
}

#[test]
fn the_numbers_are_those_of_the_client() {
    Rig::run(RigPlan::VETH, |rig| {
        let site = SampleSite::write(rig.scratch.path());
        let data = site.directory.to_str().expect("a path in UTF-8");
        // Two workers on one queue: the first steers for the second.
        let server = ServerPlan::new("af_xdp:pollux0", "0,1").with(&["--data", data]).serve(rig);
        let mut traffic = Traffic::default();
        for _ in 0..CONNECTIONS {
            let Traffic { sent, received } = converse();
            traffic.sent += sent;
            traffic.received += received;
        }
        // One that the client resets, and one that is refused.
        let mut refused = Client::open();
        let nonsense = "nonsense\r\n\r\n";
        refused.send(nonsense);
        assert_eq!(refused.response().status, 400);
        drop(refused);

        let report = report(rig);
        let total = |name: &str| report["total"][name].as_u64().unwrap_or_else(|| panic!("{name}"));
        let requests = CONNECTIONS * REQUESTS.len() as u64;
        assert_eq!(total("requests"), requests);
        assert_eq!((total("connections_opened"), total("connections_open")), (CONNECTIONS + 1, 0));
        assert_eq!(total("connections_established"), CONNECTIONS + 1);
        let of_class = |class: u16| {
            REQUESTS.iter().filter(|(.., status)| status / 100 == class).count() as u64
                * CONNECTIONS
        };
        assert_eq!((total("responses_2xx"), total("responses_5xx")), (of_class(2), 0));
        assert_eq!((total("responses_4xx"), total("rejects")), (of_class(4) + 1, 1));
        assert_eq!(total("request_bytes"), traffic.sent + nonsense.len() as u64);
        let refusal = total("response_bytes") - traffic.received;
        assert!((100..1_000).contains(&refusal), "a 400 of {refusal} bytes");

        for (name, value) in report["total"].as_object().expect("counters by name") {
            assert_eq!(Some(sum(&report["cores"], name)), value.as_u64(), "{name}");
        }
        let busy = report["cores"].as_array().expect("two").iter().map(|core| &core["requests"]);
        assert!(busy.into_iter().all(|requests| requests.as_u64() > Some(0)), "both had some");

        let routes = report["routes"].as_array().expect("a list");
        let of_route = |methods: &str, path: &str| {
            let found = routes.iter().find(|r| r["methods"] == methods && r["path"] == path);
            found.unwrap_or_else(|| panic!("no {methods} {path}: {routes:?}"))["requests"].clone()
        };
        assert_eq!(of_route("GET", "/pipeline"), 2 * CONNECTIONS);
        assert_eq!(of_route("GET", "/json/{count}"), CONNECTIONS);
        assert_eq!(of_route("", ""), 2 * CONNECTIONS, "404 and 405 are of no route");
        assert_eq!(sum(&report["routes"], "requests"), requests);

        let latencies = report["latency"].as_array().expect("a list");
        let measured = |part: &str| {
            let of_part = latencies.iter().filter(|latency| latency["part"] == part);
            of_part.map(|latency| latency["count"].as_u64().expect("a number")).sum::<u64>()
        };
        assert_eq!((measured("response"), measured("offload")), (requests, CONNECTIONS));
        assert_eq!(total("offloads_submitted"), CONNECTIONS);
        for latency in latencies {
            let q = ["p50_ns", "p90_ns", "p99_ns", "p999_ns", "max_ns"]
                .map(|name| latency[name].as_u64().expect("a number"));
            assert!(q[0] > 0 && q.is_sorted(), "{latency}");
        }

        let core = report["cores"][1]["core"].to_string();
        let text = pollux(rig, &["stats", "--json", "--core", &core]).text();
        let of_core: Value = serde_json::from_str(&text).expect("is JSON");
        assert_eq!(of_core["total"]["requests"], report["cores"][1]["requests"]);
        assert_eq!(of_core["cores"].as_array().map(Vec::len), Some(1));
        assert_eq!(sum(&of_core["routes"], "requests"), of_core["total"]["requests"]);

        let text = pollux(rig, &["stats"]).text();
        for words in
            ["serving at http://198.18.0.2:8080/ on af_xdp:pollux0", "cycles/request", "p99.9"]
        {
            assert!(text.contains(words), "{words}:\n{text}");
        }
        let line = text.lines().find(|line| line.starts_with("GET /pipeline")).expect("a route");
        assert!(line.ends_with(&(2 * CONNECTIONS).to_string()), "{line}");
        server.stop(rig);
    });
}

#[test]
fn rates_are_watched_until_the_server_goes() {
    Rig::run(RigPlan::VETH, |rig| {
        let server = ServerPlan::af_xdp().serve(rig);
        let mut watch = Command::new(binary())
            .args(["stats", "--watch", "0.2", "--name", &rig.name])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut client = Client::open();
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(1_500) {
            client.send("GET /pipeline HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(client.response().body, b"ok");
        }
        drop(client);
        server.stop(rig);
        let start = Instant::now();
        while watch.try_wait().expect("a child of ours").is_none() {
            assert!(start.elapsed() < TIMEOUT, "it watches a server that is gone");
            std::thread::sleep(Duration::from_millis(20));
        }
        let output = watch.wait_with_output().expect("it has ended");
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8_lossy(&output.stderr);
        // It goes between two looks, or in the middle of one.
        let gone = ["no server listens there", "has the server ended?", "takes no more statistics"];
        assert!(gone.iter().any(|words| said.contains(words)), "{said}");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("; rates over 0."), "{text}");
        let rates = text.lines().filter(|line| line.starts_with("GET /pipeline"));
        assert!(rates.count() >= 2, "{text}");
    });
}

#[test]
fn a_core_without_a_worker_is_named() {
    Rig::run(RigPlan::VETH, |rig| {
        let server = ServerPlan::af_xdp().serve(rig);
        let output = pollux(rig, &["stats", "--core", "77"]).output();
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(said.trim(), "pollux: no worker runs on core 77; workers run on 1");
        server.stop(rig);
    });
}
