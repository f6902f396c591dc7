//! The workers as a group: one member for each core, in the order of the cores. Where software spreads
//! the flows, the first member owns the steering queue that the others send through.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use engine::control_queue::{Command, Completions, ControlEnd, Event, Submissions};
use engine::{CoreStats, Counter};
use handlers::{RequestBufferPool, SiteHandle};

use crate::reload::WorkerHandle;
use crate::stats::CoreReadings;

/// All workers.
#[derive(Debug, Default)]
pub(crate) struct WorkerSet(Vec<Member>);

/// One worker, seen from control.
#[derive(Debug)]
pub(crate) struct Member {
    core: usize,
    end: Arc<ControlEnd<SiteHandle>>,
    request_buffers: Arc<RequestBufferPool>,
    thread: JoinHandle<()>,
    drained: bool,
    /// Whether it has not said yet that it accepts connections again.
    resuming: bool,
}

impl WorkerSet {
    /// Adds the worker on `core`, after all that are there. It takes its request buffers from `request_buffers`.
    pub(crate) fn add(
        &mut self,
        core: usize,
        end: ControlEnd<SiteHandle>,
        request_buffers: Arc<RequestBufferPool>,
        thread: JoinHandle<()>,
    ) {
        self.0.push(Member {
            core,
            end: Arc::new(end),
            request_buffers,
            thread,
            drained: false,
            resuming: false,
        });
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Their counters.
    pub(crate) fn readings(&self) -> Vec<CoreReadings<'_>> {
        let members = self.0.iter();
        members
            .map(|Member { core, end, request_buffers, .. }| CoreReadings {
                core: *core,
                stats: end.stats(),
                latencies: end.latencies(),
                rings: end.ring_levels(),
                request_buffers_refused: request_buffers.refused(),
                request_buffers_free: request_buffers.free(),
            })
            .collect()
    }

    /// The submissions and completions of each.
    pub(crate) fn lines(&self) -> Vec<(Submissions<SiteHandle>, Completions<SiteHandle>)> {
        self.0.iter().map(|member| (member.end.submissions(), member.end.completions())).collect()
    }

    /// Each as reloads see it.
    pub(crate) fn handles(&self) -> Vec<WorkerHandle> {
        let handle = |m: &Member| {
            WorkerHandle::new(m.core, Arc::clone(&m.end), Arc::clone(&m.request_buffers))
        };
        self.0.iter().map(handle).collect()
    }

    /// A core whose thread has ended by itself, if there is one.
    pub(crate) fn lost(&self) -> Option<usize> {
        self.0.iter().find(|member| member.thread.is_finished()).map(|member| member.core)
    }

    /// Commands every worker to say `Connection: close` in all responses, and to serve on.
    ///
    /// # Errors
    /// As for [`drain`](Self::drain).
    pub(crate) fn retire(&self) -> Result<(), Vec<usize>> {
        self.send_all(|| Command::Retire)
    }

    /// Commands every worker to accept no new connections and to finish those they have.
    ///
    /// # Errors
    /// The cores whose workers do not turn: their rings are full.
    pub(crate) fn drain(&self) -> Result<(), Vec<usize>> {
        self.send_all(|| Command::Drain)
    }

    fn send_all(&self, command: impl Fn() -> Command<SiteHandle>) -> Result<(), Vec<usize>> {
        let full = |member: &&Member| member.end.send(command()).is_err();
        let stuck: Vec<_> = self.0.iter().filter(full).map(|member| member.core).collect();
        if stuck.is_empty() { Ok(()) } else { Err(stuck) }
    }

    /// Tells everyone to accept connections again. [`poll_resumed`](Self::poll_resumed) says when they
    /// do; neither `drain` nor `resume` may be called before.
    ///
    /// # Errors
    /// As for [`drain`](Self::drain). The others resume.
    pub(crate) fn resume(&mut self) -> Result<(), Vec<usize>> {
        let mut stuck = Vec::new();
        for member in &mut self.0 {
            if member.end.send(Command::Resume).is_ok() {
                member.resuming = true;
            } else {
                stuck.push(member.core);
            }
        }
        if stuck.is_empty() { Ok(()) } else { Err(stuck) }
    }

    /// Whether all accept connections again that were commanded to.
    pub(crate) fn poll_resumed(&mut self) -> bool {
        self.poll_events();
        self.0.iter().all(|member| !member.resuming)
    }

    /// Whether all have finished, [`drain`](Self::drain) having been called.
    pub(crate) fn poll_drained(&mut self) -> bool {
        self.poll_events();
        self.0.iter().all(|member| member.drained && !member.resuming)
    }

