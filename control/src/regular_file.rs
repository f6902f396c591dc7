//! Opens regular files and directories, and nothing else: what is no file is found out before it is opened
//! for reading, so that a FIFO without a writer, a device or a socket makes nobody wait.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::Mode;
use nix::unistd::{AccessFlags, access};

/// What a name leads to.
#[derive(Debug)]
pub(crate) enum Opened {
    /// A regular file, open for reading.
    File(File, Metadata),
    /// A directory.
    Directory(Metadata),
    /// Something else, by the word for it. It was not opened.
    Other(&'static str),
}

/// The regular file, or whatever else, that `path` leads to. Symbolic links are followed: somebody named it.
///
/// # Errors
/// It is not there, or may not be read.
pub(crate) fn open(path: &Path) -> io::Result<Opened> {
    let open = |flags: OFlag| -> io::Result<File> {
        OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)
    };
    open_with(open)
}

/// What `path` leads to, if that is not a regular file that can be read. It is not opened: to close a
/// descriptor of an SQLite file would release the locks that SQLite has on it (POSIX locks).
///
/// # Errors
/// It is not there, or may not be read.
pub(crate) fn look(path: &Path) -> io::Result<Option<&'static str>> {
    let found =
        OpenOptions::new().read(true).custom_flags(OFlag::O_PATH.bits()).open(path)?.metadata()?;
    if !found.is_file() {
        return Ok(Some(match other(&found) {
            Opened::Other(found) => found,
            Opened::File(..) | Opened::Directory(_) => DIRECTORY,
        }));
    }
    access(path, AccessFlags::R_OK)?;
    Ok(None)
}

/// A directory whose files are opened by their names below it.
#[derive(Debug)]
pub(crate) struct Root {
    directory: OwnedFd,
    /// Whether no symbolic link may lead out of it.
    beneath: bool,
}

impl Root {
    /// The directory at `path`, wherever symbolic links lead. Those below it must stay in it if `beneath` is set.
    ///
    /// # Errors
    /// It is not there, is no directory, or may not be read.
    pub(crate) fn open(path: &Path, beneath: bool) -> io::Result<Self> {
        let flags = (OFlag::O_DIRECTORY | OFlag::O_NONBLOCK).bits();
        let directory = OpenOptions::new().read(true).custom_flags(flags).open(path)?.into();
        Ok(Self { directory, beneath })
    }

    /// What `name`, a path below the directory, leads to.
    ///
    /// # Errors
    /// It is not there, or may not be read. `EXDEV`: a symbolic link leads out of the directory.
    pub(crate) fn find(&self, name: &Path) -> io::Result<Opened> {
        open_with(|flags| self.resolve(name, flags).map(File::from))
    }

    /// The names in the directory `name` below this one; of the directory itself where that is empty.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub(crate) fn list(&self, name: &Path) -> io::Result<Dir> {
        let name = if name.as_os_str().is_empty() { Path::new(".") } else { name };
        let directory = self.resolve(name, OFlag::O_DIRECTORY | OFlag::O_NONBLOCK)?;
        Ok(Dir::from_fd(directory)?)
    }

    fn resolve(&self, name: &Path, flags: OFlag) -> io::Result<OwnedFd> {
        let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(match self.beneath {
            true => ResolveFlag::RESOLVE_BENEATH,
            false => ResolveFlag::empty(),
        });
        let mut tries = RESOLVE_TRIES;
        loop {
            match openat2(&self.directory, name, how) {
                // openat2(2): something was renamed beside a `..` of a link, and it may lead elsewhere now.
                Err(Errno::EAGAIN | Errno::EINTR) if tries > 0 => tries -= 1,
                // Old kernels, and containers whose filter of system calls is older than this one (systemd-nspawn 252).
                Err(Errno::ENOSYS | Errno::EPERM) => return self.resolve_and_look(name, flags),
                opened => return Ok(opened?),
            }
        }
    }

    /// As [`resolve`](Self::resolve), without openat2(2): what was opened says where it is, so nobody can exchange
    /// anything between the look and the opening.
    fn resolve_and_look(&self, name: &Path, flags: OFlag) -> io::Result<OwnedFd> {
        let opened = openat(&self.directory, name, flags | OFlag::O_CLOEXEC, Mode::empty())?;
        if self.beneath && !place(&opened)?.starts_with(place(&self.directory)?) {
            return Err(Errno::EXDEV.into());
        }
        Ok(opened)
    }
}

