//! The queues between a worker and control: commands in, events out, submissions out and completions in,
//! counters, and the wall clock.
//!
//! This is the only file that both planes touch. Each shared field says who writes and who reads it.
//! A worker never frees memory: whatever control passes to it (a service, a response) is reference-counted,
//! and control keeps a reference of its own until the worker's is gone.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crossbeam::queue::ArrayQueue;
use http1::Service;

use crate::sleep::{SleepFlag, Waker};
use crate::tcp::sources::SourceId;
use crate::{CoreStats, Latencies};

/// A command from control to a worker.
#[derive(Debug)]
pub enum Command<S> {
    /// Serve with this from the next exchange on. Exchanges under way keep what they began with, each
    /// with a reference to it, and the worker's own reference to the old one is dropped; control keeps one
    /// until no other is left.
    Install(Arc<S>),
    /// Keep serving and accepting connections, but send `Connection: close` in the next response of each, so that
    /// clients go elsewhere by themselves before [`Command::Drain`].
    Retire,
    /// Accept no new connection, answer what is under way with `Connection: close`, then send
    /// [`Event::Drained`].
    Drain,
    /// Accept connections again after [`Command::Drain`], and answer without
    /// `Connection: close` after [`Command::Retire`], then send [`Event::Resumed`]. Connections that
    /// were already draining still close.
    Resume,
    /// Reset what is left and return from [`Worker::run`](crate::Worker::run).
    Stop,
}

/// An event that a worker reports to control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The last connection is gone. Sent once, after [`Command::Drain`].
    Drained,
    /// New connections are accepted. Sent once for each [`Command::Resume`]; events before it belong to
    /// an earlier drain. Control sends no other command of the two before it has read this, so that the
    /// ring always has room.
    Resumed,
}

/// One request that waits for a completion: the slot of its connection, and the slot's generation, which
/// counts its connections and offloads. A completion for an earlier one has another generation and is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
    /// Whose request it is: what the source holds is counted until the completion comes.
    pub(crate) source: SourceId,
}

impl ConnId {
    /// The id of the offload with which `slot` is in `generation`. Workers count; others only hand ids back.
    pub fn new(slot: u32, generation: u32) -> Self {
        Self { slot, generation, source: SourceId::default() }
    }
}

/// Seconds since 1970-01-01T00:00:00Z, for `Date`. Written by control several times a second, read
/// by every worker once per turn, so a stepped clock is followed without a clock call on a core.
#[derive(Debug)]
pub struct WallClock(AtomicU64);

