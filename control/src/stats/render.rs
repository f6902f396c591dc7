//! A report as `pollux stats` prints it.

use std::fmt::Write as _;

use super::report::{Counters, Report, is_level, value};
use super::table::Table;
use crate::human;

/// What the numbers of a report are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Numbers {
    /// Totals since the start.
    Totals,
    /// Differences over this many seconds: shown by the second.
    Rates {
        /// How long.
        seconds: f64,
    },
}

impl Numbers {
    /// Ends a header: the unit of what is counted.
    fn per(self) -> &'static str {
        match self {
            Self::Totals => "",
            Self::Rates { .. } => "/s",
        }
    }

    /// A total, or its rate.
    fn count(self, value: u64) -> String {
        match self {
            Self::Totals => human::count(value),
            Self::Rates { seconds } => {
                human::rate(value as f64 / seconds).trim_end_matches("/s").to_owned()
            }
        }
    }

    fn bytes(self, value: u64) -> String {
        match self {
            Self::Totals => human::bytes(value),
            Self::Rates { seconds } => human::bits_per_second(value as f64 * 8.0 / seconds),
        }
    }
}

/// The report as text: a line about the server, then a table for each subject, units in the headers.
pub(crate) fn render(report: &Report, numbers: Numbers) -> String {
    let server = &report.server;
    let mut text = format!(
        "{} (process {}, version {}): {} at {} on {} for {}; {}\n",
        server.name,
        server.pid,
        server.version,
        server.state.name(),
        server.url,
        server.link,
        human::uptime(server.uptime_seconds),
        match numbers {
            Numbers::Totals => "totals since the start".to_owned(),
            Numbers::Rates { seconds } => format!("rates over {seconds:.1} s"),
        }
    );
    let tables = [
        cores(report, numbers),
        requests(report, numbers),
        routes(report, numbers),
        latency(report),
        connections(report),
        endings(report, numbers),
        frames(report, numbers),
        drops(report, numbers),
        named("EXCEPTION PATH", &exception(report), numbers),
        named("OFFLOAD", &offload(report), numbers),
        named("NIC", &report.nic, numbers),
        named("RELOAD", &report.reload, numbers),
        named("LOG", &report.log, numbers),
        memory(report),
    ];
    for table in tables.iter().filter(|table| !table.is_empty()) {
        write!(text, "\n{table}").expect("a String takes everything");
    }
    text
}

fn cores(report: &Report, numbers: Numbers) -> Table {
    let per = numbers.per();
    let mut table = Table::new(
        "CORE",
        &[
            "busy",
            "idle",
            &format!("requests{per}"),
            "cycles/request",
            "cycles/frame",
            "frames/burst",
            "open connections",
            "waiting for a completion",
            "free request buffers",
        ],
    );
    let each =
        report.cores.iter().map(|core| (core.core.to_string(), &core.ratios, &core.counters));
    for (name, ratios, counters) in each.chain([("all".into(), &report.ratios, &report.total)]) {
        let level = |name| human::count(value(counters, name));
        table.row(
            name,
            [
                human::percent(ratios.busy),
                human::percent(1.0 - ratios.busy),
                numbers.count(value(counters, "requests")),
                format!("{:.0}", ratios.cycles_per_request),
                format!("{:.0}", ratios.cycles_per_frame),
                format!("{:.1}", ratios.frames_per_burst),
                level("connections_open"),
                level("connections_waiting"),
                level("request_buffers_free"),
            ],
        );
    }
    table
}

fn requests(report: &Report, numbers: Numbers) -> Table {
    let per = numbers.per();
    let headers =
        ["2xx", "3xx", "4xx", "5xx", "refused by the protocol"].map(|h| format!("{h}{per}"));
    let bytes = match numbers {
        Numbers::Totals => ["received", "sent"],
        Numbers::Rates { .. } => ["received, bit/s", "sent, bit/s"],
    };
    let headers: Vec<&str> = headers.iter().map(String::as_str).chain(bytes).collect();
    let mut table = Table::new("RESPONSES", &headers);
    let of = |name: &str| value(&report.total, name);
    let classes = ["responses_2xx", "responses_3xx", "responses_4xx", "responses_5xx", "rejects"];
    let counts = classes.map(|name| numbers.count(of(name)));
    let bytes = ["request_bytes", "response_bytes"].map(|name| numbers.bytes(of(name)));
    table.row("", counts.into_iter().chain(bytes));
    table
}

