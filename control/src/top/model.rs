//! From reports to what is shown: rates between two reports, and their history.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::controls::Controls;
use super::errors::errors;
use super::event::Polled;
use super::view::{
    Absence, Body, Connections, CoreLine, Header, LatencyLine, Memory, RouteLine, Throughput, View,
};
use crate::stats::{CoreReport, Counters, LatencyReport, Part, Report, RouteReport, value};

/// All that is known of the server.
#[derive(Clone, Debug)]
pub(super) struct Model {
    name: String,
    all: Series,
    /// Of the core that was chosen last.
    core: Option<(usize, Series)>,
    /// Requests a second by core, the newest last.
    history: VecDeque<BTreeMap<usize, f64>>,
    absence: Option<Absence>,
    /// When the newest report came.
    seen: Option<Instant>,
}

/// The newest report, and what it has over the one before.
#[derive(Clone, Debug, Default)]
struct Series {
    now: Option<Report>,
    change: Option<Change>,
}

#[derive(Clone, Debug)]
struct Change {
    report: Report,
    seconds: f64,
}

impl Model {
    /// Before the first report of the server called `name`.
    pub(super) fn new(name: &str) -> Self {
        let absence = Absence { title: "connecting", text: String::new() };
        Self {
            name: name.to_owned(),
            all: Series::default(),
            core: None,
            history: VecDeque::new(),
            absence: Some(absence),
            seen: None,
        }
    }

    /// Takes over what came of asking.
    pub(super) fn take(&mut self, polled: Polled, now: Instant) {
        let (core, report) = match polled {
            Polled::Report { core, report } => (core, *report),
            Polled::NoServer(text) => {
                self.absence = Some(Absence { title: "no server", text });
                return;
            }
            Polled::NoReport(text) => {
                self.absence = Some(Absence { title: "no statistics", text });
                return;
            }
        };
        self.seen = Some(now);
        self.absence = None;
        if let Some(core) = core {
            match &mut self.core {
                Some((of, series)) if *of == core => series.push(report),
                other => *other = Some((core, Series { now: Some(report), change: None })),
            }
            return;
        }
        if self.all.is_of_another(&report) {
            self.history.clear();
            self.core = None;
        }
        self.all.push(report);
        if let Some(change) = &self.all.change {
            let rate = |counters: &Counters| change.rate(value(counters, "requests"));
            let cores = &change.report.cores;
            let rates = cores.iter().map(|core| (core.core, rate(&core.counters))).collect();
            self.history.push_back(rates);
            if self.history.len() > HISTORY_MAX {
                self.history.pop_front();
            }
        }
    }

    /// Where workers run.
    pub(super) fn cores(&self) -> Vec<usize> {
        let cores = self.all.now.iter().flat_map(|report| &report.cores);
        cores.map(|core| core.core).collect()
    }

    /// What is to be seen at `now`.
    pub(super) fn view(&self, controls: &Controls, now: Instant) -> View {
        let name = self.name.clone();
        let report = self.all.now.as_ref().filter(|_| self.absence.is_none());
        let Some(report) = report else {
            let absence = self.absence.clone().unwrap_or_default();
            return View { header: Header { name, ..Header::default() }, body: Err(absence) };
        };
        let age = self.seen.map_or(Duration::ZERO, |seen| now.saturating_duration_since(seen));
        let server = &report.server;
        let silence = (age > controls.interval * 2 + SILENCE_MAX).then_some(age.as_secs());
        let header = Header {
            name,
            state: server.state.name(),
            silence,
            pid: server.pid,
            version: server.version.clone(),
            uptime_seconds: server.uptime_seconds,
            link: server.link.clone(),
            url: server.url.clone(),
            memory: memory(report),
        };
        View { header, body: Ok(self.body(report, controls)) }
    }

    fn body(&self, report: &Report, controls: &Controls) -> Body {
        let change = self.all.change.as_ref();
        // Counters of the scope: of all cores, or of the one that is chosen.
        let of_core = |report| counters_of(report, controls.core);
        let (total, grown) = (of_core(report), change.map(|change| of_core(&change.report)));
        let rate = |name: &str| {
            grown.zip(change).map_or(0.0, |(counters, change)| change.rate(value(counters, name)))
        };
        let series = match controls.core {
            None => Some(&self.all),
            Some(core) => {
                self.core.as_ref().filter(|(of, _)| *of == core).map(|(_, series)| series)
            }
        };
        let per_scope = |rates: &BTreeMap<usize, f64>| match controls.core {
            None => rates.values().sum(),
            Some(core) => rates.get(&core).copied().unwrap_or(0.0),
        };
        Body {
            core: controls.core,
            cores: core_lines(report, change),
            requests: rate("requests"),
            history: self.history.iter().map(per_scope).collect(),
            responses: CLASSES.map(|(class, name)| (class, rate(name))),
            received: Throughput { bytes: rate("rx_bytes"), frames: rate("rx_frames") },
            sent: Throughput { bytes: rate("tx_bytes"), frames: rate("tx_frames") },
            connections: Connections(CONNECTIONS.map(|(label, name)| (label, value(total, name)))),
            latency: series.map(latency_lines).unwrap_or_default(),
            routes: series.map(route_lines).unwrap_or_default(),
            errors: errors(report, change.map(|change| &change.report)),
        }
    }
}

