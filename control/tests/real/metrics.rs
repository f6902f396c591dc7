//! Metrics of a real server: they agree with what the client did, a parser of others takes them, the
//! dashboard names only what there is, and readiness follows the server's life.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;
use testkit::{Client, Rig, RigPlan, script};

use crate::kit::{LISTEN, Scrape, ServerPlan, pollux, probe};

const CONNECTIONS: usize = 16;

/// What each connection asks, how often, and what comes of it.
struct Asked {
    target: &'static str,
    times: usize,
    route: &'static str,
    kind: &'static str,
    class: &'static str,
}

const ASKED: &[Asked] = &[
    Asked { target: "/pipeline", times: 5, route: "/pipeline", kind: "fixed", class: "2xx" },
    Asked {
        target: "/baseline2?a=1&b=2",
        times: 3,
        route: "/baseline2",
        kind: "sum",
        class: "2xx",
    },
    Asked {
        target: "/json/5?m=2",
        times: 2,
        route: "/json/{count}",
        kind: "dataset",
        class: "2xx",
    },
    Asked { target: "/db?min=10&max=50", times: 2, route: "/db", kind: "sqlite", class: "2xx" },
    Asked { target: "/nowhere", times: 1, route: "unrouted", kind: "unrouted", class: "4xx" },
];

#[test]
fn numbers_agree_with_what_the_client_sent() {
    Rig::run(RigPlan::VETH, |rig| {
        let server = ServerPlan::new("af_xdp:pollux0", "0,1").serve(rig);
        let mut clients: Vec<_> = (0..CONNECTIONS).map(|_| Client::open()).collect();
        for Asked { target, times, .. } in ASKED {
            for _ in 0..*times {
                let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
                clients.iter_mut().for_each(|client| client.send(&request));
                clients.iter_mut().for_each(|client| drop(client.response()));
            }
        }
        let all = count(|_| true);
        let scrape = Scrape::when(rig, "every request", |scrape| {
            scrape.sum("pollux_request_duration_seconds_count", &[]) == all
        });
        for asked in ASKED {
            let sum = |name| scrape.sum(name, &[("route", asked.route), ("kind", asked.kind)]);
            assert_eq!(sum("pollux_route_requests_total"), count(|a| a.route == asked.route));
        }
        for class in ["2xx", "3xx", "4xx", "5xx"] {
            let sum = scrape.sum("pollux_responses_total", &[("class", class)]);
            assert_eq!(sum, count(|asked| asked.class == class), "{class}");
        }
        expect_consistent(&scrape, all);
        expect_named_in_dashboard(&scrape);

        drop(clients);
        Scrape::when(rig, "that connections have ended", |scrape| {
            scrape.sum("pollux_connections_closed_total", &[]) == CONNECTIONS as f64
                && scrape.sum("pollux_connections_open", &[]) == 0.0
        });
        server.stop(rig);
    });
}

/// What the client asked, of these.
fn count(of: impl Fn(&Asked) -> bool) -> f64 {
    let times: usize = ASKED.iter().filter(|asked| of(asked)).map(|asked| asked.times).sum();
    (times * CONNECTIONS) as f64
}

fn expect_consistent(scrape: &Scrape, all: f64) {
    let each = |name: &str| ["0", "1"].map(|core| scrape.sum(name, &[("core", core)]));
    for (name, expected) in [
        ("pollux_requests_total", all),
        ("pollux_responses_total", all),
        ("pollux_connections_opened_total", CONNECTIONS as f64),
        ("pollux_connections_open", CONNECTIONS as f64),
        ("pollux_connections", CONNECTIONS as f64),
        ("pollux_rx_frames_total", scrape.sum("pollux_rx_frames_total", &[])),
    ] {
        let cores = each(name);
        assert!(cores.iter().all(|value| *value > 0.0), "{name}: {cores:?}");
        assert_eq!(cores.iter().sum::<f64>(), expected, "{name}: {cores:?}");
    }
    assert_eq!(scrape.sum("pollux_route_requests_total", &[]), all);
    let bucket = |le| scrape.sum("pollux_request_duration_seconds_bucket", &[("le", le)]);
    assert_eq!(bucket("+Inf"), all);
    let waits = scrape.sum("pollux_offload_wait_seconds_count", &[("route_kind", "sqlite")]);
    assert_eq!(waits, count(|asked| asked.kind == "sqlite"));
    assert_eq!(scrape.sum("pollux_offloads_total", &[("backend", "sqlite")]), waits);
    assert_eq!(scrape.sum("pollux_build_info", &[("version", env!("CARGO_PKG_VERSION"))]), 1.0);
    assert_eq!(scrape.sum("pollux_server_state", &[]), 1.0);
    for name in ["process_start_time_seconds", "process_resident_memory_bytes", "pollux_mbufs"] {
        assert!(scrape.sum(name, &[]) > 0.0, "{name}");
    }
}

