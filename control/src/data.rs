//! Reads what routes are made of: files, and directories with everything below them.
//!
//! Reads only; what the bytes mean is checked by `handlers::Site::build`.

mod directory;
mod error;
#[cfg(test)]
mod tests;

use std::path::Path;

use crate::regular_file::{self, DIRECTORY, Opened};

pub(crate) use directory::{Directory, LeftOut, directory};
pub(crate) use error::DataError;

/// The bytes of a regular file, which should be `expected`.
///
/// # Errors
/// It cannot be read, or is no regular file.
pub(crate) fn file(path: &Path, expected: &'static str) -> Result<Vec<u8>, DataError> {
    match regular_file::open(path).map_err(DataError::unreadable(path, expected))? {
        Opened::File(mut file, metadata) => {
            regular_file::read(&mut file, &metadata).map_err(DataError::unreadable(path, expected))
        }
        Opened::Directory(_) => Err(other(path, expected, DIRECTORY)),
        Opened::Other(found) => Err(other(path, expected, found)),
    }
}

/// That a regular file is there, for others to read.
///
/// # Errors
/// It is not, or is none.
pub(crate) fn has_file(path: &Path, expected: &'static str) -> Result<(), DataError> {
    match regular_file::look(path).map_err(DataError::unreadable(path, expected))? {
        None => Ok(()),
        Some(found) => Err(other(path, expected, found)),
    }
}

fn other(path: &Path, expected: &'static str, found: &'static str) -> DataError {
    DataError::Other { path: path.to_owned(), expected, found }
}
