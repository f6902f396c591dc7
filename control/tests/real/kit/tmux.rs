//! A shell in a terminal that a test types into and reads from: tmux with a server of its own.

use std::time::{Duration, Instant};
use std::{fs, thread};

use testkit::{Rig, Tool};

/// The terminal. Dropping it ends the shell and whatever runs in it.
#[derive(Debug)]
pub(crate) struct Tmux {
    socket: String,
    pid: String,
}

impl Tmux {
    /// A terminal of this size.
    #[track_caller]
    pub(crate) fn start(rig: &Rig, width: u16, height: u16) -> Self {
        let socket = rig.scratch.path().join("tmux").display().to_string();
        let mut tmux = Self { socket, pid: String::new() };
        let size = [width, height].map(|number| number.to_string());
        let shell = "env PS1='ready> ' bash --norc --noprofile";
        tmux.run(&["new-session", "-d", "-x", &size[0], "-y", &size[1], shell]);
        tmux.pid = tmux.ask("#{pid}");
        tmux.wait_for(&["ready>"]);
        tmux
    }

    /// Types a command and Return.
    #[track_caller]
    pub(crate) fn command(&self, text: &str) {
        self.run(&["send-keys", "-l", text]);
        self.keys(&["Enter"]);
    }

    /// Presses keys, by the names that tmux has for them.
    #[track_caller]
    pub(crate) fn keys(&self, keys: &[&str]) {
        self.run(&[&["send-keys"], keys].concat());
    }

    /// Gives the terminal another size.
    #[track_caller]
    pub(crate) fn resize(&self, width: u16, height: u16) {
        let size = [width, height].map(|number| number.to_string());
        self.run(&["resize-window", "-x", &size[0], "-y", &size[1]]);
    }

    /// What is on the screen, by line.
    #[track_caller]
    pub(crate) fn screen(&self) -> Vec<String> {
        self.run(&["capture-pane", "-p"]).lines().map(str::to_owned).collect()
    }

    /// The same with the escape sequences of its colours.
    #[track_caller]
    pub(crate) fn colours(&self) -> String {
        self.run(&["capture-pane", "-e", "-p"])
    }

    /// Waits for a line with all of `words`; returns the screen.
    #[track_caller]
    pub(crate) fn wait_for(&self, words: &[&str]) -> Vec<String> {
        let has = |line: &String| words.iter().all(|word| line.contains(word));
        self.wait_until(&format!("a line with {words:?}"), |screen| screen.iter().any(has))
    }

    /// Waits until the screen is as it should be; returns it.
    #[track_caller]
    pub(crate) fn wait_until(&self, what: &str, is_so: impl Fn(&[String]) -> bool) -> Vec<String> {
        let start = Instant::now();
        loop {
            let screen = self.screen();
            if is_so(&screen) {
                return screen;
            }
            assert!(start.elapsed() < SHOW_MAX, "no {what} on\n{}", screen.join("\n"));
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Whether the alternate screen is shown, and whether the cursor is.
    #[track_caller]
    pub(crate) fn modes(&self) -> (bool, bool) {
        let text = self.ask("#{alternate_on} #{cursor_flag}");
        (text.starts_with('1'), text.ends_with('1'))
    }

    #[track_caller]
    fn ask(&self, format: &str) -> String {
        self.run(&["display-message", "-p", format]).trim().to_owned()
    }

    #[track_caller]
    fn run(&self, arguments: &[&str]) -> String {
        self.tool(arguments).text()
    }

    fn tool(&self, arguments: &[&str]) -> Tool {
        let all = [&["-S", &self.socket, "-f", "/dev/null"], arguments].concat();
        Tool::new(10, "tmux", &all)
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        self.tool(&["kill-server"]).output();
        let start = Instant::now();
        let process = format!("/proc/{}", self.pid);
        while fs::exists(&process).unwrap_or(false) && start.elapsed() < SHOW_MAX {
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// How long anything may take to be on the screen.
const SHOW_MAX: Duration = Duration::from_secs(20);
