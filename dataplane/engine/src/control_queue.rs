//! Where the planes meet: commands in, events out, asks out and answers in, counters, and the wall clock.
//!
//! This is the only file both planes touch. Each shared field says who writes and who reads it.
//! A worker never frees memory: whatever control lends it (a service, a reply) is counted, and control
//! keeps a count of its own until the worker's is gone.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crossbeam::queue::ArrayQueue;
use http1::Service;

use crate::sleep::{SleepFlag, Waker};
use crate::{CoreStats, Latencies};

/// What control may ask of a worker.
#[derive(Debug)]
pub enum Command<S> {
    /// Serve with this from the next exchange on. Exchanges under way keep what they began with, each
    /// with a count of it, and the worker's own count of the old one is dropped; control keeps one
    /// until no other is left.
    Install(Arc<S>),
    /// Serve on and take new connections, but say `Connection: close` in the next answer of each: those who
    /// ask go elsewhere by themselves before [`Command::Drain`].
    Retire,
    /// Take no new connection, answer what is under way with `Connection: close`, then say
    /// [`Event::Drained`].
    Drain,
    /// Take new connections again after [`Command::Drain`], and answer without
    /// `Connection: close` after [`Command::Retire`], then say [`Event::Resumed`]. Connections that
    /// were told to close still close.
    Resume,
    /// Reset what is left and return from [`Worker::run`](crate::Worker::run).
    Stop,
}

/// What a worker tells control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The last connection is gone. Said once, after [`Command::Drain`].
    Drained,
    /// New connections are accepted. Said once for each [`Command::Resume`]; events before it belong to
    /// an earlier drain. Control sends no other command of the two before it has read this, so that the
    /// ring always has room.
    Resumed,
}

/// One request that waits for an answer: the slot of its connection, and how many connections and asks
/// that slot has seen. An answer to an earlier one has another `life` and hits nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnId {
    pub(crate) slot: u32,
    pub(crate) life: u32,
}

impl ConnId {
    /// The id of the ask number `life` of slot `slot`. Workers count; others only hand ids back.
    pub fn new(slot: u32, life: u32) -> Self {
        Self { slot, life }
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

/// Control's end of the link to one worker.
pub struct ControlEnd<S: Service> {
    commands: Arc<ArrayQueue<Command<S>>>,
    events: Arc<ArrayQueue<Event>>,
    asks: Asks<S>,
    answers: Answers<S>,
    stats: Arc<CoreStats>,
    latencies: Arc<Latencies>,
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
        (self.asks.ring.len(), self.answers.ring.len())
    }

    /// What the worker has to ask; any number of threads may take from it.
    pub fn asks(&self) -> Asks<S> {
        self.asks.clone()
    }

    /// The way of answers; any number of threads may push.
    pub fn answers(&self) -> Answers<S> {
        self.answers.clone()
    }

    /// The worker's counters: written by the worker, read here.
    pub fn stats(&self) -> &CoreStats {
        &self.stats
    }

    /// The worker's histograms: written by the worker, read here.
    pub fn latencies(&self) -> &Latencies {
        &self.latencies
    }
}

/// Asks of one worker. Written by the worker, read by control.
pub struct Asks<S: Service> {
    ring: Arc<ArrayQueue<(ConnId, S::Ask)>>,
    /// Of whoever takes from the ring, if that one sleeps at times.
    waker: Arc<OnceLock<Waker>>,
}

impl<S: Service> Asks<S> {
    /// Has the worker wake whoever takes from the ring, after each push. It costs the worker a fence while
    /// that one is awake, and what the waker takes where it sleeps.
    ///
    /// # Panics
    /// If a waker was given before: there is one.
    pub fn wake_with(&self, waker: Waker) {
        assert!(self.waker.set(waker).is_ok(), "one waker takes care of all who take");
    }