impl Series {
    fn push(&mut self, report: Report) {
        let before = self.now.as_ref();
        let change = before.and_then(|before| {
            let seconds = report.unix_ms.saturating_sub(before.unix_ms) as f64 / 1_000.0;
            let report = report.since(before).filter(|_| seconds > 0.0)?;
            Some(Change { report, seconds })
        });
        self.change = change;
        self.now = Some(report);
    }

    fn is_of_another(&self, report: &Report) -> bool {
        self.now.as_ref().is_some_and(|now| report.since(now).is_none())
    }
}

impl Change {
    fn rate(&self, grew: u64) -> f64 {
        grew as f64 / self.seconds
    }
}

fn counters_of(report: &Report, core: Option<usize>) -> &Counters {
    let chosen = report.cores.iter().find(|other| Some(other.core) == core);
    chosen.map_or(&report.total, |core| &core.counters)
}

fn core_lines(report: &Report, change: Option<&Change>) -> Vec<CoreLine> {
    let line = |core: &CoreReport| {
        let found = change.and_then(|change| {
            let grown = change.report.cores.iter().find(|other| other.core == core.core)?;
            Some((grown.ratios.busy, change.rate(value(&grown.counters, "requests"))))
        });
        let (busy, rate) = found.unwrap_or((core.ratios.busy, 0.0));
        CoreLine { core: core.core, busy, rate }
    };
    report.cores.iter().map(line).collect()
}

/// Every class that was ever measured, the most requests first; its offload wait right below it.
fn latency_lines(series: &Series) -> Vec<LatencyLine> {
    let Some(now) = &series.now else { return Vec::new() };
    let responses = |class: &str| {
        let is_it = |other: &&LatencyReport| other.class == class && other.part == Part::Response;
        now.latency.iter().find(is_it).map_or(0, |report| report.quantiles.count)
    };
    let mut reports: Vec<_> = now.latency.iter().collect();
    reports.sort_by_key(|report| {
        (std::cmp::Reverse(responses(&report.class)), &report.class, report.part == Part::Offload)
    });
    let line = |report: &LatencyReport| {
        let is_it =
            |other: &&LatencyReport| other.class == report.class && other.part == report.part;
        let found = series.change.as_ref().and_then(|change| {
            let grown = change.report.latency.iter().find(is_it)?.quantiles;
            Some((change.rate(grown.count), grown))
        });
        let (rate, quantiles) = found.unwrap_or_default();
        LatencyLine { class: report.class.clone(), part: report.part, rate, quantiles }
    };
    reports.into_iter().map(line).collect()
}

fn route_lines(series: &Series) -> Vec<RouteLine> {
    let Some(now) = &series.now else { return Vec::new() };
    let grown = series.change.as_ref().map(|change| (change, &change.report.routes));
    let line = |(at, route): (usize, &RouteReport)| RouteLine {
        // A difference has the routes of the newer report, in its order.
        rate: grown.map_or(0.0, |(change, routes)| change.rate(routes[at].requests)),
        methods: route.methods.clone(),
        path: if route.path.is_empty() { "(no route)".into() } else { route.path.clone() },
        kind: route.kind.clone(),
        total: route.requests,
    };
    now.routes.iter().enumerate().map(line).collect()
}

fn memory(report: &Report) -> Memory {
    let of = |name| value(&report.memory, name);
    Memory {
        resident: of("resident_bytes"),
        hugepages: of("hugepages_bytes"),
        host_page_size: of("host_hugepage_bytes"),
        host_free: of("host_hugepages_free"),
        host_total: of("host_hugepages_total"),
        mbufs: value(&report.nic, "mbufs"),
        mbufs_free: value(&report.nic, "mbufs_free"),
    }
}

