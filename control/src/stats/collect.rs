//! Takes a [`Report`]: loads of every counter, once.

use std::fs;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use dpdk::{Port, PortStats, Running};
use engine::{CoreStats, Latencies};
use handlers::RouteKind;

use super::latency::{LatencyReport, Merged, Part};
use super::report::{CoreReport, Counters, Ratios, Report, RouteReport, ServerReport, VERSION};
use crate::lifecycle::State;
use crate::logs;
use crate::memory::{HugepagePool, MemoryUse};
use crate::offload::OffloadReadings;
use crate::reload::ReloadReadings;

/// What one core is read from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CoreReadings<'a> {
    /// The core.
    pub(crate) core: usize,
    /// Its worker's counters.
    pub(crate) stats: &'a CoreStats,
    /// Its worker's histograms.
    pub(crate) latencies: &'a Latencies,
    /// Requests in its submission ring and completions in its completion ring.
    pub(crate) rings: (usize, usize),
    /// Requests it answered 503 for want of a request buffer.
    pub(crate) request_buffers_refused: u64,
    /// Request buffers that are free.
    pub(crate) request_buffers_free: usize,
}

/// What is below the workers: the ports of the process together. A driver that keeps no counters adds none.
pub(crate) fn nic(ports: &[Port<Running>]) -> Counters {
    let mut counters = Counters::new();
    for port in ports {
        let (stats, pool) = (port.stats().unwrap_or_default(), port.pool());
        let others = [
            ("mbufs", pool.size().into()),
            ("mbufs_free", pool.available().into()),
            // The AF_XDP driver does not count a full ring itself.
            ("kernel_rx_dropped", port.interface().map_or(0, kernel_drops)),
        ];
        for (name, value) in PORT.map(|(name, of)| (name, of(&stats))).into_iter().chain(others) {
            *counters.entry(name.to_owned()).or_default() += value;
        }
    }
    counters
}

/// A counter of a driver: its name and its value.
type PortCounter = (&'static str, fn(&PortStats) -> u64);

/// What a driver counts.
const PORT: [PortCounter; 8] = [
    ("rx_frames", |stats| stats.rx_frames),
    ("rx_bytes", |stats| stats.rx_bytes),
    ("tx_frames", |stats| stats.tx_frames),
    ("tx_bytes", |stats| stats.tx_bytes),
    ("rx_missed", |stats| stats.rx_missed),
    ("rx_errors", |stats| stats.rx_errors),
    ("rx_no_buffer", |stats| stats.rx_no_buffer),
    ("tx_errors", |stats| stats.tx_errors),
];

/// What the kernel says it dropped on the way in from `interface`.
fn kernel_drops(interface: &str) -> u64 {
    let path = format!("/sys/class/net/{interface}/statistics/rx_dropped");
    fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// What does not change while a server runs.
#[derive(Clone, Debug)]
pub(crate) struct ServerFacts {
    /// `admin.name`.
    pub(crate) name: String,
    /// Where it answers.
    pub(crate) url: String,
    /// The link it took.
    pub(crate) link: String,
    /// When the process began to start.
    pub(crate) began: Instant,
    /// TSC cycles per second.
    pub(crate) tsc_hz: u64,
}

/// Everything a report is made from.
#[derive(Debug)]
pub(crate) struct Sources<'a> {
    /// The server.
    pub(crate) server: &'a ServerFacts,
    /// What it does.
    pub(crate) state: State,
    /// The cores that are asked for.
    pub(crate) cores: &'a [CoreReadings<'a>],
    /// Requests by route, of these cores.
    pub(crate) routes: Vec<RouteReport>,
    /// The ports.
    pub(crate) nic: Counters,
    /// What is answered beside the cores.
    pub(crate) offload: &'a OffloadReadings,
    /// Reloads.
    pub(crate) reload: ReloadReadings,
}

impl Sources<'_> {
    /// The report.
    pub(crate) fn report(self) -> Report {
        let hz = self.server.tsc_hz;
        let cores: Vec<_> = self.cores.iter().map(|core| core_report(core, hz)).collect();
        let mut total = Counters::new();
        for (name, value) in cores.iter().flat_map(|core| &core.counters) {
            let sum = total.entry(name.clone()).or_default();
            *sum = sum.wrapping_add(*value);
        }
        let ServerFacts { name, url, link, began, tsc_hz } = self.server;
        let age = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Report {
            version: VERSION,
            unix_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
            server: ServerReport {
                name: name.clone(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                pid: std::process::id(),
                state: self.state,
                uptime_seconds: began.elapsed().as_secs(),
                url: url.clone(),
                link: link.clone(),
                tsc_hz: *tsc_hz,
            },
            ratios: Ratios::of(&total),
            total,
            routes: self.routes,
            latency: latency(self.cores, hz),
            cores,
            nic: self.nic,
            memory: memory(),
            offload: named(self.offload.iter().map(|reading| (reading.name, reading.value))),
            reload: named([
                ("reloads", self.reload.reloads),
                ("reloads_refused", self.reload.reloads_refused),
                ("sites_retired", self.reload.sites_retired),
                ("files_served", self.reload.files_served),
                ("files_skipped", self.reload.files_skipped),
                ("links_refused", self.reload.links_refused),
                ("names_hidden", self.reload.names_hidden),
            ]),
            log: named([("log_entries_lost", logs::entries_lost())]),
        }
    }
}

