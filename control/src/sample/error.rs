//! A sample that could not be written.

use std::io;
use std::path::{Path, PathBuf};

use crate::failure::CommandError;

/// A sample that could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SampleError {
    /// Somebody's files are there.
    #[error("{}: is not empty; name another directory, or say --force to write into it", directory.display())]
    NotEmpty { directory: PathBuf },
    /// The file system refused.
    #[error("{}: cannot be written: {error}", path.display())]
    Write { path: PathBuf, error: io::Error },
    /// SQLite refused.
    #[error("{}: cannot be written: {error}", path.display())]
    Database { path: PathBuf, error: rusqlite::Error },
}

impl CommandError for SampleError {}

impl SampleError {
    pub(super) fn write(path: &Path) -> impl FnOnce(io::Error) -> Self {
        |error| Self::Write { path: path.to_owned(), error }
    }
}
