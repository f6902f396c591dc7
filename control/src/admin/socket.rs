//! Where the admin socket is, and whose it is: one server for each name.
//!
//! The socket is bound before any device is touched, so that a second server of the same name ends at
//! once. A socket that a dead process left is replaced; who does so holds a lock on the directory, so
//! that of two servers that start together one wins.

use std::fs::{
    DirBuilder, File, Permissions, TryLockError, remove_file, set_permissions, symlink_metadata,
};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::net::{UnixListener, UnixStream};
use tokio::time::sleep;

use crate::failure::CommandError;

/// Why there is no admin socket.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SocketError {
    /// Another process listens on it.
    #[error(
        "{}: a server of this name runs already{}; stop it, or give this one a name of its own with \
         --set admin.name=NAME",
        path.display(),
        process.map_or_else(String::new, |id| format!(" (process {id})"))
    )]
    Live {
        /// The socket.
        path: PathBuf,
        /// Its process, if the kernel tells.
        process: Option<i32>,
    },
    /// Something else has its name.
    #[error("{}: expected a socket or nothing, found something else; take it away", path.display())]
    NotASocket { path: PathBuf },
    /// The system refuses.
    #[error(
        "{}: the admin socket could not be made: {cause}; run as root, or let this user write there",
        path.display()
    )]
    Unmade { path: PathBuf, cause: io::Error },
}

impl CommandError for SocketError {}

/// A bound socket. Dropping it takes its name away.
#[derive(Debug)]
pub(crate) struct Socket {
    /// Where clients arrive.
    pub(super) listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// Takes the socket for the server called `name` in `directory`, which is made if it is not there.
    /// Must be called inside a runtime.
    ///
    /// # Errors
    /// A server of that name runs, or the system refuses.
    pub(crate) async fn take(directory: &Path, name: &str) -> Result<Self, SocketError> {
        let path = path(directory, name);
        let unmade = |cause| SocketError::Unmade { path: path.clone(), cause };
        DirBuilder::new()
            .recursive(true)
            .mode(DIRECTORY_MODE)
            .create(directory)
            .map_err(|cause| SocketError::Unmade { path: directory.into(), cause })?;
        let turn = File::open(directory).map_err(unmade)?;
        lock(&turn).await.map_err(unmade)?;
        if symlink_metadata(&path).is_ok() {
            clear(&path).await?;
        }
        let listener = UnixListener::bind(&path).map_err(unmade)?;
        let socket = Self { listener, path: path.clone() };
        set_permissions(&path, Permissions::from_mode(SOCKET_MODE)).map_err(unmade)?;
        Ok(socket)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Err(error) = remove_file(&self.path) {
            tracing::warn!("{}: the admin socket stays behind: {error}", self.path.display());
        }
    }
}

/// Whether a server may be called `name`: it is part of the socket's.
pub(crate) fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=NAME_LEN_MAX).contains(&name.len()) && name.bytes().all(plain) && !name.starts_with('.')
}

/// What [`is_name`] accepts, in words.
pub(crate) const NAME: &str = "1 to 64 letters, digits, `.`, `_` or `-`, not beginning with `.`";

/// The socket of the server called `name` in `directory`.
pub(crate) fn path(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.sock"))
}

/// Locks a directory. Servers hold the lock for milliseconds; whoever else holds it, which takes no
/// more than the right to read the directory, must not keep a server from starting.
async fn lock(directory: &File) -> io::Result<()> {
    let deadline = Instant::now() + LOCK_TIMEOUT;
    loop {
        match directory.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if Instant::now() > deadline => {
                let problem = "another process holds a lock on its directory";
                return Err(io::Error::new(ErrorKind::WouldBlock, problem));
            }
            Err(TryLockError::WouldBlock) => sleep(LOCK_AGAIN).await,
        }
    }
}

