//! The log: text or JSON on standard error, written by the control plane only. Where the systemd journal
//! reads it, every line has its priority in front. Nobody waits for its reader, and nobody fails with it: see
//! [`writer`].

mod journal;
mod lines;
mod writer;

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::panic;
use std::sync::OnceLock;
use std::time::Duration;

use tracing::Level;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;

use crate::failure::Failure;

pub(crate) use journal::reads_stderr as journal_reads_stderr;
pub(crate) use lines::LogFormat;
use writer::LogWriter;

/// Opens the log, once per process, and lets a panic say which thread it was. The release build
/// aborts on a panic: a worker that is lost must not leave others half alive. The level can be changed
/// through what is returned.
///
/// # Errors
/// The system has no thread or file descriptor to give.
pub(crate) fn open(level: Level, format: LogFormat) -> io::Result<LogLevel> {
    // Not through `io::stderr`, whose lock a write holds that its reader does not let end.
    let writer = LogWriter::start(File::from(io::stderr().as_fd().try_clone_to_owned()?))?;
    let (filter, handle) = reload::Layer::new(LevelFilter::from_level(level));
    let lines = lines::layer(format, journal_reads_stderr(), writer.clone());
    tracing_subscriber::registry().with(filter).with(lines).init();
    // The log is opened once.
    let _ = WRITER.set(writer);
    panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("without a name");
        tracing::error!("thread {name} panicked: {panic}");
        flush();
    }));
    Ok(LogLevel(handle))
}

/// Waits until what was logged is written; not for a reader that takes nothing for [`FLUSH_TIMEOUT`].
pub(crate) fn flush() {
    if let Some(writer) = WRITER.get() {
        writer.flush(FLUSH_TIMEOUT);
    }
}

/// Entries of the log that were lost, because standard error did not take them.
pub(crate) fn entries_lost() -> u64 {
    WRITER.get().map_or(0, LogWriter::lost)
}

static WRITER: OnceLock<LogWriter> = OnceLock::new();
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// The level of the log: the least severe one that is written. Clones are the same level.
#[derive(Clone, Debug)]
pub(crate) struct LogLevel(Handle<LevelFilter, Registry>);

impl LogLevel {
    /// What [`parse`](Self::parse) accepts, in words.
    pub(crate) const FORMATS: &str = "error, warn, info, debug or trace";

    /// The level with this name, in capitals or not.
    pub(crate) fn parse(text: &str) -> Option<Level> {
        text.parse().ok()
    }

    /// Its name, as [`parse`](Self::parse) accepts it.
    pub(crate) fn name(level: Level) -> String {
        level.as_str().to_ascii_lowercase()
    }

    /// The level now.
    ///
    /// # Errors
    /// The log is closed.
    pub(crate) fn get(&self) -> Result<Level, reload::Error> {
        self.0.with_current(|filter| filter.into_level().unwrap_or(Level::ERROR))
    }

    /// Writes what is of this level, or more severe, from now on.
    ///
    /// # Errors
    /// The log is closed.
    pub(crate) fn set(&self, level: Level) -> Result<(), reload::Error> {
        self.0.reload(LevelFilter::from_level(level))?;
        tracing::info!("the level of the log is {}", Self::name(level));
        Ok(())
    }

    /// Of a log that nothing is written to.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        let (filter, handle) = reload::Layer::new(LevelFilter::INFO);
        // A handle works as long as its filter is there.
        std::mem::forget(filter);
        Self(handle)
    }
}

/// Says why the program fails, a line for each error: in the log if it is open, else on standard error.
pub(crate) fn last_word(failure: &Failure) {
    for line in failure.to_string().lines() {
        if tracing::dispatcher::has_been_set() {
            tracing::error!("{line}");
        } else {
            before_it_is_open(&format!("pollux: {line}"));
        }
    }
}

/// Writes an error where no log is open: as it is, or with its priority if the journal reads it.
pub(crate) fn before_it_is_open(error: &str) {
    let lines = if journal_reads_stderr() {
        journal::entries(Level::ERROR, error)
    } else {
        format!("{}\n", error.trim_end())
    };
    // A terminal that is gone takes none.
    let _ = io::stderr().write_all(lines.as_bytes());
}