/// Classes of responses, and what counts them.
const CLASSES: [(&str, &str); 4] = [
    ("2xx", "responses_2xx"),
    ("3xx", "responses_3xx"),
    ("4xx", "responses_4xx"),
    ("5xx", "responses_5xx"),
];
/// States of connections, and what counts them.
const CONNECTIONS: [(&str, &str); 8] = [
    ("open", "connections_open"),
    ("half-open", "connections_half_open"),
    ("idle", "connections_idle"),
    ("reading", "connections_reading"),
    ("waiting", "connections_waiting"),
    ("sending", "connections_sending"),
    ("closing", "connections_closing"),
    ("time-wait", "time_wait_open"),
];
/// As wide as terminals get.
const HISTORY_MAX: usize = 512;
/// A report may be late by this.
const SILENCE_MAX: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::testkit::report;

    fn controls() -> Controls {
        Controls::new(Duration::from_secs(1))
    }

    fn take(model: &mut Model, core: Option<usize>, report: Report) {
        model.take(Polled::Report { core, report: Box::new(report) }, Instant::now());
    }

    fn body(model: &Model, core: Option<usize>) -> Body {
        let controls = Controls { core, ..controls() };
        model.view(&controls, Instant::now()).body.expect("there is a server")
    }

    #[test]
    fn rates_come_from_two_reports() {
        let mut model = Model::new("pollux");
        take(&mut model, None, report(10, &[1, 2]));
        let first = body(&model, None);
        assert_eq!((first.requests, first.history.len()), (0.0, 0));
        take(&mut model, None, report(12, &[1, 2]));
        let second = body(&model, None);
        assert_eq!(second.requests, 150_000.0);
        assert_eq!(second.history, [150_000.0]);
        assert_eq!(
            (second.cores[1].core, second.cores[1].busy, second.cores[1].rate),
            (2, 0.75, 75_000.0)
        );
        assert_eq!(second.received.bytes, 16_000_000.0);
        let [_, _, (_, client_errors), _] = second.responses;
        assert_eq!(client_errors, 1_980.0);
        let Connections(connections) = second.connections;
        assert_eq!(connections[0], ("open", 1_024));
    }

    #[test]
    fn a_chosen_core_has_its_counters_at_once_and_its_routes_after_two_reports() {
        let mut model = Model::new("pollux");
        take(&mut model, None, report(10, &[1, 2]));
        take(&mut model, None, report(11, &[1, 2]));
        let at_once = body(&model, Some(2));
        assert_eq!((at_once.requests, at_once.history.as_slice()), (75_000.0, &[75_000.0][..]));
        assert!(at_once.routes.is_empty() && at_once.latency.is_empty());
        take(&mut model, Some(2), report(11, &[2]));
        take(&mut model, Some(2), report(12, &[2]));
        let later = body(&model, Some(2));
        assert_eq!(later.routes[0].rate, 50_000.0);
        assert_eq!(model.cores(), [1, 2]);
        assert!(body(&model, Some(1)).routes.is_empty(), "those are of another core");
    }

    #[test]
    fn latencies_are_of_the_last_interval_with_offloads_below_their_class() {
        let mut model = Model::new("pollux");
        take(&mut model, None, report(10, &[1]));
        take(&mut model, None, report(11, &[1]));
        let lines = body(&model, None).latency;
        let names: Vec<_> = lines.iter().map(|line| (line.class.as_str(), line.part)).collect();
        assert_eq!(
            names,
            [
                ("dataset", Part::Response),
                ("postgres", Part::Response),
                ("postgres", Part::Offload),
                ("fixed", Part::Response),
            ]
        );
        assert_eq!((lines[0].rate, lines[0].quantiles.count), (50_000.0, 50_000));
        take(&mut model, None, Report { unix_ms: 12_000, ..report(11, &[1]) });
        let silent = body(&model, None).latency;
        assert_eq!((silent.len(), silent[0].quantiles.count), (4, 0), "lines stay where they are");
    }

    #[test]
    fn another_process_starts_anew() {
        let mut model = Model::new("pollux");
        take(&mut model, None, report(10, &[1]));
        take(&mut model, None, report(11, &[1]));
        let mut other = report(12, &[1]);
        other.server.pid = 1;
        take(&mut model, None, other.clone());
        assert!(body(&model, None).history.is_empty());
        assert_eq!(body(&model, None).requests, 0.0);
        other.unix_ms += 1_000;
        take(&mut model, None, other);
        assert_eq!(body(&model, None).history, [0.0]);
    }

    #[test]
    fn absence_is_said_and_ends() {
        let mut model = Model::new("pollux");
        take(&mut model, None, report(10, &[1]));
        model.take(Polled::NoServer("nobody".into()), Instant::now());
        let absence = model.view(&controls(), Instant::now()).body.expect_err("nobody");
        assert_eq!((absence.title, absence.text.as_str()), ("no server", "nobody"));
        take(&mut model, None, report(11, &[1]));
        assert_eq!(body(&model, None).requests, 75_000.0);
    }

    #[test]
    fn silence_is_said() {
        let mut model = Model::new("pollux");
        take(&mut model, None, report(10, &[1]));
        let silence = |seconds| {
            let later = Instant::now() + Duration::from_secs(seconds);
            model.view(&controls(), later).header.silence
        };
        assert_eq!(silence(1), None);
        assert!(silence(9).is_some_and(|seconds| seconds >= 9));
    }

    #[test]
    fn history_has_an_end() {
        let mut model = Model::new("pollux");
        for seconds in 1..=(HISTORY_MAX as u64 + 10) {
            take(&mut model, None, Report { latency: Vec::new(), ..report(seconds, &[1]) });
        }
        assert_eq!(body(&model, None).history.len(), HISTORY_MAX);
    }
}
