//! One attempt at a job on one connection, and what comes of it: an answer, another attempt, or, of a read behind a
//! statement that takes its time, one on another connection.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{timeout, timeout_at};

use super::super::connection::{Connection, LONG, RunResult};
use super::super::pipeline::InFlight;
use super::{FAILURES_MAX, Pool, STUCK_TIMEOUT};
use crate::offload::cache::lock;
use crate::offload::job::Job;

/// What comes of an attempt.
enum Outcome {
    /// It was answered.
    Answered,
    /// It is to be sent again.
    Failed(Job),
    /// It has not begun, and is to be sent on another connection.
    Moved(Job, InFlight),
}

/// What ends the wait for a result.
enum Waited {
    For(RunResult),
    /// The job's time is up.
    InVain,
    /// It would wait for longer here than elsewhere.
    TooLong,
}

impl Pool {
    /// Makes an attempt at `job`, and sees to what comes of it.
    pub(super) async fn serve(
        self: Arc<Self>,
        connection: Arc<Connection>,
        job: Job,
        is_proven: bool,
    ) {
        let outcome = self.run(&connection, job).await;
        let counters = &self.completer.counters;
        counters.postgres_under_way.down();
        match outcome {
            Outcome::Answered => self.leave(&connection, is_proven),
            Outcome::Failed(job) => {
                self.release(&connection, is_proven);
                counters.postgres_retried.up();
                counters.postgres_waiting.up();
                self.place(job);
            }
            Outcome::Moved(job, in_flight) => {
                counters.postgres_moved.up();
                counters.postgres_waiting.up();
                in_flight.abandon();
                // It has waited before all others.
                self.enqueue(job, true);
                self.pass(&connection, in_flight).await;
                self.leave(&connection, is_proven);
            }
        }
        self.completer.submissions.poll_if_due();
    }

    /// A job is done with `connection`.
    fn leave(self: &Arc<Self>, connection: &Arc<Connection>, is_proven: bool) {
        self.release(connection, is_proven);
        self.assign(&mut lock(&self.state));
    }

    fn release(&self, connection: &Arc<Connection>, is_proven: bool) {
        connection.remove_job();
        if !is_proven {
            connection.remove_unproven();
        }
        connection.cancel_overdue();
    }

    /// Runs a job and answers it.
    async fn run(&self, connection: &Arc<Connection>, mut job: Job) -> Outcome {
        let (began, in_flight) = (Instant::now(), connection.push());
        let waited = {
            let mut work = pin!(connection.run(&job, &in_flight));
            let waited = self.wait(connection, &job, &in_flight, work.as_mut()).await;
            if matches!(waited, Waited::InVain) {
                self.complete_late(connection, &job, &in_flight, work).await;
                self.note(job.query().sql(), Duration::MAX);
            }
            waited
        };
        let result = match waited {
            Waited::For(result) => result,
            Waited::InVain => return Outcome::Answered,
            Waited::TooLong => return Outcome::Moved(job, in_flight),
        };
        let was_sent = in_flight.was_sent();
        self.note(job.query().sql(), in_flight.finish());
        let now = Instant::now();
        let may_repeat = match result {
            RunResult::Rows(response) => {
                self.completer.complete_rows(job, response);
                return Outcome::Answered;
            }
            RunResult::Other(response) => {
                self.completer.complete_uncached(job, response);
                return Outcome::Answered;
            }
            RunResult::Full => false,
            RunResult::Undone => {
                // A request to cancel may hit the statement behind the one that it was meant for.
                job.failures += u8::from(!connection.may_be_cancelled_since(began));
                true
            }
            RunResult::Lost { is_undone } => {
                // A connection that was there before the last loss may have ended with it, unnoticed so far.
                if job.lost_at.is_none_or(|at| connection.made_at() > at) {
                    job.failures += 1;
                    job.lost_at = Some(now);
                }
                let is_read = job.query().is_read();
                if !is_read && was_sent && !is_undone {
                    self.completer.outcome_lost(&job);
                }
                is_read || !was_sent
            }
        };
        if may_repeat && job.failures < FAILURES_MAX && now < job.deadline {
            return Outcome::Failed(job);
        }
        self.complete_unavailable(job);
        Outcome::Answered
    }

