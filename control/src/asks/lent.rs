//! Answers that workers may still be sending: kept here until no worker has them.
//!
//! A worker must never free memory, so every answer is an `Arc` of which control keeps a clone until
//! it is the only one. Owns those clones. Each answer is registered once: two entries for one
//! answer would keep each other alive.
//!
//! A slow reader may keep thousands of answers for minutes. So that looking after them does not grow
//! with their number times their age, they stand on shelves: what is still lent when it is
//! looked at moves up one shelf, and each shelf is looked at half as often as the one below. An
//! answer that is lent for `n` sweeps costs about `log2(n)` looks until it reaches the top shelf, and
//! one look in 256 sweeps, about a second, from then on.

use std::sync::Arc;

use crossbeam::queue::SegQueue;
use handlers::RenderedResponse;

use super::readings::Tallies;

/// Where whoever lends an answer leaves a clone of it. Shared by all threads.
#[derive(Debug, Default)]
pub(crate) struct Lent(SegQueue<Arc<RenderedResponse>>);

impl Lent {
    /// Keeps `answer` from now on; before it is handed to a worker.
    pub(crate) fn keep(&self, answer: Arc<RenderedResponse>) {
        self.0.push(answer);
    }
}

/// The shelves; the clerk's own.
#[derive(Debug, Default)]
pub(crate) struct Shelves {
    shelves: [Vec<Arc<RenderedResponse>>; SHELVES],
    sweeps: usize,
}

impl Shelves {
    /// Takes what was lent since the last sweep, lets go of what came back, and says how much is
    /// still out.
    pub(crate) fn sweep(&mut self, lent: &Lent, tallies: &Tallies) {
        self.sweeps = self.sweeps.wrapping_add(1);
        while let Some(answer) = lent.0.pop() {
            tallies.responses_lent.up();
            tallies.response_bytes_lent.add(bytes(&answer));
            self.shelves[0].push(answer);
        }
        // From the top down: an answer moves up at most one shelf in a sweep.
        for level in (0..SHELVES).rev().filter(|level| self.sweeps.is_multiple_of(1 << level)) {
            let mut shelf = std::mem::take(&mut self.shelves[level]);
            shelf.retain(|answer| {
                let back = Arc::strong_count(answer) == 1;
                if back {
                    tallies.responses_lent.down();
                    tallies.response_bytes_lent.sub(bytes(answer));
                }
                !back
            });
            let above = (level + 1).min(SHELVES - 1);
            self.shelves[above].append(&mut shelf);
            if self.shelves[level].is_empty() && shelf.capacity() <= SHELF_KEPT {
                // The room is used again, unless a burst made it large.
                self.shelves[level] = shelf;
            }
        }
    }
}

fn bytes(answer: &RenderedResponse) -> u64 {
    answer.body().len() as u64
}

/// Shelf `n` is looked at in one of `2^n` sweeps.
const SHELVES: usize = 9;
/// Room of an empty shelf that is kept.
const SHELF_KEPT: usize = 1024;

#[cfg(test)]
mod tests {
    use http1::Status;
    use http1::coding::Coding;

    use super::*;

    /// Sweeps between two looks at the top shelf.
    const TOP_EVERY: usize = 1 << (SHELVES - 1);

    fn answer(bytes: usize) -> Arc<RenderedResponse> {
        let body = vec![b'x'; bytes];
        Arc::new(RenderedResponse::new(Status::S200, "text/plain", [], Coding::Identity, body))
    }

    #[test]
    fn an_answer_is_kept_until_its_worker_has_dropped_it() {
        let (lent, mut shelves, tallies) =
            (Lent::default(), Shelves::default(), Tallies::default());
        let worker = answer(10);
        let watch = Arc::downgrade(&worker);
        lent.keep(Arc::clone(&worker));
        lent.keep(answer(5));
        for _ in 0..3 {
            shelves.sweep(&lent, &tallies);
            assert_eq!(
                (tallies.responses_lent.value(), tallies.response_bytes_lent.value()),
                (1, 10)
            );
        }
        drop(worker);
        assert_eq!(watch.strong_count(), 1, "ours is the last: the worker frees nothing");
        for _ in 0..8 {
            shelves.sweep(&lent, &tallies);
        }
        assert_eq!(watch.strong_count(), 0);
        assert_eq!((tallies.responses_lent.value(), tallies.response_bytes_lent.value()), (0, 0));
    }

    #[test]
    fn looks_at_a_slow_readers_answers_grow_with_the_logarithm_of_their_age() {
        let (lent, mut shelves, tallies) =
            (Lent::default(), Shelves::default(), Tallies::default());
        let slow: Vec<_> = (0..100).map(|_| answer(1)).collect();
        slow.iter().for_each(|answer| lent.keep(Arc::clone(answer)));
        let mut looks = 0;
        for _ in 0..4 * TOP_EVERY {
            let next = shelves.sweeps + 1;
            let due = (0..SHELVES).filter(|level| next.is_multiple_of(1 << level));
            looks += due.map(|level| shelves.shelves[level].len()).sum::<usize>();
            shelves.sweep(&lent, &tallies);
        }
        assert!(looks <= slow.len() * (SHELVES + 4), "{looks} looks");
        drop(slow);
        for _ in 0..TOP_EVERY {
            shelves.sweep(&lent, &tallies);
        }
        assert_eq!(
            tallies.responses_lent.value(),
            0,
            "and they are let go within a turn of the top"
        );
    }

    #[test]
    fn room_is_kept_for_the_next_sweep() {
        let (lent, mut shelves, tallies) =
            (Lent::default(), Shelves::default(), Tallies::default());
        for _ in 0..100 {
            lent.keep(answer(1));
        }
        shelves.sweep(&lent, &tallies);
        assert!(shelves.shelves[0].is_empty() && shelves.shelves[0].capacity() >= 100);
        for _ in 0..2 * SHELF_KEPT {
            lent.keep(answer(1));
        }
        shelves.sweep(&lent, &tallies);
        assert_eq!(shelves.shelves[0].capacity(), 0, "the room of a burst is given back");
    }
}
