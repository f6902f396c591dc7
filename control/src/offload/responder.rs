//! Sends completions: whoever has a response hands it to the worker that waits for it.
//!
//! Every response that is memory of ours is registered with the [`RetireList`] first, so a worker never drops
//! the last count. A ring that is full (its worker empties it every turn) is tried again by the dispatcher for
//! [`RETRY_TIMEOUT`]; after that the response is given up and counted, and the worker's own deadline has
//! answered the request.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::queue::SegQueue;
use engine::ConnId;
use engine::control_queue::Completions;
use handlers::{RenderedResponse, Response, SiteHandle};

use super::counters::Counters;
use super::retire_list::RetireList;

/// Who waits for a completion: a worker, and which of its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Requester {
    /// Index of the worker.
    pub(crate) worker: usize,
    /// Its name for the request.
    pub(crate) id: ConnId,
}

/// The completion rings. Shared by all threads.
#[derive(Debug)]
pub(crate) struct Responder {
    workers: Box<[Completions<SiteHandle>]>,
    delayed: SegQueue<Delayed>,
    retire_list: Arc<RetireList>,
    counters: Arc<Counters>,
}

/// A response that found its ring full.
#[derive(Debug)]
pub(crate) struct Delayed {
    requester: Requester,
    response: Response,
    since: Instant,
}

impl Responder {
    /// Sends to these workers.
    pub(crate) fn new(
        workers: impl IntoIterator<Item = Completions<SiteHandle>>,
        retire_list: &Arc<RetireList>,
        counters: &Arc<Counters>,
    ) -> Self {
        Self {
            workers: workers.into_iter().collect(),
            delayed: SegQueue::new(),
            retire_list: Arc::clone(retire_list),
            counters: Arc::clone(counters),
        }
    }

    /// Answers with something that was made for this request.
    pub(crate) fn response(&self, requester: Requester, response: RenderedResponse) {
        let response = Arc::new(response);
        self.retire_list.keep(Arc::clone(&response));
        self.push(requester, Response::rendered(response));
    }

    /// Answers with something that somebody else keeps: the cache, or the site of the offload.
    pub(crate) fn respond_shared(&self, requester: Requester, response: Response) {
        self.push(requester, response);
    }

    fn push(&self, requester: Requester, response: Response) {
        match self.workers[requester.worker].push(requester.id, response) {
            Ok(()) => self.counters.completions.up(),
            Err(response) => {
                self.counters.completions_delayed.up();
                self.delayed.push(Delayed { requester, response, since: Instant::now() });
            }
        }
    }

    /// The dispatcher: tries again what found its ring full. `waiting` is the dispatcher's, in the order of
    /// arrival.
    pub(crate) fn retry(&self, waiting: &mut VecDeque<Delayed>, now: Instant) {
        waiting.extend(std::iter::from_fn(|| self.delayed.pop()));
        for _ in 0..waiting.len() {
            let Some(Delayed { requester, response, since }) = waiting.pop_front() else { break };
            match self.workers[requester.worker].push(requester.id, response) {
                Ok(()) => self.counters.completions.up(),
                Err(_) if now.saturating_duration_since(since) > RETRY_TIMEOUT => {
                    self.counters.completions_lost.up();
                }
                Err(response) => waiting.push_back(Delayed { requester, response, since }),
            }
        }
    }
}

/// No worker that turns leaves its ring full for as long.
const RETRY_TIMEOUT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use engine::control_queue::{self, WallClock, WorkerEnd};
    use http1::Status;
    use http1::coding::Coding;

    use super::*;

    fn bench(parked: usize) -> (Responder, WorkerEnd<SiteHandle>, Arc<Counters>) {
        let (control, worker) = control_queue::pair(&WallClock::new(0), parked);
        let counters = Arc::default();
        (Responder::new([control.completions()], &Arc::default(), &counters), worker, counters)
    }

    fn response() -> RenderedResponse {
        RenderedResponse::new(Status::S200, "text/plain", [], Coding::Identity, *b"x")
    }

    fn requester(life: u32) -> Requester {
        Requester { worker: 0, id: ConnId::new(7, life) }
    }

    fn lives(worker: &WorkerEnd<SiteHandle>) -> Vec<ConnId> {
        std::iter::from_fn(|| worker.poll_completion()).map(|(id, _)| id).collect()
    }

    #[test]
    fn a_full_ring_delays_answers_and_loses_none() {
        let (responder, worker, counters) = bench(2);
        let mut waiting = VecDeque::new();
        (0..5).for_each(|life| responder.response(requester(life), response()));
        assert_eq!((counters.completions.value(), counters.completions_delayed.value()), (2, 3));
        let mut got = lives(&worker);
        for _ in 0..2 {
            responder.retry(&mut waiting, Instant::now());
            got.extend(lives(&worker));
        }
        assert_eq!(got, [0, 1, 2, 3, 4].map(|life| requester(life).id));
        assert_eq!((counters.completions.value(), counters.completions_lost.value()), (5, 0));
        counters.readings().note_moved();
    }

    #[test]
    fn an_answer_to_a_worker_that_does_not_turn_is_given_up_and_counted() {
        let (responder, worker, counters) = bench(1);
        let mut waiting = VecDeque::new();
        (0..3).for_each(|life| responder.response(requester(life), response()));
        responder.retry(&mut waiting, Instant::now());
        assert_eq!((waiting.len(), counters.completions_lost.value()), (2, 0));
        responder.retry(&mut waiting, Instant::now() + 2 * RETRY_TIMEOUT);
        assert_eq!((waiting.len(), counters.completions_lost.value()), (0, 2));
        counters.readings().note_moved();
        assert_eq!(lives(&worker), [requester(0).id]);
    }

    #[test]
    fn a_worker_never_holds_the_last_count() {
        let (control, worker) = control_queue::pair(&WallClock::new(0), 8);
        let (retire_list, counters) = (Arc::new(RetireList::default()), Arc::default());
        let responder = Responder::new([control.completions()], &retire_list, &counters);
        responder.response(requester(1), response());
        let response = worker.poll_completion().expect("an answer");
        let mut retired = super::super::retire_list::RetiredByAge::default();
        (0..1000).for_each(|_| retired.sweep(&retire_list, &counters));
        assert_eq!(counters.responses_in_use.value(), 1);
        drop(response);
        (0..1000).for_each(|_| retired.sweep(&retire_list, &counters));
        assert_eq!(counters.responses_in_use.value(), 0);
    }
}
