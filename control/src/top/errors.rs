//! Which numbers of a report say that something was lost, refused or done twice.

use crate::stats::{Counters, Report};

/// One kind of trouble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ErrorCount {
    /// As the screen names it.
    pub(super) name: String,
    /// Since the start.
    pub(super) total: u64,
    /// Since the report before.
    pub(super) grew: u64,
}

/// The sums that are always shown, then single reasons: first those that grew, most first, then those
/// that ever were. `change` is what `now` has over the report before, if there is one.
pub(super) fn errors(now: &Report, change: Option<&Report>) -> Vec<ErrorCount> {
    let single = |section: fn(&Report) -> &Counters, is_it: fn(&str) -> bool| -> Vec<ErrorCount> {
        let of = |(name, &total): (&String, &u64)| ErrorCount {
            name: spell(name),
            total,
            grew: change.and_then(|change| section(change).get(name)).copied().unwrap_or(0),
        };
        section(now).iter().filter(|(name, _)| is_it(name)).map(of).collect()
    };
    let drops = single(|report| &report.total, |name| name.starts_with("drop_"));
    let below = single(|report| &report.total, |name| name.starts_with("nic_"));
    let misses = single(|report| &report.nic, |name| NIC_MISSES.contains(&name));
    let retransmits = single(|report| &report.total, |name| name == "retransmits");
    let refused_on_cores = single(|report| &report.total, |name| CORE_REFUSALS.contains(&name));
    let refused_beside = single(|report| &report.offload, |name| name.ends_with("_refused"));
    let core_errors = single(|report| &report.total, |name| CORE_ERRORS.contains(&name));
    let nic_errors = single(|report| &report.nic, |name| NIC_ERRORS.contains(&name));
    let offload_errors = single(
        |report| &report.offload,
        |name| OFFLOAD_ERRORS.iter().any(|end| name.ends_with(end)),
    );
    let mut all = vec![
        sum("drops", [&drops[..]]),
        sum("NIC misses", [&misses[..], &below[..]]),
        sum("retransmits", [&retransmits[..]]),
        sum("offloads refused", [&refused_on_cores[..], &refused_beside[..]]),
    ];
    let mut reasons = [
        drops,
        below,
        misses,
        refused_on_cores,
        refused_beside,
        core_errors,
        nic_errors,
        offload_errors,
    ]
    .concat();
    reasons.retain(|error| error.total > 0);
    reasons.sort_by(|a, b| (b.grew, b.total, &a.name).cmp(&(a.grew, a.total, &b.name)));
    all.extend(reasons);
    all
}

fn sum<'a>(name: &str, parts: impl IntoIterator<Item = &'a [ErrorCount]> + Clone) -> ErrorCount {
    let add = |part: fn(&ErrorCount) -> u64| parts.clone().into_iter().flatten().map(part).sum();
    ErrorCount {
        name: name.to_owned(),
        total: add(|error| error.total),
        grew: add(|error| error.grew),
    }
}

/// `drop_closed_port` is "drop: closed port".
fn spell(name: &str) -> String {
    let (group, rest) = ["drop_", "deadline_"]
        .iter()
        .find_map(|prefix| Some((prefix.trim_end_matches('_'), name.strip_prefix(prefix)?)))
        .unwrap_or(("", name));
    let words = rest.replace('_', " ");
    if group.is_empty() { words } else { format!("{group}: {words}") }
}

/// Frames that never reached a worker.
const NIC_MISSES: &[&str] = &["kernel_rx_dropped", "rx_missed", "rx_no_buffer"];
const NIC_ERRORS: &[&str] = &["rx_errors", "tx_errors"];
const CORE_REFUSALS: &[&str] =
    &["offloads_refused", "request_buffers_refused", "source_requests_refused"];
const CORE_ERRORS: &[&str] = &[
    "connections_aborted",
    "connections_handshake_expired",
    "deadline_response",
    "deadline_body",
    "deadline_close",
    "deadline_head",
    "deadline_slow",
    "deadline_stall",
    "exception_tx_ring_full",
    "exception_tx_too_long",
    "exception_write_failed",
    "offloads_late",
    "rejects",
    "reply_no_tx_buffer",
    "source_table_full",
    "time_wait_evicted",
];
/// How names of the offload section end that count failures.
const OFFLOAD_ERRORS: &[&str] = &[
    "_connections_lost",
    "_connect_failures",
    "_errors",
    "_schema_changed",
    "_timed_out",
    "_unavailable",
    "completions_lost",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::testkit::counters;

    #[test]
    fn sums_come_first_and_then_what_grew_most() {
        let before = Report {
            total: counters(&[("drop_arp", 900), ("drop_closed_port", 1), ("retransmits", 0)]),
            nic: counters(&[("rx_missed", 4), ("rx_frames", 10)]),
            ..Report::default()
        };
        let now = Report {
            unix_ms: 1_000,
            total: counters(&[("drop_arp", 900), ("drop_closed_port", 6), ("retransmits", 3)]),
            nic: counters(&[("rx_missed", 5), ("rx_frames", 20)]),
            offload: counters(&[("postgres_refused", 7), ("postgres_errors", 0)]),
            ..Report::default()
        };
        let change = now.since(&before).expect("the same process");
        let all = errors(&now, Some(&change));
        let texts: Vec<_> = all
            .iter()
            .map(|error| format!("{} {} +{}", error.name, error.total, error.grew))
            .collect();
        assert_eq!(
            texts,
            [
                "drops 906 +5",
                "NIC misses 5 +1",
                "retransmits 3 +3",
                "offloads refused 7 +7",
                "postgres refused 7 +7",
                "drop: closed port 6 +5",
                "rx missed 5 +1",
                "drop: arp 900 +0",
            ]
        );
        let all = errors(&now, None);
        assert!(all.iter().all(|error| error.grew == 0), "nothing grew at first sight: {all:?}");
    }
}
