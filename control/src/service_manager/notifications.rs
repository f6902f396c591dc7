//! The socket of the service manager, and the last notification: the order of messages is kept here, so
//! that a reload which ends during the way down does not look like a server that is ready again.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::{self, ErrorKind};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sd_notify::NotifyState;

/// A datagram socket, and where it sends to.
#[derive(Debug)]
pub(super) struct NotifySocket {
    socket: UnixDatagram,
    manager: SocketAddr,
}

impl NotifySocket {
    /// For the service manager at `address`: an absolute path, or `@` and an abstract name.
    ///
    /// # Errors
    /// It is neither, or the kernel gives no socket.
    pub(super) fn open(address: &OsStr) -> io::Result<Self> {
        let manager = match address.as_bytes() {
            [b'/', ..] => SocketAddr::from_pathname(address)?,
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            _ => {
                return Err(io::Error::new(ErrorKind::InvalidInput, "not the address of a socket"));
            }
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(SEND_TIMEOUT))?;
        Ok(Self { socket, manager })
    }

    /// Sends one datagram. A manager that does not read blocks this for at most [`SEND_TIMEOUT`].
    fn send(&self, message: &[NotifyState<'_>]) -> io::Result<()> {
        let mut text = String::new();
        for assignment in message {
            let _ = writeln!(text, "{assignment}");
        }
        self.socket.send_to_addr(text.as_bytes(), &self.manager).map(drop)
    }
}

/// Asks for more time before the manager gives up waiting.
pub(super) fn extend(by: Duration) -> NotifyState<'static> {
    NotifyState::ExtendTimeoutUsec(u32::try_from(by.as_micros()).unwrap_or(u32::MAX))
}

/// Messages in their order.
#[derive(Debug)]
pub(super) struct Notifications {
    socket: NotifySocket,
    reported: Mutex<Reported>,
}

/// What the manager knows.
#[derive(Debug, Default)]
struct Reported {
    phase: Phase,
    /// The state as text; during a reload the manager shows that instead.
    status: String,
    /// The last message did not get through: it is in the log.
    failing: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Starting,
    Ready,
    Reloading,
    Stopping,
}

impl Notifications {
    /// Of a process that starts.
    pub(super) fn through(socket: NotifySocket) -> Self {
        Self { socket, reported: Mutex::default() }
    }

