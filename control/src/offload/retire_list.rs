//! Responses that workers may still be sending: kept here until no worker holds them.
//!
//! A worker must never free memory, so every response is an `Arc` of which control keeps a clone until
//! it is the only one. Owns those clones. Each response is registered once: two entries for one
//! response would keep each other alive.
//!
//! A slow reader may keep thousands of responses for minutes. So that looking after them does not grow
//! with their number times their age, they are kept by age in levels: what is still held when it is
//! looked at moves up one level, and each level is looked at half as often as the one below. A
//! response that is held for `n` sweeps costs about `log2(n)` looks until it reaches the top level, and
//! one look in 256 sweeps, about a second, from then on.

use std::sync::Arc;

use crossbeam::queue::SegQueue;
use handlers::RenderedResponse;

use super::counters::Counters;

/// Where whoever sends a response leaves a clone of it. Shared by all threads.
#[derive(Debug, Default)]
pub(crate) struct RetireList(SegQueue<Arc<RenderedResponse>>);

impl RetireList {
    /// Keeps `response` from now on; called before it is handed to a worker.
    pub(crate) fn keep(&self, response: Arc<RenderedResponse>) {
        self.0.push(response);
    }
}

/// What was registered, by age; the dispatcher's own.
#[derive(Debug, Default)]
pub(crate) struct RetiredByAge {
    levels: [Vec<Arc<RenderedResponse>>; LEVELS],
    sweeps: usize,
}

impl RetiredByAge {
    /// Takes what was registered since the last sweep, frees what no worker holds any more, and counts what
    /// is still held.
    pub(crate) fn sweep(&mut self, retire_list: &RetireList, counters: &Counters) {
        self.sweeps = self.sweeps.wrapping_add(1);
        while let Some(response) = retire_list.0.pop() {
            counters.responses_in_use.up();
            counters.response_bytes_in_use.add(bytes(&response));
            self.levels[0].push(response);
        }
        // From the top down: a response moves up at most one level in a sweep.
        for level in (0..LEVELS).rev().filter(|level| self.sweeps.is_multiple_of(1 << level)) {
            let mut kept = std::mem::take(&mut self.levels[level]);
            kept.retain(|response| {
                let is_unused = Arc::strong_count(response) == 1;
                if is_unused {
                    counters.responses_in_use.down();
                    counters.response_bytes_in_use.sub(bytes(response));
                }
                !is_unused
            });
            let above = (level + 1).min(LEVELS - 1);
            self.levels[above].append(&mut kept);
            if self.levels[level].is_empty() && kept.capacity() <= IDLE_CAPACITY_MAX {
                // The room is used again, unless a burst made it large.
                self.levels[level] = kept;
            }
        }
    }
}

fn bytes(response: &RenderedResponse) -> u64 {
    response.body().len() as u64
}

/// Level `n` is looked at in one of `2^n` sweeps.
const LEVELS: usize = 9;
/// Capacity that an empty level keeps.
const IDLE_CAPACITY_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use http1::Status;
    use http1::coding::Coding;

    use super::*;

    /// Sweeps between two looks at the top level.
    const TOP_EVERY: usize = 1 << (LEVELS - 1);

    fn response(bytes: usize) -> Arc<RenderedResponse> {
        let body = vec![b'x'; bytes];
        Arc::new(RenderedResponse::new(Status::S200, "text/plain", [], Coding::Identity, body))
    }

    #[test]
    fn an_answer_is_kept_until_its_worker_has_dropped_it() {
        let (retire_list, mut retired, counters) =
            (RetireList::default(), RetiredByAge::default(), Counters::default());
        let worker = response(10);
        let watch = Arc::downgrade(&worker);
        retire_list.keep(Arc::clone(&worker));
        retire_list.keep(response(5));
        for _ in 0..3 {
            retired.sweep(&retire_list, &counters);
            assert_eq!(
                (counters.responses_in_use.value(), counters.response_bytes_in_use.value()),
                (1, 10)
            );
        }
        drop(worker);
        assert_eq!(watch.strong_count(), 1, "ours is the last: the worker frees nothing");
        for _ in 0..8 {
            retired.sweep(&retire_list, &counters);
        }
        assert_eq!(watch.strong_count(), 0);
        assert_eq!(
            (counters.responses_in_use.value(), counters.response_bytes_in_use.value()),
            (0, 0)
        );
    }

    #[test]
    fn looks_at_a_slow_readers_answers_grow_with_the_logarithm_of_their_age() {
        let (retire_list, mut retired, counters) =
            (RetireList::default(), RetiredByAge::default(), Counters::default());
        let slow: Vec<_> = (0..100).map(|_| response(1)).collect();
        slow.iter().for_each(|response| retire_list.keep(Arc::clone(response)));
        let mut looks = 0;
        for _ in 0..4 * TOP_EVERY {
            let next = retired.sweeps + 1;
            let due = (0..LEVELS).filter(|level| next.is_multiple_of(1 << level));
            looks += due.map(|level| retired.levels[level].len()).sum::<usize>();
            retired.sweep(&retire_list, &counters);
        }
        assert!(looks <= slow.len() * (LEVELS + 4), "{looks} looks");
        drop(slow);
        for _ in 0..TOP_EVERY {
            retired.sweep(&retire_list, &counters);
        }
        assert_eq!(
            counters.responses_in_use.value(),
            0,
            "and they are let go within a turn of the top"
        );
    }

    #[test]
    fn room_is_kept_for_the_next_sweep() {
        let (retire_list, mut retired, counters) =
            (RetireList::default(), RetiredByAge::default(), Counters::default());
        for _ in 0..100 {
            retire_list.keep(response(1));
        }
        retired.sweep(&retire_list, &counters);
        assert!(retired.levels[0].is_empty() && retired.levels[0].capacity() >= 100);
        for _ in 0..2 * IDLE_CAPACITY_MAX {
            retire_list.keep(response(1));
        }
        retired.sweep(&retire_list, &counters);
        assert_eq!(retired.levels[0].capacity(), 0, "the room of a burst is given back");
    }
}
