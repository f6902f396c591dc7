//! From a report to metric families. Every counter of the report is in one of them.

use std::borrow::Cow;

use super::buckets::Folded;
use super::family::{Families, FamilyKind, Labels, Value};
use super::help::{Help, LOG, MEMORY, NIC, RELOAD, listed};
use super::names::{self, Name};
use super::process;
use crate::lifecycle::State;
use crate::stats::{Counters, Part, Report, RouteReport, ServerReport};

/// The families of `report`.
pub(super) fn of_report(report: &Report) -> Families {
    let mut families = Families::default();
    let help = Help::of_declarations();
    add_server(&mut families, &report.server);
    for core in &report.cores {
        for (counter, value) in &core.counters {
            let name = names::of_core(counter);
            let number = (help.of_core(counter), *value);
            add(&mut families, name, Some(core.core), number);
        }
    }
    let mut section =
        |counters: &Counters, name: fn(&str) -> Name, help: &dyn Fn(&str) -> Cow<'static, str>| {
            for (counter, value) in counters {
                add(&mut families, name(counter), None, (help(counter), *value));
            }
        };
    section(&report.nic, names::of_nic, &|counter| listed(NIC, counter));
    section(&report.memory, names::of_memory, &|counter| listed(MEMORY, counter));
    section(&report.offload, names::of_offload, &|counter| help.of_offload(counter));
    section(&report.reload, names::by_rule, &|counter| listed(RELOAD, counter));
    section(&report.log, names::by_rule, &|counter| listed(LOG, counter));
    add_routes(&mut families, &report.routes);
    add_latencies(&mut families, report);
    families
}

/// One counter: its help and its value.
fn add(families: &mut Families, name: Name, core: Option<usize>, number: (Cow<'static, str>, u64)) {
    let (help, value) = number;
    let core = core.map(|core| ("core", core.to_string()));
    let labels = core.into_iter().chain(name.label).collect();
    families
        .family(name.family, name.kind, name.help.map_or(help, Cow::Borrowed))
        .number(labels, value);
}

fn add_server(families: &mut Families, server: &ServerReport) {
    let label = |name: &'static str, value: &str| (name, value.to_owned());
    let mut info = |name: &str, help: &'static str, labels: Labels| {
        families.family(name, FamilyKind::Info, help).samples.push((labels, Value::Present));
    };
    info("pollux_build", "version of the program", vec![label("version", &server.version)]);
    let labels =
        vec![label("name", &server.name), label("url", &server.url), label("link", &server.link)];
    info("pollux_server", "admin.name, where the server answers, the link it took", labels);
    let mut gauge = |name: &str, help: &'static str, labels: Labels, value: u64| {
        families.family(name, FamilyKind::Gauge, help).number(labels, value);
    };
    for &known in State::ALL {
        let (labels, is_it) = (vec![label("state", known.name())], known == server.state);
        let help = "1 for the state that the server is in";
        gauge("pollux_server_state", help, labels, u64::from(is_it));
    }
    gauge("pollux_uptime_seconds", "since the process started", Vec::new(), server.uptime_seconds);
    gauge("pollux_tsc_hertz", "TSC cycles a second", Vec::new(), server.tsc_hz);
    if let Some(start) = process::start_time() {
        let help = "start of the process, Unix time";
        let family = families.family("process_start_time_seconds", FamilyKind::Gauge, help);
        family.samples.push((Vec::new(), Value::Real(start)));
    }
}

fn add_routes(families: &mut Families, routes: &[RouteReport]) {
    let help = "requests given to a route since the start, reloads or not";
    let family = families.family("pollux_route_requests", FamilyKind::Counter, help);
    for RouteReport { path, methods, kind, requests } in routes {
        let path = if path.is_empty() { kind } else { path };
        let labels =
            vec![("route", path.clone()), ("method", methods.clone()), ("kind", kind.clone())];
        family.number(labels, *requests);
    }
}

fn add_latencies(families: &mut Families, report: &Report) {
    for (part, name, help) in [
        (Part::Response, "pollux_request_duration_seconds", DURATION_HELP),
        (Part::Offload, "pollux_offload_wait_seconds", WAIT_HELP),
    ] {
        let family = families.family(name, FamilyKind::Histogram, help);
        for latency in report.latency.iter().filter(|latency| latency.part == part) {
            let folded = Folded::of(&latency.buckets, latency.quantiles.sum_ns);
            let labels = vec![("route_kind", latency.class.clone())];
            family.samples.push((labels, Value::Histogram(folded)));
        }
    }
}

const DURATION_HELP: &str = "from the last byte of a request head taken to the last byte of its response queued, \
                             by kind of route";
const WAIT_HELP: &str = "the part of a request's duration spent waiting for what runs beside the \
                         cores, by kind of route";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::tests::full_report;
    use super::*;

    #[test]
    fn every_counter_of_the_report_is_in_some_metric() {
        let report = full_report();
        let families = of_report(&report);
        let values: BTreeSet<_> = families
            .iter()
            .flat_map(|(_, family)| &family.samples)
            .filter_map(|(_, value)| match value {
                Value::Count(value) => Some(*value),
                Value::Level(value) => u64::try_from(*value).ok(),
                _ => None,
            })
            .collect();
        let Report { cores, nic, memory, offload, reload, log, .. } = &report;
        let sections =
            cores.iter().map(|core| &core.counters).chain([nic, memory, offload, reload, log]);
        let missing: Vec<_> =
            sections.flatten().filter(|(_, value)| !values.contains(value)).collect();
        assert!(missing.is_empty(), "not exported: {missing:?}");
    }

    #[test]
    fn every_family_says_what_it_means_and_no_series_is_there_twice() {
        for (name, family) in of_report(&full_report()).iter() {
            assert!(!family.help.is_empty(), "{name} has no help");
            assert!(!name.ends_with("_total") && !name.ends_with("_info"), "{name}");
            let series: BTreeSet<_> = family.samples.iter().map(|(labels, _)| labels).collect();
            assert_eq!(series.len(), family.samples.len(), "{name}");
            for (labels, value) in &family.samples {
                let fits = match family.kind {
                    FamilyKind::Counter => matches!(value, Value::Count(_)),
                    FamilyKind::Gauge => matches!(value, Value::Level(_) | Value::Real(_)),
                    FamilyKind::Info => *value == Value::Present,
                    FamilyKind::Histogram => matches!(value, Value::Histogram(_)),
                };
                assert!(fits, "{name}{labels:?}: {value:?}");
            }
        }
    }

    #[test]
    fn one_state_is_on_and_the_others_are_there() {
        let server = ServerReport { state: State::Drained, ..ServerReport::default() };
        let families = of_report(&Report { server, ..Report::default() });
        let (_, family) =
            families.iter().find(|(name, _)| *name == "pollux_server_state").expect("is there");
        assert_eq!(family.samples.len(), State::ALL.len());
        let on: Vec<_> = family.samples.iter().filter(|(_, v)| *v == Value::Level(1)).collect();
        assert_eq!(on.len(), 1);
        assert_eq!(on[0].0, [("state", "drained".to_owned())]);
    }
}
