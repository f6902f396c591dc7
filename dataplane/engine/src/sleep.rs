//! Sleeping and waking: how an idle worker may block although others hand it work.
//!
//! The worker announces that it is about to sleep, takes one more turn, and blocks only if that turn was
//! empty too. Whoever has pushed something for it wakes it afterwards. Either the last turn sees what was
//! pushed, or the push sees the announcement and ends the sleep: each side writes, then fences, then reads
//! what the other one wrote. While no sleep is announced, a wake is a fence and a load; the system call
//! that it takes to end a sleep is the caller's, and made at most once for each announcement.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use crate::Now;
use crate::tcp::timer::Wheel;

/// The longest sleep, microseconds: housekeeping, `Date` and the counters that control reads go on
/// meanwhile, a hundred times a second.
pub const SLEEP_MICROS_MAX: u64 = 10_000;

/// Makes the two ends of one worker's sleep. `notify` must end the worker's sleep, or the next one if it
/// has not begun; it may be called from any thread that holds a [`Waker`].
pub fn pair(notify: impl Fn() + Send + Sync + 'static) -> (SleepFlag, Waker) {
    let shared = Arc::new(Shared { asleep: AtomicBool::new(false), notify: Box::new(notify) });
    (SleepFlag(Some(Arc::clone(&shared))), Waker(Some(shared)))
}

struct Shared {
    /// Set by the worker; cleared by the worker or the first waker.
    asleep: AtomicBool,
    notify: Box<dyn Fn() + Send + Sync>,
}

/// The sleeper's end: whether it sleeps, or is about to.
#[derive(derive_more::Debug)]
#[debug("SleepFlag({})", self.is_set())]
pub struct SleepFlag(Option<Arc<Shared>>);

impl SleepFlag {
    /// Of a worker that never sleeps; it cannot be set.
    pub(crate) fn never() -> Self {
        Self(None)
    }

    /// Announces a sleep. From here on a wake notifies.
    pub fn set(&self) {
        if let Some(shared) = &self.0 {
            shared.asleep.store(true, Ordering::SeqCst);
            // Before the last look at what others push; pairs with the fence of `Waker::wake`.
            fence(Ordering::SeqCst);
        }
    }

    /// Whether a sleep is announced. Not for deciding whether somebody has woken us: a waker clears it.
    pub(crate) fn is_set(&self) -> bool {
        self.0.as_ref().is_some_and(|shared| shared.asleep.load(Ordering::Relaxed))
    }

    /// The worker is awake: nobody need notify it.
    pub fn clear(&self) {
        if self.is_set()
            && let Some(shared) = &self.0
        {
            shared.asleep.store(false, Ordering::Relaxed);
        }
    }
}

/// Wakes one worker. Held by whoever pushes something for it.
#[derive(Clone, derive_more::Debug)]
#[debug("Waker")]
pub struct Waker(Option<Arc<Shared>>);

impl Waker {
    /// Of a worker that never sleeps; it does nothing.
    pub fn never() -> Self {
        Self(None)
    }

    /// Whether the worker sleeps or is about to. One that never sleeps does not.
    pub(crate) fn is_asleep(&self) -> bool {
        self.0.as_ref().is_some_and(|shared| shared.asleep.load(Ordering::Relaxed))
    }

    /// Ends the worker's sleep if it sleeps or is about to. Call it after the push.
    pub fn wake(&self) {
        let Some(shared) = &self.0 else { return };
        // After the push; pairs with the fence of `SleepFlag::set`.
        fence(Ordering::SeqCst);
        if shared.asleep.load(Ordering::Relaxed) && shared.asleep.swap(false, Ordering::SeqCst) {
            (shared.notify)();
        }
    }
}

