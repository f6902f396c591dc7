//! How long a segment and its acknowledgement take, and how long to wait for one (RFC 6298).

/// The round trips of one connection, in microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RoundTrip {
    /// Eight times SRTT; 0: nothing was measured.
    smoothed: u32,
    /// Four times RTTVAR.
    variation: u32,
    /// The shortest that was measured.
    least: u32,
    /// How often the timeout was doubled.
    backoff: u8,
}

impl RoundTrip {
    /// Takes a measurement.
    //= RFC 6298 2.2 and 2.3.
    pub(crate) fn sample(&mut self, micros: u64) {
        let sample = u32::try_from(micros).unwrap_or(u32::MAX).clamp(1, SAMPLE_MAX);
        if self.smoothed == 0 {
            (self.smoothed, self.variation) = (8 * sample, 2 * sample);
            self.least = sample;
        } else {
            let smoothed = self.smoothed / 8;
            self.variation = self.variation - self.variation / 4 + smoothed.abs_diff(sample);
            self.smoothed = self.smoothed - smoothed + sample;
            self.least = self.least.min(sample);
        }
        self.backoff = 0;
    }

    /// The retransmission timeout, at least `floor` before it is doubled.
    //= RFC 6298 2.1 to 2.4 and 5.5; the floor of a second is the caller's, and the first timeout is shorter.
    pub(crate) fn timeout(&self, floor: u64) -> u64 {
        let measured = match self.smoothed {
            0 => TIMEOUT_FIRST,
            _ => u64::from(self.smoothed / 8) + u64::from(self.variation).max(GRANULARITY),
        };
        (measured.max(floor) << self.backoff).min(TIMEOUT_MAX)
    }

    /// The time after which the last segment sent is probably lost, if that is known.
    //= RFC 8985 7.2: 2 * SRTT.
    pub(crate) fn probe_timeout(&self) -> Option<u64> {
        (self.smoothed > 0).then(|| u64::from(self.smoothed / 4))
    }

    /// How long segments may overtake one another before one is taken for lost.
    //= RFC 8985 6.2: RACK_min_RTT / 4.
    pub(crate) fn reordering_window(&self) -> u64 {
        u64::from(self.least) / 4
    }

    /// Whether an acknowledgement that came `micros` after a segment was sent again is of the first sending: it
    /// came sooner than any round trip.
    pub(crate) fn is_too_soon(&self, micros: u64) -> bool {
        4 * micros < 3 * u64::from(self.least)
    }

    /// The timeout passed: the next one is twice as long.
    pub(crate) fn back_off(&mut self) {
        self.backoff = (self.backoff + 1).min(BACKOFF_MAX);
    }

    /// Something new was acknowledged.
    pub(crate) fn on_progress(&mut self) {
        self.backoff = 0;
    }
}

/// RFC 6298, 2.4 allows an upper bound of 60 s or more.
const TIMEOUT_MAX: u64 = 60_000_000;
/// What Linux and the BSDs take for their least timeout; RFC 6298 2.1 says a second.
const TIMEOUT_FIRST: u64 = 200_000;
/// A tick of the timing wheel.
const GRANULARITY: u64 = 1 << crate::tcp::timer::TICK_SHIFT;
const SAMPLE_MAX: u32 = 60_000_000;
const BACKOFF_MAX: u8 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timeout_follows_what_is_measured() {
        let mut round_trip = RoundTrip::default();
        assert_eq!(round_trip.timeout(0), TIMEOUT_FIRST);
        assert_eq!(round_trip.probe_timeout(), None);
        round_trip.sample(100_000);
        assert_eq!(round_trip.timeout(0), 300_000, "R + 4 * R/2");
        round_trip.sample(100_000);
        assert_eq!(round_trip.timeout(0), 250_000, "the variation is down to 37.5 ms");
        assert_eq!(round_trip.probe_timeout(), Some(200_000));
        assert_eq!(round_trip.reordering_window(), 25_000);
    }

    #[test]
    fn it_is_doubled_until_something_is_acknowledged() {
        let mut round_trip = RoundTrip::default();
        round_trip.sample(1_000);
        assert_eq!(round_trip.timeout(5_000), 5_000);
        for doubled in [10_000, 20_000, 40_000] {
            round_trip.back_off();
            assert_eq!(round_trip.timeout(5_000), doubled);
        }
        round_trip.on_progress();
        assert_eq!(round_trip.timeout(5_000), 5_000);
        for _ in 0..100 {
            round_trip.back_off();
        }
        assert_eq!(round_trip.timeout(5_000), TIMEOUT_MAX);
    }

    #[test]
    fn measurements_of_nothing_and_of_ages_are_bounded() {
        let mut round_trip = RoundTrip::default();
        round_trip.sample(0);
        round_trip.sample(u64::MAX);
        round_trip.sample(u64::MAX);
        assert!(round_trip.timeout(0) <= TIMEOUT_MAX);
        assert!(round_trip.is_too_soon(0) && !round_trip.is_too_soon(1));
    }
}
