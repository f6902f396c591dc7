//! The binary under test, and what its process needs of this one.

use std::path::PathBuf;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use testkit::{Rig, Tool};

/// Where it is.
pub(crate) fn binary() -> PathBuf {
    let named = std::env::var_os("POLLUX_BIN").map(PathBuf::from);
    let binary = named.unwrap_or_else(|| env!("CARGO_BIN_EXE_pollux").into());
    assert!(binary.is_file(), "there is no {}: POLLUX_BIN names the binary", binary.display());
    binary
}

/// `pollux` with these arguments, for the server of this test.
pub(crate) fn pollux(rig: &Rig, arguments: &[&str]) -> Tool {
    let binary = binary();
    let program = binary.to_str().expect("a path in UTF-8");
    Tool::new(60, program, &[arguments, &["--name", &rig.name]].concat())
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
