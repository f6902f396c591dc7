//! `deploy/grafana.json` shows every metric, except the few that are listed here with a reason.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use super::families::of_report;
use super::family::FamilyKind;
use super::tests::full_report;

/// Metrics that no panel shows, and why.
const NOT_SHOWN: &[(&str, &str)] = &[
    ("pollux_connections_established", "between opened and ended, which are shown"),
    ("pollux_exception_rx_bytes", "its frames are shown"),
    ("pollux_exception_tx_bytes", "its frames are shown"),
    ("pollux_offloads_completed", "offloads by back end, completions and late ones are shown"),
    ("pollux_offloads_submitted", "offloads by back end are shown"),
    ("pollux_rx_bytes", "the bytes of the ports are shown"),
    ("pollux_server", "labels only: name, address and link"),
    ("pollux_sites_installed", "reloads are shown, once and not for each core"),
    ("pollux_time_wait_acked", "routine; those not acknowledged are shown"),
    ("pollux_time_wait_reused", "routine; those evicted are shown"),
    ("pollux_tsc_hertz", "a constant of the machine"),
    ("pollux_turns", "cycles by mode are shown"),
    ("pollux_turns_busy", "cycles by mode are shown"),
    ("pollux_tx_bytes", "the bytes of the ports are shown"),
    ("pollux_uptime_seconds", "shown from process_start_time_seconds"),
];

#[test]
fn every_metric_is_in_a_panel_or_listed_with_a_reason() {
    let shown = names_in_panels();
    let families = of_report(&full_report());
    let missing: Vec<_> = families
        .iter()
        .filter(|(name, family)| !spellings(name, family.kind).iter().any(|it| shown.contains(it)))
        .map(|(name, _)| name)
        .collect();
    let listed: Vec<_> = NOT_SHOWN.iter().map(|(name, _)| *name).collect();
    let (unlisted, stale): (Vec<_>, Vec<_>) = (
        missing.iter().filter(|name| !listed.contains(name)).collect(),
        listed.iter().filter(|name| !missing.contains(name)).collect(),
    );
    assert!(unlisted.is_empty(), "in no panel of deploy/grafana.json: {unlisted:#?}");
    assert!(stale.is_empty(), "listed as not shown, but shown or gone: {stale:?}");
}

/// What a query may call a family.
fn spellings(name: &str, kind: FamilyKind) -> Vec<String> {
    let suffixes: &[&str] = match kind {
        FamilyKind::Counter => &["_total"],
        FamilyKind::Gauge => &[""],
        FamilyKind::Info => &["_info"],
        FamilyKind::Histogram => &["_bucket", "_sum", "_count"],
    };
    suffixes.iter().map(|suffix| format!("{name}{suffix}")).collect()
}

/// The words of the queries of all panels; those of variables show nothing.
fn names_in_panels() -> BTreeSet<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/grafana.json");
    let text = fs::read_to_string(path).expect("is there");
    let dashboard: Value = serde_json::from_str(&text).expect("is JSON");
    let panels = dashboard["panels"].as_array().expect("has panels");
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let queries = targets.filter_map(|target| target["expr"].as_str());
    let is_between = |c: char| !c.is_ascii_alphanumeric() && c != '_';
    queries.flat_map(|query| query.split(is_between)).map(str::to_owned).collect()
}
