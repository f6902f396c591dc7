//! The command line as an operator meets it: help, version, misuse, exit codes.

use crate::pollux::pollux;

#[test]
fn help_says_what_every_option_and_exit_code_is() {
    let help = pollux(&["serve", "--help"]);
    assert_eq!(help.code, 0);
    for needed in [
        "--config",
        "--link",
        "--address",
        "--port",
        "--cores",
        "--data",
        "--stats",
        "--idle",
        "--set",
        "af_xdp:IFACE",
        "SIGTERM",
        "POLLUX_SECTION_KEY",
        "Options win over the environment, the environment over the file",
        "Exit codes:",
        "`ready`",
    ] {
        assert!(help.stdout.contains(needed), "`serve --help` lacks {needed}:\n{}", help.stdout);
    }
}

#[test]
fn top_wants_a_terminal() {
    let top = pollux(&["top"]);
    assert_eq!((top.code, top.stdout.as_str()), (2, ""), "{}", top.stderr);
    for needed in ["standard output is not a terminal", "`pollux stats --watch`"] {
        assert!(top.stderr.contains(needed), "{}", top.stderr);
    }
    let wrong = pollux(&["top", "--interval", "1h"]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.stderr.contains("from 100ms to 1min"), "{}", wrong.stderr);
}

#[test]
fn the_version_is_that_of_the_package() {
    let version = pollux(&["--version"]);
    assert_eq!(version.code, 0);
    assert_eq!(version.stdout, concat!("pollux ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn misuse_is_exit_code_2() {
    for arguments in [&[][..], &["fly"], &["serve", "--wings"], &["sample"]] {
        let misused = pollux(arguments);
        assert_eq!(misused.code, 2, "{arguments:?}: {}", misused.stderr);
        assert!(misused.stderr.contains("Usage:"), "{arguments:?}: {}", misused.stderr);
    }
}
