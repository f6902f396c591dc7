//! The modification time of a sample's files: the same everywhere.

use std::fs::File;
use std::io;
use std::time::{Duration, UNIX_EPOCH};

use handlers::sample::MODIFIED_UNIX;

/// Sets it.
///
/// # Errors
/// The file system refuses.
pub(super) fn set_modified(file: &File) -> io::Result<()> {
    file.set_modified(UNIX_EPOCH + Duration::from_secs(MODIFIED_UNIX))
}
