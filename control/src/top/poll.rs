//! Asks the server for reports, on a thread of its own: a server that hangs does not hang the screen.

use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use super::controls::Controls;
use super::event::{Event, Polled};
use crate::admin::ClientError;
use crate::cli::server::ServerArgs;
use crate::remote::{self, RemoteError};

/// The thread that asks. It ends when this is dropped, or with the process.
#[derive(Debug)]
pub(super) struct Poller(Sender<Wanted>);

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wanted {
    core: Option<usize>,
    interval: Duration,
}

impl Poller {
    /// Asks `server` every `interval`; reports go to `events`.
    pub(super) fn start(
        server: &ServerArgs,
        interval: Duration,
        events: Sender<Event>,
    ) -> io::Result<Self> {
        let (wanted, changes) = mpsc::channel();
        let server = server.clone();
        let first = Wanted { core: None, interval };
        let poll = move || poll(&server, first, &changes, &events);
        thread::Builder::new().name("poll".into()).spawn(poll)?;
        Ok(Self(wanted))
    }

    /// Asks as `controls` say from now on.
    pub(super) fn set(&self, controls: &Controls) {
        // The thread ends only when nobody takes its reports any more.
        let _ = self.0.send(Wanted { core: controls.core, interval: controls.interval });
    }
}

fn poll(
    server: &ServerArgs,
    mut wanted: Wanted,
    changes: &Receiver<Wanted>,
    events: &Sender<Event>,
) {
    let send = |core| {
        let polled = match remote::stats(server, core) {
            Ok(report) => Polled::Report { core, report: Box::new(report) },
            // Asking for all cores, which comes before, says whatever is to be said.
            Err(_) if core.is_some() => return true,
            Err(RemoteError::Client(
                error @ (ClientError::Nobody { .. } | ClientError::Lost { .. }),
            )) => Polled::NoServer(error.to_string()),
            Err(error) => Polled::NoReport(error.to_string()),
        };
        events.send(Event::Polled(polled)).is_ok()
    };
    let mut due = Instant::now() + wanted.interval.min(FIRST_INTERVAL_MAX);
    let mut is_open = send(None);
    while is_open {
        match changes.recv_timeout(due.saturating_duration_since(Instant::now())) {
            Ok(change) => {
                let is_other = change.core.is_some() && change.core != wanted.core;
                due = due.min(Instant::now() + change.interval);
                wanted = change;
                // What the next report of this core is compared with.
                is_open = !is_other || send(wanted.core);
            }
            Err(RecvTimeoutError::Timeout) => {
                due = Instant::now() + wanted.interval;
                is_open = send(None) && (wanted.core.is_none() || send(wanted.core));
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Rates take two reports; nobody wants to wait a minute for the first.
const FIRST_INTERVAL_MAX: Duration = Duration::from_secs(1);