/// Takes away a socket on which nobody listens.
async fn clear(path: &Path) -> Result<(), SocketError> {
    let unmade = |cause| SocketError::Unmade { path: path.into(), cause };
    if !symlink_metadata(path).map_err(unmade)?.file_type().is_socket() {
        return Err(SocketError::NotASocket { path: path.into() });
    }
    let process = match UnixStream::connect(path).await {
        Ok(stream) => stream.peer_cred().ok().and_then(|peer| peer.pid()),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            return remove_file(path).map_err(unmade);
        }
        // It went away meanwhile: its server has ended.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        // Somebody listens who is too busy to take one more client.
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        Err(error) => return Err(unmade(error)),
    };
    Err(SocketError::Live { path: path.into(), process })
}

const NAME_LEN_MAX: usize = 64;
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);
const LOCK_AGAIN: Duration = Duration::from_millis(10);
const DIRECTORY_MODE: u32 = 0o755;
/// Its owner and group may give commands.
const SOCKET_MODE: u32 = 0o660;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        let longest = "x".repeat(NAME_LEN_MAX);
        for good in ["a", "pollux", "web-1.example_2", &longest] {
            assert!(is_name(good), "{good:?}");
        }
        let longer = "x".repeat(NAME_LEN_MAX + 1);
        for bad in ["", ".", "..", ".hidden", "a/b", "a b", "\u{e9}", "a\0", &longer] {
            assert!(!is_name(bad), "{bad:?}");
        }
    }

    #[tokio::test]
    async fn a_socket_is_there_while_its_server_is() {
        let place = tempfile::tempdir().expect("temporary directory");
        let directory = place.path().join("not/yet");
        let socket = Socket::take(&directory, "a").await.expect("is free");
        let path = directory.join("a.sock");
        let mode = symlink_metadata(&path).expect("is there").permissions().mode();
        assert_eq!(mode & 0o777, SOCKET_MODE);
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_name_is_taken_once() {
        let place = tempfile::tempdir().expect("temporary directory");
        let first = Socket::take(place.path(), "a").await.expect("is free");
        let _other = Socket::take(place.path(), "b").await.expect("another name is free");
        let error = Socket::take(place.path(), "a").await.expect_err("is taken").to_string();
        let path = place.path().join("a.sock");
        assert!(error.starts_with(&format!("{}: ", path.display())), "{error}");
        assert!(error.contains(&format!("(process {})", std::process::id())), "{error}");
        assert!(error.contains("--set admin.name=NAME"), "{error}");
        assert!(path.exists(), "the one that runs keeps its socket");
        drop(first);
        Socket::take(place.path(), "a").await.expect("is free again");
    }

    #[tokio::test]
    async fn what_a_dead_process_left_is_replaced() {
        let place = tempfile::tempdir().expect("temporary directory");
        let path = place.path().join("a.sock");
        // Closing the listener leaves the name, as the end of a process does.
        drop(std::os::unix::net::UnixListener::bind(&path).expect("binds"));
        assert!(path.exists());
        let socket = Socket::take(place.path(), "a").await.expect("is replaced");
        UnixStream::connect(&path).await.expect("somebody listens");
        drop(socket);
    }

    #[tokio::test]
    async fn a_lock_of_somebody_else_does_not_block_for_ever() {
        let place = tempfile::tempdir().expect("temporary directory");
        let held = File::open(place.path()).expect("readable");
        held.lock().expect("is free");
        let error = Socket::take(place.path(), "a").await.expect_err("is held").to_string();
        assert!(error.contains("another process holds a lock"), "{error}");
        drop(held);
        Socket::take(place.path(), "a").await.expect("is free");
    }

    #[tokio::test]
    async fn a_file_of_somebody_else_stays() {
        let place = tempfile::tempdir().expect("temporary directory");
        let path = place.path().join("a.sock");
        std::fs::write(&path, "mine").expect("writable");
        let error = Socket::take(place.path(), "a").await.expect_err("is refused");
        assert!(matches!(error, SocketError::NotASocket { .. }), "{error}");
        assert_eq!(std::fs::read(&path).expect("is there"), b"mine");
    }
}