    /// Waits for the result of `work`, which is `job`. A read that has not begun looks now and then whether it would begin
    /// sooner elsewhere. It believes the second look only: at the first, this thread may just not have seen yet
    /// that the server has gone on.
    async fn wait(
        &self,
        connection: &Arc<Connection>,
        job: &Job,
        in_flight: &InFlight,
        mut work: Pin<&mut impl Future<Output = RunResult>>,
    ) -> Waited {
        let mut may_move = job.query().is_read() && in_flight.blocker().is_some();
        let mut seen = None;
        loop {
            let look = if may_move { Instant::now() + LONG } else { job.deadline };
            let until = look.min(job.deadline);
            if let Ok(result) = timeout_at(until.into(), work.as_mut()).await {
                return Waited::For(result);
            }
            let now = Instant::now();
            if now >= job.deadline {
                return Waited::InVain;
            }
            let blocker = in_flight.blocker();
            may_move = blocker.is_some();
            let slow = blocker.filter(|it| now.saturating_duration_since(it.since) > LONG);
            let Some(slow) = slow else { continue };
            let was_seen = seen.replace(slow.number) == Some(slow.number);
            if was_seen && self.has_room_elsewhere(connection) {
                return Waited::TooLong;
            }
        }
    }

    /// Whether a job that waits on `here`, behind a statement that takes its time, is better off on another connection;
    /// one more is wanted if it is not.
    fn has_room_elsewhere(&self, here: &Arc<Connection>) -> bool {
        let mut state = lock(&self.state);
        let mut others = state.connections.iter().filter(|it| !Arc::ptr_eq(it, here));
        let has_room = others.any(|it| it.is_usable() && it.takes_read(self.plan.pipeline));
        if !has_room {
            self.want_more(&mut state);
        }
        has_room
    }

    /// Answers a job whose time is up, and waits until the server has stopped working on it.
    async fn complete_late(
        &self,
        connection: &Arc<Connection>,
        job: &Job,
        in_flight: &InFlight,
        mut work: Pin<&mut impl Future<Output = RunResult>>,
    ) {
        in_flight.give_up(Instant::now());
        self.completer.counters.postgres_timed_out.up();
        self.completer.counters.postgres_unavailable.up();
        let write = self.completer.complete_early(job, job.query().unavailable());
        connection.cancel_overdue();
        let is_known = loop {
            if let Ok(result) = timeout(LOOK_EVERY, work.as_mut()).await {
                let is_lost = matches!(result, RunResult::Lost { is_undone: false });
                break !is_lost || !in_flight.was_sent();
            }
            // It may only now be the oldest one there.
            connection.cancel_overdue();
            if self.replaced_if_stuck(connection) {
                break !in_flight.was_sent();
            }
        };
        self.completer.settle(write, is_known);
    }

    /// Ends `connection` where the server takes too long to stop what nobody waits for. Where something older runs,
    /// somebody waits for that.
    fn replaced_if_stuck(&self, connection: &Arc<Connection>) -> bool {
        if connection.overdue_since().is_none_or(|at| at.elapsed() < STUCK_TIMEOUT) {
            return false;
        }
        self.completer.counters.postgres_connections_replaced.up();
        connection.abort();
        true
    }

    /// Waits until the server has passed a read that was moved away from `connection`. If it is slow itself, the server is
    /// asked to stop it.
    async fn pass(&self, connection: &Arc<Connection>, in_flight: InFlight) {
        let mut passed = pin!(connection.pass_marker());
        while timeout(LOOK_EVERY, passed.as_mut()).await.is_err() {
            in_flight.give_up_if_running(LONG, Instant::now());
            connection.cancel_overdue();
            if in_flight.blocker().is_none() && self.replaced_if_stuck(connection) {
                break;
            }
        }
    }
}

/// How often what nobody waits for any more looks whether the server runs it.
const LOOK_EVERY: Duration = Duration::from_millis(20);
