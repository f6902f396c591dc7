//! Other programs, for the server: what it needs of the harness of the real binary.

use std::process::{Command, Output, Stdio};

/// A program, bounded in time.
#[derive(Debug)]
pub(crate) struct Tool {
    shown: String,
    command: Command,
}

impl Tool {
    /// `program` with `arguments`.
    pub(crate) fn new(seconds: u32, program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=2s", &format!("{seconds}s"), program]).args(arguments);
        command.stdin(Stdio::null());
        Self { shown: format!("{program} {}", arguments.join(" ")), command }
    }

    /// Runs it, however it ends.
    #[track_caller]
    pub(crate) fn output(mut self) -> Output {
        let output = self.command.output().expect("timeout (coreutils) runs");
        let ended = output.status.code().is_none_or(|code| code != 124 && code != 127);
        assert!(ended, "took too long, or is not installed (see deploy/test.sh): {}", self.shown);
        output
    }

    /// Runs it and takes its standard output; it must end well.
    #[track_caller]
    pub(crate) fn text(self) -> String {
        let shown = self.shown.clone();
        let output = self.output();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{shown}: {}\n{errors}", output.status);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}
