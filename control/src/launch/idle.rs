//! What a worker does while nothing comes: it spins, then naps, then waits in ppoll(2) for its link, for
//! whoever wakes it, or for its next timer.

use std::hint;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use engine::sleep::{self, Idle, SleepFlag, Waker};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::time::TimeSpec;

use crate::config::Pause;

/// One worker's sleep: the worker's end, the end of those who wake it, and what a wake makes readable.
#[derive(Debug)]
pub(crate) struct Sleep {
    /// Goes with the worker's end of its link.
    pub(crate) flag: SleepFlag,
    /// For everybody who hands the worker work.
    pub(crate) waker: Waker,
    /// What [`Waiter`] waits for.
    pub(crate) event: Arc<EventFd>,
}

impl Sleep {
    /// Of a worker that is awake.
    ///
    /// # Errors
    /// The process may have no more descriptors.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let event = Arc::new(EventFd::from_flags(flags)?);
        let bell = Arc::clone(&event);
        let (flag, waker) = sleep::pair(move || {
            // Fails only where the count is at its limit, and then the sleep ends all the same.
            let _ = bell.write(1);
        });
        Ok(Self { flag, waker, event })
    }
}

/// What ends a wait.
#[derive(Debug)]
pub(crate) struct Sources {
    /// Readable when the link has something for this worker; none where others hand it everything.
    pub(crate) descriptors: Vec<OwnedFd>,
    /// Readable when somebody has woken it.
    pub(crate) event: Arc<EventFd>,
}

/// Spins, naps and waits for one worker: the `idle` closure of `Worker::run`.
#[derive(Debug)]
pub(crate) struct Waiter<'a> {
    pause: Pause,
    /// `None`: what arrives would end no wait, so the worker never does more than nap.
    wait: Option<Wait<'a>>,
    /// How many empty turns there had been when it last began to spin, and when that was, in
    /// microseconds. `None`: it begins with the next empty turn.
    began: Option<(u32, u64)>,
    /// The last wait timed out: work since then, if any, was a timer's, and no reason to stay awake.
    drowsy: bool,
}

impl<'a> Waiter<'a> {
    /// For a worker that naps by `pause` and waits for `sources`.
    pub(crate) fn new(pause: Pause, sources: Option<&'a Sources>) -> Self {
        Self { pause, wait: sources.map(Wait::new), began: None, drowsy: false }
    }

    /// After an empty turn.
    pub(crate) fn on_empty_turn(&mut self, idle: &Idle<'_>) {
        if idle.is_relied_on {
            // What arrives for the others arrives here, and they are not asleep.
            idle.flag.clear();
            self.began = None;
            return hint::spin_loop();
        }
        if idle.announced
            && let Some(wait) = &mut self.wait
        {
            self.drowsy = !wait.wait(idle.sleep_micros());
            self.began = None;
            idle.flag.clear();
            return;
        }
        if idle.empty_turns == 1 {
            self.began = None;
        }
        let (turns, micros) = *self.began.get_or_insert((idle.empty_turns - 1, idle.now.micros));
        let awake_for = idle.now.micros.saturating_sub(micros);
        if self.wait.is_some() && (self.drowsy || awake_for >= AWAKE_MICROS) {
            idle.flag.set();
        } else if idle.empty_turns - turns >= self.pause.after {
            thread::sleep(self.pause.sleep);
        } else {
            hint::spin_loop();
        }
    }
}

/// Waits for [`Sources`].
#[derive(Debug)]
struct Wait<'a> {
    event: &'a EventFd,
    /// Made once: nothing is allocated while the worker turns. The event is the last.
    fds: Vec<PollFd<'a>>,
}

impl<'a> Wait<'a> {
    fn new(sources: &'a Sources) -> Self {
        let Sources { descriptors, event } = sources;
        let fds = descriptors.iter().map(AsFd::as_fd).chain([event.as_fd()]);
        let fds = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        Self { event, fds }
    }

    /// Waits for at most `micros`. False: nothing has happened.
    fn wait(&mut self, micros: u64) -> bool {
        let timeout = TimeSpec::from_duration(Duration::from_micros(micros));
        // After an error or a signal there may be something: a look costs less than to find out.
        let happened = ppoll(&mut self.fds, Some(timeout), None) != Ok(0);
        if self.fds.last().is_some_and(|event| event.any() == Some(true)) {
            // It cannot fail: it is readable, and nobody else reads it.
            let _ = self.event.read();
        }
        happened
    }
}

/// How long a worker stays awake after the last work, microseconds: longer than the pauses within most
/// exchanges, because waking takes tens of microseconds.
const AWAKE_MICROS: u64 = 2_000;
