//! Whether a server of the plan's name runs: whatever it holds is not missing.

use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use tokio::net::UnixStream;
use tokio::runtime;

use super::report::{Check, Finding};
use crate::admin;
use crate::host::{Host, quoted};

/// The server of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Server {
    /// There is none.
    Absent,
    /// It is dead, and has left its socket.
    Dead,
    /// It listens.
    Live {
        /// Its process, if the kernel tells.
        process: Option<u32>,
    },
    /// Nobody can tell, and why.
    Unknown(String),
}

impl Server {
    /// Looks for the one called `name`, whose socket is in `directory`.
    pub(super) fn find(host: &Host, directory: &Path, name: &str) -> Self {
        let path = socket(host, directory, name);
        // A link where root has linked it: a service's socket is in a directory of its own.
        match path.metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound => Self::Absent,
            Err(error) => Self::Unknown(format!("{}: {error}", path.display())),
            Ok(found) if !found.file_type().is_socket() => {
                Self::Unknown(format!("{} is not a socket", path.display()))
            }
            Ok(_) => connect(&path),
        }
    }

    /// Whether it runs.
    pub(super) fn is_live(&self) -> bool {
        matches!(self, Self::Live { .. })
    }

    /// Its process.
    pub(super) fn process(&self) -> Option<u32> {
        match self {
            Self::Live { process } => *process,
            Self::Absent | Self::Dead | Self::Unknown(_) => None,
        }
    }

    /// Whether it runs in another network namespace than this process does.
    pub(super) fn is_elsewhere(&self, host: &Host) -> bool {
        let namespace = |process: &str| host.target(&format!("proc/{process}/ns/net"));
        let theirs = self.process().and_then(|process| namespace(&process.to_string()));
        theirs.is_some_and(|theirs| namespace("self").is_some_and(|ours| ours != theirs))
    }

    /// What there is to say of it.
    pub(super) fn assess(&self, host: &Host, directory: &Path, name: &str) -> Finding {
        let check = Check::Server;
        let path = socket(host, directory, name);
        match self {
            Self::Absent => Finding::ok(check, format!("no server called {name} runs")),
            Self::Dead => {
                let found = format!("{} was left by a server that has ended", path.display());
                Finding::warn(check, found, format!("rm {}", quoted(&path)))
            }
            Self::Live { process } => {
                let process = process.map(|id| format!(" (process {id})")).unwrap_or_default();
                let place =
                    if self.is_elsewhere(host) { ", in another network namespace" } else { "" };
                let found = format!("a server called {name} runs{process}{place}");
                Finding::ok(check, found)
            }
            Self::Unknown(why) => Finding::unknown(check, why),
        }
    }
}

fn socket(host: &Host, directory: &Path, name: &str) -> PathBuf {
    // Joining an absolute path would leave the root of the host behind.
    let below = directory.strip_prefix("/").unwrap_or(directory);
    admin::path(&host.path(below), name)
}

fn connect(path: &Path) -> Server {
    let connected =
        runtime::Builder::new_current_thread().enable_io().build().and_then(|runtime| {
            runtime.block_on(async {
                let stream = UnixStream::connect(path).await?;
                Ok(stream.peer_cred().ok().and_then(|peer| peer.pid()))
            })
        });
    match connected {
        Ok(process) => Server::Live { process: process.and_then(|id| u32::try_from(id).ok()) },
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Server::Dead,
        Err(error) if error.kind() == ErrorKind::NotFound => Server::Absent,
        // Somebody listens who is too busy to take one more client.
        Err(error) if error.kind() == ErrorKind::WouldBlock => Server::Live { process: None },
        Err(error) => Server::Unknown(format!("{}: {error}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::super::report::State;
    use super::super::report::expect_one;
    use super::*;
    use crate::host::captured::Captured;

    #[test]
    fn a_socket_tells_whether_its_server_lives() {
        let captured = Captured::new().folder("run/pollux");
        let host = captured.host();
        assert_eq!(Server::find(&host, Path::new("/run/pollux"), "a"), Server::Absent);
        let path = captured.root().join("run/pollux/a.sock");
        let listener = UnixListener::bind(&path).expect("binds");
        let live = Server::find(&host, Path::new("/run/pollux"), "a");
        assert_eq!(live, Server::Live { process: Some(std::process::id()) });
        // A service's socket, as root links it.
        symlink(&path, captured.root().join("run/pollux/linked.sock")).expect("links");
        let linked = Server::find(&host, Path::new("/run/pollux"), "linked");
        assert_eq!(linked, live);
        let words = ["a server called a runs", "(process "];
        expect_one(&[live.assess(&host, Path::new("/run/pollux"), "a")], State::Ok, &words, None);
        drop(listener);
        let dead = Server::find(&host, Path::new("/run/pollux"), "a");
        assert_eq!(dead, Server::Dead);
        let fix = format!("rm {}", path.display());
        expect_one(
            &[dead.assess(&host, Path::new("/run/pollux"), "a")],
            State::Warn,
            &["has ended"],
            Some(&fix),
        );
    }

    #[test]
    fn something_else_is_unknown() {
        let captured = Captured::new().file("run/pollux/a.sock", "mine");
        let server = Server::find(&captured.host(), Path::new("/run/pollux"), "a");
        let words = ["unknown: ", "is not a socket"];
        expect_one(
            &[server.assess(&captured.host(), Path::new("/run/pollux"), "a")],
            State::Warn,
            &words,
            None,
        );
    }

    #[test]
    fn namespaces_are_told_apart() {
        let captured = Captured::new()
            .symlink("proc/self/ns/net", "net:[1]")
            .symlink("proc/7/ns/net", "net:[1]")
            .symlink("proc/8/ns/net", "net:[2]");
        let host = captured.host();
        assert!(!Server::Live { process: Some(7) }.is_elsewhere(&host));
        assert!(Server::Live { process: Some(8) }.is_elsewhere(&host));
        assert!(!Server::Live { process: Some(9) }.is_elsewhere(&host));
    }
}
