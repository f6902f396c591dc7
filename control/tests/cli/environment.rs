//! The environment as a source of configuration: every key as `POLLUX_SECTION_KEY`.

use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;

use crate::pollux::{Ended, pollux_with};

/// A route that needs no data.
const ROUTE: &str = "[[route]]\nkind = \"sum\"\npath = \"/\"\n";

fn check(arguments: &[&str], environment: &[(&str, &str)]) -> Ended {
    pollux_with(&[&["check"], arguments].concat(), environment)
}

/// A configuration file with `text` and one route.
fn configured(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("temporary file");
    write!(file, "{text}{ROUTE}").expect("writable");
    file
}

#[test]
fn options_win_over_variables_and_those_over_the_file() {
    let file = configured("[listen]\nport = 81\naddress = \"10.1.2.3/8\"\n");
    let file = file.path().to_str().expect("UTF-8");
    let environment = [
        ("POLLUX_LISTEN_PORT", "82"),
        ("POLLUX_LISTEN_ADDRESS", "10.4.5.6/8"),
        ("POLLUX_LIMITS_HALF_OPEN", "77"),
        ("POLLUX_MEMORY_PAGES", "ordinary"),
        ("POLLUX_LIMITS_FIELDS", ""),
    ];
    let checked = check(&["--config", file, "--port", "83"], &environment);
    assert_eq!(checked.code, 0, "{}", checked.stderr);
    for needed in [
        "http://10.4.5.6:83/",
        "ordinary pages",
        "environ  listen.address = \"10.4.5.6/8\", from POLLUX_LISTEN_ADDRESS\n",
        "environ  limits.half_open = \"77\", from POLLUX_LIMITS_HALF_OPEN\n",
        "environ  memory.pages = \"ordinary\", from POLLUX_MEMORY_PAGES\n",
    ] {
        assert!(checked.stdout.contains(needed), "lacks {needed}:\n{}", checked.stdout);
    }
    for other in ["POLLUX_LISTEN_PORT", "POLLUX_LIMITS_FIELDS"] {
        assert!(!checked.stdout.contains(other), "does not hold: {}", checked.stdout);
    }
    let set = check(&["--set", "listen.port=84"], &environment);
    assert!(set.stdout.contains("http://10.4.5.6:84/"), "{}", set.stdout);
    let alone = check(&["--config", file], &environment);
    assert!(alone.stdout.contains("http://10.4.5.6:82/"), "{}", alone.stdout);
}

#[test]
fn mistakes_name_variable_value_and_fix_and_are_told_at_once() {
    let file = configured("[limits]\nhaed = 1\n");
    let file = file.path().to_str().expect("UTF-8");
    let environment = [
        ("POLLUX_LISTEN_PROT", "81"),
        ("POLLUX_ROUTE", "/"),
        ("POLLUX_CORES_IDLE", "snooze"),
        ("POLLUX_BIN", "/bin/pollux"),
        ("POLLUX_PORT_80_TCP_ADDR", "10.0.0.1"),
    ];
    let checked = check(&["--config", file], &environment);
    assert_eq!(checked.code, 2);
    let lines: Vec<_> = checked.stderr.lines().collect();
    assert_eq!(
        lines,
        [
            &*format!("pollux: {file}:2: unknown key limits.haed; did you mean limits.head?"),
            "pollux: POLLUX_LISTEN_PROT: unknown variable; did you mean POLLUX_LISTEN_PORT?",
            "pollux: POLLUX_ROUTE: unknown variable; route is written in a file: name one with \
             --config, and unset it",
            "pollux: POLLUX_CORES_IDLE: cores.idle = \"snooze\": not understood; write auto, poll or \
             adaptive",
        ]
    );
    let binary = std::ffi::OsStr::from_bytes(b"\xff");
    let checked = pollux_with(&["check"], &[("POLLUX_DATA_DIRECTORY", binary)]);
    assert_eq!(checked.code, 2);
    let said = "pollux: POLLUX_DATA_DIRECTORY: not UTF-8; set it anew, or unset it\n";
    assert_eq!(checked.stderr, said);
}

#[test]
fn the_server_of_the_key_wins_over_database_url_and_keeps_its_secret() {
    let file = configured("[postgres]\nurl = \"postgres://file@h/d\"\n");
    let file = file.path().to_str().expect("UTF-8");
    let environment = [
        ("POLLUX_POSTGRES_URL", "postgres://key:s3cret@h:5433/d"),
        ("DATABASE_URL", "postgres://shared:s3cret@h/d"),
        ("POLLUX_POSTGRES_CONNECTIONS", "9"),
        ("DATABASE_MAX_CONN", "3"),
    ];
    let checked = check(&["--config", file], &environment);
    assert_eq!(checked.code, 0, "{}", checked.stderr);
    for needed in [
        "environ  postgres.url = \"postgres://key@h:5433/d\", from POLLUX_POSTGRES_URL\n",
        "environ  postgres.connections = \"3\", from DATABASE_MAX_CONN\n",
    ] {
        assert!(checked.stdout.contains(needed), "lacks {needed}:\n{}", checked.stdout);
    }
    let url = ("POLLUX_POSTGRES_URL", "postgres://key:s3cret@h:port/d");
    let wrong = check(&["--config", file], &[url]);
    assert_eq!(wrong.code, 2);
    let start = "pollux: POLLUX_POSTGRES_URL: postgres.url = \"(not shown)\": ";
    assert!(wrong.stderr.starts_with(start), "{}", wrong.stderr);
    for said in [checked, wrong] {
        assert!(!format!("{}{}", said.stdout, said.stderr).contains("s3cret"), "it was shown");
    }
}

#[test]
fn commands_ask_the_server_that_the_environment_names() {
    let place = tempfile::tempdir().expect("temporary directory");
    let directory = place.path().to_str().expect("UTF-8");
    let environment = [("POLLUX_ADMIN_NAME", "blue"), ("POLLUX_ADMIN_DIRECTORY", directory)];
    let asked = pollux_with(&["reload"], &environment);
    assert_eq!(asked.code, 1);
    assert!(asked.stderr.contains(&format!("{directory}/blue.sock")), "{}", asked.stderr);
    let named = pollux_with(&["reload", "--name", "green"], &environment);
    assert!(named.stderr.contains(&format!("{directory}/green.sock")), "{}", named.stderr);
    assert!(fs::read_dir(directory).expect("is there").next().is_none());
}
