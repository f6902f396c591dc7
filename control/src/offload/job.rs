//! One statement to run for one request, as the back ends get it.

use std::time::Instant;

use handlers::query::{Bound, Query};
use handlers::{JobKind, Offload};
use http1::coding::Accepted;

use super::cache::{Token, Waiter};
use super::responder::Requester;

/// One statement to run for one request.
#[derive(Debug)]
pub(crate) struct Job {
    /// Who waits for it.
    pub(crate) requester: Requester,
    /// The request: it keeps its buffer and its site until it is answered.
    pub(crate) offload: Offload,
    /// Values of its parameters.
    pub(crate) bound: Bound,
    /// The right to store the response.
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
        self.job_kind().0
    }

    /// The codings its client takes.
    pub(crate) fn accepted(&self) -> Accepted {
        self.job_kind().1
    }

    fn job_kind(&self) -> (&Query, Accepted) {
        match self.offload.job_kind() {
            JobKind::Query(query, inputs) => (query, inputs.accepted()),
            JobKind::Compress(_) => unreachable!("the dispatcher makes jobs of queries only"),
        }
    }
}

impl Waiter for Job {
    fn deadline(&self) -> Instant {
        self.deadline
    }
}

/// Body of a 500 where the operator is at fault. What is wrong is in the log.
pub(crate) const FAILED: &str = "500 Internal Server Error";
/// Bytes of JSON that a response has at most: it is in memory as a whole, once for each request under way.
pub(crate) const RESPONSE_BYTES_MAX: usize = 64 << 20;
