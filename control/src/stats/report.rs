//! The report itself: plain data that reads back from its own JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use engine::{CoreStats, Kind};
use serde::{Deserialize, Serialize};

use super::latency::LatencyReport;
use crate::lifecycle::State;
use crate::offload::OffloadReadings;

/// The version of the report's format. Members may be added within a version; none changes its meaning.
pub(crate) const VERSION: u32 = 1;

/// Numbers by name. The name says the unit: `_bytes`, `_seconds`, `cycles_`; all others are counts.
pub(crate) type Counters = BTreeMap<String, u64>;

/// Everything at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// [`VERSION`].
    pub(crate) version: u32,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub(crate) unix_ms: u64,
    /// Whose numbers these are.
    pub(crate) server: ServerReport,
    /// Sums over the cores that were asked for. `response_max_ns` and other maxima are not sums.
    pub(crate) total: Counters,
    /// What `total` comes to, since the start.
    pub(crate) ratios: Ratios,
    /// By route, in the order of the configuration; the last is for requests that no route took.
    pub(crate) routes: Vec<RouteReport>,
    /// By class of requests, those that have any, over the cores that were asked for.
    pub(crate) latency: Vec<LatencyReport>,
    /// Each core that was asked for.
    pub(crate) cores: Vec<CoreReport>,
    /// The ports: what drivers count, packet buffers.
    pub(crate) nic: Counters,
    /// This process and the hugepages of the host.
    pub(crate) memory: Counters,
    /// What is answered beside the cores: databases, compression, the cache.
    pub(crate) offload: Counters,
    /// Reloads.
    pub(crate) reload: Counters,
    /// The log. A server of before there was this has none.
    #[serde(default)]
    pub(crate) log: Counters,
}

/// The server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ServerReport {
    /// `admin.name`.
    pub(crate) name: String,
    /// Of the binary.
    pub(crate) version: String,
    /// Process id.
    pub(crate) pid: u32,
    /// What it does.
    pub(crate) state: State,
    /// Since the process started, as `pollux version` has it.
    pub(crate) uptime_seconds: u64,
    /// Where it answers.
    pub(crate) url: String,
    /// The link it took.
    pub(crate) link: String,
    /// TSC cycles per second.
    pub(crate) tsc_hz: u64,
}

/// One core.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct CoreReport {
    /// Its number.
    pub(crate) core: usize,
    /// Every counter of its worker.
    #[serde(flatten)]
    pub(crate) counters: Counters,
    /// What they come to, since the start.
    pub(crate) ratios: Ratios,
    /// By class, without buckets.
    pub(crate) latency: Vec<LatencyReport>,
}

/// What counters come to. A ratio over nothing is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ratios {
    /// Share of the cycles that were spent on work, 0 to 1.
    pub(crate) busy: f64,
    /// Busy cycles a request.
    pub(crate) cycles_per_request: f64,
    /// Busy cycles a frame, received or sent.
    pub(crate) cycles_per_frame: f64,
    /// Received frames a turn that received any.
    pub(crate) frames_per_burst: f64,
}

/// One route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RouteReport {
    /// As configured, `/a/*` for everything below; empty for no route.
    pub(crate) path: String,
    /// Its methods, HEAD aside: `GET` or `PUT, DELETE`; empty for no route.
    pub(crate) methods: String,
    /// Its kind; `unrouted` for no route.
    pub(crate) kind: String,
    /// Requests since the start, reloads or not.
    pub(crate) requests: u64,
}

impl Report {
    /// Counters over all cores that are not zero, for the last line of the log.
    pub(crate) fn spell_nonzero(&self) -> String {
        let nonzero = self.total.iter().filter(|(_, value)| **value != 0);
        nonzero.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    }

    /// What changed since `before`: counters become differences, levels stay as they are (a level is what
    /// [`is_level`] says), latencies are those of requests that ended meanwhile. `None` where `before` is of
    /// another process.
    pub(crate) fn since(&self, before: &Self) -> Option<Self> {
        let is_same = before.server.pid == self.server.pid && before.unix_ms <= self.unix_ms;
        if !is_same || before.server.uptime_seconds > self.server.uptime_seconds {
            return None;
        }
        let total = difference(&self.total, &before.total);
        let mut cores = self.cores.clone();
        for core in &mut cores {
            if let Some(old) = before.cores.iter().find(|old| old.core == core.core) {
                core.counters = difference(&core.counters, &old.counters);
                core.ratios = Ratios::of(&core.counters);
            }
        }
        let mut routes = self.routes.clone();
        for route in &mut routes {
            let is_it = |old: &&RouteReport| {
                (&old.path, &old.methods, &old.kind) == (&route.path, &route.methods, &route.kind)
            };
            if let Some(old) = before.routes.iter().find(is_it) {
                route.requests = route.requests.saturating_sub(old.requests);
            }
        }
        let latency = self.latency.iter().map(|now| now.since(&before.latency)).collect();
        Some(Self {
            ratios: Ratios::of(&total),
            total,
            cores,
            routes,
            latency,
            nic: difference(&self.nic, &before.nic),
            offload: difference(&self.offload, &before.offload),
            reload: difference(&self.reload, &before.reload),
            log: difference(&self.log, &before.log),
            ..self.clone()
        })
    }
}

