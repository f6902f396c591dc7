//! Where the planes meet: commands in, events out, counters, and the wall clock.
//!
//! This is the only file both planes touch. Each shared field says who writes and who reads it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::queue::ArrayQueue;

use crate::CoreStats;

/// What control may ask of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Take no new connection, answer what is under way with `Connection: close`, then say
    /// [`Event::Drained`].
    Drain,
    /// Reset what is left and return from [`Worker::run`](crate::Worker::run).
    Stop,
}

/// What a worker tells control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The last connection is gone. Said once, after [`Command::Drain`].
    Drained,
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
#[derive(Debug)]
pub struct ControlEnd {
    commands: Arc<ArrayQueue<Command>>,
    events: Arc<ArrayQueue<Event>>,
    stats: Arc<CoreStats>,
}

impl ControlEnd {
    /// Sends a command. `false`: the ring is full, the worker is not turning.
    #[must_use]
    pub fn send(&self, command: Command) -> bool {
        self.commands.push(command).is_ok()
    }

    /// The next event, if there is one.
    pub fn poll_event(&self) -> Option<Event> {
        self.events.pop()
    }

    /// The worker's counters: written by the worker, read here.
    pub fn stats(&self) -> &CoreStats {
        &self.stats
    }
}

/// A worker's end of the link.
#[derive(Debug)]
pub struct WorkerEnd {
    pub(crate) commands: Arc<ArrayQueue<Command>>,
    pub(crate) events: Arc<ArrayQueue<Event>>,
    pub(crate) stats: Arc<CoreStats>,
    pub(crate) wall: Arc<WallClock>,
}

/// Makes the two ends of one worker's link.
pub fn pair(wall: &Arc<WallClock>) -> (ControlEnd, WorkerEnd) {
    let commands = Arc::new(ArrayQueue::new(COMMANDS_MAX));
    let events = Arc::new(ArrayQueue::new(EVENTS_MAX));
    let stats = Arc::new(CoreStats::default());
    let control = ControlEnd {
        commands: Arc::clone(&commands),
        events: Arc::clone(&events),
        stats: Arc::clone(&stats),
    };
    (control, WorkerEnd { commands, events, stats, wall: Arc::clone(wall) })
}

const COMMANDS_MAX: usize = 16;
const EVENTS_MAX: usize = 16;