/// Where what is open is now: proc_pid_fd(5).
fn place(opened: &OwnedFd) -> io::Result<PathBuf> {
    fs::read_link(format!("/proc/self/fd/{}", opened.as_raw_fd()))
}

/// Looks first, without opening (`O_PATH`), then opens without waiting, and looks again at what was opened.
fn open_with(open: impl Fn(OFlag) -> io::Result<File>) -> io::Result<Opened> {
    let metadata = open(OFlag::O_PATH)?.metadata()?;
    if !metadata.is_file() {
        return Ok(other(&metadata));
    }
    let file = open(OFlag::O_NONBLOCK | OFlag::O_NOCTTY)?;
    let metadata = file.metadata()?;
    Ok(if metadata.is_file() { Opened::File(file, metadata) } else { other(&metadata) })
}

fn other(metadata: &Metadata) -> Opened {
    let kind = metadata.file_type();
    if kind.is_dir() {
        return Opened::Directory(metadata.clone());
    }
    Opened::Other(match () {
        () if kind.is_fifo() => "a FIFO",
        () if kind.is_socket() => "a socket",
        () if kind.is_char_device() || kind.is_block_device() => "a device",
        () => "something that is no file",
    })
}

/// The bytes of the regular file at `path`.
///
/// # Errors
/// As [`open`] and [`read`]; or it is something else.
pub(crate) fn read_at(path: &Path) -> io::Result<Vec<u8>> {
    let found = match open(path)? {
        Opened::File(mut file, metadata) => return read(&mut file, &metadata),
        Opened::Directory(_) => DIRECTORY,
        Opened::Other(found) => found,
    };
    Err(io::Error::other(format!("it is {found}, and no regular file")))
}

/// The bytes of an open file.
///
/// # Errors
/// It cannot be read, has no room in memory, or grows while it is read.
pub(crate) fn read(file: &mut File, metadata: &Metadata) -> io::Result<Vec<u8>> {
    let len = usize::try_from(metadata.len()).map_err(|_| io::ErrorKind::OutOfMemory)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
    // Files of procfs say that they are empty, and a log may grow: more than the length is read, but not for ever.
    let most = metadata.len().saturating_add(GROWTH_MAX);
    file.take(most).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == most {
        return Err(io::Error::other("a file that grows while it is read"));
    }
    Ok(bytes)
}

/// The word for one.
pub(crate) const DIRECTORY: &str = "a directory";
/// Bytes that a file may grow by while it is read.
const GROWTH_MAX: u64 = 1 << 24;
/// A rename in every try is no accident.
const RESOLVE_TRIES: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn without_openat2_a_link_leads_within_the_directory_or_nowhere() {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let inside = scratch.path().join("inside");
        fs::create_dir_all(inside.join("d")).expect("writable");
        fs::create_dir(scratch.path().join("inside-not")).expect("writable");
        fs::write(inside.join("d/a"), "a").expect("writable");
        fs::write(scratch.path().join("inside-not/b"), "b").expect("writable");
        symlink("d/a", inside.join("within")).expect("links");
        symlink("../inside-not/b", inside.join("out")).expect("links");
        symlink("..", inside.join("up")).expect("links");
        let root = |beneath| Root::open(&inside, beneath).expect("it is there");
        let read = |beneath, name: &str| -> io::Result<String> {
            let opened = root(beneath).resolve_and_look(Path::new(name), OFlag::O_RDONLY)?;
            io::read_to_string(File::from(opened))
        };
        assert_eq!(read(true, "d/a").expect("a file"), "a");
        assert_eq!(read(true, "within").expect("a file"), "a");
        for out in ["out", "up/inside-not/b", "/dev/null"] {
            let error = read(true, out).expect_err("it leads out");
            assert_eq!(error.raw_os_error(), Some(Errno::EXDEV as i32), "{out}");
        }
        assert_eq!(read(false, "out").expect("it may"), "b");
        assert_eq!(read(true, "none").expect_err("no file").kind(), io::ErrorKind::NotFound);
    }
}
