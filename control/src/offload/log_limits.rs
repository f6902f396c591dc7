//! Limits on what is logged: at most once a second, or once for a site.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::cache::lock;

/// Logs something that may happen thousands of times a second at most once a second.
#[derive(Debug)]
pub(super) struct RateLimitedLog {
    last: Mutex<Option<Instant>>,
    suppressed: AtomicU64,
}

impl RateLimitedLog {
    pub(super) fn new() -> Self {
        Self { last: Mutex::new(None), suppressed: AtomicU64::new(0) }
    }

    /// Calls `log` if it was not called for a second, with the number of times it was not called since.
    pub(super) fn log(&self, now: Instant, log: impl FnOnce(u64)) {
        let mut last = lock(&self.last);
        if last.is_some_and(|last| now < last + EVERY) {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
        } else {
            *last = Some(now);
            drop(last);
            log(self.suppressed.swap(0, Ordering::Relaxed));
        }
    }
}

/// Texts that are logged once, until [`forget`](Self::forget).
#[derive(Debug, Default)]
pub(super) struct LogOnce(Mutex<HashSet<String>>);

impl LogOnce {
    /// Whether `text` was not logged yet; from now on it was.
    pub(super) fn is_new(&self, text: &str) -> bool {
        let mut logged = lock(&self.0);
        logged.len() < TEXTS_MAX && !logged.contains(text) && logged.insert(text.to_owned())
    }

    /// All may be logged again.
    pub(super) fn forget(&self) {
        lock(&self.0).clear();
    }
}

const EVERY: Duration = Duration::from_secs(1);
/// More different errors than this are not logged for one site: there are no more statements.
const TEXTS_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_often_is_logged_once_a_second_with_how_often() {
        let (limited, mut now, mut logged) = (RateLimitedLog::new(), Instant::now(), Vec::new());
        for _ in 0..3 {
            for _ in 0..10 {
                limited.log(now, |suppressed| logged.push(suppressed));
            }
            now += EVERY;
        }
        assert_eq!(logged, [0, 9, 9]);
    }

    #[test]
    fn a_text_is_logged_once_until_it_is_forgotten() {
        let once = LogOnce::default();
        assert!(once.is_new("a") && once.is_new("b") && !once.is_new("a"));
        once.forget();
        assert!(once.is_new("a"));
    }
}
