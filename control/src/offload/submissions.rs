//! The submission rings of all workers, and who polls them.
//!
//! The dispatcher thread polls; so does any back end that has just answered something, because it is awake
//! anyway and a nap of the dispatcher costs more than a look ([`Submissions::poll_if_due`]). Whoever polls delivers to
//! the same [`Dispatch`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{OnceLock, Weak};
use std::time::{Duration, Instant};

use dpdk::Tsc;
use engine::control_queue::{Submission, Submissions as Ring};
use handlers::{Offload, SiteHandle};

use super::job::Job;
use super::responder::Requester;

/// Takes an offload to whoever does it. Called from any thread.
pub(crate) trait Dispatch: Send + Sync {
    /// `offload` was submitted by `requester` and parked at `parked`, from when its time runs; it is `now`.
    /// Never waits.
    fn dispatch(&self, requester: Requester, offload: Offload, parked: Instant, now: Instant);

    /// `job` has waited for the response to another one in vain. Never waits.
    fn run_waiter(&self, job: Job);
}

/// The rings, by worker.
#[derive(derive_more::Debug)]
#[debug("Submissions {{ rings: {} }}", rings.len())]
pub(crate) struct Submissions {
    rings: Vec<Ring<SiteHandle>>,
    /// The clock of the workers.
    tsc: Tsc,
    backend_polls: BackendPolls,
    /// Set once. Weak, for what dispatches has the back ends, and each of them has this.
    dispatch: OnceLock<Weak<dyn Dispatch>>,
}

impl Submissions {
    /// The rings of workers, by index; the workers' clock is `tsc`.
    pub(crate) fn new(rings: Vec<Ring<SiteHandle>>, tsc: Tsc) -> Self {
        Self { rings, tsc, backend_polls: BackendPolls::new(), dispatch: OnceLock::new() }
    }

    /// Everything that is polled from now on goes to `dispatch`.
    ///
    /// # Panics
    /// It was called before.
    pub(crate) fn deliver_to(&self, dispatch: Weak<dyn Dispatch>) {
        assert!(self.dispatch.set(dispatch).is_ok(), "submissions have one dispatcher");
    }

    /// Polls every ring once; how many offloads there were.
    pub(crate) fn poll(&self, now: Instant) -> usize {
        let Some(dispatch) = self.dispatch.get().and_then(Weak::upgrade) else { return 0 };
        let mut taken = 0;
        for (worker, ring) in self.rings.iter().enumerate() {
            let submitted = std::iter::from_fn(|| ring.poll()).take(ROUND_MAX);
            for Submission { id, offload, parked } in submitted {
                let requester = Requester { worker, id };
                dispatch.dispatch(requester, offload, self.parked_at(parked, now), now);
                taken += 1;
            }
        }
        taken
    }

    /// Hands `job`, which has waited for the response to another one in vain, to its back end.
    pub(crate) fn run_waiter(&self, job: Job) {
        // There is none any more when everything ends: nobody waits for a response.
        if let Some(dispatch) = self.dispatch.get().and_then(Weak::upgrade) {
            dispatch.run_waiter(job);
        }
    }

    /// The time at which the workers' clock said `cycles`, in the past.
    fn parked_at(&self, cycles: u64, now: Instant) -> Instant {
        // The counters of two cores may differ by a few cycles.
        let age = self.tsc.micros(self.tsc.now().saturating_sub(cycles));
        now.checked_sub(Duration::from_micros(age)).unwrap_or(now)
    }

    /// Called by a back end that has just answered: polls, unless somebody has just done so.
    pub(crate) fn poll_if_due(&self) {
        let now = Instant::now();
        if self.backend_polls.take_turn(now) {
            self.poll(now);
        }
    }

    /// Whether a back end has polled a moment ago.
    pub(crate) fn were_polled_recently(&self, now: Instant) -> bool {
        self.backend_polls.are_recent(now)
    }
}

/// When a back end has last polled.
#[derive(Debug)]
struct BackendPolls {
    began: Instant,
    /// Microseconds after `began`.
    last: AtomicU64,
}

impl BackendPolls {
    fn new() -> Self {
        Self { began: Instant::now(), last: AtomicU64::new(0) }
    }

    /// Whether it is time to poll again; if so, the caller is the one to do it.
    fn take_turn(&self, now: Instant) -> bool {
        let micros = self.micros(now);
        let last = self.last.load(Ordering::Relaxed);
        micros >= last + POLL_EVERY_MICROS
            && self
                .last
                .compare_exchange(last, micros, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    fn are_recent(&self, now: Instant) -> bool {
        self.micros(now) < self.last.load(Ordering::Relaxed) + RECENT_MICROS
    }

    fn micros(&self, now: Instant) -> u64 {
        let micros = now.saturating_duration_since(self.began).as_micros();
        u64::try_from(micros).unwrap_or(u64::MAX)
    }
}

/// Offloads of one worker before the next one has its turn.
const ROUND_MAX: usize = 64;
/// Polls of helpers less than this apart are one.
const POLL_EVERY_MICROS: u64 = 20;
/// How long a helper's last poll counts.
const RECENT_MICROS: u64 = 2000;
