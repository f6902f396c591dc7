//! A thread of its own for reading data and making sites.
//!
//! It is always the same one because the allocator keeps what is freed by thread: what one reload leaves
//! behind, the next one uses, and memory stays as it is however often a server is reloaded.

use std::io;
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

/// Where work is handed in. The thread ends when it is dropped and what was handed in is done.
#[derive(Clone, Debug)]
pub(crate) struct LoaderThread(Sender<Job>);

/// One piece of work.
struct Job(Box<dyn FnOnce() + Send>);

impl LoaderThread {
    /// Starts the thread, on the cores of whoever calls.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub(crate) fn open() -> io::Result<(Self, JoinHandle<()>)> {
        let (jobs, waiting) = mpsc::channel();
        let thread = thread::Builder::new().name("reload".into()).spawn(move || {
            for Job(job) in waiting {
                job();
            }
        })?;
        Ok((Self(jobs), thread))
    }

    /// Does `job` after all that was handed in before. The receiver fails if `job` panics, or one
    /// before it did.
    pub(crate) fn work<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (done, outcome) = oneshot::channel();
        let job = move || {
            // If nobody waits any more, what came of it ends here.
            let _ = done.send(job());
        };
        // If the thread is gone, so is `done`, and the receiver says so.
        let _ = self.0.send(Job(Box::new(job)));
        outcome
    }
}

/// Waits until `thread` has ended, at most for `timeout`; returns whether it has.
pub(crate) fn await_end(thread: &JoinHandle<()>, timeout: Duration) -> bool {
    let deadline = Instant::now() + timeout;
    while !thread.is_finished() && Instant::now() < deadline {
        thread::sleep(LOOK_EVERY);
    }
    thread.is_finished()
}

const LOOK_EVERY: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_done_in_order_on_one_thread() {
        let (loader, thread) = LoaderThread::open().expect("a thread");
        let one = loader.work(|| thread::current().id());
        let two = loader.clone().work(|| thread::current().id());
        assert_eq!(one.await.expect("is done"), two.await.expect("is done"));
        drop(loader);
        assert!(await_end(&thread, Duration::from_secs(10)));
    }

    #[tokio::test]
    async fn work_that_panics_is_noticed() {
        let (loader, thread) = LoaderThread::open().expect("a thread");
        assert!(loader.work(|| panic!("as it should")).await.is_err());
        assert!(loader.work(|| 1).await.is_err(), "nobody is there any more");
        assert!(await_end(&thread, Duration::from_secs(10)));
    }

    #[test]
    fn patience_has_an_end() {
        let (loader, thread) = LoaderThread::open().expect("a thread");
        assert!(!await_end(&thread, Duration::from_millis(5)));
        drop(loader);
    }
}
