//! The terminal: taken as a whole while `top` runs, and left as it was found, however that ends.

use std::io::{self, IsTerminal, Stdout, Write};
use std::mem::ManuallyDrop;
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};

use ratatui::Frame;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::execute;
use ratatui::crossterm::style::ResetColor;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};

/// The terminal while it is ours. Dropping it gives it back.
///
/// Ratatui's own drop would show the cursor once more, and panic where the terminal is gone.
#[derive(Debug)]
pub(super) struct Terminal(ManuallyDrop<ratatui::Terminal<CrosstermBackend<Stdout>>>);

/// Whether standard output is one.
pub(super) fn is_there() -> bool {
    io::stdout().is_terminal()
}

impl Terminal {
    /// Takes the terminal: alternate screen, raw keys, no cursor. A panic of any thread gives it back first:
    /// the release build aborts, and nothing is dropped then.
    pub(super) fn enter() -> io::Result<Self> {
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            restore();
            report(panic);
        }));
        TAKEN.store(true, Ordering::SeqCst);
        let entered = enable_raw_mode()
            .and_then(|()| execute!(io::stdout(), EnterAlternateScreen, Hide))
            .and_then(|()| ratatui::Terminal::new(CrosstermBackend::new(io::stdout())));
        entered.map(ManuallyDrop::new).map(Self).inspect_err(|_| restore())
    }

    /// Draws a whole screen, of the size that the terminal has now.
    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.0.draw(draw).map(drop)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal back, once. What fails here fails because the terminal is gone.
fn restore() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        let _ = execute!(io::stdout(), ResetColor, Show, LeaveAlternateScreen);
        let _ = disable_raw_mode();
        let _ = io::stdout().flush();
    }
}

/// The terminal is ours, or half ours.
static TAKEN: AtomicBool = AtomicBool::new(false);

#[cfg(test)]
mod tests {
    use std::env;
    use std::process::Command;
    use std::thread;

    use ratatui::crossterm::terminal::is_raw_mode_enabled;

    use super::*;

    #[test]
    fn a_panic_of_any_thread_gives_the_terminal_back_before_it_reports() {
        if env::var_os(INSIDE).is_some() {
            panic_inside();
            return;
        }
        let test = env::current_exe().expect("a path");
        let name =
            "top::terminal::tests::a_panic_of_any_thread_gives_the_terminal_back_before_it_reports";
        let command = format!("{INSIDE}=1 '{}' --exact {name} --nocapture", test.display());
        // script(1) of util-linux runs it in a terminal of its own.
        let output = Command::new("timeout")
            .args(["60", "script", "--quiet", "--return", "--command", &command, "/dev/null"])
            .output()
            .expect("timeout (coreutils) runs");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}");
        let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("no {what:?} in {text:?}"));
        let order = [at("\x1b[?1049h"), at("\x1b[?25h"), at("\x1b[?1049l"), at("panicked at")];
        assert!(order.is_sorted(), "{order:?} {text:?}");
    }

    /// Within a terminal.
    fn panic_inside() {
        assert!(is_there());
        let terminal = Terminal::enter().expect("a terminal");
        assert!(is_raw_mode_enabled().expect("a terminal"));
        let panics = thread::spawn(|| panic!("on purpose"));
        assert!(panics.join().is_err());
        assert!(!is_raw_mode_enabled().expect("a terminal"), "keys are as they were");
        drop(terminal);
    }

    const INSIDE: &str = "POLLUX_TEST_TERMINAL";
}
