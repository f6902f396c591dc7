//! How far a load has come: whoever reads and compiles writes it, whoever waits reads it, and may give up.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

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
