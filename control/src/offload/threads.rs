//! Threads that end when they have nothing to do any more, and somebody who waits for that.

use std::io;
use std::sync::Mutex;
use std::thread::{self, JoinHandle};

use super::cache::lock;

/// Threads that were started.
#[derive(Debug, Default)]
pub(super) struct Threads(Mutex<Vec<JoinHandle<()>>>);

impl Threads {
    /// Starts one more.
    ///
    /// # Errors
    /// The system has none to give.
    pub(super) fn start(
        &self,
        name: String,
        work: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        let thread = thread::Builder::new().name(name).spawn(work)?;
        lock(&self.0).push(thread);
        Ok(())
    }

    /// Waits until all have ended.
    pub(super) fn join(&self) {
        let threads = std::mem::take(&mut *lock(&self.0));
        // A panic has aborted the process, and was logged.
        threads.into_iter().for_each(|thread| drop(thread.join()));
    }
}