    /// The oldest ask, if there is one.
    pub fn poll(&self) -> Option<(ConnId, S::Ask)> {
        self.ring.pop()
    }
}

/// Answers for one worker. Written by control, read by the worker once a turn.
pub struct Answers<S: Service> {
    ring: Arc<ArrayQueue<(ConnId, S::Reply)>>,
    waker: Waker,
}

impl<S: Service> Answers<S> {
    /// Answers what `id` asked, and wakes the worker if it sleeps. The worker drops `reply` when it is sent or nobody waits for it: what
    /// it holds must be freed elsewhere.
    ///
    /// # Errors
    /// The reply, where the ring is full: a worker empties it every turn, try again a little later.
    pub fn push(&self, id: ConnId, reply: S::Reply) -> Result<(), S::Reply> {
        self.ring.push((id, reply)).map_err(|(_, reply)| reply)?;
        self.waker.wake();
        Ok(())
    }
}

impl<S: Service> Clone for Asks<S> {
    fn clone(&self) -> Self {
        Self { ring: Arc::clone(&self.ring), waker: Arc::clone(&self.waker) }
    }
}

impl<S: Service> Clone for Answers<S> {
    fn clone(&self) -> Self {
        Self { ring: Arc::clone(&self.ring), waker: self.waker.clone() }
    }
}

impl<S: Service> fmt::Debug for Asks<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asks").field("waiting", &self.ring.len()).finish_non_exhaustive()
    }
}

impl<S: Service> fmt::Debug for Answers<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers").field("waiting", &self.ring.len()).finish()
    }
}

impl<S: Service> fmt::Debug for ControlEnd<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { asks, answers, .. } = self;
        f.debug_struct("ControlEnd")
            .field("asks", asks)
            .field("answers", answers)
            .finish_non_exhaustive()
    }
}

/// A worker's end of the link.
pub struct WorkerEnd<S: Service> {
    pub(crate) commands: Arc<ArrayQueue<Command<S>>>,
    pub(crate) events: Arc<ArrayQueue<Event>>,
    asks: Asks<S>,
    answers: Answers<S>,
    pub(crate) stats: Arc<CoreStats>,
    pub(crate) latencies: Arc<Latencies>,
    pub(crate) wall: Arc<WallClock>,
    pub(crate) sleep: SleepFlag,
}

impl<S: Service> WorkerEnd<S> {
    /// Asks control.
    ///
    /// # Errors
    /// The ask, where the ring is full.
    pub fn ask(&self, id: ConnId, ask: S::Ask) -> Result<(), S::Ask> {
        self.asks.ring.push((id, ask)).map_err(|(_, ask)| ask)?;
        if let Some(waker) = self.asks.waker.get() {
            waker.wake();
        }
        Ok(())
    }

    /// The next answer, if there is one.
    pub fn poll_answer(&self) -> Option<(ConnId, S::Reply)> {
        self.answers.ring.pop()
    }
}

impl<S: Service> fmt::Debug for WorkerEnd<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { asks, answers, .. } = self;
        f.debug_struct("WorkerEnd")
            .field("asks", asks)
            .field("answers", answers)
            .finish_non_exhaustive()
    }
}

/// Makes the two ends of one worker's link, on which `parked_max` requests may wait for an answer. The
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
    let asks =
        Asks { ring: Arc::new(ArrayQueue::new(parked_max)), waker: Arc::new(OnceLock::new()) };
    let ring = Arc::new(ArrayQueue::new(parked_max));
    let answers = Answers { ring, waker: waker.clone() };
    let stats = Arc::new(CoreStats::default());
    let latencies = Arc::new(Latencies::new());
    let control = ControlEnd {
        commands: Arc::clone(&commands),
        events: Arc::clone(&events),
        asks: asks.clone(),
        answers: answers.clone(),
        stats: Arc::clone(&stats),
        latencies: Arc::clone(&latencies),
        waker,
    };
    let wall = Arc::clone(wall);
    (control, WorkerEnd { commands, events, asks, answers, stats, latencies, wall, sleep })
}

const COMMANDS_MAX: usize = 16;
const EVENTS_MAX: usize = 16;
