//! Manual pages and completions: every command has a page, and bash takes the script.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::pollux::pollux;

/// Every command, as it is written.
const COMMANDS: &[&str] = &[
    "serve",
    "reload",
    "stats",
    "top",
    "drain",
    "resume",
    "stop",
    "config",
    "config show",
    "log",
    "version",
    "check",
    "doctor",
    "nic",
    "nic list",
    "nic status",
    "nic bind",
    "nic confirm",
    "nic unbind",
    "tune",
    "tune show",
    "tune apply",
    "tune revert",
    "sample",
    "man",
    "completions",
];

/// The commands below `above`, as its help lists them.
fn listed(above: &[&str]) -> Vec<String> {
    let help = pollux(&[above, &["-h"]].concat()).stdout;
    let Some((_, commands)) = help.split_once("\nCommands:\n") else { return Vec::new() };
    let lines = commands.lines().take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| {
        let name = line.strip_prefix("  ")?.split(' ').next()?;
        (!name.is_empty() && name != "help").then(|| name.to_owned())
    });
    names.collect()
}

#[test]
fn every_command_has_a_page() {
    let place = tempfile::tempdir().expect("temporary directory");
    let directory = place.path().join("not/yet");
    let written = pollux(&["man", directory.to_str().expect("UTF-8")]);
    assert_eq!(written.code, 0, "{}", written.stderr);
    let mut pages: Vec<_> =
        COMMANDS.iter().map(|c| format!("pollux-{}.1", c.replace(' ', "-"))).collect();
    pages.push("pollux.1".to_owned());
    pages.sort();
    let entries = fs::read_dir(&directory).expect("is there").map(|entry| entry.expect("readable"));
    let mut found: Vec<_> =
        entries.map(|entry| entry.file_name().into_string().expect("UTF-8")).collect();
    found.sort();
    assert_eq!(found, pages);
    for page in &pages {
        let text = fs::read_to_string(directory.join(page)).expect("readable");
        // What comes before defines the apostrophe, for old versions of troff.
        let first = text.lines().find(|line| {
            line.starts_with('.') && !line.starts_with(".ie") && !line.starts_with(".el")
        });
        let title = first.unwrap_or_default();
        assert!(title.starts_with(".TH "), "{page} begins with {title:?}");
        let version = concat!("\"pollux ", env!("CARGO_PKG_VERSION"), "\"");
        assert!(title.contains(version), "{page} does not name its version: {title}");
        for section in [".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION"] {
            assert!(text.contains(section), "{page} has no {section}");
        }
    }
    let drain = fs::read_to_string(directory.join("pollux-drain.1")).expect("readable");
    for needed in ["timeout", "no\\-wait", "Exit codes"] {
        assert!(drain.contains(needed), "pollux-drain.1 lacks {needed}:\n{drain}");
    }
}

#[test]
fn every_command_of_the_help_is_known_here() {
    let mut all = listed(&[]);
    for group in ["config", "nic", "tune"] {
        all.extend(listed(&[group]).into_iter().map(|name| format!("{group} {name}")));
    }
    all.sort();
    let mut known: Vec<_> = COMMANDS.to_vec();
    known.sort_unstable();
    assert_eq!(all, known);
}

#[test]
fn a_directory_that_cannot_be_is_an_error() {
    let written = pollux(&["man", "/dev/null/pages"]);
    assert_eq!(written.code, 1);
    assert!(
        written.stderr.starts_with("pollux: /dev/null/pages: manual pages"),
        "{}",
        written.stderr
    );
}

#[test]
fn bash_takes_the_completions() {
    let script = pollux(&["completions", "bash"]);
    assert_eq!(script.code, 0, "{}", script.stderr);
    let mut bash = Command::new("bash")
        .arg("-n")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("bash runs");
    let mut stdin = bash.stdin.take().expect("it was asked for");
    stdin.write_all(script.stdout.as_bytes()).expect("bash reads");
    drop(stdin);
    let checked = bash.wait_with_output().expect("a child of ours");
    let errors = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success() && errors.is_empty(), "{errors}");
}

#[test]
fn every_shell_completes_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let script = pollux(&["completions", shell]);
        assert_eq!(script.code, 0, "{shell}: {}", script.stderr);
        for command in COMMANDS.iter().flat_map(|command| command.split(' ')) {
            assert!(script.stdout.contains(command), "{shell} does not complete {command}");
        }
        assert!(script.stdout.contains("no-wait"), "{shell} does not complete options");
    }
    let unknown = pollux(&["completions", "csh"]);
    assert_eq!(unknown.code, 2, "{}", unknown.stderr);
}