fn routes(report: &Report, numbers: Numbers) -> Table {
    let mut table = Table::new("ROUTE", &["kind", &format!("requests{}", numbers.per())]);
    for route in report.routes.iter().filter(|route| route.requests > 0) {
        let name = match route.path.as_str() {
            "" => "(no route)".to_owned(),
            path => format!("{} {path}", route.methods),
        };
        table.row(name, [route.kind.clone(), numbers.count(route.requests)]);
    }
    table
}

fn latency(report: &Report) -> Table {
    let headers = ["of", "requests", "p50", "p90", "p99", "p99.9", "max"];
    let mut table = Table::new("LATENCY", &headers);
    for latency in report.latency.iter().filter(|latency| latency.quantiles.count > 0) {
        let q = &latency.quantiles;
        let times = [q.p50_ns, q.p90_ns, q.p99_ns, q.p999_ns, q.max_ns].map(human::nanos);
        let head = [latency.part.name().to_owned(), human::count(q.count)];
        table.row(latency.class.clone(), head.into_iter().chain(times));
    }
    table
}

fn connections(report: &Report) -> Table {
    let states = ["half_open", "idle", "reading", "waiting", "sending", "closing"];
    let headers: Vec<_> = states.iter().map(|state| state.replace('_', "-")).collect();
    let headers: Vec<&str> = ["open"]
        .into_iter()
        .chain(headers.iter().map(String::as_str))
        .chain(["time-wait"])
        .collect();
    let mut table = Table::new("CONNECTIONS", &headers);
    let level = |name: &str| human::count(value(&report.total, name));
    let by_state = states.map(|state| level(&format!("connections_{state}")));
    let ends = |name: &str| [level(name)];
    table.row(
        "now",
        ends("connections_open").into_iter().chain(by_state).chain(ends("time_wait_open")),
    );
    table
}

/// How connections came and went, and the deadlines that were missed.
fn endings(report: &Report, numbers: Numbers) -> Table {
    let mut table = Table::new("CONNECTION EVENTS", &[&format!("count{}", numbers.per())]);
    let is_shown = |name: &str| {
        !is_level(name)
            && ["connections_", "time_wait_", "deadline_"].iter().any(|part| name.starts_with(part))
    };
    for (name, count) in report.total.iter().filter(|(name, count)| is_shown(name) && **count > 0) {
        let name = name.strip_prefix("connections_").unwrap_or(name);
        table.row(name.replace('_', " "), [numbers.count(*count)]);
    }
    table
}

fn frames(report: &Report, numbers: Numbers) -> Table {
    let per = numbers.per();
    let counts = ["frames", "retransmitted", "out of order", "recoveries", "timeouts"];
    let headers = counts.map(|header| format!("{header}{per}"));
    let bytes = match numbers {
        Numbers::Totals => "bytes",
        Numbers::Rates { .. } => "bit/s",
    };
    let [frames, retransmitted, early, recoveries, timeouts] =
        headers.each_ref().map(String::as_str);
    let titles = [frames, bytes, retransmitted, early, recoveries, timeouts];
    let mut table = Table::new("FRAMES", &titles);
    let of = |name: &str| value(&report.total, name);
    let count = |name: &str| numbers.count(of(name));
    let none = || "-".to_owned();
    let received = numbers.bytes(of("rx_bytes"));
    let early = count("rx_out_of_order");
    table.row("received", [count("rx_frames"), received, none(), early, none(), none()]);
    let (sent, again) = (numbers.bytes(of("tx_bytes")), count("retransmits"));
    let (recovered, timed_out) = (count("recoveries"), count("retransmission_timeouts"));
    table.row("sent", [count("tx_frames"), sent, again, none(), recovered, timed_out]);
    table
}

