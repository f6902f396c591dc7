//! What is wrong with a file or a directory, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// Something that cannot be read, or may not be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataError {
    /// A file or directory that must be there.
    #[error("{}: expected {expected}, found {error}", path.display())]
    Unreadable { path: PathBuf, expected: &'static str, error: io::Error },
    /// Something else where the configuration names a file.
    #[error("{}: expected {expected}, found {found}", path.display())]
    Other { path: PathBuf, expected: &'static str, found: &'static str },
    /// A name in a directory that leads to no file that can be read.
    #[error("{}: expected a file to serve, found {error}", path.display())]
    Entry { path: PathBuf, error: io::Error },
    /// A name in a directory that leads to something that is no file.
    #[error("{}: expected a file to serve, found {found}", path.display())]
    NoFile { path: PathBuf, found: &'static str },
    /// A symbolic link to what is not in the directory.
    #[error("{}: a symbolic link out of the directory", path.display())]
    Outside { path: PathBuf },
    /// A name that cannot stand in a URL without knowing its encoding.
    #[error("{}: expected a name in UTF-8", path.display())]
    Name { path: PathBuf },
    /// Directories in directories without end: a symbolic link to a parent.
    #[error("{}: expected at most 16 directories below each other", path.display())]
    Loop { path: PathBuf },
    /// More names than anybody means to serve.
    #[error("{}: expected at most 4,000,000 names below it", path.display())]
    TooMany { path: PathBuf },
    /// Nobody waits for it any more.
    #[error("given up")]
    GivenUp,
}

impl DataError {
    /// What to do about it.
    pub(crate) fn fix(&self) -> String {
        let fix = match self {
            Self::Unreadable { error, .. } | Self::Entry { error, .. }
                if error.kind() == io::ErrorKind::NotFound =>
            {
                "put it there, or name another"
            }
            Self::Unreadable { .. } => "let this user read it, or name another",
            Self::Entry { .. } => "let this user read it, or take it away",
            Self::Other { .. } => "name a regular file",
            Self::NoFile { .. } => "take it away",
            Self::Outside { .. } => {
                "put the file itself there, or set files.links = \"follow\" to publish what links lead to"
            }
            Self::Name { .. } => "rename it",
            Self::Loop { .. } => "is there a symbolic link to a parent?",
            Self::TooMany { .. } => "are there symbolic links to directories within it?",
            Self::GivenUp => "try again",
        };
        let skip = if self.is_of_entry() { SKIP } else { "" };
        format!("{fix}{skip}")
    }

    /// Whether it is about one name in a directory, without which the others can be served.
    pub(super) fn is_of_entry(&self) -> bool {
        match self {
            Self::Entry { .. }
            | Self::NoFile { .. }
            | Self::Outside { .. }
            | Self::Name { .. }
            | Self::Loop { .. } => true,
            Self::Unreadable { .. } | Self::Other { .. } | Self::TooMany { .. } | Self::GivenUp => {
                false
            }
        }
    }

    /// Whether it is about what the configuration names, which another data directory may have.
    pub(crate) fn is_of_path(&self) -> bool {
        matches!(self, Self::Unreadable { .. } | Self::Other { .. })
    }

    pub(super) fn entry(path: &Path, error: io::Error) -> Self {
        Self::Entry { path: path.to_owned(), error }
    }

    pub(super) fn unreadable<'a>(
        path: &'a Path,
        expected: &'static str,
    ) -> impl FnOnce(io::Error) -> Self + use<'a> {
        move |error| Self::Unreadable { path: path.to_owned(), expected, error }
    }
}

/// What else can be done about one name of many.
const SKIP: &str = "; or set files.unreadable = \"skip\" to serve the others";
