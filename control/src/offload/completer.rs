//! Completes jobs: stores a response where the route caches it, drops cached responses that a write has made
//! stale, and hands the response to the worker that waits.

use std::sync::Arc;
use std::time::Instant;

use handlers::RenderedResponse;
use http1::Status;

use super::cache::Cache;
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
    pub(crate) cache: Cache,
    /// Counters of all back ends.
    pub(crate) counters: Arc<Counters>,
    /// What the workers submit meanwhile: see [`Submissions::poll_if_due`].
    pub(crate) submissions: Arc<Submissions>,
}

impl Completer {
    /// Answers with the rows of the database, which are stored if the route caches.
    pub(crate) fn complete_rows(&self, mut job: Job, response: RenderedResponse) {
        self.invalidate(&job);
        let token = job.token.take();
        let response = match job.query().cache() {
            Some(plan) if response.status() == Status::S200 => {
                if let Some(token) = token {
                    let again = Arc::new(response.with_field(&plan.header, "HIT"));
                    self.cache.fill(token, again, Instant::now() + plan.lifetime);
                }
                response.with_field(&plan.header, "MISS")
            }
            _ => response,
        };
        self.finish(job, response);
    }

    /// Answers with anything else; nothing is stored.
    pub(crate) fn complete_uncached(&self, job: Job, response: RenderedResponse) {
        self.invalidate(&job);
        self.finish(job, response);
    }

    /// Answers while the database still works on the job: its result will not be waited for.
    pub(crate) fn complete_early(&self, job: &Job, response: RenderedResponse) {
        self.invalidate(job);
        self.responder.response(job.requester, response);
    }

    /// Drops every cached response that the job, a write, has made stale. It may be called more than once for
    /// a job.
    pub(crate) fn invalidate(&self, job: &Job) {
        let site = job.offload.site();
        let invalids = site.invalidates(job.offload.route(), &job.bound);
        if !invalids.is_empty() {
            self.cache.invalidate(site, invalids);
        }
    }

    fn finish(&self, job: Job, response: RenderedResponse) {
        let requester = job.requester;
        // The request's buffer is free again before its client can send another.
        drop(job);
        self.responder.response(requester, response);
    }
}
