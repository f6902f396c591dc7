//! One deadline per connection in a hashed timing wheel (Varghese and Lauck, 1987, scheme 6).
//!
//! Arming is lazy: a deadline that moves away leaves its entry where it is, and when that fires the
//! owner arms again. So the common case, a deadline pushed out with every request, costs a compare.

/// Ticks are 1,024 microseconds: a shift, not a division.
pub(crate) const TICK_SHIFT: u32 = 10;

/// The deadlines of one core's connections, by slot.
#[derive(Debug)]
pub(crate) struct Wheel {
    /// First entry of each bucket's list.
    heads: Vec<u32>,
    entries: Vec<Entry>,
    /// The tick up to which (exclusive) everything has fired.
    tick: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    next: u32,
    prev: u32,
    /// When it fires; `IDLE` if it is in no list.
    tick: u64,
}

impl Wheel {
    /// A wheel for `count` timers, all idle, starting at `micros`.
    pub(crate) fn new(count: usize, micros: u64) -> Self {
        Self {
            heads: vec![NONE; BUCKETS],
            entries: vec![Entry { next: NONE, prev: NONE, tick: IDLE }; count],
            tick: micros >> TICK_SHIFT,
        }
    }

    /// Sees to it that timer `slot` fires at `micros` or soon after, at the latest.
    #[inline]
    pub(crate) fn arm(&mut self, slot: u32, micros: u64) {
        // Rounded up: a timer never fires before its time.
        let wanted = (micros >> TICK_SHIFT) + 1;
        if self.entry(slot).tick > wanted {
            self.move_to(slot, wanted);
        }
    }

    /// Apart from its caller: nearly always the timer is armed, and early enough.
    #[inline(never)]
    fn move_to(&mut self, slot: u32, wanted: u64) {
        self.disarm(slot);
        let tick = wanted.clamp(self.tick, self.tick + BUCKETS_U64 - 1);
        let bucket = bucket_of(tick);
        let first = self.heads[bucket];
        *self.entry_mut(slot) = Entry { next: first, prev: NONE, tick };
        if first != NONE {
            self.entry_mut(first).prev = slot;
        }
        self.heads[bucket] = slot;
    }

    /// Timer `slot` will not fire.
    pub(crate) fn disarm(&mut self, slot: u32) {
        let Entry { next, prev, tick } = self.entry(slot);
        if tick == IDLE {
            return;
        }
        if next != NONE {
            self.entry_mut(next).prev = prev;
        }
        if prev == NONE {
            self.heads[bucket_of(tick)] = next;
        } else {
            self.entry_mut(prev).next = next;
        }
        self.entry_mut(slot).tick = IDLE;
    }

    /// Takes one timer that is due at `micros`; it is idle then. Call until `None`.
    pub(crate) fn poll_due(&mut self, micros: u64) -> Option<u32> {
        let now = micros >> TICK_SHIFT;
        while self.tick <= now {
            let first = self.heads[bucket_of(self.tick)];
            if first != NONE {
                self.disarm(first);
                return Some(first);
            }
            self.tick += 1;
        }
        None
    }

    /// When the next timer is due, if one is within `within` microseconds of the last
    /// [`poll_due`](Self::poll_due): it fires at that microsecond, not before. Looks at one bucket for
    /// each tick of `within`.
    pub(crate) fn next_due(&self, within: u64) -> Option<u64> {
        let ticks = (within >> TICK_SHIFT).min(BUCKETS_U64 - 1);
        (self.tick..=self.tick + ticks)
            .find(|&tick| self.heads[bucket_of(tick)] != NONE)
            .map(|tick| tick << TICK_SHIFT)
    }

    fn entry(&self, slot: u32) -> Entry {
        self.entries[slot as usize]
    }

    fn entry_mut(&mut self, slot: u32) -> &mut Entry {
        &mut self.entries[slot as usize]
    }
}

fn bucket_of(tick: u64) -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "masked to the number of buckets")]
    let low = tick as usize;
    low & (BUCKETS - 1)
}