    /// Sends what changes no state.
    pub(super) fn send(&self, message: &[NotifyState<'_>]) {
        self.deliver(&mut self.reported(), message);
    }

    /// Sends `status` unless it was the last.
    pub(super) fn status(&self, status: &str) {
        let status = one_line(status);
        let mut reported = self.reported();
        if reported.status == status {
            return;
        }
        if reported.phase != Phase::Reloading {
            self.deliver(&mut reported, &[NotifyState::Status(&status)]);
        }
        reported.status = status;
    }

    pub(super) fn ready(&self, status: &str) {
        let mut reported = self.reported();
        reported.phase = Phase::Ready;
        reported.status = one_line(status);
        let status = reported.status.clone();
        self.deliver(&mut reported, &[NotifyState::Ready, NotifyState::Status(&status)]);
    }

    pub(super) fn reloading(&self) {
        let mut reported = self.reported();
        if reported.phase != Phase::Ready {
            return;
        }
        reported.phase = Phase::Reloading;
        match NotifyState::monotonic_usec_now() {
            Ok(now) => {
                let status = NotifyState::Status("reloading");
                self.deliver(&mut reported, &[NotifyState::Reloading, now, status]);
            }
            Err(error) => tracing::warn!("a reload is not announced: no monotonic clock: {error}"),
        }
    }

    pub(super) fn reloaded(&self) {
        let mut reported = self.reported();
        if reported.phase != Phase::Reloading {
            return;
        }
        reported.phase = Phase::Ready;
        let status = reported.status.clone();
        self.deliver(&mut reported, &[NotifyState::Ready, NotifyState::Status(&status)]);
    }

    /// The way down takes up to `limit` from now.
    pub(super) fn stopping(&self, limit: Duration) {
        let mut reported = self.reported();
        if reported.phase == Phase::Stopping {
            return;
        }
        reported.phase = Phase::Stopping;
        reported.status = "stopping".into();
        let status = NotifyState::Status("stopping");
        self.deliver(&mut reported, &[NotifyState::Stopping, extend(limit), status]);
    }

    fn deliver(&self, reported: &mut Reported, message: &[NotifyState<'_>]) {
        match self.socket.send(message) {
            Ok(()) => reported.failing = false,
            Err(error) => {
                if !reported.failing {
                    tracing::warn!("NOTIFY_SOCKET: the service manager is not reached: {error}");
                }
                reported.failing = true;
            }
        }
    }

    fn reported(&self) -> MutexGuard<'_, Reported> {
        self.reported.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `text` without anything that would end its line: what follows would be an assignment of its own.
fn one_line(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("; ").replace(char::is_control, " ")
}

/// The service manager reads at once, unless the whole machine is in distress.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    /// A service manager: its socket, and what tells it.
    fn manager(directory: &tempfile::TempDir) -> (UnixDatagram, Notifications) {
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket of ours");
        socket.set_nonblocking(true).expect("a socket");
        let notifications =
            Notifications::through(NotifySocket::open(path.as_os_str()).expect("a path"));
        (socket, notifications)
    }

    fn received(socket: &UnixDatagram) -> Vec<Vec<String>> {
        let mut room = [0; 4_096];
        let datagrams =
            std::iter::from_fn(|| socket.recv(&mut room).ok().map(|n| room[..n].to_vec()));
        let lines =
            |d: Vec<u8>| String::from_utf8(d).expect("UTF-8").lines().map(str::to_owned).collect();
        datagrams.map(lines).collect()
    }

    #[test]
    fn messages_are_those_of_the_protocol_in_their_order() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let (socket, notifications) = manager(&directory);
        notifications.reloading();
        assert!(received(&socket).is_empty(), "nothing reloads before it is ready");
        notifications.ready("serving");
        notifications.status("serving");
        notifications.reloading();
        notifications.status("draining");
        notifications.reloaded();
        notifications.reloaded();
        let mut all = received(&socket);
        let stamp = all[1].remove(1);
        let micros = stamp.strip_prefix("MONOTONIC_USEC=").and_then(|n| n.parse::<u64>().ok());
        assert!(micros.is_some_and(|micros| micros > 0), "{stamp}");
        let expected = [
            ["READY=1", "STATUS=serving"],
            ["RELOADING=1", "STATUS=reloading"],
            ["READY=1", "STATUS=draining"],
        ];
        assert_eq!(all, expected);
    }

    #[test]
    fn what_stops_is_not_ready_again() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let (socket, notifications) = manager(&directory);
        notifications.ready("serving");
        notifications.reloading();
        received(&socket);
        notifications.stopping(Duration::from_secs(2));
        notifications.stopping(Duration::from_secs(3));
        notifications.reloaded();
        notifications.reloading();
        let all = received(&socket);
        assert_eq!(all, [["STOPPING=1", "EXTEND_TIMEOUT_USEC=2000000", "STATUS=stopping"]]);
    }

    #[test]
    fn a_status_is_one_line() {
        assert_eq!(one_line("a\nREADY=1\n\n b\tc\n"), "a; READY=1; b c");
        assert_eq!(one_line("a\rREADY=1"), "a READY=1");
    }

    #[test]
    fn addresses_are_paths_and_abstract_names() {
        for good in ["/run/systemd/notify", "@name"] {
            assert!(NotifySocket::open(OsStr::new(good)).is_ok(), "{good}");
        }
        for wrong in ["notify", "vsock:2:9", "./notify"] {
            assert!(NotifySocket::open(OsStr::new(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_manager_that_is_gone_is_no_reason_to_end() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let (socket, notifications) = manager(&directory);
        drop(socket);
        notifications.ready("serving");
        assert!(notifications.reported().failing);
    }
}
