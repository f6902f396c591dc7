//! Histogram buckets as they are exported: few, in seconds, the same for every series. The report's fine
//! buckets (3 % wide) are folded into them.

/// Upper bounds in nanoseconds: 1 us to 10 s, spaced 1, 2, 5.
pub(super) const BOUNDS_NS: [u64; 22] = [
    1_000,
    2_000,
    5_000,
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
    200_000_000,
    500_000_000,
    1_000_000_000,
    2_000_000_000,
    5_000_000_000,
    10_000_000_000,
];

/// A histogram as the encoder takes it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Folded {
    /// Sum of all values, seconds.
    pub(super) sum: f64,
    /// How many: the sum of the buckets.
    pub(super) count: u64,
    /// Upper bound in seconds and how many values are in this bucket alone; the last bound is
    /// [`f64::MAX`], which the encoder writes as `+Inf`.
    pub(super) buckets: Vec<(f64, u64)>,
}

impl Folded {
    /// Of `fine` buckets: upper bounds in nanoseconds, and counts. A fine bucket is counted where its upper
    /// bound is, so that no value is reported shorter than it was.
    pub(super) fn of(fine: &[(u64, u64)], sum_ns: u64) -> Self {
        let mut counts = [0; BOUNDS_NS.len() + 1];
        for &(bound, count) in fine {
            counts[BOUNDS_NS.partition_point(|coarse| *coarse < bound)] += count;
        }
        let bounds = BOUNDS_NS.iter().map(|bound| seconds(*bound)).chain([f64::MAX]);
        Self {
            sum: seconds(sum_ns),
            count: counts.iter().sum(),
            buckets: bounds.zip(counts).collect(),
        }
    }
}

/// Nanoseconds in seconds.
fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_ascend_from_a_microsecond_to_ten_seconds() {
        assert!(BOUNDS_NS.is_sorted());
        assert_eq!((seconds(BOUNDS_NS[0]), seconds(BOUNDS_NS[21])), (1e-6, 10.0));
    }

    #[test]
    fn a_value_is_counted_once_and_never_too_low() {
        let fine = [(1, 3), (1_000, 4), (1_001, 5), (10_000_000_000, 6), (10_000_000_001, 7)];
        let folded = Folded::of(&fine, 2_500_000_000);
        assert_eq!((folded.count, folded.sum), (25, 2.5));
        let filled: Vec<_> = folded.buckets.iter().copied().filter(|(_, n)| *n > 0).collect();
        assert_eq!(filled, [(1e-6, 7), (2e-6, 5), (10.0, 6), (f64::MAX, 7)]);
        assert_eq!(folded.buckets.len(), BOUNDS_NS.len() + 1);
    }

    #[test]
    fn nothing_is_all_buckets_at_zero() {
        let folded = Folded::of(&[], 0);
        assert_eq!(folded.count, 0);
        assert!(folded.buckets.iter().all(|(_, count)| *count == 0));
    }
}