impl WallClock {
    /// Starts at `unix` seconds.
    pub fn new(unix: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(unix)))
    }

    /// Control: the time is `unix` seconds.
    pub fn set(&self, unix: u64) {
        self.0.store(unix, Ordering::Relaxed);
    }

    /// Worker: seconds since the epoch.
    pub fn unix(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Control's end of the queues to one worker.
#[derive(derive_more::Debug)]
#[debug("ControlEnd({submissions:?}, {completions:?})")]
pub struct ControlEnd<S: Service> {
    commands: Arc<ArrayQueue<Command<S>>>,
    events: Arc<ArrayQueue<Event>>,
    submissions: Submissions<S>,
    completions: Completions<S>,
    stats: Arc<CoreStats>,
    latencies: Arc<Latencies>,
    rival: Arc<AtomicU64>,
    waker: Waker,
}

impl<S: Service> ControlEnd<S> {
    /// Sends a command, and wakes the worker if it sleeps.
    ///
    /// # Errors
    /// The command, where the ring is full: the worker is not turning.
    pub fn send(&self, command: Command<S>) -> Result<(), Command<S>> {
        self.commands.push(command)?;
        self.waker.wake();
        Ok(())
    }

    /// The next event, if there is one.
    pub fn poll_event(&self) -> Option<Event> {
        self.events.pop()
    }

    /// Requests that wait in the submission ring, and completions that wait for the worker.
    pub fn ring_levels(&self) -> (usize, usize) {
        (self.submissions.ring.len(), self.completions.ring.len())
    }

    /// The worker's submission ring; any number of threads may take from it.
    pub fn submissions(&self) -> Submissions<S> {
        self.submissions.clone()
    }

    /// The worker's completion ring; any number of threads may push.
    pub fn completions(&self) -> Completions<S> {
        self.completions.clone()
    }

    /// The worker's counters: written by the worker, read here.
    pub fn stats(&self) -> &CoreStats {
        &self.stats
    }

    /// The MAC address of the station that last said it has our address (RFC 5227, 2.4), if one did.
    pub fn rival(&self) -> Option<[u8; 6]> {
        let [0, 0, mac @ ..] = self.rival.load(Ordering::Relaxed).to_be_bytes() else {
            return None;
        };
        (mac != [0; 6]).then_some(mac)
    }

    /// The worker's histograms: written by the worker, read here.
    pub fn latencies(&self) -> &Latencies {
        &self.latencies
    }
}

/// One offload, as control takes it.
#[derive(derive_more::Debug)]
pub struct Submission<S: Service> {
    /// The request that waits for its completion.
    pub id: ConnId,
    /// What is to be done.
    #[debug(skip)]
    pub offload: S::Offload,
    /// When the request was parked, in cycles: from then on its deadline counts.
    pub parked: u64,
}

/// The submission ring of one worker: offloads. Written by the worker, read by control.
#[derive(derive_more::Debug)]
#[debug("Submissions {{ waiting: {} }}", ring.len())]
pub struct Submissions<S: Service> {
    ring: Arc<ArrayQueue<Submission<S>>>,
    /// Wakes the thread that takes from the ring, if it sleeps at times.
    waker: Arc<OnceLock<Waker>>,
}

impl<S: Service> Submissions<S> {
    /// Has the worker wake the thread that takes from the ring, after each push. It costs the worker a fence
    /// while that thread is awake, and what the waker takes where it sleeps.
    ///
    /// # Panics
    /// If a waker was given before: there is one.
    pub fn wake_with(&self, waker: Waker) {
        assert!(self.waker.set(waker).is_ok(), "one waker takes care of all who take");
    }

    /// The oldest submission, if there is one.
    pub fn poll(&self) -> Option<Submission<S>> {
        self.ring.pop()
    }
}

/// The completion ring of one worker. Written by control, read by the worker once a turn.
#[derive(derive_more::Debug)]
#[debug("Completions {{ waiting: {} }}", ring.len())]
pub struct Completions<S: Service> {
    ring: Arc<ArrayQueue<(ConnId, S::Response)>>,
    waker: Waker,
}

impl<S: Service> Completions<S> {
    /// Completes the offload `id`, and wakes the worker if it sleeps. The worker drops `response` when it is sent or
    /// nobody waits for it: what it holds must be freed elsewhere.
    ///
    /// # Errors
    /// The response, where the ring is full: a worker empties it every turn, try again a little later.
    pub fn push(&self, id: ConnId, response: S::Response) -> Result<(), S::Response> {
        self.ring.push((id, response)).map_err(|(_, response)| response)?;
        self.waker.wake();
        Ok(())
    }
}

impl<S: Service> Clone for Submissions<S> {
    fn clone(&self) -> Self {
        Self { ring: Arc::clone(&self.ring), waker: Arc::clone(&self.waker) }
    }
}

impl<S: Service> Clone for Completions<S> {
    fn clone(&self) -> Self {
        Self { ring: Arc::clone(&self.ring), waker: self.waker.clone() }
    }
}

/// A worker's end of the queues.
#[derive(derive_more::Debug)]
#[debug("WorkerEnd({submissions:?}, {completions:?})")]
pub struct WorkerEnd<S: Service> {
    pub(crate) commands: Arc<ArrayQueue<Command<S>>>,
    pub(crate) events: Arc<ArrayQueue<Event>>,
    submissions: Submissions<S>,
    completions: Completions<S>,
    pub(crate) stats: Arc<CoreStats>,
    pub(crate) latencies: Arc<Latencies>,
    /// Written by the worker, read by control: the last six bytes are a MAC address, 0 before there is one.
    rival: Arc<AtomicU64>,
    pub(crate) wall: Arc<WallClock>,
    pub(crate) sleep: SleepFlag,
}

impl<S: Service> WorkerEnd<S> {
    /// Submits an offload to control.
    ///
    /// # Errors
    /// The submission, where the ring is full.
    pub fn submit(&self, submission: Submission<S>) -> Result<(), Submission<S>> {
        self.submissions.ring.push(submission)?;
        if let Some(waker) = self.submissions.waker.get() {
            waker.wake();
        }
        Ok(())
    }

    /// The sender of this frame says that it has our address.
    #[cold]
    pub(crate) fn publish_rival(&self, frame: &[u8]) {
        let Some(&[a, b, c, d, e, f]) = frame.get(6..).and_then(|rest| rest.first_chunk()) else {
            return;
        };
        self.rival.store(u64::from_be_bytes([0, 0, a, b, c, d, e, f]), Ordering::Relaxed);
    }

    /// The next completion, if there is one.
    pub fn poll_completion(&self) -> Option<(ConnId, S::Response)> {
        self.completions.ring.pop()
    }
}

/// Makes the two ends of one worker's queues, on which `parked_max` requests may wait for a completion. The
/// worker never sleeps.
///
/// # Panics
/// If `parked_max` is 0.
pub fn pair<S: Service>(wall: &Arc<WallClock>, parked_max: usize) -> (ControlEnd<S>, WorkerEnd<S>) {
    pair_with_sleep(wall, parked_max, (SleepFlag::never(), Waker::never()))
}

/// As [`pair`], for a worker that sleeps by `flag` when idle; what control sends wakes it.
///
/// # Panics
/// If `parked_max` is 0.
pub fn pair_with_sleep<S: Service>(
    wall: &Arc<WallClock>,
    parked_max: usize,
    (sleep, waker): (SleepFlag, Waker),
) -> (ControlEnd<S>, WorkerEnd<S>) {
    let commands = Arc::new(ArrayQueue::new(COMMANDS_MAX));
    let events = Arc::new(ArrayQueue::new(EVENTS_MAX));
    let submissions = Submissions {
        ring: Arc::new(ArrayQueue::new(parked_max)),
        waker: Arc::new(OnceLock::new()),
    };
    let ring = Arc::new(ArrayQueue::new(parked_max));
    let completions = Completions { ring, waker: waker.clone() };
    let stats = Arc::new(CoreStats::default());
    let latencies = Arc::new(Latencies::new());
    let rival = Arc::new(AtomicU64::new(0));
    let control = ControlEnd {
        commands: Arc::clone(&commands),
        events: Arc::clone(&events),
        submissions: submissions.clone(),
        completions: completions.clone(),
        stats: Arc::clone(&stats),
        latencies: Arc::clone(&latencies),
        rival: Arc::clone(&rival),
        waker,
    };
    let wall = Arc::clone(wall);
    (
        control,
        WorkerEnd {
            commands,
            events,
            submissions,
            completions,
            stats,
            latencies,
            rival,
            wall,
            sleep,
        },
    )
}

const COMMANDS_MAX: usize = 16;
const EVENTS_MAX: usize = 16;
