//! A slow line with its queue: when each frame has left it, or that there was no room. No I/O, no clock.

use std::collections::VecDeque;
use std::time::Duration;

use super::impairment::Rate;

/// A line that sends one frame after the other. Times count from wherever the caller's begin, and never go back.
#[derive(Debug, Default)]
pub struct Line {
    /// When each frame that waits or is being sent has left, and its bytes.
    waiting: VecDeque<(Duration, usize)>,
    waiting_bytes: usize,
}

impl Line {
    /// When a frame of `len` bytes that comes `now` has left; without a rate that is at once, behind what waits.
    ///
    /// `None`: the queue has no room for it.
    pub fn admit(&mut self, len: usize, rate: Option<Rate>, now: Duration) -> Option<Duration> {
        while let Some(&(_, len)) = self.waiting.front().filter(|(left, _)| *left <= now) {
            self.waiting_bytes -= len;
            self.waiting.pop_front();
        }
        let begins = self.waiting.back().map_or(now, |(left, _)| *left);
        let Some(rate) = rate else { return Some(begins) };
        if self.waiting_bytes + len > rate.queue {
            return None;
        }
        let nanos = len as u128 * 8 * 1_000_000_000 / u128::from(rate.bits_per_second.max(1));
        let left = begins + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.waiting.push_back((left, len));
        self.waiting_bytes += len;
        Some(left)
    }
}
