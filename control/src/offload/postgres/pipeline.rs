//! Queries under way on one connection, oldest first.
//!
//! The server runs pipelined queries one after the other. So only the oldest can be running, only it
//! can be what holds up the others, and a request to cancel hits whatever runs when it arrives.
//!
//! A query that is sent on another connection instead was abandoned here: the server still runs it in its turn, and
//! until it has, the query keeps its place. Nobody reads its result, so it has been passed when a later one has
//! completed, such as the marker that is sent after it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

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
    /// How long it ran that one, as far as can be seen from here.
    last_ran: Duration,
}

#[derive(Debug)]
struct Query {
    number: u64,
    since: Instant,
    overdue: Option<Instant>,
    /// The number that the first query behind its marker has.
    abandoned: Option<u64>,
}

impl Queries {
    /// Since when the server has been running the oldest query, as far as can be seen from here.
    fn running_since(&self) -> Option<Instant> {
        let sent = self.sent.front()?.since;
        Some(self.completed_at.map_or(sent, |completed| completed.max(sent)))
    }
}

/// A query that nobody waits for any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Overdue {
    /// Tells it from all others of the connection.
    pub(super) number: u64,
    /// Since when.
    pub(super) since: Instant,
}

/// The query that holds up those behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Blocker {
    /// Tells it from all others of the connection.
    pub(super) number: u64,
    /// Since when the server has been running it.
    pub(super) since: Instant,
}

/// One query under way: until it is dropped.
#[derive(Debug)]
pub(super) struct InFlight {
    pipeline: Arc<Pipeline>,
    number: u64,
    was_sent: AtomicBool,
}

impl Pipeline {
    /// A query is about to be sent.
    pub(super) fn push(self: &Arc<Self>, now: Instant) -> InFlight {
        let mut queries = lock(&self.0);
        let number = queries.next;
        queries.next += 1;
        queries.sent.push_back(Query { number, since: now, overdue: None, abandoned: None });
        InFlight { pipeline: Arc::clone(self), number, was_sent: AtomicBool::new(false) }
    }

    /// Whether the server has nothing to do, as far as can be seen from here.
    pub(super) fn is_empty(&self) -> bool {
        lock(&self.0).sent.is_empty()
    }

    /// Since when the server has been running the oldest query, as far as can be seen from here.
    pub(super) fn running_since(&self) -> Option<Instant> {
        lock(&self.0).running_since()
    }

    /// How long the server ran the query that it last completed.
    pub(super) fn last_ran(&self) -> Duration {
        lock(&self.0).last_ran
    }

    /// The oldest query, if nobody waits for it any more.
    pub(super) fn oldest_overdue(&self) -> Option<Overdue> {
        let queries = lock(&self.0);
        let Query { number, overdue, .. } = queries.sent.front()?;
        overdue.map(|since| Overdue { number: *number, since })
    }
}

impl InFlight {
    /// The oldest query, if it is another one: this one has not begun.
    pub(super) fn blocker(&self) -> Option<Blocker> {
        let queries = lock(&self.pipeline.0);
        let number = queries.sent.front()?.number;
        let since = queries.running_since()?;
        (number < self.number).then_some(Blocker { number, since })
    }

    /// Whether it is sent: nothing but what it takes to prepare it was before, or it was refused and nothing was run.
    pub(super) fn set_sent(&self, was_sent: bool) {
        self.was_sent.store(was_sent, Ordering::Relaxed);
    }

    /// Whether the server may have begun to run it.
    pub(super) fn was_sent(&self) -> bool {
        self.was_sent.load(Ordering::Relaxed)
    }

    /// It has completed: how long the server ran it, as far as can be seen from here.
    pub(super) fn finish(self) -> Duration {
        let pipeline = Arc::clone(&self.pipeline);
        drop(self);
        pipeline.last_ran()
    }

    /// Nobody waits for it any more.
    pub(super) fn give_up(&self, now: Instant) {
        let mut queries = lock(&self.pipeline.0);
        if let Some(query) = queries.sent.iter_mut().find(|query| query.number == self.number) {
            query.overdue = Some(now);
        }
    }

    /// Its result is not read any more; a marker is sent now.
    pub(super) fn abandon(&self) {
        let mut queries = lock(&self.pipeline.0);
        let next = queries.next;
        if let Some(query) = queries.sent.iter_mut().find(|query| query.number == self.number) {
            query.abandoned = Some(next);
        }
    }