/// What an idle worker decides by whether to spin, nap or sleep: the argument of the `idle` closure of
/// [`Worker::run`](crate::Worker::run).
#[derive(derive_more::Debug)]
#[debug("Idle {{ empty_turns: {empty_turns}, now: {now:?}, announced: {announced} }}")]
pub struct Idle<'a> {
    /// Empty turns in a row, the one just taken included.
    pub empty_turns: u32,
    /// When that turn began.
    pub now: Now,
    pub(crate) timers: &'a Wheel,
    /// Set, it announces a sleep and asks for one more turn. If that is empty too, the closure is called again
    /// and may block for [`sleep_micros`](Self::sleep_micros); a turn that is not clears it. Whoever has
    /// blocked clears it: from there on nobody notifies.
    pub flag: &'a SleepFlag,
    /// Whether the closure may block now: a sleep was announced before the turn just taken.
    pub announced: bool,
    /// Whether workers that are awake get their frames through this one alone: it may spin, and neither nap nor
    /// sleep.
    pub is_relied_on: bool,
}

impl Idle<'_> {
    /// How long the closure may block, microseconds: until the worker's next timer is due, at most
    /// [`SLEEP_MICROS_MAX`].
    pub fn sleep_micros(&self) -> u64 {
        let due = self.timers.next_due(SLEEP_MICROS_MAX);
        due.map_or(SLEEP_MICROS_MAX, |due| due.saturating_sub(self.now.micros))
            .min(SLEEP_MICROS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use crossbeam::queue::ArrayQueue;

    use super::*;

    /// A flag and a waker, and how often it notified.
    fn counted() -> (SleepFlag, Waker, Arc<AtomicU64>) {
        let count = Arc::new(AtomicU64::new(0));
        let notify = Arc::clone(&count);
        let (flag, waker) = pair(move || {
            notify.fetch_add(1, Ordering::Relaxed);
        });
        (flag, waker, count)
    }

    #[test]
    fn nobody_is_notified_who_is_awake() {
        let (flag, waker, count) = counted();
        waker.wake();
        flag.set();
        flag.clear();
        waker.wake();
        assert_eq!(count.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_sleep_is_ended_once() {
        let (flag, waker, count) = counted();
        flag.set();
        assert!(flag.is_set());
        waker.wake();
        waker.clone().wake();
        assert_eq!(count.load(Ordering::Relaxed), 1);
        assert!(!flag.is_set(), "the waker has cleared it");
        flag.set();
        waker.wake();
        assert_eq!(count.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn who_never_sleeps_is_never_asleep() {
        let flag = SleepFlag::never();
        flag.set();
        assert!(!flag.is_set());
        Waker::never().wake();
    }

    /// Two producers push as fast as a small ring takes it, the consumer sleeps whenever its last look
    /// finds nothing: a push that neither the look nor the waker sees would leave it asleep for good.
    #[test]
    fn no_push_is_slept_through() {
        const EACH: u64 = 50_000;
        let (bell, rung) = mpsc::sync_channel(1);
        let (flag, waker) = pair(move || {
            // A bell that rings already is enough.
            let _ = bell.try_send(());
        });
        let queue = Arc::new(ArrayQueue::new(4));
        let producers: Vec<_> = (0..2)
            .map(|_| {
                let (queue, waker) = (Arc::clone(&queue), waker.clone());
                thread::spawn(move || {
                    for number in 0..EACH {
                        while queue.push(number).is_err() {
                            thread::yield_now();
                        }
                        waker.wake();
                        if number % 64 == 0 {
                            thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        let (mut taken, mut sleeps) = (0, 0);
        while taken < 2 * EACH {
            if queue.pop().is_some() {
                taken += 1;
                continue;
            }
            flag.set();
            if queue.is_empty() {
                sleeps += 1;
                let woken = rung.recv_timeout(Duration::from_secs(20));
                assert!(woken.is_ok(), "asleep after {taken} with {} waiting", queue.len());
            }
            flag.clear();
        }
        producers.into_iter().for_each(|producer| producer.join().expect("it only pushes"));
        assert!(sleeps > 0, "the consumer is faster than the producers now and then");
    }
}
