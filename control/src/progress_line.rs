//! The progress of a load for whoever waits at a terminal, or reads what a command writes to standard error.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use crate::progress::{LOG_EVERY, Progress};

/// One line on a terminal that is written over and removed at the end; elsewhere a line from time to time.
#[derive(Debug, Default)]
pub(crate) struct ProgressLine {
    is_on_terminal: bool,
}

impl ProgressLine {
    /// How often it is to be shown.
    pub(crate) fn every(&self) -> Duration {
        if io::stderr().is_terminal() { DRAW_EVERY } else { LOG_EVERY }
    }

    /// Shows how far it is. That nobody can read it is no reason to stop.
    pub(crate) fn show(&mut self, progress: &Progress) {
        let line: String =
            progress.line().chars().filter(|c| !c.is_control()).take(WIDTH).collect();
        self.is_on_terminal = io::stderr().is_terminal();
        let _ = match self.is_on_terminal {
            true => write!(io::stderr(), "{CLEAR}{line}"),
            false => writeln!(io::stderr(), "loading: {line}"),
        };
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        if self.is_on_terminal {
            let _ = write!(io::stderr(), "{CLEAR}");
        }
    }
}

const DRAW_EVERY: Duration = Duration::from_millis(200);
/// To the first column, and nothing after it.
const CLEAR: &str = "\r\x1b[K";
/// A line that wraps is not written over.
const WIDTH: usize = 79;