fn drops(report: &Report, numbers: Numbers) -> Table {
    let mut table = Table::new("DROPPED", &[&format!("frames{}", numbers.per())]);
    let is_drop = |name: &str| {
        name.starts_with("drop_") || name.starts_with("nic_") || name == "reply_no_tx_buffer"
    };
    for (name, count) in report.total.iter().filter(|(name, count)| is_drop(name) && **count > 0) {
        let reason = name.strip_prefix("drop_").unwrap_or(name).replace('_', " ");
        table.row(reason, [numbers.count(*count)]);
    }
    if table.is_empty() {
        table.row("none", ["0".to_owned()]);
    }
    table
}

/// What the cores have offloaded and what waits in their rings, and what became of it beside them.
fn offload(report: &Report) -> Counters {
    let is_ours = |name: &str| {
        ["offloads_", "request_buffers_"].iter().any(|part| name.starts_with(part))
            || ["parked", "submission_ring", "completion_ring"].contains(&name)
    };
    let of_cores = report.total.iter().filter(|(name, _)| is_ours(name));
    of_cores.chain(&report.offload).map(|(name, value)| (name.clone(), *value)).collect()
}

/// What the kernel got and sent.
fn exception(report: &Report) -> Counters {
    let is_ours = |(name, _): &(&String, &u64)| name.starts_with("exception_");
    let ours = report.total.iter().filter(is_ours);
    ours.map(|(name, value)| (name.trim_start_matches("exception_").to_owned(), *value)).collect()
}

/// Counters that are not zero.
fn named(title: &'static str, counters: &Counters, numbers: Numbers) -> Table {
    let mut table = Table::new(title, &[&format!("count{}", numbers.per()), "now"]);
    for (name, value) in counters.iter().filter(|(_, value)| **value > 0) {
        let name_shown = name.replace('_', " ");
        let is_bytes = name.ends_with("_bytes") || name.starts_with("response_bytes");
        if is_level(name) {
            let level = if is_bytes { human::bytes(*value) } else { human::count(*value) };
            table.row(name_shown, ["-".to_owned(), level]);
        } else {
            let count = if is_bytes { numbers.bytes(*value) } else { numbers.count(*value) };
            table.row(name_shown, [count, "-".to_owned()]);
        }
    }
    table
}

fn memory(report: &Report) -> Table {
    let mut table = Table::new("MEMORY", &["bytes"]);
    let of = |name: &str| value(&report.memory, name);
    table.row("resident", [human::bytes(of("resident_bytes"))]);
    table.row("in hugepages", [human::bytes(of("hugepages_bytes"))]);
    let page = of("host_hugepage_bytes");
    let free = page.saturating_mul(of("host_hugepages_free"));
    table.row("free hugepages of the host", [human::bytes(free)]);
    table
}

#[cfg(test)]
mod tests {
    use engine::CoreStats;

    use super::super::latency::{LatencyReport, Part, Quantiles};
    use super::super::report::{CoreReport, Ratios, RouteReport, ServerReport};
    use super::*;

    fn report() -> Report {
        let counters = CoreStats::default()
            .readings()
            .zip(1..)
            .map(|(reading, value)| (reading.name.to_owned(), value * 1_000))
            .collect::<Counters>();
        Report {
            server: ServerReport {
                name: "web".into(),
                pid: 47,
                version: "0.1.0".into(),
                uptime_seconds: 75,
                url: "http://198.18.0.2:8080/".into(),
                link: "af_xdp:pollux0".into(),
                ..ServerReport::default()
            },
            ratios: Ratios { busy: 0.25, cycles_per_request: 1_360.4, ..Ratios::default() },
            routes: vec![
                RouteReport {
                    path: "/json/{n}".into(),
                    methods: "GET".into(),
                    kind: "dataset".into(),
                    requests: 12_346,
                },
                RouteReport { path: "/never".into(), requests: 0, ..RouteReport::default() },
            ],
            latency: vec![LatencyReport {
                class: "dataset".into(),
                part: Part::Response,
                quantiles: Quantiles { count: 12_345, p50_ns: 4_200, ..Quantiles::default() },
                buckets: Vec::new(),
            }],
            cores: vec![CoreReport {
                core: 3,
                counters: counters.clone(),
                ..CoreReport::default()
            }],
            total: counters,
            ..Report::default()
        }
    }

