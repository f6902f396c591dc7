//! Latencies as people read them: quantiles of a worker's histograms, in nanoseconds.

use std::collections::BTreeMap;

use engine::Histogram as CoreHistogram;
use serde::{Deserialize, Serialize};

/// What a latency is of.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub(crate) enum Part {
    /// From the last byte of the request head taken to the last byte of the response queued.
    #[default]
    Response,
    /// The part of it that the request waited for what runs beside the cores.
    Offload,
}

impl Part {
    /// As the report writes it.
    pub(crate) fn name(self) -> &'static str {
        self.into()
    }
}

/// The latencies of one class of requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct LatencyReport {
    /// The kind of their routes, `unrouted` for no route.
    pub(crate) class: String,
    /// What is measured.
    pub(crate) part: Part,
    /// Where half, nine tenths .. of them were done, nanoseconds.
    #[serde(flatten)]
    pub(crate) quantiles: Quantiles,
    /// Each bucket's upper bound in nanoseconds and how many are in it, shortest first; not below cores.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) buckets: Vec<(u64, u64)>,
}

/// A distribution in eight numbers; times in nanoseconds, each at most 1/32 too long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Quantiles {
    /// How many.
    pub(crate) count: u64,
    /// All together.
    pub(crate) sum_ns: u64,
    /// The median.
    pub(crate) p50_ns: u64,
    /// 90 of 100 are no longer.
    pub(crate) p90_ns: u64,
    /// 99 of 100.
    pub(crate) p99_ns: u64,
    /// 999 of 1,000.
    pub(crate) p999_ns: u64,
    /// The longest since the start; of a difference, the longest bucket that grew.
    pub(crate) max_ns: u64,
}

/// Histograms of several cores put together, by upper bound in cycles.
#[derive(Clone, Debug, Default)]
pub(super) struct Merged {
    counts: BTreeMap<u64, u64>,
    total: u64,
    max: u64,
}

impl Merged {
    pub(super) fn add(&mut self, core: &CoreHistogram) {
        for (bound, count) in core.buckets() {
            *self.counts.entry(bound).or_default() += count;
        }
        self.total = self.total.saturating_add(core.total());
        self.max = self.max.max(core.max());
    }

    /// None if nothing was measured.
    pub(super) fn report(&self, class: &str, part: Part, tsc_hz: u64) -> Option<LatencyReport> {
        if self.counts.is_empty() {
            return None;
        }
        let nanos = |cycles| nanos(cycles, tsc_hz);
        let buckets: Vec<_> = self.counts.iter().map(|(&at, &n)| (nanos(at), n)).collect();
        let quantiles = Quantiles::of(&buckets, nanos(self.total), nanos(self.max));
        Some(LatencyReport { class: class.to_owned(), part, quantiles, buckets })
    }
}

impl LatencyReport {
    /// Only those that ended since `before`.
    pub(super) fn since(&self, before: &[Self]) -> Self {
        let is_it = |old: &&Self| old.class == self.class && old.part == self.part;
        let Some(old) = before.iter().find(is_it) else { return self.clone() };
        let earlier: BTreeMap<u64, u64> = old.buckets.iter().copied().collect();
        let left = self.buckets.iter().map(|&(bound, count)| {
            (bound, count.saturating_sub(earlier.get(&bound).copied().unwrap_or(0)))
        });
        let buckets: Vec<_> = left.filter(|(_, count)| *count > 0).collect();
        let sum = self.quantiles.sum_ns.saturating_sub(old.quantiles.sum_ns);
        let max = buckets.last().map_or(0, |(bound, _)| (*bound).min(self.quantiles.max_ns));
        let quantiles = Quantiles::of(&buckets, sum, max);
        Self { class: self.class.clone(), part: self.part, quantiles, buckets }
    }
}

impl Quantiles {
    /// Of `buckets`: upper bounds in nanoseconds, shortest first, and counts.
    pub(crate) fn of(buckets: &[(u64, u64)], sum_ns: u64, max_ns: u64) -> Self {
        let count = buckets.iter().map(|(_, count)| count).sum();
        // The bucket with the request that as many thousandths of all are not longer than.
        let at = |thousandths: u128| {
            let rank = (u128::from(count) * thousandths).div_ceil(1_000);
            let mut seen = 0;
            let mut reached = buckets.iter().filter(|(_, count)| {
                seen += u128::from(*count);
                seen >= rank
            });
            reached.next().map_or(0, |(bound, _)| (*bound).min(max_ns))
        };
        Self {
            count,
            sum_ns,
            p50_ns: at(500),
            p90_ns: at(900),
            p99_ns: at(990),
            p999_ns: at(999),
            max_ns,
        }
    }
}

fn nanos(cycles: u64, tsc_hz: u64) -> u64 {
    let nanos = u128::from(cycles) * 1_000_000_000 / u128::from(tsc_hz.max(1));
    u64::try_from(nanos).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(counts: &[(u64, u64)]) -> Merged {
        let total = counts.iter().map(|(at, n)| at * n).sum();
        let max = counts.last().map_or(0, |(at, _)| *at);
        Merged { counts: counts.iter().copied().collect(), total, max }
    }

    #[test]
    fn quantiles_are_where_they_are() {
        let report = merged(&[(1_000, 900), (2_000, 90), (50_000, 9), (1_000_000, 1)])
            .report("fixed", Part::Response, 1_000_000_000)
            .expect("there are some");
        let Quantiles { count, p50_ns, p90_ns, p99_ns, p999_ns, max_ns, .. } = report.quantiles;
        assert_eq!(count, 1_000);
        assert_eq!((p50_ns, p90_ns, p99_ns, p999_ns), (1_000, 1_000, 2_000, 50_000));
        assert_eq!(max_ns, 1_000_000);
    }

    #[test]
    fn a_quantile_of_few_is_one_of_them() {
        let quantiles = Quantiles::of(&[(10, 1), (20, 1), (40, 1)], 70, 35);
        assert_eq!((quantiles.p50_ns, quantiles.p90_ns), (20, 35), "the longest ends its bucket");
        assert_eq!(Quantiles::of(&[], 0, 0).p50_ns, 0);
    }

    #[test]
    fn nothing_measured_is_nothing_reported() {
        assert_eq!(Merged::default().report("sum", Part::Offload, 1), None);
    }

    #[test]
    fn cycles_become_nanoseconds() {
        let report = merged(&[(2_400, 1)]).report("sum", Part::Response, 2_400_000_000);
        assert_eq!(report.expect("one").quantiles.max_ns, 1_000);
    }

    #[test]
    fn a_difference_has_only_what_came_since() {
        let hz = 1_000_000_000;
        let before =
            merged(&[(10, 5), (1_000, 1)]).report("sum", Part::Response, hz).expect("some");
        let now = merged(&[(10, 5), (20, 4), (1_000, 1)]).report("sum", Part::Response, hz);
        let since = now.expect("some").since(&[before]);
        assert_eq!(since.buckets, [(20, 4)]);
        assert_eq!(
            (since.quantiles.count, since.quantiles.p50_ns, since.quantiles.max_ns),
            (4, 20, 20)
        );
        assert_eq!(since.quantiles.sum_ns, 80);
    }
}
