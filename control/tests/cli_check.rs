//! `pollux check`: reads everything, touches nothing, and says what is wrong where.

mod pollux;

use std::fs;
use std::path::Path;

use pollux::pollux;

/// A data directory that is quickly read.
fn small_data(directory: &Path) -> String {
    fs::create_dir(directory.join("static")).expect("writable");
    fs::write(directory.join("dataset.json"), "[{\"price\":1,\"quantity\":2}]").expect("writable");
    directory.to_str().expect("UTF-8").to_owned()
}

#[test]
fn defaults_are_good_and_are_shown() {
    let checked = pollux(&["check"]);
    assert_eq!(checked.code, 0, "{}", checked.stderr);
    for needed in [
        "http://198.18.0.2:8080/",
        "link     auto",
        "here: AF_XDP: ",
        "the built-in sample",
        "16384 connections",
        "hugepages.sh reserve",
    ] {
        assert!(checked.stdout.contains(needed), "lacks {needed}:\n{}", checked.stdout);
    }
}

#[test]
fn options_win_over_the_file() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let file = directory.path().join("p.toml");
    fs::write(&file, "[listen]\nport = 81\naddress = \"10.1.2.3/8\"\n").expect("writable");
    let file = file.to_str().expect("UTF-8");
    let data = small_data(directory.path());
    let checked = pollux(&["check", "--config", file, "--port", "82", "--data", &data]);
    assert_eq!(checked.code, 0, "{}", checked.stderr);
    assert!(checked.stdout.contains("http://10.1.2.3:82/"), "{}", checked.stdout);
}

#[test]
fn a_wrong_configuration_is_exit_code_2_and_one_line() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let file = directory.path().join("p.toml");
    fs::write(&file, "[limits]\nconections = 5\n").expect("writable");
    let file = file.to_str().expect("UTF-8");
    let checked = pollux(&["check", "--config", file]);
    assert_eq!(checked.code, 2);
    assert_eq!(
        checked.stderr,
        format!(
            "pollux: {file}:2: unknown key limits.conections; did you mean limits.connections?\n"
        )
    );
    let checked = pollux(&["check", "--port", "0"]);
    assert_eq!(checked.code, 2);
    assert_eq!(
        checked.stderr,
        "pollux: --port: listen.port = \"0\": not understood; write a TCP port from 1 to 65535\n"
    );
}

#[test]
fn wrong_data_is_exit_code_2_and_names_its_file() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let data = directory.path().to_str().expect("UTF-8");
    let checked = pollux(&["check", "--data", data]);
    assert_eq!(checked.code, 2);
    assert!(
        checked.stderr.starts_with(&format!("pollux: {data}/dataset.json: expected ")),
        "{}",
        checked.stderr
    );
    fs::create_dir(directory.path().join("static")).expect("writable");
    fs::write(directory.path().join("dataset.json"), "[\n{\"price\":}\n]").expect("writable");
    let checked = pollux(&["check", "--data", data]);
    assert_eq!(checked.code, 2);
    assert!(
        checked.stderr.starts_with(&format!("pollux: {data}/dataset.json: line 2, column ")),
        "{}",
        checked.stderr
    );
}

#[test]
fn serving_without_a_port_says_what_to_do() {
    let served =
        pollux(&["serve", "--link", "af_packet:no-such-if", "--set", "memory.pages=ordinary"]);
    assert_eq!(served.code, 1, "{}", served.stderr);
    let last = served.stderr.lines().last().expect("a last word");
    assert!(last.contains("there is no interface no-such-if"), "{last}");
    assert!(last.contains("deploy/link.sh up"), "{last}");
}
