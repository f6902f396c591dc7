//! What can go wrong with `pollux tune`.

use std::io;
use std::path::PathBuf;

use crate::failure::CommandError;

/// Why the machine was not tuned, or not put back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TuneError {
    /// A file of the kernel cannot be read.
    #[error("{file}: cannot be read: {cause}")]
    Read { file: String, cause: io::Error },
    /// The state directory does not take the record.
    #[error("{}: {cause}; name another directory with --state, or run this as root", .path.display())]
    State { path: PathBuf, cause: io::Error },
    /// The record is not one.
    #[error("{}: not a record of `pollux tune`: {cause}; restart the machine to undo what was changed, and remove the file", .path.display())]
    Record { path: PathBuf, cause: serde_json::Error },
    /// Somebody else is at it.
    #[error("{}: another `pollux tune` is at work; try again when it has ended", .path.display())]
    Busy { path: PathBuf },
    /// Every core would be the dataplane's.
    #[error(
        "cores {cores} are all that are online: leave at least one to everything else (--cores)"
    )]
    NoCoreLeft { cores: String },
    /// The machine is tuned already, for other cores.
    #[error("this machine is tuned for cores {applied}, not {asked}: `pollux tune revert` first")]
    OtherCores { applied: String, asked: String },
    /// Not everything was written.
    #[error(
        "{count} of {of} settings could not be written; they are listed above: run this as root, in a container with --privileged"
    )]
    Failed { count: usize, of: usize },
}

impl CommandError for TuneError {}
