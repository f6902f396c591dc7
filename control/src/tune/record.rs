//! The record of what was found before a change: one file in the state directory, replaced as a whole.

use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::TuneError;
use super::plan::Change;

/// What `apply` changed, or was about to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Version of this format: 1.
    pub(super) version: u32,
    /// The boot it counts for.
    pub(super) boot: String,
    /// The dataplane's cores.
    pub(super) cores: Vec<usize>,
    /// Found and wanted values, in the order of the changes.
    pub(super) changes: Vec<Change>,
}

/// The state directory.
#[derive(Debug)]
pub(super) struct Store {
    directory: PathBuf,
}

/// While it lives, no other process changes the machine by this state directory.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "the lock ends with the file")] File);

impl Store {
    /// In `directory`, which need not be there yet.
    pub(super) fn new(directory: &Path) -> Self {
        Self { directory: directory.into() }
    }

    /// Takes the lock, and makes the directory.
    ///
    /// # Errors
    /// Another process has it, or there can be no such directory.
    pub(super) fn lock(&self) -> Result<Lock, TuneError> {
        let path = self.directory.join("lock");
        let open = || {
            fs::create_dir_all(&self.directory)?;
            File::create(&path)
        };
        let file = open().map_err(|cause| TuneError::State { path: path.clone(), cause })?;
        match file.try_lock() {
            Ok(()) => Ok(Lock(file)),
            Err(TryLockError::WouldBlock) => Err(TuneError::Busy { path }),
            Err(TryLockError::Error(cause)) => Err(TuneError::State { path, cause }),
        }
    }

    /// The record, of whichever boot; `None` where there is none.
    ///
    /// # Errors
    /// It cannot be read, or is not one.
    pub(super) fn read(&self) -> Result<Option<Record>, TuneError> {
        let path = self.path();
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(TuneError::State { path, cause }),
        };
        serde_json::from_slice(&text).map(Some).map_err(|cause| TuneError::Record { path, cause })
    }

    /// Replaces it; it is on the disk when this returns.
    ///
    /// # Errors
    /// The directory takes no file.
    pub(super) fn write(&self, record: &Record) -> Result<(), TuneError> {
        let text = serde_json::to_vec_pretty(record).expect("a record is JSON");
        let write = || {
            let mut file = tempfile::NamedTempFile::new_in(&self.directory)?;
            file.write_all(&text)?;
            file.as_file().sync_all()?;
            file.persist(self.path()).map_err(|error| error.error)?;
            File::open(&self.directory)?.sync_all()
        };
        write().map_err(|cause| TuneError::State { path: self.path(), cause })
    }

    /// Removes it.
    ///
    /// # Errors
    /// It stays.
    pub(super) fn remove(&self) -> Result<(), TuneError> {
        fs::remove_file(self.path()).map_err(|cause| TuneError::State { path: self.path(), cause })
    }

    fn path(&self) -> PathBuf {
        self.directory.join("record.json")
    }
}
