//! Latency histograms of one core: fixed memory, one writer, no clock of their own.
//!
//! Two are kept for each class of requests. *Response*: from the start of the turn that took the last
//! byte of the request head to the end of the turn that queued the last byte of the response. *Offload*:
//! from the start of the turn that handed the request to control to the start of the turn that took the
//! completion. Values are TSC cycles; control knows the rate.
//!
//! A worker reads the clock once a turn, so what begins and ends within one turn is counted by class
//! while the turn lasts and recorded when the next turn begins, all with the length of that turn. No
//! request is reported faster than it was.

use http1::Class;

use crate::Counter;

/// Classes that have histograms of their own; those of higher numbers share the last.
pub const CLASSES_MAX: usize = 12;

/// Buckets of a [`Histogram`].
pub const BUCKETS: usize = (OCTAVES + 1) * STEPS;

/// Buckets an octave (a doubling): a value is known to 1/32, about 3 %.
const STEPS: usize = 1 << STEP_BITS;
const STEP_BITS: u32 = 5;
/// Doublings above the first `STEPS` values; longer is counted as the longest: 2^43 cycles is half an hour
/// at 5 GHz.
const OCTAVES: usize = 38;

/// How often each latency was seen, log-linear: exact below 32, then 32 buckets for each doubling
/// (the layout of HdrHistogram). On cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
pub struct Histogram {
    counts: Box<[Counter]>,
    total: Counter,
    max: Counter,
}

impl Histogram {
    fn new() -> Self {
        let counts = (0..BUCKETS).map(|_| Counter::default()).collect();
        Self { counts, total: Counter::default(), max: Counter::default() }
    }

    /// Counts `n` requests that took `cycles` each. Only the worker that owns it may call this.
    pub(crate) fn record(&self, cycles: u64, n: u64) {
        self.counts[bucket_of(cycles)].add(n);
        self.total.add(cycles.wrapping_mul(n));
        if cycles > self.max.value() {
            self.max.set(cycles);
        }
    }

    /// Buckets that are not empty, shortest first: the greatest value each holds (cycles), and how many
    /// requests. Any thread may call it; a request recorded meanwhile may be missing.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let counts = self.counts.iter().enumerate();
        counts.filter(|(_, n)| n.value() > 0).map(|(at, n)| (upper_bound(at), n.value()))
    }

    /// Sum of all values, cycles.
    pub fn total(&self) -> u64 {
        self.total.value()
    }

    /// The longest, cycles.
    pub fn max(&self) -> u64 {
        self.max.value()
    }
}

/// The histograms of one core. Written by its worker, read by control.
#[derive(Debug)]
pub struct Latencies {
    response: Box<[Histogram]>,
    offload: Box<[Histogram]>,
}

impl Latencies {
    pub(crate) fn new() -> Self {
        let row = || (0..CLASSES_MAX).map(|_| Histogram::new()).collect();
        Self { response: row(), offload: row() }
    }

    /// From the head of a request to the last byte of its response, by class.
    pub fn response(&self, class: Class) -> &Histogram {
        &self.response[index(class)]
    }

    /// The part of it that a request of `class` waited for control.
    pub fn offload(&self, class: Class) -> &Histogram {
        &self.offload[index(class)]
    }
}

/// One request on its way, as a connection remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exchange {
    pub(crate) class: Class,
    /// Cycles at the start of the turn that took the last byte of its head.
    pub(crate) began: u64,
}

/// Responses whose last byte was queued in the turn under way. They are recorded when it has ended.
#[derive(Debug)]
pub(crate) struct Finished {
    /// Cycles at the start of the turn.
    turn: u64,
    /// Of requests that also began in it, by class.
    within: [u32; CLASSES_MAX],
    /// Whether `within` has any.
    any: bool,
    /// Of requests that began earlier.
    across: Vec<Exchange>,
}

impl Finished {
    /// For `connections` connections: each ends at most one request a turn that it did not begin in it.
    pub(crate) fn new(connections: usize, cycles: u64) -> Self {
        let across = Vec::with_capacity(connections);
        Self { turn: cycles, within: [0; CLASSES_MAX], any: false, across }
    }

