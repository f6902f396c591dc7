//! Control's side of the workers in a world.

use engine::control_queue::{Command, ControlEnd, Event};
use engine::{CoreStats, Latencies};
use http1::Service;

/// Plays control beside one worker: called at every step of the world with the time in microseconds;
/// answers what is asked, installs services.
pub type Clerk<S> = Box<dyn FnMut(&ControlEnd<S>, u64)>;

/// Control of one worker, whatever it serves with.
pub trait Control {
    /// Retire: see [`Command::Retire`].
    fn retire(&self);
    /// Drain: see [`Command::Drain`].
    fn drain(&self);
    /// Resume: see [`Command::Resume`].
    fn resume(&self);
    /// Stop: see [`Command::Stop`].
    fn stop(&self);
    /// The next event.
    fn poll_event(&self) -> Option<Event>;
    /// The worker's counters.
    fn stats(&self) -> &CoreStats;
    /// The worker's histograms.
    fn latencies(&self) -> &Latencies;
    /// It is `micros`: whoever plays control has its turn.
    fn tend(&mut self, micros: u64);
}

/// A link's end with somebody at it.
pub(crate) struct Desk<S: Service> {
    pub(crate) end: ControlEnd<S>,
    pub(crate) clerk: Clerk<S>,
}

impl<S: Service> Control for Desk<S> {
    fn retire(&self) {
        assert!(self.end.send(Command::Retire).is_ok(), "the command ring has room");
    }

    fn drain(&self) {
        assert!(self.end.send(Command::Drain).is_ok(), "the command ring has room");
    }

    fn resume(&self) {
        assert!(self.end.send(Command::Resume).is_ok(), "the command ring has room");
    }

    fn stop(&self) {
        assert!(self.end.send(Command::Stop).is_ok(), "the command ring has room");
    }

    fn poll_event(&self) -> Option<Event> {
        self.end.poll_event()
    }

    fn stats(&self) -> &CoreStats {
        self.end.stats()
    }

    fn latencies(&self) -> &Latencies {
        self.end.latencies()
    }

    fn tend(&mut self, micros: u64) {
        (self.clerk)(&self.end, micros);
    }
}
