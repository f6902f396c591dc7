//! The progress of a load for whoever waits at a terminal.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use crate::progress::Progress;

/// One line on a terminal that is written over and removed at the end; nothing elsewhere, where standard error is what a
/// command found wrong.
#[derive(Debug)]
pub(crate) struct ProgressLine {
    is_on_terminal: bool,
}

impl ProgressLine {
    /// On standard error.
    pub(crate) fn new() -> Self {
        Self { is_on_terminal: io::stderr().is_terminal() }
    }

    /// Shows how far it is. That nobody can read it is no reason to stop.
    pub(crate) fn show(&self, progress: &Progress) {
        if self.is_on_terminal {
            let line: String =
                progress.line().chars().filter(|c| !c.is_control()).take(WIDTH).collect();
            let _ = write!(io::stderr(), "{CLEAR}{line}");
        }
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        if self.is_on_terminal {
            let _ = write!(io::stderr(), "{CLEAR}");
        }
    }
}

/// How often it is to be shown.
pub(crate) const DRAW_EVERY: Duration = Duration::from_millis(200);
/// To the first column, and nothing after it.
const CLEAR: &str = "\r\x1b[K";
/// A line that wraps is not written over.
const WIDTH: usize = 79;
