//! What the live view reacts to.

use std::io;

use ratatui::crossterm::event::KeyEvent;

use crate::stats::Report;

/// Something that happened.
#[derive(Debug)]
pub(super) enum Event {
    /// A report came, or none could be had.
    Polled(Polled),
    /// A key, a new size, a signal.
    Input(Input),
}

/// What came of asking.
#[derive(Debug)]
pub(super) enum Polled {
    /// A report of this core, or of all.
    Report { core: Option<usize>, report: Box<Report> },
    /// There is nobody to ask.
    NoServer(String),
    /// Somebody is there and does not report.
    NoReport(String),
}

/// One thing that came.
#[derive(Debug)]
pub(super) enum Input {
    /// A key was pressed.
    Key(KeyEvent),
    /// The terminal has another size.
    Resized,
    /// SIGTERM, SIGINT or SIGHUP.
    Signal,
    /// The terminal is gone.
    Failed(io::Error),
}