    #[track_caller]
    fn line<'a>(text: &'a str, begin: &str) -> &'a str {
        let found = text.lines().find(|line| line.starts_with(begin));
        found.unwrap_or_else(|| panic!("no line begins with {begin}:\n{text}"))
    }

    #[test]
    fn totals_are_in_tables_with_units_in_their_headers() {
        let text = render(&report(), Numbers::Totals);
        let first = "web (process 47, version 0.1.0): serving at http://198.18.0.2:8080/ on \
                     af_xdp:pollux0 for 1m 15s; totals since the start";
        assert_eq!(text.lines().next(), Some(first));
        assert!(line(&text, "CORE ").contains("cycles/request"), "{text}");
        assert!(line(&text, "all ").contains("25.0 %") && line(&text, "all ").contains("1360"));
        let words: Vec<_> = line(&text, "GET /json/{n}").split_whitespace().collect();
        assert_eq!(words, ["GET", "/json/{n}", "dataset", "12.3", "k"]);
        assert!(!text.contains("/never"), "routes without a request are left out");
        assert!(line(&text, "dataset ").contains("4.20 us"), "{text}");
        assert!(line(&text, "LATENCY").ends_with("max"));
    }

    #[test]
    fn every_reason_to_drop_and_every_end_of_a_connection_has_a_line() {
        let text = render(&report(), Numbers::Totals);
        for reading in CoreStats::default().readings() {
            let shown = reading.name.strip_prefix("drop_").or_else(|| {
                let is_total = reading.kind == engine::Kind::Total;
                reading.name.strip_prefix("connections_").filter(|_| is_total)
            });
            if let Some(shown) = shown {
                let begin = format!("{} ", shown.replace('_', " "));
                assert!(text.lines().any(|line| line.starts_with(&begin)), "{begin}\n{text}");
            }
        }
    }

    #[test]
    fn what_the_cores_offload_is_beside_what_became_of_it() {
        let mut report = report();
        report.offload.insert("cache_hits".into(), 7);
        let text = render(&report, Numbers::Totals);
        for begin in ["offloads submitted ", "offloads late ", "parked ", "cache hits "] {
            line(&text, begin);
        }
    }

    #[test]
    fn the_exception_path_has_its_table_where_there_is_one() {
        let mut report = report();
        report.total.insert("exception_write_failed".into(), 3);
        let text = render(&report, Numbers::Totals);
        assert!(line(&text, "EXCEPTION PATH").contains("count"));
        let words: Vec<_> = line(&text, "write failed ").split_whitespace().collect();
        assert_eq!(words, ["write", "failed", "3", "-"]);
        report.total.retain(|name, _| !name.starts_with("exception_"));
        assert!(!render(&report, Numbers::Totals).contains("EXCEPTION"));
    }

    #[test]
    fn rates_are_by_the_second() {
        let text = render(&report(), Numbers::Rates { seconds: 2.0 });
        assert!(text.lines().next().is_some_and(|line| line.ends_with("rates over 2.0 s")));
        assert!(line(&text, "CORE ").contains("requests/s"), "{text}");
        assert!(line(&text, "ROUTE").ends_with("requests/s"));
        let words: Vec<_> = line(&text, "GET /json/{n}").split_whitespace().collect();
        assert_eq!(words, ["GET", "/json/{n}", "dataset", "6173"]);
    }

    #[test]
    fn nothing_dropped_is_said() {
        let text = render(&Report::default(), Numbers::Totals);
        assert!(line(&text, "none ").ends_with('0'), "{text}");
    }
}
