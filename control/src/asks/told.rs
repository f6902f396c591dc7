//! What is said in the log without filling it: at most once a second, or once in an edition.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::cache::lock;

/// Something that may happen thousands of times a second.
#[derive(Debug)]
pub(super) struct Often {
    last: Mutex<Option<Instant>>,
    quiet: AtomicU64,
}

impl Often {
    pub(super) fn new() -> Self {
        Self { last: Mutex::new(None), quiet: AtomicU64::new(0) }
    }

    /// Lets `say` speak if nothing was said for a second; it learns how often nothing was said.
    pub(super) fn tell(&self, now: Instant, say: impl FnOnce(u64)) {
        let mut last = lock(&self.last);
        if last.is_some_and(|last| now < last + EVERY) {
            self.quiet.fetch_add(1, Ordering::Relaxed);
        } else {
            *last = Some(now);
            drop(last);
            say(self.quiet.swap(0, Ordering::Relaxed));
        }
    }
}

/// Texts that are said once, until [`forget`](Self::forget).
#[derive(Debug, Default)]
pub(super) struct Once(Mutex<HashSet<String>>);

impl Once {
    /// Whether `text` was not said yet; from now on it was.
    pub(super) fn is_new(&self, text: &str) -> bool {
        let mut said = lock(&self.0);
        said.len() < TEXTS_MAX && !said.contains(text) && said.insert(text.to_owned())
    }

    /// All may be said again.
    pub(super) fn forget(&self) {
        lock(&self.0).clear();
    }
}

const EVERY: Duration = Duration::from_secs(1);
/// More different faults than this are not told in one edition: there are no more statements.
const TEXTS_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_often_is_told_once_a_second_with_how_often() {
        let (often, mut now, mut said) = (Often::new(), Instant::now(), Vec::new());
        for _ in 0..3 {
            for _ in 0..10 {
                often.tell(now, |quiet| said.push(quiet));
            }
            now += EVERY;
        }
        assert_eq!(said, [0, 9, 9]);
    }

    #[test]
    fn a_text_is_told_once_until_it_is_forgotten() {
        let once = Once::default();
        assert!(once.is_new("a") && once.is_new("b") && !once.is_new("a"));
        once.forget();
        assert!(once.is_new("a"));
    }
}
