//! The progress of a load for whoever waits at a terminal.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use handlers::BuildReadings;

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
            let line = line(progress);
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

/// What fits on one line; while a site is compiled, whose total is known, a bar.
fn line(progress: &Progress) -> String {
    let text = match progress.compiled() {
        Some(compiled) => bar(compiled),
        None => progress.line(),
    };
    text.chars().filter(|c| !c.is_control()).take(WIDTH).collect()
}

/// `compiling the site [######------------------]  25 %, 12500 of 50000 files`.
fn bar(BuildReadings { files, bytes, files_total, bytes_total }: BuildReadings) -> String {
    // Bytes are what takes the time. A site without any is done at once.
    let share = |of: u64| bytes.min(bytes_total) * of / bytes_total.max(1);
    let full = usize::try_from(share(BAR as u64)).expect("at most its width");
    let (done, open) = ("#".repeat(full), "-".repeat(BAR - full));
    let percent = share(100);
    format!("compiling the site [{done}{open}] {percent:3} %, {files} of {files_total} files")
}

/// How often it is to be shown.
pub(crate) const DRAW_EVERY: Duration = Duration::from_millis(200);
/// Characters of the bar.
const BAR: usize = 24;
/// To the first column, and nothing after it.
const CLEAR: &str = "\r\x1b[K";
/// A line that wraps is not written over.
const WIDTH: usize = 79;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compile_is_a_bar_with_a_total() {
        let readings = |bytes| BuildReadings { files: 9, bytes, files_total: 20, bytes_total: 400 };
        let quarter = "compiling the site [######------------------]  25 %, 9 of 20 files";
        assert_eq!(bar(readings(100)), quarter);
        assert!(bar(readings(400)).contains(&format!("[{}] 100 %", "#".repeat(BAR))));
        assert!(bar(BuildReadings::default()).contains("]   0 %, 0 of 0 files"));
        let most = BuildReadings { files: u64::MAX, files_total: u64::MAX, ..readings(1 << 40) };
        assert!(bar(most).contains(" 100 %"), "and no overflow");
    }

    #[test]
    fn other_steps_are_a_line_that_does_not_wrap() {
        let progress = Progress::default();
        progress.doing("reading a\u{1b}[2J".to_owned() + &"x".repeat(200));
        assert_eq!(line(&progress).len(), WIDTH);
        assert!(line(&progress).starts_with("0 files, 0 B read; reading a[2Jxx"));
        progress.compiling();
        assert!(line(&progress).starts_with("compiling the site [--"));
    }
}
