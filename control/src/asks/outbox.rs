//! The way back: whoever has an answer hands it to the worker that waits for it.
//!
//! Every answer that is memory of ours is registered with [`Lent`] first, so a worker never drops the
//! last count. A ring that is full (its worker empties it every turn) is tried again by the clerk for
//! [`PATIENCE`]; after that the answer is given up and counted, and the worker's own deadline has
//! answered the request.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::queue::SegQueue;
use engine::ConnId;
use engine::link::Answers;
use handlers::{RenderedResponse, Response, SiteHandle};

use super::lent::Lent;
use super::readings::Tallies;

/// Who asked: a worker, and which of its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asker {
    /// Index of the worker.
    pub(crate) worker: usize,
    /// Its name for the request.
    pub(crate) id: ConnId,
}

/// All ways back. Shared by all threads.
#[derive(Debug)]
pub(crate) struct Outbox {
    workers: Box<[Answers<SiteHandle>]>,
    delayed: SegQueue<Delayed>,
    lent: Arc<Lent>,
    tallies: Arc<Tallies>,
}

/// An answer that found its ring full.
#[derive(Debug)]
pub(crate) struct Delayed {
    asker: Asker,
    reply: Response,
    since: Instant,
}

impl Outbox {
    /// Ways back to these workers.
    pub(crate) fn new(
        workers: impl IntoIterator<Item = Answers<SiteHandle>>,
        lent: &Arc<Lent>,
        tallies: &Arc<Tallies>,
    ) -> Self {
        Self {
            workers: workers.into_iter().collect(),
            delayed: SegQueue::new(),
            lent: Arc::clone(lent),
            tallies: Arc::clone(tallies),
        }
    }

    /// Answers with something that was made for this request.
    pub(crate) fn answer(&self, asker: Asker, answer: RenderedResponse) {
        let answer = Arc::new(answer);
        self.lent.keep(Arc::clone(&answer));
        self.push(asker, Response::rendered(answer));
    }

    /// Answers with something that somebody else keeps: the cache, or the site of the ask.
    pub(crate) fn answer_kept(&self, asker: Asker, reply: Response) {
        self.push(asker, reply);
    }

    fn push(&self, asker: Asker, reply: Response) {
        match self.workers[asker.worker].push(asker.id, reply) {
            Ok(()) => self.tallies.completions.up(),
            Err(reply) => {
                self.tallies.completions_delayed.up();
                self.delayed.push(Delayed { asker, reply, since: Instant::now() });
            }
        }
    }

    /// The clerk: tries again what found its ring full. `waiting` is the clerk's, in the order of
    /// arrival.
    pub(crate) fn retry(&self, waiting: &mut VecDeque<Delayed>, now: Instant) {
        waiting.extend(std::iter::from_fn(|| self.delayed.pop()));
        for _ in 0..waiting.len() {
            let Some(Delayed { asker, reply, since }) = waiting.pop_front() else { break };
            match self.workers[asker.worker].push(asker.id, reply) {
                Ok(()) => self.tallies.completions.up(),
                Err(_) if now.saturating_duration_since(since) > PATIENCE => {
                    self.tallies.completions_lost.up();
                }
                Err(reply) => waiting.push_back(Delayed { asker, reply, since }),
            }
        }
    }
}

/// No worker that turns leaves its ring full for as long.
const PATIENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use engine::link::{self, WallClock, WorkerEnd};
    use http1::Status;
    use http1::coding::Coding;

    use super::*;

    fn bench(parked: usize) -> (Outbox, WorkerEnd<SiteHandle>, Arc<Tallies>) {
        let (control, worker) = link::pair(&WallClock::new(0), parked);
        let tallies = Arc::default();
        (Outbox::new([control.answers()], &Arc::default(), &tallies), worker, tallies)
    }

    fn answer() -> RenderedResponse {
        RenderedResponse::new(Status::S200, "text/plain", [], Coding::Identity, *b"x")
    }

    fn asker(life: u32) -> Asker {
        Asker { worker: 0, id: ConnId::new(7, life) }
    }

    fn lives(worker: &WorkerEnd<SiteHandle>) -> Vec<ConnId> {
        std::iter::from_fn(|| worker.poll_answer()).map(|(id, _)| id).collect()
    }

    #[test]
    fn a_full_ring_delays_answers_and_loses_none() {
        let (outbox, worker, tallies) = bench(2);
        let mut waiting = VecDeque::new();
        (0..5).for_each(|life| outbox.answer(asker(life), answer()));
        assert_eq!((tallies.completions.value(), tallies.completions_delayed.value()), (2, 3));
        let mut got = lives(&worker);
        for _ in 0..2 {
            outbox.retry(&mut waiting, Instant::now());
            got.extend(lives(&worker));
        }
        assert_eq!(got, [0, 1, 2, 3, 4].map(|life| asker(life).id));
        assert_eq!((tallies.completions.value(), tallies.completions_lost.value()), (5, 0));
        tallies.readings().note_moved();
    }

    #[test]
    fn an_answer_to_a_worker_that_does_not_turn_is_given_up_and_counted() {
        let (outbox, worker, tallies) = bench(1);
        let mut waiting = VecDeque::new();
        (0..3).for_each(|life| outbox.answer(asker(life), answer()));
        outbox.retry(&mut waiting, Instant::now());
        assert_eq!((waiting.len(), tallies.completions_lost.value()), (2, 0));
        outbox.retry(&mut waiting, Instant::now() + 2 * PATIENCE);
        assert_eq!((waiting.len(), tallies.completions_lost.value()), (0, 2));
        tallies.readings().note_moved();
        assert_eq!(lives(&worker), [asker(0).id]);
    }

    #[test]
    fn a_worker_never_holds_the_last_count() {
        let (control, worker) = link::pair(&WallClock::new(0), 8);
        let (lent, tallies) = (Arc::new(Lent::default()), Arc::default());
        let outbox = Outbox::new([control.answers()], &lent, &tallies);
        outbox.answer(asker(1), answer());
        let reply = worker.poll_answer().expect("an answer");
        let mut shelves = super::super::lent::Shelves::default();
        (0..1000).for_each(|_| shelves.sweep(&lent, &tallies));
        assert_eq!(tallies.responses_lent.value(), 1);
        drop(reply);
        (0..1000).for_each(|_| shelves.sweep(&lent, &tallies));
        assert_eq!(tallies.responses_lent.value(), 0);
    }
}
