//! What everybody who answers asks shares: the way back, the cache, the numbers; and the one place
//! where an answer that was made for a request is finished.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use handlers::query::{Bound, Query};
use handlers::{JobKind, Offload, RenderedResponse};
use http1::Status;
use http1::coding::Accepted;

use super::cache::{Cache, Token};
use super::clerk::Clerk;
use super::outbox::{Asker, Outbox};
use super::readings::Tallies;
use super::told::{Often, Once};

/// One statement to run for one request.
#[derive(Debug)]
pub(crate) struct Job {
    /// Who waits for it.
    pub(crate) asker: Asker,
    /// The request: it keeps its form and its site until it is answered.
    pub(crate) ask: Offload,
    /// Values of its parameters.
    pub(crate) bound: Bound,
    /// The right to store the answer.
    pub(crate) token: Option<Token>,
    /// When it is answered as unavailable.
    pub(crate) deadline: Instant,
    /// How often it was sent to the database in vain; connections that end together count once.
    pub(crate) failures: u8,
    /// When the last of these failures was the end of a connection.
    pub(crate) lost_at: Option<Instant>,
}

impl Job {
    /// What it runs.
    pub(crate) fn query(&self) -> &Query {
        self.errand().0
    }

    /// The codings its client takes.
    pub(crate) fn accepted(&self) -> Accepted {
        self.errand().1
    }

    fn errand(&self) -> (&Query, Accepted) {
        match self.ask.job_kind() {
            JobKind::Query(query, inputs) => (query, inputs.accepted()),
            JobKind::Compress(_) => unreachable!("the clerk makes jobs of queries only"),
        }
    }
}

/// What is shared.
#[derive(Debug)]
pub(crate) struct Office {
    /// The way back.
    pub(crate) outbox: Outbox,
    /// Answers that may be given again.
    pub(crate) cache: Cache,
    /// The numbers.
    pub(crate) tallies: Arc<Tallies>,
    /// Faults of statements, told once in an edition.
    pub(crate) misfits: Once,
    /// What databases refuse, told at most once a second.
    pub(crate) refusals: Often,
    /// Takes asks from the workers. It has the office in turn.
    pub(crate) clerk: OnceLock<Weak<Clerk>>,
}

impl Office {
    /// Called by whoever has just answered and is awake anyway: takes what the workers ask meanwhile.
    pub(crate) fn help(&self) {
        if let Some(clerk) = self.clerk.get().and_then(Weak::upgrade) {
            clerk.help(Instant::now());
        }
    }

    /// Answers with the rows of the database: kept, if the route keeps its answers.
    pub(crate) fn answer_rows(&self, mut job: Job, answer: RenderedResponse) {
        self.invalidate(&job);
        let token = job.token.take();
        let answer = match job.query().cache() {
            Some(plan) if answer.status() == Status::S200 => {
                if let Some(token) = token {
                    let again = Arc::new(answer.with_field(&plan.header, "HIT"));
                    self.cache.fill(token, again, Instant::now() + plan.lifetime);
                }
                answer.with_field(&plan.header, "MISS")
            }
            _ => answer,
        };
        self.finish(job, answer);
    }

    /// Answers with anything else; nothing is kept.
    pub(crate) fn answer_other(&self, job: Job, answer: RenderedResponse) {
        self.invalidate(&job);
        self.finish(job, answer);
    }

    /// Answers while the database still works on the job: its outcome will not be waited for.
    pub(crate) fn answer_early(&self, job: &Job, answer: RenderedResponse) {
        self.invalidate(job);
        self.outbox.answer(job.asker, answer);
    }

    /// Whatever a write made of the data, nothing older is given again. It may be called more than
    /// once for a job.
    pub(crate) fn invalidate(&self, job: &Job) {
        let site = job.ask.site();
        let invalids = site.invalidates(job.ask.route(), &job.bound);
        if !invalids.is_empty() {
            self.cache.invalidate(site, invalids);
        }
    }

    fn finish(&self, job: Job, answer: RenderedResponse) {
        let asker = job.asker;
        // The form is free again before its client can ask anew.
        drop(job);
        self.outbox.answer(asker, answer);
    }
}

/// What a client is told where the operator is at fault. What is wrong is in the log.
pub(crate) const FAILED: &str = "500 Internal Server Error";
/// No answer has more bytes of JSON: it is in memory as a whole, once for each request under way.
pub(crate) const ANSWER_BYTES_MAX: usize = 64 << 20;
