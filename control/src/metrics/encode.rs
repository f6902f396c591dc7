//! Families as text: the OpenMetrics format, version 1.0, by the `prometheus-client` crate.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::families;
use super::family::{Families, Family, FamilyKind, Labels, Value};
use crate::stats::Report;

/// Media type of what [`exposition`] makes.
pub(super) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics of `report`.
pub(super) fn exposition(report: &Report) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(families::of_report(report)));
    let mut text = String::new();
    text::encode(&mut text, &registry).expect("writing to a String does not fail");
    text
}

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for (name, family) in self.iter() {
            let (name, unit) = split_unit(name);
            let help = escape(&family.help);
            let metric =
                encoder.encode_descriptor(name, &help, unit.as_ref(), metric_type(family.kind))?;
            write_samples(metric, family)?;
        }
        Ok(())
    }
}

fn write_samples(mut metric: MetricEncoder<'_>, family: &Family) -> fmt::Result {
    for (labels, value) in &family.samples {
        let labels = escape_values(labels);
        if *value == Value::Present {
            metric.encode_info(&labels)?;
        } else if labels.is_empty() {
            write_value(&mut metric, value)?;
        } else {
            write_value(&mut metric.encode_family(&labels)?, value)?;
        }
    }
    Ok(())
}

fn write_value(metric: &mut MetricEncoder<'_>, value: &Value) -> fmt::Result {
    match value {
        Value::Count(value) => metric.encode_counter::<NoLabelSet, u64, f64>(value, None),
        Value::Level(value) => metric.encode_gauge(value),
        Value::Real(value) => metric.encode_gauge(value),
        Value::Histogram(folded) => {
            let (sum, count) = (folded.sum, folded.count);
            metric.encode_histogram::<NoLabelSet>(sum, count, &folded.buckets, None)
        }
        Value::Present => Ok(()),
    }
}

/// A name without its unit, which the encoder puts back and declares.
fn split_unit(name: &str) -> (&str, Option<Unit>) {
    [("_seconds", Unit::Seconds), ("_bytes", Unit::Bytes), ("_hertz", Unit::Other("hertz".into()))]
        .into_iter()
        .find_map(|(suffix, unit)| name.strip_suffix(suffix).map(|name| (name, Some(unit))))
        .unwrap_or((name, None))
}

fn metric_type(kind: FamilyKind) -> MetricType {
    match kind {
        FamilyKind::Counter => MetricType::Counter,
        FamilyKind::Gauge => MetricType::Gauge,
        FamilyKind::Info => MetricType::Info,
        FamilyKind::Histogram => MetricType::Histogram,
    }
}

/// The encoder writes label values and help as they are.
fn escape_values(labels: &Labels) -> Vec<(&'static str, String)> {
    labels.iter().map(|(name, value)| (*name, escape(value))).collect()
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::super::tests::full_report;
    use super::*;

    fn text() -> String {
        exposition(&full_report())
    }

    #[track_caller]
    fn expect_lines(lines: &[&str]) {
        let text = text();
        for line in lines {
            assert!(text.lines().any(|found| found == *line), "no {line} in\n{text}");
        }
    }

    #[test]
    fn a_report_is_written_as_openmetrics() {
        expect_lines(&[
            "# TYPE pollux_requests counter",
            "# HELP pollux_requests valid request heads",
            "# TYPE pollux_rx_bytes counter",
            "# UNIT pollux_rx_bytes bytes",
            "# TYPE pollux_connections gauge",
            "# TYPE pollux_request_duration_seconds histogram",
            "pollux_build_info{version=\"0.1.0\"} 1",
            "pollux_route_requests_total{route=\"/a/*\",method=\"GET\",kind=\"files\"} 5",
            "pollux_route_requests_total{route=\"unrouted\",method=\"\",kind=\"unrouted\"} 6",
            "pollux_server_state{state=\"serving\"} 1",
            "pollux_server_state{state=\"draining\"} 0",
        ]);
        let report = full_report();
        let counters = &report.cores[1].counters;
        expect_lines(&[
            &format!("pollux_requests_total{{core=\"2\"}} {}", counters["requests"]),
            &format!(
                "pollux_frames_dropped_total{{core=\"2\",reason=\"runt\"}} {}",
                counters["drop_runt"]
            ),
            &format!("process_resident_memory_bytes {}", report.memory["resident_bytes"]),
        ]);
        assert!(text().ends_with("# EOF\n"));
    }

    #[test]
    fn histograms_are_cumulative_and_agree_with_their_count() {
        expect_lines(&[
            "pollux_request_duration_seconds_sum{route_kind=\"sqlite\"} 0.003",
            "pollux_request_duration_seconds_count{route_kind=\"sqlite\"} 7",
            "pollux_request_duration_seconds_bucket{le=\"0.002\",route_kind=\"sqlite\"} 3",
            "pollux_request_duration_seconds_bucket{le=\"0.005\",route_kind=\"sqlite\"} 7",
            "pollux_request_duration_seconds_bucket{le=\"10.0\",route_kind=\"sqlite\"} 7",
            "pollux_request_duration_seconds_bucket{le=\"+Inf\",route_kind=\"sqlite\"} 7",
        ]);
    }

    #[test]
    fn labels_are_escaped() {
        let text = text();
        assert!(text.contains(r#"link="quote \" backslash \\ line\nend""#), "{text}");
    }

    #[test]
    fn units_come_last_and_once() {
        assert!(matches!(split_unit("pollux_rx_bytes"), ("pollux_rx", Some(Unit::Bytes))));
        assert!(matches!(split_unit("pollux_requests"), ("pollux_requests", None)));
        assert!(!text().contains("_bytes_bytes"));
    }
}
