//! Reports for tests.

use crate::lifecycle::State;
use crate::stats::{
    CoreReport, Counters, LatencyReport, Part, Quantiles, Report, RouteReport, ServerReport,
};

/// Numbers by name.
pub(super) fn counters(pairs: &[(&str, u64)]) -> Counters {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
}

/// A server on `cores` after `seconds` of an even load: 75,000 requests a second on each core.
pub(super) fn report(seconds: u64, cores: &[usize]) -> Report {
    let core = |core: &usize| CoreReport {
        core: *core,
        counters: counters(&[
            ("cycles_busy", seconds * 3_000),
            ("cycles_idle", seconds * 1_000),
            ("requests", seconds * 75_000),
            ("rx_frames", seconds * 80_000),
            ("tx_frames", seconds * 80_000),
            ("rx_bytes", seconds * 8_000_000),
            ("tx_bytes", seconds * 16_000_000),
            ("responses_2xx", seconds * 74_000),
            ("responses_4xx", seconds * 990),
            ("responses_5xx", seconds * 10),
            ("connections_open", 512),
            ("connections_idle", 500),
            ("connections_waiting", 12),
            ("drop_closed_port", seconds * 2),
            ("retransmits", 5),
        ]),
        ..CoreReport::default()
    };
    let cores: Vec<_> = cores.iter().map(core).collect();
    let mut total = Counters::new();
    for (name, value) in cores.iter().flat_map(|core| &core.counters) {
        *total.entry(name.clone()).or_default() += value;
    }
    let n = cores.len() as u64;
    Report {
        unix_ms: seconds * 1_000,
        server: ServerReport {
            state: State::Serving,
            name: "pollux".into(),
            version: "0.1.0".into(),
            pid: 4_711,
            uptime_seconds: seconds,
            url: "http://198.18.0.2:8080/".into(),
            link: "af_xdp:pollux0".into(),
            tsc_hz: 1_000_000_000,
        },
        total,
        cores,
        routes: vec![
            route("/json/{count}", "dataset", n * seconds * 50_000),
            route("/async-db", "postgres", n * seconds * 20_000),
            route("/pipeline", "fixed", n * seconds * 5_000),
            RouteReport { kind: "unrouted".into(), ..RouteReport::default() },
        ],
        latency: vec![
            latency("fixed", Part::Response, seconds * 5_000, 2_000),
            latency("postgres", Part::Response, seconds * 20_000, 1_500_000),
            latency("postgres", Part::Offload, seconds * 20_000, 1_400_000),
            latency("dataset", Part::Response, seconds * 50_000, 12_300),
        ],
        nic: counters(&[("rx_missed", seconds), ("mbufs", 8_192), ("mbufs_free", 4_096)]),
        memory: counters(&[
            ("resident_bytes", 75_497_472),
            ("hugepages_bytes", 566_231_040),
            ("host_hugepage_bytes", 2 << 20),
            ("host_hugepages_total", 768),
            ("host_hugepages_free", 498),
        ]),
        ..Report::default()
    }
}

fn route(path: &str, kind: &str, requests: u64) -> RouteReport {
    RouteReport { path: path.into(), methods: "GET".into(), kind: kind.into(), requests }
}

fn latency(class: &str, part: Part, count: u64, nanos: u64) -> LatencyReport {
    let buckets = vec![(nanos, count)];
    let quantiles = Quantiles::of(&buckets, count * nanos, nanos);
    LatencyReport { class: class.into(), part, quantiles, buckets }
}
