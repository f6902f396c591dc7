//! The built-in sample as a directory, for whoever has no data of their own.

use std::env;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::sample::{self, DATABASE, SampleError};

/// The built-in sample in a temporary directory: written when it is first needed, taken away with the
/// last clone. Whoever serves it keeps one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample(Arc<Mutex<Option<Written>>>);

#[derive(Debug)]
struct Written {
    directory: TempDir,
    has_database: bool,
}

impl Sample {
    /// Where it is; `with_database` if its SQLite file is wanted as well, which takes a moment.
    ///
    /// # Errors
    /// There is no room for temporary files.
    pub(super) fn directory(&self, with_database: bool) -> Result<PathBuf, SampleError> {
        // A writer that panicked left None, or a directory that is whole.
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sample = match written.take() {
            Some(sample) => sample,
            None => Written { directory: write()?, has_database: false },
        };
        let sample = written.insert(sample);
        if with_database && !sample.has_database {
            sample::write_database(&sample.directory.path().join(DATABASE))?;
            sample.has_database = true;
        }
        Ok(sample.directory.path().to_owned())
    }

    /// Takes the directory away, whoever still has a clone: the process is about to end. Waits for at most
    /// `timeout` for whoever writes it; from then on nobody writes it any more.
    pub(crate) fn remove(&self, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        let mut written = loop {
            match self.0.try_lock() {
                Ok(written) => break written,
                Err(TryLockError::Poisoned(poisoned)) => break poisoned.into_inner(),
                Err(TryLockError::WouldBlock) if Instant::now() > deadline => return,
                Err(TryLockError::WouldBlock) => thread::sleep(LOOK_EVERY),
            }
        };
        drop(written.take());
        // Whoever wants it now waits for the end of the process.
        mem::forget(written);
    }
}

fn write() -> Result<TempDir, SampleError> {
    let fail = |error| SampleError::Write { path: env::temp_dir(), error };
    let directory = tempfile::Builder::new().prefix(PREFIX).tempdir().map_err(fail)?;
    sample::write_data(directory.path())?;
    Ok(directory)
}

/// Whether a path may be that of the SQLite file.
pub(super) fn is_database(path: &Path) -> bool {
    path.is_relative() && path.ends_with(DATABASE)
}

const PREFIX: &str = "pollux-sample-";
const LOOK_EVERY: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_written_once_and_goes_with_its_last_keeper() {
        let sample = Sample::default();
        let directory = sample.directory(false).expect("there is room");
        assert!(directory.join("dataset-large.json").is_file());
        assert!(directory.join("static/index.html").is_file());
        assert!(!directory.join(DATABASE).exists(), "nobody asked for it");
        let other = sample.clone();
        drop(sample);
        assert_eq!(other.directory(true).expect("there is room"), directory);
        assert!(directory.join(DATABASE).is_file());
        drop(other);
        assert!(!directory.exists());
    }

    /// A reload that is under way when the process ends has a clone of it.
    #[test]
    fn it_goes_at_the_end_though_somebody_keeps_it() {
        let sample = Sample::default();
        let directory = sample.directory(false).expect("there is room");
        let kept = sample.clone();
        sample.remove(Duration::from_secs(10));
        assert!(!directory.exists());
        assert!(kept.0.try_lock().is_err(), "it is not written again");
    }

    #[test]
    fn whoever_writes_it_is_waited_for_and_not_for_ever() {
        let sample = Sample::default();
        let directory = sample.directory(false).expect("there is room");
        let writing = sample.0.lock().expect("nobody panicked");
        sample.remove(Duration::from_millis(5));
        assert!(directory.exists(), "it is somebody else's");
        drop(writing);
        sample.remove(Duration::from_secs(10));
        assert!(!directory.exists());
    }
}