impl Ratios {
    /// Of the counters of one core, or of several.
    pub(crate) fn of(counters: &Counters) -> Self {
        let value = |name: &str| value(counters, name) as f64;
        let ratio = |of: f64, over: f64| if over > 0.0 { of / over } else { 0.0 };
        let busy = value("cycles_busy");
        Self {
            busy: ratio(busy, busy + value("cycles_idle")),
            cycles_per_request: ratio(busy, value("requests")),
            cycles_per_frame: ratio(busy, value("rx_frames") + value("tx_frames")),
            frames_per_burst: ratio(value("rx_frames"), value("turns_receiving")),
        }
    }
}

/// A counter by its name; 0 if it is not there.
pub(crate) fn value(counters: &Counters, name: &str) -> u64 {
    counters.get(name).copied().unwrap_or(0)
}

fn difference(now: &Counters, before: &Counters) -> Counters {
    let since = |(name, now): (&String, &u64)| {
        let old = if is_level(name) { 0 } else { value(before, name) };
        (name.clone(), now.saturating_sub(old))
    };
    now.iter().map(since).collect()
}

/// Whether a number of the report is a level, which goes up and down, rather than a total.
pub(crate) fn is_level(name: &str) -> bool {
    static LEVELS: LazyLock<BTreeSet<&str>> = LazyLock::new(|| {
        let cores = CoreStats::default();
        let declared = cores.readings().chain(OffloadReadings::declared());
        let levels = declared.filter(|reading| reading.kind == Kind::Level);
        levels.map(|reading| reading.name).chain(OTHER_LEVELS).collect()
    });
    LEVELS.contains(name)
}

/// Levels that are declared neither by the workers nor by what answers beside them.
const OTHER_LEVELS: [&str; 10] = [
    "completion_ring",
    "files_served",
    "files_skipped",
    "links_refused",
    "mbufs",
    "mbufs_free",
    "names_hidden",
    "request_buffers_free",
    "sites_retired",
    "submission_ring",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(pairs: &[(&str, u64)]) -> Counters {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    }

    #[test]
    fn levels_are_those_that_are_declared_so_and_a_few_more() {
        let levels =
            ["connections_open", "cache_entries", "mbufs", "sites_retired", "files_skipped"];
        assert!(levels.iter().all(|name| is_level(name)));
        let totals = ["connections_opened", "cache_hits", "requests", "reloads", "rx_missed"];
        assert!(!totals.iter().any(|name| is_level(name)));
    }

    #[test]
    fn a_ratio_over_nothing_is_zero() {
        assert_eq!(Ratios::of(&Counters::new()), Ratios::default());
        let some = counters(&[("cycles_busy", 300), ("cycles_idle", 100), ("requests", 3)]);
        let ratios = Ratios::of(&some);
        assert_eq!((ratios.busy, ratios.cycles_per_request), (0.75, 100.0));
    }

    #[test]
    fn a_difference_keeps_levels_and_refuses_another_process() {
        let server = ServerReport { pid: 7, uptime_seconds: 10, ..ServerReport::default() };
        let before = Report {
            unix_ms: 1_000,
            server: server.clone(),
            total: counters(&[("requests", 5), ("connections_open", 9)]),
            ..Report::default()
        };
        let now = Report {
            unix_ms: 2_000,
            total: counters(&[("requests", 12), ("connections_open", 4), ("retransmits", 1)]),
            ..before.clone()
        };
        let since = now.since(&before).expect("the same process");
        let expected = counters(&[("requests", 7), ("connections_open", 4), ("retransmits", 1)]);
        assert_eq!(since.total, expected);
        let other = ServerReport { pid: 8, ..server };
        assert_eq!(now.since(&Report { server: other, ..before }), None);
    }

    #[test]
    fn it_reads_back_from_its_json() {
        let report = Report {
            version: VERSION,
            cores: vec![CoreReport {
                core: 3,
                counters: counters(&[("requests", 5)]),
                ..CoreReport::default()
            }],
            ..Report::default()
        };
        let text = serde_json::to_string(&report).expect("is JSON");
        assert!(text.contains("\"core\":3,\"requests\":5"), "{text}");
        assert_eq!(serde_json::from_str::<Report>(&text).expect("reads back"), report);
    }
}
