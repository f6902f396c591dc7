//! One file, whatever its path names later, and whether its contents have changed.

use std::fs::{self, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::fcntl::OFlag;

/// A file without access to its contents (`O_PATH`). While this exists no other file has its inode number.
///
/// Any other descriptor of a database would release SQLite's locks when it is closed: POSIX locks belong to
/// the process and the inode, not to the descriptor.
#[derive(Debug)]
pub(super) struct FileHandle {
    handle: fs::File,
    identity: Identity,
}

/// Tells a file from any other that exists at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

/// What changes with the contents of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    bytes: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    /// The same, of contents or inode. Unlike `modified`, nobody can set it.
    changed: (i64, i64),
}

impl FileHandle {
    /// The file that `path` names now.
    ///
    /// # Errors
    /// It is not there, or is no regular file.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let handle = options.read(true).custom_flags(OFlag::O_PATH.bits()).open(path)?;
        let metadata = handle.metadata()?;
        if !metadata.is_file() {
            // SQLite would wait for a writer of a FIFO.
            return Err(io::Error::other("it is no regular file"));
        }
        let identity = Identity::of(&metadata);
        Ok(Self { handle, identity })
    }

    /// Whether `path` names this file.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|metadata| Identity::of(&metadata) == self.identity)
    }

    /// Whether both are the same file.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.identity == other.identity
    }

    /// The version of its contents.
    ///
    /// # Errors
    /// The file system does not say.
    pub(super) fn version(&self) -> io::Result<Version> {
        Ok(Version::of(&self.handle.metadata()?))
    }

    /// Whether the contents have been the same since they had this version, with the file at `path`.
    ///
    /// A change of the inode alone counts as one of the contents as long as `path` names the file: contents can be
    /// copied with their time, and it can be opened again. To rename another file over it changes the inode too.
    pub(super) fn is_still(&self, version: &Version, path: &Path) -> bool {
        self.version()
            .is_ok_and(|now| now == *version || (now.is_alike(version) && !self.is_at(path)))
    }

    /// Waits until a further change would be seen as one, at most [`SETTLE_MAX`]: somebody may write to it
    /// all the time. It blocks.
    pub(super) fn settle(&self) {
        let until = Instant::now() + SETTLE_MAX;
        while self.version().is_ok_and(|version| !version.is_settled()) && Instant::now() < until {
            thread::sleep(SETTLE_LOOK_EVERY);
        }
    }
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

impl Version {
    fn of(metadata: &Metadata) -> Self {
        Self {
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether the file has no contents.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    fn is_alike(&self, other: &Self) -> bool {
        (self.bytes, self.modified) == (other.bytes, other.modified)
    }

    /// Whether a change from now on gets another time than the last one: the clock of a file system may
    /// advance with the kernel's ticks only.
    pub(super) fn is_settled(&self) -> bool {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (seconds, nanos) = self.changed;
        let changed = i128::from(seconds) * NANOS_PER_SECOND + i128::from(nanos);
        let elapsed = i128::try_from(since_epoch.as_nanos()).unwrap_or(i128::MAX) - changed;
        elapsed >= SETTLED_AFTER_NANOS
    }
}

const NANOS_PER_SECOND: i128 = 1_000_000_000;
/// Two ticks of a kernel with 100 a second, the fewest there are.
const SETTLED_AFTER_NANOS: i128 = 20_000_000;
const SETTLE_LOOK_EVERY: Duration = Duration::from_millis(5);
const SETTLE_MAX: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_keeps_its_identity_when_another_takes_its_name() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let (path, other) = (directory.path().join("a"), directory.path().join("b"));
        fs::write(&path, "first").expect("writes");
        fs::write(&other, "second").expect("writes");
        let file = FileHandle::open(&path).expect("is there");
        file.settle();
        let before = file.version().expect("a version");
        assert!(before.is_settled() && file.is_at(&path) && file.is_still(&before, &path));
        fs::hard_link(&path, directory.path().join("kept")).expect("the same file system");
        assert!(!file.is_still(&before, &path), "who knows");
        fs::rename(&other, &path).expect("replaces");
        assert!(!file.is_at(&path));
        assert!(!file.is_same(&FileHandle::open(&path).expect("is there")));
        assert!(file.is_still(&before, &path), "it was renamed over and no more");
        fs::write(directory.path().join("kept"), "other").expect("writes");
        assert!(!file.is_still(&before, &path));
    }

    #[test]
    fn what_was_just_written_has_not_settled() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("a");
        fs::write(&path, "first").expect("writes");
        let file = FileHandle::open(&path).expect("is there");
        let before = file.version().expect("a version");
        let in_an_hour = before.changed.0 + 3600;
        assert!(
            !Version { changed: (in_an_hour, 0), ..before }.is_settled(),
            "a clock was set back"
        );
        file.settle();
        assert!(before.is_settled());
        fs::write(&path, "other").expect("writes");
        assert!(!file.is_still(&before, &path));
    }
}