/// Every metric that `deploy/grafana.json` asks for is exported.
fn expect_named_in_dashboard(scrape: &Scrape) {
    let text = fs::read_to_string(script("deploy/grafana.json")).expect("is there");
    let dashboard: Value = serde_json::from_str(&text).expect("is JSON");
    let mut texts = Vec::new();
    expressions(&dashboard, &mut texts);
    let word = |c: char| !c.is_ascii_alphanumeric() && c != '_';
    let words = texts.iter().flat_map(|text| text.split(word));
    let names: BTreeSet<_> =
        words.filter(|word| word.starts_with("pollux_") || word.starts_with("process_")).collect();
    assert!(names.len() > 30, "{names:?}");
    let missing: Vec<_> = names.iter().filter(|name| !scrape.has(name)).collect();
    assert!(missing.is_empty(), "in deploy/grafana.json, but not exported: {missing:?}");
}

/// The queries of panels (`expr`) and of variables (`query`, `definition`).
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| expressions(item, found)),
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(text) if ["expr", "query", "definition"].contains(&&**name) => {
                        found.push(text.clone());
                    }
                    _ => expressions(member, found),
                }
            }
        }
        _ => {}
    }
}

#[test]
fn readiness_follows_the_life_of_the_server() {
    Rig::run(RigPlan::VETH, |rig| {
        let mut server = ServerPlan::af_xdp().serve(rig);
        assert_eq!(probe("/readyz"), (200, "ready\n".into()));
        assert_eq!(probe("/healthz"), (200, "ok\n".into()));
        assert_eq!(probe("/").0, 404);
        // A request body that does not come holds the drain up.
        let mut client = Client::open();
        client.send("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf");
        Scrape::when(rig, "a body on its way", |scrape| {
            scrape.sum("pollux_connections", &[("state", "reading")]) == 1.0
        });
        pollux(rig, &["drain", "--no-wait"]).text();
        expect_state(rig, "draining", (503, "draining\n"));
        pollux(rig, &["resume"]).text();
        expect_state(rig, "serving", (200, "ready\n"));
        server.signal(Signal::SIGTERM);
        let start = Instant::now();
        while !server.log().contains("draining for at most") {
            assert!(start.elapsed() < Duration::from_secs(2), "it drains:\n{}", server.log());
            thread::sleep(Duration::from_millis(5));
        }
        // It can still be asked, and says what state it is in.
        expect_state(rig, "stopping", (503, "stopping\n"));
        assert_eq!(probe("/healthz").0, 200);
        client.send("whole");
        assert_eq!(client.response().status, 200);
        assert_eq!(server.wait(Duration::from_secs(10)).code(), Some(0));
        TcpListener::bind(LISTEN).expect("the address is free again");
    });
}

/// The server says that it is in `state`, and no other, and is ready as `expected` says.
#[track_caller]
fn expect_state(rig: &Rig, state: &str, expected: (u16, &str)) {
    let scrape = Scrape::take(rig);
    for known in ["serving", "draining", "drained", "stopping"] {
        let is_in = scrape.sum("pollux_server_state", &[("state", known)]) == 1.0;
        assert_eq!(is_in, known == state, "{known}: {scrape:?}");
    }
    assert_eq!(probe("/readyz"), (expected.0, expected.1.into()));
}

#[test]
fn an_address_that_is_taken_is_a_warning() {
    Rig::run(RigPlan::VETH, |rig| {
        let taken = TcpListener::bind(LISTEN).expect("is free in a new namespace");
        let server = ServerPlan::af_xdp().serve(rig);
        let words = ["WARN", "metrics.listen", LISTEN, "in use", "Write another address"];
        println!("{}", server.logged(&words));
        server.stop(rig);
        drop(taken);

        let server = ServerPlan::af_xdp().set("metrics.listen=").serve(rig);
        assert!(!server.log().contains("metrics"), "off is off:\n{}", server.log());
        TcpListener::bind(LISTEN).expect("nobody has it");
        server.stop(rig);
    });
}
