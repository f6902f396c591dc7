//! The time stamp counter as a clock: a few cycles to read, the same on every core of a machine with
//! an invariant counter (Intel SDM volume 3, 18.17.1).

use std::{
    arch::x86_64::_rdtsc,
    time::{Duration, Instant},
};

/// A calibrated time stamp counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tsc {
    hz: u64,
    /// Microseconds per 2^64 cycles: multiplying and keeping the upper half divides by `hz`.
    micros_per_cycle: u64,
}

/// How long [`Tsc::calibrated`] measures.
const CALIBRATION: Duration = Duration::from_millis(100);

impl Tsc {
    /// Measures the counter against the system's monotonic clock: blocks for a tenth of a second,
    /// and errs by less than 20 parts in a million.
    pub fn calibrated() -> Self {
        let (from_clock, from_cycles) = both();
        while from_clock.elapsed() < CALIBRATION {
            std::hint::spin_loop();
        }
        let (to_clock, to_cycles) = both();
        let nanos = (to_clock - from_clock).as_nanos();
        let cycles = u128::from(to_cycles.wrapping_sub(from_cycles));
        let hz = u64::try_from(cycles * 1_000_000_000 / nanos).unwrap_or(u64::MAX);
        Self::with_hz(hz.max(HZ_MIN))
    }

    fn with_hz(hz: u64) -> Self {
        let micros_per_cycle = u64::try_from((1_000_000_u128 << 64) / u128::from(hz));
        Self { hz, micros_per_cycle: micros_per_cycle.unwrap_or(u64::MAX) }
    }

    /// The counter, in cycles since the machine started. Not serialising: a few instructions
    /// around it may be reordered.
    #[inline]
    pub fn now(&self) -> u64 {
        read()
    }

    /// Cycles per second.
    pub fn hz(&self) -> u64 {
        self.hz
    }

    /// Cycles as whole microseconds, rounded down; one multiplication.
    #[inline]
    pub fn micros(&self, cycles: u64) -> u64 {
        let product = u128::from(cycles) * u128::from(self.micros_per_cycle);
        (product >> 64) as u64
    }

    /// A duration as cycles, rounded down.
    pub fn cycles(&self, duration: Duration) -> u64 {
        let cycles = duration.as_nanos() * u128::from(self.hz) / 1_000_000_000;
        u64::try_from(cycles).unwrap_or(u64::MAX)
    }
}

/// Slower than any machine this runs on; keeps `micros_per_cycle` within 64 bits.
const HZ_MIN: u64 = 1_000_001;

/// Both clocks at the same moment: the tightest of a few tries.
fn both() -> (Instant, u64) {
    let tries = (0..8).map(|_| {
        let before = read();
        let clock = Instant::now();
        let after = read();
        (after.wrapping_sub(before), clock, before + after.wrapping_sub(before) / 2)
    });
    let best = tries.min_by_key(|(width, ..)| *width);
    best.map_or_else(|| (Instant::now(), read()), |(_, clock, cycles)| (clock, cycles))
}

#[inline]
fn read() -> u64 {
    // SAFETY: RDTSC is on every x86-64 CPU, touches no memory, and Linux leaves it to user space.
    unsafe { _rdtsc() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn micros_divides_as_division_does() {
        for hz in [HZ_MIN, 1_999_999_999, 2_445_000_000, 5_300_000_000] {
            let tsc = Tsc::with_hz(hz);
            for cycles in [0, 1, hz - 1, hz, 3 * hz + 7, hz * 86_400 * 365] {
                let exact = u128::from(cycles) * 1_000_000 / u128::from(hz);
                let error = exact.abs_diff(u128::from(tsc.micros(cycles)));
                assert!(error <= 1, "{hz} {cycles} {error}");
            }
            assert_eq!(tsc.cycles(Duration::from_secs(2)), 2 * hz);
        }
    }

    #[test]
    fn the_counter_agrees_with_the_system_clock() {
        let tsc = Tsc::calibrated();
        let (clock, from) = (Instant::now(), tsc.now());
        std::thread::sleep(Duration::from_millis(50));
        let (elapsed, to) = (clock.elapsed(), tsc.now());
        let micros = u128::from(tsc.micros(to - from));
        assert!(micros.abs_diff(elapsed.as_micros()) < 1_000, "{micros} {elapsed:?}");
    }
}
