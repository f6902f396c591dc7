//! Jobs of one pool that wait for a connection: reads, and writes, which not every connection takes.

use std::collections::VecDeque;
use std::time::Instant;

use crate::offload::job::Job;

/// Jobs that wait.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// Oldest first.
    reads: VecDeque<Job>,
    /// Oldest first.
    writes: VecDeque<Job>,
}

impl Backlog {
    /// Behind all others of its kind.
    pub(super) fn push_last(&mut self, job: Job) {
        self.of_kind(&job).push_back(job);
    }

    /// Before all others of its kind: it was under way once, and has less time left.
    pub(super) fn push_first(&mut self, job: Job) {
        self.of_kind(&job).push_front(job);
    }

    fn of_kind(&mut self, job: &Job) -> &mut VecDeque<Job> {
        // What nobody has looked at yet is taken for a read here: it is not sent twice for that.
        let is_read = job.query().is_read() || job.query().is_unknown();
        if is_read { &mut self.reads } else { &mut self.writes }
    }

    /// Whether a write has waited longest. `None`: nothing waits.
    pub(super) fn is_write_first(&self) -> Option<bool> {
        match (self.reads.front(), self.writes.front()) {
            (None, None) => None,
            (Some(_), None) => Some(false),
            (None, Some(_)) => Some(true),
            (Some(read), Some(write)) => Some(write.deadline <= read.deadline),
        }
    }

    /// The write that waits longest.
    pub(super) fn first_write(&self) -> Option<&Job> {
        self.writes.front()
    }

    /// Takes the read that waits longest.
    pub(super) fn pop_read(&mut self) -> Option<Job> {
        self.reads.pop_front()
    }

    /// Takes the write that waits longest.
    pub(super) fn pop_write(&mut self) -> Option<Job> {
        self.writes.pop_front()
    }

    /// Takes a job whose time is up.
    pub(super) fn pop_expired(&mut self, now: Instant) -> Option<Job> {
        let is_expired = |job: &Job| job.deadline <= now;
        if self.reads.front().is_some_and(is_expired) {
            return self.reads.pop_front();
        }
        self.writes.front().is_some_and(is_expired).then(|| self.writes.pop_front()).flatten()
    }

    /// Of `usable` connections, how many take no read, so that a write finds one: half of them at
    /// most, and the only one where the write came before the reads.
    pub(super) fn kept_for_writes(&self, usable: usize) -> usize {
        if usable > 1 {
            return self.writes.len().min(usable / 2);
        }
        usable * usize::from(self.is_write_first() == Some(true))
    }

    /// Takes all jobs.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Job> + use<> {
        let Self { reads, writes } = std::mem::take(self);
        reads.into_iter().chain(writes)
    }
}