    /// Gives up an abandoned query that the server has been running for longer than `limit`. Not where it may have passed it
    /// and be running one that was sent before the marker, for which somebody waits.
    pub(super) fn give_up_if_running(&self, limit: Duration, now: Instant) {
        let mut queries = lock(&self.pipeline.0);
        let runs_long = queries
            .running_since()
            .is_some_and(|since| now.saturating_duration_since(since) > limit);
        let mut sent = queries.sent.iter_mut();
        let Some(oldest) = sent.next().filter(|oldest| oldest.number == self.number) else {
            return;
        };
        let marker = oldest.abandoned.unwrap_or(oldest.number);
        let is_known = sent
            .take_while(|query| query.number < marker)
            .all(|query| query.abandoned.is_some() || query.overdue.is_some());
        if runs_long && is_known {
            oldest.overdue.get_or_insert(now);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut queries = lock(&self.pipeline.0);
        let (before, since) = (queries.sent.len(), queries.running_since());
        let number = self.number;
        // What was sent before it has been passed too: those whose result is read say so themselves.
        queries.sent.retain(|query| {
            query.number > number || query.number < number && query.abandoned.is_none()
        });
        if queries.sent.len() < before {
            let now = Instant::now();
            queries.completed_at = Some(now);
            queries.last_ran = since.map_or(Duration::ZERO, |since| now - since);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_oldest_holds_up_the_others() {
        let (pipeline, now) = (Arc::new(Pipeline::default()), Instant::now());
        let (first, second) = (pipeline.push(now), pipeline.push(now));
        assert_eq!(pipeline.oldest_overdue(), None);
        second.give_up(now);
        assert_eq!(pipeline.oldest_overdue(), None, "it may not even run yet");
        assert_eq!(first.blocker(), None);
        assert_eq!(second.blocker(), Some(Blocker { number: 0, since: now }));
        drop(first);
        assert_eq!(second.blocker(), None);
        assert_eq!(pipeline.oldest_overdue(), Some(Overdue { number: 1, since: now }));
        drop(second);
        assert_eq!(pipeline.oldest_overdue(), None);
        assert!(pipeline.is_empty());
    }

    #[test]
    fn a_query_runs_from_when_the_one_before_it_has_completed() {
        let (pipeline, sent) = (Arc::new(Pipeline::default()), Instant::now());
        assert_eq!(pipeline.running_since(), None);
        let (first, second) = (pipeline.push(sent), pipeline.push(sent));
        assert_eq!(pipeline.running_since(), Some(sent));
        drop(first);
        assert!(pipeline.running_since().is_some_and(|since| since > sent));
        drop(second);
        assert_eq!(pipeline.running_since(), None);
    }

    #[test]
    fn an_abandoned_query_keeps_its_place_until_the_server_has_passed_it() {
        let (pipeline, now) = (Arc::new(Pipeline::default()), Instant::now());
        let [slow, abandoned, last] = [(); 3].map(|()| pipeline.push(now));
        abandoned.abandon();
        drop(slow);
        assert!(last.blocker().is_some(), "the server runs what was abandoned");
        let later = pipeline.push(now);
        drop(last);
        assert_eq!(later.blocker(), None, "it has completed what was sent after it");
        let running = pipeline.running_since();
        drop(abandoned);
        assert_eq!(pipeline.running_since(), running, "that was known");
    }

    #[test]
    fn an_abandoned_query_that_runs_long_is_given_up_unless_another_one_may_run() {
        let (pipeline, now) = (Arc::new(Pipeline::default()), Instant::now());
        let (limit, late) = (Duration::from_millis(5), now + Duration::from_millis(6));
        let [slow, abandoned, waited_for] = [(); 3].map(|()| pipeline.push(now));
        abandoned.abandon();
        abandoned.give_up_if_running(limit, late);
        assert_eq!(pipeline.oldest_overdue(), None, "it is not the oldest");
        drop(slow);
        let late = Instant::now() + 2 * limit;
        abandoned.give_up_if_running(limit, Instant::now());
        assert_eq!(pipeline.oldest_overdue(), None, "it has just begun");
        abandoned.give_up_if_running(limit, late);
        assert_eq!(pipeline.oldest_overdue(), None, "the one behind it may run");
        waited_for.abandon();
        let behind_the_marker = pipeline.push(now);
        abandoned.give_up_if_running(limit, late);
        assert_eq!(pipeline.oldest_overdue(), Some(Overdue { number: 1, since: late }));
        abandoned.give_up_if_running(limit, late + limit);
        assert_eq!(pipeline.oldest_overdue(), Some(Overdue { number: 1, since: late }));
        drop(behind_the_marker);
        assert!(pipeline.is_empty());
    }
}
