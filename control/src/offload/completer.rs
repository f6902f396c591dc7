//! Completes jobs: stores a response where the route caches it, drops cached responses that a write has made
//! stale, and hands the response to the worker that waits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use handlers::config::Database;
use handlers::{Invalidation, RenderedResponse, Response};
use http1::Status;

use super::cache::{Cache, Failed, UnknownWrite};
use super::counters::Counters;
use super::job::Job;
use super::responder::Responder;
use super::submissions::Submissions;

/// What every back end completes its jobs with. Shared by all threads.
#[derive(Debug)]
pub(crate) struct Completer {
    /// Sends to the workers.
    pub(crate) responder: Responder,
    /// Responses that may be sent again.
    pub(crate) cache: Cache<Job>,
    /// Counters of all back ends.
    pub(crate) counters: Arc<Counters>,
    /// What the workers submit meanwhile: see [`Submissions::poll_if_due`].
    pub(crate) submissions: Arc<Submissions>,
}

impl Completer {
    /// Answers with the rows of the database, which are stored if the route caches. Who has waited for them is
    /// answered with them, too.
    pub(crate) fn complete_rows(&self, mut job: Job, response: RenderedResponse) {
        self.invalidate(&job);
        let token = if job.query().only_reads() { job.token.take() } else { None };
        let Some(plan) = job.query().cache() else { return self.finish(job, response) };
        if !job.query().only_reads() {
            // The statement is to run for every request.
            self.fail(&job);
            let response = response.with_field(&plan.header, "MISS");
            return self.finish(job, response);
        }
        if response.status() != Status::S200 {
            let waiters = token.map(|token| self.cache.share(&token)).unwrap_or_default();
            for waiter in waiters {
                self.stop_waiting(&waiter);
                self.counters.cache_shared.up();
                self.finish(waiter, response.clone());
            }
            return self.finish(job, response);
        }
        let first = response.with_field(&plan.header, "MISS");
        let Some(token) = token else { return self.finish(job, first) };
        let again = Arc::new(response.with_field(&plan.header, "HIT"));
        let until = Instant::now() + plan.lifetime;
        let waiters = self.cache.fill(token, Arc::clone(&again), until);
        self.finish(job, first);
        for waiter in waiters {
            self.stop_waiting(&waiter);
            self.counters.cache_shared.up();
            let requester = waiter.requester;
            drop(waiter);
            self.responder.respond_shared(requester, Response::rendered(Arc::clone(&again)));
        }
    }

    /// Answers with anything else; nothing is stored, and the next one who waits for it is run.
    pub(crate) fn complete_uncached(&self, job: Job, response: RenderedResponse) {
        self.invalidate(&job);
        self.fail(&job);
        self.finish(job, response);
    }

    /// Answers while the database still works on the job: its result will not be waited for. What the job, a write,
    /// can make stale is not cached until [`settle`](Self::settle) is told what became of it.
    pub(crate) fn complete_early(
        &self,
        job: &Job,
        response: RenderedResponse,
    ) -> Option<UnknownWrite> {
        let write = self.block(job);
        self.fail(job);
        self.responder.response(job.requester, response);
        write
    }

    /// The outcome of a write that was answered early is known, or will never be.
    pub(crate) fn settle(&self, write: Option<UnknownWrite>, is_known: bool) {
        match write {
            Some(write) if is_known => self.cache.unblock(write),
            Some(write) => self.cache.abandon(write, Instant::now() + UNKNOWN_FOR),
            None => {}
        }
    }

    /// The database will not say what became of the job: what it, a write, can make stale is not cached for
    /// [`UNKNOWN_FOR`]. To be called before the client is answered.
    pub(crate) fn outcome_lost(&self, job: &Job) {
        self.settle(self.block(job), false);
    }

    /// Answers those who have waited for somebody else's response for as long as they may.
    pub(crate) fn expire_waiters(&self, now: Instant) {
        self.cache.take_expired(now).into_iter().for_each(|waiter| self.expire(waiter));
    }

    /// The job brings no response to those who wait for it.
    fn fail(&self, job: &Job) {
        let Some(token) = &job.token else { return };
        let Failed { expired, next } = self.cache.fail(token, Instant::now());
        expired.into_iter().for_each(|waiter| self.expire(waiter));
        if let Some((mut next, token)) = next {
            next.token = Some(token);
            self.submissions.run_waiter(next);
        }
    }

    fn expire(&self, waiter: Job) {
        self.stop_waiting(&waiter);
        let counters = &self.counters;
        let (timed_out, unavailable) = match waiter.query().database() {
            Database::Postgres => (&counters.postgres_timed_out, &counters.postgres_unavailable),
            Database::Sqlite(_) => (&counters.sqlite_timed_out, &counters.sqlite_unavailable),
        };
        timed_out.up();
        unavailable.up();
        let response = waiter.query().unavailable();
        self.finish(waiter, response);
    }

    fn stop_waiting(&self, waiter: &Job) {
        match waiter.query().database() {
            Database::Postgres => self.counters.postgres_waiting.down(),
            Database::Sqlite(_) => self.counters.sqlite_waiting.down(),
        }
    }

    /// Drops every cached response that the job, a write, has made stale.
    fn invalidate(&self, job: &Job) {
        let invalids = invalids(job);
        if !invalids.is_empty() {
            self.cache.invalidate(job.offload.site(), invalids);
        }
    }

    /// `None`: the job makes nothing stale.
    fn block(&self, job: &Job) -> Option<UnknownWrite> {
        let invalids = invalids(job);
        (!invalids.is_empty()).then(|| self.cache.block(job.offload.site(), invalids))
    }

    fn finish(&self, job: Job, response: RenderedResponse) {
        let requester = job.requester;
        // The request's buffer is free again before its client can send another.
        drop(job);
        self.responder.response(requester, response);
    }
}

/// What the job makes stale.
fn invalids(job: &Job) -> Vec<Invalidation> {
    job.offload.site().invalidates(job.offload.route(), &job.bound)
}

/// How long a statement may still take effect after the database was last heard of: a server runs on what it was sent,
/// and may wait for a lock, while the connection is gone. Documented in control/README.md.
const UNKNOWN_FOR: Duration = Duration::from_secs(600);
