//! Other programs, bounded in time.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

/// Another program, to be run: it is ended when its seconds are over.
#[derive(Debug)]
pub struct Tool {
    shown: String,
    command: Command,
}

impl Tool {
    /// `program` with `arguments`.
    #[must_use]
    pub fn new(seconds: u32, program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=2s", &format!("{seconds}s"), program]).args(arguments);
        command.stdin(Stdio::null());
        Self { shown: format!("{program} {}", arguments.join(" ")), command }
    }

    /// A script of this repository, by its path from the root.
    ///
    /// # Panics
    /// If the repository's path is not UTF-8.
    #[must_use]
    pub fn script(seconds: u32, path: &str, arguments: &[&str]) -> Self {
        Self::new(seconds, script(path).to_str().expect("a path in UTF-8"), arguments)
    }

    /// With `text` in the environment variable `name`.
    #[must_use]
    pub fn with(mut self, name: &str, text: &str) -> Self {
        self.command.env(name, text);
        self
    }

    /// Runs it, however it ends.
    ///
    /// # Panics
    /// If it takes too long or is not installed.
    #[track_caller]
    pub fn output(mut self) -> Output {
        let output = self.command.output().expect("timeout (coreutils) runs");
        assert_ne!(output.status.code(), Some(124), "took too long: {}", self.shown);
        assert_ne!(
            output.status.code(),
            Some(127),
            "`{}` does not run: deploy/test.sh installs what these tests need",
            self.shown
        );
        output
    }

    /// Runs it and takes its standard output.
    ///
    /// # Panics
    /// As [`output`](Self::output), and if it does not end with 0.
    #[track_caller]
    pub fn text(self) -> String {
        let shown = self.shown.clone();
        let output = self.output();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{shown}: {}\n{text}{errors}", output.status);
        text
    }

    /// Starts it beside the test. Dropping the handle ends it.
    ///
    /// # Panics
    /// If it cannot be started.
    #[track_caller]
    #[must_use]
    pub fn start(mut self) -> Running {
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Running(Some(self.command.spawn().expect("timeout (coreutils) runs")))
    }
}

/// A program that runs beside the test.
#[derive(Debug)]
pub struct Running(Option<Child>);

impl Running {
    /// Waits for its end and takes its standard output, whatever its exit code.
    ///
    /// # Panics
    /// If its output cannot be read.
    pub fn join(mut self) -> String {
        let child = self.0.take().expect("is there until it was joined");
        let output = child.wait_with_output().expect("a child of ours");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// SIGINT, for a program that then says what it has seen; `timeout` passes it on.
    ///
    /// # Panics
    /// As [`join`](Self::join).
    pub fn interrupt(self) -> String {
        kill(self.pid(), Signal::SIGINT).expect("a child of ours");
        self.join()
    }

    fn pid(&self) -> Pid {
        let child = self.0.as_ref().expect("is there until it was joined");
        Pid::from_raw(child.id().cast_signed())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.0.is_none() {
            return;
        }
        // `timeout` passes SIGTERM on; SIGKILL would leave its child behind.
        let pid = self.pid();
        let is_signalled = kill(pid, Signal::SIGTERM).is_ok();
        if let (Some(mut child), true) = (self.0.take(), is_signalled) {
            // One that is signalled when it has just forked ends without passing it on (coreutils 9.1). Its child is in its
            // process group, whose id is nobody else's until `timeout` is waited for.
            waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).ok();
            killpg(pid, Signal::SIGKILL).ok();
            child.wait().ok();
        }
    }
}

/// A script of this repository, by its path from the root.
///
/// # Panics
/// If this crate is not where the repository has it.
#[must_use]
pub fn script(path: &str) -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("dataplane/testkit lies in the workspace").join(path)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_dropped_at_once_leaves_nothing() {
        // Seconds that nobody else sleeps for.
        let seconds = format!("97.{}", std::process::id());
        for _ in 0..400 {
            drop(Tool::new(100, "sleep", &[&seconds]).start());
        }
        let left = fs::read_dir("/proc").expect("procfs").flatten().filter(|process| {
            let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(&seconds)
        });
        assert_eq!(left.count(), 0, "processes that sleep {seconds}");
    }
}