fn core_report(core: &CoreReadings<'_>, tsc_hz: u64) -> CoreReport {
    let (submission_ring, completion_ring) = core.rings;
    let counted = core.stats.readings().map(|reading| (reading.name, reading.value));
    let counters = named(counted.chain([
        ("submission_ring", submission_ring as u64),
        ("completion_ring", completion_ring as u64),
        ("request_buffers_refused", core.request_buffers_refused),
        ("request_buffers_free", core.request_buffers_free as u64),
    ]));
    let mut latency = latency(&[*core], tsc_hz);
    latency.iter_mut().for_each(|report| report.buckets.clear());
    CoreReport { core: core.core, ratios: Ratios::of(&counters), counters, latency }
}

/// The latencies of `cores` together, by class.
fn latency(cores: &[CoreReadings<'_>], tsc_hz: u64) -> Vec<LatencyReport> {
    let mut reports = Vec::new();
    for kind in RouteKind::ALL {
        let (mut response, mut offload) = (Merged::default(), Merged::default());
        for core in cores {
            response.add(core.latencies.response(kind.class()));
            offload.add(core.latencies.offload(kind.class()));
        }
        reports.extend(response.report(kind.name(), Part::Response, tsc_hz));
        reports.extend(offload.report(kind.name(), Part::Offload, tsc_hz));
    }
    reports
}

fn memory() -> Counters {
    let (used, pool) = (MemoryUse::read(), HugepagePool::read());
    named([
        ("resident_bytes", used.resident),
        ("hugepages_bytes", used.hugepages),
        ("host_hugepage_bytes", pool.page),
        ("host_hugepages_total", pool.total),
        ("host_hugepages_free", pool.free),
    ])
}

fn named<'a>(pairs: impl IntoIterator<Item = (&'a str, u64)>) -> Counters {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use engine::control_queue::{self, WallClock};
    use handlers::SiteHandle;

    use super::*;

    #[test]
    fn each_counter_of_a_port_has_its_own_name() {
        let stats = PortStats {
            rx_frames: 1,
            rx_bytes: 2,
            tx_frames: 3,
            tx_bytes: 4,
            rx_missed: 5,
            rx_errors: 6,
            rx_no_buffer: 7,
            tx_errors: 8,
        };
        for (name, of) in PORT {
            let field = format!("{name}: {}", of(&stats));
            assert!(format!("{stats:?}").contains(&field), "{field}");
        }
    }

    #[test]
    fn the_total_is_the_sum_of_the_cores() {
        let wall = WallClock::new(0);
        let ends = [
            control_queue::pair::<SiteHandle>(&wall, 1),
            control_queue::pair::<SiteHandle>(&wall, 1),
        ];
        let [(a, _), (b, _)] = &ends;
        a.stats().requests.add(3);
        b.stats().requests.add(4);
        b.stats().connections_open.set(2);
        let cores = [(1, a), (2, b)].map(|(core, end)| CoreReadings {
            core,
            stats: end.stats(),
            latencies: end.latencies(),
            rings: end.ring_levels(),
            request_buffers_refused: 5,
            request_buffers_free: 7,
        });
        let server = ServerFacts {
            name: "a".into(),
            url: "http://198.18.0.2:8080/".into(),
            link: "none".into(),
            began: Instant::now(),
            tsc_hz: 1,
        };
        let report = Sources {
            server: &server,
            state: State::Serving,
            cores: &cores,
            routes: Vec::new(),
            nic: named([("rx_missed", 7), ("mbufs_free", 8)]),
            offload: &OffloadReadings::default(),
            reload: ReloadReadings { reloads: 9, ..ReloadReadings::default() },
        }
        .report();
        assert_eq!(report.cores[0].core, 1);
        assert_eq!((report.cores[0].counters["requests"], report.total["requests"]), (3, 7));
        assert_eq!(report.total["connections_open"], 2);
        assert_eq!(report.total["request_buffers_refused"], 10);
        assert_eq!((report.nic["rx_missed"], report.nic["mbufs_free"]), (7, 8));
        assert_eq!(report.reload["reloads"], 9);
        assert_eq!(report.server.pid, std::process::id());
        assert!(report.memory["resident_bytes"] > 0);
        assert!(report.latency.is_empty(), "nothing was measured");
    }
}
