//! Tests whose parts run in processes of their own: DPDK starts once in a process, and what a process leaves
//! behind is seen when it has ended.

use std::env;
use std::process::{self, Command, ExitStatus};

use testkit::{Company, RigPlan};

/// Says in a process that was started for a part which one it is.
const PART: &str = "POLLUX_TEST_PART";

/// Exit code of a process whose part came to its end. Success would also be that of one in which no test has
/// the name that was asked for.
const DONE: i32 = 42;

/// A link for a test, and no other test of this machine beside it.
pub(crate) const ALONE: RigPlan =
    RigPlan { hugepages: 0, company: Company::Alone, ..RigPlan::VETH };

/// A test that starts this program again for each of its parts.
#[derive(Debug)]
pub(crate) struct Parts {
    /// The path of its function below the crate.
    pub(crate) test: &'static str,
    /// What runs in a process of its own, by name.
    pub(crate) parts: &'static [(&'static str, fn())],
}

impl Parts {
    /// Runs the part that this process was started for, or else `test`.
    pub(crate) fn run(&self, test: impl FnOnce()) {
        let Ok(name) = env::var(PART) else { return test() };
        let found = self.parts.iter().find(|(part, _)| *part == name);
        let (_, part) = found.unwrap_or_else(|| panic!("{} has no part {name}", self.test));
        part();
        process::exit(DONE);
    }

    /// This program, to run a part.
    pub(crate) fn command(&self, part: &str) -> Command {
        let this = env::current_exe().expect("a test has a path");
        let mut command = Command::new(this);
        command.args(["--exact", self.test, "--nocapture"]).env(PART, part);
        command
    }

    /// Runs a part to its end, which must be a good one.
    #[track_caller]
    pub(crate) fn succeed(&self, part: &str) {
        let status = self.command(part).status().expect("it starts");
        assert!(is_done(status), "{part}: {status}");
    }
}

/// Whether a process that was started for a part came to its end.
pub(crate) fn is_done(status: ExitStatus) -> bool {
    status.code() == Some(DONE)
}
