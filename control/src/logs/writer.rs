//! Writes the log on a thread of its own, so that nothing else ever waits for the reader of standard error, or
//! fails with it.
//!
//! Entries wait in a queue of at most [`QUEUE_LEN_MAX`] bytes. What it has no room for, and what standard error
//! does not take (a full disk, a reader that has gone), is lost and counted; once it takes entries again, the log says
//! how many were lost.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Puts entries into the queue. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct LogWriter(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// An entry came, or the last one was written.
    changed: Condvar,
    lost: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    entries: VecDeque<Vec<u8>>,
    /// Of all entries together.
    bytes: usize,
    /// Whether an entry that was taken out is being written.
    writing: bool,
    /// Entries that were taken out, written or not.
    taken: u64,
}

impl LogWriter {
    /// A queue whose entries a thread of its own writes to `output`, as long as the process runs.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub(super) fn start(output: impl Write + Send + 'static) -> io::Result<Self> {
        let writer = Self::default();
        let queue = writer.clone();
        thread::Builder::new().name("log".into()).spawn(move || queue.run(output))?;
        Ok(writer)
    }

    /// Entries that were lost so far.
    pub(super) fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }

    /// Waits until everything is written, or no entry was taken for `timeout`.
    pub(super) fn flush(&self, timeout: Duration) {
        let mut queue = self.lock();
        while !queue.is_done() {
            let before = queue.taken;
            let condition = |queue: &mut Queue| !queue.is_done() && queue.taken == before;
            let waited = self.0.changed.wait_timeout_while(queue, timeout, condition);
            let (after, waited) = waited.unwrap_or_else(PoisonError::into_inner);
            if waited.timed_out() {
                return;
            }
            queue = after;
        }
    }

    /// Takes `entry`, or counts it as lost. Never waits for the reader.
    fn push(&self, entry: &[u8]) {
        let mut queue = self.lock();
        if queue.bytes + entry.len() > QUEUE_LEN_MAX {
            self.0.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        queue.bytes += entry.len();
        queue.entries.push_back(entry.to_vec());
        drop(queue);
        self.0.changed.notify_all();
    }

    fn run(&self, mut output: impl Write) {
        let mut announced = 0;
        loop {
            let entry = self.next();
            if output.write_all(&entry).and_then(|()| output.flush()).is_err() {
                self.0.lost.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let lost = self.lost();
            if lost > announced && self.lock().entries.is_empty() {
                tracing::warn!(
                    "{} entries of the log were lost: standard error did not take them, or not fast \
                     enough",
                    lost - announced
                );
                announced = lost;
            }
        }
    }

    /// The next entry; waits until there is one. The one before it is written.
    fn next(&self) -> Vec<u8> {
        let mut queue = self.lock();
        queue.writing = false;
        self.0.changed.notify_all();
        loop {
            if let Some(entry) = queue.entries.pop_front() {
                queue.bytes -= entry.len();
                queue.writing = true;
                queue.taken += 1;
                return entry;
            }
            queue = self.0.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn is_done(&self) -> bool {
        self.entries.is_empty() && !self.writing
    }
}

/// Takes whole entries: what writes an event hands it over at once.
impl Write for LogWriter {
    fn write(&mut self, entry: &[u8]) -> io::Result<usize> {
        self.push(entry);
        Ok(entry.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for LogWriter {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// Bytes of entries that wait: some thousand lines.
const QUEUE_LEN_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, Receiver, Sender};
    use std::time::Instant;

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// An output that takes an entry each time it is told to, with this outcome, and passes it on.
    struct Gate(Receiver<bool>, Sender<String>);

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if !self.0.recv().unwrap_or(false) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let text = String::from_utf8_lossy(bytes).into_owned();
            self.1.send(text).map_err(|_| io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gated() -> (LogWriter, Sender<bool>, Receiver<String>) {
        let (open, opened) = mpsc::channel();
        let (written, taken) = mpsc::channel();
        (LogWriter::start(Gate(opened, written)).expect("a thread"), open, taken)
    }

    const SOON: Duration = Duration::from_secs(20);

    #[test]
    fn a_reader_that_takes_nothing_blocks_nobody_and_what_is_lost_is_counted() {
        let (writer, open, taken) = gated();
        let start = Instant::now();
        let entry = vec![b'x'; 1 << 10];
        for _ in 0..3 << 10 {
            writer.push(&entry);
        }
        assert!(start.elapsed() < SOON);
        // The queue, and perhaps one that is being written.
        let kept = (3 << 10) - writer.lost();
        assert!((1_024..=1_025).contains(&kept), "{kept}");
        writer.flush(Duration::from_millis(1));
        for _ in 0..kept {
            open.send(true).expect("the thread is there");
        }
        writer.flush(SOON);
        assert_eq!(taken.try_iter().count() as u64, kept, "in time, all of it is written");
    }

    #[test]
    fn an_output_that_fails_is_counted_and_tried_again() {
        let (writer, open, taken) = gated();
        for (number, works) in [true, false, false, true].into_iter().enumerate() {
            writer.push(format!("{number}").as_bytes());
            open.send(works).expect("the thread is there");
        }
        writer.flush(SOON);
        assert_eq!(taken.try_iter().collect::<Vec<_>>(), ["0", "3"]);
        assert_eq!(writer.lost(), 2);
    }

    #[test]
    fn a_subscriber_writes_whole_entries_and_no_error_of_its_own() {
        let (writer, open, taken) = gated();
        let lines = tracing_subscriber::fmt::layer().with_writer(writer.clone()).with_ansi(false);
        let subscriber = tracing_subscriber::registry().with(lines.without_time());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(core = 1, "one");
            tracing::info!("two");
        });
        open.send(false).expect("the thread is there");
        open.send(true).expect("the thread is there");
        writer.flush(SOON);
        let texts: Vec<_> = taken.try_iter().collect();
        assert!(texts.len() == 1 && texts[0].ends_with("two\n"), "{texts:?}");
        assert_eq!(writer.lost(), 1);
    }
}
