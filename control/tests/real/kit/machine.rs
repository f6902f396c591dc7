//! What a test takes of the machine: hugepages, file descriptors, other programs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::turn::Turn;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The binary under test.
pub(crate) fn binary() -> PathBuf {
    let named = std::env::var_os("POLLUX_BIN").map(PathBuf::from);
    let binary = named.unwrap_or_else(|| env!("CARGO_BIN_EXE_pollux").into());
    assert!(binary.is_file(), "there is no {}: POLLUX_BIN names the binary", binary.display());
    binary
}

/// A script of this repository, by its path from the root.
pub(crate) fn script(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").join(path)
}

/// Another program, bounded in time: it is ended when `seconds` are over.
#[derive(Debug)]
pub(crate) struct Tool {
    shown: String,
    command: Command,
}

impl Tool {
    /// `program` with `arguments`.
    pub(crate) fn new(seconds: u32, program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new("timeout");
        let bound = format!("{seconds}s");
        command.args(["--kill-after=2s", bound.as_str(), program]).args(arguments);
        command.stdin(Stdio::null());
        Self { shown: format!("{program} {}", arguments.join(" ")), command }
    }

    /// With `text` in the environment variable `name`.
    pub(crate) fn with(mut self, name: &str, text: &str) -> Self {
        self.command.env(name, text);
        self
    }

    /// Runs it, however it ends.
    #[track_caller]
    pub(crate) fn output(mut self) -> Output {
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

    /// Runs it and takes its standard output; it must end well.
    #[track_caller]
    pub(crate) fn text(self) -> String {
        let shown = self.shown.clone();
        let output = self.output();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{shown}: {}\n{text}{errors}", output.status);
        text
    }

    /// Starts it beside the test. Dropping the handle ends it.
    #[track_caller]
    pub(crate) fn start(mut self) -> Running {
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Running(Some(self.command.spawn().expect("timeout (coreutils) runs")))
    }
}

/// A program that runs beside the test.
#[derive(Debug)]
pub(crate) struct Running(Option<std::process::Child>);

impl Running {
    /// Waits for its end and takes its standard output, whatever it thought of its work.
    pub(crate) fn join(mut self) -> String {
        let child = self.0.take().expect("is there until it was joined");
        let output = child.wait_with_output().expect("a child of ours");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Running {
    /// SIGINT, for a program that then says what it has seen; `timeout` passes it on.
    pub(crate) fn interrupt(self) -> String {
        let child = self.0.as_ref().expect("is there until it was joined");
        let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).expect("a child of ours");
        self.join()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            // `timeout` passes SIGTERM on; SIGKILL would leave its child behind.
            let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
            if nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).is_ok() {
                child.wait().ok();
            }
        }
    }
}

/// Lets this process and its children have `files` open files each.
pub(crate) fn raise_file_limit(files: u64) {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("there is such a limit");
    if soft < files {
        let raised = setrlimit(Resource::RLIMIT_NOFILE, files, hard.max(files));
        raised.unwrap_or_else(|error| {
            panic!("{files} open files are needed, {hard} are allowed (ulimit -Hn): {error}")
        });
    }
}

/// Hugepages of 2 MiB that are there for a test and were not there before.
#[derive(Debug)]
pub(crate) struct Hugepages {
    owner: String,
}

impl Hugepages {
    /// Reserves `pages` through `hugepages.sh`, under an owner of this turn. Pages that a killed test run
    /// left are taken over, not added to.
    pub(crate) fn reserve(pages: u32, turn: &Turn) -> Self {
        let (count, owner) = (pages.to_string(), format!("tests-{}", turn.number()));
        hugepages(&["reserve", &count, "--owner", &owner]).text();
        Self { owner }
    }

    /// Gives them back. None may be in use that no process holds: that would be a leak.
    pub(crate) fn release(self) -> Result<(), String> {
        drop(self);
        let start = Instant::now();
        while Self::leaked() > 0 {
            if start.elapsed() > RELEASE_MAX {
                return Err(format!("{} hugepages that no process holds", Self::leaked()));
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Pages in use that no process holds. Others may start and end while this is read, so that only
    /// a number that stays says something.
    pub(crate) fn leaked() -> u64 {
        let used = Self::count("HugePages_Total:") - Self::count("HugePages_Free:");
        let held = |pid: &str| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("HugetlbPages:"));
            let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse().ok());
            kib.unwrap_or(0_u64) / KIB_PER_PAGE
        };
        let entries = fs::read_dir("/proc").expect("procfs is mounted").flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let pids = names.filter(|name| name.parse::<u32>().is_ok());
        used.saturating_sub(pids.map(|pid| held(&pid)).sum())
    }

    fn count(name: &str) -> u64 {
        let text = fs::read_to_string("/proc/meminfo").expect("procfs is mounted");
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.trim().parse().ok()).expect("the kernel has hugepages")
    }
}

impl Drop for Hugepages {
    fn drop(&mut self) {
        // What others use of the pool stays in it; the script says so.
        hugepages(&["release", "--owner", &self.owner]).output();
    }
}

const KIB_PER_PAGE: u64 = 2_048;

fn hugepages(arguments: &[&str]) -> Tool {
    let script = script("hugepages.sh");
    Tool::new(60, script.to_str().expect("a path in UTF-8"), arguments)
}

/// How long the kernel may take to free the pages of a process that has ended.
const RELEASE_MAX: Duration = Duration::from_secs(10);
