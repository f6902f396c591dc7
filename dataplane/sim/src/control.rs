//! Control's side of the workers in a world.

use engine::control_queue::{Command, ControlEnd, Event};
use engine::{CoreStats, Latencies};
use http1::Service;

/// The part of control that a test plays beside one worker: called at every step of the world with the time in
/// microseconds; completes offloads, installs services.
pub type ControlFn<S> = Box<dyn FnMut(&ControlEnd<S>, u64)>;

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
    /// Does what is due at `micros`.
    fn poll(&mut self, micros: u64);
}

/// Control's end of one worker's queues, and what the test does there.
pub(crate) struct TestControl<S: Service> {
    pub(crate) end: ControlEnd<S>,
    pub(crate) control: ControlFn<S>,
}

impl<S: Service> Control for TestControl<S> {
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

    fn poll(&mut self, micros: u64) {
        (self.control)(&self.end, micros);
    }
}
