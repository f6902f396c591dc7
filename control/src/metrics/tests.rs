//! A report to test with.

use engine::CoreStats;

use crate::offload::OffloadReadings;
use crate::stats::{CoreReport, LatencyReport, Part, Quantiles, Report, RouteReport, ServerReport};

/// A report with every counter there is, each with a value of its own.
pub(super) fn full_report() -> Report {
    let mut next = 1_000_u64;
    let mut number = |name: &str| {
        next += 1;
        (name.to_owned(), next)
    };
    let stats = CoreStats::default();
    let extra =
        ["submission_ring", "completion_ring", "request_buffers_refused", "request_buffers_free"];
    let names: Vec<_> = stats.readings().map(|reading| reading.name).chain(extra).collect();
    let mut core = |core| CoreReport {
        core,
        counters: names.iter().map(|name| number(name)).collect(),
        ..CoreReport::default()
    };
    let cores = vec![core(1), core(2)];
    let mut section = |names: &[&str]| names.iter().map(|name| number(name)).collect();
    let offload: Vec<_> = OffloadReadings::declared().map(|reading| reading.name).collect();
    let latency = |part| LatencyReport {
        class: "sqlite".into(),
        part,
        quantiles: Quantiles { count: 7, sum_ns: 3_000_000, ..Quantiles::default() },
        buckets: vec![(900, 1), (1_500, 2), (4_000_000, 4)],
    };
    Report {
        server: ServerReport {
            name: "a".into(),
            version: "0.1.0".into(),
            link: "quote \" backslash \\ line\nend".into(),
            ..ServerReport::default()
        },
        cores,
        nic: section(&[
            "rx_frames",
            "rx_bytes",
            "tx_frames",
            "tx_bytes",
            "rx_missed",
            "rx_errors",
            "rx_no_buffer",
            "tx_errors",
            "mbufs",
            "mbufs_free",
            "kernel_rx_dropped",
        ]),
        memory: section(&[
            "resident_bytes",
            "hugepages_bytes",
            "host_hugepage_bytes",
            "host_hugepages_total",
            "host_hugepages_free",
        ]),
        offload: section(&offload),
        reload: section(&[
            "reloads",
            "reloads_refused",
            "sites_retired",
            "files_served",
            "files_skipped",
            "links_refused",
            "names_hidden",
        ]),
        log: section(&["log_entries_lost"]),
        routes: vec![
            RouteReport {
                path: "/a/*".into(),
                methods: "GET".into(),
                kind: "files".into(),
                requests: 5,
            },
            RouteReport { kind: "unrouted".into(), requests: 6, ..RouteReport::default() },
        ],
        latency: vec![latency(Part::Response), latency(Part::Offload)],
        ..Report::default()
    }
}
