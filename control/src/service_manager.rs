//! Notifications to the service manager: the notification protocol of systemd, sd_notify(3).
//!
//! `NOTIFY_SOCKET` names its socket; without the variable nothing is sent. Only `pollux serve` reads it, and it
//! starts no other programs that could inherit it. The protocol is datagrams of `KEY=VALUE` lines:
//!
//! | when | datagram |
//! |---|---|
//! | data and databases are read at the start | `EXTEND_TIMEOUT_USEC`, again and again |
//! | the port answers | `READY=1` |
//! | a reload begins | `RELOADING=1`, `MONOTONIC_USEC` |
//! | a reload is over, done or refused | `READY=1` |
//! | the way down begins | `STOPPING=1`, `EXTEND_TIMEOUT_USEC` with the time to drain |
//! | every core turns | `WATCHDOG=1` ([`Watchdog`]) |
//!
//! and `STATUS` whenever the state changes, which `systemctl status` shows.

mod notifications;
mod watchdog;

use std::env;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{self, JoinHandle};
use tokio::time;

use crate::failure::Failure;
use crate::lifecycle::State;
use notifications::{Notifications, NotifySocket};

pub(crate) use watchdog::Watchdog;

/// The service manager, if there is one. Clones tell the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServiceManager(Option<Arc<Notifications>>);

impl ServiceManager {
    /// Whoever started this process, by `NOTIFY_SOCKET`. An address that is none is a warning.
    pub(crate) fn from_environment() -> Self {
        let Some(address) = env::var_os(NOTIFY_SOCKET).filter(|address| !address.is_empty()) else {
            return Self::default();
        };
        match NotifySocket::open(&address) {
            Ok(socket) => Self::notifying(socket),
            Err(error) => {
                tracing::warn!(
                    "{NOTIFY_SOCKET}={}: {error}; the service manager is not notified. It must be the path of \
                     a datagram socket, or an abstract one as @NAME",
                    address.display()
                );
                Self::default()
            }
        }
    }

    fn notifying(socket: NotifySocket) -> Self {
        Self(Some(Arc::new(Notifications::through(socket))))
    }

    /// Until the value returned is dropped, the start may take longer than the service manager would wait.
    /// Must be called inside of the runtime.
    pub(crate) fn loading(&self) -> Loading {
        let Some(notifications) = self.0.clone() else { return Loading(None) };
        // At once: what is read may be there before the task has its turn.
        notifications.send(&[notifications::extend(EXTEND_BY)]);
        notifications.status("starting: reading data, asking databases");
        Loading(Some(task::spawn(async move {
            loop {
                time::sleep(EXTEND_EVERY).await;
                notifications.send(&[notifications::extend(EXTEND_BY)]);
            }
        })))
    }

    /// The port answers, and `status` says where.
    pub(crate) fn ready(&self, status: &str) {
        self.notify(|notifications| notifications.ready(status));
    }

    /// A reload begins. What is returned says, when it is dropped, that it is over.
    pub(crate) fn reloading(&self) -> Reloading {
        self.notify(Notifications::reloading);
        Reloading(self.clone())
    }

    /// The state of the server, with its open connections.
    pub(crate) fn state(&self, state: State, url: &str, connections: u64) {
        self.notify(|notifications| notifications.status(&describe(state, url, connections)));
    }

    /// The way down begins, and takes up to `limit`.
    pub(crate) fn stopping(&self, limit: Duration) {
        self.notify(|notifications| notifications.stopping(limit.saturating_add(RELEASE_MAX)));
    }

    /// The process ends because of `failure`.
    pub(crate) fn failed(&self, failure: &Failure) {
        self.notify(|notifications| notifications.status(&format!("failed: {failure}")));
    }

    fn notify(&self, message: impl FnOnce(&Notifications)) {
        if let Some(notifications) = &self.0 {
            message(notifications);
        }
    }
}

/// Asks for more time as long as it lives.
#[derive(Debug)]
pub(crate) struct Loading(Option<JoinHandle<()>>);

impl Drop for Loading {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// A reload that is under way.
#[derive(Debug)]
pub(crate) struct Reloading(ServiceManager);

impl Drop for Reloading {
    fn drop(&mut self) {
        self.0.notify(Notifications::reloaded);
    }
}

/// What the server does, for people.
fn describe(state: State, url: &str, connections: u64) -> String {
    match state {
        State::Serving => format!("serving {url}"),
        State::Drained => "drained: no connections are left, none are accepted".into(),
        State::Draining | State::Stopping => {
            format!("{}: {connections} connections are left", state.name())
        }
    }
}

const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";
/// How often more time is asked for, and how much: some are missed without harm.
const EXTEND_EVERY: Duration = Duration::from_secs(2);
const EXTEND_BY: Duration = Duration::from_secs(15);
/// From the end of the drain to the end of the process: workers, ports and hugepages.
const RELEASE_MAX: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_happens_without_a_service_manager() {
        let nobody = ServiceManager::default();
        nobody.ready("serving");
        drop(nobody.reloading());
        nobody.stopping(Duration::MAX);
        assert!(Watchdog::of(&nobody, Some(Duration::from_secs(1))).is_none(), "nobody to feed");
    }

    #[test]
    fn a_state_has_the_connections_that_are_left() {
        assert_eq!(describe(State::Serving, "http://a/", 7), "serving http://a/");
        assert_eq!(describe(State::Draining, "", 7), "draining: 7 connections are left");
        assert_eq!(describe(State::Stopping, "", 0), "stopping: 0 connections are left");
        assert!(describe(State::Drained, "", 0).starts_with("drained: "));
    }

    #[test]
    fn more_time_is_at_most_what_fits() {
        assert_eq!(
            notifications::extend(Duration::from_secs(15)).to_string(),
            "EXTEND_TIMEOUT_USEC=15000000"
        );
        assert_eq!(
            notifications::extend(Duration::MAX).to_string(),
            "EXTEND_TIMEOUT_USEC=4294967295"
        );
    }
}
