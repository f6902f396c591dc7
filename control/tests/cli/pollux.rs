//! Runs the binary under test.

use std::ffi::OsStr;
use std::process::Command;

/// How a run ended.
pub(crate) struct Ended {
    /// Exit code; -1 if a signal ended it.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

/// Runs `pollux` to its end.
pub(crate) fn pollux(arguments: &[&str]) -> Ended {
    pollux_with::<&str>(arguments, &[])
}

/// The same with variables of the environment besides.
pub(crate) fn pollux_with<V: AsRef<OsStr>>(arguments: &[&str], environment: &[(&str, V)]) -> Ended {
    let output = Command::new(env!("CARGO_BIN_EXE_pollux"))
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .output()
        .expect("the binary under test runs");
    Ended {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}
