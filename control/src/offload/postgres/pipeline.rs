//! Queries under way on one connection, oldest first.
//!
//! The server runs pipelined queries one after the other. So only the oldest can be running, only it
//! can be what holds up the others, and a request to cancel hits whatever runs when it arrives.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Instant;

use crate::offload::cache::lock;

/// The queries of one connection.
#[derive(Debug, Default)]
pub(super) struct Pipeline(Mutex<Queries>);

#[derive(Debug, Default)]
struct Queries {
    next: u64,
    sent: VecDeque<Query>,
    /// When the server last completed one.
    completed_at: Option<Instant>,
}

#[derive(Debug)]
struct Query {
    number: u64,
    since: Instant,
    overdue: Option<Instant>,
}

/// A query that nobody waits for any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Overdue {
    /// Tells it from all others of the connection.
    pub(super) number: u64,
    /// Since when.
    pub(super) since: Instant,
}

/// One query under way: until it is dropped.
#[derive(Debug)]
pub(super) struct InFlight<'p> {
    pipeline: &'p Pipeline,
    number: u64,
}

impl Pipeline {
    /// A query is about to be sent.
    pub(super) fn push(&self, now: Instant) -> InFlight<'_> {
        let mut queries = lock(&self.0);
        let number = queries.next;
        queries.next += 1;
        queries.sent.push_back(Query { number, since: now, overdue: None });
        InFlight { pipeline: self, number }
    }

    /// Since when the server has been running the oldest query, as far as can be seen from here.
    pub(super) fn running_since(&self) -> Option<Instant> {
        let queries = lock(&self.0);
        let sent = queries.sent.front()?.since;
        Some(queries.completed_at.map_or(sent, |completed| completed.max(sent)))
    }

    /// The oldest query, if nobody waits for it any more.
    pub(super) fn oldest_overdue(&self) -> Option<Overdue> {
        let queries = lock(&self.0);
        let Query { number, overdue, .. } = queries.sent.front()?;
        overdue.map(|since| Overdue { number: *number, since })
    }
}

impl InFlight<'_> {
    /// Nobody waits for it any more.
    pub(super) fn give_up(&self, now: Instant) {
        let mut queries = lock(&self.pipeline.0);
        if let Some(query) = queries.sent.iter_mut().find(|query| query.number == self.number) {
            query.overdue = Some(now);
        }
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        let mut queries = lock(&self.pipeline.0);
        queries.sent.retain(|query| query.number != self.number);
        queries.completed_at = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_oldest_holds_up_the_others() {
        let (pipeline, now) = (Pipeline::default(), Instant::now());
        let (first, second) = (pipeline.push(now), pipeline.push(now));
        assert_eq!(pipeline.oldest_overdue(), None);
        second.give_up(now);
        assert_eq!(pipeline.oldest_overdue(), None, "it may not even run yet");
        drop(first);
        assert_eq!(pipeline.oldest_overdue(), Some(Overdue { number: 1, since: now }));
        drop(second);
        assert_eq!(pipeline.oldest_overdue(), None);
    }

    #[test]
    fn a_query_runs_from_when_the_one_before_it_has_completed() {
        let (pipeline, sent) = (Pipeline::default(), Instant::now());
        assert_eq!(pipeline.running_since(), None);
        let (first, second) = (pipeline.push(sent), pipeline.push(sent));
        assert_eq!(pipeline.running_since(), Some(sent));
        drop(first);
        assert!(pipeline.running_since().is_some_and(|since| since > sent));
        drop(second);
        assert_eq!(pipeline.running_since(), None);
    }
}