    /// A turn begins at `cycles`, and with it the one before has ended.
    pub(crate) fn begin_turn(&mut self, cycles: u64, latencies: &Latencies) {
        if self.any {
            self.any = false;
            let took = cycles.wrapping_sub(self.turn);
            for (at, n) in self.within.iter_mut().enumerate().filter(|(_, n)| **n > 0) {
                latencies.response[at].record(took, u64::from(*n));
                *n = 0;
            }
        }
        for Exchange { class, began } in self.across.drain(..) {
            latencies.response(class).record(cycles.wrapping_sub(began), 1);
        }
        self.turn = cycles;
    }

    /// The turn under way began at this many cycles.
    pub(crate) fn turn(&self) -> u64 {
        self.turn
    }

    /// The last byte of the response to `exchange` was queued.
    pub(crate) fn push(&mut self, exchange: Exchange) {
        if exchange.began == self.turn {
            self.within[index(exchange.class)] += 1;
            self.any = true;
        } else {
            debug_assert!(self.across.len() < self.across.capacity());
            self.across.push(exchange);
        }
    }
}

fn index(class: Class) -> usize {
    usize::from(class.0).min(CLASSES_MAX - 1)
}

fn bucket_of(cycles: u64) -> usize {
    let octave = (u64::BITS - (cycles | (STEPS as u64 - 1)).leading_zeros() - STEP_BITS) as usize;
    if octave > OCTAVES {
        return BUCKETS - 1;
    }
    if octave == 0 {
        #[expect(clippy::cast_possible_truncation, reason = "below STEPS")]
        return cycles as usize;
    }
    #[expect(clippy::cast_possible_truncation, reason = "masked to below STEPS")]
    let step = (cycles >> (octave - 1)) as usize & (STEPS - 1);
    octave * STEPS + step
}

/// The greatest value that falls into bucket `at`.
fn upper_bound(at: usize) -> u64 {
    let (octave, step) = (at / STEPS, (at % STEPS) as u64);
    if octave == 0 {
        return step;
    }
    ((STEPS as u64 + step + 1) << (octave - 1)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_one_another_without_gap_or_overlap() {
        for at in 0..BUCKETS - 1 {
            assert_eq!(bucket_of(upper_bound(at)), at);
            assert_eq!(bucket_of(upper_bound(at) + 1), at + 1, "after bucket {at}");
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn a_value_is_known_to_a_thirty_second() {
        for shift in 0..40 {
            for value in [(1_u64 << shift) + 1, (3_u64 << shift) - 1, 5_u64 << shift] {
                let bound = upper_bound(bucket_of(value));
                assert!(bound >= value && bound - value <= value / 32, "{value}: {bound}");
            }
        }
    }

    #[test]
    fn what_begins_and_ends_in_a_turn_takes_the_whole_turn() {
        let latencies = Latencies::new();
        let mut finished = Finished::new(1, 1_000);
        finished.begin_turn(1_000, &latencies);
        let class = Class(2);
        for _ in 0..3 {
            finished.push(Exchange { class, began: 1_000 });
        }
        finished.push(Exchange { class, began: 100 });
        assert_eq!(latencies.response(class).buckets().count(), 0, "the turn has not ended");
        finished.begin_turn(1_020, &latencies);
        let buckets: Vec<_> = latencies.response(class).buckets().collect();
        assert_eq!(buckets, [(20, 3), (upper_bound(bucket_of(920)), 1)]);
        assert_eq!(latencies.response(class).total(), 3 * 20 + 920);
        assert_eq!(latencies.response(class).max(), 920);
        finished.begin_turn(2_000, &latencies);
        assert_eq!(latencies.response(class).buckets().map(|(_, n)| n).sum::<u64>(), 4, "once");
    }

    #[test]
    fn classes_beyond_the_last_share_it() {
        let latencies = Latencies::new();
        latencies.offload(Class(200)).record(7, 1);
        let last = Class(u8::try_from(CLASSES_MAX - 1).expect("small"));
        assert_eq!(latencies.offload(last).buckets().collect::<Vec<_>>(), [(7, 1)]);
    }
}