    /// The cores whose workers have not said that they accept connections again.
    pub(crate) fn resuming(&self) -> Vec<usize> {
        self.0.iter().filter(|member| member.resuming).map(|member| member.core).collect()
    }

    fn poll_events(&mut self) {
        for member in &mut self.0 {
            while let Some(event) = member.end.poll_event() {
                match event {
                    Event::Drained => member.drained = true,
                    // What it said of a drain before is over.
                    Event::Resumed => (member.drained, member.resuming) = (false, false),
                }
            }
        }
    }

    /// Connections that are open now.
    pub(crate) fn connections_open(&self) -> u64 {
        self.0.iter().map(|member| member.end.stats().connections_open.value()).sum()
    }

    /// Turns so far, by core. A worker that waits for its link turns as well, a hundred times a second.
    pub(crate) fn turns(&self) -> Vec<(usize, u64)> {
        self.0.iter().map(|m| (m.core, m.end.stats().turns.value())).collect()
    }

    /// Connections opened so far, by core.
    pub(crate) fn connections_opened(&self) -> Vec<(usize, u64)> {
        let opened = |m: &Member| (m.core, m.end.stats().connections_opened.value());
        self.0.iter().map(opened).collect()
    }

    /// The station that last said it has our address, if one did.
    pub(crate) fn rival(&self) -> Option<[u8; 6]> {
        self.0.iter().find_map(|member| member.end.rival())
    }

    /// A counter's sum over all workers.
    pub(crate) fn total(&self, counter: impl Fn(&CoreStats) -> &Counter) -> u64 {
        self.0.iter().map(|member| counter(member.end.stats()).value()).sum()
    }

    /// Stops the workers, last to first: what the others still have to say leaves through the first.
    /// Blocks until their threads have ended; a worker that does not turn is given up after
    /// [`STOP_TIMEOUT`].
    ///
    /// # Errors
    /// The cores whose workers were given up. They still hold their queues.
    pub(crate) fn stop(&self) -> Result<(), Vec<usize>> {
        let stuck: Vec<_> =
            self.0.iter().rev().filter(|m| !m.stop()).map(|member| member.core).collect();
        if stuck.is_empty() { Ok(()) } else { Err(stuck) }
    }
}

impl Member {
    /// Whether the thread has ended.
    fn stop(&self) -> bool {
        let deadline = Instant::now() + STOP_TIMEOUT;
        let mut sent = false;
        while !self.thread.is_finished() && Instant::now() < deadline {
            sent = sent || self.end.send(Command::Stop).is_ok();
            std::thread::sleep(STOP_LOOK_EVERY);
        }
        self.thread.is_finished()
    }
}

/// A worker looks for commands many times a millisecond.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);
const STOP_LOOK_EVERY: Duration = Duration::from_micros(200);

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use engine::control_queue::{self, WallClock};

    use super::*;

    /// A thread that lives until `release` is dropped, whatever it is sent.
    fn deaf() -> (JoinHandle<()>, mpsc::Sender<()>) {
        let (release, released) = mpsc::channel();
        let thread = thread::spawn(move || {
            let ended: Result<(), _> = released.recv();
            assert!(ended.is_err(), "nothing is ever sent");
        });
        (thread, release)
    }

    fn forms() -> Arc<RequestBufferPool> {
        Arc::new(RequestBufferPool::new(1, 64))
    }

    #[test]
    fn a_worker_that_does_not_turn_is_given_up_by_name() {
        let wall = WallClock::new(0);
        let mut workers = WorkerSet::default();
        let (thread, release) = deaf();
        let (end, _worker) = control_queue::pair(&wall, 1);
        workers.add(5, end, forms(), thread);
        assert_eq!(workers.lost(), None);
        assert_eq!(workers.stop(), Err(vec![5]));
        drop(release);
        assert_eq!(workers.stop(), Ok(()));
        assert_eq!(workers.lost(), Some(5));
    }

    #[test]
    fn nobody_has_drained_who_has_not_said_so() {
        let wall = WallClock::new(0);
        let mut workers = WorkerSet::default();
        let (thread, release) = deaf();
        let (end, _worker) = control_queue::pair(&wall, 1);
        workers.add(1, end, forms(), thread);
        assert_eq!(workers.drain(), Ok(()));
        assert!(!workers.poll_drained());
        assert_eq!(workers.resume(), Ok(()));
        assert!(!workers.poll_resumed(), "nobody has resumed who has not said so");
        assert_eq!(workers.resuming(), [1]);
        assert_eq!(workers.connections_open(), 0);
        assert_eq!(workers.connections_opened(), [(1, 0)]);
        assert_eq!(workers.turns(), [(1, 0)]);
        drop(release);
    }
}
