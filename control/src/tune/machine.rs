//! The kernel's files, below a root that a test may choose.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::PathBuf;

use super::error::TuneError;

/// A machine as its files.
#[derive(Debug)]
pub(super) struct Machine {
    root: PathBuf,
}

impl Machine {
    /// This one.
    pub(super) fn here() -> Self {
        Self { root: "/".into() }
    }

    /// One whose files are below `root`.
    #[cfg(test)]
    pub(super) fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The content of `file`, without the blanks around it; `None` where there is no such file. Paths do not
    /// begin with `/`.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn text(&self, file: &str) -> Result<Option<String>, TuneError> {
        match fs::read_to_string(self.root.join(file)) {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(TuneError::Read { file: format!("/{file}"), cause }),
        }
    }

    /// Names in a directory, sorted; none where there is no such directory.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn names(&self, directory: &str) -> Result<Vec<String>, TuneError> {
        let read = || -> io::Result<Vec<String>> {
            let entries = fs::read_dir(self.root.join(directory))?;
            entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
        };
        match read() {
            Ok(mut names) => {
                names.sort_unstable();
                Ok(names)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(cause) => Err(TuneError::Read { file: format!("/{directory}"), cause }),
        }
    }

    /// Whether `path` is a directory.
    pub(super) fn is_directory(&self, path: &str) -> bool {
        self.root.join(path).is_dir()
    }

    /// Writes `value` into a file that is there, in one call, as the kernel's files want it.
    ///
    /// # Errors
    /// The kernel's.
    pub(super) fn write(&self, file: &str, value: &str) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).truncate(true).open(self.root.join(file))?;
        file.write_all(format!("{value}\n").as_bytes())
    }

    /// What tells this boot from others.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub(super) fn boot_id(&self) -> Result<String, TuneError> {
        let missing =
            || TuneError::Read { file: format!("/{BOOT_ID}"), cause: ErrorKind::NotFound.into() };
        self.text(BOOT_ID)?.ok_or_else(missing)
    }
}

const BOOT_ID: &str = "proc/sys/kernel/random/boot_id";