/// A little over four seconds ahead; what is due later fires at the horizon and is armed again.
const BUCKETS: usize = 4096;
const BUCKETS_U64: u64 = BUCKETS as u64;
const NONE: u32 = u32::MAX;
const IDLE: u64 = u64::MAX;
const _: () = assert!(BUCKETS.is_power_of_two(), "buckets are found by masking");

#[cfg(test)]
mod tests {
    use super::*;

    fn due(wheel: &mut Wheel, micros: u64) -> Vec<u32> {
        let mut due: Vec<u32> = std::iter::from_fn(|| wheel.poll_due(micros)).collect();
        due.sort_unstable();
        due
    }

    #[test]
    fn fires_at_its_time_not_before_and_once() {
        let mut wheel = Wheel::new(4, 5_000_000);
        wheel.arm(0, 5_010_000);
        wheel.arm(1, 5_010_000);
        wheel.arm(2, 5_200_000);
        assert_eq!(due(&mut wheel, 5_009_999), []);
        assert_eq!(due(&mut wheel, 5_013_000), [0, 1]);
        assert_eq!(due(&mut wheel, 5_199_999), []);
        assert_eq!(due(&mut wheel, 5_203_000), [2]);
        assert_eq!(due(&mut wheel, 9_000_000), []);
    }

    #[test]
    fn a_nearer_deadline_moves_the_entry_and_a_later_one_leaves_it() {
        let mut wheel = Wheel::new(1, 0);
        wheel.arm(0, 100_000);
        wheel.arm(0, 900_000);
        assert_eq!(due(&mut wheel, 102_000), [0], "left where it was: the owner arms again");
        wheel.arm(0, 900_000);
        wheel.arm(0, 200_000);
        assert_eq!(due(&mut wheel, 202_000), [0]);
        assert_eq!(due(&mut wheel, 1_000_000), []);
    }

    #[test]
    fn beyond_the_horizon_it_fires_at_the_horizon() {
        let mut wheel = Wheel::new(1, 0);
        wheel.arm(0, 60_000_000);
        let fired =
            (0..60_000).map(|ms| ms * 1_000).find(|&micros| wheel.poll_due(micros).is_some());
        assert!(fired.is_some_and(|micros| (4_000_000..4_300_000).contains(&micros)), "{fired:?}");
    }

    #[test]
    fn disarming_takes_out_the_first_middle_and_last_of_a_list() {
        for gone in 0..3 {
            let mut wheel = Wheel::new(3, 0);
            (0..3).for_each(|slot| wheel.arm(slot, 5_000));
            wheel.disarm(gone);
            wheel.disarm(gone);
            let left: Vec<u32> = (0..3).filter(|&slot| slot != gone).collect();
            assert_eq!(due(&mut wheel, 10_000), left);
        }
    }

    #[test]
    fn the_next_timer_is_known_as_far_as_one_looks() {
        let mut wheel = Wheel::new(2, 0);
        assert_eq!(wheel.next_due(u64::MAX), None);
        wheel.arm(0, 60_000);
        wheel.arm(1, 8_000);
        let next = wheel.next_due(10_000).expect("one is near");
        assert!((8_000..8_000 + 1_024).contains(&next), "{next}");
        assert_eq!(due(&mut wheel, next - 1), []);
        assert_eq!(due(&mut wheel, next), [1]);
        assert_eq!(wheel.next_due(10_000), None, "too far ahead");
        assert!(wheel.next_due(60_000).is_some());
        wheel.arm(1, 60_000_000);
        wheel.disarm(0);
        assert!(wheel.next_due(u64::MAX).is_some_and(|next| next < 4_300_000), "the horizon");
        wheel.disarm(1);
        assert_eq!(wheel.next_due(u64::MAX), None);
    }

    #[test]
    fn a_deadline_in_the_past_fires_at_the_next_look() {
        let mut wheel = Wheel::new(1, 9_000_000);
        wheel.arm(0, 1_000);
        assert_eq!(due(&mut wheel, 9_000_000), [0]);
    }
}
