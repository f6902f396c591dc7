//! How far a load has come: whoever reads and compiles writes it, whoever waits reads it, and may give up.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::human;

/// The progress of one load. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    files: AtomicU64,
    bytes: AtomicU64,
    /// What is done now, as a person would say it.
    now: Mutex<String>,
    given_up: AtomicBool,
}

impl Progress {
    /// `path` is read now.
    pub(crate) fn reading(&self, path: &Path) {
        self.doing(format!("reading {}", path.display()));
    }

    /// `what` is done now.
    pub(crate) fn doing(&self, what: impl Into<String>) {
        *self.0.now.lock().unwrap_or_else(PoisonError::into_inner) = what.into();
    }

    /// A file of so many bytes was read.
    pub(crate) fn has_read(&self, bytes: usize) {
        self.0.files.fetch_add(1, Ordering::Relaxed);
        self.0.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// How far it is, for people: `12,000 files, 45.1 MiB read; compiling the site`.
    pub(crate) fn line(&self) -> String {
        let (files, bytes) = (&self.0.files, &self.0.bytes);
        let (files, bytes) = (files.load(Ordering::Relaxed), bytes.load(Ordering::Relaxed));
        let now = self.now();
        let separator = if now.is_empty() { "" } else { "; " };
        format!("{files} files, {} read{separator}{now}", human::bytes(bytes))
    }

    /// What is done now.
    pub(crate) fn now(&self) -> String {
        self.0.now.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Nobody waits any more: whoever works ends at the next file.
    pub(crate) fn give_up(&self) {
        self.0.given_up.store(true, Ordering::Relaxed);
    }

    /// Whether nobody waits any more.
    pub(crate) fn is_given_up(&self) -> bool {
        self.0.given_up.load(Ordering::Relaxed)
    }
}

/// How often those who wait are told.
pub(crate) const LOG_EVERY: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_far_it_is() {
        let progress = Progress::default();
        assert_eq!(progress.line(), "0 files, 0 B read");
        progress.reading(Path::new("/srv/a"));
        assert_eq!(progress.line(), "0 files, 0 B read; reading /srv/a");
        progress.has_read(1_000);
        progress.has_read(1_048);
        progress.doing("compiling the site");
        assert_eq!(progress.line(), "2 files, 2 KiB read; compiling the site");
    }
}
